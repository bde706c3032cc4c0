/* A forked process as one of the two. */
#include "race_fork.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POINT = 64, FAILED = 64 };

void (*fork_in_parent)(const char *point);

static int said[2], answered[2]; /* child -> parent: a testpoint's name; parent -> child: go on */

void fork_stop(const char *point)
{
    char name[POINT] = {0}, byte;
    strncpy(name, point, sizeof name - 1);
    if (write(said[1], name, sizeof name) != sizeof name || read(answered[0], &byte, 1) != 1)
        _exit(BUSY);
}

/* Until the child is at its end. */
static void serve(void)
{
    char name[POINT];
    while (read(said[0], name, sizeof name) == sizeof name) {
        if (fork_in_parent)
            fork_in_parent(name);
        CHECK_EQ(write(answered[1], "", 1), 1);
    }
}

static void close_all(void)
{
    for (int i = 0; i < 2; i++) {
        if (said[i] >= 0)
            close(said[i]);
        if (answered[i] >= 0)
            close(answered[i]);
        said[i] = answered[i] = -1;
    }
}

int fork_and(int (*act)(struct party *party), struct party *party)
{
    int outer[] = {said[0], said[1], answered[0], answered[1]}, status = 0;
    REQUIRE(!pipe(said) && !pipe(answered));
    pid_t child = fork();
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        check_failures = 0;
        int outcome = act(party);
        _exit(check_failures ? FAILED : outcome);
    }
    REQUIRE(child > 0);
    close(said[1]);
    said[1] = -1;
    serve();
    REQUIRE(waitpid(child, &status, 0) == child);
    close_all();
    said[0] = outer[0], said[1] = outer[1];
    answered[0] = outer[2], answered[1] = outer[3];
    if (WIFSIGNALED(status))
        party->ledger->unseen = true;
    CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) < FAILED);
    return WIFEXITED(status) ? WEXITSTATUS(status) : NOT;
}
