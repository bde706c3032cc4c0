/* The reader's side. docs/protocol.md, "Read". */
#include "consume.h"

#include <errno.h>
#include <string.h>

#include "books.h"
#include "buffer.h"
#include "copy.h"
#include "owner.h"
#include "reach.h"
#include "testpoint.h"

enum {
    MAX_LAPS = 64
}; /* overtaken that often in one call: a reader too slow gets nothing, not a hang */

/* Where the reader stands. Private until committed. */
struct position {
    struct rchan_buffer *buffer;
    uint64_t committed; /* the tail word it began with */
    uint64_t subbuf;    /* sub-buffers consumed */
    uint64_t bytes;     /* of sub-buffer `subbuf` */
    struct rchan_sums sums;
};

static int own_reader(struct rchan_buffer *buffer)
{
    struct rchan_channel *channel = buffer->channel;
    struct rchan_block *block = buffer->block;
    if (rchan_word_take(channel, &block->reader, channel->owner_wait_us) == RCHAN_BUSY)
        return -EAGAIN;
    /* reset.check: pairs with reset.start, reset.done */
    if (rchan_likely(!(rchan_load_acquire(&block->resetting) & 1))) {
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

static int position_load(struct rchan_buffer *buffer, struct position *at)
{
    const struct rchan_channel *channel = buffer->channel;
    at->buffer = buffer;
    at->committed = rchan_load(&buffer->block->tail);
    at->subbuf = rchan_head_produced(channel, at->committed);
    at->bytes = rchan_head_offset(channel, at->committed);
    rchan_account_read(rchan_account_at(buffer->block, at->committed), &at->sums);
    return at->bytes > channel->subbuf_size ? -EBADMSG : 0;
}

static uint64_t position_word(const struct position *at)
{
    return rchan_head_word(at->buffer->channel, at->subbuf, at->bytes);
}

static void position_commit(struct position *at)
{
    struct rchan_block *block = at->buffer->block;
    uint64_t tail = position_word(at);
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

static bool still_whole(const struct position *at)
{
    return rchan_still_whole(at->buffer, at->subbuf);
}

static void add_overwritten(struct position *at, uint64_t records, uint64_t bytes)
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
static void lap_to(struct position *at, uint64_t subbuf)
{
    struct position target = *at;
    uint64_t records, bytes;
    target.subbuf = subbuf;
    target.bytes = 0;
    if (!rchan_start_known(target.buffer, target.subbuf, &records, &bytes))
        return;
    TESTPOINT("read: lapping");
    add_overwritten(&target, records, bytes);
    *at = target;
}

/* Bring the position to a sub-buffer that is whole. 0; -EBADMSG; -EAGAIN: overtaken all the time. */
static int catch_up(struct position *at, struct rchan_reach *reach)
{
    for (int laps = 0; laps < MAX_LAPS; laps++) {
        int result = rchan_reach_load(at->buffer, at->subbuf, reach);
        if (result || rchan_whole(at->buffer->channel, at->subbuf, reach->started))
            return result;
        lap_to(at, reach->started - at->buffer->channel->n_subbufs + 1);
    }
    return -EAGAIN;
}

static void consume_rest(struct position *at, uint64_t end)
{
    const struct rchan_channel *channel = at->buffer->channel;
    struct rchan_meta *meta = &at->buffer->block->meta[at->subbuf % channel->n_subbufs];
    at->sums.consumed_bytes += end - at->bytes;
    at->sums.consumed_records += rchan_load(&meta->records);
    at->subbuf++;
    at->bytes = 0;
}

/* Copy within one sub-buffer. Bytes copied; 0: none there; -EAGAIN: overwritten, try again. */
static int64_t read_some(struct position *at, const struct rchan_reach *reach, uint8_t *to,
                         uint64_t count)
{
    struct rchan_buffer *buffer = at->buffer;
    const struct rchan_channel *channel = buffer->channel;
    uint64_t start = (at->subbuf % channel->n_subbufs) * (uint64_t)channel->subbuf_size;
    if (at->bytes > reach->end)
        return still_whole(at) ? -EBADMSG : -EAGAIN;
    uint64_t length = reach->end - at->bytes < count ? reach->end - at->bytes : count;
    struct position before = *at;
    const uint8_t *from = buffer->map + start + at->bytes;
    TESTPOINT("read: copying");
    if (channel->flags & RCHAN_OVERWRITE)
        rchan_copy_racing(to, from, length);
    else
        rchan_copy(to, from, length);
    TESTPOINT("read: copied");
    at->bytes += length;
    at->sums.consumed_bytes += length;
    if (reach->finished && at->bytes == reach->end)
        consume_rest(at, reach->end);
    if (still_whole(&before))
        return (int64_t)length;
    *at = before;
    return -EAGAIN;
}

/* More empty or overwritten sub-buffers than this in a row: a memory that does not mean well. */
static uint64_t rounds(const struct position *at)
{
    return at->buffer->channel->n_subbufs + (uint64_t)MAX_LAPS;
}

static int64_t read_all(struct position *at, uint8_t *to, uint64_t count)
{
    uint64_t done = 0, idle = 0;
    struct rchan_reach reach;
    while (done < count && idle <= rounds(at)) {
        int result = catch_up(at, &reach);
        if (result)
            return done ? (int64_t)done : result == -EAGAIN ? 0 : result;
        int64_t copied = read_some(at, &reach, to + done, count - done);
        if (copied == -EBADMSG)
            return done ? (int64_t)done : copied;
        if (!copied && !reach.finished)
            break;
        idle = copied > 0 ? 0 : idle + 1;
        done += copied > 0 ? (uint64_t)copied : 0;
    }
    return (int64_t)done;
}

int64_t rchan_read(struct rchan_buffer *buffer, void *to, uint64_t count)
{
    struct position at;
    int result = own_reader(buffer);
    if (result)
        return result;
    int64_t done = position_load(buffer, &at);
    if (!done)
        done = read_all(&at, to, count);
    if (done >= 0)
        position_commit(&at);
    rchan_word_give(&buffer->block->reader);
    return done;
}

int rchan_settle_lap(struct rchan_buffer *buffer)
{
    struct position at;
    struct rchan_reach reach;
    int result = position_load(buffer, &at);
    if (!result)
        result = catch_up(&at, &reach);
    if (!result)
        position_commit(&at);
    return result;
}

/* ---- whole sub-buffers ---- */

static void describe(const struct position *at, const struct rchan_reach *reach,
                     struct rchan_subbuf *out)
{
    struct rchan_buffer *buffer = at->buffer;
    const struct rchan_channel *channel = buffer->channel;
    struct rchan_meta *meta = &buffer->block->meta[at->subbuf % channel->n_subbufs];
    out->buffer = buffer;
    out->data = buffer->map + (at->subbuf % channel->n_subbufs) * (uint64_t)channel->subbuf_size +
                at->bytes;
    out->length = reach->end - at->bytes;
    out->skipped = at->bytes;
    out->seq = at->subbuf;
    out->records = rchan_load(&meta->records);
    out->before_records = rchan_load(&meta->start_records);
    out->first_ns = rchan_load(&meta->first_ns);
    out->last_ns = rchan_load(&meta->last_ns);
    for (unsigned cause = 0; cause < RCHAN_DROP_CAUSES; cause++) {
        out->lost_records[cause] = rchan_load(&meta->lost_records[cause]);
        out->lost_bytes[cause] = rchan_load(&meta->lost_bytes[cause]);
    }
    out->tail = position_word(at);
    out->resets = rchan_load(&buffer->block->resetting) >> 1;
    out->fork_count = channel->fork_count;
}

/* Stand before a finished sub-buffer with something in it. 1; 0: there is none; or an error. */
static int find_finished(struct position *at, struct rchan_reach *reach)
{
    for (uint64_t round = 0; round <= rounds(at); round++) {
        int result = catch_up(at, reach);
        if (result)
            return result == -EAGAIN ? 0 : result;
        if (!reach->finished)
            return 0;
        if (at->bytes < reach->end)
            return 1;
        struct position before = *at;
        if (at->bytes == reach->end)
            consume_rest(at, reach->end);
        if (!still_whole(&before))
            *at = before;
        else if (before.bytes > reach->end)
            return -EBADMSG;
    }
    return 0;
}

int rchan_subbuf_take(struct rchan_buffer *buffer, struct rchan_subbuf *out)
{
    struct position at;
    struct rchan_reach reach;
    int result = own_reader(buffer);
    if (result)
        return result;
    memset(out, 0, sizeof *out);
    result = position_load(buffer, &at);
    if (!result)
        result = find_finished(&at, &reach);
    if (result >= 0)
        position_commit(&at);
    if (result > 0)
        describe(&at, &reach, out);
    if (result > 0 && !still_whole(&at))
        result = 0; /* overtaken while it was described: the next call laps */
    if (result > 0) {
        out->overwritten_records = at.sums.overwritten_records;
        out->overwritten_bytes = at.sums.overwritten_bytes;
        TESTPOINT("take: taken");
    } else {
        rchan_word_give(&buffer->block->reader);
    }
    return result;
}

bool rchan_subbuf_whole(struct rchan_subbuf *subbuf)
{
    struct position at = {.buffer = subbuf->buffer, .subbuf = subbuf->seq};
    subbuf->good = still_whole(&at);
    return subbuf->good;
}

static bool void_since_fork(const struct rchan_subbuf *subbuf)
{
    return subbuf->fork_count != subbuf->buffer->channel->fork_count;
}

bool rchan_subbuf_give_back(struct rchan_subbuf *subbuf, uint64_t length)
{
    struct rchan_buffer *buffer = subbuf->buffer;
    struct position at;
    subbuf->buffer = NULL;
    if (!buffer || subbuf->fork_count != buffer->channel->fork_count)
        return false;
    bool valid = position_load(buffer, &at) == 0 && at.committed == subbuf->tail &&
                 (subbuf->good || still_whole(&at));
    if (valid && length >= subbuf->length) {
        at.sums.consumed_bytes += subbuf->length;
        at.sums.consumed_records += subbuf->records;
        at.subbuf++;
        at.bytes = 0;
    } else if (valid) {
        at.sums.consumed_bytes += length;
        at.bytes += length;
    }
    if (valid)
        position_commit(&at);
    rchan_word_give(&buffer->block->reader);
    return valid;
}

void rchan_subbuf_put_down(struct rchan_subbuf *subbuf)
{
    struct rchan_buffer *buffer = subbuf->buffer;
    TESTPOINT("take: putting down");
    if (buffer && !void_since_fork(subbuf))
        rchan_word_give(&buffer->block->reader);
    subbuf->buffer = NULL;
}

/* ---- relay_subbufs_consumed ---- */

/* Past everything up to sub-buffer `to`: what is still there counts as consumed. */
static int skip_to(struct position *at, uint64_t to)
{
    struct rchan_reach reach;
    struct position here = *at, there;
    uint64_t records, bytes;
    int result = catch_up(&here, &reach);
    if (result)
        return result;
    there = here;
    there.subbuf = to;
    there.bytes = 0;
    if (to > here.subbuf) {
        if (!rchan_start_known(there.buffer, there.subbuf, &records, &bytes))
            return -EAGAIN;
        struct rchan_sums *sums = &there.sums;
        sums->consumed_records = records - sums->overwritten_records - sums->discarded_records;
        sums->consumed_bytes = bytes - sums->overwritten_bytes - sums->discarded_bytes;
    }
    *at = there;
    return 0;
}

int rchan_subbufs_consumed(struct rchan_buffer *buffer, uint64_t count)
{
    struct position at;
    const struct rchan_channel *channel = buffer->channel;
    if (!count || count > channel->n_subbufs)
        return 0;
    int result = own_reader(buffer);
    if (result)
        return result;
    result = position_load(buffer, &at);
    /* read.limit: pairs with switch.head, switch.begin */
    uint64_t produced = rchan_head_produced(channel, rchan_load_acquire(&buffer->block->head));
    uint64_t to = at.subbuf + count < produced ? at.subbuf + count : produced;
    if (!result && to < at.subbuf)
        result = -EBADMSG;
    if (!result && to > at.subbuf) {
        result = skip_to(&at, to);
        for (int tries = 0; result == -EAGAIN && tries < MAX_LAPS; tries++)
            result = skip_to(&at, to);
    }
    if (!result)
        position_commit(&at);
    rchan_word_give(&buffer->block->reader);
    return result;
}
