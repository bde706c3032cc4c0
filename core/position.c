/* Where a reader stands: its word, its position, laps, the commit. docs/explanation/protocol.md, "Read". */
#include "position.h"

#include <errno.h>

#include "buffer.h"
#include "owner.h"
#include "testpoint.h"

enum {
    MAX_LAPS = 64
}; /* overtaken that often in one call: a reader too slow gets nothing, not a hang */

/* An account of that tail is there, and it is where a reader may have been. */
static bool may_go_back(const struct rchan_buffer *buffer, uint64_t before)
{
    const struct rchan_channel *channel = buffer->channel;
    uint64_t tail = rchan_load(&buffer->block->tail);
    return rchan_load(&rchan_account_at(buffer->block, before)->tail) == before && before < tail &&
           rchan_head_offset(channel, before) <= channel->subbuf_size;
}

/* The account that is not the present tail's says what never was: the books of a reset whose maker
 * died take the larger sums of the two. */
static void forget_other(struct rchan_block *block)
{
    struct rchan_account *valid = rchan_account_at(block, rchan_load(&block->tail));
    struct rchan_account *other = &block->account[valid == &block->account[0]];
    /* account.fence: pairs with books.fence, unread.fence */
    rchan_store_fence();
    rchan_store(&other->consumed_records, 0);
    rchan_store(&other->consumed_bytes, 0);
    rchan_store(&other->overwritten_records, 0);
    rchan_store(&other->overwritten_bytes, 0);
    rchan_store(&other->discarded_records, 0);
    rchan_store(&other->discarded_bytes, 0);
}

void rchan_position_undo(struct rchan_buffer *buffer)
{
    struct rchan_block *block = buffer->block;
    uint64_t note = rchan_load(&block->undo);
    if (rchan_likely(!note))
        return;
    if (may_go_back(buffer, ~note)) {
        /* undo.tail: pairs with switch.tail, books.tail, poll.tail, tap.tail */
        rchan_store_release(&block->tail, ~note);
    }
    TESTPOINT("undo: tail stored");
    /* undo.count: pairs with books.undone, tap.undone */
    rchan_store_release(&block->undone, rchan_load(&block->undone) + 1);
    forget_other(block);
    rchan_store(&block->undo, 0);
}

void rchan_position_settle(struct rchan_buffer *buffer)
{
    rchan_position_undo(buffer);
    forget_other(buffer->block); /* also that of a reader who was killed before its `tail` */
}

int rchan_reader_own(struct rchan_buffer *buffer, uint32_t wait_us)
{
    struct rchan_channel *channel = buffer->channel;
    struct rchan_block *block = buffer->block;
    if (rchan_word_take(channel, &block->reader, wait_us) == RCHAN_BUSY)
        return -EAGAIN;
    /* reset.check: pairs with reset.start, reset.done */
    if (rchan_likely(!(rchan_load_acquire(&block->resetting) & 1))) {
        rchan_position_undo(buffer);
        TESTPOINT("read: reader taken");
        return 0;
    }
    /* A reset is going on, or its maker died: then taking the owner word over ends it. */
    rchan_word_give(&block->reader);
    TESTPOINT("read: reset found");
    int result = rchan_buffer_own(buffer);
    if (!result)
        rchan_word_give(&block->owner);
    return -EAGAIN;
}

int rchan_position_load(struct rchan_buffer *buffer, struct rchan_position *at)
{
    const struct rchan_channel *channel = buffer->channel;
    at->buffer = buffer;
    at->committed = rchan_load(&buffer->block->tail);
    at->subbuf = rchan_head_produced(channel, at->committed);
    at->bytes = rchan_head_offset(channel, at->committed);
    rchan_account_read(rchan_account_at(buffer->block, at->committed), &at->sums);
    return at->bytes > channel->subbuf_size ? -EBADMSG : 0;
}

void rchan_position_commit(struct rchan_position *at)
{
    struct rchan_block *block = at->buffer->block;
    uint64_t tail = rchan_position_word(at);
    if (tail == at->committed)
        return;
    struct rchan_account *valid = rchan_account_at(block, at->committed);
    struct rchan_account *next = &block->account[valid == &block->account[0]];
    /* account.fence: pairs with books.fence, unread.fence */
    rchan_store_fence();
    rchan_store(&next->consumed_records, at->sums.consumed_records);
    rchan_store(&next->consumed_bytes, at->sums.consumed_bytes);
    rchan_store(&next->overwritten_records, at->sums.overwritten_records);
    rchan_store(&next->overwritten_bytes, at->sums.overwritten_bytes);
    rchan_store(&next->discarded_records, at->sums.discarded_records);
    rchan_store(&next->discarded_bytes, at->sums.discarded_bytes);
    rchan_store(&next->tail, tail);
    TESTPOINT("read: account stored");
    /* read.commit: pairs with switch.tail, books.tail, poll.tail, tap.tail */
    rchan_store_release(&block->tail, tail);
    at->committed = tail;
    TESTPOINT("read: committed");
}

bool rchan_position_whole(const struct rchan_position *at)
{
    return rchan_still_whole(at->buffer, at->subbuf);
}

static void add_overwritten(struct rchan_position *at, uint64_t records, uint64_t bytes)
{
    struct rchan_sums *sums = &at->sums;
    uint64_t gone = sums->consumed_records + sums->overwritten_records + sums->discarded_records;
    if ((int64_t)(records - gone) > 0)
        sums->overwritten_records += records - gone;
    gone = sums->consumed_bytes + sums->overwritten_bytes + sums->discarded_bytes;
    if ((int64_t)(bytes - gone) > 0)
        sums->overwritten_bytes += bytes - gone;
}

/* What lies between the account and the start of `subbuf` was overwritten. */
static void lap_to(struct rchan_position *at, uint64_t subbuf)
{
    struct rchan_position target = *at;
    uint64_t records, bytes;
    target.subbuf = subbuf;
    target.bytes = 0;
    if (!rchan_start_known(target.buffer, target.subbuf, &records, &bytes))
        return;
    TESTPOINT("read: lapping");
    add_overwritten(&target, records, bytes);
    *at = target;
}

int rchan_position_catch_up(struct rchan_position *at, struct rchan_reach *reach)
{
    for (int laps = 0; laps < MAX_LAPS; laps++) {
        int result = rchan_reach_load(at->buffer, at->subbuf, reach);
        if (result || rchan_whole(at->buffer->channel, at->subbuf, reach->started))
            return result;
        lap_to(at, reach->started - at->buffer->channel->n_subbufs + 1);
    }
    return -EAGAIN;
}

void rchan_position_consume_rest(struct rchan_position *at, uint64_t end)
{
    const struct rchan_channel *channel = at->buffer->channel;
    struct rchan_meta *meta = &at->buffer->block->meta[at->subbuf % channel->n_subbufs];
    at->sums.consumed_bytes += end - at->bytes;
    at->sums.consumed_records += rchan_load(&meta->records);
    at->subbuf++;
    at->bytes = 0;
}
