/* Who hands a read on is killed at every testpoint: nothing is lost, at most that read comes twice. */
#include <errno.h>
#include <string.h>

#include "killing.h"
#include "tap.h"
#include "testpoint.h"

enum { SUBBUF_SIZE = 40, N_SUBBUFS = 3, MOST = 2 * N_SUBBUFS, LONG = RCHAN_HOLD_COPIED + 1 };

static struct rchan_channel *filled(struct log *log, bool overwrite)
{
    struct rchan_channel *channel = fixture_channel("hold", SUBBUF_SIZE, N_SUBBUFS, overwrite);
    for (int i = 0; i < MOST; i++)
        log_write(channel, log, 0);
    return channel;
}

static struct rchan_channel *set_no_overwrite(struct log *log)
{
    return filled(log, false);
}

static struct rchan_channel *set_overwrite(struct log *log)
{
    return filled(log, true);
}

static int64_t hold(struct rchan_channel *channel, uint64_t count, struct rchan_hold *held)
{
    static uint8_t copy[LONG];
    held->copy = copy;
    return rchan_hold(&channel->buffers[0], count, 0, held);
}

/* log->number: records that were handed on. */
static void act_hand_on(struct rchan_channel *channel, struct log *log)
{
    static struct rchan_hold held;
    while (hold(channel, RECORD, &held) == RECORD) {
        CHECK_EQ(record_seq(held.parts[0].iov_base), log->number);
        log->number++;
        rchan_hold_end(&held, true);
    }
}

static void act_hand_all_on(struct rchan_channel *channel, struct log *log)
{
    static struct rchan_hold held;
    CHECK_EQ(hold(channel, LONG, &held), MOST * RECORD);
    log->number = MOST;
    rchan_hold_end(&held, true);
    CHECK_EQ(hold(channel, LONG, &held), 0);
}

/* log->number: records that were read for certain, after a refusal each. */
static void act_refuse(struct rchan_channel *channel, struct log *log)
{
    static struct rchan_hold held;
    uint8_t bytes[RECORD];
    for (int i = 0; i < MOST; i++) {
        CHECK_EQ(hold(channel, i % 2 ? LONG : RECORD, &held), i % 2 ? (MOST - i) * RECORD : RECORD);
        rchan_hold_end(&held, false);
        CHECK_EQ(rchan_read(&channel->buffers[0], bytes, RECORD), RECORD);
        log->number++;
    }
}

/* The records that the next reader gets: `first` to the last one. Gives `first`. */
static uint64_t read_rest(struct rchan_channel *channel)
{
    uint8_t bytes[RECORD * MOST];
    int64_t count = rchan_read(&channel->buffers[0], bytes, sizeof bytes);
    CHECK(count >= 0 && count % RECORD == 0);
    uint64_t first = MOST - (uint64_t)count / RECORD;
    for (uint64_t seq = first; seq < MOST; seq++)
        CHECK_EQ(record_seq(bytes + (seq - first) * RECORD), seq);
    CHECK_EQ(rchan_buffer_flush(&channel->buffers[0]), 0);
    CHECK_EQ(rchan_read(&channel->buffers[0], bytes, sizeof bytes), 0);
    struct rchan_books books = fixture_books(&channel->buffers[0]);
    CHECK_EQ(books.consumed_bytes, MOST * RECORD);
    CHECK_EQ(books.consumed_records, MOST);
    CHECK_EQ(books.overwritten_records, 0);
    CHECK_EQ(rchan_load(&channel->buffers[0].block->reader), 0);
    CHECK_EQ(rchan_load(&channel->buffers[0].block->undo), 0);
    return first;
}

static void check_handed_on(struct rchan_channel *channel, struct log *log, bool killed)
{
    uint64_t first = read_rest(channel);
    CHECK(first == log->number || (killed && first + 1 == log->number));
}

TEST(handing_on_is_killed)
{
    static const struct scene no_overwrite = {set_no_overwrite, act_hand_on, check_handed_on};
    static const struct scene overwrite = {set_overwrite, act_hand_on, check_handed_on};
    CHECK(kill_everywhere(&no_overwrite) > 4 * MOST);
    CHECK(kill_everywhere(&overwrite) > 4 * MOST);
}

static void check_all_handed_on(struct rchan_channel *channel, struct log *log, bool killed)
{
    uint64_t first = read_rest(channel);
    CHECK(first == 0 || first == MOST);
    CHECK(killed || first == MOST);
    CHECK(first == 0 || log->number == MOST);
}

TEST(handing_on_what_is_not_copied_is_killed)
{
    static const struct scene scene = {set_no_overwrite, act_hand_all_on, check_all_handed_on};
    CHECK(kill_everywhere(&scene) > MOST / 2);
}

static void check_refused(struct rchan_channel *channel, struct log *log, bool killed)
{
    uint64_t first = read_rest(channel);
    CHECK(first == log->number || (killed && first == log->number + 1));
}

TEST(a_refusal_is_killed)
{
    static const struct scene scene = {set_no_overwrite, act_refuse, check_refused};
    CHECK(kill_everywhere(&scene) > 4 * MOST);
}

/* What was freed for writers and then taken back: they may have used it; that is counted. */
TEST(a_late_refusal_counts_what_was_overwritten)
{
    static struct rchan_hold held;
    struct log log = {0};
    uint8_t bytes[RECORD * MOST];
    struct rchan_channel *channel = filled(&log, false);
    CHECK_EQ(hold(channel, 2 * RECORD, &held), 2 * RECORD);
    record_make(bytes, MOST);
    CHECK_EQ(rchan_write(channel, 0, bytes, RECORD), RCHAN_STORED);
    CHECK_EQ(rchan_read(&channel->buffers[0], bytes, RECORD), -EAGAIN);
    rchan_hold_end(&held, false);
    CHECK_EQ(rchan_read(&channel->buffers[0], bytes, sizeof bytes), (MOST - 1) * RECORD);
    CHECK_EQ(record_seq(bytes), 2);
    struct rchan_books books = fixture_books(&channel->buffers[0]);
    CHECK_EQ(books.overwritten_records, 2);
    CHECK_EQ(fixture_open_records(&books, MOST + 1), 0);
    fixture_close(channel);
}

/* Two moments of a look at the books or of a tap: in between the read in hand is refused, and then done
 * again, so that `tail` is the same. */
static struct rchan_channel *held_channel;
static struct rchan_hold in_hand;
static const char *look_back, *look_again;

static void do_again(const char *name)
{
    if (strcmp(name, look_again) != 0)
        return;
    rchan_testpoint_hook = NULL;
    CHECK_EQ(hold(held_channel, RECORD, &in_hand), RECORD);
}

static void refuse_now(const char *name)
{
    if (strcmp(name, look_back) != 0)
        return;
    rchan_testpoint_hook = NULL;
    rchan_hold_end(&in_hand, false);
    rchan_testpoint_hook = do_again;
}

static void refuse_between(const char *first, const char *second)
{
    look_back = first;
    look_again = second;
    rchan_testpoint_hook = refuse_now;
}

TEST(a_tail_that_went_back_and_came_again_is_noticed)
{
    struct rchan_books books;
    struct rchan_tap tap;
    struct log log = {0};
    uint8_t bytes[RECORD];
    held_channel = set_no_overwrite(&log);
    CHECK_EQ(rchan_read(&held_channel->buffers[0], bytes, RECORD), RECORD);
    CHECK_EQ(hold(held_channel, RECORD, &in_hand), RECORD);
    refuse_between("books: tail read", "books: account read");
    CHECK_EQ(rchan_buffer_books(&held_channel->buffers[0], &books), 0);
    CHECK(rchan_testpoint_hook == NULL);
    CHECK_EQ(books.consumed_bytes, 2 * RECORD);
    CHECK_EQ(books.readable_bytes, (MOST - 2) * RECORD);
    refuse_between("tap: tail read", "tap: account read");
    CHECK_EQ(rchan_tap_start(&held_channel->buffers[0], RCHAN_TAP_UNREAD, &tap), 0);
    CHECK(rchan_testpoint_hook == NULL);
    CHECK_EQ(tap.next, 1);
    CHECK_EQ(tap.bytes, 2 * RECORD);
    rchan_hold_end(&in_hand, true);
    fixture_close(held_channel);
}

/* Shared memory is untrusted: a note that no reader wrote changes nothing. */
TEST(a_forged_note_is_void)
{
    struct log log = {0};
    uint8_t bytes[RECORD * MOST];
    struct rchan_channel *channel = filled(&log, false);
    struct rchan_block *block = channel->buffers[0].block;
    uint64_t forged[] = {1, ~UINT64_C(7), ~UINT64_C(0x7fffffff), ~(rchan_load(&block->tail) + 5)};
    for (unsigned i = 0; i < sizeof forged / sizeof *forged; i++) {
        rchan_store(&block->undo, forged[i]);
        CHECK_EQ(rchan_read(&channel->buffers[0], bytes, 1), 1);
        CHECK_EQ(rchan_load(&block->undo), 0);
    }
    CHECK_EQ(fixture_books(&channel->buffers[0]).consumed_bytes, 4);
    fixture_close(channel);
}
