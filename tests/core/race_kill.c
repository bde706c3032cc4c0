/* An actor is killed at each of its testpoints; whoever comes next goes on, and the books close. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "race.h"
#include "race_fork.h"
#include "testpoint.h"

static struct way passed;
static unsigned hits, target;
static pid_t tester;

static void note(const char *point)
{
    unsigned before = 0;
    for (unsigned i = 0; i < passed.n_points; i++)
        before += !strcmp(passed.points[i], point);
    unsigned hit = passed.n_hits++;
    if (before == OFTEN || !CHECK(passed.n_points < MOST_PASSED))
        return;
    passed.first[passed.n_points] = !before;
    passed.hits[passed.n_points] = hit;
    passed.points[passed.n_points++] = point;
}

static void note_or_tell(const char *point)
{
    if (getpid() == tester)
        note(point);
    else
        fork_stop(point);
}

static void note_told(const char *point)
{
    note(table_name(point)); /* this one is in memory that is used again */
}

void way_find(const struct race_scene *scene, const struct actor *actor, struct way *way)
{
    struct stage stage;
    passed.n_points = passed.n_hits = 0;
    tester = getpid();
    stage_set(&stage, scene);
    fork_in_parent = note_told;
    rchan_testpoint_hook = note_or_tell;
    actor->act(&stage.first);
    rchan_testpoint_hook = NULL;
    stage_close(&stage);
    *way = passed;
}

static void kill_here(const char *point)
{
    (void)point;
    if (getpid() != tester && hits++ == target)
        kill(getpid(), SIGKILL);
}

/* Nobody waits for the dead; who finds a reset half done may be told once to come again. */
static void survive(struct party *party)
{
    static const char *const names[] = {"write",    "read",  "recorder",    "tap",
                                        "snapshot", "books", "write event", "append metadata",
                                        "record"};
    for (unsigned n = 0; n < sizeof names / sizeof names[0]; n++)
        for (unsigned i = 0; i < n_race_actors; i++) {
            if (strcmp(race_actors[i].name, names[n]) != 0)
                continue;
            int outcome = race_actors[i].act(party);
            if (outcome == BUSY && race_actors[i].needs == NEEDS_READER)
                outcome = race_actors[i].act(party);
            CHECK(outcome != BUSY && outcome != SPILLED);
        }
}

/* All that the dead one left is what has a name: a channel that can be joined, or none in the way. */
static void find_and_survive(struct stage *stage)
{
    struct rchan_error error = {0};
    struct party *party = &stage->second;
    party->channel = rchan_channel_attach(fixture_directory(), RACE_CHANNEL, NULL, &error);
    if (party->channel) {
        survive(party);
        ledger_close(party->ledger, party->channel, false);
        rchan_channel_detach(party->channel);
        CHECK_EQ(rchan_channel_remove(fixture_directory(), RACE_CHANNEL, &error), 0);
    } else {
        CHECK_EQ(error.failure, RCHAN_FAIL_NOT_FOUND);
    }
    party->channel = NULL;
    for (unsigned i = 0; i < n_race_actors; i++)
        if (!strcmp(race_actors[i].name, "create") && !stage->scene->obstacle) {
            ledger_clear(party->ledger);
            CHECK_EQ(race_actors[i].act(party), DID);
        }
    if (stage->scene->obstacle) /* what is in the way of the name goes with it */
        rchan_channel_remove(fixture_directory(), RACE_CHANNEL, &error);
    stage_close(stage);
}

static void act_and_die(const struct race_scene *scene, const struct actor *actor,
                        struct stage *stage)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (scene->unnamed || scene->absent)
        stage_set(stage, scene); /* its maker dies with it */
    rchan_testpoint_hook = kill_here;
    actor->act(&stage->first);
    rchan_testpoint_hook = NULL;
    _exit(0);
}

static void play_kill(const struct race_scene *scene, const struct actor *actor)
{
    int status = 0;
    struct stage stage;
    bool made_by_child = scene->unnamed || scene->absent;
    hits = 0;
    fork_in_parent = NULL;
    if (made_by_child)
        stage_prepare(&stage, scene);
    else
        stage_set(&stage, scene);
    pid_t child = fork();
    if (!child)
        act_and_die(scene, actor, &stage);
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
    stage.killed = true;
    stage.ledger->unseen |= (actor->needs & NEEDS_READER) != 0;
    if (made_by_child) {
        find_and_survive(&stage);
        return;
    }
    if (stage.third)
        rchan_abort(&stage.held);
    survive(&stage.second);
    stage_close(&stage);
}

void race_kill(const struct race_scene *scene, char *context, size_t room)
{
    struct way way;
    for (unsigned i = 0; i < n_race_actors; i++) {
        const struct actor *actor = &race_actors[i];
        if (!stage_has_part(scene, actor))
            continue;
        way_find(scene, actor, &way);
        for (unsigned k = 0; k < way.n_points; k++) {
            unsigned failures = check_failures;
            if (!way.first[k])
                continue;
            target = way.hits[k];
            snprintf(context, room, "%s: killed at '%s' (%u), %s", actor->name, way.points[k],
                     target, scene->name);
            play_kill(scene, actor);
            table_killed(way.points[k], failures != check_failures);
        }
    }
}
