/* What a look at a buffer says, without taking anything: poll, full, empty. */
#include "buffer.h"
#include "consume.h"
#include "owner.h"
#include "testpoint.h"

/* Something of an unfinished sub-buffer that a writer woke readers for, and nobody has read. */
static bool announced(const struct rchan_buffer *buffer)
{
    struct rchan_block *block = buffer->block;
    /* poll.announced: pairs with announce.store */
    uint64_t word = rchan_load_acquire(&block->announced);
    return word > rchan_load(&block->tail) && word <= rchan_load(&block->head);
}

static uint64_t unread_subbufs(const struct rchan_buffer *buffer)
{
    const struct rchan_channel *channel = buffer->channel;
    /* `tail` first: a newer one than `head` would be beyond it. */
    /* poll.tail: pairs with read.commit, undo.tail */
    uint64_t consumed = rchan_head_produced(channel, rchan_load_acquire(&buffer->block->tail));
    TESTPOINT("poll: looking");
    /* poll.head: pairs with write.head, commit.head, switch.head, switch.begin */
    uint64_t produced = rchan_head_produced(channel, rchan_load_acquire(&buffer->block->head));
    return produced > consumed ? produced - consumed : 0; /* less: a reset came between */
}

bool rchan_buffer_finalized(const struct rchan_buffer *buffer)
{
    struct rchan_channel *channel = buffer->channel;
    /* poll.finalized: pairs with finalize.store */
    if (rchan_load_acquire(&buffer->block->finalized))
        return true;
    if (!(rchan_load(&channel->header->gate) & RCHAN_GATE_FINALIZED))
        return false;
    uint64_t owner = rchan_load(&buffer->block->owner);
    if (owner && !rchan_owner_dead(channel, owner))
        return false;
    /* Swapped for itself: who takes it after that finds the gate shut. A look alone would not do: a
     * writer that is just taking it may have looked at the gate before. */
    /* poll.owner: pairs with word.give, write.take, word.take, word.takeover */
    return rchan_swap_word(&buffer->block->owner, owner, owner);
}

uint32_t rchan_poll(const struct rchan_buffer *buffer)
{
    if (rchan_buffer_finalized(buffer))
        return RCHAN_POLLERR;
    return unread_subbufs(buffer) || announced(buffer) ? RCHAN_POLLIN | RCHAN_POLLRDNORM : 0;
}

bool rchan_buffer_is_full(const struct rchan_buffer *buffer)
{
    return unread_subbufs(buffer) >= buffer->channel->n_subbufs;
}

bool rchan_buffer_is_empty(const struct rchan_buffer *buffer)
{
    return unread_subbufs(buffer) == 0;
}
