/* What each process of the storm does. */
#include "actors.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "announce.h"
#include "bell.h"
#include "clock.h"
#include "consume.h"
#include "tap.h"
#include "testpoint.h"
#include "wait.h"

enum { MAX_RECORD = 1024, WILD_RECORDS = 300, WAIT_NS = 2000000 };

struct work {
    struct rchan_channel *channel;
    unsigned number;
    uint64_t random;
    uint32_t life;
};

uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void beat(unsigned number)
{
    rchan_add(&ledger->actors[number].beats, 1);
}

/* ---- writers ---- */

static const uint8_t fate_of[] = {[RCHAN_STORED] = STORED,
                                  [RCHAN_DROPPED_FULL] = FULL,
                                  [RCHAN_DROPPED_TOO_BIG] = TOO_BIG,
                                  [RCHAN_DROPPED_DISABLED] = DISABLED,
                                  [RCHAN_DROPPED_CONTENDED] = CONTENDED};

/* The next record's number, as an attempt in the ledger; -1: nothing left for us. */
static int64_t attempt(struct work *work)
{
    uint32_t seq = rchan_load(&ledger->next_seq[work->life]);
    if (seq >= SEQS) {
        int64_t life = ledger_new_life();
        if (life < 0)
            return -1;
        work->life = (uint32_t)life;
        seq = 0;
    }
    rchan_store(&ledger->fates[work->life][seq], UNKNOWN);
    rchan_store_release(&ledger->next_seq[work->life], seq + 1);
    return seq;
}

static uint32_t record_length(struct work *work)
{
    uint32_t most = work->channel->subbuf_size < 256 ? work->channel->subbuf_size : 256;
    uint64_t random = random_next(&work->random);
    if (random % 97 == 0) /* sometimes too big for the smaller sub-buffers */
        most = MAX_RECORD;
    return (uint32_t)(sizeof(struct record) + random / 128 % (most - sizeof(struct record) + 1));
}

static void note_wait(unsigned number, uint64_t since)
{
    uint64_t took = rchan_now_ns() - since;
    if (took > rchan_load(&ledger->longest_write_ns) &&
        !rchan_load(&ledger->actors[number].stopped))
        rchan_store(&ledger->longest_write_ns, took);
}

static int64_t some_cpu(struct work *work)
{
    uint64_t random = random_next(&work->random);
    return random % 4 ? -1 : (int64_t)(random / 4 % (work->channel->n_buffers * 2));
}

static void write_one(struct work *work)
{
    _Alignas(struct record) uint8_t bytes[MAX_RECORD];
    struct record *record = (struct record *)bytes;
    int64_t cpu = some_cpu(work), seq = attempt(work);
    if (seq < 0) {
        usleep(1000);
        return;
    }
    uint32_t length = record_length(work);
    record_fill(record, work->life, (uint32_t)seq, length);
    uint64_t since = rchan_now_ns();
    enum rchan_outcome outcome = random_next(&work->random) % 64
                                     ? rchan_write(work->channel, cpu, record, length)
                                     : rchan_write_and_wake(work->channel, cpu, record, length);
    note_wait(work->number, since);
    if (outcome == RCHAN_CORRUPT)
        ledger_accuse(FAILED, "a write found the channel corrupt");
    else
        rchan_store(&ledger->fates[work->life][seq], fate_of[outcome]);
    if (outcome != RCHAN_STORED)
        sched_yield();
    beat(work->number);
}

static void reserve_one(struct work *work)
{
    struct rchan_reservation place;
    uint32_t length = record_length(work);
    int64_t cpu = some_cpu(work), seq = attempt(work);
    if (seq < 0)
        return;
    enum rchan_outcome outcome = rchan_reserve(work->channel, cpu, length, &place);
    uint8_t fate = fate_of[outcome];
    if (outcome == RCHAN_STORED) {
        _Alignas(struct record) uint8_t bytes[MAX_RECORD];
        record_fill((struct record *)bytes, work->life, (uint32_t)seq, length);
        memcpy(place.data, bytes, length);
        if (random_next(&work->random) % 8 == 0) {
            rchan_abort(&place);
            fate = ABORTED;
        } else if (!rchan_commit(&place, length)) {
            ledger_accuse(FAILED, "a commit was void");
        }
    } else {
        sched_yield();
    }
    rchan_store(&ledger->fates[work->life][seq], fate);
    beat(work->number);
}

/* A child that the storm's parent knows nothing of: it writes some records and goes. */
static void fork_off(struct work *work)
{
    unsigned free_place = 0;
    while (free_place < WILD && rchan_load(&ledger->wild[free_place]))
        free_place++;
    if (free_place == WILD || rchan_load(&ledger->stop_wild))
        return;
    pid_t child = fork();
    if (child)
        return;
    if (!rchan_take_word(&ledger->wild[free_place], 0, (uint64_t)getpid()))
        _exit(0);
    int64_t life = ledger_new_life();
    work->life = (uint32_t)life;
    for (int i = 0; life >= 0 && i < WILD_RECORDS && !rchan_load(&ledger->stop_wild); i++)
        write_one(work);
    rchan_store(&ledger->wild[free_place], 0);
    _exit(0);
}

static bool begin_life(struct work *work)
{
    int64_t life = ledger_new_life();
    work->life = (uint32_t)life;
    return life >= 0;
}

static void *write_on(void *argument)
{
    struct work *work = argument;
    while (!begin_life(work))
        usleep(1000);
    for (;;)
        write_one(work);
    return NULL;
}

static void write_in_threads(struct work *work)
{
    struct work other = *work;
    pthread_t thread;
    random_next(&other.random);
    if (pthread_create(&thread, NULL, write_on, &other))
        ledger_accuse(FAILED, "no thread");
    write_on(work);
}

/* ---- readers ---- */

static uint32_t name_of(const struct rchan_subbuf *subbuf)
{
    uint64_t hash = (subbuf->buffer->index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    hash = (hash ^ subbuf->seq) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ subbuf->first_ns) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (uint32_t)(hash >> 32) | 1;
}

/* One sub-buffer: looked at, noted, given back. In overwrite mode from a copy that was whole. */
static void handle(struct rchan_subbuf *subbuf, uint64_t *random)
{
    uint32_t name = name_of(subbuf);
    uint64_t length = subbuf->length, expected = subbuf->records;
    uint8_t *copy = malloc(length);
    if (!copy)
        abort();
    memcpy(copy, subbuf->data, length);
    if (!rchan_subbuf_whole(subbuf)) {
        rchan_subbuf_put_down(subbuf);
        free(copy);
        return;
    }
    uint64_t count = records_check(copy, length, name, ledger_found);
    if (count != expected)
        ledger_accuse(UNCOUNTED, "a sub-buffer of %llu records has %llu",
                      (unsigned long long)expected, (unsigned long long)count);
    if (random_next(random) % 256 == 0)
        usleep(500); /* a reader that holds on to it */
    if (rchan_subbuf_give_back(subbuf, UINT64_MAX))
        records_check(copy, length, name, ledger_consumed);
    free(copy);
}

unsigned reader_round(struct rchan_channel *channel, uint64_t *random)
{
    unsigned taken = 0;
    rchan_channel_refresh(channel);
    for (uint32_t i = 0; i < channel->n_buffers; i++) {
        struct rchan_subbuf subbuf;
        if (!rchan_load(&channel->buffers[i].data))
            continue;
        int result = rchan_subbuf_take(&channel->buffers[i], &subbuf);
        if (result == -EBADMSG)
            ledger_accuse(FAILED, "a reader found buffer %u corrupt", i);
        if (result != 1)
            continue;
        handle(&subbuf, random);
        taken++;
    }
    return taken;
}

static void read_on(struct work *work)
{
    rchan_a64 *wake = &work->channel->header->wake;
    for (;;) {
        if (!reader_round(work->channel, &work->random)) {
            uint32_t epoch = rchan_sleeper_add(wake);
            rchan_sleep(wake, epoch, WAIT_NS);
            rchan_sleeper_remove(wake, epoch);
        }
        beat(work->number);
    }
}

static void read_by_bell(struct work *work)
{
    struct rchan_bell bell;
    struct rchan_error error = {0};
    if (rchan_bell_open(work->channel, &bell, &error)) {
        if (error.failure != RCHAN_FAIL_BUSY)
            ledger_accuse(FAILED, "no bell: %s", error.message);
        read_on(work);
    }
    for (;;) {
        struct pollfd waiting = {.fd = bell.fd, .events = POLLIN};
        if (!rchan_bell_rearm(&bell))
            ledger_accuse(FAILED, "a reader's bell is not its own");
        if (!reader_round(work->channel, &work->random))
            poll(&waiting, 1, 5);
        beat(work->number);
    }
}

/* ---- those who only look ---- */

static void tap_some(struct work *work, struct rchan_buffer *buffer, bool cut)
{
    static const enum rchan_tap_from places[] = {RCHAN_TAP_UNREAD, RCHAN_TAP_OLDEST, RCHAN_TAP_NOW};
    struct rchan_tap tap;
    struct rchan_copy copy;
    uint8_t *bytes = malloc(work->channel->subbuf_size);
    int result = rchan_tap_start(buffer, places[random_next(&work->random) % 3], &tap);
    if (!result && cut)
        result = rchan_tap_cut(&tap, NULL);
    if (!bytes || result == -EBADMSG)
        ledger_accuse(FAILED, "no tap: %d", result);
    for (int i = 0; !result && i < 20 && rchan_tap_look(&tap, &copy) == 1; i++) {
        if (rchan_tap_copy(&tap, &copy, bytes))
            records_check(bytes, copy.length, 0, ledger_copied);
    }
    free(bytes);
}

static void look_on(struct work *work, bool cut)
{
    for (;;) {
        rchan_channel_refresh(work->channel);
        for (uint32_t i = 0; i < work->channel->n_buffers; i++) {
            if (rchan_load(&work->channel->buffers[i].data))
                tap_some(work, &work->channel->buffers[i], cut);
        }
        beat(work->number);
        usleep(200);
    }
}

/* ---- who changes everything ---- */

static void meddle(struct work *work, bool resets)
{
    static const uint32_t modes[] = {0, RCHAN_GATE_NEVER,
                                     RCHAN_GATE_ANNOUNCE | 1u << RCHAN_GATE_COUNT_SHIFT};
    struct rchan_channel *channel = work->channel;
    struct rchan_books books;
    uint64_t random = random_next(&work->random);
    struct rchan_buffer *buffer = &channel->buffers[random / 64 % channel->n_buffers];
    if (!rchan_load(&buffer->data))
        return;
    switch (random % 8) {
    case 0:
        rchan_channel_enable(channel, false);
        usleep(50);
        rchan_channel_enable(channel, true);
        break;
    case 1:
        rchan_wakeup_set(channel, modes[random / 8 % 3]);
        break;
    case 2:
        if (resets)
            rchan_buffer_reset(buffer);
        break;
    case 3:
    case 4:
        rchan_buffer_finish(buffer, UINT64_MAX);
        break;
    case 5:
        if (rchan_buffer_books(buffer, &books) == -EBADMSG)
            ledger_accuse(FAILED, "no books");
        break;
    default:
        rchan_buffer_flush(buffer);
    }
}

static void meddle_on(struct work *work, bool resets)
{
    for (;;) {
        meddle(work, resets);
        beat(work->number);
        usleep(300);
    }
}

static void write_role(struct work *work, enum role role)
{
    while (!begin_life(work))
        usleep(1000);
    for (;;) {
        uint64_t random = random_next(&work->random);
        if (role == RESERVER && random % 2)
            reserve_one(work);
        else
            write_one(work);
        if (role == FORKING_WRITER && random % 512 == 0)
            fork_off(work);
    }
}

/* The inherited handle, or one of our own, as somebody does who opens it by name. */
static struct rchan_channel *handle_for(struct work *work, const struct weather *weather)
{
    struct rchan_error error = {0};
    if (work->channel && random_next(&work->random) % 2)
        return work->channel;
    struct rchan_channel *own =
        rchan_channel_attach(weather->directory, weather->name, NULL, &error);
    if (!own)
        ledger_accuse(FAILED, "no attach: %s", error.message);
    else if (work->channel)
        rchan_channel_detach(work->channel);
    return own;
}

#ifdef RCHAN_TESTPOINTS
static void linger(const char *name)
{
    static _Thread_local uint64_t random;
    (void)name;
    if (!random)
        random = rchan_now_ns() | 1;
    if (random_next(&random) % 32 == 0)
        usleep(100);
}
#endif

void actor_run(enum role role, unsigned number, uint64_t seed, struct rchan_channel *channel,
               const struct weather *weather)
{
    struct work work = {.channel = channel, .number = number, .random = seed | 1};
    work.channel = handle_for(&work, weather);
    if (!work.channel)
        return;
#ifdef RCHAN_TESTPOINTS
    rchan_testpoint_hook = weather->lingers ? linger : NULL;
#endif
    switch (role) {
    case THREADED_WRITER:
        write_in_threads(&work);
        break;
    case READER:
        read_on(&work);
        break;
    case BELL_READER:
        read_by_bell(&work);
        break;
    case TAPPER:
    case SNAPSHOOTER:
        look_on(&work, role == SNAPSHOOTER);
        break;
    case MEDDLER:
        meddle_on(&work, weather->resets);
        break;
    default:
        write_role(&work, role);
    }
}
