/* Sleep and wake: nothing is lost between the look and the sleep. */
#include "wait.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"

#define ASKED UINT64_C(0x80000000)
#define OWED UINT64_C(0x20000000)

static uint32_t sleepers(rchan_a64 *wake)
{
    return (uint32_t)(rchan_load(wake) & ~ASKED);
}

TEST(a_sleeper_that_gives_up_leaves_nothing)
{
    rchan_a64 wake = 0;
    uint32_t epoch = rchan_sleeper_add(&wake);
    CHECK_EQ(epoch, 0);
    CHECK(rchan_wake_wanted(&wake));
    CHECK_EQ(sleepers(&wake), 1);
    CHECK(rchan_sleeper_remove(&wake, epoch));
    CHECK(!rchan_wake_wanted(&wake));
    CHECK(!rchan_wake(&wake));
    CHECK_EQ(rchan_wake_epoch(&wake), 0);
}

TEST(a_wakeup_forgets_all_sleepers_and_turns_the_epoch)
{
    rchan_a64 wake = 0;
    uint32_t first = rchan_sleeper_add(&wake), second = rchan_sleeper_add(&wake);
    CHECK_EQ(first, second);
    CHECK_EQ(sleepers(&wake), 2);
    CHECK(rchan_wake(&wake));
    CHECK_EQ(rchan_wake_epoch(&wake), first + 1);
    CHECK_EQ(rchan_load(&wake) & UINT32_MAX, 0);
    CHECK(!rchan_sleeper_remove(&wake, first));
    CHECK_EQ(sleepers(&wake), 0);
}

TEST(who_came_after_the_wakeup_is_not_taken_off_by_an_earlier_one)
{
    rchan_a64 wake = 0;
    uint32_t early = rchan_sleeper_add(&wake);
    rchan_wake(&wake);
    uint32_t late = rchan_sleeper_add(&wake);
    CHECK(!rchan_sleeper_remove(&wake, early));
    CHECK_EQ(sleepers(&wake), 1);
    CHECK(rchan_sleeper_remove(&wake, late));
}

TEST(the_epoch_wraps)
{
    rchan_a64 wake = (uint64_t)UINT32_MAX << 32;
    uint32_t epoch = rchan_sleeper_add(&wake);
    CHECK_EQ(epoch, UINT32_MAX);
    CHECK(rchan_wake(&wake));
    CHECK_EQ(rchan_wake_epoch(&wake), 0);
    CHECK_EQ(rchan_sleep(&wake, epoch, -1), 0);
}

TEST(sleep_ends_at_its_time)
{
    rchan_a64 wake = 0;
    uint32_t epoch = rchan_sleeper_add(&wake);
    uint64_t start = rchan_now_ns();
    CHECK_EQ(rchan_sleep(&wake, epoch, 3000000), -ETIMEDOUT);
    CHECK(rchan_now_ns() - start >= 3000000);
    CHECK(rchan_sleeper_remove(&wake, epoch));
}

TEST(sleep_on_an_old_epoch_returns_at_once)
{
    rchan_a64 wake = 0;
    uint32_t epoch = rchan_sleeper_add(&wake);
    rchan_wake(&wake);
    CHECK_EQ(rchan_sleep(&wake, epoch, -1), 0);
}

TEST(what_was_asked_for_is_done_by_whoever_comes_next)
{
    rchan_a64 wake = 0;
    CHECK(!rchan_wake_asked(&wake));
    rchan_wake_ask(&wake);
    CHECK(rchan_wake_asked(&wake));
    CHECK(rchan_wake_wanted(&wake));
    CHECK(rchan_wake(&wake));
    CHECK(!rchan_wake_asked(&wake));
    CHECK(!rchan_wake(&wake));
}

struct waiter {
    rchan_a64 *wake;
    int result;
};

static void *sleep_until_woken(void *argument)
{
    struct waiter *waiter = argument;
    uint32_t epoch = rchan_sleeper_add(waiter->wake);
    do
        waiter->result = rchan_sleep(waiter->wake, epoch, -1);
    while (waiter->result == -EINTR);
    rchan_sleeper_remove(waiter->wake, epoch);
    return NULL;
}

TEST(one_wakeup_wakes_everybody)
{
    enum { N = 4 };
    rchan_a64 wake = 0;
    pthread_t threads[N];
    struct waiter waiters[N];
    for (int i = 0; i < N; i++) {
        waiters[i] = (struct waiter){.wake = &wake, .result = 1};
        REQUIRE(!pthread_create(&threads[i], NULL, sleep_until_woken, &waiters[i]));
    }
    while (sleepers(&wake) != N)
        sched_yield();
    CHECK(rchan_wake(&wake));
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        CHECK_EQ(waiters[i].result, 0);
    }
    CHECK_EQ(sleepers(&wake), 0);
}

/* A reader that sleeps before every item, and a writer that wakes only if somebody sleeps. */
enum { ITEMS = 20000 };

struct exchange {
    rchan_a64 wake, items, taken;
};

static void *take_items(void *argument)
{
    struct exchange *exchange = argument;
    uint64_t taken = 0;
    while (taken < ITEMS) {
        uint32_t epoch = rchan_sleeper_add(&exchange->wake);
        if (rchan_load_acquire(&exchange->items) == taken)
            rchan_sleep(&exchange->wake, epoch, -1);
        rchan_sleeper_remove(&exchange->wake, epoch);
        taken = rchan_load_acquire(&exchange->items);
        rchan_store_release(&exchange->taken, taken);
    }
    return NULL;
}

TEST(no_wakeup_is_lost)
{
    struct exchange exchange = {0};
    pthread_t reader;
    REQUIRE(!pthread_create(&reader, NULL, take_items, &exchange));
    for (uint64_t item = 1; item <= ITEMS; item++) {
        rchan_store_release(&exchange.items, item);
        rchan_full_fence();
        if (rchan_wake_wanted(&exchange.wake))
            rchan_wake(&exchange.wake);
        /* Every other time the reader is let run dry, so that it really sleeps. */
        while (item % 2 && rchan_load_acquire(&exchange.taken) < item)
            sched_yield();
    }
    pthread_join(reader, NULL);
    CHECK_EQ(rchan_load(&exchange.taken), ITEMS);
}

TEST(a_wakeup_crosses_processes)
{
    rchan_a64 *wake =
        mmap(NULL, sizeof *wake, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(wake != MAP_FAILED);
    pid_t child = fork();
    if (!child) {
        uint32_t epoch = rchan_sleeper_add(wake);
        _exit(rchan_sleep(wake, epoch, -1) ? 1 : 0);
    }
    while (sleepers(wake) != 1)
        sched_yield();
    CHECK(rchan_wake(wake));
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    munmap(wake, sizeof *wake);
}

static bool is_asleep(pid_t process)
{
    char path[40], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    FILE *stat = fopen(path, "r");
    REQUIRE(stat && fscanf(stat, "%*d (%*[^)]) %c", &state) == 1);
    fclose(stat);
    return state == 'S';
}

/* Who took the sleepers off was killed before he woke them: nobody is counted, but it is noted. */
TEST(sleepers_that_a_killed_waker_took_off_are_woken_by_the_next)
{
    rchan_a64 *wake =
        mmap(NULL, sizeof *wake, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(wake != MAP_FAILED);
    pid_t child = fork();
    if (!child) {
        uint32_t epoch = rchan_sleeper_add(wake);
        _exit(rchan_sleep(wake, epoch, -1) ? 1 : 0);
    }
    while (sleepers(wake) != 1 || !is_asleep(child))
        sched_yield();
    rchan_store(wake, UINT64_C(1) << 32 | ASKED | OWED);
    CHECK(rchan_wake(wake));
    CHECK_EQ((uint32_t)rchan_load(wake), 0);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    munmap(wake, sizeof *wake);
}

TEST(a_noted_bell_is_no_sleeper)
{
    rchan_a64 wake = 0;
    rchan_wake_note_bell(&wake);
    rchan_wake_note_bell(&wake);
    uint32_t epoch = rchan_sleeper_add(&wake);
    CHECK(rchan_sleeper_remove(&wake, epoch));
    CHECK(rchan_wake_wanted(&wake) && !rchan_wake_asked(&wake));
    CHECK(rchan_wake(&wake));
    CHECK_EQ(rchan_load(&wake), UINT64_C(1) << 32);
}

TEST(a_dead_sleeper_costs_one_wakeup)
{
    rchan_a64 *wake =
        mmap(NULL, sizeof *wake, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(wake != MAP_FAILED);
    pid_t child = fork();
    if (!child) {
        rchan_sleep(wake, rchan_sleeper_add(wake), -1);
        _exit(0);
    }
    while (sleepers(wake) != 1)
        sched_yield();
    kill(child, SIGKILL);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    CHECK(rchan_wake_wanted(wake));
    CHECK(rchan_wake(wake));
    CHECK(!rchan_wake_wanted(wake));
    munmap(wake, sizeof *wake);
}
