/* Channels as files: create, attach, grow, late setup, remove; and what must be refused. */
#include <errno.h>
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

static bool exists(const char *name)
{
    char path[512];
    struct stat found;
    path_of(path, sizeof path, name);
    return lstat(path, &found) == 0;
}

static void check_refused(const struct rchan_options *options, enum rchan_failure wanted)
{
    struct rchan_error error = {0};
    int before = fixture_files();
    CHECK(rchan_channel_create(options, &error) == NULL);
    CHECK_EQ(error.failure, wanted);
    CHECK(error.message[0] != '\0');
    CHECK_EQ(fixture_files(), before);
}

static void check_no_attach(const char *base, enum rchan_failure wanted)
{
    struct rchan_error error = {0};
    CHECK(rchan_channel_attach(fixture_directory(), base, NULL, &error) == NULL);
    CHECK_EQ(error.failure, wanted);
    CHECK(error.message[0] != '\0');
}

TEST(a_channel_is_its_files)
{
    struct rchan_options options = fixture_options("files", 5000, 3);
    static const uint32_t cpus[] = {0, 2};
    struct stat found;
    char path[512];
    options.n_buffers = 4;
    options.cpus = cpus;
    options.n_cpus = 2;
    struct rchan_channel *channel = fixture_create(&options);
    CHECK(exists("files.chan") && exists("files0") && exists("files2"));
    CHECK(!exists("files1") && !exists("files3"));
    path_of(path, sizeof path, "files0");
    CHECK_EQ(stat(path, &found), 0);
    CHECK_EQ(found.st_size, 16384); /* 15000, up to whole pages */
    CHECK_EQ(found.st_mode & 0777, 0600);
    CHECK(found.st_blocks * 512 >= 16384);
    CHECK_EQ(channel->alloc_size, 16384);
    fixture_close(channel);
    CHECK_EQ(fixture_files(), 0);
}

TEST(attach_sees_the_same_channel)
{
    struct rchan_options options = fixture_options("same", 48, 3);
    options.overwrite = true;
    options.owner_wait_us = 1234;
    struct rchan_channel *channel = fixture_create(&options);
    struct rchan_channel *other = fixture_attach("same");
    uint8_t got[4] = {0};
    CHECK_EQ(other->subbuf_size, 48);
    CHECK_EQ(other->n_subbufs, 3);
    CHECK_EQ(other->n_buffers, 1);
    CHECK_EQ(other->flags & RCHAN_OVERWRITE, RCHAN_OVERWRITE);
    CHECK_EQ(other->owner_wait_us, 1234);
    CHECK(channel->creator && !other->creator);
    CHECK_EQ(fixture_write(channel, 9, 4), RCHAN_STORED);
    CHECK_EQ(rchan_read(&other->buffers[0], got, 4), 4);
    CHECK_EQ(got[3], 9);
    rchan_channel_detach(other);
    CHECK(exists("same.chan"));
    fixture_close(channel);
}

TEST(impossible_geometry_is_refused)
{
    static const uint64_t geometry[][3] = {
        {0, 2, 1},           {2, 0, 1},      {0, 0, 1},
        {UINT32_MAX, 2, 1},  {1, 524289, 1}, {UINT64_MAX, 1, 1},
        {64, UINT64_MAX, 1}, {64, 2, 0},     {64, 2, RCHAN_MAX_BUFFERS + 1},
    };
    for (unsigned i = 0; i < sizeof geometry / sizeof geometry[0]; i++) {
        struct rchan_options options = fixture_options("absurd", geometry[i][0], geometry[i][1]);
        options.n_buffers = geometry[i][2];
        check_refused(&options, RCHAN_FAIL_GEOMETRY);
    }
}

TEST(a_name_too_long_is_refused) /* D7 */
{
    char name[RCHAN_BASE_MAX + 2];
    memset(name, 'x', sizeof name);
    name[RCHAN_BASE_MAX + 1] = '\0';
    struct rchan_options options = fixture_options(name, 64, 2);
    check_refused(&options, RCHAN_FAIL_NAME);
    options.base = "";
    check_refused(&options, RCHAN_FAIL_NAME);
    check_no_attach("", RCHAN_FAIL_NAME);
    check_no_attach("a/b", RCHAN_FAIL_NAME);
}

TEST(a_name_that_exists_is_refused_and_unharmed)
{
    struct rchan_channel *channel = fixture_channel("taken", 64, 2, false);
    struct rchan_options options = fixture_options("taken", 32, 5);
    fixture_write(channel, 5, 10);
    check_refused(&options, RCHAN_FAIL_EXISTS);
    struct rchan_books books = fixture_books(&channel->buffers[0]);
    CHECK_EQ(books.readable_bytes, 10);
    fixture_close(channel);
}

TEST(a_missing_directory_or_channel_is_not_found)
{
    struct rchan_options options = fixture_options("lost", 64, 2);
    struct rchan_error error = {0};
    check_no_attach("lost", RCHAN_FAIL_NOT_FOUND);
    CHECK_EQ(rchan_channel_remove(fixture_directory(), "lost", &error), -1);
    CHECK_EQ(error.failure, RCHAN_FAIL_NOT_FOUND);
    options.directory = "/nonexistent-directory";
    check_refused(&options, RCHAN_FAIL_NOT_FOUND);
}

TEST(a_file_that_fails_halfway_leaves_nothing) /* D6 */
{
    struct rchan_options options = fixture_options("half", 64, 2);
    static const uint32_t cpus[] = {0, 1, 2};
    char path[512];
    options.n_buffers = 3;
    options.cpus = cpus;
    options.n_cpus = 3;
    path_of(path, sizeof path, "half2");
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    CHECK_EQ(write(fd, "mine", 4), 4);
    close(fd);
    check_refused(&options, RCHAN_FAIL_EXISTS);
    CHECK_EQ(fixture_files(), 1);
    unlink(path);
    fixture_close(fixture_create(&options));
    CHECK_EQ(fixture_files(), 0);
}

static int refused_index, removals;

static int refuse_one(struct rchan_buffer *buffer, const char *file_name, bool *is_global)
{
    (void)is_global;
    if ((int)buffer->index == refused_index)
        return -ENOMEM;
    return file_name ? rchan_buffer_link(buffer, file_name) : 0;
}

static void remove_one(struct rchan_buffer *buffer, const char *file_name)
{
    removals++;
    if (file_name)
        rchan_buffer_unlink(buffer, file_name);
}

TEST(a_hook_that_refuses_undoes_the_others)
{
    struct rchan_options options = fixture_options("hook", 64, 2);
    static const uint32_t cpus[] = {0, 1, 2};
    options.n_buffers = 3;
    options.cpus = cpus;
    options.n_cpus = 3;
    options.hooks.create_buf_file = refuse_one;
    options.hooks.remove_buf_file = remove_one;
    for (refused_index = 0; refused_index < 3; refused_index++) {
        removals = 0;
        check_refused(&options, RCHAN_FAIL_CALLBACK);
        CHECK_EQ(removals, refused_index);
    }
    fixture_close(fixture_create(&options));
    CHECK_EQ(fixture_files(), 0);
}

static int say_global(struct rchan_buffer *buffer, const char *file_name, bool *is_global)
{
    *is_global = true;
    return file_name ? rchan_buffer_link(buffer, file_name) : 0;
}

TEST(a_global_buffer_serves_every_cpu)
{
    struct rchan_options options = fixture_options("global", 64, 2);
    static const uint32_t cpus[] = {0, 1, 2};
    options.n_buffers = 3;
    options.cpus = cpus;
    options.n_cpus = 3;
    options.hooks.create_buf_file = say_global;
    struct rchan_channel *channel = fixture_create(&options);
    CHECK_EQ(channel->n_buffers, 1);
    CHECK(exists("global0") && !exists("global1"));
    CHECK_EQ(rchan_write(channel, 2, "ab", 2), RCHAN_STORED);
    CHECK_EQ(fixture_books(&channel->buffers[0]).written_records, 1);
    struct rchan_channel *other = fixture_attach("global");
    CHECK_EQ(other->n_buffers, 1);
    rchan_channel_detach(other);
    fixture_close(channel);
}

TEST(cpus_share_buffers_modulo_their_number)
{
    struct rchan_options options = fixture_options("modulo", 64, 2);
    static const uint32_t cpus[] = {0, 1};
    options.n_buffers = 2;
    options.cpus = cpus;
    options.n_cpus = 2;
    struct rchan_channel *channel = fixture_create(&options);
    CHECK_EQ(rchan_write(channel, 5, "ab", 2), RCHAN_STORED);
    CHECK_EQ(rchan_write(channel, 1000000, "ab", 2), RCHAN_STORED);
    CHECK_EQ(fixture_books(&channel->buffers[1]).written_records, 1);
    CHECK_EQ(fixture_books(&channel->buffers[0]).written_records, 1);
    fixture_close(channel);
}

TEST(a_buffer_comes_into_being_at_its_first_write_for_all)
{
    struct rchan_options options = fixture_options("grow", 64, 2);
    options.n_buffers = 4;
    struct rchan_channel *channel = fixture_create(&options);
    struct rchan_channel *other = fixture_attach("grow");
    struct rchan_error error = {0};
    CHECK(!exists("grow3"));
    CHECK_EQ(rchan_write(channel, 3, "abc", 3), RCHAN_STORED);
    CHECK(exists("grow3"));
    CHECK_EQ(rchan_channel_refresh(other), 1);
    CHECK_EQ(fixture_books(&other->buffers[3]).readable_bytes, 3);
    struct rchan_buffer *made = rchan_buffer_prepare(other, 2, &error);
    CHECK(made == &other->buffers[2]);
    CHECK(exists("grow2"));
    CHECK(rchan_buffer_prepare(other, 2, &error) == made);
    CHECK_EQ(rchan_write(channel, 2, "abc", 3), RCHAN_STORED);
    CHECK_EQ(fixture_books(made).readable_bytes, 3);
    rchan_channel_detach(other);
    fixture_close(channel);
    CHECK_EQ(fixture_files(), 0);
}

TEST(a_closed_channel_makes_no_buffer)
{
    struct rchan_options options = fixture_options("closedgrow", 64, 2);
    options.n_buffers = 4;
    struct rchan_channel *channel = fixture_create(&options);
    struct rchan_error error = {0};
    rchan_channel_finalize(channel);
    CHECK(rchan_channel_finalized(channel));
    CHECK(rchan_buffer_prepare(channel, 2, &error) == NULL);
    CHECK_EQ(error.failure, RCHAN_FAIL_NO_BUFFER);
    CHECK_EQ(rchan_write(channel, 2, "abc", 3), RCHAN_DROPPED_DISABLED);
    CHECK(!exists("closedgrow2"));
    fixture_close(channel);
}

TEST(what_was_written_can_be_read_after_close)
{
    struct rchan_channel *channel = fixture_channel("after", 64, 2, false);
    struct rchan_channel *other = fixture_attach("after");
    uint8_t got[64];
    fixture_write(channel, 4, 40);
    fixture_close(channel);
    CHECK_EQ(fixture_files(), 0);
    CHECK_EQ(rchan_poll(&other->buffers[0]), RCHAN_POLLERR);
    CHECK_EQ(fixture_write(other, 4, 40), RCHAN_DROPPED_DISABLED);
    CHECK_EQ(rchan_read(&other->buffers[0], got, 64), 40);
    CHECK_EQ(got[39], 4);
    rchan_channel_detach(other);
}

/* ---- late setup ---- */

TEST(late_setup_gives_every_buffer_its_file) /* D9 */
{
    struct rchan_options options = fixture_options(NULL, 64, 4);
    static const uint32_t cpus[] = {0, 2};
    struct rchan_error error = {0};
    options.n_buffers = 3;
    options.cpus = cpus;
    options.n_cpus = 2;
    struct rchan_channel *channel = fixture_create(&options);
    CHECK_EQ(fixture_files(), 0);
    rchan_write(channel, 0, "early", 5);
    rchan_write(channel, 2, "two", 3);
    CHECK_EQ(rchan_channel_late_setup(channel, fixture_directory(), "late", &error), 0);
    CHECK(exists("late.chan") && exists("late0") && exists("late2") && !exists("late1"));
    struct rchan_channel *other = fixture_attach("late");
    CHECK_EQ(fixture_books(&other->buffers[0]).readable_bytes, 5);
    CHECK_EQ(fixture_books(&other->buffers[2]).readable_bytes, 3);
    CHECK_EQ(rchan_channel_late_setup(channel, fixture_directory(), "twice", &error), -1);
    CHECK_EQ(error.failure, RCHAN_FAIL_EXISTS);
    rchan_channel_detach(other);
    fixture_close(channel);
    CHECK_EQ(fixture_files(), 0);
}

TEST(a_late_setup_that_failed_can_be_done_again) /* D8 */
{
    struct rchan_options options = fixture_options(NULL, 64, 4);
    static const uint32_t cpus[] = {0, 1, 2};
    struct rchan_error error = {0};
    char path[512];
    options.n_buffers = 3;
    options.cpus = cpus;
    options.n_cpus = 3;
    struct rchan_channel *channel = fixture_create(&options);
    rchan_write(channel, 1, "early", 5);
    path_of(path, sizeof path, "again1");
    close(open(path, O_CREAT | O_WRONLY, 0600));
    CHECK_EQ(rchan_channel_late_setup(channel, fixture_directory(), "again", &error), -1);
    CHECK_EQ(error.failure, RCHAN_FAIL_EXISTS);
    CHECK(!exists("again.chan") && !exists("again0") && !exists("again2"));
    unlink(path);
    CHECK_EQ(rchan_channel_late_setup(channel, fixture_directory(), "again", &error), 0);
    CHECK_EQ(fixture_files(), 4);
    CHECK_EQ(fixture_books(&channel->buffers[1]).readable_bytes, 5);
    fixture_close(channel);
    CHECK_EQ(fixture_files(), 0);
}

TEST(late_setup_needs_a_name)
{
    struct rchan_options options = fixture_options(NULL, 64, 4);
    struct rchan_error error = {0};
    struct rchan_channel *channel = fixture_create(&options);
    CHECK_EQ(rchan_channel_late_setup(channel, fixture_directory(), NULL, &error), -1);
    CHECK_EQ(error.failure, RCHAN_FAIL_NAME);
    CHECK_EQ(rchan_channel_late_setup(channel, fixture_directory(), "", &error), -1);
    CHECK_EQ(error.failure, RCHAN_FAIL_NAME);
    fixture_close(channel);
}
