/* Events and packets: headers, stamps, what flush, reset, fork and a kill leave; the metadata. */
#include "event.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "killing.h"
#include "metadata.h"
#include "packet.h"
#include "stamp.h"

enum { SUBBUF_SIZE = 256, N_SUBBUFS = 4, EVENT = RCHAN_EVENT_HEADER + 8, ID = 7 };
/* Events that a packet has room for. */
enum { FIT = (SUBBUF_SIZE - (int)sizeof(struct rchan_packet)) / EVENT };

static struct rchan_channel *events_channel(const char *base, bool overwrite, uint32_t clock)
{
    struct rchan_options options = fixture_options(base, SUBBUF_SIZE, N_SUBBUFS);
    options.overwrite = overwrite;
    options.stamp_clock = clock;
    options.stamp_frequency = 1000000000;
    return fixture_create(&options);
}

static enum rchan_outcome put(struct rchan_channel *channel, uint64_t value)
{
    return rchan_event(channel, ID, &value, sizeof value);
}

static struct rchan_packet packet_of(struct rchan_channel *channel, uint64_t subbuf)
{
    struct rchan_packet packet;
    memcpy(&packet, channel->buffers[0].map + subbuf % N_SUBBUFS * SUBBUF_SIZE, sizeof packet);
    return packet;
}

struct event {
    uint16_t id, cpu;
    uint32_t pid, tid;
    uint64_t stamp, value;
};

static struct event event_at(const uint8_t *from)
{
    struct event event;
    memcpy(&event.id, from, 2);
    memcpy(&event.stamp, from + 2, 8);
    memcpy(&event.cpu, from + 10, 2);
    memcpy(&event.pid, from + 12, 4);
    memcpy(&event.tid, from + 16, 4);
    memcpy(&event.value, from + RCHAN_EVENT_HEADER, 8);
    return event;
}

/* What a reader finds, packet after packet. */
struct trace {
    uint64_t packets, events, first_seq, last_seq, last_stamp, discarded;
    uint64_t values[MAX_SEQ];
};

static void check_packet(const struct rchan_channel *channel, const struct rchan_subbuf *sub,
                         struct trace *trace)
{
    struct rchan_packet packet;
    memcpy(&packet, sub->data, sizeof packet);
    CHECK_EQ(packet.magic, RCHAN_PACKET_MAGIC);
    CHECK_EQ(packet.stream_id, 0);
    CHECK(memcmp(packet.uuid, channel->header->uuid, 16) == 0);
    CHECK_EQ(packet.content_size, sub->length * 8);
    CHECK_EQ(packet.packet_size, SUBBUF_SIZE * 8);
    CHECK_EQ(packet.events, sub->records);
    CHECK(packet.timestamp_begin >= trace->last_stamp);
    CHECK(packet.events_discarded >= trace->discarded);
    trace->last_stamp = packet.timestamp_begin;
    trace->discarded = packet.events_discarded;
    if (!trace->packets++)
        trace->first_seq = packet.packet_seq_num;
    else
        CHECK_EQ(packet.packet_seq_num, trace->last_seq + 1);
    trace->last_seq = packet.packet_seq_num;
    for (uint64_t at = sizeof packet; at < sub->length; at += EVENT) {
        struct event event = event_at(sub->data + at);
        CHECK_EQ(event.id, ID);
        CHECK(event.stamp >= trace->last_stamp && event.stamp <= packet.timestamp_end);
        trace->last_stamp = event.stamp;
        if (trace->events < MAX_SEQ)
            trace->values[trace->events++] = event.value;
    }
    trace->last_stamp = packet.timestamp_end;
}

static struct trace read_trace(struct rchan_channel *channel)
{
    struct trace trace = {0};
    struct rchan_subbuf sub;
    while (rchan_subbuf_take(&channel->buffers[0], &sub) == 1) {
        check_packet(channel, &sub, &trace);
        CHECK(rchan_subbuf_give_back(&sub, sub.length));
    }
    return trace;
}

TEST(a_packet_begins_with_the_buffer)
{
    struct rchan_channel *channel = events_channel("ev", false, RCHAN_STAMP_MONOTONIC);
    struct rchan_packet packet = packet_of(channel, 0);
    CHECK_EQ(packet.magic, RCHAN_PACKET_MAGIC);
    CHECK_EQ(packet.content_size, 0);
    CHECK_EQ(fixture_books(&channel->buffers[0]).offset, sizeof packet);
    fixture_close(channel);
}

TEST(events_know_when_where_and_who)
{
    struct rchan_channel *channel = events_channel("ev", false, RCHAN_STAMP_COUNTER);
    for (uint64_t i = 0; i < 2 * FIT + 1; i++)
        CHECK_EQ(put(channel, i), RCHAN_STORED);
    struct event event = event_at(channel->buffers[0].map + sizeof(struct rchan_packet));
    CHECK_EQ(event.pid, getpid());
    CHECK_EQ(event.tid, gettid());
    CHECK_EQ(rchan_buffer_flush(&channel->buffers[0]), 0);
    struct trace trace = read_trace(channel);
    CHECK_EQ(trace.packets, 3);
    CHECK_EQ(trace.events, 2 * FIT + 1);
    for (uint64_t i = 0; i < trace.events; i++)
        CHECK_EQ(trace.values[i], i);
    fixture_close(channel);
}

TEST(losses_stand_in_the_packets)
{
    struct rchan_channel *channel = events_channel("ev", false, RCHAN_STAMP_MONOTONIC);
    uint8_t large[SUBBUF_SIZE] = {0};
    for (int i = 0; i < N_SUBBUFS * FIT + 5; i++)
        put(channel, (uint64_t)i);
    CHECK_EQ(put(channel, 1), RCHAN_DROPPED_FULL);
    CHECK_EQ(read_trace(channel).discarded, 0);
    CHECK_EQ(rchan_event(channel, ID, large, sizeof large), RCHAN_DROPPED_TOO_BIG);
    CHECK_EQ(put(channel, 1), RCHAN_STORED);
    CHECK_EQ(rchan_buffer_finish(&channel->buffers[0], UINT64_MAX), 1);
    struct trace trace = read_trace(channel);
    CHECK_EQ(trace.discarded, 5 + 1 + 1);
    CHECK_EQ(trace.first_seq, N_SUBBUFS);
    fixture_close(channel);
}

TEST(what_fits_no_packet_ends_none)
{
    struct rchan_channel *channel = events_channel("ev", false, RCHAN_STAMP_MONOTONIC);
    uint8_t large[SUBBUF_SIZE] = {0};
    uint64_t room = SUBBUF_SIZE - sizeof(struct rchan_packet) - RCHAN_EVENT_HEADER;
    CHECK_EQ(rchan_event(channel, ID, large, room + 1), RCHAN_DROPPED_TOO_BIG);
    CHECK_EQ(fixture_books(&channel->buffers[0]).subbufs_produced, 0);
    CHECK_EQ(rchan_event(channel, ID, large, room), RCHAN_STORED);
    CHECK_EQ(put(channel, 1), RCHAN_STORED);
    CHECK_EQ(fixture_books(&channel->buffers[0]).subbufs_produced, 1);
    fixture_close(channel);
}

TEST(packet_numbers_go_on_over_a_reset)
{
    struct rchan_channel *channel = events_channel("ev", true, RCHAN_STAMP_MONOTONIC);
    for (uint64_t i = 0; i < FIT + 1; i++)
        put(channel, i);
    uint64_t before = rchan_load(&channel->buffers[0].block->last_stamp);
    CHECK_EQ(rchan_buffer_reset(&channel->buffers[0]), 0);
    CHECK_EQ(packet_of(channel, 0).packet_seq_num, 2);
    CHECK_EQ(rchan_buffer_reset(&channel->buffers[0]), 0);
    CHECK_EQ(packet_of(channel, 0).packet_seq_num, 3);
    CHECK(packet_of(channel, 0).timestamp_begin >= before);
    fixture_close(channel);
}

TEST(time_never_runs_back)
{
    struct rchan_channel *channel = events_channel("ev", false, RCHAN_STAMP_MONOTONIC);
    uint64_t future = rchan_stamp_now(channel) + 1000000000000;
    rchan_store(&channel->buffers[0].block->last_stamp, future);
    put(channel, 1);
    struct event event = event_at(channel->buffers[0].map + sizeof(struct rchan_packet));
    CHECK_EQ(event.stamp, future);
    fixture_close(channel);
}

TEST(a_counter_that_began_anew)
{
    struct rchan_channel *channel = events_channel("ev", false, RCHAN_STAMP_MONOTONIC);
    put(channel, 1);
    uint64_t last = rchan_load(&channel->buffers[0].block->last_stamp);
    channel->stamp_base = rchan_stamp_now(channel) + 1000000000000; /* stamps below 0 */
    put(channel, 2);
    uint8_t *second = channel->buffers[0].map + sizeof(struct rchan_packet) + EVENT;
    CHECK_EQ(event_at(second).stamp, last);
    fixture_close(channel);
}

TEST(plain_records_and_events_do_not_mix)
{
    struct rchan_channel *channel = events_channel("ev", false, RCHAN_STAMP_MONOTONIC);
    struct rchan_channel *plain = fixture_channel("plain", SUBBUF_SIZE, N_SUBBUFS, false);
    struct rchan_reservation place;
    CHECK_EQ(fixture_write(channel, 1, 8), RCHAN_NOT_PLAIN);
    CHECK_EQ(rchan_write_and_wake(channel, 0, "x", 1), RCHAN_NOT_PLAIN);
    CHECK_EQ(rchan_reserve(channel, 0, 8, &place), RCHAN_NOT_PLAIN);
    CHECK_EQ(put(plain, 1), RCHAN_NOT_PLAIN);
    CHECK_EQ(put(channel, 1), RCHAN_STORED);
    CHECK_EQ(fixture_write(plain, 1, 8), RCHAN_STORED);
    fixture_close(plain);
    fixture_close(channel);
}

TEST(a_child_is_itself)
{
    struct rchan_channel *channel = events_channel("ev", false, RCHAN_STAMP_MONOTONIC);
    put(channel, 0);
    pid_t child = fork();
    if (!child)
        _exit(put(channel, 1) != RCHAN_STORED);
    int status;
    waitpid(child, &status, 0);
    CHECK_EQ(status, 0);
    uint8_t *second = channel->buffers[0].map + sizeof(struct rchan_packet) + EVENT;
    CHECK_EQ(event_at(second).pid, child);
    CHECK_EQ(event_at(second).tid, child);
    fixture_close(channel);
}

/* ---- threads ---- */

enum { THREADS = 3, EACH = 300 };

static void *write_many(void *argument)
{
    struct rchan_channel *channel = *(struct rchan_channel **)argument;
    uint64_t thread = (uint64_t)gettid() << 32;
    for (uint64_t i = 0; i < EACH; i++)
        while (put(channel, thread | i) == RCHAN_DROPPED_FULL)
            sched_yield();
    return NULL;
}

/* Time runs forward in the buffer, and each thread's events are there in order. */
static uint64_t check_threads(const struct rchan_subbuf *sub, uint64_t *last_stamp,
                              uint64_t last[THREADS + 1])
{
    uint64_t count = 0;
    for (uint64_t at = sizeof(struct rchan_packet); at < sub->length; at += EVENT, count++) {
        struct event event = event_at(sub->data + at);
        CHECK(event.stamp >= *last_stamp);
        *last_stamp = event.stamp;
        CHECK_EQ(event.value >> 32, event.tid);
        uint64_t *mine = last;
        while (*mine && *mine >> 32 != event.tid)
            mine++;
        CHECK(!*mine || event.value == *mine + 1);
        *mine = event.value;
    }
    return count;
}

TEST(threads_at_once)
{
    struct rchan_channel *channel = events_channel("ev", false, RCHAN_STAMP_COUNTER);
    pthread_t threads[THREADS];
    struct rchan_subbuf sub;
    uint64_t count = 0, last_stamp = 0, last[THREADS + 1] = {0};
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, write_many, &channel) == 0);
    while (count < THREADS * EACH) {
        int taken = rchan_subbuf_take(&channel->buffers[0], &sub);
        if (taken == 1) {
            count += check_threads(&sub, &last_stamp, last);
            CHECK(rchan_subbuf_give_back(&sub, sub.length));
        } else {
            rchan_buffer_finish(&channel->buffers[0], UINT64_MAX);
            sched_yield();
        }
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(count, THREADS * EACH);
    fixture_close(channel);
}

TEST(impossible_descriptions_are_refused)
{
    struct rchan_channel *channel = events_channel("ev", false, RCHAN_STAMP_MONOTONIC);
    struct rchan_error error;
    channel->header->stamp_clock = 9;
    CHECK(!rchan_channel_attach(fixture_directory(), "ev", NULL, &error));
    CHECK_EQ(error.failure, RCHAN_FAIL_CORRUPT);
    channel->header->stamp_clock = RCHAN_STAMP_MONOTONIC;
    channel->header->metadata_offset = UINT64_MAX - 5;
    CHECK(!rchan_channel_attach(fixture_directory(), "ev", NULL, &error));
    CHECK_EQ(error.failure, RCHAN_FAIL_CORRUPT);
    uint8_t byte;
    CHECK_EQ(rchan_metadata_read(channel, 0, &byte, 1), -EBADMSG);
    CHECK_EQ(rchan_metadata_append(channel, 0, "x", 1, 0), -EBADMSG);
    fixture_close(channel);
}

TEST(metadata_only_grows_as_expected)
{
    char text[8] = "";
    struct rchan_channel *channel = events_channel("ev", false, RCHAN_STAMP_MONOTONIC);
    struct rchan_channel *other = fixture_attach("ev");
    CHECK_EQ(rchan_metadata_append(channel, 0, "one\n", 4, 0), 0);
    CHECK_EQ(rchan_metadata_append(other, 0, "two\n", 4, 0), -EAGAIN);
    CHECK_EQ(rchan_metadata_append(other, 4, "two\n", 4, 0), 0);
    CHECK_EQ(rchan_metadata_length(channel), 8);
    CHECK_EQ(rchan_metadata_read(channel, 0, text, 8), 0);
    CHECK(memcmp(text, "one\ntwo\n", 8) == 0);
    CHECK_EQ(rchan_metadata_read(channel, 4, text, 8), -EBADMSG); /* more than there is */
    rchan_store(&channel->header->metadata_length, UINT64_MAX);
    CHECK_EQ(rchan_metadata_length(channel), -EBADMSG);
    rchan_channel_detach(other);
    fixture_close(channel);
}

#ifdef RCHAN_TESTPOINTS

static struct rchan_channel *set(struct log *log)
{
    (void)log;
    return events_channel("kill", false, RCHAN_STAMP_MONOTONIC);
}

static void write_and_turn(struct rchan_channel *channel, struct log *log)
{
    for (int i = 0; i < 2 * FIT + 1; i++) {
        log->started++;
        log->outcome[log->done] = (uint8_t)put(channel, log->done);
        log->done++;
    }
    rchan_buffer_flush(&channel->buffers[0]);
}

/* Every acknowledged event is there, once, in order; the one that was interrupted may be. */
static void check_all_there(struct rchan_channel *channel, struct log *log, bool killed)
{
    (void)killed;
    put(channel, 999);
    CHECK_EQ(rchan_buffer_flush(&channel->buffers[0]), 0);
    struct trace trace = read_trace(channel);
    CHECK_EQ(trace.first_seq, 0);
    CHECK(trace.events == log->done + 1 || trace.events == log->started + 1);
    for (uint64_t i = 0; i + 1 < trace.events; i++)
        CHECK_EQ(trace.values[i], i);
    CHECK_EQ(trace.values[trace.events - 1], 999);
    CHECK_EQ(trace.discarded, 0);
}

TEST(killed_anywhere_packets_are_whole)
{
    struct scene scene = {set, write_and_turn, check_all_there};
    CHECK(kill_everywhere(&scene) > 30);
}

static void reset_twice(struct rchan_channel *channel, struct log *log)
{
    for (uint64_t i = 0; i < FIT + 1; i++)
        put(channel, i);
    log->number = 1;
    rchan_buffer_reset(&channel->buffers[0]);
    log->number = 2;
}

/* The packet after the reset has a number that none had before. */
static void check_number(struct rchan_channel *channel, struct log *log, bool killed)
{
    (void)killed;
    CHECK_EQ(put(channel, 999), RCHAN_STORED);
    CHECK_EQ(rchan_buffer_flush(&channel->buffers[0]), 0);
    struct trace trace = read_trace(channel);
    if (log->number == 2)
        CHECK_EQ(trace.last_seq, 2);
    CHECK(trace.last_seq <= 2);
    CHECK_EQ(trace.values[trace.events - 1], 999);
}

TEST(killed_in_a_reset_numbers_go_on)
{
    struct scene scene = {set, reset_twice, check_number};
    CHECK(kill_everywhere(&scene) > 10);
}

static void append(struct rchan_channel *channel, struct log *log)
{
    rchan_metadata_append(channel, 0, "first\n", 6, 0);
    log->number = 1;
    rchan_metadata_append(channel, 6, "second\n", 7, 0);
    log->number = 2;
}

/* Nothing torn, and nothing held. */
static void check_metadata(struct rchan_channel *channel, struct log *log, bool killed)
{
    (void)killed;
    char text[32] = "";
    int64_t length = rchan_metadata_length(channel);
    CHECK(length == 0 || length == 6 || length == 13);
    CHECK(length >= (log->number == 2 ? 13 : log->number == 1 ? 6 : 0));
    CHECK_EQ(rchan_metadata_append(channel, (uint64_t)length, "more\n", 5, 0), 0);
    CHECK_EQ(rchan_metadata_read(channel, 0, text, (uint64_t)length + 5), 0);
    CHECK(memcmp(text, "first\nsecond\n", (size_t)length) == 0);
    CHECK(memcmp(text + length, "more\n", 5) == 0);
}

TEST(killed_while_describing_events)
{
    struct scene scene = {set, append, check_metadata};
    CHECK(kill_everywhere(&scene) >= 4);
}

#endif
