/* Several writers and a reader in threads over one mapping: for ThreadSanitizer, too. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "fixture.h"

enum { WRITERS = 3, RECORDS = 20000, BUFFERS = 2, SUBBUF_SIZE = 512, MAX_RECORD = 72 };

struct record {
    uint32_t writer, length; /* length of all, bytes */
    uint64_t seq, checksum;
    uint8_t fill[MAX_RECORD - 24];
};

struct run {
    struct rchan_channel *channel;
    rchan_a64 writers_left;
    uint64_t seen[WRITERS];          /* by the reader */
    uint64_t next[BUFFERS][WRITERS]; /* lowest seq that may come next in that buffer */
    uint8_t unparsed[BUFFERS][MAX_RECORD];
    uint64_t n_unparsed[BUFFERS];
};

struct writer {
    struct run *run;
    uint32_t number;
    uint64_t stored, dropped;
    pthread_t thread;
};

static uint64_t checksum_of(const struct record *record)
{
    uint64_t sum = record->writer * UINT64_C(0x9e3779b97f4a7c15) + record->seq;
    for (uint32_t i = 0; i < record->length - 24; i++)
        sum = sum * 31 + record->fill[i];
    return sum;
}

static void make_record(struct record *record, uint32_t writer, uint64_t seq)
{
    record->writer = writer;
    record->length = 24 + (uint32_t)((seq * 7 + writer) % (MAX_RECORD - 24 + 1));
    record->seq = seq;
    memset(record->fill, (int)(seq + writer), sizeof record->fill);
    record->checksum = checksum_of(record);
}

static void *write_records(void *argument)
{
    struct writer *writer = argument;
    struct record record;
    for (uint64_t seq = 0; seq < RECORDS; seq++) {
        make_record(&record, writer->number, seq);
        enum rchan_outcome outcome =
            rchan_write(writer->run->channel, writer->number % BUFFERS, &record, record.length);
        writer->stored += outcome == RCHAN_STORED;
        writer->dropped += outcome != RCHAN_STORED;
        if (outcome == RCHAN_DROPPED_FULL)
            sched_yield(); /* let the reader come */
    }
    rchan_add(&writer->run->writers_left, (uint64_t)-1);
    return NULL;
}

static void *reserve_records(void *argument)
{
    struct writer *writer = argument;
    struct record record;
    for (uint64_t seq = 0; seq < RECORDS; seq++) {
        struct rchan_reservation place;
        make_record(&record, writer->number, seq);
        if (rchan_reserve(writer->run->channel, writer->number % BUFFERS, MAX_RECORD, &place) !=
            RCHAN_STORED) {
            writer->dropped++;
            sched_yield();
            continue;
        }
        memcpy(place.data, &record, record.length);
        rchan_commit(&place, record.length);
        writer->stored++;
    }
    rchan_add(&writer->run->writers_left, (uint64_t)-1);
    return NULL;
}

/* One whole record at `bytes`. Its length, or 0 if more bytes are needed. */
static uint64_t check_record(struct run *run, uint32_t buffer, const uint8_t *bytes, uint64_t count)
{
    struct record record;
    if (count < 24)
        return 0;
    memcpy(&record, bytes, 24);
    if (!CHECK(record.writer < WRITERS && record.length >= 24 && record.length <= MAX_RECORD))
        return count;
    if (count < record.length)
        return 0;
    memcpy(&record, bytes, record.length);
    CHECK_EQ(record.checksum, checksum_of(&record));
    CHECK(record.seq >= run->next[buffer][record.writer]);
    run->next[buffer][record.writer] = record.seq + 1;
    run->seen[record.writer]++;
    return record.length;
}

/* Records in a row; what is left of the last one stays in unparsed[]. */
static void parse(struct run *run, uint32_t buffer, const uint8_t *bytes, uint64_t count)
{
    uint8_t joined[MAX_RECORD + 256];
    uint64_t total = run->n_unparsed[buffer] + count, at = 0, length;
    memcpy(joined, run->unparsed[buffer], run->n_unparsed[buffer]);
    memcpy(joined + run->n_unparsed[buffer], bytes, count);
    while ((length = check_record(run, buffer, joined + at, total - at)))
        at += length;
    run->n_unparsed[buffer] = total - at;
    memcpy(run->unparsed[buffer], joined + at, total - at);
}

static bool read_some(struct run *run, uint32_t buffer)
{
    uint8_t bytes[256];
    int64_t count =
        rchan_read(&run->channel->buffers[buffer], bytes, 1 + (run->seen[0] * 37) % 256);
    CHECK(count >= 0);
    if (count > 0)
        parse(run, buffer, bytes, (uint64_t)count);
    return count > 0;
}

static bool take_some(struct run *run, uint32_t buffer)
{
    struct rchan_subbuf subbuf;
    uint8_t bytes[SUBBUF_SIZE];
    int taken = rchan_subbuf_take(&run->channel->buffers[buffer], &subbuf);
    CHECK(taken >= 0);
    if (taken != 1)
        return false;
    rchan_copy_racing(bytes, subbuf.data, subbuf.length);
    if (!rchan_subbuf_whole(&subbuf)) {
        rchan_subbuf_put_down(&subbuf);
        return true;
    }
    uint64_t records = 0, at = 0, length;
    while ((length = check_record(run, buffer, bytes + at, subbuf.length - at))) {
        at += length;
        records++;
    }
    CHECK_EQ(at, subbuf.length);
    CHECK_EQ(records, subbuf.records);
    CHECK(rchan_subbuf_give_back(&subbuf, UINT64_MAX));
    return true;
}

/* Until the writers are done and nothing is left. */
static void read_all(struct run *run, bool (*some)(struct run *run, uint32_t buffer))
{
    for (;;) {
        bool over = rchan_load_acquire(&run->writers_left) == 0, any = false;
        for (uint32_t buffer = 0; over && buffer < BUFFERS; buffer++)
            CHECK_EQ(rchan_buffer_flush(&run->channel->buffers[buffer]), 0);
        for (uint32_t buffer = 0; buffer < BUFFERS; buffer++)
            any |= some(run, buffer);
        if (over && !any)
            return;
        if (!any)
            sched_yield();
    }
}

static struct rchan_channel *two_buffers(const char *base, bool overwrite)
{
    static const uint32_t cpus[] = {0, 1};
    struct rchan_options options = fixture_options(base, SUBBUF_SIZE, 4);
    options.overwrite = overwrite;
    options.n_buffers = BUFFERS;
    options.cpus = cpus;
    options.n_cpus = BUFFERS;
    return fixture_create(&options);
}

static void start_writers(struct run *run, struct writer *writers, void *(*body)(void *))
{
    rchan_store(&run->writers_left, WRITERS);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.run = run, .number = i};
        REQUIRE(!pthread_create(&writers[i].thread, NULL, body, &writers[i]));
    }
}

struct totals {
    uint64_t stored, dropped, seen, consumed, overwritten, open;
};

static struct totals finish(struct run *run, struct writer *writers)
{
    struct totals totals = {0};
    for (uint32_t i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        totals.stored += writers[i].stored;
        totals.dropped += writers[i].dropped;
        totals.seen += run->seen[i];
    }
    uint64_t attempted = totals.stored + totals.dropped;
    for (uint32_t i = 0; i < BUFFERS; i++) {
        struct rchan_books books = fixture_books(&run->channel->buffers[i]);
        totals.consumed += books.consumed_records;
        totals.overwritten += books.overwritten_records;
        attempted = (uint64_t)fixture_open_records(&books, attempted);
        CHECK_EQ(books.readable_records, 0);
    }
    totals.open = attempted;
    return totals;
}

static void no_overwrite(const char *base, void *(*body)(void *),
                         bool (*some)(struct run *run, uint32_t buffer))
{
    static struct run run;
    struct writer writers[WRITERS];
    memset(&run, 0, sizeof run);
    run.channel = two_buffers(base, false);
    start_writers(&run, writers, body);
    read_all(&run, some);
    struct totals totals = finish(&run, writers);
    CHECK_EQ(totals.seen, totals.stored);
    CHECK_EQ(totals.consumed, totals.stored);
    CHECK_EQ(totals.overwritten, 0);
    CHECK_EQ(totals.open, 0);
    CHECK_EQ(totals.stored + totals.dropped, WRITERS * RECORDS);
    CHECK(totals.stored > 0);
    fixture_close(run.channel);
}

TEST(every_stored_record_is_read_once)
{
    no_overwrite("read", write_records, read_some);
}

TEST(every_stored_record_is_taken_once)
{
    no_overwrite("take", write_records, take_some);
}

TEST(every_committed_reservation_is_read_once)
{
    no_overwrite("reserved", reserve_records, read_some);
}

TEST(what_overwrite_mode_hands_out_is_whole_and_what_it_lost_is_known)
{
    static struct run run;
    struct writer writers[WRITERS];
    memset(&run, 0, sizeof run);
    run.channel = two_buffers("overwrite", true);
    start_writers(&run, writers, write_records);
    read_all(&run, take_some);
    struct totals totals = finish(&run, writers);
    CHECK_EQ(totals.seen, totals.consumed);
    CHECK_EQ(totals.consumed + totals.overwritten, totals.stored);
    CHECK_EQ(totals.open, 0);
    fixture_close(run.channel);
}

/* ---- writers among all the rest ---- */

static void *turn_everything(void *argument)
{
    struct run *run = argument;
    struct rchan_books books;
    for (uint64_t round = 0; rchan_load_acquire(&run->writers_left); round++) {
        struct rchan_buffer *buffer = &run->channel->buffers[round % BUFFERS];
        rchan_buffer_flush(buffer);
        CHECK_EQ(rchan_buffer_books(buffer, &books), 0);
        rchan_channel_enable(run->channel, round % 3);
        rchan_poll(buffer);
        if (round % 64 == 63)
            rchan_buffer_reset(buffer);
        rchan_subbufs_consumed(buffer, round % 3);
        sched_yield();
    }
    rchan_channel_enable(run->channel, true);
    return NULL;
}

TEST(books_close_whatever_goes_on)
{
    for (int overwrite = 0; overwrite < 2; overwrite++) {
        static struct run run;
        struct writer writers[WRITERS];
        pthread_t other;
        uint8_t bytes[SUBBUF_SIZE];
        memset(&run, 0, sizeof run);
        run.channel = two_buffers("all", overwrite);
        start_writers(&run, writers, write_records);
        REQUIRE(!pthread_create(&other, NULL, turn_everything, &run));
        while (rchan_load_acquire(&run.writers_left))
            for (uint32_t i = 0; i < BUFFERS; i++)
                CHECK(rchan_read(&run.channel->buffers[i], bytes, sizeof bytes) >= -11);
        pthread_join(other, NULL);
        for (uint32_t i = 0; i < BUFFERS; i++)
            while (rchan_read(&run.channel->buffers[i], bytes, sizeof bytes) > 0)
                ;
        for (uint32_t i = 0; i < BUFFERS; i++)
            CHECK_EQ(rchan_buffer_reset(&run.channel->buffers[i]), 0);
        CHECK_EQ(finish(&run, writers).open, 0);
        fixture_close(run.channel);
    }
}
