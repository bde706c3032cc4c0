/* One operation each, as a process or a thread does it. */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "announce.h"
#include "race.h"
#include "race_fork.h"
#include "tap.h"
#include "testpoint.h"
#include "wait.h"

static struct rchan_buffer *buffer_of(const struct party *party)
{
    return &party->channel->buffers[0];
}

static uint64_t written_to(struct rchan_channel *channel, uint32_t index)
{
    struct rchan_books books;
    bool there = index < channel->n_buffers && rchan_bit(channel->header->present, index);
    return there && !rchan_buffer_books(&channel->buffers[index], &books) ? books.written_records
                                                                          : 0;
}

int outcome_of(enum rchan_outcome outcome, bool elsewhere)
{
    if (outcome == RCHAN_STORED)
        return elsewhere ? SPILLED : DID;
    return outcome == RCHAN_DROPPED_CONTENDED ? BUSY : NOT;
}

int refusal(const struct rchan_error *error)
{
    return error->failure == RCHAN_FAIL_BUSY ? BUSY : NOT;
}

static int result_of(int64_t result)
{
    CHECK(result >= 0 || result == -11 || result == -16); /* EAGAIN, EBUSY: never corrupt */
    return result < 0 ? BUSY : result ? DID : NOT;
}

/* ---- writers ---- */

static int write_to(struct party *party, int64_t cpu)
{
    uint8_t record[RECORD];
    uint64_t seq = ledger_attempt(party->ledger, party->number, record);
    uint64_t before = written_to(party->channel, 1 - (uint32_t)cpu);
    enum rchan_outcome outcome = rchan_write(party->channel, cpu, record, RECORD);
    ledger_fate(party->ledger, seq, outcome);
    return outcome_of(outcome, written_to(party->channel, 1 - (uint32_t)cpu) != before);
}

static int act_write(struct party *party)
{
    return write_to(party, 0);
}

static int act_write_and_wake(struct party *party)
{
    uint8_t record[RECORD];
    uint64_t before = written_to(party->channel, 1);
    uint64_t seq = ledger_attempt(party->ledger, party->number, record);
    enum rchan_outcome outcome = rchan_write_and_wake(party->channel, 0, record, RECORD);
    ledger_fate(party->ledger, seq, outcome);
    return outcome_of(outcome, written_to(party->channel, 1) != before);
}

static int reserve(struct party *party, bool commits)
{
    uint8_t record[RECORD];
    struct rchan_reservation place;
    uint64_t seq = ledger_attempt(party->ledger, party->number, record);
    enum rchan_outcome outcome = rchan_reserve(party->channel, 0, RECORD, &place);
    bool elsewhere = outcome == RCHAN_STORED && place.buffer->index != 0;
    if (outcome != RCHAN_STORED) {
        ledger_fate(party->ledger, seq, outcome);
    } else if (commits) {
        memcpy(place.data, record, RECORD);
        CHECK(rchan_commit(&place, RECORD));
        ledger_fate(party->ledger, seq, outcome);
    } else {
        rchan_abort(&place); /* stays open: neither stored nor dropped */
    }
    return outcome_of(outcome, elsewhere);
}

static int act_reserve(struct party *party)
{
    return reserve(party, true);
}

static int act_abort(struct party *party)
{
    return reserve(party, false);
}

/* A record too big for any sub-buffer: refused and counted. */
static int act_too_big(struct party *party)
{
    uint8_t record[RECORD * 8] = {0};
    uint64_t seq = ledger_attempt(party->ledger, party->number, record);
    enum rchan_outcome outcome = rchan_write(party->channel, 0, record, sizeof record);
    ledger_fate(party->ledger, seq, outcome);
    return outcome_of(outcome, false);
}

static int act_grow(struct party *party)
{
    return write_to(party, 1);
}

static int act_flush(struct party *party)
{
    int result = rchan_buffer_flush(buffer_of(party));
    return result_of(result ? result : 1);
}

static int act_finish(struct party *party)
{
    return result_of(rchan_buffer_finish(buffer_of(party), UINT64_MAX));
}

static int act_reset(struct party *party)
{
    party->ledger->reset = true;
    int result = rchan_buffer_reset(buffer_of(party));
    return result_of(result ? result : 1);
}

/* ---- readers ---- */

static int act_read(struct party *party)
{
    uint8_t bytes[RACE_SUBBUF];
    bool events = party->channel->packet_header;
    party->ledger->unseen |= events;
    int64_t count = rchan_read(buffer_of(party), bytes, events ? sizeof bytes : 3 * RECORD);
    if (count > 0 && events)
        ledger_deliver_part(party->ledger, bytes, (uint64_t)count);
    else if (count > 0)
        ledger_deliver(party->ledger, bytes, (uint64_t)count);
    return result_of(count);
}

static int act_take(struct party *party)
{
    uint8_t bytes[RACE_SUBBUF];
    struct rchan_subbuf subbuf;
    int result = rchan_subbuf_take(buffer_of(party), &subbuf);
    if (result != 1)
        return result_of(result);
    REQUIRE(subbuf.length <= sizeof bytes);
    rchan_copy_racing(bytes, subbuf.data, subbuf.length);
    bool whole = rchan_subbuf_whole(&subbuf);
    struct rchan_subbuf taken = subbuf;
    if (whole) {
        CHECK_EQ(ledger_bytes(party->channel, taken.records), taken.length + taken.skipped);
        CHECK(rchan_subbuf_give_back(&subbuf, UINT64_MAX));
        ledger_deliver_subbuf(party->ledger, &taken, bytes);
    } else {
        rchan_subbuf_put_down(&subbuf);
    }
    return whole ? DID : NOT;
}

static int act_put_down(struct party *party)
{
    struct rchan_subbuf subbuf;
    int result = rchan_subbuf_take(buffer_of(party), &subbuf);
    if (result == 1)
        rchan_subbuf_put_down(&subbuf);
    return result_of(result);
}

static int act_consumed(struct party *party)
{
    party->ledger->unseen = true;
    int result = rchan_subbufs_consumed(buffer_of(party), 1);
    return result_of(result ? result : 1);
}

static int act_books(struct party *party)
{
    struct rchan_books books;
    CHECK_EQ(rchan_buffer_books(buffer_of(party), &books), 0);
    uint64_t known = books.readable_records + books.consumed_records + books.overwritten_records +
                     books.discarded_records;
    CHECK_EQ(known, books.written_records);
    CHECK((int64_t)books.readable_records >= 0 && (int64_t)books.readable_bytes >= 0);
    CHECK(books.written_records <= party->ledger->attempts);
    return DID;
}

/* What a recorder does before it waits: finish what there is, and take it. */
static int act_recorder(struct party *party)
{
    int taken = NOT, last = DID;
    rchan_buffer_finish(buffer_of(party), UINT64_MAX);
    while (last == DID) {
        last = act_take(party);
        taken = last == NOT ? taken : last;
    }
    return taken;
}

static uint64_t unread(const struct party *party)
{
    struct rchan_block *block = buffer_of(party)->block;
    return rchan_head_produced(party->channel, rchan_load(&block->head)) -
           rchan_head_produced(party->channel, rchan_load(&block->tail));
}

static int act_poll(struct party *party)
{
    const struct rchan_buffer *buffer = buffer_of(party);
    uint64_t before = unread(party);
    bool full = rchan_buffer_is_full(buffer);
    uint64_t after = unread(party), most = before > after ? before : after;
    CHECK(!full || most + 1 >= party->channel->n_subbufs); /* one may come and go meanwhile */
    return rchan_poll(buffer) ? DID : NOT;
}

/* Nothing there? Then it would sleep: whoever brings news from here on has to wake it. */
static int act_sleep(struct party *party)
{
    struct rchan_buffer *buffer = buffer_of(party);
    uint32_t epoch = rchan_sleeper_add(&buffer->block->wake);
    bool asleep = !rchan_poll(buffer);
    if (asleep) { /* asleep for a while; time is up, and it looks once more */
        bool news = rchan_poll(buffer) != 0;
        CHECK(!news || rchan_wake_epoch(&buffer->block->wake) != epoch);
    }
    rchan_sleeper_remove(&buffer->block->wake, epoch);
    return asleep ? NOT : DID;
}

/* ---- taps ---- */

static uint64_t check_copy(const struct party *party, const struct rchan_copy *copy,
                           const uint8_t *bytes, uint8_t *seen)
{
    int64_t seqs[RACE_SEQS];
    uint64_t found = 0;
    if (party->channel->packet_header) {
        found = ledger_find(party->ledger, bytes, copy->length, seqs);
        CHECK(found == copy->records || (party->ledger->unseen && found < copy->records));
    } else {
        CHECK_EQ(copy->records * RECORD, copy->length);
        for (; found * RECORD < copy->length; found++)
            seqs[found] = record_seq(bytes + found * RECORD);
    }
    for (uint64_t i = 0; i < found; i++)
        if (CHECK(seqs[i] >= 0 && seqs[i] < party->ledger->attempts))
            CHECK(!seen[seqs[i]]++ && party->ledger->fate[seqs[i]] < FATE_DROPPED);
    return copy->records + copy->missed.records;
}

/* All there is for it; returns the records delivered and missed. */
static uint64_t tap_all(const struct party *party, struct rchan_tap *tap, int *result)
{
    uint8_t seen[RACE_SEQS] = {0}, bytes[RACE_SUBBUF];
    struct rchan_copy copy;
    uint64_t records = 0;
    int looked;
    *result = NOT;
    while ((looked = rchan_tap_look(tap, &copy)) == 1) {
        REQUIRE(copy.length <= sizeof bytes);
        if (!rchan_tap_copy(tap, &copy, bytes))
            continue;
        records += check_copy(party, &copy, bytes, seen);
        *result = DID;
    }
    CHECK_EQ(looked, 0);
    return records;
}

static int act_tap(struct party *party)
{
    int result;
    struct rchan_tap tap;
    CHECK_EQ(rchan_tap_start(buffer_of(party), RCHAN_TAP_UNREAD, &tap), 0);
    tap_all(party, &tap, &result);
    return result;
}

static int act_snapshot(struct party *party)
{
    int result;
    struct rchan_tap tap;
    CHECK_EQ(rchan_tap_start(buffer_of(party), RCHAN_TAP_OLDEST, &tap), 0);
    uint64_t start = tap.records;
    CHECK_EQ(rchan_tap_cut(&tap, NULL), 0);
    uint64_t end = tap.end_records, records = tap_all(party, &tap, &result);
    CHECK_EQ(records + rchan_tap_rest(&tap).records, end - start);
    return result;
}

/* ---- the channel ---- */

static int act_disable(struct party *party)
{
    rchan_channel_enable(party->channel, false);
    return DID;
}

static int act_wakeups(struct party *party)
{
    rchan_wakeup_set(party->channel, RCHAN_GATE_ANNOUNCE | 1u << RCHAN_GATE_COUNT_SHIFT);
    return DID;
}

static int act_finalize(struct party *party)
{
    return rchan_channel_finalize(party->channel) ? BUSY : DID;
}

static int act_close(struct party *party)
{
    rchan_channel_close(party->channel, NULL);
    return DID;
}

static int attach(struct party *party)
{
    struct rchan_error error = {0};
    struct party other = *party;
    other.channel = rchan_channel_attach(fixture_directory(), RACE_CHANNEL, NULL, &error);
    if (!other.channel)
        return refusal(&error);
    if (rchan_load(&other.channel->buffers[0].data))
        write_to(&other, 0);
    rchan_channel_detach(other.channel);
    return DID;
}

/* By another process: threads of one wait for each other while one of them attaches. */
static int act_attach(struct party *party)
{
    return fork_and(attach, party);
}

static int create(struct party *party)
{
    struct rchan_error error = {0};
    struct rchan_options options = fixture_options(RACE_CHANNEL, 40, 3);
    options.n_buffers = 2;
    struct rchan_channel *channel = rchan_channel_create(&options, &error);
    if (!channel)
        return refusal(&error);
    rchan_testpoint_hook = NULL; /* it is made: the rest is not what is looked at */
    if (!party->channel)         /* all that is done on the stage is done to this one */
        ledger_close(party->ledger, channel, false);
    fixture_close(channel);
    return DID;
}

static int act_create(struct party *party)
{
    return fork_and(create, party);
}

static int remove_all(struct party *party)
{
    struct rchan_error error = {0};
    (void)party;
    return rchan_channel_remove(fixture_directory(), RACE_CHANNEL, &error) ? refusal(&error) : DID;
}

static int act_remove(struct party *party)
{
    return fork_and(remove_all, party);
}

static int act_late(struct party *party)
{
    struct rchan_error error = {0};
    return rchan_channel_late_setup(party->channel, fixture_directory(), RACE_CHANNEL, &error)
               ? refusal(&error)
               : DID;
}

static int act_fork(struct party *party)
{
    return fork_and(act_write, party);
}

const struct actor race_actors[] = {
    {"write", NEEDS_OWNER | ONLY_PLAIN, false, act_write, false, false},
    {"write and wake", NEEDS_OWNER | ONLY_PLAIN, false, act_write_and_wake, false, false},
    {"write too big", NEEDS_OWNER | ONLY_PLAIN, false, act_too_big, false, false},
    {"reserve, commit", NEEDS_OWNER | ONLY_PLAIN, false, act_reserve, false, false},
    {"reserve, abort", NEEDS_OWNER | ONLY_PLAIN, false, act_abort, false, false},
    {"flush", NEEDS_OWNER, false, act_flush, false, false},
    {"finish", NEEDS_OWNER, false, act_finish, false, false},
    {"reset", NEEDS_OWNER | NEEDS_READER, false, act_reset, false, false},
    {"read", NEEDS_READER, false, act_read, false, false},
    {"take, give back", NEEDS_READER, false, act_take, false, false},
    {"take, put down", NEEDS_READER, false, act_put_down, false, false},
    {"recorder", NEEDS_READER, false, act_recorder, false, false},
    {"consumed", NEEDS_READER, false, act_consumed, false, false},
    {"tap", 0, false, act_tap, false, false},
    {"snapshot", 0, false, act_snapshot, false, false},
    {"books", 0, false, act_books, false, false},
    {"poll", 0, false, act_poll, false, false},
    {"sleep", 0, false, act_sleep, false, false},
    {"disable", 0, false, act_disable, false, false},
    {"wake-up mode", 0, false, act_wakeups, false, false},
    {"finalize", NEEDS_ALL_OWNERS, false, act_finalize, false, false},
    {"new buffer", 0, true, act_grow, false, false},
    {"late setup", 0, true, act_late, false, false},
    {"attach, write, detach", 0, true, act_attach, true, true},
    {"create", 0, true, act_create, true, true},
    {"close", 0, true, act_close, false, false},
    {"remove", 0, true, act_remove, true, true},
    {"bell", 0, true, act_bell, false, false},
    {"fork, write", NEEDS_OWNER | ONLY_PLAIN, true, act_fork, false, true},
    {"write event", NEEDS_OWNER | ONLY_EVENTS, false, act_event, false, false},
    {"append metadata", NEEDS_METADATA, false, act_append, false, false},
    {"record", NEEDS_READER, false, act_record, false, false},
    {"read for another", NEEDS_READER, false, act_hand_on, false, false},
    {"read, refused", NEEDS_READER, false, act_hand_on_refused, false, false},
};
const unsigned n_race_actors = sizeof race_actors / sizeof race_actors[0];
