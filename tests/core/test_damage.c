/* Hostile and damaged files: refused with a reason, never a crash. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

static void path_of(char *path, size_t room, const char *name)
{
    snprintf(path, room, "%s/%s", fixture_directory(), name);
}

static void poke(const char *name, off_t offset, const void *bytes, size_t count)
{
    char path[512];
    path_of(path, sizeof path, name);
    int fd = open(path, O_WRONLY);
    CHECK_EQ(pwrite(fd, bytes, count, offset), count);
    close(fd);
}

static void check_no_attach(const char *base, enum rchan_failure wanted)
{
    struct rchan_error error = {0};
    CHECK(rchan_channel_attach(fixture_directory(), base, NULL, &error) == NULL);
    CHECK_EQ(error.failure, wanted);
    CHECK(error.message[0] != '\0');
}

static void check_damage(size_t offset, const void *bytes, size_t count, enum rchan_failure wanted)
{
    struct rchan_channel *channel = fixture_channel("damage", 64, 2, false);
    struct rchan_error error = {0};
    poke("damage.chan", (off_t)offset, bytes, count);
    check_no_attach("damage", wanted);
    rchan_channel_detach(channel);
    CHECK_EQ(rchan_channel_remove(fixture_directory(), "damage", &error), 0);
    CHECK_EQ(fixture_files(), 0);
}

#define DAMAGE(member, value, wanted)                                                              \
    do {                                                                                           \
        __typeof__(((struct rchan_header *)0)->member) bad = (value);                              \
        check_damage(offsetof(struct rchan_header, member), &bad, sizeof bad, (wanted));           \
    } while (0)

TEST(damaged_headers_are_refused)
{
    DAMAGE(magic, 0, RCHAN_FAIL_CORRUPT);
    DAMAGE(magic, __builtin_bswap64(RCHAN_MAGIC), RCHAN_FAIL_INCOMPATIBLE);
    DAMAGE(abi_version, RCHAN_ABI_VERSION + 1, RCHAN_FAIL_INCOMPATIBLE);
    DAMAGE(byte_order, UINT32_C(0x04030201), RCHAN_FAIL_INCOMPATIBLE);
    DAMAGE(subbuf_size, 0, RCHAN_FAIL_CORRUPT);
    DAMAGE(subbuf_size, UINT32_MAX, RCHAN_FAIL_CORRUPT);
    DAMAGE(n_subbufs, 0, RCHAN_FAIL_CORRUPT);
    DAMAGE(n_subbufs, 3000, RCHAN_FAIL_CORRUPT);
    DAMAGE(n_buffers, 0, RCHAN_FAIL_CORRUPT);
    DAMAGE(n_buffers, RCHAN_MAX_BUFFERS, RCHAN_FAIL_CORRUPT);
    DAMAGE(n_slots, 1, RCHAN_FAIL_CORRUPT);
    DAMAGE(alloc_size, 1, RCHAN_FAIL_CORRUPT);
    DAMAGE(block_size, UINT64_MAX, RCHAN_FAIL_CORRUPT);
    check_damage(offsetof(struct rchan_header, base), "other", 5, RCHAN_FAIL_CORRUPT);
}

TEST(truncated_files_are_refused)
{
    static const off_t sizes[] = {0, 8, 4095, 4096, RCHAN_BLOCKS_OFFSET};
    char path[512];
    path_of(path, sizeof path, "short.chan");
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct rchan_channel *channel = fixture_channel("short", 64, 2, false);
        struct rchan_error error = {0};
        rchan_channel_detach(channel);
        CHECK_EQ(truncate(path, sizes[i]), 0);
        check_no_attach("short", RCHAN_FAIL_CORRUPT);
        CHECK_EQ(rchan_channel_remove(fixture_directory(), "short", &error), 0);
        CHECK_EQ(fixture_files(), 0);
    }
}

TEST(a_truncated_buffer_file_is_not_mapped)
{
    struct rchan_channel *channel = fixture_channel("shortbuf", 64, 2, false);
    char path[512];
    path_of(path, sizeof path, "shortbuf0");
    CHECK_EQ(truncate(path, 100), 0);
    struct rchan_error error = {0};
    struct rchan_channel *other =
        rchan_channel_attach(fixture_directory(), "shortbuf", NULL, &error);
    CHECK(!other || rchan_load(&other->buffers[0].data) == NULL);
    if (other)
        rchan_channel_detach(other);
    CHECK_EQ(truncate(path, (off_t)channel->alloc_size), 0);
    fixture_close(channel);
}

TEST(a_control_file_that_is_cut_while_it_is_mapped)
{
    char path[512];
    struct rchan_error error = {0};
    struct rchan_channel *channel = fixture_channel("cut", 64, 2, false);
    CHECK(rchan_channel_whole(channel));
    path_of(path, sizeof path, "cut.chan");
    CHECK_EQ(truncate(path, (off_t)channel->map_size - 1), 0);
    for (int i = 0; i < 2; i++) {
        CHECK(!rchan_channel_whole(channel));
        CHECK_EQ(truncate(path, 0), 0);
    }
    CHECK(!rchan_channel_whole(channel));
    CHECK_EQ(rchan_load(&channel->buffers[0].block->head), 0); /* no SIGBUS */
    rchan_channel_detach(channel);
    CHECK_EQ(rchan_channel_remove(fixture_directory(), "cut", &error), 0);
}

TEST(symbolic_links_are_refused)
{
    char target[512], link_path[512], directory[512];
    struct rchan_channel *channel = fixture_channel("real", 64, 2, false);
    path_of(target, sizeof target, "real.chan");
    path_of(link_path, sizeof link_path, "link.chan");
    CHECK_EQ(symlink(target, link_path), 0);
    struct rchan_error error = {0};
    CHECK(rchan_channel_attach(fixture_directory(), "link", NULL, &error) == NULL);
    CHECK(error.failure != RCHAN_FAIL_NONE && error.message[0]);
    unlink(link_path);
    path_of(directory, sizeof directory, "dirlink");
    CHECK_EQ(symlink(fixture_directory(), directory), 0);
    CHECK(rchan_channel_attach(directory, "real", NULL, &error) == NULL);
    unlink(directory);
    fixture_close(channel);
}

TEST(impossible_words_are_corrupt_not_a_crash)
{
    static const uint64_t hostile[] = {UINT64_MAX, UINT64_MAX / 2, 127, 126, 1 << 20 | 66};
    for (unsigned i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        for (int which = 0; which < 4; which++) {
            struct rchan_channel *channel = fixture_channel("hostile", 64, 2, which & 1);
            struct rchan_block *block = channel->buffers[0].block;
            rchan_a64 *words[] = {&block->head, &block->tail, &block->started, &block->pending};
            struct rchan_subbuf subbuf;
            struct rchan_books books;
            uint8_t got[256];
            fixture_write(channel, 1, 30);
            rchan_store(words[which], hostile[i]);
            int64_t count = rchan_read(&channel->buffers[0], got, sizeof got);
            CHECK(count <= (int64_t)sizeof got && count >= -200);
            fixture_write(channel, 2, 60);
            fixture_write(channel, 2, 60);
            rchan_buffer_flush(&channel->buffers[0]);
            if (rchan_subbuf_take(&channel->buffers[0], &subbuf) == 1) {
                CHECK(subbuf.length <= 64);
                rchan_subbuf_put_down(&subbuf);
            }
            rchan_buffer_books(&channel->buffers[0], &books);
            rchan_subbufs_consumed(&channel->buffers[0], 2);
            fixture_close(channel);
        }
    }
}
