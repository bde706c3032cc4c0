/* A writer or reader is killed at every testpoint; the next one goes on, and the books close. */
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "killing.h"
#include "owner.h"
#include "wait.h"

enum { SUBBUF_SIZE = 40, N_SUBBUFS = 3, WRITES = 12, MOST = 2 * N_SUBBUFS };

static struct rchan_channel *set_no_overwrite(struct log *log)
{
    (void)log;
    return fixture_channel("kill", SUBBUF_SIZE, N_SUBBUFS, false);
}

static struct rchan_channel *set_overwrite(struct log *log)
{
    (void)log;
    return fixture_channel("kill", SUBBUF_SIZE, N_SUBBUFS, true);
}

/* ---- what the survivor finds ---- */

struct found {
    uint64_t count;
    int64_t seqs[MAX_SEQ];
};

static void read_records(struct rchan_channel *channel, struct found *found)
{
    uint8_t bytes[RECORD * MAX_SEQ];
    int64_t count = rchan_read(&channel->buffers[0], bytes, sizeof bytes);
    found->count = 0;
    CHECK(count >= 0);
    CHECK_EQ(count % RECORD, 0);
    for (int64_t at = 0; at + RECORD <= count; at += RECORD)
        found->seqs[found->count++] = record_seq(bytes + at);
}

static uint64_t attempts_counted(const struct rchan_books *books)
{
    uint64_t sum = books->written_records;
    for (unsigned cause = 0; cause < RCHAN_DROP_CAUSES; cause++)
        sum += books->dropped_records[cause];
    return sum;
}

/* Counted is what was done; the operation that was interrupted counts or not. */
static uint64_t check_books(struct rchan_channel *channel, const struct log *log)
{
    struct rchan_books books = fixture_books(&channel->buffers[0]);
    uint64_t attempted = attempts_counted(&books);
    CHECK(attempted == log->done || attempted == log->started);
    CHECK_EQ(fixture_open_records(&books, attempted), 0);
    CHECK((int64_t)books.readable_records >= 0 && (int64_t)books.readable_bytes >= 0);
    return attempted;
}

/* A write that is stored or finds the buffer full: never contended, whoever was killed. */
static enum rchan_outcome write_at_once(struct rchan_channel *channel, uint64_t *attempted)
{
    uint8_t bytes[RECORD];
    record_make(bytes, MAX_SEQ + 1);
    enum rchan_outcome outcome = rchan_write(channel, 0, bytes, RECORD);
    ++*attempted;
    CHECK(outcome == RCHAN_STORED || outcome == RCHAN_DROPPED_FULL);
    return outcome;
}

/* Write, read, write again: the books close, and nothing is held. */
static void check_goes_on(struct rchan_channel *channel, uint64_t attempted)
{
    struct found found;
    enum rchan_outcome outcome = write_at_once(channel, &attempted);
    struct rchan_books books = fixture_books(&channel->buffers[0]);
    CHECK_EQ(attempts_counted(&books), attempted);
    read_records(channel, &found);
    if (outcome == RCHAN_STORED)
        CHECK(found.count && found.seqs[found.count - 1] == MAX_SEQ + 1);
    CHECK_EQ(write_at_once(channel, &attempted), RCHAN_STORED);
    CHECK_EQ(rchan_buffer_flush(&channel->buffers[0]), 0);
    read_records(channel, &found);
    CHECK_EQ(found.count, 1);
    books = fixture_books(&channel->buffers[0]);
    CHECK_EQ(books.readable_records, 0);
    CHECK_EQ(books.readable_bytes, 0);
    CHECK_EQ(fixture_open_records(&books, attempted), 0);
    CHECK_EQ(rchan_load(&channel->buffers[0].block->owner), 0);
    CHECK_EQ(rchan_load(&channel->buffers[0].block->reader), 0);
}

/* Every write that came back as stored is there, in order; at most the last one started more. */
static void check_all_there(struct rchan_channel *channel, const struct log *log)
{
    struct found found;
    uint64_t at = 0;
    read_records(channel, &found);
    for (uint64_t seq = 0; seq < log->done; seq++)
        if (log->outcome[seq] == RCHAN_STORED)
            CHECK(at < found.count && found.seqs[at++] == (int64_t)seq);
    if (at < found.count)
        CHECK_EQ(found.seqs[at++], log->done);
    CHECK_EQ(at, found.count);
}

/* ---- writers ---- */

static void act_write(struct rchan_channel *channel, struct log *log)
{
    for (int i = 0; i < WRITES; i++)
        log_write(channel, log, 0);
}

static void check_no_overwrite(struct rchan_channel *channel, struct log *log, bool killed)
{
    uint64_t attempted = check_books(channel, log);
    CHECK(killed || attempted == WRITES);
    check_all_there(channel, log);
    check_goes_on(channel, attempted);
}

TEST(a_writer_is_killed)
{
    static const struct scene scene = {set_no_overwrite, act_write, check_no_overwrite};
    CHECK(kill_everywhere(&scene) > 3 * WRITES);
}

static void check_overwrite(struct rchan_channel *channel, struct log *log, bool killed)
{
    struct found found;
    uint64_t attempted = check_books(channel, log);
    CHECK(killed || attempted == WRITES);
    read_records(channel, &found);
    CHECK(found.count <= MOST);
    CHECK(found.count || !log->done);
    for (uint64_t i = 1; i < found.count; i++)
        CHECK_EQ(found.seqs[i], found.seqs[i - 1] + 1);
    if (found.count)
        CHECK_EQ(found.seqs[found.count - 1], attempted - 1);
    struct rchan_books books = fixture_books(&channel->buffers[0]);
    CHECK_EQ(books.consumed_bytes, found.count * RECORD);
    CHECK_EQ(books.overwritten_records, attempted - found.count);
    check_goes_on(channel, attempted);
}

TEST(an_overwriting_writer_is_killed)
{
    static const struct scene scene = {set_overwrite, act_write, check_overwrite};
    CHECK(kill_everywhere(&scene) > 3 * WRITES);
}

static void act_reserve(struct rchan_channel *channel, struct log *log)
{
    for (int i = 0; i < WRITES; i++) {
        struct rchan_reservation place;
        uint64_t seq = log->started++;
        log->outcome[seq] = (uint8_t)rchan_reserve(channel, 0, SUBBUF_SIZE / 2, &place);
        if (log->outcome[seq] == RCHAN_STORED) {
            record_make(place.data, seq);
            rchan_commit(&place, RECORD);
        }
        log->done++;
    }
}

TEST(a_writer_with_a_reservation_is_killed)
{
    static const struct scene scene = {set_no_overwrite, act_reserve, check_no_overwrite};
    CHECK(kill_everywhere(&scene) > 3 * WRITES);
}

static void act_flush(struct rchan_channel *channel, struct log *log)
{
    for (int i = 0; i < N_SUBBUFS + 1; i++) {
        log_write(channel, log, 0);
        rchan_buffer_flush(&channel->buffers[0]);
    }
}

static void check_flush(struct rchan_channel *channel, struct log *log, bool killed)
{
    (void)killed;
    uint64_t attempted = check_books(channel, log);
    check_all_there(channel, log);
    check_goes_on(channel, attempted);
}

TEST(a_flush_is_killed)
{
    static const struct scene scene = {set_no_overwrite, act_flush, check_flush};
    CHECK(kill_everywhere(&scene) > 2 * N_SUBBUFS);
}

static void act_finish(struct rchan_channel *channel, struct log *log)
{
    for (int i = 0; i < N_SUBBUFS + 1; i++) {
        log_write(channel, log, 0);
        rchan_buffer_finish(&channel->buffers[0], UINT64_MAX);
    }
}

TEST(a_readers_flush_is_killed)
{
    static const struct scene scene = {set_no_overwrite, act_finish, check_flush};
    CHECK(kill_everywhere(&scene) > 2 * N_SUBBUFS);
}

/* ---- reset ---- */

static void act_reset(struct rchan_channel *channel, struct log *log)
{
    uint8_t bytes[RECORD];
    for (int i = 0; i < 5; i++)
        log_write(channel, log, 0);
    rchan_read(&channel->buffers[0], bytes, RECORD);
    rchan_buffer_reset(&channel->buffers[0]);
    log->number = 1;
    log_write(channel, log, 0);
}

static void check_reset(struct rchan_channel *channel, struct log *log, bool killed)
{
    (void)killed;
    CHECK_EQ(rchan_buffer_flush(&channel->buffers[0]), 0); /* takes over, ends the reset */
    uint64_t attempted = check_books(channel, log);
    struct rchan_books books = fixture_books(&channel->buffers[0]);
    /* a sub-buffer that was read in part counts its records as discarded, its bytes as each went */
    CHECK(!log->number || (books.discarded_records == 5 && books.discarded_bytes == 4 * RECORD));
    check_goes_on(channel, attempted);
}

TEST(a_reset_is_killed)
{
    static const struct scene no_overwrite = {set_no_overwrite, act_reset, check_reset};
    static const struct scene overwrite = {set_overwrite, act_reset, check_reset};
    CHECK(kill_everywhere(&no_overwrite) > 20);
    CHECK(kill_everywhere(&overwrite) > 20);
}

/* A reader had been killed just before its `tail`: what it says it consumed, nobody did. */
static struct rchan_channel *set_dead_reader(struct log *log)
{
    struct rchan_channel *channel = set_no_overwrite(log);
    for (int i = 0; i < 2; i++)
        log_write(channel, log, 0);
    struct rchan_account *account = channel->buffers[0].block->account;
    struct rchan_account *next = &account[rchan_load(&account[0].tail) == 0];
    rchan_store(&next->consumed_bytes, RECORD);
    rchan_store(&next->consumed_records, 1);
    rchan_store(&next->tail, RECORD);
    return channel;
}

static void act_only_reset(struct rchan_channel *channel, struct log *log)
{
    (void)log;
    rchan_buffer_reset(&channel->buffers[0]);
}

static void check_nothing_consumed(struct rchan_channel *channel, struct log *log, bool killed)
{
    (void)killed;
    for (int i = 0; i < 2; i++) {
        struct rchan_books books = fixture_books(&channel->buffers[0]);
        CHECK_EQ(books.consumed_records, 0);
        CHECK_EQ(books.consumed_bytes, 0);
        CHECK_EQ(books.discarded_records + books.readable_records, 2);
        CHECK_EQ(rchan_buffer_flush(&channel->buffers[0]), 0);
    }
    check_books(channel, log);
}

TEST(a_reset_is_killed_after_a_reader)
{
    static const struct scene scene = {set_dead_reader, act_only_reset, check_nothing_consumed};
    CHECK(kill_everywhere(&scene) > 10);
}

/* ---- readers ---- */

static struct rchan_channel *filled(struct rchan_channel *channel, struct log *log)
{
    for (int i = 0; i < MOST; i++)
        log_write(channel, log, 0);
    return channel;
}

static struct rchan_channel *set_filled(struct log *log)
{
    return filled(set_no_overwrite(log), log);
}

static struct rchan_channel *set_lapped(struct log *log)
{
    struct rchan_channel *channel = filled(set_overwrite(log), log);
    return filled(channel, log);
}

/* log->number: records that were read for certain. */
static void act_read(struct rchan_channel *channel, struct log *log)
{
    uint8_t bytes[RECORD];
    while (rchan_read(&channel->buffers[0], bytes, RECORD) == RECORD)
        log->number++;
}

static void act_take(struct rchan_channel *channel, struct log *log)
{
    struct rchan_subbuf subbuf;
    while (rchan_subbuf_take(&channel->buffers[0], &subbuf) == 1) {
        uint64_t records = subbuf.records;
        if (rchan_subbuf_give_back(&subbuf, UINT64_MAX))
            log->number += records;
    }
}

/* The next reader starts where the dead one was, or one step further: nothing twice, no gap. */
static void check_reader(struct rchan_channel *channel, struct log *log, bool killed)
{
    struct found found;
    struct rchan_books before = fixture_books(&channel->buffers[0]);
    uint64_t attempted = check_books(channel, log);
    CHECK_EQ(rchan_buffer_flush(&channel->buffers[0]), 0);
    read_records(channel, &found);
    struct rchan_books after = fixture_books(&channel->buffers[0]);
    CHECK_EQ(after.consumed_records + after.overwritten_records, attempted);
    if (found.count)
        CHECK_EQ(found.seqs[found.count - 1], attempted - 1);
    for (uint64_t i = 1; i < found.count; i++)
        CHECK_EQ(found.seqs[i], found.seqs[i - 1] + 1);
    uint64_t gone = after.consumed_bytes / RECORD - found.count;
    CHECK_EQ(before.consumed_bytes / RECORD, gone);
    CHECK(gone == log->number || (killed && gone > log->number && gone <= log->number + 2));
    check_goes_on(channel, attempted);
}

TEST(a_reader_is_killed)
{
    static const struct scene filled_scene = {set_filled, act_read, check_reader};
    static const struct scene lapped_scene = {set_lapped, act_read, check_reader};
    CHECK(kill_everywhere(&filled_scene) > MOST);
    CHECK(kill_everywhere(&lapped_scene) > MOST / 2);
}

TEST(a_taker_is_killed)
{
    static const struct scene filled_scene = {set_filled, act_take, check_reader};
    static const struct scene lapped_scene = {set_lapped, act_take, check_reader};
    CHECK(kill_everywhere(&filled_scene) > 4);
    CHECK(kill_everywhere(&lapped_scene) > 2);
}

/* ---- wake-ups ---- */

static struct rchan_channel *set_sleeper(struct log *log)
{
    struct rchan_channel *channel = set_no_overwrite(log);
    rchan_a64 *wake = &channel->buffers[0].block->wake;
    pid_t sleeper = fork();
    if (!sleeper) {
        uint32_t epoch = rchan_sleeper_add(wake);
        _exit(rchan_sleep(wake, epoch, INT64_C(60000000000)) ? 1 : 0);
    }
    while (!rchan_wake_wanted(wake))
        sched_yield();
    log->number = (uint64_t)sleeper;
    return channel;
}

/* Whoever slept is woken: by the dead writer, or when the next one finishes a sub-buffer. */
static void check_sleeper(struct rchan_channel *channel, struct log *log, bool killed)
{
    int status = -1;
    uint64_t attempted = check_books(channel, log);
    check_all_there(channel, log);
    if (killed)
        for (int i = 0; i < 2; i++) /* the first may only end FULL */
            CHECK_EQ(rchan_buffer_flush(&channel->buffers[0]), 0);
    CHECK_EQ(waitpid((pid_t)log->number, &status, 0), log->number);
    CHECK_EQ(status, 0);
    CHECK(!rchan_wake_wanted(&channel->buffers[0].block->wake));
    check_goes_on(channel, attempted);
}

TEST(a_waker_is_killed)
{
    static const struct scene scene = {set_sleeper, act_write, check_sleeper};
    CHECK(kill_everywhere(&scene) > 3 * WRITES);
}

/* ---- a second death: whoever takes over from the dead is killed, too ---- */

static struct rchan_channel *set_dead_owner(struct log *log)
{
    struct rchan_channel *channel = set_no_overwrite(log);
    struct rchan_block *block = channel->buffers[0].block;
    for (int i = 0; i < 3; i++)
        log_write(channel, log, 0);
    /* As a writer leaves it that died between the stores of `pending` and `head`. */
    struct rchan_channel *dead = fixture_attach("kill");
    uint64_t value = rchan_load(&dead->owner_value);
    rchan_store(&block->pending,
                rchan_load(&block->pending) + (UINT64_C(1) << channel->shift) + RECORD);
    rchan_channel_detach(dead);
    rchan_store(&block->owner, value);
    rchan_store(&block->reader, value);
    return channel;
}

TEST(who_takes_over_is_killed)
{
    static const struct scene writer = {set_dead_owner, act_write, check_flush};
    CHECK(kill_everywhere(&writer) > WRITES);
}
