/* The fast path of records and events: nothing to ask, to wait for or to count. */
#ifndef RCHAN_FAST_H
#define RCHAN_FAST_H

#include "buffer.h"
#include "cpu.h"
#include "owner.h"
#include "testpoint.h"

/* rchan_reserve also for events. */
enum rchan_outcome rchan_reserve_any(struct rchan_channel *channel, int64_t cpu, uint64_t length,
                                     struct rchan_reservation *place);

/* The CPU's buffer (cpu < 0: of the CPU that runs us), owner word taken; NULL: not that easily. */
static inline struct rchan_buffer *rchan_fast_buffer(struct rchan_channel *channel, int64_t cpu)
{
    uint64_t index = cpu < 0 ? (uint64_t)rchan_current_cpu() : (uint64_t)cpu;
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

/* Room in the sub-buffer that is being filled, gate open, not the first record in it? */
static inline bool rchan_fast_room(const struct rchan_channel *channel,
                                   const struct rchan_buffer *buffer, uint64_t head,
                                   uint64_t length, uint32_t slow)
{
    uint64_t offset = head & channel->offset_mask;
    return length - 1 < channel->subbuf_size && offset && offset + length <= channel->subbuf_size &&
           head >> channel->shift == buffer->cached_produced && buffer->cached_subbuf &&
           !(rchan_load(&channel->header->gate) & slow);
}

static inline uint8_t *rchan_fast_place(const struct rchan_buffer *buffer, uint64_t head)
{
    return buffer->cached_subbuf + (head & buffer->channel->offset_mask);
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
    TESTPOINT("write: fast committed");
    rchan_word_give(&block->owner);
}

#endif
