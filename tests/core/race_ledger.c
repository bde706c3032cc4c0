/* What was tried, what became of it, what was delivered: and whether it adds up. */
#include <string.h>

#include "race.h"

void ledger_clear(struct ledger *ledger)
{
    memset(ledger, 0, sizeof *ledger);
    for (unsigned i = 0; i < RACE_PARTIES; i++)
        ledger->last[i] = -1;
}

uint64_t ledger_attempt(struct ledger *ledger, unsigned party, uint8_t *record)
{
    uint64_t seq = ledger->attempts++;
    REQUIRE(seq < RACE_SEQS);
    ledger->party[seq] = (uint8_t)party;
    ledger->fate[seq] = FATE_OPEN;
    record_make(record, seq);
    return seq;
}

void ledger_fate(struct ledger *ledger, uint64_t seq, enum rchan_outcome outcome)
{
    ledger->fate[seq] = outcome == RCHAN_STORED ? FATE_STORED : FATE_DROPPED;
    ledger->corrupt |= outcome == RCHAN_CORRUPT;
}

void ledger_deliver(struct ledger *ledger, const uint8_t *bytes, uint64_t count)
{
    CHECK_EQ(count % RECORD, 0);
    for (uint64_t at = 0; at + RECORD <= count; at += RECORD) {
        int64_t seq = record_seq(bytes + at); /* not torn */
        if (!CHECK(seq >= 0 && seq < ledger->attempts))
            continue;                          /* invented */
        CHECK_EQ(ledger->delivered[seq]++, 0); /* not twice */
        unsigned party = ledger->party[seq];
        CHECK(ledger->last[party] < seq);
        ledger->last[party] = seq;
        ledger->n_delivered++;
    }
}

static void drain(struct ledger *ledger, struct rchan_buffer *buffer)
{
    uint8_t bytes[RECORD * 64];
    struct rchan_subbuf subbuf;
    int64_t count = rchan_read(buffer, bytes, sizeof bytes);
    if (count == -11) /* EAGAIN, once: a dead one's reset is ended first */
        count = rchan_read(buffer, bytes, sizeof bytes);
    if (CHECK(count >= 0))
        ledger_deliver(ledger, bytes, (uint64_t)count);
    CHECK_EQ(rchan_buffer_flush(buffer), 0);
    while (rchan_subbuf_take(buffer, &subbuf) == 1) {
        ledger_deliver(ledger, subbuf.data, subbuf.length);
        CHECK(rchan_subbuf_give_back(&subbuf, UINT64_MAX));
    }
}

struct sums {
    uint64_t written, dropped, consumed, overwritten, discarded;
    uint64_t written_bytes, consumed_bytes, overwritten_bytes, discarded_bytes;
};

static void add_books(struct sums *sums, const struct rchan_books *books)
{
    sums->written += books->written_records;
    sums->consumed += books->consumed_records;
    sums->overwritten += books->overwritten_records;
    sums->discarded += books->discarded_records;
    sums->written_bytes += books->written_bytes;
    sums->consumed_bytes += books->consumed_bytes;
    sums->overwritten_bytes += books->overwritten_bytes;
    sums->discarded_bytes += books->discarded_bytes;
    for (unsigned cause = 0; cause < RCHAN_DROP_CAUSES; cause++)
        sums->dropped += books->dropped_records[cause];
    CHECK_EQ(books->readable_records, 0);
    CHECK_EQ(books->readable_bytes, 0);
}

static void check_sums(const struct ledger *ledger, const struct sums *sums, bool overwrite)
{
    uint64_t fates[3] = {0};
    for (uint32_t seq = 0; seq < ledger->attempts; seq++) {
        fates[ledger->fate[seq]]++;
        CHECK(!ledger->delivered[seq] || ledger->fate[seq] != FATE_DROPPED);
    }
    CHECK(!ledger->corrupt);
    CHECK(sums->written >= fates[FATE_STORED]);
    CHECK(sums->written <= fates[FATE_STORED] + fates[FATE_OPEN]);
    CHECK(sums->dropped >= fates[FATE_DROPPED]);
    CHECK(sums->written + sums->dropped <= ledger->attempts);
    CHECK_EQ(sums->written_bytes, sums->written * RECORD);
    CHECK_EQ(sums->consumed + sums->overwritten + sums->discarded, sums->written);
    CHECK_EQ(sums->consumed_bytes + sums->overwritten_bytes + sums->discarded_bytes,
             sums->written_bytes);
    CHECK(overwrite || !sums->overwritten_bytes); /* nothing unread was overwritten */
    CHECK(ledger->reset || !sums->discarded_bytes);
    CHECK(ledger->n_delivered * RECORD <= sums->consumed_bytes);
    CHECK(ledger->unseen || ledger->n_delivered * RECORD == sums->consumed_bytes);
}

void ledger_close(struct ledger *ledger, struct rchan_channel *channel, bool overwrite)
{
    struct sums sums = {0};
    rchan_channel_refresh(channel);
    for (uint32_t i = 0; i < channel->n_buffers; i++) {
        struct rchan_buffer *buffer = &channel->buffers[i];
        if (!rchan_load(&buffer->data))
            continue;
        for (unsigned party = 0; i && party < RACE_PARTIES; party++)
            ledger->last[party] = -1; /* each buffer has an order of its own */
        drain(ledger, buffer);
        struct rchan_books books = fixture_books(buffer);
        add_books(&sums, &books);
        CHECK_EQ(rchan_load(&buffer->block->owner), 0);
        CHECK_EQ(rchan_load(&buffer->block->reader), 0);
        CHECK(!(rchan_load(&buffer->block->resetting) & 1));
    }
    check_sums(ledger, &sums, overwrite);
}
