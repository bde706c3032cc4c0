/* Writing events. docs/reference/events-format.md, "An event". */
#ifndef RCHAN_EVENT_H
#define RCHAN_EVENT_H

#include "buffer.h"

/* An event of type `id` on the CPU that runs us, its time, CPU, process and thread added here.
 * payload: its fields as they are stored. RCHAN_NOT_PLAIN: the channel is for plain records. */
enum rchan_outcome rchan_event(struct rchan_channel *channel, uint16_t id, const void *payload,
                               uint64_t length);

#endif
