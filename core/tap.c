/* Reading along without consuming. docs/explanation/protocol.md, "Tap". */
#include "tap.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "reach.h"
#include "testpoint.h"

/* Overtaken that often in one call: a tap too slow gets nothing, not a hang. */
enum { MAX_LAPS = 64 };

static uint32_t resets_of(const struct rchan_buffer *buffer)
{
    /* tap.resetting: pairs with reset.start, reset.done */
    return rchan_load_acquire(&buffer->block->resetting);
}

/* After what was read: was there no reset meanwhile? */
static bool no_reset_since(const struct rchan_buffer *buffer, uint32_t resets)
{
    /* tap.fence: pairs with reset.fence */
    rchan_load_fence();
    return rchan_load(&buffer->block->resetting) == resets;
}

static uint64_t oldest_whole(const struct rchan_channel *channel, uint64_t started)
{
    return started < channel->n_subbufs ? 0 : started - channel->n_subbufs + 1;
}

/* ---- where it begins ---- */

/* Sums that left through the reader's side are those before its sub-buffer. 1, 0: again, -EBADMSG. */
static int start_unread(struct rchan_tap *tap)
{
    const struct rchan_channel *channel = tap->buffer->channel;
    struct rchan_block *block = tap->buffer->block;
    struct rchan_sums sums;
    /* tap.undone: pairs with undo.count */
    uint64_t undone = rchan_load_acquire(&block->undone);
    /* tap.tail: pairs with read.commit, undo.tail */
    uint64_t tail = rchan_load_acquire(&block->tail), offset = rchan_head_offset(channel, tail);
    TESTPOINT("tap: tail read");
    rchan_account_read(rchan_account_at(block, tail), &sums);
    TESTPOINT("tap: account read");
    /* unread.fence: pairs with account.fence */
    rchan_load_fence();
    if (rchan_load(&block->tail) != tail || rchan_load(&block->undone) != undone)
        return 0;
    if (offset > channel->subbuf_size)
        return -EBADMSG;
    tap->next = rchan_head_produced(channel, tail);
    tap->records = sums.consumed_records + sums.overwritten_records + sums.discarded_records;
    tap->bytes = sums.consumed_bytes + sums.overwritten_bytes + sums.discarded_bytes - offset;
    return 1;
}

static int start_at(struct rchan_tap *tap, enum rchan_tap_from from)
{
    const struct rchan_channel *channel = tap->buffer->channel;
    struct rchan_reach reach;
    if (from == RCHAN_TAP_UNREAD)
        return start_unread(tap);
    int result = rchan_reach_load(tap->buffer, 0, &reach);
    if (result)
        return result;
    tap->next = from == RCHAN_TAP_NOW ? reach.produced : oldest_whole(channel, reach.started);
    return rchan_start_known(tap->buffer, tap->next, &tap->records, &tap->bytes);
}

/* A reset is under way, or its maker died: all that was written is gone. */
static void start_in_reset(struct rchan_tap *tap, uint32_t resets)
{
    tap->next = 0;
    tap->records = rchan_load(&tap->buffer->block->reset_records);
    tap->bytes = rchan_load(&tap->buffer->block->reset_bytes);
    tap->resets = (resets | 1) + 1;
}

int rchan_tap_start(struct rchan_buffer *buffer, enum rchan_tap_from from, struct rchan_tap *tap)
{
    int result = 0;
    memset(tap, 0, sizeof *tap);
    tap->buffer = buffer;
    for (int tries = 0; tries < RCHAN_TRIES; tries++) {
        tap->resets = resets_of(buffer);
        TESTPOINT("tap: starting");
        result = tap->resets & 1 ? 0 : start_at(tap, from);
        if (no_reset_since(buffer, tap->resets) && result)
            return result < 0 ? result : 0;
        rchan_pause();
    }
    if (!(tap->resets & 1))
        return -EAGAIN;
    start_in_reset(tap, tap->resets);
    return 0;
}

/* ---- where it ends ---- */

/* True: go on. Numbers begin at 0 again; a cut has lost its end. */
static bool follow_reset(struct rchan_tap *tap, uint32_t resets)
{
    if (resets & 1 || (tap->cut && resets != tap->resets))
        return false;
    if (resets != tap->resets) {
        tap->resets = resets;
        tap->next = 0;
        tap->was_reset = true;
    }
    return true;
}

int rchan_tap_cut(struct rchan_tap *tap, struct rchan_books *books)
{
    struct rchan_books own;
    const struct rchan_channel *channel = tap->buffer->channel;
    if (!books)
        books = &own;
    for (int tries = 0; tries < RCHAN_TRIES; tries++) {
        uint32_t resets = resets_of(tap->buffer);
        int result = rchan_buffer_books(tap->buffer, books);
        TESTPOINT("tap: cutting");
        if (!no_reset_since(tap->buffer, resets))
            continue;
        if (result)
            return result;
        follow_reset(tap, resets);
        tap->cut = true;
        tap->end_subbuf = books->subbufs_produced;
        tap->end_offset = books->offset > channel->subbuf_size ? 0 : books->offset;
        tap->end_records = books->written_records;
        tap->end_bytes = books->written_bytes;
        tap->end_ns = rchan_now_ns();
        return 0;
    }
    return -EAGAIN;
}

struct rchan_loss rchan_tap_rest(const struct rchan_tap *tap)
{
    struct rchan_loss rest = tap->missed;
    uint64_t end = tap->end_subbuf + (tap->end_offset != 0);
    if ((int64_t)(end - tap->next) > 0)
        rest.subbufs += end - tap->next;
    if ((int64_t)(tap->end_records - tap->records) > 0)
        rest.records += tap->end_records - tap->records;
    if ((int64_t)(tap->end_bytes - tap->bytes) > 0)
        rest.bytes += tap->end_bytes - tap->bytes;
    return rest;
}

/* ---- one sub-buffer ---- */

static void describe(const struct rchan_tap *tap, uint64_t subbuf, const struct rchan_reach *reach,
                     struct rchan_copy *copy)
{
    struct rchan_meta *meta = &tap->buffer->block->meta[subbuf % tap->buffer->channel->n_subbufs];
    copy->seq = subbuf;
    copy->length = reach->end;
    copy->records = rchan_load(&meta->records);
    copy->first_ns = rchan_load(&meta->first_ns);
    copy->last_ns = rchan_load(&meta->last_ns);
    copy->start_records = rchan_load(&meta->start_records);
    copy->start_bytes = rchan_load(&meta->start_bytes);
    for (unsigned cause = 0; cause < RCHAN_DROP_CAUSES; cause++) {
        copy->drop_records[cause] = rchan_load(&meta->lost_records[cause]);
        copy->drop_bytes[cause] = rchan_load(&meta->lost_bytes[cause]);
    }
    copy->finished = !(tap->cut && subbuf == tap->end_subbuf);
    if (!copy->finished) {
        copy->length = tap->end_offset;
        copy->records = tap->end_records - copy->start_records;
        copy->last_ns = tap->end_ns;
    }
}

/* 1, 0: nothing there, -EBADMSG. What is described is good only if it is whole after the copy. */
static int look(const struct rchan_tap *tap, struct rchan_copy *copy)
{
    const struct rchan_channel *channel = tap->buffer->channel;
    struct rchan_reach reach;
    uint64_t subbuf = tap->next;
    if (tap->cut && subbuf > tap->end_subbuf)
        return 0;
    int result = rchan_reach_load(tap->buffer, subbuf, &reach);
    if (!result && !rchan_whole(channel, subbuf, reach.started)) {
        subbuf = oldest_whole(channel, reach.started);
        result = rchan_reach_load(tap->buffer, subbuf, &reach);
    }
    if (result)
        return result;
    bool there = reach.finished;
    if (tap->cut)
        there = subbuf < tap->end_subbuf || (subbuf == tap->end_subbuf && tap->end_offset);
    if (there)
        describe(tap, subbuf, &reach, copy);
    return there;
}

/* Behind the sub-buffer: what lay between was missed. */
static void pass(struct rchan_tap *tap, const struct rchan_copy *copy)
{
    tap->missed.subbufs += copy->seq - tap->next;
    if ((int64_t)(copy->start_records - tap->records) > 0)
        tap->missed.records += copy->start_records - tap->records;
    if ((int64_t)(copy->start_bytes - tap->bytes) > 0)
        tap->missed.bytes += copy->start_bytes - tap->bytes;
    tap->next = copy->seq + 1;
    tap->records = copy->start_records + copy->records;
    tap->bytes = copy->start_bytes + copy->length;
}

static bool good(const struct rchan_tap *tap, const struct rchan_copy *copy)
{
    return rchan_still_whole(tap->buffer, copy->seq) && no_reset_since(tap->buffer, copy->resets);
}

int rchan_tap_look(struct rchan_tap *tap, struct rchan_copy *copy)
{
    const struct rchan_channel *channel = tap->buffer->channel;
    memset(copy, 0, sizeof *copy);
    for (uint64_t round = 0; round <= channel->n_subbufs + (uint64_t)MAX_LAPS; round++) {
        copy->resets = resets_of(tap->buffer);
        if (!follow_reset(tap, copy->resets))
            return 0;
        TESTPOINT("tap: looking");
        int result = look(tap, copy);
        if (result < 0 && !no_reset_since(tap->buffer, copy->resets))
            continue;
        if (result <= 0 || copy->length)
            return result;
        if (good(tap, copy))
            pass(tap, copy);
    }
    return 0;
}

static void deliver(struct rchan_tap *tap, struct rchan_copy *copy)
{
    copy->missed = tap->missed;
    copy->was_reset = tap->was_reset;
    for (unsigned cause = 0; tap->delivered && cause < RCHAN_DROP_CAUSES; cause++) {
        copy->lost_records[cause] = copy->drop_records[cause] - tap->drop_records[cause];
        copy->lost_bytes[cause] = copy->drop_bytes[cause] - tap->drop_bytes[cause];
    }
    memcpy(tap->drop_records, copy->drop_records, sizeof tap->drop_records);
    memcpy(tap->drop_bytes, copy->drop_bytes, sizeof tap->drop_bytes);
    memset(&tap->missed, 0, sizeof tap->missed);
    tap->was_reset = false;
    tap->delivered = true;
}

bool rchan_tap_copy(struct rchan_tap *tap, struct rchan_copy *copy, uint8_t *to)
{
    const struct rchan_channel *channel = tap->buffer->channel;
    uint64_t start = (copy->seq % channel->n_subbufs) * (uint64_t)channel->subbuf_size;
    TESTPOINT("tap: copying");
    rchan_copy_racing(to, tap->buffer->map + start, copy->length);
    TESTPOINT("tap: copied");
    if (!good(tap, copy))
        return false;
    pass(tap, copy);
    deliver(tap, copy);
    return true;
}

bool rchan_tap_ready(const struct rchan_tap *tap)
{
    const struct rchan_buffer *buffer = tap->buffer;
    uint32_t resets = resets_of(buffer);
    uint64_t oldest = oldest_whole(buffer->channel, rchan_load(&buffer->block->started));
    /* poll.head: pairs with write.head, commit.head, switch.head, switch.begin */
    uint64_t head = rchan_load_acquire(&buffer->block->head);
    uint64_t next = resets == tap->resets ? tap->next : 0;
    uint64_t produced = rchan_head_produced(buffer->channel, head);
    return !(resets & 1) && produced > next && produced > oldest;
}
