/* The driver of the kill tests. */
#include "killing.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "testpoint.h"

static struct log *shared_log;
static pid_t tester;
static int points_left;

#ifdef RCHAN_TESTPOINTS
static void kill_at(const char *name)
{
    if (getpid() == tester || --points_left)
        return;
    strncpy(shared_log->point, name, sizeof shared_log->point - 1);
    kill(getpid(), SIGKILL);
}
#endif

/* True: the child was killed at point number `point`; false: it came to its end before. */
static bool play(const struct scene *scene, int point)
{
    int status = 0;
    memset(shared_log, 0, sizeof *shared_log);
    points_left = 0; /* no kill yet */
    struct rchan_channel *channel = scene->set ? scene->set(shared_log) : NULL;
    points_left = point;
    pid_t child = fork();
    if (!child) {
        scene->act(channel, shared_log);
        _exit(0);
    }
    REQUIRE(child > 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    CHECK(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    scene->check(channel, shared_log, killed);
    if (channel)
        fixture_close(channel);
    CHECK_EQ(fixture_files(), 0);
    return killed;
}

int kill_everywhere(const struct scene *scene)
{
    int kills = 0;
    tester = getpid();
    fixture_directory(); /* here, not in each child */
    shared_log =
        mmap(NULL, sizeof *shared_log, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared_log != MAP_FAILED);
    check_context = shared_log->point;
#ifdef RCHAN_TESTPOINTS
    rchan_testpoint_hook = kill_at;
#endif
    while (play(scene, kills + 1))
        kills++;
    check_context = NULL;
    munmap(shared_log, sizeof *shared_log);
    return kills;
}

void record_make(uint8_t *bytes, uint64_t seq)
{
    uint64_t checksum = ~seq * UINT64_C(0x9e3779b97f4a7c15);
    memcpy(bytes, &seq, 8);
    memcpy(bytes + 8, &checksum, 8);
}

int64_t record_seq(const uint8_t *bytes)
{
    uint8_t again[RECORD];
    uint64_t seq;
    memcpy(&seq, bytes, 8);
    record_make(again, seq);
    return CHECK(!memcmp(again, bytes, RECORD)) ? (int64_t)seq : -1;
}

void log_write(struct rchan_channel *channel, struct log *log, int64_t cpu)
{
    uint8_t bytes[RECORD];
    uint64_t seq = log->started++;
    record_make(bytes, seq);
    log->outcome[seq] = (uint8_t)rchan_write(channel, cpu, bytes, RECORD);
    log->done++;
}
