/* The CPU that runs the caller; it may be another one a moment later. */
#ifndef RCHAN_CPU_H
#define RCHAN_CPU_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__)) &&                         \
    __has_builtin(__builtin_thread_pointer)
/* glibc 2.35 and later register a restartable sequence for each thread: the kernel keeps the CPU
 * number in it. Reading it there saves a call. Weak: older ones do not have the symbols. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

struct rchan_rseq {
    uint32_t cpu_id_start;
    uint32_t cpu_id; /* negative as an int: not registered */
};

static inline int rchan_current_cpu(void)
{
    if (&__rseq_size && __rseq_size) {
        const volatile struct rchan_rseq *area =
            (const volatile void *)((char *)__builtin_thread_pointer() + __rseq_offset);
        int cpu = (int)area->cpu_id;
        if (cpu >= 0)
            return cpu;
    }
    return sched_getcpu();
}
#else
static inline int rchan_current_cpu(void)
{
    return sched_getcpu();
}
#endif

#endif
