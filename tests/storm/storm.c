/* A storm over channels: processes that write, read, tap and meddle, killed, stopped and moved at
 * random, round after round; after each round an audit. Usage:
 *
 *     storm [--seconds N] [--seed N] [--kills N]      (--kills: go on until there were so many)
 *
 * Prints one line of JSON; exit status 1 if anything was torn, duplicated, invented, uncounted,
 * wedged, or failed. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "actors.h"
#include "audit.h"
#include "clock.h"

enum { PATIENCE_MS = 60000, CREW = 13 };

static const enum role crew[CREW] = {
    WRITER, WRITER,      RESERVER, RESERVER,    FORKING_WRITER, WRITER,         READER,
    READER, BELL_READER, TAPPER,   SNAPSHOOTER, MEDDLER,        THREADED_WRITER};

struct actor {
    pid_t pid;
    bool stopped;
};

static struct storm {
    uint64_t seed, random;
    int ledger_fd;
    char directory[64];
    struct rchan_channel *channel;
    struct weather weather;
    bool forks_only; /* an emulator does not come along over exec */
    struct actor actors[CREW];
    uint64_t rounds, kills, stops, moves, forks, execs;
    struct totals totals;
} storm = {.seed = 1};

static uint64_t dice(uint64_t sides)
{
    return random_next(&storm.random) % sides;
}

/* ---- the crew ---- */

static void become(unsigned number, enum role role, uint64_t seed)
{
    char texts[4][24];
    snprintf(texts[0], sizeof texts[0], "%d", (int)role);
    snprintf(texts[1], sizeof texts[1], "%u", number);
    snprintf(texts[2], sizeof texts[2], "%llu", (unsigned long long)seed);
    snprintf(texts[3], sizeof texts[3], "%d", storm.ledger_fd);
    execl("/proc/self/exe", "storm", "--actor", texts[0], texts[1], texts[2], texts[3],
          storm.directory, storm.weather.name, storm.weather.resets ? "1" : "0",
          storm.weather.lingers ? "1" : "0", (char *)NULL);
    _exit(4);
}

static void spawn(unsigned number)
{
    uint64_t seed = random_next(&storm.random);
    bool exec = dice(16) == 0 && !storm.forks_only;
    rchan_store(&ledger->actors[number].stopped, 0);
    pid_t child = fork();
    if (child < 0) {
        perror("storm: fork");
        exit(2);
    }
    if (!child) {
        if (exec)
            become(number, crew[number], seed);
        actor_run(crew[number], number, seed, storm.channel, &storm.weather);
        _exit(3);
    }
    storm.actors[number] = (struct actor){.pid = child};
    storm.forks += !exec;
    storm.execs += exec;
}

static void reap(unsigned number)
{
    int status;
    if (waitpid(storm.actors[number].pid, &status, 0) != storm.actors[number].pid ||
        !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        ledger_accuse(FAILED, "actor %u (role %d) ended by itself: status %#x", number,
                      (int)crew[number], status);
}

static void kill_one(unsigned number)
{
    kill(storm.actors[number].pid, SIGKILL);
    reap(number);
    storm.kills++;
}

static void kill_wild(bool all)
{
    for (unsigned i = 0; i < WILD; i++) {
        uint64_t pid = rchan_load(&ledger->wild[i]);
        if (!pid || (!all && dice(8)))
            continue;
        kill((pid_t)pid, SIGKILL);
        rchan_store(&ledger->wild[i], 0);
        storm.kills++;
        if (!all)
            return;
    }
}

static void stop_or_go(unsigned number)
{
    struct actor *actor = &storm.actors[number];
    actor->stopped = !actor->stopped;
    if (actor->stopped)
        rchan_store(&ledger->actors[number].stopped, 1);
    kill(actor->pid, actor->stopped ? SIGSTOP : SIGCONT);
    storm.stops += actor->stopped;
}

static void move(unsigned number)
{
    cpu_set_t cpus;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    CPU_ZERO(&cpus);
    CPU_SET(dice((uint64_t)online), &cpus);
    if (dice(3) == 0)
        for (long cpu = 0; cpu < online; cpu++)
            CPU_SET(cpu, &cpus);
    sched_setaffinity(storm.actors[number].pid, sizeof cpus, &cpus);
    storm.moves++;
}

/* ---- a round ---- */

static struct rchan_channel *make_channel(void)
{
    static const uint32_t sizes[] = {64, 256, 4096, 65536, 1 << 20}, first[] = {0, 1};
    static const uint32_t counts[] = {1, 2, 4, 16};
    struct rchan_error error = {0};
    struct rchan_options options = {.directory = storm.directory,
                                    .base = "storm",
                                    .subbuf_size = sizes[dice(5)],
                                    .n_subbufs = counts[dice(4)],
                                    .n_buffers = UINT64_C(1) << dice(3),
                                    .overwrite = dice(2),
                                    .mode = 0600,
                                    .cpus = first,
                                    .n_cpus = 1 + (uint32_t)dice(2)};
    storm.weather.resets = dice(4) == 0;
    storm.weather.lingers = dice(2);
    storm.channel = rchan_channel_create(&options, &error);
    if (!storm.channel) {
        fprintf(stderr, "storm: %s\n", error.message);
        exit(2);
    }
    return storm.channel;
}

static void blow(uint64_t until, uint64_t pause_us)
{
    while (rchan_now_ns() < until) {
        unsigned number = (unsigned)dice(CREW);
        uint64_t what = dice(20);
        if (what < 13) {
            kill_one(number);
            spawn(number);
        } else if (what < 16) {
            stop_or_go(number);
        } else if (what < 18) {
            move(number);
        } else {
            kill_wild(false);
        }
        if (pause_us)
            usleep((useconds_t)(dice(2 * pause_us) + 1));
    }
}

/* Left alone, every actor gets on. */
static void check_progress(void)
{
    uint64_t before[CREW], deadline = rchan_now_ns() + PATIENCE_MS * UINT64_C(1000000);
    for (unsigned i = 0; i < CREW; i++) {
        if (storm.actors[i].stopped)
            kill(storm.actors[i].pid, SIGCONT);
        storm.actors[i].stopped = false;
        before[i] = rchan_load(&ledger->actors[i].beats);
    }
    for (unsigned i = 0; i < CREW; i++) {
        while (rchan_load(&ledger->actors[i].beats) == before[i]) {
            if (rchan_now_ns() > deadline) {
                ledger_accuse(WEDGED, "actor %u (role %d) does not get on", i, (int)crew[i]);
                break;
            }
            usleep(200);
        }
    }
}

static void end_all(void)
{
    rchan_store(&ledger->stop_wild, 1);
    for (unsigned i = 0; i < CREW; i++)
        kill_one(i);
    kill_wild(true);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) /* grandchildren have come to us */
        ;
}

static void play_round(uint64_t seconds_left_ns)
{
    static const uint64_t pauses[] = {0, 200, 1000, 5000};
    uint64_t length = seconds_left_ns < 1500000000 ? seconds_left_ns : 1500000000;
    /* The same channel in round k of the same seed, however many dice fell before. */
    storm.random = (storm.seed << 20 | (storm.rounds + 1)) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    ledger_clear(storm.ledger_fd);
    make_channel();
    for (unsigned i = 0; i < CREW; i++)
        spawn(i);
    blow(rchan_now_ns() + length, pauses[dice(4)]);
    check_progress();
    end_all();
    audit(storm.channel, storm.channel->flags & RCHAN_OVERWRITE || storm.weather.resets,
          &storm.totals);
    rchan_channel_close(storm.channel, NULL);
    rchan_channel_detach(storm.channel);
    storm.rounds++;
}

/* ---- the whole ---- */

static uint64_t crimes(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < CRIMES; i++)
        sum += rchan_load(&ledger->crimes[i]);
    return sum;
}

static void report(double seconds)
{
    const struct totals *totals = &storm.totals;
    printf(
        "{\"seed\": %llu, \"seconds\": %.1f, \"rounds\": %llu, \"kills\": %llu, \"stops\": %llu, "
        "\"moves\": %llu, \"forks\": %llu, \"spawns\": %llu, ",
        (unsigned long long)storm.seed, seconds, (unsigned long long)storm.rounds,
        (unsigned long long)storm.kills, (unsigned long long)storm.stops,
        (unsigned long long)storm.moves, (unsigned long long)storm.forks,
        (unsigned long long)storm.execs);
    printf("\"attempted\": %llu, \"stored\": %llu, \"delivered\": %llu, \"overwritten\": %llu, "
           "\"discarded\": %llu, \"dropped\": %llu, \"killed_in_a_write\": %llu, ",
           (unsigned long long)totals->attempted, (unsigned long long)totals->stored,
           (unsigned long long)totals->delivered, (unsigned long long)totals->overwritten,
           (unsigned long long)totals->discarded, (unsigned long long)totals->dropped,
           (unsigned long long)totals->unknown);
    printf("\"checked\": %llu, \"copied\": %llu, \"redelivered\": %llu, \"longest_write_ms\": %.1f",
           (unsigned long long)rchan_load(&ledger->checked),
           (unsigned long long)rchan_load(&ledger->copied),
           (unsigned long long)rchan_load(&ledger->redelivered),
           (double)rchan_load(&ledger->longest_write_ns) / 1e6);
    for (unsigned i = 0; i < CRIMES; i++)
        printf(", \"%s\": %llu", crime_names[i],
               (unsigned long long)rchan_load(&ledger->crimes[i]));
    printf("}\n");
}

static bool make_directory(const char *parent)
{
    snprintf(storm.directory, sizeof storm.directory, "%s/rchan-storm-XXXXXX", parent);
    return mkdtemp(storm.directory) != NULL;
}

static int play_actor(char **arguments)
{
    struct weather weather = {arguments[4], arguments[5], *arguments[6] == '1',
                              *arguments[7] == '1'};
    ledger_map(atoi(arguments[3]));
    actor_run((enum role)atoi(arguments[0]), (unsigned)atoi(arguments[1]),
              strtoull(arguments[2], NULL, 10), NULL, &weather);
    return 3;
}

int main(int count, char **arguments)
{
    uint64_t seconds = 4, kills = 0;
    if (count == 10 && !strcmp(arguments[1], "--actor"))
        return play_actor(arguments + 2);
    for (int i = 1; i + 1 < count; i += 2) {
        uint64_t value = strtoull(arguments[i + 1], NULL, 10);
        if (!strcmp(arguments[i], "--seconds"))
            seconds = value;
        else if (!strcmp(arguments[i], "--kills"))
            kills = value;
        else if (!strcmp(arguments[i], "--seed"))
            storm.seed = value;
        else if (!strcmp(arguments[i], "--forks-only"))
            storm.forks_only = value;
    }
    if (!make_directory("/dev/shm") && !make_directory("/tmp")) {
        perror("storm: no directory");
        return 2;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* grandchildren come to us */
    storm.weather = (struct weather){storm.directory, "storm", false, false};
    storm.ledger_fd = ledger_make();
    uint64_t began = rchan_now_ns(), end = began + seconds * UINT64_C(1000000000);
    while (!crimes() && (rchan_now_ns() < end || storm.kills < kills))
        play_round(rchan_now_ns() < end ? end - rchan_now_ns() : 1000000000);
    report((double)(rchan_now_ns() - began) / 1e9);
    if (rmdir(storm.directory))
        ledger_accuse(FAILED, "%s is not empty: something was left behind", storm.directory);
    return crimes() != 0;
}
