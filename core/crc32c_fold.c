/* CRC-32C of long data on x86-64: carry-less multiplication beside the CPU's CRC instruction.
 *
 * Each has a unit of its own, so every step of the loop gives a part of the data to both:
 *
 *     | strand 0 | strand 1 | strand 2 | folded                  | rest |
 *       crc32      crc32      crc32      pclmulqdq                 crc32
 *
 * A state is a polynomial over GF(2) modulo CRC-32C's, of 32 bits, bit 31 the coefficient of x^0;
 * n more bytes behind it multiply it by x^8n. */
#include "crc32c_fold.h"

#if defined(__x86_64__)
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#define POLYNOMIAL UINT32_C(0x82f63b78) /* bits reversed */
#define UNROLLED _Pragma("GCC unroll 4")
#define STRANDS __attribute__((target(RCHAN_SSE42 ",pclmul"), always_inline)) inline
#define NARROW __attribute__((target(RCHAN_SSE42 ",pclmul")))
#define WIDE __attribute__((target(RCHAN_SSE42 ",pclmul,avx2,vpclmulqdq")))

/* What a step takes of each strand, and of the folded part: about the same time for both units. */
enum { STEP = 48, NARROW_STEP = 64, WIDE_STEP = 128 };

static uint32_t over_words[64];             /* [k]: x^(64 * 2^k - 33), see `times` */
static uint64_t narrow_key[2], wide_key[2]; /* lead over a step */

static uint32_t power_of_x(int n)
{
    uint32_t power = UINT32_C(1) << 31;
    while (n--)
        power = power >> 1 ^ (POLYNOMIAL & -(power & 1));
    return power;
}

/* a * b * x^33: one comes from the bit order, the rest from the instruction. */
STRANDS static uint32_t times(uint32_t a, uint32_t b)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)a), _mm_cvtsi32_si128((int)b), 0);
    return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/* What becomes of a state behind so many zero words. */
STRANDS static uint32_t past_words(uint32_t crc, uint64_t count)
{
    for (const uint32_t *key = over_words; count; key++, count >>= 1)
        if (count & 1)
            crc = times(crc, *key);
    return crc;
}

/* Multiplied by it, the halves of 128 bits lie `bytes` further: x^(8 bytes) for the second, 64 bits
 * more for the first, one less for the bit order of the product. */
static void make_key(uint64_t key[2], int bytes)
{
    key[0] = (uint64_t)power_of_x(8 * bytes + 63) << 32;
    key[1] = (uint64_t)power_of_x(8 * bytes - 1) << 32;
}

NARROW void rchan_crc32c_fold_prepare(void)
{
    over_words[0] = power_of_x(64 - 33);
    for (int k = 1; k < 64; k++)
        over_words[k] = times(over_words[k - 1], over_words[k - 1]);
    make_key(narrow_key, NARROW_STEP);
    make_key(wide_key, WIDE_STEP);
}

STRANDS static uint64_t word_at(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

/* The same of each strand; plain variables, so that no optimizer keeps them in memory. */
struct strands {
    const uint8_t *at;
    size_t length; /* of each */
    uint64_t first, second, third;
};

STRANDS static void word(struct strands *s)
{
    s->first = _mm_crc32_u64(s->first, word_at(s->at));
    s->second = _mm_crc32_u64(s->second, word_at(s->at + s->length));
    s->third = _mm_crc32_u64(s->third, word_at(s->at + 2 * s->length));
    s->at += 8;
}

STRANDS static void step(struct strands *s)
{
    word(s), word(s), word(s), word(s), word(s), word(s);
    static_assert(STEP == 6 * 8, "so many words");
}

/* All of the block: the strands, then what was folded, whose sums are congruent to it. */
STRANDS static uint32_t join(const struct strands *s, size_t folded, const void *sums, size_t size)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i += 8)
        sum = _mm_crc32_u64(sum, word_at((const uint8_t *)sums + i));
    uint32_t crc = past_words((uint32_t)s->first, s->length / 8) ^ (uint32_t)s->second;
    crc = past_words(crc, s->length / 8) ^ (uint32_t)s->third;
    return past_words(crc, folded / 8) ^ (uint32_t)sum;
}

NARROW static uint32_t narrow(uint32_t crc, const uint8_t *at, size_t steps)
{
    struct strands s = {at, steps * STEP, crc, 0, 0};
    const uint8_t *from = at + 3 * s.length;
    const __m128i key = _mm_loadu_si128((const __m128i *)narrow_key);
    __m128i sums[4] = {0};
    for (size_t i = 0; i < steps; i++, from += NARROW_STEP) {
        UNROLLED for (int k = 0; k < 4; k++)
        {
            __m128i data = _mm_loadu_si128((const __m128i *)from + k);
            __m128i first = _mm_clmulepi64_si128(sums[k], key, 0x00);
            __m128i second = _mm_clmulepi64_si128(sums[k], key, 0x11);
            sums[k] = _mm_xor_si128(_mm_xor_si128(first, second), data);
        }
        step(&s);
    }
    return join(&s, steps * NARROW_STEP, sums, sizeof sums);
}

WIDE static uint32_t wide(uint32_t crc, const uint8_t *at, size_t steps)
{
    struct strands s = {at, steps * STEP, crc, 0, 0};
    const uint8_t *from = at + 3 * s.length;
    const __m256i key = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)wide_key));
    __m256i sums[4] = {0};
    for (size_t i = 0; i < steps; i++, from += WIDE_STEP) {
        UNROLLED for (int k = 0; k < 4; k++)
        {
            __m256i data = _mm256_loadu_si256((const __m256i *)from + k);
            __m256i first = _mm256_clmulepi64_epi128(sums[k], key, 0x00);
            __m256i second = _mm256_clmulepi64_epi128(sums[k], key, 0x11);
            sums[k] = _mm256_xor_si256(_mm256_xor_si256(first, second), data);
        }
        step(&s);
    }
    return join(&s, steps * WIDE_STEP, sums, sizeof sums);
}

size_t rchan_crc32c_narrow(uint32_t *crc, const uint8_t *data, size_t length)
{
    size_t steps = length / (3 * STEP + NARROW_STEP);
    *crc = narrow(*crc, data, steps);
    return steps * (3 * STEP + NARROW_STEP);
}

size_t rchan_crc32c_wide(uint32_t *crc, const uint8_t *data, size_t length)
{
    size_t steps = length / (3 * STEP + WIDE_STEP);
    *crc = wide(*crc, data, steps);
    return steps * (3 * STEP + WIDE_STEP);
}
#endif
