/* CRC-32C with the CPU's instructions where it has any, by tables elsewhere. */
#include "crc32c.h"

#include <pthread.h>
#include <string.h>

#include "crc32c_fold.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#define POLYNOMIAL UINT32_C(0x82f63b78) /* bits reversed */

/* The instruction has a latency of three cycles and a throughput of one: three strands keep it
 * busy. Afterwards they are put together by `past`, which leads over LONG or SHORT zero bytes. */
enum { LONG = 4096, SHORT = 256 };

enum { FOLDED = 1024 }; /* bytes from which on folding pays */

static uint32_t bytewise[8][256]; /* [k][b]: b, followed by k zero bytes */
static uint32_t past_long[4][256], past_short[4][256];
static bool has[RCHAN_CRC32C_WAYS];
static enum rchan_crc32c_way best;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint32_t over_zeros(uint32_t crc, int count)
{
    while (count--)
        crc = crc >> 8 ^ bytewise[0][crc & 255];
    return crc;
}

/* What `count` zero bytes make of a state is linear in its bits. */
static void make_past(uint32_t past[4][256], int count)
{
    uint32_t bit[32];
    for (int i = 0; i < 32; i++)
        bit[i] = over_zeros(UINT32_C(1) << i, count);
    for (int byte = 0; byte < 4; byte++)
        for (int value = 0; value < 256; value++) {
            past[byte][value] = 0;
            for (int i = 0; i < 8; i++)
                if (value >> i & 1)
                    past[byte][value] ^= bit[8 * byte + i];
        }
}

static void find_ways(void)
{
    has[RCHAN_CRC32C_TABLES] = true;
#if defined(__x86_64__)
    bool sse = __builtin_cpu_supports("sse4.2"),
         multiplies = sse && __builtin_cpu_supports("pclmul");
    has[RCHAN_CRC32C_INSTRUCTION] = sse;
    has[RCHAN_CRC32C_NARROW] = multiplies;
    has[RCHAN_CRC32C_WIDE] =
        multiplies && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("vpclmulqdq");
    if (multiplies)
        rchan_crc32c_fold_prepare();
#elif defined(__aarch64__)
    has[RCHAN_CRC32C_INSTRUCTION] = getauxval(AT_HWCAP) & (1 << 7); /* HWCAP_CRC32 */
#endif
    for (int way = 0; way < RCHAN_CRC32C_WAYS; way++)
        if (has[way])
            best = way;
}

static void prepare(void)
{
    for (uint32_t value = 0; value < 256; value++) {
        uint32_t crc = value;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (POLYNOMIAL & -(crc & 1));
        bytewise[0][value] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (int value = 0; value < 256; value++)
            bytewise[k][value] = over_zeros(bytewise[k - 1][value], 1);
    make_past(past_long, LONG);
    make_past(past_short, SHORT);
    find_ways();
}

static uint64_t load_word(const uint8_t *from)
{
    uint64_t word;
    memcpy(&word, from, 8);
    return word;
}

static uint32_t by_tables(uint32_t crc, const uint8_t *at, size_t length)
{
    for (; length >= 8; at += 8, length -= 8) {
        uint32_t low = crc ^ (at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24);
        crc = bytewise[7][low & 255] ^ bytewise[6][low >> 8 & 255] ^ bytewise[5][low >> 16 & 255] ^
              bytewise[4][low >> 24] ^ bytewise[3][at[4]] ^ bytewise[2][at[5]] ^
              bytewise[1][at[6]] ^ bytewise[0][at[7]];
    }
    while (length--)
        crc = crc >> 8 ^ bytewise[0][(crc ^ *at++) & 255];
    return crc;
}

#if defined(__x86_64__)
#define INSTRUCTION __attribute__((target(RCHAN_SSE42)))
#define CRC_WORD(crc, word) ((uint32_t)__builtin_ia32_crc32di((crc), (word)))
#define CRC_BYTE(crc, byte) __builtin_ia32_crc32qi((crc), (byte))
#elif defined(__aarch64__)
#if defined(__clang__)
#define INSTRUCTION __attribute__((target("crc")))
#else
#define INSTRUCTION __attribute__((target("+crc")))
#endif
#define CRC_WORD(crc, word)                                                                        \
    ({                                                                                             \
        uint32_t sum;                                                                              \
        __asm__("crc32cx %w0, %w1, %x2" : "=r"(sum) : "r"(crc), "r"(word));                        \
        sum;                                                                                       \
    })
#define CRC_BYTE(crc, byte)                                                                        \
    ({                                                                                             \
        uint32_t sum;                                                                              \
        __asm__("crc32cb %w0, %w1, %w2" : "=r"(sum) : "r"(crc), "r"((uint32_t)(byte)));            \
        sum;                                                                                       \
    })
#endif

#ifdef INSTRUCTION
static uint32_t step_past(const uint32_t past[4][256], uint32_t crc)
{
    return past[0][crc & 255] ^ past[1][crc >> 8 & 255] ^ past[2][crc >> 16 & 255] ^
           past[3][crc >> 24];
}

INSTRUCTION static uint32_t three_strands(uint32_t crc, const uint8_t *at, size_t strand,
                                          const uint32_t past[4][256])
{
    uint32_t second = 0, third = 0;
    for (size_t i = 0; i < strand; i += 8) {
        crc = CRC_WORD(crc, load_word(at + i));
        second = CRC_WORD(second, load_word(at + strand + i));
        third = CRC_WORD(third, load_word(at + 2 * strand + i));
    }
    return step_past(past, step_past(past, crc) ^ second) ^ third;
}

INSTRUCTION static uint32_t by_instruction(uint32_t crc, const uint8_t *at, size_t length)
{
    for (; length >= 3 * LONG; at += 3 * LONG, length -= 3 * LONG)
        crc = three_strands(crc, at, LONG, past_long);
    for (; length >= 3 * SHORT; at += 3 * SHORT, length -= 3 * SHORT)
        crc = three_strands(crc, at, SHORT, past_short);
    for (; length >= 8; at += 8, length -= 8)
        crc = CRC_WORD(crc, load_word(at));
    while (length--)
        crc = CRC_BYTE(crc, *at++);
    return crc;
}
#endif

bool rchan_crc32c_has(enum rchan_crc32c_way way)
{
    pthread_once(&once, prepare);
    return has[way];
}

uint32_t rchan_crc32c_by(enum rchan_crc32c_way way, uint32_t crc, const void *data, size_t length)
{
    const uint8_t *at = data;
    pthread_once(&once, prepare);
    crc = ~crc;
#ifdef __x86_64__
    if (way >= RCHAN_CRC32C_NARROW && length >= FOLDED) {
        size_t done = way == RCHAN_CRC32C_WIDE ? rchan_crc32c_wide(&crc, at, length)
                                               : rchan_crc32c_narrow(&crc, at, length);
        at += done;
        length -= done;
    }
#endif
#ifdef INSTRUCTION
    if (way >= RCHAN_CRC32C_INSTRUCTION)
        return ~by_instruction(crc, at, length);
#endif
    return ~by_tables(crc, at, length);
}

uint32_t rchan_crc32c(uint32_t crc, const void *data, size_t length)
{
    pthread_once(&once, prepare);
    return rchan_crc32c_by(best, crc, data, length);
}
