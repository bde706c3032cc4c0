/* Packets: the header at the start of an event channel's sub-buffers. docs/reference/events-format.md. */
#ifndef RCHAN_PACKET_H
#define RCHAN_PACKET_H

#include "handle.h"

/* Owner word held, and the slot touched: write the header of a packet that begins now. */
void rchan_packet_begin(struct rchan_buffer *buffer, uint64_t subbuf);
/* Owner word held: what is known at its end. It may be done again if we are killed before `head`. */
void rchan_packet_finish(struct rchan_buffer *buffer, uint64_t subbuf, uint64_t offset);
/* Packets of this buffer that have begun, with those before resets, when `head` was this word. */
uint64_t rchan_packets_begun(const struct rchan_buffer *buffer, uint64_t head);

#endif
