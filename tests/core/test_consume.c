/* The reader's side, one thread: reads, padding, laps, whole sub-buffers, what is consumed. */
#include "consume.h"

#include <errno.h>
#include <string.h>

#include "fixture.h"
#include "owner.h"

static uint8_t got[256];

static struct rchan_buffer *buffer_of(struct rchan_channel *channel)
{
    return &channel->buffers[0];
}

static int64_t read_bytes(struct rchan_channel *channel, uint64_t count)
{
    memset(got, 0xff, sizeof got);
    return rchan_read(buffer_of(channel), got, count);
}

static bool all(uint8_t value, uint64_t start, uint64_t end)
{
    for (uint64_t i = start; i < end; i++)
        if (got[i] != value)
            return false;
    return true;
}

static uint64_t consumed_of(struct rchan_channel *channel)
{
    return fixture_books(buffer_of(channel)).subbufs_consumed;
}

TEST(an_empty_buffer_reads_nothing)
{
    struct rchan_channel *channel = fixture_channel("nothing", 32, 2, false);
    CHECK_EQ(read_bytes(channel, 10), 0);
    CHECK_EQ(rchan_poll(buffer_of(channel)), 0);
    CHECK(rchan_buffer_is_empty(buffer_of(channel)));
    fixture_close(channel);
}

TEST(unfinished_data_can_be_read_but_is_not_announced)
{
    struct rchan_channel *channel = fixture_channel("unfinished", 32, 2, false);
    fixture_write(channel, 1, 10);
    CHECK_EQ(rchan_poll(buffer_of(channel)), 0);
    CHECK_EQ(read_bytes(channel, 100), 10);
    CHECK(all(1, 0, 10));
    CHECK_EQ(read_bytes(channel, 100), 0);
    fixture_write(channel, 2, 30);
    CHECK_EQ(rchan_poll(buffer_of(channel)), RCHAN_POLLIN | RCHAN_POLLRDNORM);
    CHECK_EQ(read_bytes(channel, 100), 30);
    CHECK(all(2, 0, 30));
    fixture_close(channel);
}

TEST(a_read_runs_over_ends_and_skips_padding)
{
    struct rchan_channel *channel = fixture_channel("runs", 32, 4, false);
    fixture_write(channel, 1, 20);
    fixture_write(channel, 2, 25);
    fixture_write(channel, 3, 32);
    fixture_write(channel, 4, 5);
    CHECK_EQ(read_bytes(channel, 21), 21);
    CHECK(all(1, 0, 20) && all(2, 20, 21));
    CHECK_EQ(consumed_of(channel), 1);
    CHECK_EQ(read_bytes(channel, 256), 24 + 32 + 5);
    CHECK(all(2, 0, 24) && all(3, 24, 56) && all(4, 56, 61));
    CHECK_EQ(consumed_of(channel), 3);
    fixture_close(channel);
}

TEST(an_exactly_filled_subbuffer_is_consumed_after_its_switch)
{
    struct rchan_channel *channel = fixture_channel("lazy", 32, 2, false);
    fixture_write(channel, 1, 32);
    CHECK_EQ(read_bytes(channel, 32), 32);
    CHECK_EQ(consumed_of(channel), 0);
    CHECK_EQ(read_bytes(channel, 32), 0);
    fixture_write(channel, 2, 4);
    CHECK_EQ(read_bytes(channel, 32), 4);
    CHECK_EQ(consumed_of(channel), 1);
    CHECK(all(2, 0, 4));
    fixture_close(channel);
}

TEST(an_empty_subbuffer_is_skipped_and_consumed_once) /* D1 */
{
    struct rchan_channel *channel = fixture_channel("empty", 32, 4, false);
    fixture_write(channel, 1, 5);
    rchan_buffer_flush(buffer_of(channel));
    rchan_buffer_flush(buffer_of(channel));
    fixture_write(channel, 2, 5);
    CHECK_EQ(read_bytes(channel, 256), 10);
    CHECK(all(1, 0, 5) && all(2, 5, 10));
    CHECK_EQ(consumed_of(channel), 2);
    CHECK_EQ(read_bytes(channel, 256), 0);
    fixture_close(channel);
}

TEST(consuming_during_a_partial_read_starts_at_byte_0_of_the_next) /* D2 */
{
    struct rchan_channel *channel = fixture_channel("partial", 32, 3, false);
    fixture_write(channel, 1, 32);
    fixture_write(channel, 2, 32);
    fixture_write(channel, 3, 1);
    CHECK_EQ(read_bytes(channel, 10), 10);
    CHECK_EQ(rchan_subbufs_consumed(buffer_of(channel), 1), 0);
    CHECK_EQ(read_bytes(channel, 256), 33);
    CHECK(all(2, 0, 32) && all(3, 32, 33));
    fixture_close(channel);
}

TEST(consumed_is_bounded_by_produced_and_n)
{
    struct rchan_channel *channel = fixture_channel("bounded", 32, 3, false);
    fixture_write(channel, 1, 32);
    fixture_write(channel, 2, 1);
    CHECK_EQ(rchan_subbufs_consumed(buffer_of(channel), 4), 0);
    CHECK_EQ(consumed_of(channel), 0);
    CHECK_EQ(rchan_subbufs_consumed(buffer_of(channel), 3), 0);
    CHECK_EQ(consumed_of(channel), 1);
    CHECK_EQ(rchan_subbufs_consumed(buffer_of(channel), 3), 0);
    CHECK_EQ(consumed_of(channel), 1);
    CHECK_EQ(read_bytes(channel, 256), 1);
    fixture_close(channel);
}

TEST(what_a_lap_took_is_missed_and_counted)
{
    struct rchan_channel *channel = fixture_channel("lap", 32, 3, true);
    for (int i = 0; i < 7; i++)
        fixture_write(channel, (uint8_t)i, 32);
    /* 6 finished, 6 is being filled: 4 and 5 are whole */
    CHECK_EQ(read_bytes(channel, 32), 32);
    CHECK(all(4, 0, 32));
    struct rchan_books books = fixture_books(buffer_of(channel));
    CHECK_EQ(books.overwritten_records, 4);
    CHECK_EQ(books.overwritten_bytes, 128);
    CHECK_EQ(fixture_open_records(&books, 7), 0);
    CHECK_EQ(read_bytes(channel, 256), 64);
    CHECK(all(5, 0, 32) && all(6, 32, 64));
    fixture_close(channel);
}

TEST(finalized_polls_as_an_error_and_still_reads)
{
    struct rchan_channel *channel = fixture_channel("final", 32, 2, false);
    fixture_write(channel, 1, 10);
    CHECK_EQ(rchan_channel_finalize(channel), 0);
    CHECK_EQ(rchan_poll(buffer_of(channel)), RCHAN_POLLERR);
    CHECK_EQ(fixture_write(channel, 1, 10), RCHAN_DROPPED_DISABLED);
    CHECK_EQ(read_bytes(channel, 256), 10);
    fixture_close(channel);
}

/* ---- whole sub-buffers ---- */

TEST(take_hands_out_finished_subbuffers_in_order)
{
    struct rchan_channel *channel = fixture_channel("take", 32, 4, false);
    struct rchan_subbuf subbuf;
    fixture_write(channel, 1, 20);
    CHECK_EQ(rchan_subbuf_take(buffer_of(channel), &subbuf), 0);
    fixture_write(channel, 2, 20);
    fixture_write(channel, 3, 20);
    for (uint64_t seq = 0; seq < 2; seq++) {
        REQUIRE(rchan_subbuf_take(buffer_of(channel), &subbuf) == 1);
        CHECK_EQ(subbuf.seq, seq);
        CHECK_EQ(subbuf.length, 20);
        CHECK_EQ(subbuf.skipped, 0);
        CHECK_EQ(subbuf.records, 1);
        CHECK_EQ(subbuf.data[19], seq + 1);
        CHECK(subbuf.first_ns && subbuf.first_ns <= subbuf.last_ns);
        CHECK(rchan_subbuf_whole(&subbuf));
        CHECK(rchan_subbuf_give_back(&subbuf, UINT64_MAX));
        CHECK_EQ(consumed_of(channel), seq + 1);
    }
    CHECK_EQ(rchan_subbuf_take(buffer_of(channel), &subbuf), 0);
    fixture_close(channel);
}

TEST(take_skips_and_consumes_empty_subbuffers) /* D3 */
{
    struct rchan_channel *channel = fixture_channel("takeempty", 32, 5, false);
    struct rchan_subbuf subbuf;
    rchan_buffer_flush(buffer_of(channel));
    rchan_buffer_flush(buffer_of(channel));
    fixture_write(channel, 7, 3);
    rchan_buffer_flush(buffer_of(channel));
    REQUIRE(rchan_subbuf_take(buffer_of(channel), &subbuf) == 1);
    CHECK_EQ(subbuf.seq, 2);
    CHECK_EQ(subbuf.length, 3);
    CHECK_EQ(consumed_of(channel), 2);
    CHECK(rchan_subbuf_give_back(&subbuf, UINT64_MAX));
    fixture_close(channel);
}

TEST(what_is_put_down_comes_again)
{
    struct rchan_channel *channel = fixture_channel("putdown", 32, 3, false);
    struct rchan_subbuf subbuf;
    fixture_write(channel, 1, 20);
    rchan_buffer_flush(buffer_of(channel));
    REQUIRE(rchan_subbuf_take(buffer_of(channel), &subbuf) == 1);
    rchan_subbuf_put_down(&subbuf);
    REQUIRE(rchan_subbuf_take(buffer_of(channel), &subbuf) == 1);
    CHECK_EQ(subbuf.seq, 0);
    CHECK_EQ(subbuf.length, 20);
    CHECK(rchan_subbuf_give_back(&subbuf, UINT64_MAX));
    CHECK_EQ(rchan_subbuf_take(buffer_of(channel), &subbuf), 0);
    fixture_close(channel);
}

TEST(part_of_a_subbuffer_can_be_given_back)
{
    struct rchan_channel *channel = fixture_channel("part", 32, 3, false);
    struct rchan_subbuf subbuf;
    fixture_write(channel, 1, 20);
    rchan_buffer_flush(buffer_of(channel));
    REQUIRE(rchan_subbuf_take(buffer_of(channel), &subbuf) == 1);
    CHECK(rchan_subbuf_give_back(&subbuf, 8));
    CHECK_EQ(consumed_of(channel), 0);
    REQUIRE(rchan_subbuf_take(buffer_of(channel), &subbuf) == 1);
    CHECK_EQ(subbuf.skipped, 8);
    CHECK_EQ(subbuf.length, 12);
    CHECK(rchan_subbuf_give_back(&subbuf, UINT64_MAX));
    CHECK_EQ(consumed_of(channel), 1);
    struct rchan_books books = fixture_books(buffer_of(channel));
    CHECK_EQ(books.consumed_bytes, 20);
    CHECK_EQ(books.consumed_records, 1);
    fixture_close(channel);
}

TEST(one_reader_at_a_time)
{
    struct rchan_options options = fixture_options("onereader", 32, 3);
    options.owner_wait_us = 1000;
    struct rchan_channel *channel = fixture_create(&options);
    struct rchan_subbuf subbuf, second;
    fixture_write(channel, 1, 20);
    rchan_buffer_flush(buffer_of(channel));
    REQUIRE(rchan_subbuf_take(buffer_of(channel), &subbuf) == 1);
    CHECK_EQ(read_bytes(channel, 8), -EAGAIN);
    CHECK_EQ(rchan_subbuf_take(buffer_of(channel), &second), -EAGAIN);
    CHECK_EQ(rchan_subbufs_consumed(buffer_of(channel), 1), -EAGAIN);
    CHECK(rchan_subbuf_give_back(&subbuf, UINT64_MAX));
    CHECK(!rchan_subbuf_give_back(&subbuf, UINT64_MAX));
    fixture_close(channel);
}

TEST(a_subbuffer_overwritten_in_the_hand_is_not_whole)
{
    struct rchan_channel *channel = fixture_channel("nothwhole", 32, 2, true);
    struct rchan_subbuf subbuf;
    fixture_write(channel, 1, 32);
    fixture_write(channel, 2, 32);
    REQUIRE(rchan_subbuf_take(buffer_of(channel), &subbuf) == 1);
    CHECK(rchan_subbuf_whole(&subbuf));
    fixture_write(channel, 3, 1);
    CHECK(!rchan_subbuf_whole(&subbuf));
    rchan_subbuf_put_down(&subbuf);
    REQUIRE(rchan_subbuf_take(buffer_of(channel), &subbuf) == 1);
    CHECK_EQ(subbuf.seq, 1);
    CHECK_EQ(subbuf.overwritten_records, 1);
    CHECK_EQ(subbuf.overwritten_bytes, 32);
    CHECK(rchan_subbuf_give_back(&subbuf, UINT64_MAX));
    fixture_close(channel);
}

TEST(where_records_were_lost_is_kept_with_the_subbuffer)
{
    struct rchan_channel *channel = fixture_channel("where", 32, 2, false);
    struct rchan_subbuf subbuf;
    fixture_write(channel, 1, 32);
    fixture_write(channel, 2, 32);
    fixture_write(channel, 3, 7); /* lost */
    REQUIRE(rchan_subbuf_take(buffer_of(channel), &subbuf) == 1);
    CHECK_EQ(subbuf.lost_records[RCHAN_DROP_FULL], 0);
    rchan_subbuf_give_back(&subbuf, UINT64_MAX);
    fixture_write(channel, 4, 32);
    rchan_buffer_flush(buffer_of(channel));
    REQUIRE(rchan_subbuf_take(buffer_of(channel), &subbuf) == 1);
    CHECK_EQ(subbuf.lost_records[RCHAN_DROP_FULL], 0);
    rchan_subbuf_give_back(&subbuf, UINT64_MAX);
    REQUIRE(rchan_subbuf_take(buffer_of(channel), &subbuf) == 1);
    CHECK_EQ(subbuf.data[0], 4);
    CHECK_EQ(subbuf.lost_records[RCHAN_DROP_FULL], 1);
    CHECK_EQ(subbuf.lost_bytes[RCHAN_DROP_FULL], 7);
    rchan_subbuf_give_back(&subbuf, UINT64_MAX);
    fixture_close(channel);
}
