/* The books of a buffer: where every record went. docs/explanation/protocol.md, "Books". */
#ifndef RCHAN_BOOKS_H
#define RCHAN_BOOKS_H

#include "handle.h"
#include "testpoint.h"

struct rchan_books {
    uint64_t subbufs_produced, subbufs_consumed, bytes_consumed, offset;
    uint64_t written_records, written_bytes;
    uint64_t readable_records, readable_bytes;
    uint64_t consumed_records, consumed_bytes;
    uint64_t overwritten_records, overwritten_bytes;
    uint64_t discarded_records, discarded_bytes;
    uint64_t dropped_records[RCHAN_DROP_CAUSES], dropped_bytes[RCHAN_DROP_CAUSES];
    uint64_t wakeups;
};

/* What has left through the reader's side. */
struct rchan_sums {
    uint64_t consumed_records, consumed_bytes;
    uint64_t overwritten_records, overwritten_bytes;
    uint64_t discarded_records, discarded_bytes;
};

/* 0, or -EBADMSG. Never waits for a writer or reader. */
int rchan_buffer_books(const struct rchan_buffer *buffer, struct rchan_books *books);

/* Count a drop with the owner word held. (Inline: a refused write should cost no more than a stored one.) */
static inline void rchan_count_drop(struct rchan_block *block, unsigned cause, uint64_t length)
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

/* The drop counters of one cause, as they stand. */
void rchan_drop_read(const struct rchan_block *block, unsigned cause, uint64_t *records,
                     uint64_t *bytes);

/* The account that belongs to this tail; the first one if damaged memory has neither. */
struct rchan_account *rchan_account_at(struct rchan_block *block, uint64_t tail);
void rchan_account_read(struct rchan_account *account, struct rchan_sums *sums);

/* Everything written before sub-buffer `subbuf` began (`produced`: the newest). False: not known any more. */
bool rchan_start_of(const struct rchan_channel *channel, struct rchan_block *block,
                    uint64_t produced, uint64_t subbuf, uint64_t *records, uint64_t *bytes);

/* Everything committed so far. False: a switch happened meanwhile. *at: the head it is true of. */
bool rchan_written(const struct rchan_channel *channel, struct rchan_block *block, uint64_t *at,
                   uint64_t *records, uint64_t *bytes);

#endif
