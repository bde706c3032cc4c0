/* The books close after every operation, whatever the order: attempted = where each record went. */
#include "books.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "testpoint.h"

/* What the test itself knows was attempted. */
struct attempts {
    uint64_t records, bytes;
};

static uint64_t dropped_bytes(const struct rchan_books *books)
{
    uint64_t sum = 0;
    for (unsigned cause = 0; cause < RCHAN_DROP_CAUSES; cause++)
        sum += books->dropped_bytes[cause];
    return sum;
}

static void check_closed(struct rchan_channel *channel, const struct attempts *attempts)
{
    struct rchan_books books = fixture_books(&channel->buffers[0]);
    uint64_t bytes = books.readable_bytes + books.consumed_bytes + books.overwritten_bytes +
                     books.discarded_bytes + dropped_bytes(&books);
    CHECK_EQ(fixture_open_records(&books, attempts->records), 0);
    CHECK_EQ(bytes, attempts->bytes);
    CHECK((int64_t)books.readable_records >= 0);
    CHECK((int64_t)books.readable_bytes >= 0);
}

static void attempt(struct rchan_channel *channel, struct attempts *attempts, uint64_t length)
{
    enum rchan_outcome outcome = fixture_write(channel, (uint8_t)length, length);
    if (length || outcome != RCHAN_STORED) { /* nothing, stored, is no record */
        attempts->records++;
        attempts->bytes += length;
    }
}

static void attempt_reserved(struct rchan_channel *channel, struct attempts *attempts,
                             uint64_t length, bool keep)
{
    struct rchan_reservation place;
    enum rchan_outcome outcome = rchan_reserve(channel, 0, length, &place);
    if (outcome == RCHAN_STORED && place.buffer) {
        memset(place.data, 0xee, length);
        if (!keep) {
            rchan_abort(&place);
            return;
        }
        rchan_commit(&place, length);
    }
    if (length || outcome != RCHAN_STORED) {
        attempts->records++;
        attempts->bytes += length;
    }
}

static void take_one(struct rchan_channel *channel, uint64_t part)
{
    struct rchan_subbuf subbuf;
    if (rchan_subbuf_take(&channel->buffers[0], &subbuf) != 1)
        return;
    if (part % 3)
        rchan_subbuf_give_back(&subbuf, part % 3 == 1 ? UINT64_MAX : subbuf.length / 2);
    else
        rchan_subbuf_put_down(&subbuf);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void any_operation(struct rchan_channel *channel, struct attempts *attempts, uint64_t choice,
                          uint64_t size)
{
    uint8_t got[256];
    struct rchan_buffer *buffer = &channel->buffers[0];
    switch (choice % 16) {
    default:
        attempt(channel, attempts, size % 40);
        break;
    case 8:
        attempt_reserved(channel, attempts, size % 40, size & 64);
        break;
    case 9:
    case 10:
        CHECK(rchan_read(buffer, got, size % sizeof got) >= 0);
        break;
    case 11:
        take_one(channel, size);
        break;
    case 12:
        CHECK_EQ(rchan_subbufs_consumed(buffer, size % 4), 0);
        break;
    case 13:
        CHECK_EQ(rchan_buffer_flush(buffer), 0);
        break;
    case 14:
        rchan_channel_enable(channel, size & 1);
        break;
    case 15:
        if (size % 8 == 0)
            CHECK_EQ(rchan_buffer_reset(buffer), 0);
    }
}

static void any_order(uint64_t subbuf_size, uint64_t n_subbufs, bool overwrite)
{
    struct rchan_channel *channel = fixture_channel("any", subbuf_size, n_subbufs, overwrite);
    struct attempts attempts = {0};
    uint64_t state = subbuf_size * 1000003 + n_subbufs * 31 + overwrite + 1;
    for (int i = 0; i < 3000; i++) {
        any_operation(channel, &attempts, next_random(&state) >> 20, next_random(&state) >> 20);
        check_closed(channel, &attempts);
    }
    fixture_close(channel);
}

TEST(no_overwrite_closes)
{
    static const uint64_t geometry[][2] = {{1, 1}, {1, 3}, {7, 1}, {32, 2}, {32, 3}, {64, 8}};
    for (unsigned i = 0; i < sizeof geometry / sizeof geometry[0]; i++)
        any_order(geometry[i][0], geometry[i][1], false);
}

TEST(overwrite_closes)
{
    static const uint64_t geometry[][2] = {{1, 1}, {1, 3}, {7, 1}, {32, 2}, {32, 3}, {64, 8}};
    for (unsigned i = 0; i < sizeof geometry / sizeof geometry[0]; i++)
        any_order(geometry[i][0], geometry[i][1], true);
}

TEST(each_loss_has_its_cause)
{
    struct rchan_channel *channel = fixture_channel("causes", 16, 1, false);
    struct rchan_reservation place;
    fixture_write(channel, 1, 17);
    fixture_write(channel, 1, 16);
    fixture_write(channel, 1, 3);
    rchan_channel_enable(channel, false);
    fixture_write(channel, 1, 2);
    rchan_channel_enable(channel, true);
    rchan_subbufs_consumed(&channel->buffers[0], 1);
    REQUIRE(rchan_reserve(channel, 0, 1, &place) == RCHAN_STORED);
    fixture_write(channel, 1, 5);
    rchan_abort(&place);
    struct rchan_books books = fixture_books(&channel->buffers[0]);
    static const uint64_t wanted[RCHAN_DROP_CAUSES][2] = {
        [RCHAN_DROP_TOO_BIG] = {1, 17},
        [RCHAN_DROP_FULL] = {1, 3},
        [RCHAN_DROP_DISABLED] = {1, 2},
        [RCHAN_DROP_CONTENDED] = {1, 5},
    };
    for (unsigned cause = 0; cause < RCHAN_DROP_CAUSES; cause++) {
        CHECK_EQ(books.dropped_records[cause], wanted[cause][0]);
        CHECK_EQ(books.dropped_bytes[cause], wanted[cause][1]);
    }
    CHECK_EQ(books.consumed_records, 1);
    fixture_close(channel);
}

TEST(only_switches_that_find_a_sleeper_count_as_wakeups)
{
    struct rchan_channel *channel = fixture_channel("wakeups", 16, 4, false);
    rchan_buffer_flush(&channel->buffers[0]);
    CHECK_EQ(fixture_books(&channel->buffers[0]).wakeups, 0);
    rchan_add(&channel->buffers[0].block->wake, 1); /* a sleeper */
    rchan_buffer_flush(&channel->buffers[0]);
    rchan_buffer_flush(&channel->buffers[0]);
    CHECK_EQ(fixture_books(&channel->buffers[0]).wakeups, 1);
    CHECK_EQ((uint32_t)rchan_load(&channel->buffers[0].block->wake), 0);
    fixture_close(channel);
}

#ifdef RCHAN_TESTPOINTS
enum { FIRST = 40, KILLED = 46 };

static struct {
    struct rchan_channel *channel;
    uint64_t lengths[3]; /* of records written there, up to a 0 */
} intruder;

static void kill_at(const char *point)
{
    if (!strcmp(point, "write: pending stored"))
        kill(getpid(), SIGKILL);
}

static void intrude(const char *point)
{
    if (strcmp(point, "books: pending read"))
        return;
    rchan_testpoint_hook = NULL;
    for (int i = 0; i < 3 && intruder.lengths[i]; i++)
        CHECK_EQ(fixture_write(intruder.channel, 2, intruder.lengths[i]), RCHAN_STORED);
}

/* `pending` says: a record of KILLED bytes. Its writer was killed before `head` did; others come. */
static void leave_a_killed_record(void)
{
    pid_t child = fork();
    if (!child) {
        rchan_testpoint_hook = kill_at;
        fixture_write(intruder.channel, 1, KILLED);
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
}

/* Whatever is written while they are read: the books end behind a record. */
static void check_ends_behind_a_record(void)
{
    struct rchan_books books = fixture_books(&intruder.channel->buffers[0]);
    uint64_t records = 1, end = FIRST;
    for (int i = 0; i < 3 && intruder.lengths[i] && end < books.offset; i++) {
        records++;
        end += intruder.lengths[i];
    }
    CHECK_EQ(books.offset, end);
    CHECK_EQ(books.written_bytes, end);
    CHECK_EQ(books.written_records, records);
}

TEST(a_record_that_was_never_committed_is_in_no_books)
{
    static const uint64_t lengths[][3] = {{0},         {20},     {KILLED},        {60},
                                          {20, 20},    {20, 26}, {60, 20},        {KILLED, 20},
                                          {20, 20, 6}, {60, 60}, {20, 20, KILLED}};
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct rchan_channel *channel = fixture_channel("killed", 256, 2, false);
        CHECK_EQ(fixture_write(channel, 0, FIRST), RCHAN_STORED);
        intruder.channel = channel;
        memcpy(intruder.lengths, lengths[i], sizeof lengths[i]);
        leave_a_killed_record();
        rchan_testpoint_hook = intrude;
        check_ends_behind_a_record();
        rchan_testpoint_hook = NULL;
        fixture_close(channel);
    }
}
#endif
