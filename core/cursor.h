/* Where a writer's next record goes in this process's memory: a function of `head` alone, kept because an
 * address that comes out of the owner word's line, which is locked a moment before, holds up the copy;
 * and because it takes a division. Private to the process and guarded by the owner word. */
#ifndef RCHAN_CURSOR_H
#define RCHAN_CURSOR_H

#include "handle.h"

static inline void rchan_cursor_forget(struct rchan_buffer *buffer)
{
    buffer->cursor = (struct rchan_cursor){0};
}

/* The first record of a sub-buffer is stamped, slowly: no room for it here. */
static inline void rchan_cursor_set(struct rchan_buffer *buffer, uint8_t *subbuf, uint64_t head)
{
    uint64_t offset = rchan_head_offset(buffer->channel, head);
    buffer->cursor = (struct rchan_cursor){
        .head = head,
        .room = offset ? buffer->channel->subbuf_size - offset : 0,
        .at = subbuf + offset,
    };
}

/* To another place in the same sub-buffer. False: it is in another one. */
static inline bool rchan_cursor_follow(struct rchan_buffer *buffer, uint64_t head)
{
    const struct rchan_channel *channel = buffer->channel;
    const struct rchan_cursor *cursor = &buffer->cursor;
    if (!cursor->at || (head ^ cursor->head) >> channel->shift ||
        rchan_head_offset(channel, head) > channel->subbuf_size)
        return false;
    rchan_cursor_set(buffer, cursor->at - rchan_head_offset(channel, cursor->head), head);
    return true;
}

/* Anywhere; its offset is within the sub-buffer. */
static inline void rchan_cursor_jump(struct rchan_buffer *buffer, uint64_t head)
{
    const struct rchan_channel *channel = buffer->channel;
    uint64_t subbuf = rchan_head_produced(channel, head) % channel->n_subbufs;
    rchan_cursor_set(buffer, buffer->map + subbuf * (uint64_t)channel->subbuf_size, head);
}

static inline void rchan_cursor_seek(struct rchan_buffer *buffer, uint64_t head)
{
    if (!(buffer->cursor.at && head == buffer->cursor.head) && !rchan_cursor_follow(buffer, head))
        rchan_cursor_jump(buffer, head);
}

/* `length` bytes were committed there; not more than there is room for. */
static inline void rchan_cursor_advance(struct rchan_buffer *buffer, uint64_t length)
{
    buffer->cursor.head += length;
    buffer->cursor.at += length;
    buffer->cursor.room -= length;
}

#endif
