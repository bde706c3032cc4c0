/* Reading along: positions, losses, cuts; a writer or a reset in the middle; damaged memory. */
#include "tap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "testpoint.h"

enum { SUBBUF = 32, MAX_SEEN = 256 };

static uint8_t got[SUBBUF];
static struct rchan_copy copy;

static struct rchan_buffer *buffer_of(struct rchan_channel *channel)
{
    return &channel->buffers[0];
}

/* A sub-buffer full: four records of 8 bytes, each the number of the sub-buffer. */
static void write_subbuf(struct rchan_channel *channel, uint64_t number)
{
    for (int i = 0; i < 4; i++)
        CHECK_EQ(rchan_write(channel, 0, &number, sizeof number), RCHAN_STORED);
}

static void write_subbufs(struct rchan_channel *channel, uint64_t first, uint64_t end)
{
    for (uint64_t number = first; number < end; number++)
        write_subbuf(channel, number);
}

static int next(struct rchan_tap *tap)
{
    for (int tries = 0; tries < 64; tries++) {
        memset(got, 0xee, sizeof got);
        int result = rchan_tap_look(tap, &copy);
        if (result <= 0 || rchan_tap_copy(tap, &copy, got))
            return result;
    }
    return 0;
}

static bool holds(uint64_t number, uint64_t records)
{
    uint64_t found;
    bool same = copy.length == records * sizeof number && copy.records == records;
    for (uint64_t i = 0; i < records; i++) {
        memcpy(&found, got + i * sizeof found, sizeof found);
        same = same && found == number;
    }
    return same;
}

static void check_missed(const struct rchan_loss *missed, uint64_t subbufs, uint64_t records)
{
    CHECK_EQ(missed->subbufs, subbufs);
    CHECK_EQ(missed->records, records);
    CHECK_EQ(missed->bytes, records * 8);
}

static struct rchan_tap tap_of(struct rchan_channel *channel, enum rchan_tap_from from)
{
    struct rchan_tap tap;
    REQUIRE(rchan_tap_start(buffer_of(channel), from, &tap) == 0);
    return tap;
}

TEST(it_reads_along_and_changes_no_shared_byte)
{
    struct rchan_channel *channel = fixture_channel("along", SUBBUF, 4, false);
    static uint8_t before[4096 * 16];
    write_subbufs(channel, 0, 3);
    REQUIRE(channel->map_size <= sizeof before);
    memcpy(before, channel->header, channel->map_size);
    struct rchan_tap first = tap_of(channel, RCHAN_TAP_UNREAD);
    struct rchan_tap second = tap_of(channel, RCHAN_TAP_OLDEST);
    for (uint64_t number = 0; number < 2; number++) {
        CHECK_EQ(next(&first), 1);
        CHECK(holds(number, 4) && copy.seq == number && copy.finished);
        CHECK_EQ(next(&second), 1);
        CHECK(holds(number, 4));
        check_missed(&copy.missed, 0, 0);
    }
    CHECK(!rchan_tap_ready(&first));
    CHECK_EQ(next(&first), 0);
    CHECK_EQ(rchan_tap_cut(&first, NULL), 0);
    CHECK_EQ(next(&first), 1);
    CHECK(memcmp(before, channel->header, channel->map_size) == 0);
    write_subbuf(channel, 3);
    CHECK(rchan_tap_ready(&second));
    CHECK_EQ(next(&second), 1);
    CHECK(holds(2, 4));
    fixture_close(channel);
}

TEST(it_starts_at_the_unread_the_oldest_or_now)
{
    struct rchan_channel *channel = fixture_channel("starts", SUBBUF, 4, false);
    uint8_t bytes[40];
    write_subbufs(channel, 0, 4);
    CHECK_EQ(rchan_read(buffer_of(channel), bytes, sizeof bytes), sizeof bytes);
    struct rchan_tap unread = tap_of(channel, RCHAN_TAP_UNREAD);
    struct rchan_tap oldest = tap_of(channel, RCHAN_TAP_OLDEST);
    struct rchan_tap now = tap_of(channel, RCHAN_TAP_NOW);
    rchan_buffer_flush(buffer_of(channel));
    CHECK_EQ(next(&unread), 1); /* the consumer is in it; from its beginning all the same */
    CHECK(holds(1, 4));
    CHECK_EQ(next(&oldest), 1); /* started anew: its memory is 4's */
    CHECK(holds(1, 4));
    check_missed(&copy.missed, 1, 4);
    CHECK_EQ(next(&now), 1);
    CHECK(holds(3, 4));
    fixture_close(channel);
}

TEST(a_lap_is_counted_exactly)
{
    struct rchan_channel *channel = fixture_channel("lap", SUBBUF, 3, true);
    struct rchan_tap tap = tap_of(channel, RCHAN_TAP_UNREAD);
    write_subbufs(channel, 0, 7);
    CHECK_EQ(next(&tap), 1);
    CHECK(holds(4, 4));
    check_missed(&copy.missed, 4, 16);
    CHECK_EQ(next(&tap), 1);
    CHECK(holds(5, 4));
    check_missed(&copy.missed, 0, 0);
    tap = tap_of(channel, RCHAN_TAP_UNREAD); /* the tail never moved */
    CHECK_EQ(next(&tap), 1);
    check_missed(&copy.missed, 4, 16);
    fixture_close(channel);
}

TEST(empty_subbuffers_are_passed_by)
{
    struct rchan_channel *channel = fixture_channel("empty", SUBBUF, 4, false);
    struct rchan_tap tap = tap_of(channel, RCHAN_TAP_UNREAD);
    rchan_buffer_flush(buffer_of(channel));
    rchan_buffer_flush(buffer_of(channel));
    write_subbufs(channel, 2, 3);
    rchan_buffer_flush(buffer_of(channel));
    CHECK_EQ(next(&tap), 1);
    CHECK(holds(2, 4) && copy.seq == 2 && !copy.missed.subbufs);
    fixture_close(channel);
}

TEST(drops_are_told_by_cause_where_they_happened)
{
    struct rchan_channel *channel = fixture_channel("drops", SUBBUF, 2, false);
    struct rchan_tap tap = tap_of(channel, RCHAN_TAP_UNREAD);
    uint64_t number = 9;
    uint8_t bytes[2 * SUBBUF];
    write_subbufs(channel, 0, 2);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(rchan_write(channel, 0, &number, 8), RCHAN_DROPPED_FULL);
    CHECK_EQ(rchan_read(buffer_of(channel), bytes, sizeof bytes), sizeof bytes);
    write_subbuf(channel, 2);
    CHECK_EQ(rchan_write(channel, 0, bytes, 2 * SUBBUF), RCHAN_DROPPED_TOO_BIG);
    write_subbuf(channel, 3);
    rchan_buffer_flush(buffer_of(channel));
    CHECK_EQ(next(&tap), 1);
    CHECK(holds(2, 4)); /* 0 and 1 were consumed, and their memory was used again */
    check_missed(&copy.missed, 2, 8);
    CHECK_EQ(copy.drop_records[RCHAN_DROP_FULL], 3);
    CHECK_EQ(next(&tap), 1);
    CHECK(holds(3, 4));
    CHECK_EQ(copy.lost_records[RCHAN_DROP_TOO_BIG], 1);
    CHECK_EQ(copy.lost_bytes[RCHAN_DROP_TOO_BIG], 2 * SUBBUF);
    CHECK_EQ(copy.lost_records[RCHAN_DROP_FULL], 0);
    fixture_close(channel);
}

TEST(a_cut_takes_what_is_unfinished_and_no_more)
{
    struct rchan_channel *channel = fixture_channel("cut", SUBBUF, 3, true);
    struct rchan_books books;
    uint64_t number = 2;
    write_subbufs(channel, 0, 2);
    rchan_write(channel, 0, &number, 8);
    struct rchan_tap tap = tap_of(channel, RCHAN_TAP_OLDEST), lapped = tap;
    CHECK_EQ(rchan_tap_cut(&tap, &books), 0);
    CHECK_EQ(rchan_tap_cut(&lapped, NULL), 0);
    CHECK_EQ(books.written_records, 9);
    for (int i = 0; i < 3; i++)
        rchan_write(channel, 0, &number, 8);
    write_subbuf(channel, 3); /* the memory of 0 */
    CHECK_EQ(next(&tap), 1);
    CHECK(holds(1, 4) && copy.finished);
    check_missed(&copy.missed, 1, 4);
    CHECK_EQ(next(&tap), 1);
    CHECK(holds(2, 1) && !copy.finished);
    CHECK_EQ(next(&tap), 0);
    struct rchan_loss rest = rchan_tap_rest(&tap);
    check_missed(&rest, 0, 0);
    write_subbufs(channel, 4, 7); /* all that the cut had */
    CHECK_EQ(next(&lapped), 0);
    rest = rchan_tap_rest(&lapped);
    check_missed(&rest, 3, 9);
    fixture_close(channel);
}

TEST(a_reset_is_told_and_its_loss_counted)
{
    struct rchan_channel *channel = fixture_channel("reset", SUBBUF, 4, false);
    struct rchan_tap tap = tap_of(channel, RCHAN_TAP_UNREAD);
    write_subbufs(channel, 0, 3);
    CHECK_EQ(next(&tap), 1);
    CHECK_EQ(rchan_buffer_reset(buffer_of(channel)), 0);
    CHECK(!rchan_tap_ready(&tap));
    CHECK_EQ(next(&tap), 0);
    write_subbufs(channel, 7, 9);
    CHECK(rchan_tap_ready(&tap));
    CHECK_EQ(next(&tap), 1);
    CHECK(holds(7, 4) && copy.seq == 0 && copy.was_reset);
    CHECK_EQ(copy.missed.records, 8); /* 1 and 2; how many sub-buffers nobody knows */
    CHECK_EQ(copy.missed.subbufs, 0);
    rchan_buffer_flush(buffer_of(channel));
    CHECK_EQ(next(&tap), 1);
    CHECK(holds(8, 4) && !copy.was_reset);
    fixture_close(channel);
}

/* ---- damaged memory ---- */

static void check_survives(struct rchan_channel *channel, struct rchan_tap tap)
{
    struct rchan_books books;
    for (int i = 0; i < 20 && next(&tap) > 0; i++)
        CHECK(copy.length <= SUBBUF);
    rchan_tap_ready(&tap);
    for (int from = RCHAN_TAP_UNREAD; from <= RCHAN_TAP_NOW; from++) {
        if (rchan_tap_start(buffer_of(channel), (enum rchan_tap_from)from, &tap))
            continue;
        int cut = rchan_tap_cut(&tap, &books);
        CHECK(cut == 0 || cut == -EBADMSG || cut == -EAGAIN);
        for (int i = 0; i < 20 && next(&tap) > 0; i++)
            CHECK(copy.length <= SUBBUF);
    }
}

TEST(any_value_in_any_word_is_survived)
{
    static const uint64_t values[] = {1,          2,          63,         UINT32_MAX,
                                      INT64_MAX,  UINT64_MAX, 1ull << 63, UINT64_MAX - 3,
                                      1ull << 32, 33ull << 6, 34};
    for (int overwrite = 0; overwrite < 2; overwrite++) {
        struct rchan_channel *channel = fixture_channel("hostile", SUBBUF, 3, overwrite);
        write_subbufs(channel, 0, 3);
        struct rchan_block *block = buffer_of(channel)->block;
        rchan_a64 *words = (rchan_a64 *)block;
        for (size_t i = 0; i < (sizeof *block + 3 * sizeof *block->meta) / 8; i++) {
            uint64_t kept = rchan_load(&words[i]);
            for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
                struct rchan_tap tap = tap_of(channel, RCHAN_TAP_UNREAD);
                rchan_store(&words[i], values[k]);
                check_survives(channel, tap);
                rchan_store(&words[i], kept);
            }
        }
        fixture_close(channel);
    }
}

/* ---- a writer, or a reset, in the middle ---- */

#ifdef RCHAN_TESTPOINTS
static struct {
    struct rchan_channel *channel;
    const char *point;
    uint64_t next, end; /* sub-buffers that it writes */
    bool reset, done;
} intruder;

static void intrude(const char *point)
{
    if (intruder.done || strcmp(point, intruder.point))
        return;
    intruder.done = true;
    if (intruder.reset)
        CHECK_EQ(rchan_buffer_reset(buffer_of(intruder.channel)), 0);
    write_subbufs(intruder.channel, intruder.next, intruder.end);
}

static const char *const points[] = {"tap: starting", "tap: looking", "tap: copying",
                                     "tap: copied"};

/* All that it has to give, each whole and in order: records delivered or missed. */
static uint64_t drain(struct rchan_tap *tap)
{
    uint64_t records = 0, last = 0, number;
    while (next(tap) > 0) {
        memcpy(&number, got, sizeof number);
        CHECK(holds(number, 4));
        CHECK(number > last);
        last = number;
        records += copy.missed.records + copy.records;
    }
    return records;
}

static void play(const char *point, uint64_t n_subbufs, uint64_t intrusion, bool reset,
                 bool cut_first)
{
    struct rchan_channel *channel = fixture_channel("intruder", SUBBUF, n_subbufs, true);
    write_subbufs(channel, 1, 6);
    intruder = (__typeof__(intruder)){channel, point, 6, 6 + intrusion, reset, false};
    rchan_testpoint_hook = intrude;
    check_context = point;
    struct rchan_tap tap = tap_of(channel, RCHAN_TAP_OLDEST);
    uint64_t records = tap.records;
    if (!cut_first)
        records += drain(&tap);
    uint64_t written = intruder.done ? 5 + intrusion : 5;
    CHECK_EQ(rchan_tap_cut(&tap, NULL), 0);
    records += drain(&tap) + rchan_tap_rest(&tap).records;
    rchan_testpoint_hook = NULL;
    CHECK_EQ(records, written * 4);
    check_context = NULL;
    fixture_close(channel);
}

TEST(an_intruder_anywhere_tears_nothing_and_hides_nothing)
{
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        for (uint64_t n_subbufs = 1; n_subbufs <= 4; n_subbufs++)
            for (uint64_t intrusion = 0; intrusion <= 9; intrusion++)
                for (int kind = 0; kind < 4; kind++)
                    play(points[i], n_subbufs, intrusion, kind & 1, kind & 2);
}

static void kill_at(const char *point)
{
    if (!strcmp(point, intruder.point))
        kill(getpid(), SIGKILL);
}

/* Nothing while the reset is half done; a tap does not end it, the next writer does. */
TEST(a_reset_whose_maker_was_killed)
{
    static const char *const halves[] = {"reset: started", "reset: accounts stored",
                                         "reset: tail stored"};
    for (int i = 0; i < 3; i++) {
        struct rchan_channel *channel = fixture_channel("halfreset", SUBBUF, 4, false);
        write_subbufs(channel, 0, 3);
        struct rchan_tap tap = tap_of(channel, RCHAN_TAP_UNREAD);
        CHECK_EQ(next(&tap), 1);
        intruder.point = check_context = halves[i];
        pid_t child = fork();
        if (!child) {
            rchan_testpoint_hook = kill_at;
            rchan_buffer_reset(buffer_of(channel));
            _exit(0);
        }
        int status;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status));
        CHECK(!rchan_tap_ready(&tap) && next(&tap) == 0);
        struct rchan_tap late = tap_of(channel, RCHAN_TAP_OLDEST);
        CHECK_EQ(next(&late), 0);
        write_subbufs(channel, 7, 9);
        CHECK_EQ(next(&tap), 1);
        CHECK(holds(7, 4) && copy.was_reset && copy.missed.records == 8);
        CHECK_EQ(next(&late), 1);
        CHECK(holds(7, 4) && !copy.was_reset && copy.missed.records == 0);
        fixture_close(channel);
    }
    check_context = NULL;
}

TEST(a_copy_that_was_overtaken_is_refused)
{
    struct rchan_channel *channel = fixture_channel("torn", SUBBUF, 3, true);
    write_subbufs(channel, 0, 3);
    struct rchan_tap tap = tap_of(channel, RCHAN_TAP_OLDEST);
    for (size_t i = 2; i < sizeof points / sizeof *points; i++) {
        intruder = (__typeof__(intruder)){channel, points[i], 3 + i, 4 + i, false, false};
        CHECK_EQ(rchan_tap_look(&tap, &copy), 1);
        rchan_testpoint_hook = intrude;
        CHECK(!rchan_tap_copy(&tap, &copy, got));
        rchan_testpoint_hook = NULL;
        CHECK(intruder.done);
    }
    CHECK_EQ(next(&tap), 1);
    check_missed(&copy.missed, 2, 8);
    fixture_close(channel);
}
#endif

/* ---- threads ---- */

enum { WRITTEN = 20000 };

static void *write_all(void *argument)
{
    for (uint64_t number = 0; number < WRITTEN; number++)
        write_subbuf(argument, number);
    return NULL;
}

/* Until `end`: nothing torn; delivered and missed together are all. */
static void *tap_all(void *argument)
{
    struct rchan_tap tap = *(struct rchan_tap *)argument;
    struct rchan_copy mine;
    uint64_t bytes[SUBBUF / 8], subbufs = 0, records = 0;
    while (subbufs < WRITTEN) {
        if (rchan_tap_look(&tap, &mine) <= 0 || !rchan_tap_copy(&tap, &mine, (uint8_t *)bytes))
            continue;
        subbufs += mine.missed.subbufs + 1;
        records += mine.missed.records + mine.records;
        for (int i = 0; i < 4; i++)
            CHECK_EQ(bytes[i], mine.seq);
    }
    CHECK_EQ(records, WRITTEN * 4);
    return NULL;
}

static void *read_all(void *argument)
{
    struct rchan_channel *channel = argument;
    uint8_t bytes[3 * SUBBUF];
    struct rchan_books books = {0};
    while (books.consumed_records + books.overwritten_records < WRITTEN * 4) {
        rchan_read(buffer_of(channel), bytes, sizeof bytes);
        books = fixture_books(buffer_of(channel));
    }
    return NULL;
}

TEST(taps_and_a_consumer_beside_a_writer)
{
    struct rchan_channel *channel = fixture_channel("beside", SUBBUF, 16, true);
    struct rchan_tap tap = tap_of(channel, RCHAN_TAP_UNREAD);
    pthread_t taps[2], reader, writer;
    for (int i = 0; i < 2; i++)
        pthread_create(&taps[i], NULL, tap_all, &tap);
    pthread_create(&reader, NULL, read_all, channel);
    pthread_create(&writer, NULL, write_all, channel);
    pthread_join(writer, NULL);
    rchan_buffer_flush(buffer_of(channel));
    pthread_join(reader, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(taps[i], NULL);
    fixture_close(channel);
}
