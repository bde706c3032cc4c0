/* The writer's side, one thread: write, reserve, switch, full, flush, reset. */
#include "buffer.h"

#include <errno.h>
#include <string.h>

#include "fixture.h"
#include "owner.h"

static struct rchan_buffer *buffer_of(struct rchan_channel *channel)
{
    return &channel->buffers[0];
}

static uint64_t offset_of(struct rchan_channel *channel)
{
    return fixture_books(buffer_of(channel)).offset;
}

static uint64_t produced_of(struct rchan_channel *channel)
{
    return fixture_books(buffer_of(channel)).subbufs_produced;
}

static uint8_t byte_at(struct rchan_channel *channel, uint64_t position)
{
    return rchan_load(&buffer_of(channel)->data)[position];
}

static uint32_t padding_at(struct rchan_channel *channel, uint32_t index)
{
    return rchan_load(&buffer_of(channel)->block->meta[index].padding);
}

TEST(records_follow_each_other)
{
    struct rchan_channel *channel = fixture_channel("follow", 32, 2, false);
    CHECK_EQ(fixture_write(channel, 1, 10), RCHAN_STORED);
    CHECK_EQ(fixture_write(channel, 2, 10), RCHAN_STORED);
    CHECK_EQ(offset_of(channel), 20);
    CHECK_EQ(byte_at(channel, 9), 1);
    CHECK_EQ(byte_at(channel, 10), 2);
    CHECK_EQ(byte_at(channel, 19), 2);
    CHECK_EQ(byte_at(channel, 20), 0);
    fixture_close(channel);
}

TEST(a_record_never_crosses_a_subbuffers_end)
{
    struct rchan_channel *channel = fixture_channel("cross", 32, 2, false);
    fixture_write(channel, 1, 20);
    CHECK_EQ(fixture_write(channel, 2, 13), RCHAN_STORED);
    CHECK_EQ(produced_of(channel), 1);
    CHECK_EQ(offset_of(channel), 13);
    CHECK_EQ(padding_at(channel, 0), 12);
    CHECK_EQ(byte_at(channel, 20), 0);
    CHECK_EQ(byte_at(channel, 32), 2);
    fixture_close(channel);
}

TEST(an_exact_fit_switches_at_the_next_write)
{
    struct rchan_channel *channel = fixture_channel("fit", 32, 2, false);
    fixture_write(channel, 1, 32);
    CHECK_EQ(produced_of(channel), 0);
    CHECK_EQ(offset_of(channel), 32);
    CHECK_EQ(fixture_write(channel, 1, 0), RCHAN_STORED);
    CHECK_EQ(produced_of(channel), 0);
    CHECK_EQ(fixture_write(channel, 2, 1), RCHAN_STORED);
    CHECK_EQ(produced_of(channel), 1);
    CHECK_EQ(padding_at(channel, 0), 0);
    CHECK_EQ(offset_of(channel), 1);
    fixture_close(channel);
}

TEST(a_full_buffer_drops_until_something_is_consumed)
{
    struct rchan_channel *channel = fixture_channel("full", 32, 2, false);
    uint8_t got[32];
    for (int i = 0; i < 2; i++)
        CHECK_EQ(fixture_write(channel, 1, 32), RCHAN_STORED);
    CHECK(!rchan_buffer_is_full(buffer_of(channel)));
    CHECK_EQ(fixture_write(channel, 2, 5), RCHAN_DROPPED_FULL);
    CHECK(rchan_buffer_is_full(buffer_of(channel)));
    CHECK_EQ(offset_of(channel), 33);
    CHECK_EQ(fixture_write(channel, 2, 5), RCHAN_DROPPED_FULL);
    CHECK_EQ(rchan_read(buffer_of(channel), got, sizeof got), 32);
    CHECK_EQ(offset_of(channel), 33);
    CHECK_EQ(fixture_write(channel, 3, 5), RCHAN_STORED);
    CHECK_EQ(offset_of(channel), 5);
    struct rchan_books books = fixture_books(buffer_of(channel));
    CHECK_EQ(books.dropped_records[RCHAN_DROP_FULL], 2);
    CHECK_EQ(books.dropped_bytes[RCHAN_DROP_FULL], 10);
    CHECK_EQ(books.written_records, 3);
    fixture_close(channel);
}

TEST(overwrite_mode_is_never_full)
{
    struct rchan_channel *channel = fixture_channel("over", 32, 2, true);
    for (int i = 0; i < 9; i++)
        CHECK_EQ(fixture_write(channel, (uint8_t)i, 32), RCHAN_STORED);
    CHECK_EQ(produced_of(channel), 8);
    CHECK_EQ(byte_at(channel, 0), 8);
    CHECK_EQ(byte_at(channel, 32), 7);
    fixture_close(channel);
}

TEST(one_subbuffer_of_one_byte)
{
    struct rchan_channel *channel = fixture_channel("tiny", 1, 1, false);
    uint8_t got = 0;
    CHECK_EQ(fixture_write(channel, 7, 1), RCHAN_STORED);
    CHECK_EQ(fixture_write(channel, 8, 1), RCHAN_DROPPED_FULL);
    CHECK_EQ(rchan_read(buffer_of(channel), &got, 1), 1);
    CHECK_EQ(got, 7);
    CHECK_EQ(fixture_write(channel, 9, 1), RCHAN_STORED);
    CHECK_EQ(rchan_read(buffer_of(channel), &got, 1), 1);
    CHECK_EQ(got, 9);
    fixture_close(channel);
}

TEST(too_big_is_dropped_without_a_switch)
{
    struct rchan_channel *channel = fixture_channel("big", 32, 2, false);
    fixture_write(channel, 1, 3);
    CHECK_EQ(fixture_write(channel, 2, 33), RCHAN_DROPPED_TOO_BIG);
    CHECK_EQ(rchan_load(&channel->header->last_toobig), 33);
    CHECK_EQ(produced_of(channel), 0);
    CHECK_EQ(offset_of(channel), 3);
    CHECK_EQ(fixture_write(channel, 3, 32), RCHAN_STORED);
    fixture_close(channel);
}

TEST(a_length_near_the_limit_cannot_overflow) /* D11 */
{
    struct rchan_channel *channel = fixture_channel("overflow", 32, 2, false);
    struct rchan_reservation place;
    fixture_write(channel, 1, 3);
    CHECK_EQ(rchan_write(channel, 0, "", UINT64_MAX), RCHAN_DROPPED_TOO_BIG);
    CHECK_EQ(rchan_write(channel, 0, "", UINT64_MAX - 2), RCHAN_DROPPED_TOO_BIG);
    CHECK_EQ(rchan_reserve(channel, 0, UINT64_MAX, &place), RCHAN_DROPPED_TOO_BIG);
    CHECK(place.buffer == NULL);
    CHECK_EQ(offset_of(channel), 3);
    fixture_close(channel);
}

TEST(a_disabled_channel_drops_and_counts)
{
    struct rchan_channel *channel = fixture_channel("disabled", 32, 2, false);
    struct rchan_channel *other = fixture_attach("disabled");
    rchan_channel_enable(other, false);
    CHECK(!rchan_channel_enabled(channel));
    CHECK_EQ(fixture_write(channel, 1, 4), RCHAN_DROPPED_DISABLED);
    rchan_channel_enable(channel, true);
    CHECK(rchan_channel_enabled(other));
    CHECK_EQ(fixture_write(channel, 1, 4), RCHAN_STORED);
    struct rchan_books books = fixture_books(buffer_of(channel));
    CHECK_EQ(books.dropped_records[RCHAN_DROP_DISABLED], 1);
    CHECK_EQ(books.dropped_bytes[RCHAN_DROP_DISABLED], 4);
    rchan_channel_detach(other);
    fixture_close(channel);
}

/* ---- reserve ---- */

TEST(a_reservation_is_invisible_until_committed)
{
    struct rchan_channel *channel = fixture_channel("reserve", 32, 2, false);
    struct rchan_reservation place;
    uint8_t got[8];
    REQUIRE(rchan_reserve(channel, 0, 8, &place) == RCHAN_STORED);
    memcpy(place.data, "abcdefgh", 8);
    CHECK_EQ(rchan_read(buffer_of(channel), got, 8), 0);
    CHECK_EQ(offset_of(channel), 0);
    CHECK(rchan_commit(&place, 5));
    CHECK_EQ(offset_of(channel), 5);
    CHECK_EQ(rchan_read(buffer_of(channel), got, 8), 5);
    CHECK_EQ(memcmp(got, "abcde", 5), 0);
    CHECK(!rchan_commit(&place, 5));
    fixture_close(channel);
}

TEST(an_aborted_reservation_leaves_nothing)
{
    struct rchan_channel *channel = fixture_channel("abort", 32, 2, false);
    struct rchan_reservation place;
    REQUIRE(rchan_reserve(channel, 0, 8, &place) == RCHAN_STORED);
    memset(place.data, 9, 8);
    rchan_abort(&place);
    struct rchan_books books = fixture_books(buffer_of(channel));
    CHECK_EQ(books.offset, 0);
    CHECK_EQ(books.written_records, 0);
    CHECK_EQ(rchan_load(&buffer_of(channel)->block->owner), 0);
    CHECK_EQ(fixture_write(channel, 1, 4), RCHAN_STORED);
    fixture_close(channel);
}

TEST(a_commit_takes_no_more_than_was_reserved)
{
    struct rchan_channel *channel = fixture_channel("more", 32, 2, false);
    struct rchan_reservation place;
    REQUIRE(rchan_reserve(channel, 0, 8, &place) == RCHAN_STORED);
    CHECK(rchan_commit(&place, UINT64_MAX));
    CHECK_EQ(offset_of(channel), 8);
    fixture_close(channel);
}

TEST(writers_spill_to_the_next_buffer_while_one_is_reserved)
{
    struct rchan_options options = fixture_options("spill", 32, 2);
    static const uint32_t cpus[] = {0, 1};
    options.n_buffers = 2;
    options.cpus = cpus;
    options.n_cpus = 2;
    struct rchan_channel *channel = fixture_create(&options);
    struct rchan_reservation place;
    REQUIRE(rchan_reserve(channel, 0, 8, &place) == RCHAN_STORED);
    CHECK_EQ(fixture_write(channel, 1, 4), RCHAN_STORED);
    CHECK_EQ(fixture_books(&channel->buffers[0]).written_records, 0);
    CHECK_EQ(fixture_books(&channel->buffers[1]).written_records, 1);
    CHECK(rchan_commit(&place, 8));
    fixture_close(channel);
}

TEST(a_writer_gives_up_on_a_stalled_owner_and_counts)
{
    struct rchan_options options = fixture_options("stalled", 32, 2);
    options.owner_wait_us = 1000;
    struct rchan_channel *channel = fixture_create(&options);
    struct rchan_reservation place;
    REQUIRE(rchan_reserve(channel, 0, 8, &place) == RCHAN_STORED);
    CHECK_EQ(fixture_write(channel, 1, 4), RCHAN_DROPPED_CONTENDED);
    CHECK_EQ(fixture_write(channel, 1, 4), RCHAN_DROPPED_CONTENDED);
    CHECK_EQ(rchan_buffer_flush(buffer_of(channel)), -EBUSY);
    CHECK_EQ(rchan_buffer_reset(buffer_of(channel)), -EBUSY);
    CHECK(rchan_commit(&place, 8));
    struct rchan_books books = fixture_books(buffer_of(channel));
    CHECK_EQ(books.dropped_records[RCHAN_DROP_CONTENDED], 2);
    CHECK_EQ(books.dropped_bytes[RCHAN_DROP_CONTENDED], 8);
    CHECK_EQ(books.written_records, 1);
    CHECK_EQ(fixture_write(channel, 1, 4), RCHAN_STORED);
    fixture_close(channel);
}

/* ---- flush, reset ---- */

TEST(flush_finishes_even_an_empty_subbuffer)
{
    struct rchan_channel *channel = fixture_channel("flush", 32, 3, false);
    fixture_write(channel, 1, 10);
    CHECK_EQ(rchan_buffer_flush(buffer_of(channel)), 0);
    CHECK_EQ(padding_at(channel, 0), 22);
    CHECK_EQ(rchan_buffer_flush(buffer_of(channel)), 0);
    CHECK_EQ(padding_at(channel, 1), 32);
    CHECK_EQ(produced_of(channel), 2);
    CHECK_EQ(rchan_buffer_flush(buffer_of(channel)), 0);
    CHECK_EQ(produced_of(channel), 3);
    CHECK_EQ(offset_of(channel), 33);
    CHECK_EQ(rchan_buffer_flush(buffer_of(channel)), 0);
    CHECK_EQ(produced_of(channel), 3);
    fixture_close(channel);
}

TEST(reset_starts_anew_and_counts_the_discarded)
{
    struct rchan_channel *channel = fixture_channel("reset", 32, 2, false);
    uint8_t got[64];
    fixture_write(channel, 1, 30);
    fixture_write(channel, 2, 20);
    CHECK_EQ(rchan_read(buffer_of(channel), got, 30), 30);
    CHECK_EQ(rchan_buffer_reset(buffer_of(channel)), 0);
    struct rchan_books books = fixture_books(buffer_of(channel));
    CHECK_EQ(books.subbufs_produced, 0);
    CHECK_EQ(books.subbufs_consumed, 0);
    CHECK_EQ(books.bytes_consumed, 0);
    CHECK_EQ(books.offset, 0);
    CHECK_EQ(padding_at(channel, 0), 0);
    CHECK_EQ(books.discarded_bytes, 20);
    CHECK_EQ(books.consumed_bytes, 30);
    CHECK_EQ(fixture_open_records(&books, 2), 0);
    CHECK_EQ(byte_at(channel, 0), 1); /* memory stays */
    CHECK_EQ(rchan_read(buffer_of(channel), got, 64), 0);
    CHECK_EQ(fixture_write(channel, 3, 5), RCHAN_STORED);
    CHECK_EQ(rchan_read(buffer_of(channel), got, 64), 5);
    CHECK_EQ(got[4], 3);
    fixture_close(channel);
}
