/* Every shared word and every way to touch one. No other file names a memory order. */
#ifndef RCHAN_ATOMICS_H
#define RCHAN_ATOMICS_H

#include "platform.h"

#include "copy.h"
#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic(uint64_t) rchan_a64;
typedef _Atomic(uint32_t) rchan_a32;
typedef _Atomic(uint8_t *) rchan_abytes; /* process-local */

static_assert(sizeof(rchan_a64) == 8 && sizeof(rchan_a32) == 4, "atomics are plain words");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "atomics need no lock");

/* Words that one holder writes and whose order another word carries. */
#define rchan_load(word) atomic_load_explicit((word), memory_order_relaxed)
#define rchan_store(word, value) atomic_store_explicit((word), (value), memory_order_relaxed)

/* Words that publish: each user names its partner in a "Pairs with" comment. */
#define rchan_load_acquire(word) atomic_load_explicit((word), memory_order_acquire)
#define rchan_store_release(word, value)                                                           \
    atomic_store_explicit((word), (value), memory_order_release)

/* Take a word: on success everything its last holder stored before giving it back is seen. */
static inline bool rchan_take_word(rchan_a64 *word, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(word, &from, to, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* Words changed by anybody: one total order (sleep and wake need it). */
static inline bool rchan_swap_word(rchan_a64 *word, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(word, &from, to, memory_order_seq_cst,
                                                   memory_order_relaxed);
}
static inline bool rchan_swap_half(rchan_a32 *word, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong_explicit(word, &from, to, memory_order_seq_cst,
                                                   memory_order_relaxed);
}
#define rchan_add(word, value) atomic_fetch_add_explicit((word), (value), memory_order_seq_cst)
#define rchan_set_bits(word, bits) atomic_fetch_or_explicit((word), (bits), memory_order_seq_cst)
#define rchan_clear_bits(word, bits)                                                               \
    atomic_fetch_and_explicit((word), ~(bits), memory_order_seq_cst)
#define rchan_count(word, value) atomic_fetch_add_explicit((word), (value), memory_order_relaxed)

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define RCHAN_TSAN 1
#endif

/* Stores before it are seen before stores (and loads) after it: the store of `started`
 * before the bytes it speaks of; `head` before the look at `wake`. */
static inline void rchan_full_fence(void)
{
#ifdef RCHAN_TSAN
    static rchan_a64 dummy; /* ThreadSanitizer models no fences, but does model this */
    atomic_fetch_add_explicit(&dummy, 0, memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* Loads before it are done before loads after it: the bytes before the second look at `started`. */
static inline void rchan_load_fence(void)
{
#ifdef RCHAN_TSAN
    rchan_full_fence();
#else
    atomic_thread_fence(memory_order_acquire);
#endif
}

/* Copy bytes that a writer may be changing (overwrite mode): the copy is used only if a look at
 * `started` afterwards says that it did not. The one race that is meant to be. */
#ifdef RCHAN_TSAN
__attribute__((no_sanitize("thread"), noinline, unused)) static void
rchan_copy_racing(uint8_t *to, const uint8_t *from, uint64_t length)
{
    for (uint64_t i = 0; i < length; i++)
        to[i] = ((const volatile uint8_t *)from)[i];
}
#else
static inline void rchan_copy_racing(uint8_t *to, const uint8_t *from, uint64_t length)
{
    rchan_copy(to, from, length);
}
#endif

/* Stores before it are seen before stores after it: an account's or counter's last publication
 * before its other half is rewritten. */
static inline void rchan_store_fence(void)
{
#ifdef RCHAN_TSAN
    rchan_full_fence();
#else
    atomic_thread_fence(memory_order_release);
#endif
}

static inline void rchan_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#endif
}

#define rchan_likely(x) __builtin_expect(!!(x), 1)
#define rchan_unlikely(x) __builtin_expect(!!(x), 0)

#endif
