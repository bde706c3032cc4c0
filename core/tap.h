/* Reading along without consuming. docs/explanation/protocol.md, "Tap". A tap is private to its reader: it
 * writes no shared word, so there may be any number, and writers and consumers never notice. */
#ifndef RCHAN_TAP_H
#define RCHAN_TAP_H

#include "books.h"
#include "handle.h"

enum rchan_tap_from {
    RCHAN_TAP_UNREAD, /* the sub-buffer that the consumer is at, from its beginning */
    RCHAN_TAP_OLDEST, /* the oldest that is still there, although consumed */
    RCHAN_TAP_NOW,    /* the one that is being filled */
};

struct rchan_loss {
    uint64_t subbufs, records, bytes;
};

struct rchan_tap {
    struct rchan_buffer *buffer;
    uint64_t next;            /* number of the sub-buffer that comes next */
    uint64_t records, bytes;  /* written before it: all of them delivered, or missed */
    struct rchan_loss missed; /* since the last one that was delivered */
    uint64_t drop_records[RCHAN_DROP_CAUSES], drop_bytes[RCHAN_DROP_CAUSES]; /* at its start */
    bool delivered; /* there was one: drops can be told from it on */
    bool was_reset; /* since the last one that was delivered */
    uint32_t resets;
    /* where a cut ends it */
    bool cut;
    uint64_t end_subbuf, end_offset, end_records, end_bytes, end_ns;
};

/* One sub-buffer that a tap delivers. */
struct rchan_copy {
    uint64_t seq, length, records;
    uint64_t first_ns, last_ns;
    uint64_t start_records, start_bytes;                                     /* written before it */
    uint64_t drop_records[RCHAN_DROP_CAUSES], drop_bytes[RCHAN_DROP_CAUSES]; /* at its start */
    /* between the one delivered before and this one */
    struct rchan_loss missed; /* overwritten, or thrown away by a reset */
    uint64_t lost_records[RCHAN_DROP_CAUSES], lost_bytes[RCHAN_DROP_CAUSES]; /* dropped */
    bool finished;  /* false: what there was of it at the cut */
    bool was_reset; /* the numbers began anew; missed.subbufs counts from there */
    uint32_t resets;
};

/* 0, -EAGAIN: the writer was faster all the time, -EBADMSG. */
int rchan_tap_start(struct rchan_buffer *buffer, enum rchan_tap_from from, struct rchan_tap *tap);

/* Whatever is written from now on is not for this tap; the unfinished sub-buffer is.
 * *books (may be NULL): the books at the very cut. Like start. */
int rchan_tap_cut(struct rchan_tap *tap, struct rchan_books *books);

/* What comes next: 1, with *copy saying how long it is; 0: nothing yet (or ever, after a cut);
 * -EBADMSG. Passes by empty sub-buffers. */
int rchan_tap_look(struct rchan_tap *tap, struct rchan_copy *copy);
/* Copy its `length` bytes. True: they are good, and the tap goes on behind them; *copy is complete.
 * False: overwritten meanwhile: look again. */
bool rchan_tap_copy(struct rchan_tap *tap, struct rchan_copy *copy, uint8_t *to);

/* Of a tap that came to its cut: missed since the last one delivered. */
struct rchan_loss rchan_tap_rest(const struct rchan_tap *tap);

/* Is there a whole, finished sub-buffer that it has not seen? */
bool rchan_tap_ready(const struct rchan_tap *tap);

#endif
