/* Copying much at once, and very little. */
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

enum { RCHAN_COPY_SHORT = 64 };

/* Two moves of `size` bytes, which may overlap: the first and the last of `length`. */
static inline void rchan_copy_ends(uint8_t *to, const uint8_t *from, uint64_t length, uint64_t size)
{
    uint8_t first[16], last[16];
    memcpy(first, from, size);
    memcpy(last, from + length - size, size);
    memcpy(to, first, size);
    memcpy(to + length - size, last, size);
}

/* At most RCHAN_COPY_SHORT bytes, without a call. */
static inline void rchan_copy_short(uint8_t *to, const uint8_t *from, uint64_t length)
{
    if (length > 32) {
        rchan_copy_ends(to, from, 32, 16);
        rchan_copy_ends(to + length - 32, from + length - 32, 32, 16);
    } else if (length >= 16) {
        rchan_copy_ends(to, from, length, 16);
    } else if (length >= 8) {
        rchan_copy_ends(to, from, length, 8);
    } else if (length >= 4) {
        rchan_copy_ends(to, from, length, 4);
    } else {
        for (uint64_t i = 0; i < length; i++)
            to[i] = from[i];
    }
}

#endif
