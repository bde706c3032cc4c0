/* When readers are woken: at a switch (relay's way), and between switches if the channel says so. */
#ifndef RCHAN_ANNOUNCE_H
#define RCHAN_ANNOUNCE_H

#include "buffer.h"

/* Owner word held, the news stored: those who sleep are owed a wake-up. */
void rchan_ask_for_wakeup(struct rchan_buffer *buffer, struct rchan_notice *notice);

/* Owner word held, a record was committed: announce it if it is time, or `anyway`. */
void rchan_announce(struct rchan_buffer *buffer, struct rchan_notice *notice, bool anyway);

/* Owner word held, a sub-buffer was finished: wake for it, unless a watermark says not yet. */
void rchan_announce_switch(struct rchan_buffer *buffer, struct rchan_notice *notice);

/* The channel's wake-up mode: the bits of header->gate above RCHAN_GATE_SHUT. 0: relay's. */
uint32_t rchan_wakeup_mode(const struct rchan_channel *channel);
/* From the next record on, for all writers. Wakes everybody, to look at what there is. False: the
 * gate word never stands still. */
bool rchan_wakeup_set(struct rchan_channel *channel, uint32_t mode);

#endif
