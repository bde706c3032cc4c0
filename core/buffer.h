/* The writer's side: write, reserve, switch, flush, reset. docs/explanation/protocol.md, "Write" and "Switch".
 * cpu < 0: the CPU that runs the caller. No call here blocks longer than owner_wait_us. */
#ifndef RCHAN_BUFFER_H
#define RCHAN_BUFFER_H

#include "handle.h"

/* What is due after the owner word was given back. */
struct rchan_notice {
    bool wake, delivered, became_full, ran_hook;
    bool flushed; /* not finished by a record: no watermark holds it back */
    uint32_t delivered_subbuf, full_subbuf;
};

/* A place in a sub-buffer that the caller fills in. The owner word is held until commit or abort. */
struct rchan_reservation {
    struct rchan_buffer *buffer; /* NULL: none */
    uint8_t *data;
    uint64_t length;
    uint64_t head;       /* the word to commit on top of */
    uint32_t fork_count; /* a fork since then: it is the parent's, not ours */
    bool announce;       /* wake readers at the commit */
    struct rchan_notice notice;
};

enum rchan_outcome rchan_write(struct rchan_channel *channel, int64_t cpu, const void *data,
                               uint64_t length);
/* The same; stored, it wakes readers whatever the channel's wake-up mode is. */
enum rchan_outcome rchan_write_and_wake(struct rchan_channel *channel, int64_t cpu,
                                        const void *data, uint64_t length);
enum rchan_outcome rchan_reserve(struct rchan_channel *channel, int64_t cpu, uint64_t length,
                                 struct rchan_reservation *reservation);
/* Publish the first `length` bytes as one record. False: void since a fork; nothing done. */
bool rchan_commit(struct rchan_reservation *reservation, uint64_t length);
void rchan_abort(struct rchan_reservation *reservation);

/* From inside subbuf_start: keep `length` bytes at the start of the new sub-buffer for a header.
 * False: refused (longer than subbuf_size - 2, the buffer is full, or not in a callback). */
bool rchan_subbuf_start_reserve(struct rchan_buffer *buffer, uint64_t length);

/* Finish the current sub-buffer, also an empty one. 0, -EBUSY: the owner did not let go, -EBADMSG. */
int rchan_buffer_flush(struct rchan_buffer *buffer);
/* A reader's flush: finish the current sub-buffer if it has a record and unread bytes, and start
 * none, so nothing is overwritten and no subbuf_start runs here. `subbuf`: only if it is that one
 * (UINT64_MAX: any). 1, 0: nothing to do, -EBUSY, -EBADMSG. */
int rchan_buffer_finish(struct rchan_buffer *buffer, uint64_t subbuf);
/* Back to sub-buffer 0; what was not read is counted discarded. 0, -EBUSY, -EBADMSG. */
int rchan_buffer_reset(struct rchan_buffer *buffer);
/* Start sub-buffer 0 if nobody has; part of a buffer's coming into being. 0, -EBUSY, -EBADMSG. */
int rchan_buffer_begin(struct rchan_buffer *buffer);
/* No record is committed after this returns 0 (the gate is set before). -EBUSY: an owner is stalled. */
int rchan_buffer_finalize(struct rchan_buffer *buffer);

/* Take the owner word for at most owner_wait_us, repairing what a dead owner left.
 * 0, -EBUSY, -EBADMSG (corrupt; not taken). */
int rchan_buffer_own(struct rchan_buffer *buffer);
/* After a take-over: set right what a dead holder of `owner` left. Owner word held. Like own. */
int rchan_buffer_repair(struct rchan_buffer *buffer);

/* Do all wake-ups that somebody owes: was killed before he did them, or put them off
 * (defer_wakeups). Returns how many buffers had one. */
uint32_t rchan_run_wakeups(struct rchan_channel *channel);

bool rchan_buffer_is_full(const struct rchan_buffer *buffer);
bool rchan_buffer_is_empty(const struct rchan_buffer *buffer);

#endif
