/* Time stamps: CLOCK_MONOTONIC in nanoseconds, the same for all processes of a machine. */
#ifndef RCHAN_CLOCK_H
#define RCHAN_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t rchan_clock_read(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static inline uint64_t rchan_now_ns(void)
{
    return rchan_clock_read(CLOCK_MONOTONIC);
}

#endif
