/* CRC-32C (Castagnoli), as iSCSI and ext4 have it: the checksum of recorded sub-buffers. */
#ifndef RCHAN_CRC32C_H
#define RCHAN_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The checksum of what `crc` is that of (0: of nothing) with `length` bytes more behind it. */
uint32_t rchan_crc32c(uint32_t crc, const void *data, size_t length);

/* Ways to the same result; each wants more of the CPU than the one before, and is faster. */
enum rchan_crc32c_way {
    RCHAN_CRC32C_TABLES,      /* any CPU */
    RCHAN_CRC32C_INSTRUCTION, /* SSE4.2; ARMv8 with CRC32 */
    RCHAN_CRC32C_NARROW,      /* and PCLMULQDQ, of 128 bits */
    RCHAN_CRC32C_WIDE,        /* and VPCLMULQDQ, of 256 bits */
    RCHAN_CRC32C_WAYS
};

/* Can this CPU go that way? */
bool rchan_crc32c_has(enum rchan_crc32c_way way);

/* rchan_crc32c, one way: for tests. */
uint32_t rchan_crc32c_by(enum rchan_crc32c_way way, uint32_t crc, const void *data, size_t length);

#endif
