/* Copying much at once. */
#ifndef RCHAN_COPY_H
#define RCHAN_COPY_H

#include <stdint.h>
#include <string.h>

/* memcpy does these with vectors, and more with `rep movs`, which takes AMD's Zen four times as long
 * where the two places differ modulo 32 (as the memory of a bytearray and a sub-buffer do). */
enum { RCHAN_COPY_PIECE = 2048, RCHAN_COPY_ALIGNED = 32 };

static inline void rchan_copy(uint8_t *to, const uint8_t *from, uint64_t length)
{
    if (((uintptr_t)to ^ (uintptr_t)from) % RCHAN_COPY_ALIGNED)
        for (; length > RCHAN_COPY_PIECE; length -= RCHAN_COPY_PIECE) {
            memcpy(to, from, RCHAN_COPY_PIECE);
            to += RCHAN_COPY_PIECE;
            from += RCHAN_COPY_PIECE;
        }
    memcpy(to, from, length);
}

#endif
