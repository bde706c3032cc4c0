/* Announcing news to sleeping readers. docs/explanation/protocol.md, "Sleep and wake". */
#include "announce.h"

#include "growth.h"
#include "ring.h"
#include "testpoint.h"
#include "wait.h"

/* A gate that never stands still is damaged memory. */
enum { TRIES = 1000 };

void rchan_ask_for_wakeup(struct rchan_buffer *buffer, struct rchan_notice *notice)
{
    struct rchan_header *header = buffer->channel->header;
    /* news.fence: pairs with sleep.fence, bells.fence */
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

struct written {
    uint64_t records, bytes;
};

/* All that was ever written to the buffer; goes on over resets. */
static struct written written(const struct rchan_buffer *buffer, uint64_t head)
{
    const struct rchan_channel *channel = buffer->channel;
    struct rchan_block *block = buffer->block;
    unsigned now = rchan_head_produced(channel, head) & 1;
    uint64_t offset = rchan_head_offset(channel, head);
    struct written sum = {rchan_load(&block->total_records[now]),
                          rchan_load(&block->total_bytes[now])};
    if (offset == channel->full)
        return sum;
    sum.records += rchan_load(&block->pending) >> channel->shift;
    sum.bytes += offset;
    return sum;
}

static bool due(const struct rchan_block *block, struct written sum, uint32_t gate)
{
    uint64_t since = gate & RCHAN_GATE_BYTES ? sum.bytes - rchan_load(&block->announced_bytes)
                                             : sum.records - rchan_load(&block->announced_records);
    return since >= gate >> RCHAN_GATE_COUNT_SHIFT;
}

static void count_announced(struct rchan_block *block, struct written sum)
{
    rchan_store(&block->announced_records, sum.records);
    rchan_store(&block->announced_bytes, sum.bytes);
}

void rchan_announce(struct rchan_buffer *buffer, struct rchan_notice *notice, bool anyway)
{
    struct rchan_block *block = buffer->block;
    uint32_t gate = rchan_load(&buffer->channel->header->gate);
    uint64_t head = rchan_load(&block->head);
    struct written sum = written(buffer, head);
    if (!anyway && (!(gate & RCHAN_GATE_ANNOUNCE) || !due(block, sum, gate)))
        return;
    /* announce.store: pairs with poll.announced */
    rchan_store_release(&block->announced, head);
    TESTPOINT("announce: stored");
    /* Counted last: who is killed in between has the next one announce it again. */
    count_announced(block, sum);
    TESTPOINT("announce: counted");
    rchan_ask_for_wakeup(buffer, notice);
}

/* A watermark holds back finished sub-buffers until half of the buffer is unread. */
static bool half_unread(const struct rchan_buffer *buffer, uint64_t head)
{
    const struct rchan_channel *channel = buffer->channel;
    uint64_t consumed = rchan_head_produced(channel, rchan_load(&buffer->block->tail));
    return rchan_head_produced(channel, head) - consumed >= (channel->n_subbufs + 1) / 2;
}

void rchan_announce_switch(struct rchan_buffer *buffer, struct rchan_notice *notice)
{
    struct rchan_block *block = buffer->block;
    uint32_t gate = rchan_load(&buffer->channel->header->gate);
    uint64_t head = rchan_load(&block->head);
    struct written sum = written(buffer, head);
    if (gate & RCHAN_GATE_ANNOUNCE && !notice->flushed && !due(block, sum, gate) &&
        !half_unread(buffer, head))
        return;
    count_announced(block, sum);
    if (!(gate & RCHAN_GATE_NEVER))
        rchan_ask_for_wakeup(buffer, notice);
}

uint32_t rchan_wakeup_mode(const struct rchan_channel *channel)
{
    return rchan_load(&channel->header->gate) & ~(uint32_t)RCHAN_GATE_FIXED;
}

bool rchan_wakeup_set(struct rchan_channel *channel, uint32_t mode)
{
    rchan_a32 *gate = &channel->header->gate;
    bool set = false;
    for (int tries = 0; tries < TRIES && !set; tries++) {
        uint32_t before = rchan_load(gate);
        set = rchan_swap_half(gate, before, (before & RCHAN_GATE_FIXED) | mode);
    }
    for (uint32_t i = 0; i < channel->n_buffers; i++)
        if (rchan_bit(channel->header->present, i))
            rchan_wake(&channel->buffers[i].block->wake);
    rchan_wake_channel(channel);
    return set;
}
