/* A recorded stream: finished sub-buffers one behind the other in a file, and an index of them.
 * docs/reference/recording-format.md describes both files. Nothing here is shared memory. */
#ifndef RCHAN_STREAM_H
#define RCHAN_STREAM_H

#include "consume.h"

#define RCHAN_ENTRY_SIZE 176u
enum { RCHAN_ENTRY_CHECKED = 1 }; /* entry.flags: data_crc says something */

/* One sub-buffer's line in the index. Little-endian; entry_crc is of everything before it. */
struct rchan_entry {
    uint64_t seq, offset, length, stored, skipped, records, before_records, first_ns, last_ns;
    uint64_t overwritten_records, overwritten_bytes;
    uint64_t lost_records[RCHAN_DROP_CAUSES], lost_bytes[RCHAN_DROP_CAUSES];
    uint32_t resets, buffer, source, flags, data_crc, entry_crc;
};
static_assert(sizeof(struct rchan_entry) == RCHAN_ENTRY_SIZE, "an entry has no holes");

/* Why a drain ended. */
enum rchan_drained {
    RCHAN_DRAINED_EMPTY,   /* there is nothing finished (any more) */
    RCHAN_DRAINED_LIMIT,   /* as many as were asked for */
    RCHAN_DRAINED_FULL,    /* the next one belongs into another file */
    RCHAN_DRAINED_BUSY,    /* another reader holds the buffer */
    RCHAN_DRAINED_CORRUPT, /* the channel's memory is damaged */
    RCHAN_DRAINED_DATA,    /* the data cannot be written: os_errno */
    RCHAN_DRAINED_INDEX,   /* the index cannot be written: os_errno */
};

enum { RCHAN_AHEAD = 8 }; /* sub-buffers written with one system call, at most */

struct rchan_stream {
    int data_fd, index_fd;
    uint64_t offset;       /* of the next sub-buffer in the file */
    uint64_t start;        /* of the first: what lies before it is none, and makes no file full */
    uint64_t index_offset; /* of the next entry */
    uint64_t allocated;    /* the file has room up to here */
    uint64_t allocate;     /* room taken at a time, in bytes, at most; 0: none */
    uint64_t limit;        /* a sub-buffer that would end beyond it is not for this file; 0: none */
    uint64_t stride;       /* every sub-buffer takes so many bytes (its padding, too); 0: its own */
    bool checked;          /* checksums of the data */
    bool any;              /* something was recorded before: */
    uint32_t last_resets;  /* resets of the buffer at that time, */
    uint64_t last_seq;     /* and its number: it and older ones are not recorded again */
    uint64_t subbufs, records, bytes; /* recorded through this stream */
    struct rchan_entry last;          /* the newest of those */
    int os_errno;
    /* In the file behind the newest already, but not in the index: the next ones, as they were. */
    struct rchan_ahead {
        unsigned count;
        uint32_t resets;
        uint64_t seq; /* of the first of them */
        uint64_t length[RCHAN_AHEAD];
    } ahead;
};

/* Record finished sub-buffers of `buffer`, at most `most`, none that is older than or as old as the
 * last. One is given back only after its bytes and its entry were handed to the kernel; if either
 * fails it is put down, and the stream is as before. */
enum rchan_drained rchan_stream_drain(struct rchan_stream *stream, struct rchan_buffer *buffer,
                                      uint64_t most);

#endif
