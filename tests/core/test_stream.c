/* The checksum against known values and itself; a stream's file and index, byte by byte. */
#include "crc32c.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"
#include "testpoint.h"

static int memory_file(void)
{
    int fd = memfd_create("stream", MFD_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

TEST(the_checksum_is_crc_32c)
{
    uint8_t zeros[32] = {0}, ones[32], up[32];
    memset(ones, 255, sizeof ones);
    for (int i = 0; i < 32; i++)
        up[i] = (uint8_t)i;
    CHECK_EQ(rchan_crc32c(0, "123456789", 9), 0xe3069283);
    CHECK_EQ(rchan_crc32c(0, zeros, 32), 0x8a9136aa);
    CHECK_EQ(rchan_crc32c(0, ones, 32), 0x62a8ab43);
    CHECK_EQ(rchan_crc32c(0, up, 32), 0x46dd794e);
    CHECK_EQ(rchan_crc32c(7, "", 0), 7);
}

/* A page that nobody may touch lies behind `data`: a way that reads on would end there. */
static uint8_t *before_the_end(size_t size)
{
    size_t pages = (size + 4095) / 4096 * 4096;
    uint8_t *memory =
        mmap(NULL, pages + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    REQUIRE(mprotect(memory + pages, 4096, PROT_NONE) == 0);
    uint32_t seed = 1;
    for (size_t i = 0; i < pages; i++)
        memory[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
    return memory + pages - size;
}

static void check_way(enum rchan_crc32c_way way, uint32_t crc, const uint8_t *data, size_t length)
{
    if (rchan_crc32c_has(way))
        CHECK_EQ(rchan_crc32c_by(way, crc, data, length),
                 rchan_crc32c_by(RCHAN_CRC32C_TABLES, crc, data, length));
}

TEST(all_ways_agree_at_every_length_and_place)
{
    enum { SIZE = 300000 };
    uint8_t *end = before_the_end(SIZE) + SIZE;
    CHECK(rchan_crc32c_has(RCHAN_CRC32C_TABLES));
    for (enum rchan_crc32c_way way = RCHAN_CRC32C_INSTRUCTION; way < RCHAN_CRC32C_WAYS; way++) {
        for (size_t length = 0; length < 3200; length++)
            check_way(way, (uint32_t)length * 77773, end - length, length);
        for (size_t place = 0; place < 70; place++)
            check_way(way, 5, end - 5000 - place, 4500 + place % 13);
        for (size_t length = 11000; length < SIZE; length += 9771)
            check_way(way, 0, end - length, length);
    }
    uint32_t parts = rchan_crc32c(rchan_crc32c(0, end - 40000, 12345), end - 27655, 20000);
    CHECK_EQ(parts, rchan_crc32c(0, end - 40000, 32345));
}

static struct rchan_stream stream_of(int data_fd, int index_fd)
{
    return (struct rchan_stream){.data_fd = data_fd, .index_fd = index_fd, .checked = true};
}

static void close_files(const struct rchan_stream *stream)
{
    close(stream->data_fd);
    close(stream->index_fd);
}

TEST(sub_buffers_stand_one_behind_the_other)
{
    struct rchan_channel *channel = fixture_channel("stream", 64, 4, false);
    struct rchan_stream stream = stream_of(memory_file(), memory_file());
    struct rchan_entry entries[3];
    uint8_t data[120];
    for (int i = 0; i < 3; i++)
        CHECK_EQ(fixture_write(channel, (uint8_t)(i + 1), 40), RCHAN_STORED);
    CHECK_EQ(rchan_stream_drain(&stream, &channel->buffers[0], 9), RCHAN_DRAINED_EMPTY);
    CHECK_EQ(stream.subbufs, 2);
    CHECK_EQ(rchan_buffer_flush(&channel->buffers[0]), 0);
    CHECK_EQ(rchan_stream_drain(&stream, &channel->buffers[0], 1), RCHAN_DRAINED_LIMIT);
    CHECK_EQ(pread(stream.data_fd, data, sizeof data, 0), 120);
    CHECK_EQ(pread(stream.index_fd, entries, sizeof entries, 0), sizeof entries);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(data[40 * i], i + 1);
        CHECK_EQ(entries[i].seq, i);
        CHECK_EQ(entries[i].offset, 40 * i);
        CHECK_EQ(entries[i].before_records, i);
        CHECK_EQ(entries[i].data_crc, rchan_crc32c(0, data + 40 * i, 40));
    }
    CHECK_EQ(fixture_books(&channel->buffers[0]).consumed_records, 3);
    fixture_close(channel);
    close_files(&stream);
}

TEST(what_was_recorded_before_is_given_back_and_not_recorded_again)
{
    struct rchan_channel *channel = fixture_channel("stream", 64, 4, false);
    struct rchan_stream stream = stream_of(memory_file(), memory_file());
    for (int i = 0; i < 3; i++)
        CHECK_EQ(fixture_write(channel, (uint8_t)i, 64), RCHAN_STORED);
    stream.any = true;
    stream.last_seq = 0;
    CHECK_EQ(rchan_stream_drain(&stream, &channel->buffers[0], 9), RCHAN_DRAINED_EMPTY);
    CHECK_EQ(stream.subbufs, 1);
    CHECK_EQ(stream.last.seq, 1);
    fixture_close(channel);
    close_files(&stream);
}

TEST(what_cannot_be_written_stays_in_the_channel)
{
    struct rchan_channel *channel = fixture_channel("stream", 64, 4, false);
    struct rchan_stream stream = stream_of(memory_file(), memory_file());
    int good = stream.index_fd, bad = open("/dev/full", O_WRONLY | O_CLOEXEC);
    CHECK_EQ(fixture_write(channel, 1, 64), RCHAN_STORED);
    CHECK_EQ(fixture_write(channel, 2, 64), RCHAN_STORED);
    stream.index_fd = bad;
    CHECK_EQ(rchan_stream_drain(&stream, &channel->buffers[0], 9), RCHAN_DRAINED_INDEX);
    CHECK_EQ(stream.os_errno, ENOSPC);
    CHECK_EQ(stream.offset, 0);
    stream.index_fd = good;
    stream.limit = 32;
    CHECK_EQ(rchan_stream_drain(&stream, &channel->buffers[0], 9), RCHAN_DRAINED_EMPTY);
    CHECK_EQ(stream.subbufs, 1);
    CHECK_EQ(rchan_buffer_flush(&channel->buffers[0]), 0);
    CHECK_EQ(rchan_stream_drain(&stream, &channel->buffers[0], 9), RCHAN_DRAINED_FULL);
    CHECK_EQ(fixture_books(&channel->buffers[0]).readable_records, 1);
    fixture_close(channel);
    close_files(&stream);
    close(bad);
}

static void check_entry(const struct rchan_stream *stream, uint64_t number, uint64_t offset)
{
    struct rchan_entry entry;
    uint8_t data[64];
    off_t at = (off_t)(number * sizeof entry);
    REQUIRE(pread(stream->index_fd, &entry, sizeof entry, at) == sizeof entry);
    CHECK_EQ(entry.offset, offset);
    REQUIRE(entry.length == 33 + number % 20);
    CHECK_EQ(pread(stream->data_fd, data, entry.length, (off_t)offset), entry.length);
    CHECK_EQ(data[0], number);
    CHECK_EQ(data[entry.length - 1], number);
    CHECK_EQ(rchan_crc32c(0, data, entry.length), entry.data_crc);
}

/* Many at once, of all lengths, with empty ones between: as if one by one. */
TEST(several_are_written_together)
{
    struct rchan_channel *channel = fixture_channel("stream", 64, 32, false);
    struct rchan_buffer *buffer = &channel->buffers[0];
    struct rchan_stream stream = stream_of(memory_file(), memory_file());
    uint64_t offset = 0, seen = 0;
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 20; i++) {
            CHECK_EQ(fixture_write(channel, (uint8_t)(20 * round + i), 33 + i), RCHAN_STORED);
            for (int flush = 0; i % 7 == 6 && flush < 2; flush++)
                CHECK_EQ(rchan_buffer_flush(buffer), 0);
        }
        CHECK_EQ(rchan_buffer_flush(buffer), 0);
        stream.limit = offset + 300;
        CHECK_EQ(rchan_stream_drain(&stream, buffer, UINT64_MAX), RCHAN_DRAINED_FULL);
        CHECK(stream.offset <= stream.limit && stream.offset > stream.limit - 52);
        CHECK_EQ(lseek(stream.data_fd, 0, SEEK_END), stream.offset);
        stream.limit = 0;
        while (rchan_stream_drain(&stream, buffer, 7) == RCHAN_DRAINED_LIMIT)
            CHECK_EQ(fixture_books(buffer).consumed_records, stream.subbufs);
        CHECK_EQ(stream.subbufs, 20 * (round + 1));
        for (; seen < stream.subbufs; seen++) {
            check_entry(&stream, seen, offset);
            offset += 33 + seen % 20;
        }
        CHECK_EQ(stream.offset, offset);
    }
    fixture_close(channel);
    close_files(&stream);
}

/* What was in the file already is written anew if it is not the same any more. */
TEST(what_was_written_ahead_and_thrown_away_is_not_recorded)
{
    struct rchan_channel *channel = fixture_channel("stream", 64, 8, false);
    struct rchan_buffer *buffer = &channel->buffers[0];
    struct rchan_stream stream = stream_of(memory_file(), memory_file());
    int good = stream.index_fd, bad = open("/dev/full", O_WRONLY | O_CLOEXEC);
    uint8_t data[3 * 64];
    for (int turn = 1; turn <= 2; turn++) {
        for (int i = 0; i < 4; i++)
            CHECK_EQ(fixture_write(channel, (uint8_t)(16 * turn + i), 64), RCHAN_STORED);
        stream.index_fd = bad;
        CHECK_EQ(rchan_stream_drain(&stream, buffer, 9), RCHAN_DRAINED_INDEX);
        CHECK(pread(stream.data_fd, data, sizeof data, 0) == sizeof data);
        CHECK_EQ(data[128], 16 * turn + 2);
        CHECK_EQ(stream.offset, 0);
        if (turn == 1)
            CHECK_EQ(rchan_buffer_reset(buffer), 0);
    }
    stream.index_fd = good;
    CHECK_EQ(rchan_stream_drain(&stream, buffer, 9), RCHAN_DRAINED_EMPTY);
    CHECK(pread(stream.data_fd, data, sizeof data, 0) == sizeof data);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(data[64 * i + 63], 32 + i);
    CHECK_EQ(stream.subbufs, 3);
    fixture_close(channel);
    close_files(&stream);
    close(bad);
}

#ifdef RCHAN_TESTPOINTS
static struct rchan_channel *overwritten;

static void overwrite_one(const char *point)
{
    if (strcmp(point, "record: data written") != 0)
        return;
    rchan_testpoint_hook = NULL;
    CHECK_EQ(fixture_write(overwritten, 99, 64), RCHAN_STORED);
}

/* The oldest is destroyed while it is recorded: those behind it were written behind it, and move up. */
TEST(what_was_written_ahead_of_one_that_is_gone_is_written_anew)
{
    struct rchan_channel *channel = fixture_channel("stream", 64, 8, true);
    struct rchan_stream stream = stream_of(memory_file(), memory_file());
    for (int i = 0; i < 8; i++)
        CHECK_EQ(fixture_write(channel, (uint8_t)i, 64), RCHAN_STORED);
    overwritten = channel;
    rchan_testpoint_hook = overwrite_one;
    CHECK_EQ(rchan_stream_drain(&stream, &channel->buffers[0], 20), RCHAN_DRAINED_EMPTY);
    CHECK(!rchan_testpoint_hook);
    rchan_testpoint_hook = NULL;
    CHECK_EQ(stream.subbufs, 7);
    for (unsigned i = 0; i < stream.subbufs; i++) {
        struct rchan_entry entry;
        uint8_t data[64];
        off_t at = (off_t)(i * sizeof entry);
        REQUIRE(pread(stream.index_fd, &entry, sizeof entry, at) == sizeof entry);
        REQUIRE(pread(stream.data_fd, data, 64, (off_t)entry.offset) == 64);
        CHECK_EQ(entry.seq, i + 1);
        CHECK_EQ(data[63], i + 1);
        CHECK_EQ(rchan_crc32c(0, data, 64), entry.data_crc);
    }
    fixture_close(channel);
    close_files(&stream);
}
#endif
