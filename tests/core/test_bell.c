/* Doorbells: rung once an arming, never missed, and their files never left behind. */
#include "bell.h"
#include "bell_files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "ring.h"
#include "wait.h"

static void opened(struct rchan_channel *channel, struct rchan_bell *bell)
{
    struct rchan_error error = {0};
    REQUIRE(rchan_bell_open(channel, bell, &error) == 0);
}

static bool readable(const struct rchan_bell *bell, int timeout_ms)
{
    struct pollfd look = {.fd = bell->fd, .events = POLLIN};
    return poll(&look, 1, timeout_ms) == 1;
}

/* Bytes that were in it. */
static ssize_t drained(const struct rchan_bell *bell)
{
    char rung[64];
    return read(bell->fd, rung, sizeof rung);
}

static bool armed(const struct rchan_bell *bell)
{
    return rchan_load(&bell->channel->header->bells[bell->index]) & 1;
}

static void finish_subbuf(struct rchan_channel *channel)
{
    fixture_write(channel, 'x', 8);
    CHECK_EQ(rchan_buffer_flush(&channel->buffers[0]), 0);
}

TEST(a_switch_rings_an_armed_bell_once)
{
    struct rchan_bell bell;
    struct rchan_channel *channel = fixture_channel("bell", 64, 8, false);
    opened(channel, &bell);
    finish_subbuf(channel);
    CHECK(!readable(&bell, 0)); /* not armed */
    CHECK(rchan_bell_rearm(&bell));
    CHECK(!readable(&bell, 0));
    finish_subbuf(channel);
    CHECK(readable(&bell, 0));
    CHECK(!armed(&bell));
    CHECK(!rchan_wake_wanted(&channel->header->wake));
    CHECK_EQ(drained(&bell), 1);
    finish_subbuf(channel); /* not armed again */
    CHECK(!readable(&bell, 0));
    rchan_bell_close(&bell);
    fixture_close(channel);
    CHECK_EQ(fixture_files(), 0);
}

TEST(arming_again_and_again_is_noted_once)
{
    struct rchan_bell bell;
    struct rchan_channel *channel = fixture_channel("bell", 64, 8, false);
    opened(channel, &bell);
    for (int i = 0; i < 5; i++)
        CHECK(rchan_bell_rearm(&bell));
    uint64_t noted = rchan_load(&channel->header->wake);
    CHECK(rchan_bell_rearm(&bell));
    CHECK_EQ(rchan_load(&channel->header->wake), noted);
    CHECK_EQ(noted >> 32, 0);
    rchan_bell_close(&bell);
    CHECK_EQ(fixture_files(), 2);
    finish_subbuf(channel); /* one needless wake-up */
    CHECK(!rchan_wake_wanted(&channel->header->wake));
    fixture_close(channel);
}

TEST(every_reader_has_a_bell_of_its_own)
{
    enum { N = 10 };
    struct rchan_bell bells[N];
    struct rchan_channel *channel = fixture_channel("bell", 64, 8, false);
    for (int i = 0; i < N; i++) {
        opened(channel, &bells[i]);
        CHECK_EQ(bells[i].index, i);
        CHECK(rchan_bell_rearm(&bells[i]));
    }
    finish_subbuf(channel);
    for (int i = 0; i < N; i++)
        CHECK(readable(&bells[i], 0));
    rchan_bell_close(&bells[3]);
    opened(channel, &bells[3]);
    CHECK_EQ(bells[3].index, 3);
    CHECK(!readable(&bells[3], 0));
    for (int i = 0; i < N; i++)
        rchan_bell_close(&bells[i]);
    fixture_close(channel);
    CHECK_EQ(fixture_files(), 0);
}

TEST(a_full_pipe_is_rung_already)
{
    struct rchan_bell bell;
    struct rchan_channel *channel = fixture_channel("bell", 64, 8, false);
    opened(channel, &bell);
    while (write(bell.fd, "", 1) == 1)
        continue;
    CHECK(rchan_bell_rearm(&bell));
    finish_subbuf(channel);
    CHECK(!armed(&bell));
    CHECK(rchan_bell_rearm(&bell));
    CHECK(!readable(&bell, 0));
    rchan_bell_close(&bell);
    fixture_close(channel);
}

TEST(finalize_and_reset_ring)
{
    struct rchan_bell bell;
    struct rchan_channel *channel = fixture_channel("bell", 64, 8, false);
    opened(channel, &bell);
    CHECK(rchan_bell_rearm(&bell));
    CHECK_EQ(rchan_buffer_reset(&channel->buffers[0]), 0);
    CHECK(readable(&bell, 0));
    CHECK(rchan_bell_rearm(&bell));
    rchan_channel_finalize(channel);
    CHECK(readable(&bell, 0));
    rchan_bell_close(&bell);
    fixture_close(channel);
}

TEST(close_rings_and_takes_the_names_away)
{
    struct rchan_bell bell, late;
    struct rchan_channel *channel = fixture_channel("bell", 64, 8, false);
    opened(channel, &bell);
    CHECK(rchan_bell_rearm(&bell));
    rchan_channel_close(channel, NULL);
    CHECK(readable(&bell, 0));
    CHECK_EQ(fixture_files(), 0);
    opened(channel, &late); /* of a finalized channel: without a name */
    CHECK_EQ(late.index, -1);
    CHECK(rchan_bell_rearm(&late));
    CHECK(!readable(&late, 0));
    rchan_bell_ring(&late);
    CHECK(readable(&late, 0));
    rchan_bell_close(&late);
    rchan_bell_close(&bell);
    rchan_channel_detach(channel);
    CHECK_EQ(fixture_files(), 0);
}

TEST(a_buffer_only_channel_has_none)
{
    struct rchan_bell bell;
    struct rchan_error error = {0};
    struct rchan_options options = fixture_options(NULL, 64, 2);
    struct rchan_channel *channel = fixture_create(&options);
    CHECK_EQ(rchan_bell_open(channel, &bell, &error), -1);
    CHECK_EQ(error.failure, RCHAN_FAIL_UNSUPPORTED);
    fixture_close(channel);
}

TEST(there_is_an_end_of_bells)
{
    struct rchan_bell bells[RCHAN_MAX_BELLS], more;
    struct rchan_error error = {0};
    struct rchan_channel *channel = fixture_channel("bell", 64, 8, false);
    for (unsigned i = 0; i < RCHAN_MAX_BELLS; i++)
        opened(channel, &bells[i]);
    CHECK_EQ(rchan_bell_open(channel, &more, &error), -1);
    CHECK_EQ(error.failure, RCHAN_FAIL_BUSY);
    for (unsigned i = 0; i < RCHAN_MAX_BELLS; i++)
        rchan_bell_close(&bells[i]);
    fixture_close(channel);
    CHECK_EQ(fixture_files(), 0);
}

TEST(names_of_bells)
{
    CHECK(rchan_is_bell_name("app.0.bell", "app"));
    CHECK(rchan_is_bell_name("app.255.bell", "app"));
    CHECK(!rchan_is_bell_name("app.bell", "app"));
    CHECK(!rchan_is_bell_name("app..bell", "app"));
    CHECK(!rchan_is_bell_name("app.0.bells", "app"));
    CHECK(!rchan_is_bell_name("app2.0.bell", "app"));
    CHECK(!rchan_is_bell_name("app.1000.bell", "app"));
}

/* What is in a bell's place and is none is neither written to nor removed. */
TEST(a_file_in_a_bells_place_is_left_alone)
{
    char path[300], link[300];
    struct stat found;
    struct rchan_bell bell;
    struct rchan_channel *channel = fixture_channel("bell", 64, 8, false);
    opened(channel, &bell);
    CHECK(rchan_bell_rearm(&bell));
    snprintf(path, sizeof path, "%s/bell.0.bell", fixture_directory());
    snprintf(link, sizeof link, "%s/elsewhere", fixture_directory());
    REQUIRE(unlink(path) == 0);
    int fd = open(link, O_CREAT | O_WRONLY | O_EXCL, 0600);
    REQUIRE(fd >= 0 && symlink(link, path) == 0);
    finish_subbuf(channel);
    CHECK(!armed(&bell));
    REQUIRE(unlink(path) == 0 && rename(link, path) == 0);
    CHECK(rchan_bell_rearm(&bell));
    finish_subbuf(channel);
    CHECK(fstat(fd, &found) == 0 && found.st_size == 0);
    rchan_bell_close(&bell);
    CHECK_EQ(fixture_files(), 3); /* it is not ours to remove */
    close(fd);
    unlink(path);
    fixture_close(channel);
}

/* ---- other processes ---- */

static pid_t reader_that_stops_armed(struct rchan_channel *channel)
{
    int ready[2];
    char byte;
    REQUIRE(pipe(ready) == 0);
    pid_t child = fork();
    if (!child) {
        struct rchan_bell bell;
        struct rchan_error error;
        if (rchan_bell_open(channel, &bell, &error) || !rchan_bell_rearm(&bell) ||
            write(ready[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    CHECK_EQ(waitpid(child, NULL, 0), child);
}

TEST(a_killed_readers_bell_goes_with_the_next_ring)
{
    struct rchan_channel *channel = fixture_channel("bell", 64, 8, false);
    pid_t child = reader_that_stops_armed(channel);
    CHECK_EQ(fixture_files(), 3);
    end(child);
    CHECK_EQ(fixture_files(), 3);
    finish_subbuf(channel);
    CHECK_EQ(fixture_files(), 2);
    CHECK_EQ(rchan_load(&channel->header->bells[0]) & 1, 0);
    CHECK(!rchan_wake_wanted(&channel->header->wake));
    fixture_close(channel);
}

TEST(a_killed_readers_bell_goes_with_the_next_reader)
{
    struct rchan_bell bell;
    struct rchan_channel *channel = fixture_channel("bell", 64, 8, false);
    end(reader_that_stops_armed(channel));
    opened(channel, &bell);
    CHECK_EQ(bell.index, 0);
    CHECK(rchan_bell_rearm(&bell));
    finish_subbuf(channel);
    CHECK(readable(&bell, 0));
    rchan_bell_close(&bell);
    fixture_close(channel);
}

TEST(a_killed_readers_bell_goes_with_the_channel)
{
    struct rchan_error error;
    struct rchan_channel *channel = fixture_channel("bell", 64, 8, false);
    end(reader_that_stops_armed(channel));
    rchan_channel_detach(channel);
    CHECK_EQ(rchan_channel_remove(fixture_directory(), "bell", &error), 0);
    CHECK_EQ(fixture_files(), 0);
}

TEST(a_forked_copy_is_void)
{
    struct rchan_bell bell;
    struct rchan_channel *channel = fixture_channel("bell", 64, 8, false);
    opened(channel, &bell);
    CHECK(rchan_bell_rearm(&bell));
    pid_t child = fork();
    if (!child) {
        bool void_here = !rchan_bell_rearm(&bell);
        rchan_bell_close(&bell);
        _exit(void_here ? 0 : 1);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(fixture_files(), 3);
    finish_subbuf(channel);
    CHECK(readable(&bell, 0));
    rchan_bell_close(&bell);
    fixture_close(channel);
}

/* The reader is gone between the ringer's open and its write: SIGPIPE must not kill the ringer. */
struct hit {
    struct rchan_channel *channel;
    rchan_a32 stop;
};

static void *come_and_go(void *argument)
{
    struct hit *hit = argument;
    while (!rchan_load(&hit->stop)) {
        struct rchan_bell bell;
        struct rchan_error error;
        if (rchan_bell_open(hit->channel, &bell, &error))
            continue;
        rchan_bell_rearm(&bell);
        rchan_bell_close(&bell);
    }
    return NULL;
}

TEST(readers_come_and_go_while_it_rings)
{
    enum { RINGS = 3000 };
    pthread_t thread;
    struct hit hit = {.channel = fixture_channel("bell", 64, 8, true)};
    struct rchan_channel *reader = hit.channel, *writer = fixture_attach("bell");
    REQUIRE(!pthread_create(&thread, NULL, come_and_go, &hit));
    for (int ring = 0; ring < RINGS; ring++)
        finish_subbuf(writer);
    rchan_store(&hit.stop, 1);
    pthread_join(thread, NULL);
    rchan_channel_detach(writer);
    CHECK_EQ(fixture_files(), 2);
    fixture_close(reader);
}

/* A storm: each reader takes part in every round, or the ringer never comes to its end. */
enum { READERS = 4, ROUNDS = 2000, WATCHDOG_MS = 60000 };

struct storm {
    rchan_a64 news, seen[READERS];
};

struct listener {
    struct storm *storm;
    struct rchan_channel *channel;
    unsigned number;
    rchan_a32 missed;
};

static void *listen_all_rounds(void *argument)
{
    struct listener *self = argument;
    struct rchan_bell bell;
    struct rchan_error error;
    rchan_store(&self->missed, rchan_bell_open(self->channel, &bell, &error) != 0);
    for (uint64_t seen = 0; seen < ROUNDS && !rchan_load(&self->missed);) {
        rchan_bell_rearm(&bell);
        uint64_t news = rchan_load_acquire(&self->storm->news);
        if (news == seen)
            rchan_store(&self->missed, !readable(&bell, WATCHDOG_MS));
        seen = news;
        rchan_store_release(&self->storm->seen[self->number], seen);
    }
    rchan_bell_close(&bell);
    return NULL;
}

static bool all_have_seen(struct storm *storm, uint64_t news)
{
    for (int i = 0; i < READERS; i++)
        if (rchan_load_acquire(&storm->seen[i]) < news)
            return false;
    return true;
}

static void ring_all_rounds(struct storm *storm, struct rchan_channel *channel,
                            struct listener *listeners)
{
    for (uint64_t news = 1; news <= ROUNDS; news++) {
        rchan_store_release(&storm->news, news);
        rchan_full_fence();
        if (rchan_wake_wanted(&channel->header->wake))
            rchan_wake_channel(channel);
        /* Two rounds of three at full speed; the third lets everybody run dry and really sleep. */
        while (news % 3 == 0 && !all_have_seen(storm, news)) {
            for (int i = 0; i < READERS; i++)
                if (rchan_load(&listeners[i].missed))
                    return;
            sched_yield();
        }
    }
}

TEST(no_ring_is_lost_in_a_storm)
{
    struct storm storm = {0};
    pthread_t threads[READERS];
    struct listener listeners[READERS] = {0};
    struct rchan_channel *channel = fixture_channel("bell", 64, 8, false);
    for (unsigned i = 0; i < READERS; i++) {
        listeners[i].storm = &storm;
        listeners[i].channel = channel;
        listeners[i].number = i;
        REQUIRE(!pthread_create(&threads[i], NULL, listen_all_rounds, &listeners[i]));
    }
    ring_all_rounds(&storm, channel, listeners);
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        CHECK(!rchan_load(&listeners[i].missed));
        CHECK_EQ(rchan_load(&storm.seen[i]), ROUNDS);
    }
    CHECK_EQ(fixture_files(), 2);
    fixture_close(channel);
}
