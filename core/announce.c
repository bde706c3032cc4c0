/* Announcing news to sleeping readers. docs/protocol.md, "Sleep and wake". */
#include "announce.h"

#include "bell.h"
#include "growth.h"
#include "testpoint.h"
#include "wait.h"

void rchan_ask_for_wakeup(struct rchan_buffer *buffer, struct rchan_notice *notice)
{
    struct rchan_header *header = buffer->channel->header;
    /* news.fence: pairs with sleep.fence */
    rchan_full_fence();
    if (rchan_wake_wanted(&buffer->block->wake)) {
        rchan_store(&buffer->block->wakeups, rchan_load(&buffer->block->wakeups) + 1);
        rchan_wake_ask(&buffer->block->wake);
        notice->wake = true;
    }
    if (rchan_wake_wanted(&header->wake)) {
        rchan_wake_ask(&header->wake);
        notice->wake = true;
    }
    TESTPOINT("wake: asked");
}

/* Records (or bytes) of this sub-buffer since the last announcement, or since its start. */
static uint64_t unannounced(const struct rchan_buffer *buffer, uint64_t head, uint32_t gate)
{
    const struct rchan_channel *channel = buffer->channel;
    struct rchan_block *block = buffer->block;
    uint64_t before = rchan_load(&block->announced);
    bool same = rchan_head_produced(channel, before) == rchan_head_produced(channel, head);
    if (gate & RCHAN_GATE_BYTES)
        return rchan_head_offset(channel, head) - (same ? rchan_head_offset(channel, before) : 0);
    uint64_t records = rchan_load(&block->pending) >> channel->shift;
    return records - (same ? rchan_load(&block->announced_records) : 0);
}

void rchan_announce(struct rchan_buffer *buffer, struct rchan_notice *notice, bool anyway)
{
    struct rchan_block *block = buffer->block;
    uint32_t gate = rchan_load(&buffer->channel->header->gate);
    uint64_t head = rchan_load(&block->head);
    if (!anyway && (!(gate & RCHAN_GATE_ANNOUNCE) ||
                    unannounced(buffer, head, gate) < gate >> RCHAN_GATE_COUNT_SHIFT))
        return;
    rchan_store(&block->announced_records, rchan_load(&block->pending) >> buffer->channel->shift);
    TESTPOINT("announce: counted");
    /* announce.store: pairs with poll.announced */
    rchan_store_release(&block->announced, head);
    TESTPOINT("announce: stored");
    rchan_ask_for_wakeup(buffer, notice);
}

uint32_t rchan_wakeup_mode(const struct rchan_channel *channel)
{
    return rchan_load(&channel->header->gate) & ~(uint32_t)RCHAN_GATE_SHUT;
}

void rchan_wakeup_set(struct rchan_channel *channel, uint32_t mode)
{
    rchan_a32 *gate = &channel->header->gate;
    uint32_t before = rchan_load(gate);
    while (!rchan_swap_half(gate, before, (before & RCHAN_GATE_SHUT) | mode))
        before = rchan_load(gate);
    for (uint32_t i = 0; i < channel->n_buffers; i++)
        if (rchan_bit(channel->header->present, i))
            rchan_wake(&channel->buffers[i].block->wake);
    rchan_wake_channel(channel);
}
