/* What describes the events of a channel: bytes at the end of the control file that only grow. */
#ifndef RCHAN_METADATA_H
#define RCHAN_METADATA_H

#include "handle.h"

/* Bytes that are there for good. -EBADMSG: impossible. */
int64_t rchan_metadata_length(const struct rchan_channel *channel);
/* Exactly `length` bytes from `offset` on, below rchan_metadata_length. 0, -EBADMSG, -errno. */
int rchan_metadata_read(struct rchan_channel *channel, uint64_t offset, void *to, uint64_t length);
/* Add bytes, all or none, if it is `expected` bytes long. 0; -EAGAIN: it is longer by now; -EBUSY:
 * somebody adds to it for longer than wait_ms; -EFBIG; -EBADMSG; -ENOSPC or another -errno. */
int rchan_metadata_append(struct rchan_channel *channel, uint64_t expected, const void *bytes,
                          uint64_t length, uint32_t wait_ms);

#endif
