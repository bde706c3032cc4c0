/* The reader's side. docs/explanation/protocol.md, "Read". */
#include "consume.h"

#include <errno.h>
#include <string.h>

#include "copy.h"
#include "owner.h"
#include "testpoint.h"

enum { MAX_TRIES = 64 }; /* more empty, or overtaken, in a row: nothing, not a hang */

/* Where a read goes: copied to `to`, or, if that is NULL, named in `parts`. */
struct sink {
    uint8_t *to;
    struct iovec *parts;
    uint32_t n_parts, room;
};

/* False: there is no room for another part. */
static bool put(struct sink *sink, const struct rchan_buffer *buffer, const uint8_t *from,
                uint64_t length)
{
    struct iovec *last = sink->n_parts ? &sink->parts[sink->n_parts - 1] : NULL;
    if (sink->to) {
        if (buffer->channel->flags & RCHAN_OVERWRITE)
            rchan_copy_racing(sink->to, from, length);
        else
            rchan_copy(sink->to, from, length);
        sink->to += length;
    } else if (last && (const uint8_t *)last->iov_base + last->iov_len == from) {
        last->iov_len += length;
    } else if (length) {
        if (sink->n_parts == sink->room)
            return false;
        sink->parts[sink->n_parts++] = (struct iovec){(void *)from, length};
    }
    return true;
}

/* Read within one sub-buffer. Bytes; 0: none there; -EAGAIN: overwritten, try again; -ENOBUFS. */
static int64_t read_some(struct rchan_position *at, const struct rchan_reach *reach,
                         struct sink *sink, uint64_t count)
{
    struct rchan_buffer *buffer = at->buffer;
    const struct rchan_channel *channel = buffer->channel;
    uint64_t start = (at->subbuf % channel->n_subbufs) * (uint64_t)channel->subbuf_size;
    if (at->bytes > reach->end)
        return rchan_position_whole(at) ? -EBADMSG : -EAGAIN;
    uint64_t length = reach->end - at->bytes < count ? reach->end - at->bytes : count;
    struct rchan_position before = *at;
    struct sink sink_before = *sink;
    TESTPOINT("read: copying");
    if (!put(sink, buffer, buffer->map + start + at->bytes, length))
        return -ENOBUFS;
    TESTPOINT("read: copied");
    at->bytes += length;
    at->sums.consumed_bytes += length;
    if (reach->finished && at->bytes == reach->end)
        rchan_position_consume_rest(at, reach->end);
    if (rchan_position_whole(&before))
        return (int64_t)length;
    *at = before;
    *sink = sink_before;
    return -EAGAIN;
}

/* More empty or overwritten sub-buffers than this in a row: a memory that does not mean well. */
static uint64_t rounds(const struct rchan_position *at)
{
    return at->buffer->channel->n_subbufs + (uint64_t)MAX_TRIES;
}

/* Bytes, -EBADMSG, or -ENOBUFS: more parts than there is room for. */
static int64_t read_all(struct rchan_position *at, struct sink *sink, uint64_t count)
{
    uint64_t done = 0, idle = 0;
    struct rchan_reach reach;
    while (done < count && idle <= rounds(at)) {
        int result = rchan_position_catch_up(at, &reach);
        if (result)
            return done ? (int64_t)done : result == -EAGAIN ? 0 : result;
        int64_t copied = read_some(at, &reach, sink, count - done);
        if (copied == -ENOBUFS)
            return copied;
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
    struct rchan_position at;
    struct sink sink = {.to = to};
    int result = rchan_reader_own(buffer, buffer->channel->owner_wait_us);
    if (result)
        return result;
    int64_t done = rchan_position_load(buffer, &at);
    if (!done)
        done = read_all(&at, &sink, count);
    if (done >= 0)
        rchan_position_commit(&at);
    rchan_word_give(&buffer->block->reader);
    return done;
}

/* ---- a read that somebody else gets ---- */

static int64_t hold_position(struct rchan_buffer *buffer, uint64_t count, struct rchan_hold *hold,
                             bool copied)
{
    struct sink sink = {.to = copied ? hold->copy : NULL, .parts = hold->parts};
    sink.room = copied ? 0 : RCHAN_HOLD_PARTS;
    int64_t done = rchan_position_load(buffer, &hold->at);
    if (!done)
        done = read_all(&hold->at, &sink, count);
    if (copied)
        hold->parts[0] = (struct iovec){hold->copy, done > 0 ? (size_t)done : 0};
    hold->n_parts = copied ? 1 : sink.n_parts;
    hold->copied = copied;
    return done;
}

/* What was copied counts at once: whoever has it may expect that its place is free. */
static void hold_in_hand(struct rchan_hold *hold)
{
    struct rchan_position *at = &hold->at;
    if (hold->copied) {
        rchan_store(&at->buffer->block->undo, ~at->committed);
        TESTPOINT("hold: noted");
        rchan_position_commit(at);
    }
    hold->fork_count = at->buffer->channel->fork_count;
    hold->buffer = at->buffer;
    TESTPOINT("hold: in hand");
}

int64_t rchan_hold(struct rchan_buffer *buffer, uint64_t count, uint32_t wait_us,
                   struct rchan_hold *hold)
{
    bool copied = buffer->channel->flags & RCHAN_OVERWRITE || count <= RCHAN_HOLD_COPIED;
    hold->buffer = NULL;
    int64_t done = rchan_reader_own(buffer, wait_us);
    if (done)
        return done;
    done = hold_position(buffer, count, hold, copied);
    if (done == -ENOBUFS)
        done = hold_position(buffer, count, hold, true);
    if (done > 0) {
        hold_in_hand(hold);
        return done;
    }
    if (!done)
        rchan_position_commit(&hold->at); /* empty sub-buffers, a lap */
    rchan_word_give(&buffer->block->reader);
    return done;
}

void rchan_hold_end(struct rchan_hold *hold, bool handed_on)
{
    struct rchan_buffer *buffer = hold->buffer;
    hold->buffer = NULL;
    if (!buffer || hold->fork_count != buffer->channel->fork_count)
        return;
    if (hold->copied && handed_on)
        rchan_store(&buffer->block->undo, 0);
    else if (hold->copied)
        rchan_position_undo(buffer);
    else if (handed_on)
        rchan_position_commit(&hold->at);
    TESTPOINT("hold: ended");
    rchan_word_give(&buffer->block->reader);
}

int rchan_settle_lap(struct rchan_buffer *buffer)
{
    struct rchan_position at;
    struct rchan_reach reach;
    rchan_position_settle(buffer);
    int result = rchan_position_load(buffer, &at);
    if (!result)
        result = rchan_position_catch_up(&at, &reach);
    if (!result)
        rchan_position_commit(&at);
    return result;
}

/* ---- whole sub-buffers ---- */

static void describe(const struct rchan_position *at, const struct rchan_reach *reach,
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
    out->tail = rchan_position_word(at);
    out->resets = rchan_load(&buffer->block->resetting) >> 1;
    out->fork_count = channel->fork_count;
}

/* Stand before a finished sub-buffer with something in it. 1; 0: there is none; or an error. */
static int find_finished(struct rchan_position *at, struct rchan_reach *reach)
{
    for (uint64_t round = 0; round <= rounds(at); round++) {
        int result = rchan_position_catch_up(at, reach);
        if (result)
            return result == -EAGAIN ? 0 : result;
        if (!reach->finished)
            return 0;
        if (at->bytes < reach->end)
            return 1;
        struct rchan_position before = *at;
        if (at->bytes == reach->end)
            rchan_position_consume_rest(at, reach->end);
        if (!rchan_position_whole(&before))
            *at = before;
        else if (before.bytes > reach->end)
            return -EBADMSG;
    }
    return 0;
}

int rchan_subbuf_take(struct rchan_buffer *buffer, struct rchan_subbuf *out)
{
    struct rchan_position at;
    struct rchan_reach reach;
    int result = rchan_reader_own(buffer, buffer->channel->owner_wait_us);
    if (result)
        return result;
    memset(out, 0, sizeof *out);
    result = rchan_position_load(buffer, &at);
    if (!result)
        result = find_finished(&at, &reach);
    if (result >= 0)
        rchan_position_commit(&at);
    if (result > 0)
        describe(&at, &reach, out);
    if (result > 0 && !rchan_position_whole(&at))
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
    struct rchan_position at = {.buffer = subbuf->buffer, .subbuf = subbuf->seq};
    subbuf->good = rchan_position_whole(&at);
    return subbuf->good;
}

static bool void_since_fork(const struct rchan_subbuf *subbuf)
{
    return subbuf->fork_count != subbuf->buffer->channel->fork_count;
}

bool rchan_subbuf_give_back(struct rchan_subbuf *subbuf, uint64_t length)
{
    struct rchan_buffer *buffer = subbuf->buffer;
    struct rchan_position at;
    subbuf->buffer = NULL;
    if (!buffer || subbuf->fork_count != buffer->channel->fork_count)
        return false;
    bool valid = rchan_position_load(buffer, &at) == 0 && at.committed == subbuf->tail &&
                 (subbuf->good || rchan_position_whole(&at));
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
        rchan_position_commit(&at);
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
static int skip_to(struct rchan_position *at, uint64_t to)
{
    struct rchan_reach reach;
    struct rchan_position here = *at, there;
    uint64_t records, bytes;
    int result = rchan_position_catch_up(&here, &reach);
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
    struct rchan_position at;
    const struct rchan_channel *channel = buffer->channel;
    if (!count || count > channel->n_subbufs)
        return 0;
    int result = rchan_reader_own(buffer, buffer->channel->owner_wait_us);
    if (result)
        return result;
    result = rchan_position_load(buffer, &at);
    /* read.limit: pairs with switch.head, switch.begin */
    uint64_t produced = rchan_head_produced(channel, rchan_load_acquire(&buffer->block->head));
    uint64_t to = at.subbuf + count < produced ? at.subbuf + count : produced;
    if (!result && to < at.subbuf)
        result = -EBADMSG;
    if (!result && to > at.subbuf) {
        result = skip_to(&at, to);
        for (int tries = 0; result == -EAGAIN && tries < MAX_TRIES; tries++)
            result = skip_to(&at, to);
    }
    if (!result)
        rchan_position_commit(&at);
    rchan_word_give(&buffer->block->reader);
    return result;
}
