/* Callbacks of the writer's side: subbuf_start, headers, deliver, buf_full. */
#include <string.h>

#include "fixture.h"

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

static struct {
    int starts, delivers, fulls, afters;
    uint32_t subbuf, prev_padding, delivered, became_full;
    int64_t prev;
    bool answer, write_inside, owned_in_deliver, reserved;
    uint64_t header;
    enum rchan_outcome inside;
} seen;

static bool on_start(struct rchan_buffer *buffer, uint32_t subbuf, int64_t prev,
                     uint32_t prev_padding)
{
    seen.starts++;
    seen.subbuf = subbuf;
    seen.prev = prev;
    seen.prev_padding = prev_padding;
    if (seen.write_inside)
        seen.inside = rchan_write(buffer->channel, 0, "x", 1);
    if (seen.header)
        seen.reserved = rchan_subbuf_start_reserve(buffer, seen.header);
    return seen.answer;
}

static void on_deliver(struct rchan_buffer *buffer, uint32_t subbuf)
{
    seen.delivers++;
    seen.delivered = subbuf;
    seen.owned_in_deliver |= rchan_load(&buffer->block->owner) != 0;
}

static void on_full(struct rchan_buffer *buffer, uint32_t subbuf)
{
    (void)buffer;
    seen.fulls++;
    seen.became_full = subbuf;
}

static void on_after(struct rchan_channel *channel)
{
    (void)channel;
    seen.afters++;
}

static struct rchan_channel *channel_with_callbacks(const char *base, uint64_t header,
                                                    bool with_start)
{
    struct rchan_options options = fixture_options(base, 32, 2);
    memset(&seen, 0, sizeof seen);
    seen.answer = true;
    seen.header = header;
    options.hooks.subbuf_start = with_start ? on_start : NULL;
    options.hooks.deliver = on_deliver;
    options.hooks.buf_full = on_full;
    options.hooks.after = on_after;
    return fixture_create(&options);
}

TEST(the_first_answer_of_subbuf_start_is_ignored)
{
    struct rchan_options options = fixture_options("firstanswer", 32, 2);
    memset(&seen, 0, sizeof seen);
    options.hooks.subbuf_start = on_start;
    struct rchan_channel *channel = fixture_create(&options);
    CHECK_EQ(seen.starts, 1);
    CHECK_EQ(seen.prev, -1);
    CHECK_EQ(seen.prev_padding, 0);
    CHECK_EQ(fixture_write(channel, 1, 32), RCHAN_STORED);
    CHECK_EQ(fixture_write(channel, 1, 1), RCHAN_DROPPED_FULL);
    CHECK_EQ(seen.starts, 2);
    fixture_close(channel);
}

TEST(each_attempt_on_full_asks_again_with_the_same_words)
{
    struct rchan_channel *channel = channel_with_callbacks("again", 0, true);
    fixture_write(channel, 1, 30);
    seen.answer = false;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(fixture_write(channel, 2, 10), RCHAN_DROPPED_FULL);
        CHECK_EQ(seen.starts, 2 + i);
        CHECK_EQ(seen.subbuf, 1);
        CHECK_EQ(seen.prev, 0);
        CHECK_EQ(seen.prev_padding, 2);
    }
    CHECK_EQ(seen.fulls, 1);
    CHECK_EQ(seen.delivers, 1);
    seen.answer = true;
    CHECK_EQ(fixture_write(channel, 2, 10), RCHAN_STORED);
    CHECK_EQ(byte_at(channel, 32), 2);
    fixture_close(channel);
}

TEST(an_always_true_callback_is_overwrite_mode)
{
    struct rchan_channel *channel = channel_with_callbacks("always", 0, true);
    for (int i = 0; i < 7; i++)
        CHECK_EQ(fixture_write(channel, (uint8_t)i, 32), RCHAN_STORED);
    CHECK_EQ(seen.fulls, 0);
    CHECK_EQ(seen.delivers, 6);
    CHECK_EQ(produced_of(channel), 6);
    fixture_close(channel);
}

TEST(deliver_and_buf_full_are_told_once_and_outside)
{
    struct rchan_channel *channel = channel_with_callbacks("told", 0, false);
    fixture_write(channel, 1, 32);
    CHECK_EQ(seen.delivers, 0);
    fixture_write(channel, 1, 32);
    CHECK_EQ(seen.delivers, 1);
    CHECK_EQ(seen.delivered, 0);
    CHECK_EQ(seen.fulls, 0);
    fixture_write(channel, 1, 1);
    fixture_write(channel, 1, 1);
    CHECK_EQ(seen.delivers, 2);
    CHECK_EQ(seen.delivered, 1);
    CHECK_EQ(seen.fulls, 1);
    CHECK_EQ(seen.became_full, 1);
    CHECK(!seen.owned_in_deliver);
    CHECK(seen.afters > 0);
    fixture_close(channel);
}

TEST(a_header_is_kept_free_in_every_subbuffer)
{
    struct rchan_channel *channel = channel_with_callbacks("header", 8, true);
    CHECK(seen.reserved);
    CHECK_EQ(offset_of(channel), 8);
    CHECK_EQ(fixture_write(channel, 1, 24), RCHAN_STORED);
    CHECK_EQ(fixture_write(channel, 2, 4), RCHAN_STORED);
    CHECK_EQ(offset_of(channel), 12);
    CHECK_EQ(byte_at(channel, 40), 2);
    struct rchan_books books = fixture_books(buffer_of(channel));
    CHECK_EQ(books.written_records, 2);
    CHECK_EQ(books.written_bytes, 44);
    fixture_close(channel);
}

TEST(a_record_that_a_header_leaves_no_room_for_is_too_big)
{
    struct rchan_channel *channel = channel_with_callbacks("noroom", 8, true);
    CHECK_EQ(fixture_write(channel, 1, 25), RCHAN_DROPPED_TOO_BIG);
    CHECK_EQ(produced_of(channel), 1); /* the switch stands */
    CHECK_EQ(offset_of(channel), 8);
    CHECK_EQ(rchan_load(&channel->header->last_toobig), 25);
    fixture_close(channel);
}

TEST(a_header_is_refused_in_a_full_buffer) /* D12 */
{
    struct rchan_channel *channel = channel_with_callbacks("fullheader", 8, true);
    fixture_write(channel, 1, 24);
    fixture_write(channel, 1, 24);
    seen.answer = false;
    CHECK_EQ(fixture_write(channel, 2, 10), RCHAN_DROPPED_FULL);
    CHECK(!seen.reserved);
    CHECK_EQ(offset_of(channel), 33);
    CHECK_EQ(byte_at(channel, 8), 1);
    fixture_close(channel);
}

TEST(header_space_is_refused_outside_and_beyond_the_limit)
{
    struct rchan_channel *channel = channel_with_callbacks("outside", 31, true);
    CHECK(!seen.reserved);
    CHECK_EQ(offset_of(channel), 0);
    CHECK(!rchan_subbuf_start_reserve(buffer_of(channel), 4));
    seen.header = UINT64_MAX;
    rchan_buffer_flush(buffer_of(channel));
    CHECK(!seen.reserved);
    fixture_close(channel);
    channel = channel_with_callbacks("limit", 30, true);
    CHECK(seen.reserved);
    CHECK_EQ(offset_of(channel), 30);
    fixture_close(channel);
}

TEST(a_write_from_inside_a_callback_is_dropped_and_counted)
{
    struct rchan_channel *channel = channel_with_callbacks("inside", 0, true);
    seen.write_inside = true;
    fixture_write(channel, 1, 32);
    CHECK_EQ(fixture_write(channel, 1, 5), RCHAN_STORED);
    CHECK_EQ(seen.inside, RCHAN_DROPPED_CONTENDED);
    struct rchan_books books = fixture_books(buffer_of(channel));
    CHECK_EQ(books.dropped_records[RCHAN_DROP_CONTENDED], 1);
    CHECK_EQ(fixture_open_records(&books, 3), 0);
    fixture_close(channel);
}
