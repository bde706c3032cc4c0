/* Operations on a whole buffer by the holder of its owner word: flush, reset, begin, finalize, repair. */
#include <errno.h>

#include "books.h"
#include "buffer.h"
#include "consume.h"
#include "notice.h"
#include "owner.h"
#include "packet.h"
#include "ring.h"
#include "switch.h"
#include "testpoint.h"
#include "wait.h"

/* The owner word, and sub-buffer 0 started. 0 or a negative errno. */
static int own_begun(struct rchan_buffer *buffer, struct rchan_notice *notice)
{
    int result = rchan_buffer_own(buffer);
    if (!result && !rchan_load(&buffer->block->begun))
        rchan_start_first(buffer, notice);
    TESTPOINT("flush: owner taken");
    return result;
}

/* Unless a callback forked and we are the child: then the word is the parent's. */
static void give_unless_forked(struct rchan_buffer *buffer, uint32_t forks,
                               const struct rchan_notice *notice)
{
    if (buffer->channel->fork_count == forks)
        rchan_give_owner(buffer, notice);
}

int rchan_buffer_flush(struct rchan_buffer *buffer)
{
    struct rchan_notice notice = {.flushed = true};
    uint32_t forks = buffer->channel->fork_count;
    int result = own_begun(buffer, &notice);
    if (result)
        return result;
    if (buffer->channel->fork_count != forks)
        return 0;
    uint64_t head = rchan_load(&buffer->block->head);
    enum rchan_switch turned = rchan_switch_subbuf(buffer, head, &head, &notice);
    give_unless_forked(buffer, forks, &notice);
    return turned == RCHAN_SWITCH_CORRUPT ? -EBADMSG : 0;
}

/* Owner word held: a record in the current sub-buffer, and bytes that no reader has had? */
static bool has_unread(const struct rchan_buffer *buffer, uint64_t head)
{
    const struct rchan_channel *channel = buffer->channel;
    uint64_t offset = rchan_head_offset(channel, head), tail = rchan_load(&buffer->block->tail);
    return offset <= channel->subbuf_size && rchan_load(&buffer->block->begun) &&
           rchan_load(&buffer->block->pending) >> channel->shift && tail != head;
}

int rchan_buffer_finish(struct rchan_buffer *buffer, uint64_t subbuf)
{
    struct rchan_notice notice = {.flushed = true};
    int result = rchan_buffer_own(buffer);
    if (result)
        return result;
    TESTPOINT("finish: owner taken");
    uint64_t head = rchan_load(&buffer->block->head);
    bool wanted = subbuf == UINT64_MAX || rchan_head_produced(buffer->channel, head) == subbuf;
    bool due = wanted && has_unread(buffer, head);
    if (due) {
        const struct rchan_channel *channel = buffer->channel;
        rchan_finish_subbuf(buffer, head, &notice);
        /* The client's subbuf_start is asked by the next writer, who is told what it says. */
        notice.became_full = !(channel->flags & RCHAN_OVERWRITE) && !channel->hooks.subbuf_start &&
                             rchan_buffer_is_full(buffer);
        notice.full_subbuf = notice.delivered_subbuf;
    }
    rchan_give_owner(buffer, &notice);
    return due;
}

int rchan_buffer_begin(struct rchan_buffer *buffer)
{
    struct rchan_notice notice = {0};
    uint32_t forks = buffer->channel->fork_count;
    int result = own_begun(buffer, &notice);
    if (!result)
        give_unless_forked(buffer, forks, &notice);
    return result;
}

int rchan_buffer_finalize(struct rchan_buffer *buffer)
{
    int result = rchan_buffer_own(buffer);
    TESTPOINT("finalize: owner taken");
    /* finalize.store: pairs with poll.finalized */
    rchan_store_release(&buffer->block->finalized, 1);
    TESTPOINT("finalize: stored");
    if (!result)
        rchan_word_give(&buffer->block->owner);
    rchan_wake(&buffer->block->wake);
    return result;
}

/* ---- reset ---- */

static void reset_account(struct rchan_block *block)
{
    struct rchan_sums sums;
    rchan_account_read(rchan_account_at(block, rchan_load(&block->tail)), &sums);
    uint64_t records =
        rchan_load(&block->reset_records) - sums.consumed_records - sums.overwritten_records;
    uint64_t bytes = rchan_load(&block->reset_bytes) - sums.consumed_bytes - sums.overwritten_bytes;
    for (int i = 0; i < 2; i++) {
        struct rchan_account *account = &block->account[i];
        rchan_store(&account->consumed_records, sums.consumed_records);
        rchan_store(&account->consumed_bytes, sums.consumed_bytes);
        rchan_store(&account->overwritten_records, sums.overwritten_records);
        rchan_store(&account->overwritten_bytes, sums.overwritten_bytes);
        rchan_store(&account->discarded_records, records);
        rchan_store(&account->discarded_bytes, bytes);
    }
}

/* From the top, however far a killed one came: every step may be done again. */
static void finish_reset(struct rchan_buffer *buffer)
{
    struct rchan_block *block = buffer->block;
    reset_account(block);
    TESTPOINT("reset: accounts stored");
    for (uint32_t i = 0; i < buffer->channel->n_subbufs; i++)
        rchan_store(&block->meta[i].padding, 0);
    rchan_store(&block->total_records[0], rchan_load(&block->reset_records));
    rchan_store(&block->total_bytes[0], rchan_load(&block->reset_bytes));
    rchan_store(&block->unfinished_bytes, rchan_load(&block->reset_unfinished));
    rchan_store(&block->packets_before, rchan_load(&block->reset_packets));
    rchan_store(&block->announced, 0);
    rchan_store(&block->announced_records, rchan_load(&block->reset_records));
    rchan_store(&block->announced_bytes, rchan_load(&block->reset_bytes));
    rchan_store(&block->begun, 0);
    rchan_store(&block->pending, 0);
    rchan_store(&block->started, 0);
    rchan_store(&block->account[0].tail, 0);
    rchan_store(&block->account[1].tail, 0);
    rchan_store(&block->tail, 0);
    TESTPOINT("reset: tail stored");
    rchan_store(&block->head, 0);
    TESTPOINT("reset: head stored");
    /* reset.done: pairs with reset.check, books.resetting, tap.resetting */
    rchan_store_release(&block->resetting, (rchan_load(&block->resetting) | 1) + 1);
}

static int start_reset(struct rchan_buffer *buffer)
{
    struct rchan_block *block = buffer->block;
    uint64_t at, records, bytes;
    if (!rchan_written(buffer->channel, block, &at, &records, &bytes))
        return -EBADMSG;
    rchan_store(&block->reset_records, records);
    rchan_store(&block->reset_bytes, bytes);
    uint64_t offset = rchan_head_offset(buffer->channel, at);
    rchan_store(&block->reset_unfinished, rchan_load(&block->unfinished_bytes) +
                                              (offset > buffer->channel->subbuf_size ? 0 : offset));
    rchan_store(&block->reset_packets, rchan_packets_begun(buffer, at));
    TESTPOINT("reset: sums stored");
    /* reset.start: pairs with reset.check, books.resetting, tap.resetting */
    rchan_store_release(&block->resetting, rchan_load(&block->resetting) | 1);
    /* reset.fence: pairs with tap.fence, books.fence */
    rchan_full_fence();
    TESTPOINT("reset: started");
    finish_reset(buffer);
    return 0;
}

int rchan_buffer_reset(struct rchan_buffer *buffer)
{
    struct rchan_channel *channel = buffer->channel;
    int result = rchan_buffer_own(buffer);
    if (result)
        return result;
    result = -EBUSY;
    if (rchan_word_take(channel, &buffer->block->reader, channel->owner_wait_us) != RCHAN_BUSY) {
        TESTPOINT("reset: words taken");
        result = rchan_settle_lap(buffer);
        if (!result)
            result = start_reset(buffer);
        TESTPOINT("reset: done");
        rchan_word_give(&buffer->block->reader);
    }
    rchan_word_give(&buffer->block->owner);
    if (result)
        return result;
    rchan_wake(&buffer->block->wake);
    rchan_wake_channel(channel);
    return rchan_buffer_begin(buffer);
}

/* ---- what a dead owner left ---- */

static void repair_pending(struct rchan_buffer *buffer, uint64_t offset)
{
    uint32_t shift = buffer->channel->shift;
    uint64_t pending = rchan_load(&buffer->block->pending), records = pending >> shift;
    if ((pending & buffer->channel->offset_mask) == offset)
        return;
    if (records)
        records--;
    rchan_store(&buffer->block->pending, records << shift | offset);
}

int rchan_buffer_repair(struct rchan_buffer *buffer)
{
    struct rchan_channel *channel = buffer->channel;
    struct rchan_block *block = buffer->block;
    TESTPOINT("owner: taken over");
    if (rchan_load(&block->resetting) & 1) {
        if (rchan_word_take(channel, &block->reader, 0) == RCHAN_BUSY)
            return -EBUSY;
        finish_reset(buffer);
        rchan_word_give(&block->reader);
    }
    uint64_t offset = rchan_head_offset(channel, rchan_load(&block->head));
    if (offset > channel->full)
        return -EBADMSG;
    if (offset != channel->full && rchan_load(&block->begun))
        repair_pending(buffer, offset);
    /* It may have finished a sub-buffer and told nobody. */
    rchan_wake(&block->wake);
    rchan_wake_channel(channel);
    return 0;
}
