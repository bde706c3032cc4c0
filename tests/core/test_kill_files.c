/* Whoever makes, names or removes files is killed at every testpoint: the name is never lost. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "killing.h"

static const uint32_t cpus[] = {0, 1, 2};

static struct rchan_options three_buffers(const char *base)
{
    struct rchan_options options = fixture_options(base, 64, 2);
    options.n_buffers = 3;
    options.cpus = cpus;
    options.n_cpus = 3;
    return options;
}

static void remove_channel(const char *base)
{
    struct rchan_error error = {0};
    CHECK_EQ(rchan_channel_remove(fixture_directory(), base, &error), 0);
}

/* ---- create ---- */

static void act_create(struct rchan_channel *channel, struct log *log)
{
    struct rchan_options options = three_buffers("kill");
    struct rchan_error error = {0};
    (void)channel;
    if (!rchan_channel_create(&options, &error))
        _exit(1);
    log->done = 1;
}

/* Live, or as if it had never been: a new create takes the name. */
static void check_create(struct rchan_channel *channel, struct log *log, bool killed)
{
    struct rchan_error error = {0};
    struct rchan_options options = three_buffers("kill");
    (void)killed;
    channel = rchan_channel_attach(fixture_directory(), "kill", NULL, &error);
    CHECK(!log->done || channel);
    if (channel) {
        CHECK_EQ(rchan_write(channel, 2, "abc", 3), RCHAN_STORED);
        rchan_channel_detach(channel);
        remove_channel("kill");
        return;
    }
    CHECK_EQ(error.failure, RCHAN_FAIL_NOT_FOUND);
    channel = rchan_channel_create(&options, &error);
    if (CHECK(channel != NULL))
        fixture_close(channel);
}

TEST(a_creator_is_killed)
{
    static const struct scene scene = {NULL, act_create, check_create};
    CHECK(kill_everywhere(&scene) > 6);
}

static void check_remove(struct rchan_channel *channel, struct log *log, bool killed)
{
    struct rchan_error error = {0};
    (void)channel;
    (void)killed;
    if (rchan_channel_remove(fixture_directory(), "kill", &error))
        CHECK(!log->done && error.failure == RCHAN_FAIL_NOT_FOUND);
}

TEST(what_a_killed_creator_left_can_be_removed)
{
    static const struct scene scene = {NULL, act_create, check_remove};
    CHECK(kill_everywhere(&scene) > 6);
}

/* ---- late setup ---- */

static void act_late(struct rchan_channel *channel, struct log *log)
{
    struct rchan_options options = three_buffers(NULL);
    struct rchan_error error = {0};
    channel = rchan_channel_create(&options, &error);
    if (!channel || rchan_write(channel, 1, "early", 5) != RCHAN_STORED)
        _exit(1);
    if (rchan_channel_late_setup(channel, fixture_directory(), "kill", &error))
        _exit(1);
    log->done = 1;
}

TEST(who_gives_late_files_is_killed)
{
    static const struct scene created = {NULL, act_late, check_create};
    static const struct scene removed = {NULL, act_late, check_remove};
    CHECK(kill_everywhere(&created) > 10);
    CHECK(kill_everywhere(&removed) > 10);
}

/* A file is in the way of the last buffer. */
static void set_in_the_way(bool there)
{
    char path[512];
    snprintf(path, sizeof path, "%s/kill2", fixture_directory());
    int fd = there ? open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600) : -1;
    if (fd >= 0)
        close(fd);
    if (!there)
        unlink(path);
}

static struct rchan_channel *set_late_fails(struct log *log)
{
    (void)log;
    set_in_the_way(true);
    return NULL;
}

static void act_late_fails(struct rchan_channel *channel, struct log *log)
{
    struct rchan_options options = three_buffers(NULL);
    struct rchan_error error = {0};
    channel = rchan_channel_create(&options, &error);
    if (!channel || !rchan_channel_late_setup(channel, fixture_directory(), "kill", &error))
        _exit(1);
    log->done = fixture_files() == 4; /* the one in the way, and three hidden ones */
}

/* The next buffer-only channel clears the hidden files away, but not those of one who lives. */
static void check_late_fails(struct rchan_channel *channel, struct log *log, bool killed)
{
    struct rchan_error error = {0};
    struct rchan_options options = three_buffers(NULL);
    struct rchan_channel *alive = fixture_create(&options);
    CHECK(killed || log->done);
    rchan_channel_remove(fixture_directory(), "kill", &error); /* half made, perhaps */
    set_in_the_way(true);
    CHECK_EQ(rchan_channel_late_setup(alive, fixture_directory(), "kill", &error), -1);
    fixture_close(fixture_create(&options));
    set_in_the_way(false);
    CHECK_EQ(fixture_files(), 3);
    CHECK_EQ(rchan_channel_late_setup(alive, fixture_directory(), "kill", &error), 0);
    fixture_close(alive);
    (void)channel;
}

TEST(who_fails_to_give_late_files_is_killed)
{
    static const struct scene scene = {set_late_fails, act_late_fails, check_late_fails};
    CHECK(kill_everywhere(&scene) > 10);
}

/* ---- a buffer made on demand ---- */

static struct rchan_channel *set_one_buffer(struct log *log)
{
    struct rchan_options options = three_buffers("kill");
    (void)log;
    options.n_cpus = 1;
    return fixture_create(&options);
}

static void act_grow(struct rchan_channel *channel, struct log *log)
{
    log_write(channel, log, 1);
    log_write(channel, log, 1);
}

static uint64_t attempts_counted(struct rchan_channel *channel)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < channel->n_buffers; i++) {
        if (!rchan_load(&channel->buffers[i].data))
            continue;
        struct rchan_books books = fixture_books(&channel->buffers[i]);
        sum += books.written_records;
        for (unsigned cause = 0; cause < RCHAN_DROP_CAUSES; cause++)
            sum += books.dropped_records[cause];
    }
    return sum;
}

static void check_grow(struct rchan_channel *channel, struct log *log, bool killed)
{
    rchan_channel_refresh(channel);
    CHECK_EQ(rchan_write(channel, 1, "abc", 3), RCHAN_STORED);
    uint64_t counted = attempts_counted(channel) - 1;
    CHECK(counted == log->done || counted == log->started);
    CHECK(killed || counted == 2);
    REQUIRE(rchan_load(&channel->buffers[1].data) != NULL);
    struct rchan_books books = fixture_books(&channel->buffers[1]);
    CHECK_EQ(books.written_records, counted + 1);
}

TEST(who_makes_a_buffer_is_killed)
{
    static const struct scene scene = {set_one_buffer, act_grow, check_grow};
    CHECK(kill_everywhere(&scene) > 4);
}

/* ---- finalize and close ---- */

static void act_close(struct rchan_channel *channel, struct log *log)
{
    (void)log;
    rchan_channel_close(channel, NULL);
}

static void check_close(struct rchan_channel *channel, struct log *log, bool killed)
{
    uint8_t got[8];
    (void)log;
    if (!killed)
        CHECK(rchan_channel_finalized(channel));
    if (rchan_channel_finalized(channel)) {
        CHECK_EQ(rchan_write(channel, 0, "abc", 3), RCHAN_DROPPED_DISABLED);
        CHECK(rchan_buffer_finalized(&channel->buffers[0])); /* wherever the finalizer was killed */
        CHECK_EQ(rchan_poll(&channel->buffers[0]), RCHAN_POLLERR);
    }
    CHECK_EQ(rchan_read(&channel->buffers[0], got, 8), 5);
    CHECK_EQ(memcmp(got, "early", 5), 0);
}

static struct rchan_channel *set_written(struct log *log)
{
    struct rchan_options options = three_buffers("kill");
    (void)log;
    struct rchan_channel *channel = fixture_create(&options);
    CHECK_EQ(rchan_write(channel, 0, "early", 5), RCHAN_STORED);
    return channel;
}

TEST(who_closes_is_killed)
{
    static const struct scene scene = {set_written, act_close, check_close};
    CHECK(kill_everywhere(&scene) > 1);
}

/* ---- attach ---- */

static void act_attach(struct rchan_channel *channel, struct log *log)
{
    struct rchan_error error = {0};
    (void)channel;
    struct rchan_channel *other = rchan_channel_attach(fixture_directory(), "kill", NULL, &error);
    if (!other)
        _exit(1);
    log_write(other, log, 1);
}

static void check_attach(struct rchan_channel *channel, struct log *log, bool killed)
{
    (void)killed;
    CHECK_EQ(rchan_write(channel, 1, "abc", 3), RCHAN_STORED);
    uint64_t counted = attempts_counted(channel) - 2;
    CHECK(counted == log->done || counted == log->started);
}

TEST(who_attaches_is_killed)
{
    static const struct scene scene = {set_written, act_attach, check_attach};
    CHECK(kill_everywhere(&scene) > 3);
}
