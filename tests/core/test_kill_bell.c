/* A bell's reader, and its ringer, are killed at every testpoint: the next news still arrive. */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "announce.h"
#include "bell.h"
#include "killing.h"
#include "testpoint.h"
#include "wait.h"

static struct rchan_bell bell;

static bool rung(void)
{
    struct pollfd look = {.fd = bell.fd, .events = POLLIN};
    return poll(&look, 1, 0) == 1;
}

static void finish_subbuf(struct rchan_channel *channel)
{
    CHECK_EQ(fixture_write(channel, 'x', 8), RCHAN_STORED);
    CHECK_EQ(rchan_buffer_flush(&channel->buffers[0]), 0);
}

static bool open_armed(struct rchan_channel *channel)
{
    struct rchan_error error = {0};
    return !rchan_bell_open(channel, &bell, &error) && rchan_bell_rearm(&bell);
}

static struct rchan_channel *set_unread(struct log *log)
{
    (void)log;
    return fixture_channel("kill", 64, 8, false);
}

static void act_read(struct rchan_channel *channel, struct log *log)
{
    if (!open_armed(channel))
        _exit(1);
    log->done = 1;
    rchan_bell_close(&bell);
}

/* One bell, ours: the dead one's is in nobody's way. fixture_files() == 0 is looked at by the caller. */
static void check_read(struct rchan_channel *channel, struct log *log, bool killed)
{
    (void)log, (void)killed;
    finish_subbuf(channel);
    if (!CHECK(open_armed(channel)))
        return;
    CHECK_EQ(bell.index, 0);
    finish_subbuf(channel);
    CHECK(rung());
    rchan_bell_close(&bell);
}

TEST(a_reader_with_a_bell_is_killed)
{
    static const struct scene scene = {set_unread, act_read, check_read};
    CHECK(kill_everywhere(&scene) > 1);
}

static struct rchan_channel *set_armed(struct log *log)
{
    struct rchan_channel *channel = set_unread(log);
    REQUIRE(open_armed(channel));
    return channel;
}

static void act_ring(struct rchan_channel *channel, struct log *log)
{
    finish_subbuf(channel);
    log->done = 1;
}

static void check_ring(struct rchan_channel *channel, struct log *log, bool killed)
{
    CHECK(killed || rung());
    CHECK(!log->done || rung());
    if (rchan_wake_asked(&channel->header->wake)) { /* he owed it: who comes next pays */
        rchan_channel_detach(fixture_attach("kill"));
        CHECK(rung());
    }
    finish_subbuf(channel);
    CHECK(rung());
    CHECK(rchan_bell_rearm(&bell) && !rung());
    finish_subbuf(channel);
    CHECK(rung());
    rchan_bell_close(&bell);
}

TEST(who_rings_is_killed)
{
    static const struct scene scene = {set_armed, act_ring, check_ring};
    CHECK(kill_everywhere(&scene) > 6);
}

/* Rung before, so that it is now by the descriptor that was kept. */
static void act_ring_again(struct rchan_channel *channel, struct log *log)
{
    rchan_a32 *word = &channel->header->bells[bell.index];
    finish_subbuf(channel);
    rchan_store(word, bell.word + 2);
    rchan_set_bits(&channel->header->wake, UINT64_C(1) << 31);
    act_ring(channel, log);
}

TEST(who_rings_again_is_killed)
{
    static const struct scene scene = {set_armed, act_ring_again, check_ring};
    CHECK(kill_everywhere(&scene) > 12);
}

/* ---- announced at every record ---- */

static struct rchan_channel *set_every_record(struct log *log)
{
    struct rchan_channel *channel = set_unread(log);
    rchan_wakeup_set(channel, RCHAN_GATE_ANNOUNCE | 1u << RCHAN_GATE_COUNT_SHIFT);
    REQUIRE(open_armed(channel));
    return channel;
}

static void act_announce(struct rchan_channel *channel, struct log *log)
{
    CHECK_EQ(fixture_write(channel, 'x', 8), RCHAN_STORED);
    log->done = 1;
}

static void check_announce(struct rchan_channel *channel, struct log *log, bool killed)
{
    uint8_t bytes[64];
    CHECK(killed || rung());
    CHECK(!log->done || rung());
    CHECK_EQ(fixture_write(channel, 'y', 8), RCHAN_STORED);
    CHECK(rung());
    CHECK_EQ(rchan_poll(&channel->buffers[0]), RCHAN_POLLIN | RCHAN_POLLRDNORM);
    int64_t got = rchan_read(&channel->buffers[0], bytes, sizeof bytes);
    CHECK(got == 8 || got == 16);
    CHECK_EQ(rchan_poll(&channel->buffers[0]), 0);
    rchan_bell_close(&bell);
}

TEST(who_announces_is_killed)
{
    static const struct scene scene = {set_every_record, act_announce, check_announce};
    CHECK(kill_everywhere(&scene) > 6);
}

/* ---- the reader goes between the ringer's open and its write ---- */

static void close_when_opened(const char *name)
{
    if (strcmp(name, "bell: opened") == 0 && bell.fd >= 0) {
        close(bell.fd);
        bell.fd = -1;
    }
}

TEST(no_signal_kills_who_rings_for_one_who_just_left)
{
    struct rchan_channel *channel = set_armed(NULL);
    rchan_testpoint_hook = close_when_opened;
    finish_subbuf(channel); /* SIGPIPE would end this process */
    rchan_testpoint_hook = NULL;
    CHECK_EQ(bell.fd, -1);
    CHECK_EQ(fixture_files(), 2);
    fixture_close(channel);
}
