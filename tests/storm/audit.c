/* The audit: see audit.h. Between an attempt and its answer a process may have been killed: then
 * either outcome is right, and each number may be larger by as many as there are of those. */
#include "audit.h"

#include "actors.h"
#include "books.h"
#include "buffer.h"
#include "clock.h"

enum { PATIENCE_MS = 60000 };

struct tally {
    uint64_t fates[FATES];
    uint64_t attempted, found, consumed, missing;
};

static void count_life(uint32_t life, struct tally *tally)
{
    uint32_t attempts = rchan_load(&ledger->next_seq[life]);
    tally->attempted += attempts;
    for (uint32_t seq = 0; seq < attempts; seq++) {
        uint8_t fate = rchan_load(&ledger->fates[life][seq]);
        bool found = rchan_load(&ledger->where[life][seq]) != 0;
        tally->fates[fate]++;
        tally->found += found;
        tally->consumed += rchan_load(&ledger->consumed[life][seq]);
        tally->missing += fate == STORED && !found;
    }
}

/* Finish and read everything that is there. False: it did not come to an end. */
static bool drain(struct rchan_channel *channel)
{
    uint64_t random = 1, deadline = rchan_now_ns() + PATIENCE_MS * UINT64_C(1000000);
    for (;;) {
        unsigned news = 0;
        for (uint32_t i = 0; i < channel->n_buffers; i++) {
            if (!rchan_load(&channel->buffers[i].data))
                continue;
            int result = rchan_buffer_finish(&channel->buffers[i], UINT64_MAX);
            if (result < 0)
                ledger_accuse(WEDGED, "buffer %u cannot be had: %d", i, result);
            news += result > 0;
        }
        news += reader_round(channel, &random);
        if (!news)
            return true;
        if (rchan_now_ns() > deadline)
            return false;
    }
}

static void add_books(struct rchan_channel *channel, struct rchan_books *sum)
{
    for (uint32_t i = 0; i < channel->n_buffers; i++) {
        struct rchan_books books;
        if (!rchan_bit(channel->header->present, i))
            continue;
        if (rchan_buffer_books(&channel->buffers[i], &books))
            ledger_accuse(FAILED, "buffer %u has no books", i);
        sum->written_records += books.written_records;
        sum->readable_records += books.readable_records;
        sum->consumed_records += books.consumed_records;
        sum->overwritten_records += books.overwritten_records;
        sum->discarded_records += books.discarded_records;
        for (unsigned cause = 0; cause < RCHAN_DROP_CAUSES; cause++)
            sum->dropped_records[cause] += books.dropped_records[cause];
    }
}

static void must_be(const char *what, uint64_t least, uint64_t value, uint64_t most)
{
    if (value < least || value > most)
        ledger_accuse(UNCOUNTED, "%s: %llu, and must be from %llu to %llu", what,
                      (unsigned long long)value, (unsigned long long)least,
                      (unsigned long long)most);
}

static void compare(const struct tally *tally, const struct rchan_books *books, bool losses_allowed)
{
    static const enum fate drops[] = {[RCHAN_DROP_FULL] = FULL,
                                      [RCHAN_DROP_TOO_BIG] = TOO_BIG,
                                      [RCHAN_DROP_DISABLED] = DISABLED,
                                      [RCHAN_DROP_CONTENDED] = CONTENDED};
    uint64_t unknown = tally->fates[UNKNOWN], known = tally->fates[STORED];
    uint64_t accounted = books->written_records;
    uint64_t gone = books->overwritten_records + books->discarded_records;
    must_be("written", tally->fates[STORED], books->written_records,
            tally->fates[STORED] + unknown);
    for (unsigned cause = 0; cause < RCHAN_DROP_CAUSES; cause++) {
        uint64_t mine = tally->fates[drops[cause]];
        must_be("dropped", mine, books->dropped_records[cause], mine + unknown);
        known += mine;
        accounted += books->dropped_records[cause];
    }
    must_be("attempted", known, accounted, known + unknown);
    must_be("readable after all was read", 0, books->readable_records, 0);
    must_be("consumed", tally->consumed, books->consumed_records, tally->found);
    must_be("missing", 0, tally->missing, losses_allowed ? gone : 0);
    if (!losses_allowed) {
        must_be("overwritten or discarded", 0, gone, 0);
        must_be("delivered", books->written_records, tally->found, books->written_records);
    }
}

void audit(struct rchan_channel *channel, bool losses_allowed, struct totals *totals)
{
    struct tally tally = {{0}, 0, 0, 0, 0};
    struct rchan_books books = {0};
    rchan_channel_enable(channel, true);
    rchan_channel_refresh(channel);
    if (!drain(channel))
        ledger_accuse(WEDGED, "reading does not come to an end");
    if (rchan_channel_finalize(channel))
        ledger_accuse(WEDGED, "finalize does not come to an end");
    uint32_t lives = rchan_load(&ledger->lives);
    for (uint32_t life = 0; life < lives && life < LIVES; life++)
        count_life(life, &tally);
    add_books(channel, &books);
    compare(&tally, &books, losses_allowed);
    totals->attempted += tally.attempted;
    totals->stored += books.written_records;
    totals->delivered += tally.found;
    totals->overwritten += books.overwritten_records;
    totals->discarded += books.discarded_records;
    for (unsigned cause = 0; cause < RCHAN_DROP_CAUSES; cause++)
        totals->dropped += books.dropped_records[cause];
    totals->unknown += tally.fates[UNKNOWN];
}
