/* When readers are woken: at a switch (relay's way), and between switches if the channel says so. */
#ifndef RCHAN_ANNOUNCE_H
#define RCHAN_ANNOUNCE_H

#include "buffer.h"

/* Owner word held, the news stored: those who sleep are owed a wake-up. */
void rchan_ask_for_wakeup(struct rchan_buffer *buffer, struct rchan_notice *notice);

/* Owner word held, a record was committed: announce it if it is time, or `anyway`. */
void rchan_announce(struct rchan_buffer *buffer, struct rchan_notice *notice, bool anyway);

/* The channel's wake-up mode: the bits of header->gate above RCHAN_GATE_SHUT. 0: relay's. */
uint32_t rchan_wakeup_mode(const struct rchan_channel *channel);
/* From the next record on, for all writers. Wakes everybody, to look at what there is. */
void rchan_wakeup_set(struct rchan_channel *channel, uint32_t mode);

#endif
