/* CRC-32C of long data by folding, on x86-64 only: crc32c.c uses it where the CPU can. */
#ifndef RCHAN_CRC32C_FOLD_H
#define RCHAN_CRC32C_FOLD_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#if defined(__clang__) && __clang_major__ >= 14 /* there, one can be had without the other */
#define RCHAN_SSE42 "sse4.2,crc32"
#else
#define RCHAN_SSE42 "sse4.2"
#endif

/* Compute the constants, once; wants SSE4.2 and PCLMULQDQ. */
void rchan_crc32c_fold_prepare(void);

/* Lead the state `*crc` over the first bytes of data, as many as go into whole steps; returns how
 * many these were. The second wants AVX2 and VPCLMULQDQ besides. */
size_t rchan_crc32c_narrow(uint32_t *crc, const uint8_t *data, size_t length);
size_t rchan_crc32c_wide(uint32_t *crc, const uint8_t *data, size_t length);
#endif

#endif
