/* Reading the books, without stopping anybody. */
#include "books.h"

#include <errno.h>
#include <string.h>

#include "testpoint.h"

void rchan_count_drop(struct rchan_block *block, unsigned cause, uint64_t length)
{
    struct rchan_drop *drop = &block->dropped[cause];
    uint64_t select = rchan_load(&drop->select);
    unsigned now = select & 1, next = now ^ 1;
    /* drop.fence: pairs with dropped.fence */
    rchan_store_fence();
    rchan_store(&drop->records[next], rchan_load(&drop->records[now]) + 1);
    rchan_store(&drop->bytes[next], rchan_load(&drop->bytes[now]) + length);
    TESTPOINT("drop: half stored");
    /* drop.flip: pairs with drop.read */
    rchan_store_release(&drop->select, select + 1);
}

void rchan_drop_read(const struct rchan_block *block, unsigned cause, uint64_t *records,
                     uint64_t *bytes)
{
    struct rchan_block *shared = (struct rchan_block *)block;
    if (cause == RCHAN_DROP_CONTENDED) {
        *records = rchan_load(&shared->contended_records);
        *bytes = rchan_load(&shared->contended_bytes);
        return;
    }
    struct rchan_drop *drop = &shared->dropped[cause];
    for (int tries = 0; tries < RCHAN_TRIES; tries++) {
        /* drop.read: pairs with drop.flip */
        uint64_t select = rchan_load_acquire(&drop->select);
        *records = rchan_load(&drop->records[select & 1]);
        *bytes = rchan_load(&drop->bytes[select & 1]);
        /* dropped.fence: pairs with drop.fence */
        rchan_load_fence();
        if (rchan_load(&drop->select) == select)
            return;
    }
}

/* The account that belongs to this tail; the first one if damaged memory has neither. */
struct rchan_account *rchan_account_at(struct rchan_block *block, uint64_t tail)
{
    unsigned second =
        rchan_load(&block->account[0].tail) != tail && rchan_load(&block->account[1].tail) == tail;
    return &block->account[second];
}

void rchan_account_read(struct rchan_account *account, struct rchan_sums *sums)
{
    sums->consumed_records = rchan_load(&account->consumed_records);
    sums->consumed_bytes = rchan_load(&account->consumed_bytes);
    sums->overwritten_records = rchan_load(&account->overwritten_records);
    sums->overwritten_bytes = rchan_load(&account->overwritten_bytes);
    sums->discarded_records = rchan_load(&account->discarded_records);
    sums->discarded_bytes = rchan_load(&account->discarded_bytes);
}

bool rchan_start_of(const struct rchan_channel *channel, struct rchan_block *block,
                    uint64_t produced, uint64_t subbuf, uint64_t *records, uint64_t *bytes)
{
    if (subbuf == produced) {
        *records = rchan_load(&block->total_records[produced & 1]);
        *bytes = rchan_load(&block->total_bytes[produced & 1]);
        return true;
    }
    struct rchan_meta *meta = &block->meta[subbuf % channel->n_subbufs];
    *records = rchan_load(&meta->start_records);
    *bytes = rchan_load(&meta->start_bytes);
    return rchan_load(&meta->seq) == subbuf;
}

bool rchan_written(const struct rchan_channel *channel, struct rchan_block *block, uint64_t *at,
                   uint64_t *records, uint64_t *bytes)
{
    /* books.head: pairs with write.head, commit.head, switch.head, switch.begin */
    uint64_t head = rchan_load_acquire(&block->head);
    uint64_t produced = rchan_head_produced(channel, head);
    uint64_t offset = rchan_head_offset(channel, head);
    *records = rchan_load(&block->total_records[produced & 1]);
    *bytes = rchan_load(&block->total_bytes[produced & 1]);
    uint64_t pending = rchan_load(&block->pending);
    TESTPOINT("books: pending read");
    /* written.fence: pairs with touch.fence */
    rchan_load_fence();
    *at = rchan_load(&block->head);
    if (rchan_head_produced(channel, *at) != produced)
        return false;
    if (offset > channel->subbuf_size)
        return *at == head;
    uint64_t counted = pending >> channel->shift;
    if ((pending & channel->offset_mask) != offset) {
        /* Ahead of `head`: a record not committed, as long as `head` stays. If it has moved, nobody can
         * tell: its writer may have been killed, and others have written in its place. */
        if (*at != head)
            return false;
        counted -= counted != 0;
    }
    *at = head;
    *records += counted;
    *bytes += offset;
    return true;
}

/* A lap of what was read in part may have records and no bytes. */
static uint64_t all_gone(const struct rchan_sums *sums)
{
    return sums->consumed_records + sums->consumed_bytes + sums->overwritten_records +
           sums->overwritten_bytes;
}

/* In the middle of a reset, or where one was killed: nothing is readable, all is in the sums.
 * False: it has ended meanwhile. */
static bool resetting_books(const struct rchan_buffer *buffer, uint32_t resets,
                            struct rchan_books *books)
{
    struct rchan_block *block = buffer->block;
    struct rchan_sums sums, other;
    memset(books, 0, sizeof *books);
    rchan_account_read(&block->account[0], &sums);
    rchan_account_read(&block->account[1], &other);
    /* Sums only grow: the larger are the valid ones, whatever `tail` says while it is rewound. */
    if (all_gone(&other) > all_gone(&sums))
        sums = other;
    books->written_records = rchan_load(&block->reset_records);
    books->written_bytes = rchan_load(&block->reset_bytes);
    books->consumed_records = sums.consumed_records;
    books->consumed_bytes = sums.consumed_bytes;
    books->overwritten_records = sums.overwritten_records;
    books->overwritten_bytes = sums.overwritten_bytes;
    books->discarded_records =
        books->written_records - sums.consumed_records - sums.overwritten_records;
    books->discarded_bytes = books->written_bytes - sums.consumed_bytes - sums.overwritten_bytes;
    TESTPOINT("books: reset read");
    /* books.fence: pairs with account.fence, touch.fence, reset.fence */
    rchan_load_fence();
    return rchan_load(&block->resetting) == resets;
}

/* Fill in from one set of words; false if they changed under our hands. */
static bool try_books(const struct rchan_buffer *buffer, struct rchan_books *books)
{
    const struct rchan_channel *channel = buffer->channel;
    struct rchan_block *block = buffer->block;
    struct rchan_sums sums;
    /* books.resetting: pairs with reset.start, reset.done */
    uint32_t resets = rchan_load_acquire(&block->resetting);
    if (resets & 1)
        return resetting_books(buffer, resets, books);
    /* books.undone: pairs with undo.count */
    uint64_t undone = rchan_load_acquire(&block->undone);
    /* books.tail: pairs with read.commit, undo.tail */
    uint64_t tail = rchan_load_acquire(&block->tail);
    TESTPOINT("books: tail read");
    rchan_account_read(rchan_account_at(block, tail), &sums);
    TESTPOINT("books: account read");
    /* books.started: pairs with switch.started */
    uint64_t started = rchan_load_acquire(&block->started);
    uint64_t head;
    if (!rchan_written(channel, block, &head, &books->written_records, &books->written_bytes))
        return false;
    uint64_t produced = rchan_head_produced(channel, head),
             first = started - channel->n_subbufs + 1;
    uint64_t consumed = rchan_head_produced(channel, tail);
    if ((int64_t)(started - consumed) >= (int64_t)channel->n_subbufs) {
        uint64_t records, bytes;
        if (!rchan_start_of(channel, block, produced, first, &records, &bytes))
            return false;
        uint64_t gone = sums.consumed_records + sums.overwritten_records + sums.discarded_records;
        if ((int64_t)(records - gone) > 0)
            sums.overwritten_records += records - gone;
        gone = sums.consumed_bytes + sums.overwritten_bytes + sums.discarded_bytes;
        if ((int64_t)(bytes - gone) > 0)
            sums.overwritten_bytes += bytes - gone;
    }
    books->subbufs_produced = produced;
    books->subbufs_consumed = consumed;
    books->bytes_consumed = rchan_head_offset(channel, tail);
    books->offset = rchan_head_offset(channel, head);
    books->consumed_records = sums.consumed_records;
    books->consumed_bytes = sums.consumed_bytes;
    books->overwritten_records = sums.overwritten_records;
    books->overwritten_bytes = sums.overwritten_bytes;
    books->discarded_records = sums.discarded_records;
    books->discarded_bytes = sums.discarded_bytes;
    /* books.fence: pairs with account.fence, touch.fence, reset.fence */
    rchan_load_fence();
    return rchan_load(&block->tail) == tail && rchan_load(&block->started) == started &&
           rchan_load(&block->undone) == undone && rchan_load(&block->resetting) == resets;
}

int rchan_buffer_books(const struct rchan_buffer *buffer, struct rchan_books *books)
{
    const struct rchan_channel *channel = buffer->channel;
    memset(books, 0, sizeof *books);
    for (int tries = 0; tries < RCHAN_TRIES && !try_books(buffer, books); tries++)
        rchan_pause();
    if (books->offset > channel->full || books->subbufs_consumed > books->subbufs_produced)
        return -EBADMSG;
    books->readable_records = books->written_records - books->consumed_records -
                              books->overwritten_records - books->discarded_records;
    books->readable_bytes = books->written_bytes - books->consumed_bytes -
                            books->overwritten_bytes - books->discarded_bytes;
    for (unsigned cause = 0; cause < RCHAN_DROP_CAUSES; cause++)
        rchan_drop_read(buffer->block, cause, &books->dropped_records[cause],
                        &books->dropped_bytes[cause]);
    books->wakeups = rchan_load(&buffer->block->wakeups);
    return 0;
}
