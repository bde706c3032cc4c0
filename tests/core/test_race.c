/* Each actor is stopped at each of its testpoints, and every other one runs to its end there; and
 * each is killed at each of them, and every other one goes on. docs/explanation/race-table.md has the outcomes. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "owner.h"
#include "race.h"
#include "race_fork.h"
#include "testpoint.h"

enum { CPU_SECONDS = 20 };

static struct turn {
    struct stage stage;
    const char *point; /* where the first was stopped; NULL: not at all */
    unsigned stopped, other, hits, target;
    pid_t tester;
} turn;

static char context[160];

/* Waiting for others takes no time here: there are none but the two, and they take turns. */
int nanosleep(const struct timespec *wanted, struct timespec *left)
{
    (void)wanted, (void)left;
    return 0;
}

static void took_too_long(int signal)
{
    (void)signal;
    ssize_t ignored = write(2, context, strlen(context));
    ignored = write(2, ": not at its end\n", 17);
    (void)ignored;
    _exit(3);
}

static void limit_time(unsigned seconds)
{
    struct itimerval limit = {.it_value = {.tv_sec = seconds}};
    signal(SIGPROF, took_too_long);
    setitimer(ITIMER_PROF, &limit, NULL);
}

/* ---- two of them ---- */

static bool alive(struct rchan_channel *channel, uint64_t holder)
{
    return holder && !rchan_owner_dead(channel, holder);
}

static unsigned held_by_living(struct rchan_channel *channel)
{
    unsigned held = 0;
    for (uint32_t i = 0; i < channel->n_buffers; i++) {
        struct rchan_block *block = channel->buffers[i].block;
        if (!rchan_bit(channel->header->present, i))
            continue;
        if (alive(channel, rchan_load(&block->owner)))
            held |= i ? NEEDS_ALL_OWNERS : NEEDS_OWNER | NEEDS_ALL_OWNERS;
        if (!i && alive(channel, rchan_load(&block->reader)))
            held |= NEEDS_READER;
    }
    return held;
}

/* What it needs of this channel, to which words are held there. */
static unsigned needs_of(const struct actor *actor, const struct rchan_channel *channel)
{
    unsigned kind = channel && channel->packet_header ? ONLY_EVENTS : ONLY_PLAIN;
    unsigned only = actor->needs & (ONLY_EVENTS | ONLY_PLAIN);
    return only && only != kind ? 0 : actor->needs & ~only;
}

static bool in_reset(struct rchan_channel *channel)
{
    return rchan_load(&channel->buffers[0].block->resetting) & 1;
}

/* Who gets a word that a living one holds, or is kept waiting by nobody, did what it must not. */
static bool outcome_allowed(unsigned needs, unsigned held, bool reset, int outcome)
{
    if (reset && needs & NEEDS_READER) /* left to its maker, or ended; then tried again */
        return outcome == BUSY || outcome == NOT || !(held & NEEDS_OWNER);
    if (needs & held)
        return outcome == BUSY || outcome == SPILLED;
    return outcome != BUSY || !needs;
}

static void other_acts(const char *point)
{
    rchan_testpoint_hook = NULL;
    unsigned failures = check_failures, held = 0;
    const struct actor *actor = &race_actors[turn.other];
    struct party *second = &turn.stage.second;
    struct rchan_channel *channel = stage_channel(&turn.stage);
    bool reset = channel && in_reset(channel);
    snprintf(context, sizeof context, "%s: stopped at '%s' (%u), %s, %s",
             race_actors[turn.stopped].name, point, turn.target, actor->name,
             turn.stage.scene->name);
    held = channel ? held_by_living(channel) : 0;
    held |= strncmp(point, "metadata:", 9) ? 0 : NEEDS_METADATA;
    int outcome = NOT;
    if (second->channel || actor->by_name)
        outcome = actor->act(second);
    if (turn.stage.first.channel) /* while its files have names */
        rchan_channel_refresh(turn.stage.first.channel);
    CHECK(outcome_allowed(needs_of(actor, channel), held, reset, outcome));
    turn.point = point;
    table_note(point, turn.other, outcome, held, failures != check_failures);
}

static void stop_here(const char *point)
{
    if (turn.hits++ != turn.target)
        return;
    if (getpid() == turn.tester) {
        other_acts(point);
        return;
    }
    rchan_testpoint_hook = NULL;
    fork_stop(point);
}

static void play_pair(const struct race_scene *scene)
{
    unsigned failures = check_failures;
    turn.point = NULL;
    turn.hits = 0;
    snprintf(context, sizeof context, "%s, %s", race_actors[turn.stopped].name, scene->name);
    stage_set(&turn.stage, scene);
    rchan_testpoint_hook = stop_here;
    fork_in_parent = other_acts;
    race_actors[turn.stopped].act(&turn.stage.first);
    rchan_testpoint_hook = NULL;
    stage_close(&turn.stage);
    CHECK(turn.point != NULL);
    if (turn.point && failures != check_failures)
        table_note(turn.point, turn.other, 0, 0, true);
}

/* In a scene of its own once for each testpoint; else at each time that it is passed. */
static void play_points(const struct race_scene *scene, const struct way *way)
{
    limit_time(CPU_SECONDS);
    for (unsigned k = 0; k < way->n_points; k++) {
        turn.target = way->hits[k];
        if (!stage_is_own(scene) || way->first[k])
            play_pair(scene);
    }
}

static void play_scene(const struct race_scene *scene)
{
    struct way way;
    for (turn.stopped = 0; turn.stopped < n_race_actors; turn.stopped++) {
        const struct actor *stopped = &race_actors[turn.stopped];
        if (!stage_has_part(scene, stopped))
            continue;
        way_find(scene, stopped, &way);
        for (turn.other = 0; turn.other < n_race_actors; turn.other++)
            if (stage_has_parts(scene, stopped, &race_actors[turn.other]))
                play_points(scene, &way);
    }
}

TEST(every_actor_at_every_testpoint_of_every_other)
{
    turn = (struct turn){.tester = getpid()};
    check_context = context;
    for (unsigned s = 0; s < n_race_scenes; s++)
        play_scene(&race_scenes[s]);
    limit_time(0);
    stages_end();
    CHECK_EQ(fixture_files(), 0);
}

TEST(whoever_is_killed_at_any_testpoint_the_others_go_on)
{
    check_context = context;
    limit_time(10 * CPU_SECONDS);
    for (unsigned s = 0; s < (race_is_short() ? 2 : n_race_scenes); s++)
        race_kill(&race_scenes[s], context, sizeof context);
    limit_time(0);
    stages_end();
    CHECK_EQ(fixture_files(), 0);
}

TEST(nothing_is_forbidden_and_the_docs_say_what_came_out)
{
    const char *docs = getenv("RCHAN_RACE_DOCS"), *fresh = getenv("RCHAN_RACE_TABLE");
    if (race_is_short())
        return;
    table_check();
    if (fresh)
        table_write(fresh);
    else if (docs)
        table_compare(docs);
}
