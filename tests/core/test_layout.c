/* The shared bytes: every byte belongs to a member, and zeroed memory is a valid empty buffer. */
#include "atomics.h"

/* A hole between members, or behind the last one, does not compile. */
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
#include "layout.h"
#pragma GCC diagnostic pop

#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "owner.h"
#include "wait.h"

TEST(writer_reader_and_sleepers_are_on_lines_of_their_own)
{
    size_t writer = offsetof(struct rchan_block, contended_records) / RCHAN_CACHE_LINE;
    size_t sleepers = offsetof(struct rchan_block, wake) / RCHAN_CACHE_LINE;
    size_t reader = offsetof(struct rchan_block, reader) / RCHAN_CACHE_LINE;
    CHECK(offsetof(struct rchan_block, head) / RCHAN_CACHE_LINE < writer);
    CHECK(writer < sleepers);
    CHECK(sleepers < reader);
    CHECK_EQ(offsetof(struct rchan_header, gate) % RCHAN_CACHE_LINE, 0);
}

/* A buffer whose block and memory are all zero, without any file: 4 sub-buffers of 64 bytes. */
struct zeroed {
    struct rchan_channel channel;
    struct rchan_buffer buffer;
};

static void zeroed_init(struct zeroed *zeroed)
{
    struct rchan_channel *channel = &zeroed->channel;
    memset(zeroed, 0, sizeof *zeroed);
    channel->header = calloc(1, RCHAN_BLOCKS_OFFSET);
    channel->buffers = &zeroed->buffer;
    channel->n_buffers = 1;
    channel->subbuf_size = 64;
    channel->n_subbufs = 4;
    channel->shift = 7; /* bits of 65 */
    channel->offset_mask = 127;
    channel->full = 65;
    channel->fd = -1;
    rchan_store(&channel->owner_value, UINT64_C(1) << 32 | 1);
    zeroed->buffer.channel = channel;
    zeroed->buffer.block =
        aligned_alloc(RCHAN_CACHE_LINE, sizeof(struct rchan_block) + 4 * sizeof(struct rchan_meta));
    memset((void *)zeroed->buffer.block, 0,
           sizeof(struct rchan_block) + 4 * sizeof(struct rchan_meta));
    zeroed->buffer.map = calloc(4, 64);
    rchan_store(&zeroed->buffer.data, zeroed->buffer.map);
}

static void zeroed_free(struct zeroed *zeroed)
{
    free(zeroed->channel.header);
    free(zeroed->buffer.block);
    free(rchan_load(&zeroed->buffer.data));
}

TEST(zeroed_memory_is_an_empty_buffer)
{
    struct zeroed zeroed;
    struct rchan_books books, nothing = {0};
    struct rchan_subbuf subbuf;
    uint8_t byte;
    zeroed_init(&zeroed);
    struct rchan_buffer *buffer = &zeroed.buffer;
    CHECK_EQ(rchan_buffer_books(buffer, &books), 0);
    CHECK_EQ(memcmp(&books, &nothing, sizeof books), 0);
    CHECK_EQ(rchan_poll(buffer), 0);
    CHECK_EQ(rchan_read(buffer, &byte, 1), 0);
    CHECK_EQ(rchan_subbuf_take(buffer, &subbuf), 0);
    CHECK(rchan_buffer_is_empty(buffer));
    CHECK(!rchan_buffer_is_full(buffer));
    CHECK(!rchan_wake_wanted(&buffer->block->wake));
    CHECK_EQ(rchan_word_try(&zeroed.channel, &buffer->block->owner, false), RCHAN_TAKEN);
    zeroed_free(&zeroed);
}

TEST(zeroed_memory_can_be_written_and_read)
{
    struct zeroed zeroed;
    uint8_t got[8] = {0};
    zeroed_init(&zeroed);
    CHECK_EQ(rchan_write(&zeroed.channel, 0, "12345678", 8), RCHAN_STORED);
    CHECK_EQ(rchan_read(&zeroed.buffer, got, 8), 8);
    CHECK_EQ(memcmp(got, "12345678", 8), 0);
    zeroed_free(&zeroed);
}
