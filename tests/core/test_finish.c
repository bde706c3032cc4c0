/* A reader's flush: what is unread is finished, nothing is started, nothing overwritten. */
#include <errno.h>

#include "fixture.h"
#include "layout.h"

static struct rchan_books books(struct rchan_channel *channel)
{
    return fixture_books(&channel->buffers[0]);
}

static int finish(struct rchan_channel *channel, uint64_t subbuf)
{
    return rchan_buffer_finish(&channel->buffers[0], subbuf);
}

TEST(what_is_unread_can_be_taken)
{
    struct rchan_subbuf taken;
    struct rchan_channel *channel = fixture_channel("unread", 32, 2, false);
    fixture_write(channel, 7, 10);
    CHECK_EQ(finish(channel, UINT64_MAX), 1);
    CHECK_EQ(rchan_subbuf_take(&channel->buffers[0], &taken), 1);
    CHECK_EQ(taken.length, 10);
    CHECK_EQ(taken.records, 1);
    CHECK(rchan_subbuf_give_back(&taken, UINT64_MAX));
    CHECK_EQ(fixture_write(channel, 8, 10), RCHAN_STORED);
    CHECK_EQ(books(channel).subbufs_produced, 1);
    CHECK_EQ(books(channel).offset, 10);
    fixture_close(channel);
}

TEST(an_empty_subbuffer_stays)
{
    struct rchan_channel *channel = fixture_channel("empty", 32, 2, false);
    CHECK_EQ(finish(channel, UINT64_MAX), 0);
    fixture_write(channel, 1, 10);
    CHECK_EQ(finish(channel, UINT64_MAX), 1);
    CHECK_EQ(finish(channel, UINT64_MAX), 0);
    CHECK_EQ(books(channel).subbufs_produced, 1);
    fixture_close(channel);
}

TEST(a_subbuffer_that_was_read_stays)
{
    uint8_t bytes[32];
    struct rchan_channel *channel = fixture_channel("read", 32, 2, false);
    fixture_write(channel, 1, 10);
    CHECK_EQ(rchan_read(&channel->buffers[0], bytes, sizeof bytes), 10);
    CHECK_EQ(finish(channel, UINT64_MAX), 0);
    fixture_write(channel, 2, 5);
    CHECK_EQ(finish(channel, UINT64_MAX), 1);
    fixture_close(channel);
}

TEST(only_the_subbuffer_that_was_meant)
{
    struct rchan_channel *channel = fixture_channel("meant", 32, 4, false);
    fixture_write(channel, 1, 30);
    fixture_write(channel, 2, 30);
    CHECK_EQ(finish(channel, 0), 0);
    CHECK_EQ(finish(channel, 2), 0);
    CHECK_EQ(finish(channel, 1), 1);
    CHECK_EQ(books(channel).subbufs_produced, 2);
    fixture_close(channel);
}

TEST(history_is_not_eaten)
{
    struct rchan_channel *channel = fixture_channel("history", 32, 2, true);
    fixture_write(channel, 1, 30);
    fixture_write(channel, 2, 30);
    CHECK_EQ(finish(channel, UINT64_MAX), 1);
    CHECK_EQ(books(channel).readable_records, 2);
    CHECK_EQ(books(channel).overwritten_records, 0);
    fixture_write(channel, 3, 30);
    CHECK_EQ(books(channel).readable_records, 2);
    CHECK_EQ(books(channel).overwritten_records, 1);
    fixture_close(channel);
}

TEST(it_works_on_a_finalized_channel)
{
    struct rchan_channel *channel = fixture_channel("final", 32, 2, false);
    fixture_write(channel, 1, 30);
    CHECK_EQ(rchan_channel_finalize(channel), 0);
    CHECK_EQ(finish(channel, UINT64_MAX), 1);
    CHECK_EQ(books(channel).subbufs_produced, 1);
    fixture_close(channel);
}

TEST(an_open_reservation_is_waited_for_in_vain)
{
    struct rchan_reservation place;
    struct rchan_channel *channel = fixture_channel("open", 32, 2, false);
    fixture_write(channel, 1, 10);
    CHECK_EQ(rchan_reserve(channel, 0, 10, &place), RCHAN_STORED);
    CHECK_EQ(finish(channel, UINT64_MAX), -EBUSY);
    CHECK(rchan_commit(&place, 10));
    CHECK_EQ(finish(channel, UINT64_MAX), 1);
    fixture_close(channel);
}
