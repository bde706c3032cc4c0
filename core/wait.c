/* Sleep and wake on one word. */
#include "wait.h"

#include <errno.h>
#include <limits.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "testpoint.h"

/* As in <linux/futex.h>, which not every C library comes with. */
enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1 };

#define ASKED UINT64_C(0x80000000)
#define BELLS UINT64_C(0x40000000)
#define OWED UINT64_C(0x20000000)
#define SLEEPERS UINT64_C(0x1fffffff)

/* A word that never stands still (damaged memory) is left as it is: sleepers look again anyway. */
enum { TRIES = 1000 };

static inline uint32_t *epoch_half(rchan_a64 *wake)
{
    return (uint32_t *)wake + 1;
}

uint32_t rchan_sleeper_add(rchan_a64 *wake)
{
    uint32_t epoch = (uint32_t)(rchan_add(wake, 1) >> 32);
    /* On the list before the look at what there is. */
    /* sleep.fence: pairs with news.fence */
    rchan_full_fence();
    TESTPOINT("sleep: counted");
    return epoch;
}

bool rchan_sleeper_remove(rchan_a64 *wake, uint32_t epoch)
{
    for (int tries = 0; tries < TRIES; tries++) {
        uint64_t word = rchan_load(wake);
        if ((uint32_t)(word >> 32) != epoch)
            return false;
        if (!(word & SLEEPERS) || rchan_swap_word(wake, word, word - 1))
            return true;
    }
    return true;
}

int rchan_sleep(rchan_a64 *wake, uint32_t epoch, int64_t timeout_ns)
{
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    long result = syscall(SYS_futex, epoch_half(wake), FUTEX_WAIT, epoch,
                          timeout_ns < 0 ? NULL : &timeout, NULL, 0);
    return result == -1 && errno != EAGAIN ? -errno : 0;
}

void rchan_wake_note_bell(rchan_a64 *wake)
{
    rchan_set_bits(wake, BELLS);
    /* Noted before the look at what there is. */
    /* bells.fence: pairs with news.fence */
    rchan_full_fence();
}

void rchan_wake_ask(rchan_a64 *wake)
{
    rchan_set_bits(wake, ASKED);
}

/* One round: everybody who sleeps now. The word as it was left, or 0 if there was nothing to do. */
static uint64_t wake_round(rchan_a64 *wake)
{
    for (int tries = 0; tries < TRIES; tries++) {
        uint64_t word = rchan_load(wake);
        bool asleep = word & (SLEEPERS | OWED);
        uint64_t woken = ((word >> 32) + 1) << 32 | ASKED | (asleep ? OWED : 0);
        if (!(uint32_t)word)
            return 0;
        /* wake.swap: pairs with wake.epoch */
        if (!rchan_swap_word(wake, word, woken))
            continue;
        TESTPOINT("wake: swapped");
        if (asleep)
            syscall(SYS_futex, epoch_half(wake), FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
        return woken;
    }
    return 0;
}

bool rchan_wake(rchan_a64 *wake)
{
    return rchan_wake_also(wake, NULL, NULL);
}

bool rchan_wake_also(rchan_a64 *wake, bool (*also)(struct rchan_channel *),
                     struct rchan_channel *channel)
{
    /* The news (finalized, a reset) before the look at who sleeps. */
    /* news.fence: pairs with sleep.fence, bells.fence */
    rchan_full_fence();
    uint64_t left = wake_round(wake);
    if (left && also && !also(channel))
        return true;
    TESTPOINT("wake: woken");
    /* Who has come since then has seen the news. Another epoch: another waker's to clear. */
    for (int tries = 0; left && tries < TRIES; tries++) {
        uint64_t word = rchan_load(wake);
        if (word >> 32 != left >> 32 || rchan_swap_word(wake, word, word & ~(ASKED | OWED)))
            break;
    }
    return left != 0;
}
