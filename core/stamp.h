/* Stamps of events: what the channel's clock counts, less its base. docs/reference/events-format.md, "Clock". */
#ifndef RCHAN_STAMP_H
#define RCHAN_STAMP_H

#include "clock.h"
#include "handle.h"

/* The CPU's own counter; 0 where there is none that user space may read. */
static inline uint64_t rchan_counter(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t count;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
#else
    return 0;
#endif
}

static inline uint64_t rchan_stamp_now(const struct rchan_channel *channel)
{
    uint64_t now = channel->stamp_clock == RCHAN_STAMP_COUNTER ? rchan_counter() : rchan_now_ns();
    return now - channel->stamp_base;
}

/* Owner word held: never less than the one before in this buffer. (A counter that began anew while
 * the machine was suspended gives a difference below 0, not a stamp from the far future.) */
static inline uint64_t rchan_stamp(struct rchan_buffer *buffer)
{
    uint64_t now = rchan_stamp_now(buffer->channel);
    uint64_t last = rchan_load(&buffer->block->last_stamp);
    if ((int64_t)(now - last) < 0)
        now = last;
    rchan_store(&buffer->block->last_stamp, now);
    return now;
}

/* One moment in three clocks, as near to each other as some attempts could bring them. */
struct rchan_moment {
    uint64_t counter, monotonic_ns, realtime_ns;
};
struct rchan_moment rchan_moment_now(void);

/* A new event channel's identity, clock and first anchor, into its header and handle. */
void rchan_stamp_start(struct rchan_channel *channel, uint64_t frequency);
/* The machine's boot, 16 bytes; zeros if it does not say. */
void rchan_boot_id(uint8_t id[16]);

#endif
