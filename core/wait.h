/* Sleeping readers: one word, epoch << 32 | asked << 31 | bells << 30 | owed << 29 | sleepers.
 * docs/explanation/protocol.md, "Sleep and wake". */
#ifndef RCHAN_WAIT_H
#define RCHAN_WAIT_H

#include "handle.h"

/* Become a sleeper; returns the epoch to wait on. Then look at the condition once more. */
uint32_t rchan_sleeper_add(rchan_a64 *wake);

/* Give up (or leave after a wake-up). False: was woken meanwhile. */
bool rchan_sleeper_remove(rchan_a64 *wake, uint32_t epoch);

/* Sleep until the epoch changes. 0: it did; -ETIMEDOUT; -EINTR. timeout_ns < 0: no limit. */
int rchan_sleep(rchan_a64 *wake, uint32_t epoch, int64_t timeout_ns);

static inline uint32_t rchan_wake_epoch(rchan_a64 *wake)
{
    /* wake.epoch: pairs with wake.swap */
    return (uint32_t)(rchan_load_acquire(wake) >> 32);
}

/* Does a wake-up have anything to do? Call after a full fence that follows the news. */
static inline bool rchan_wake_wanted(rchan_a64 *wake)
{
    return (uint32_t)rchan_load(wake) != 0;
}

static inline bool rchan_wake_asked(rchan_a64 *wake)
{
    return rchan_load(wake) & UINT64_C(0x80000000);
}

/* A bell was armed: the next wake-up rings. Then look at the condition once more. */
void rchan_wake_note_bell(rchan_a64 *wake);

/* How many sleep; who was killed asleep counts until the next wake-up. */
static inline uint32_t rchan_sleepers(rchan_a64 *wake)
{
    return (uint32_t)(rchan_load(wake) & UINT64_C(0x1fffffff));
}

/* Note that sleepers are owed a wake-up (survives the death of the caller). */
void rchan_wake_ask(rchan_a64 *wake);

/* Wake all sleepers, now. True if there was anything to do. */
bool rchan_wake(rchan_a64 *wake);

/* The same; `also` wakes in another way. If it could not (false), the next waker is asked to. */
bool rchan_wake_also(rchan_a64 *wake, bool (*also)(struct rchan_channel *),
                     struct rchan_channel *channel);

#endif
