/* The scenes of the race tables: what the two actors find, and what must hold when they are done. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cursor.h"
#include "owner.h"
#include "race.h"
#include "testpoint.h"
#include "wait.h"

enum { SUBBUF_SIZE = 40, POOLS = 8, GHOST = 3, ANNOUNCE = RCHAN_GATE_ANNOUNCE | 1 << 8 };

/* Indexes into race_actors[] of those that have died before. */
enum { WRITER = 0, RESETTER = 7, READER = 8, EVENT_WRITER = 29 };

const struct race_scene race_scenes[] = {
    {"one record", .n_subbufs = 3, .records = 1},
    {"sub-buffer full", .n_subbufs = 3, .records = 2},
    {"read in part", .n_subbufs = 3, .records = 5, .reads = 1},
    {"full", .n_subbufs = 3, .records = 6},
    {"read to the end", .n_subbufs = 3, .records = 6, .reads = 6},
    {"one sub-buffer, full", .n_subbufs = 1, .records = 2},
    {"announced", .n_subbufs = 3, .records = 1, .gate = ANNOUNCE},
    {"disabled", .n_subbufs = 3, .records = 3, .gate = RCHAN_GATE_DISABLED},
    {"overwrite", .n_subbufs = 3, .overwrite = true, .records = 2},
    {"overwrite, full", .n_subbufs = 3, .overwrite = true, .records = 6},
    {"overwrite, lapped", .n_subbufs = 3, .overwrite = true, .records = 9, .reads = 1},
    {"overwrite, one sub-buffer", .n_subbufs = 1, .overwrite = true, .records = 2},
    {"writer died", .n_subbufs = 3, .records = 1, .ghost = "write: fast pending stored"},
    {"died in a switch", .n_subbufs = 3, .records = 2, .ghost = "switch: finished"},
    {"died in a switch, overwrite", .n_subbufs = 3, .overwrite = true, .records = 6,
     .ghost = "switch: slot touched"},
    {"reader died", .n_subbufs = 3, .records = 5, .ghost = "read: account stored",
     .ghost_actor = READER},
    {"died in a reset", .n_subbufs = 3, .records = 5, .ghost = "reset: accounts stored",
     .ghost_actor = RESETTER},
    {"two buffers", .n_subbufs = 3, .records = 3, .own = true},
    {"two buffers, died in a reset", .n_subbufs = 3, .records = 5, .own = true, .stopped = "read",
     .ghost = "reset: accounts stored", .ghost_actor = RESETTER},
    {"two buffers, died in a reset, books", .n_subbufs = 3, .records = 5, .own = true,
     .stopped = "books", .ghost = "reset: accounts stored", .ghost_actor = RESETTER},
    {"owner held", .n_subbufs = 3, .records = 3, .holder = true},
    {"two buffers, owner held", .n_subbufs = 3, .records = 3, .own = true, .stopped = "write",
     .holder = true},
    {"two buffers, lapped", .n_subbufs = 3, .overwrite = true, .records = 9, .own = true,
     .stopped = "read"},
    {"buffer-only", .n_subbufs = 3, .records = 3, .unnamed = true},
    {"name taken", .n_subbufs = 3, .records = 3, .unnamed = true, .obstacle = true,
     .stopped = "late setup"},
    {"no channel", .n_subbufs = 3, .absent = true, .stopped = "create"},
    {"events, one", .n_subbufs = 3, .events = true, .records = 1},
    {"events, packet full", .n_subbufs = 3, .events = true, .records = 2},
    {"events, full", .n_subbufs = 3, .events = true, .records = 6},
    {"events, overwrite, full", .n_subbufs = 3, .overwrite = true, .events = true, .records = 6},
    {"events, died at the end of a packet", .n_subbufs = 3, .events = true, .records = 2,
     .ghost = "packet: finished", .ghost_actor = EVENT_WRITER},
    {"events, died beginning a packet", .n_subbufs = 3, .overwrite = true, .events = true,
     .records = 6, .ghost = "packet: begun", .ghost_actor = EVENT_WRITER},
    {"events, died in a reset", .n_subbufs = 3, .events = true, .records = 5,
     .ghost = "reset: accounts stored", .ghost_actor = RESETTER},
    {"events, a file, one", .n_subbufs = 3, .events = true, .records = 1, .own = true,
     .stopped = "write event"},
    {"events, a file, packet full", .n_subbufs = 3, .events = true, .records = 2, .own = true,
     .stopped = "write event"},
    {"events, buffer-only", .n_subbufs = 3, .events = true, .records = 2, .unnamed = true,
     .stopped = "write event"},
};
const unsigned n_race_scenes = sizeof race_scenes / sizeof race_scenes[0];

/* Channels that are used again: attached three times, as three processes. */
static struct pool {
    struct rchan_channel *first, *second, *ghost;
    uint64_t dead; /* an owner value of one who has gone */
    uint64_t identity;
} pools[POOLS];

static struct ledger *shared_ledger;

static struct rchan_options options_for(const struct race_scene *scene, const char *base)
{
    struct rchan_options options =
        fixture_options(base, scene->events ? RACE_SUBBUF : SUBBUF_SIZE, scene->n_subbufs);
    options.stamp_clock = scene->events ? RCHAN_STAMP_MONOTONIC : RCHAN_STAMP_NONE;
    options.stamp_frequency = 1000000000;
    options.overwrite = scene->overwrite;
    options.owner_wait_us = 1;
    return options;
}

static void pool_make(struct pool *pool, const struct race_scene *scene, const char *base)
{
    struct rchan_options options = options_for(scene, base);
    pool->first = fixture_create(&options);
    pool->second = fixture_attach(base);
    struct rchan_channel *gone = fixture_attach(base);
    pool->dead = rchan_load(&gone->owner_value);
    rchan_channel_detach(gone);
    pool->ghost = fixture_attach(base);
    pool->identity = rchan_load(&pool->first->buffers[0].block->file_identity);
}

static struct pool *pool_for(const struct race_scene *scene)
{
    char base[8];
    unsigned index = scene->events * 4 + (scene->n_subbufs > 1) * 2 + scene->overwrite;
    snprintf(base, sizeof base, "pool%u.", index);
    if (!pools[index].first)
        pool_make(&pools[index], scene, base);
    return &pools[index];
}

static void pools_end(void)
{
    for (unsigned i = 0; i < POOLS; i++) {
        if (!pools[i].first)
            continue;
        rchan_channel_detach(pools[i].ghost);
        rchan_channel_detach(pools[i].second);
        fixture_close(pools[i].first);
        memset(&pools[i], 0, sizeof pools[i]);
    }
}

void stages_end(void)
{
    pools_end();
    if (shared_ledger)
        munmap(shared_ledger, sizeof *shared_ledger);
    shared_ledger = NULL;
}

static uint32_t no_gate(const struct rchan_channel *channel)
{
    return channel->packet_header ? RCHAN_GATE_PACKETS : 0;
}

/* As if it had just been made. */
static void pool_renew(struct pool *pool)
{
    struct rchan_channel *all[] = {pool->first, pool->second, pool->ghost};
    struct rchan_block *block = pool->first->buffers[0].block;
    memset((void *)block, 0, pool->first->block_size);
    memset(pool->first->buffers[0].map, 0, pool->first->alloc_size);
    rchan_store(&block->file_identity, pool->identity);
    rchan_store(&pool->first->header->gate, no_gate(pool->first));
    rchan_store(&pool->first->header->metadata_length, 0);
    rchan_store(&pool->first->header->wake, 0);
    for (int i = 0; i < 3; i++)
        rchan_cursor_forget(&all[i]->buffers[0]);
    CHECK_EQ(rchan_buffer_begin(&pool->first->buffers[0]), 0);
}

/* ---- one who has died before ---- */

static jmp_buf death;
static const char *deadly;

static void die_at(const char *point)
{
    if (!strcmp(point, deadly))
        longjmp(death, 1);
}

static void play_ghost(struct pool *pool, const struct race_scene *scene, struct ledger *ledger)
{
    struct party ghost = {pool->ghost, ledger, GHOST};
    uint64_t alive = rchan_load(&pool->ghost->owner_value);
    rchan_store(&pool->ghost->owner_value, pool->dead);
    struct rchan_cursor *cursor = &pool->ghost->buffers[0].cursor;
    *cursor = pool->first->buffers[0].cursor;
    if (cursor->at)
        cursor->at = pool->ghost->buffers[0].map + (cursor->at - pool->first->buffers[0].map);
    deadly = scene->ghost;
    rchan_testpoint_hook = die_at;
    bool died = setjmp(death);
    if (!died)
        race_actors[scene->ghost_actor].act(&ghost);
    rchan_testpoint_hook = NULL;
    CHECK(died);
    rchan_store(&pool->ghost->owner_value, alive);
}

/* ---- up ---- */

struct rchan_channel *stage_channel(const struct stage *stage)
{
    return stage->first.channel ? stage->first.channel : stage->second.channel;
}

static void fill(const struct stage *stage)
{
    uint8_t bytes[RECORD * 16];
    struct rchan_channel *channel = stage->first.channel;
    struct party filler = {channel, stage->ledger, 0};
    for (uint32_t i = 0; i < stage->scene->records; i++)
        CHECK_EQ(race_actors[stage->scene->events ? EVENT_WRITER : WRITER].act(&filler), DID);
    if (stage->scene->reads) {
        int64_t count =
            rchan_read(&channel->buffers[0], bytes, stage->scene->reads * (uint64_t)RECORD);
        ledger_deliver(stage->ledger, bytes, (uint64_t)count);
    }
    rchan_store(&channel->header->gate, no_gate(channel) | stage->scene->gate);
}

static void fall_asleep(struct stage *stage)
{
    struct rchan_channel *channel = stage->first.channel;
    stage->epochs[0] = rchan_sleeper_add(&channel->buffers[0].block->wake);
    stage->epochs[1] = rchan_sleeper_add(&channel->header->wake);
    stage->head = rchan_load(&channel->buffers[0].block->head);
}

static void kill_at(const char *point)
{
    if (!strcmp(point, deadly))
        kill(getpid(), SIGKILL);
}

/* The same by a process that is killed. */
static void play_dead(struct stage *stage)
{
    int status = 0;
    struct party dead = {stage->first.channel, stage->ledger, GHOST};
    deadly = stage->scene->ghost;
    pid_t child = fork();
    if (!child) {
        rchan_testpoint_hook = kill_at;
        race_actors[stage->scene->ghost_actor].act(&dead);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
}

static void hold(struct stage *stage, struct rchan_channel *third)
{
    stage->third = third;
    CHECK_EQ(rchan_reserve(third, 0, RECORD, &stage->held), RCHAN_STORED);
}

static void set_own(struct stage *stage)
{
    struct rchan_error error = {0};
    const struct race_scene *scene = stage->scene;
    struct rchan_options options = options_for(scene, scene->unnamed ? NULL : RACE_CHANNEL);
    options.n_buffers = scene->events ? 1 : 2; /* an event's buffer is that of the CPU it is on */
    if (scene->obstacle) {
        int directory = open(fixture_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int file = openat(directory, RACE_CHANNEL "0", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        CHECK(file >= 0);
        close(file);
        close(directory);
    }
    if (scene->absent)
        return;
    stage->first.channel = fixture_create(&options);
    stage->second.channel = scene->unnamed ? stage->first.channel : fixture_attach(RACE_CHANNEL);
    fill(stage);
    fall_asleep(stage);
    if (scene->holder)
        hold(stage, fixture_attach(RACE_CHANNEL));
    if (scene->ghost)
        play_dead(stage);
    if (!scene->unnamed && rchan_bell_open(stage->second.channel, &stage->bell, &error) == 0)
        CHECK(rchan_bell_rearm(&stage->bell));
}

bool race_is_short(void)
{
    const char *wanted = getenv("RCHAN_RACE");
    return wanted && !strcmp(wanted, "short");
}

bool stage_is_own(const struct race_scene *scene)
{
    return scene->unnamed || scene->absent || scene->own;
}

bool stage_has_part(const struct race_scene *scene, const struct actor *stopped)
{
    if (race_is_short() && (stopped->forks || (scene->ghost && scene->own)))
        return false;
    if (scene->stopped)
        return !strcmp(stopped->name, scene->stopped);
    return stage_is_own(scene) || !stopped->files;
}

bool stage_has_parts(const struct race_scene *scene, const struct actor *stopped,
                     const struct actor *other)
{
    if (race_is_short() && other->forks)
        return false;
    if (scene->own) /* without files they meet elsewhere, on channels that are used again */
        return stopped->files || other->files;
    return stage_is_own(scene) || !other->files;
}

void stage_prepare(struct stage *stage, const struct race_scene *scene)
{
    if (!shared_ledger)
        shared_ledger = mmap(NULL, sizeof *shared_ledger, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared_ledger != MAP_FAILED);
    *stage = (struct stage){.scene = scene, .ledger = shared_ledger, .bell = {.fd = -1}};
    ledger_clear(stage->ledger);
    stage->first = (struct party){NULL, stage->ledger, 1};
    stage->second = (struct party){NULL, stage->ledger, 2};
}

void stage_set(struct stage *stage, const struct race_scene *scene)
{
    stage_prepare(stage, scene);
    if (stage_is_own(scene)) {
        pools_end(); /* fewer attachments, so that a fork costs less */
        set_own(stage);
        return;
    }
    struct pool *pool = pool_for(scene);
    pool_renew(pool);
    stage->first.channel = pool->first;
    stage->second.channel = pool->second;
    fill(stage);
    fall_asleep(stage);
    if (scene->holder)
        hold(stage, pool->ghost);
    if (scene->ghost) {
        stage->ledger->unseen |= scene->ghost_actor == READER;
        play_ghost(pool, scene, stage->ledger);
    }
}

/* ---- down ---- */

/* News that came after they fell asleep have woken them. */
static void check_awake(const struct stage *stage)
{
    struct rchan_channel *channel = stage_channel(stage);
    struct rchan_block *block = channel->buffers[0].block;
    struct pollfd look = {.fd = stage->bell.fd, .events = POLLIN};
    bool finished = rchan_head_produced(channel, rchan_load(&block->head)) >
                    rchan_head_produced(channel, stage->head);
    if (!finished && !rchan_load(&block->resetting) && !rchan_channel_finalized(channel))
        return;
    /* Of one who died between asking and waking: the next who switches is asked to. */
    bool later = stage->scene->ghost || stage->killed;
    CHECK(rchan_wake_epoch(&block->wake) != stage->epochs[0] ||
          (later && rchan_wake_asked(&block->wake)));
    later = later && rchan_wake_asked(&channel->header->wake);
    CHECK(rchan_wake_epoch(&channel->header->wake) != stage->epochs[1] || later);
    CHECK(stage->bell.fd < 0 || later || poll(&look, 1, 0) == 1);
}

static void close_own(struct stage *stage)
{
    char path[256];
    rchan_bell_close(&stage->bell);
    if (stage->third)
        rchan_channel_detach(stage->third);
    if (stage->second.channel && stage->second.channel != stage->first.channel)
        rchan_channel_detach(stage->second.channel);
    if (stage->first.channel)
        fixture_close(stage->first.channel);
    snprintf(path, sizeof path, "%s/%s0", fixture_directory(), RACE_CHANNEL);
    if (stage->scene->obstacle)
        unlink(path);
}

static bool pool_names(const char *name)
{
    return !strncmp(name, "pool", 4);
}

/* Files of a late setup that failed, kept by one who was killed: the next channel clears them away. */
static void clear_hidden(void)
{
    struct rchan_options options = fixture_options(NULL, 64, 2);
    fixture_close(fixture_create(&options));
}

static int pool_files(void)
{
    int files = 0;
    for (unsigned i = 0; i < POOLS; i++)
        files += pools[i].first ? 2 : 0;
    return files;
}

void stage_close(struct stage *stage)
{
    struct rchan_channel *channel = stage_channel(stage);
    if (stage->third)
        rchan_abort(&stage->held);
    bool looked = stage->scene->ghost || stage->killed; /* a dead one's: by the next who comes */
    if (channel && !stage->scene->absent && !looked)
        check_awake(stage);
    if (channel)
        ledger_close(stage->ledger, channel, stage->scene->overwrite);
    if (channel && !stage->scene->absent && looked && stage->head)
        check_awake(stage);
    if (!stage_is_own(stage->scene)) {
        CHECK_EQ(rchan_producers_alive(channel, NULL, 0), 3);
        return;
    }
    close_own(stage);
    if (stage->killed && stage->scene->obstacle)
        clear_hidden();
    if (!CHECK_EQ(fixture_files(), pool_files()))
        fixture_empty(pool_names);
}
