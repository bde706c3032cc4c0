/* Ping-pong between two processes, each asleep until the other wakes it: over a bare futex, and over
 * rchan's wake words. Prints for each line on stdin: ns a round trip, bare and rchan's. */
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "wait.h"

enum { TRIPS = 4000 };

struct side {
    rchan_a32 bare;       /* a bell that counts */
    rchan_a64 wake, news; /* the same with rchan's sleep and wake */
};

static struct side *sides;

static void bare_wait(rchan_a32 *word, uint32_t until)
{
    for (uint32_t now; (now = rchan_load_acquire(word)) != until;)
        syscall(SYS_futex, word, FUTEX_WAIT, now, NULL, NULL, 0);
}

static void bare_ring(rchan_a32 *word, uint32_t value)
{
    rchan_store_release(word, value);
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void rchan_wait(struct side *side, uint64_t until)
{
    while (rchan_load_acquire(&side->news) != until) {
        uint32_t epoch = rchan_sleeper_add(&side->wake);
        if (rchan_load_acquire(&side->news) != until)
            rchan_sleep(&side->wake, epoch, -1);
        rchan_sleeper_remove(&side->wake, epoch);
    }
}

static void rchan_ring(struct side *side, uint64_t value)
{
    rchan_store_release(&side->news, value);
    rchan_full_fence();
    if (rchan_wake_wanted(&side->wake))
        rchan_wake(&side->wake);
}

static void answer(void)
{
    for (uint64_t trip = 1;; trip++) {
        bare_wait(&sides[0].bare, (uint32_t)trip);
        bare_ring(&sides[1].bare, (uint32_t)trip);
        if (trip % TRIPS)
            continue;
        for (uint64_t other = trip - TRIPS + 1; other <= trip; other++) {
            rchan_wait(&sides[0], other);
            rchan_ring(&sides[1], other);
        }
    }
}

int main(void)
{
    char line[16];
    sides = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = sides == MAP_FAILED ? -1 : fork();
    if (child < 0)
        return 1;
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        answer();
    }
    for (uint64_t first = 1; fgets(line, sizeof line, stdin); first += TRIPS) {
        uint64_t start = rchan_now_ns();
        for (uint64_t trip = first; trip < first + TRIPS; trip++) {
            bare_ring(&sides[0].bare, (uint32_t)trip);
            bare_wait(&sides[1].bare, (uint32_t)trip);
        }
        uint64_t middle = rchan_now_ns();
        for (uint64_t trip = first; trip < first + TRIPS; trip++) {
            rchan_ring(&sides[0], trip);
            rchan_wait(&sides[1], trip);
        }
        printf("%.1f %.1f\n", (double)(middle - start) / TRIPS,
               (double)(rchan_now_ns() - middle) / TRIPS);
        fflush(stdout);
    }
    kill(child, SIGKILL);
    return 0;
}
