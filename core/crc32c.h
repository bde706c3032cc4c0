/* CRC-32C (Castagnoli), as iSCSI and ext4 have it: the checksum of recorded sub-buffers. */
#ifndef RCHAN_CRC32C_H
#define RCHAN_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what `crc` is that of (0: of nothing) with `length` bytes more behind it. */
uint32_t rchan_crc32c(uint32_t crc, const void *data, size_t length);

/* The same by tables, on any machine: what the fast one is tested against. */
uint32_t rchan_crc32c_plain(uint32_t crc, const void *data, size_t length);

#endif
