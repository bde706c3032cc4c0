/* Where a reader stands, for the files of the reader's side only. docs/explanation/protocol.md, "Read". */
#ifndef RCHAN_POSITION_H
#define RCHAN_POSITION_H

#include "books.h"
#include "handle.h"
#include "reach.h"

/* Private until committed. */
struct rchan_position {
    struct rchan_buffer *buffer;
    uint64_t committed; /* the tail word it began with */
    uint64_t subbuf;    /* sub-buffers consumed */
    uint64_t bytes;     /* of sub-buffer `subbuf` */
    struct rchan_sums sums;
};

/* Take the reader word; what a dead reader had in hand is unread again. 0, or -EAGAIN. */
int rchan_reader_own(struct rchan_buffer *buffer, uint32_t wait_us);
/* Reader word held: what was consumed and never handed on is unread again. */
void rchan_position_undo(struct rchan_buffer *buffer);
/* And both accounts say what was, as the books of a reset need it. */
void rchan_position_settle(struct rchan_buffer *buffer);

/* 0, or -EBADMSG. */
int rchan_position_load(struct rchan_buffer *buffer, struct rchan_position *at);
void rchan_position_commit(struct rchan_position *at);
bool rchan_position_whole(const struct rchan_position *at);
/* Bring it to a sub-buffer that is whole. 0; -EBADMSG; -EAGAIN: overtaken all the time. */
int rchan_position_catch_up(struct rchan_position *at, struct rchan_reach *reach);
/* Past the rest of a finished sub-buffer whose data ends at `end`. */
void rchan_position_consume_rest(struct rchan_position *at, uint64_t end);

static inline uint64_t rchan_position_word(const struct rchan_position *at)
{
    return rchan_head_word(at->buffer->channel, at->subbuf, at->bytes);
}

#endif
