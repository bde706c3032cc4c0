/* The fast path of records and events: nothing to ask, to wait for or to count. */
#ifndef RCHAN_FAST_H
#define RCHAN_FAST_H

#include "buffer.h"
#include "cpu.h"
#include "cursor.h"
#include "owner.h"
#include "testpoint.h"

/* rchan_reserve also for events. */
enum rchan_outcome rchan_reserve_any(struct rchan_channel *channel, int64_t cpu, uint64_t length,
                                     struct rchan_reservation *place);

/* The CPU's buffer, owner word taken; NULL: not that easily. */
static inline struct rchan_buffer *rchan_fast_buffer(struct rchan_channel *channel, int64_t cpu)
{
    uint64_t index = (uint64_t)cpu;
    if (rchan_unlikely(index >= channel->n_buffers))
        index %= channel->n_buffers;
    struct rchan_buffer *buffer = &channel->buffers[index];
    uint64_t ours = rchan_load(&channel->owner_value);
    /* buffer.mapped: pairs with buffer.map */
    if (rchan_unlikely(!ours || !rchan_load_acquire(&buffer->data)))
        return NULL;
    /* write.take: pairs with word.give, poll.owner */
    return rchan_likely(rchan_take_word(&buffer->block->owner, 0, ours)) ? buffer : NULL;
}

/* Its place, if there is room in the sub-buffer that is being filled, the gate is open, and it is not the
 * first record in it; else NULL. */
static inline uint8_t *rchan_fast_place(const struct rchan_channel *channel,
                                        struct rchan_buffer *buffer, uint64_t head, uint64_t length,
                                        uint32_t slow)
{
    if (rchan_unlikely(head != buffer->cursor.head) && !rchan_cursor_follow(buffer, head))
        return NULL;
    return length - 1 < buffer->cursor.room && !(rchan_load(&channel->header->gate) & slow)
               ? buffer->cursor.at
               : NULL;
}

static inline void rchan_fast_commit(struct rchan_buffer *buffer, uint64_t head, uint64_t length)
{
    struct rchan_block *block = buffer->block;
    TESTPOINT("write: fast copied");
    rchan_store(&block->pending,
                rchan_load(&block->pending) + (UINT64_C(1) << buffer->channel->shift) + length);
    TESTPOINT("write: fast pending stored");
    /* write.head: pairs with books.head, read.head, poll.head */
    rchan_store_release(&block->head, head + length);
    rchan_cursor_advance(buffer, length);
    TESTPOINT("write: fast committed");
    rchan_word_give(&block->owner);
}

#endif
