/* How far a buffer's writer is. docs/explanation/protocol.md, "Read". */
#include "reach.h"

#include <errno.h>

#include "books.h"

bool rchan_still_whole(const struct rchan_buffer *buffer, uint64_t subbuf)
{
    /* whole.fence: pairs with touch.fence */
    rchan_load_fence();
    return rchan_whole(buffer->channel, subbuf, rchan_load(&buffer->block->started));
}

int rchan_reach_load(const struct rchan_buffer *buffer, uint64_t subbuf, struct rchan_reach *reach)
{
    const struct rchan_channel *channel = buffer->channel;
    struct rchan_block *block = buffer->block;
    /* read.started: pairs with switch.started */
    reach->started = rchan_load_acquire(&block->started);
    /* read.head: pairs with write.head, commit.head, switch.head, switch.begin */
    uint64_t head = rchan_load_acquire(&block->head), offset = rchan_head_offset(channel, head);
    reach->produced = rchan_head_produced(channel, head);
    reach->finished = subbuf < reach->produced;
    reach->end = offset > channel->subbuf_size ? 0 : offset;
    if (offset > channel->full || subbuf > reach->produced || reach->started > reach->produced)
        return -EBADMSG;
    /* A finished sub-buffer was started once: so no more than n_subbufs of them are there to read.
     * (Loaded after read.head, which is an acquire.) */
    if (reach->produced > rchan_load(&block->started) + 1)
        return -EBADMSG;
    if (reach->finished) {
        uint64_t padding = rchan_load(&block->meta[subbuf % channel->n_subbufs].padding);
        reach->end = channel->subbuf_size - padding;
        if (padding > channel->subbuf_size) {
            reach->end = 0;
            if (rchan_still_whole(buffer, subbuf))
                return -EBADMSG;
            reach->started = rchan_load(&block->started);
        }
    }
    return 0;
}

bool rchan_start_known(const struct rchan_buffer *buffer, uint64_t subbuf, uint64_t *records,
                       uint64_t *bytes)
{
    const struct rchan_channel *channel = buffer->channel;
    struct rchan_block *block = buffer->block;
    /* read.start: pairs with switch.head, switch.begin */
    uint64_t produced = rchan_head_produced(channel, rchan_load_acquire(&block->head));
    if (!rchan_start_of(channel, block, produced, subbuf, records, bytes) ||
        !rchan_still_whole(buffer, subbuf))
        return false;
    return rchan_head_produced(channel, rchan_load(&block->head)) == produced;
}
