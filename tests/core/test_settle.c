/* A bell as its reader keeps it: readable while there is something, and named as long as names go. */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "bell.h"
#include "fixture.h"

static void opened(struct rchan_channel *channel, struct rchan_bell *bell)
{
    struct rchan_error error = {0};
    REQUIRE(rchan_bell_open(channel, bell, &error) == 0);
}

static bool readable(const struct rchan_bell *bell)
{
    struct pollfd look = {.fd = bell->fd, .events = POLLIN};
    return poll(&look, 1, 0) == 1;
}

static bool armed(const struct rchan_bell *bell)
{
    return rchan_load(&bell->channel->header->bells[bell->index]) & RCHAN_BELL_ARMED;
}

static void finish_subbuf(struct rchan_channel *channel)
{
    fixture_write(channel, 'x', 8);
    CHECK_EQ(rchan_buffer_flush(&channel->buffers[0]), 0);
}

static uint32_t find(const void *object)
{
    return *(const uint32_t *)object;
}

TEST(it_is_readable_exactly_while_a_look_finds_something)
{
    struct rchan_bell bell;
    uint32_t something = 0;
    struct rchan_channel *channel = fixture_channel("bell", 64, 8, false);
    opened(channel, &bell);
    for (int i = 0; i < 4; i++) {
        something = !something;
        CHECK(rchan_bell_settle(&bell, find, &something, i & 2));
        CHECK(rchan_bell_settle(&bell, find, &something, i & 2));
        CHECK_EQ(readable(&bell), something);
    }
    CHECK(armed(&bell));
    rchan_bell_close(&bell);
    fixture_close(channel);
}

TEST(a_bell_that_nobody_rang_is_left_armed_as_it_is)
{
    struct rchan_bell bell;
    uint32_t nothing = 0;
    struct rchan_channel *channel = fixture_channel("bell", 64, 8, false);
    opened(channel, &bell);
    CHECK(rchan_bell_settle(&bell, find, &nothing, true));
    uint32_t word = bell.word;
    CHECK(rchan_bell_settle(&bell, find, &nothing, false));
    CHECK_EQ(bell.word, word);
    CHECK(rchan_bell_settle(&bell, find, &nothing, true));
    CHECK(bell.word != word);
    finish_subbuf(channel);
    CHECK(readable(&bell));
    rchan_bell_close(&bell);
    fixture_close(channel);
}

/* By one who was killed before he disarmed it. */
TEST(a_byte_in_an_armed_bell_is_not_there_for_ever)
{
    struct rchan_bell bell;
    uint32_t nothing = 0;
    struct rchan_channel *channel = fixture_channel("bell", 64, 8, false);
    opened(channel, &bell);
    CHECK(rchan_bell_settle(&bell, find, &nothing, true));
    REQUIRE(write(bell.fd, "", 1) == 1);
    CHECK(rchan_bell_settle(&bell, find, &nothing, false));
    CHECK(rchan_bell_settle(&bell, find, &nothing, false));
    CHECK(!readable(&bell) && armed(&bell));
    rchan_bell_close(&bell);
    fixture_close(channel);
}

TEST(the_longest_name_has_all_bells)
{
    struct rchan_bell bells[RCHAN_MAX_BELLS];
    char base[RCHAN_BASE_MAX + 1] = {0};
    memset(base, 'b', RCHAN_BASE_MAX - 4);
    struct rchan_channel *channel = fixture_channel(base, 64, 8, false);
    for (unsigned i = 0; i < RCHAN_MAX_BELLS; i++)
        opened(channel, &bells[i]);
    for (unsigned i = 0; i < RCHAN_MAX_BELLS; i++)
        rchan_bell_close(&bells[i]);
    fixture_close(channel);
    CHECK_EQ(fixture_files(), 0);
}

TEST(longer_names_have_some)
{
    enum { TEN = 10 };
    struct rchan_bell bells[TEN + 1];
    struct rchan_error error = {0};
    char base[RCHAN_BASE_MAX + 1] = {0};
    memset(base, 'b', RCHAN_BASE_MAX - 2);
    struct rchan_channel *channel = fixture_channel(base, 64, 8, false);
    for (unsigned i = 0; i < TEN; i++)
        opened(channel, &bells[i]);
    CHECK_EQ(rchan_bell_open(channel, &bells[TEN], &error), -1);
    CHECK_EQ(error.failure, RCHAN_FAIL_UNSUPPORTED);
    CHECK(strstr(error.message, "bell 10") && strstr(error.message, "246"));
    for (unsigned i = 0; i < TEN; i++)
        rchan_bell_close(&bells[i]);
    fixture_close(channel);
    CHECK_EQ(fixture_files(), 0);
}
