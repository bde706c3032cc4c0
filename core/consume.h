/* The reader's side: whole and partial reads, what is consumed. docs/explanation/protocol.md, "Read". */
#ifndef RCHAN_CONSUME_H
#define RCHAN_CONSUME_H

#include <sys/uio.h>

#include "position.h"

enum { RCHAN_POLLIN = 1, RCHAN_POLLERR = 8, RCHAN_POLLRDNORM = 64 };

/* Copy up to `count` bytes, consuming them; padding skipped, the unfinished sub-buffer included.
 * Bytes copied (0: nothing there), -EAGAIN: another reader has the buffer, -EBADMSG: corrupt. */
int64_t rchan_read(struct rchan_buffer *buffer, void *to, uint64_t count);

/* Will nothing be written any more? Also if a finalizer was killed before he came to this buffer. */
bool rchan_buffer_finalized(const struct rchan_buffer *buffer);
enum { RCHAN_HOLD_PARTS = 512, RCHAN_HOLD_COPIED = 16384 };

/* A read that somebody else gets. Short ones (and all in overwrite mode) are copied and count at
 * once, but at a kill or a refusal before the end they are unread again (what writers overwrote
 * meanwhile is lost, and counted). Long ones count at the end. Until then others find it busy. */
struct rchan_hold {
    struct rchan_buffer *buffer; /* NULL: nothing in hand */
    void *copy;                  /* room for `count` bytes, given by the caller */
    struct rchan_position at;
    bool copied;
    uint32_t fork_count;
    uint32_t n_parts;
    struct iovec parts[RCHAN_HOLD_PARTS]; /* what was read: in the buffer itself, or `copy` */
};

/* Bytes in hand; 0: nothing there; -EAGAIN: another reader has the buffer; -EBADMSG: corrupt. */
int64_t rchan_hold(struct rchan_buffer *buffer, uint64_t count, uint32_t wait_us,
                   struct rchan_hold *hold);
void rchan_hold_end(struct rchan_hold *hold, bool handed_on);

/* finalized: ERR; else IN|RDNORM exactly when produced != consumed, or when something unread was
 * announced (by another wake-up mode than relay's); else 0. */
uint32_t rchan_poll(const struct rchan_buffer *buffer);

/* One finished sub-buffer (or what is left of it), held by the caller until given back. */
struct rchan_subbuf {
    struct rchan_buffer *buffer;
    const uint8_t *data;
    uint64_t length;  /* without padding and without what was read before */
    uint64_t skipped; /* bytes of it that were read before */
    uint64_t seq;     /* its number: sub-buffers produced before it */
    uint64_t records;
    uint64_t before_records; /* written into the buffer before it, whatever became of them */
    uint64_t first_ns, last_ns;
    /* all that was lost in this buffer before it: the difference to the one before tells when */
    uint64_t overwritten_records, overwritten_bytes;
    uint64_t lost_records[RCHAN_DROP_CAUSES]; /* drop counters as they stood at its start */
    uint64_t lost_bytes[RCHAN_DROP_CAUSES];
    uint64_t tail;   /* the word it was taken at */
    uint32_t resets; /* of its buffer, before it */
    uint32_t fork_count;
    bool good; /* what rchan_subbuf_whole said last: it is counted by that */
};

/* Take the oldest finished sub-buffer; empty ones are consumed on the way.
 * 1, 0: none, -EAGAIN: another reader holds one, -EBADMSG: corrupt. */
int rchan_subbuf_take(struct rchan_buffer *buffer, struct rchan_subbuf *out);
/* Is what was read through `data` good (not overwritten meanwhile)? */
bool rchan_subbuf_whole(struct rchan_subbuf *subbuf);
/* Consumed: its first `length` bytes, or all (UINT64_MAX). False: void (a reset, a fork), or
 * overwritten and nobody was told that it is good: then the next reader's lap counts it. */
bool rchan_subbuf_give_back(struct rchan_subbuf *subbuf, uint64_t length);
/* Not consumed: the next reader gets it again. */
void rchan_subbuf_put_down(struct rchan_subbuf *subbuf);

/* relay_subbufs_consumed. 0, -EAGAIN, -EBADMSG; k > n_subbufs is ignored (0). */
int rchan_subbufs_consumed(struct rchan_buffer *buffer, uint64_t count);

/* Reader word held: count what was overwritten since the reader was last here. 0 or -EBADMSG. */
int rchan_settle_lap(struct rchan_buffer *buffer);

#endif
