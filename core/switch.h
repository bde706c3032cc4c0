/* Finishing a sub-buffer and starting the next: the only place where pages turn. Owner word held. */
#ifndef RCHAN_SWITCH_H
#define RCHAN_SWITCH_H

#include "buffer.h"

enum rchan_switch { RCHAN_SWITCHED, RCHAN_STAYS_FULL, RCHAN_SWITCH_VOID, RCHAN_SWITCH_CORRUPT };

/* `head` is the word as it stands; *now the one after. VOID: a callback forked, we are the child. */
enum rchan_switch rchan_switch_subbuf(struct rchan_buffer *buffer, uint64_t head, uint64_t *now,
                                      struct rchan_notice *notice);

/* Step 1 alone: finish the sub-buffer that `head` is in (not FULL); the next writer starts another. */
void rchan_finish_subbuf(struct rchan_buffer *buffer, uint64_t head, struct rchan_notice *notice);

/* Sub-buffer 0, the first time or after a reset: subbuf_start is told, its answer ignored. */
void rchan_start_first(struct rchan_buffer *buffer, struct rchan_notice *notice);

/* Is a callback of this buffer running in this thread? */
bool rchan_inside_callback(const struct rchan_buffer *buffer);

#endif
