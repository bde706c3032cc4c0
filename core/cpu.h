/* The CPU that runs the caller; it may be another one a moment later. */
#ifndef RCHAN_CPU_H
#define RCHAN_CPU_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__)) &&                         \
    __has_builtin(__builtin_thread_pointer)
/* glibc 2.35 and later register a restartable sequence for each thread: the kernel keeps the CPU
 * number in it; negative: not there. Weak: older ones do not have the symbols. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

struct rchan_rseq {
    uint32_t cpu_id_start;
    uint32_t cpu_id; /* negative as an int: not registered */
};

static inline int rchan_noted_cpu(void)
{
    if (!&__rseq_size || !__rseq_size)
        return -1;
    const volatile struct rchan_rseq *area =
        (const volatile void *)((char *)__builtin_thread_pointer() + __rseq_offset);
    return (int)area->cpu_id;
}
#else
static inline int rchan_noted_cpu(void)
{
    return -1;
}
#endif

/* By a call, where it is not noted. */
static inline int rchan_asked_cpu(void)
{
    int cpu = sched_getcpu();
    return cpu < 0 ? 0 : cpu;
}

static inline int rchan_current_cpu(void)
{
    int cpu = rchan_noted_cpu();
    return cpu < 0 ? rchan_asked_cpu() : cpu;
}

#endif
