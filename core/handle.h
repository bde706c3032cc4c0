/* A process's own view of a channel: what it has mapped, and the geometry it checked once.
 * Nothing in here is shared; nothing here is read again from shared memory after attach. */
#ifndef RCHAN_HANDLE_H
#define RCHAN_HANDLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "layout.h"

struct rchan_channel;

/* Who may take part beside ourselves: nobody (all zero), or the members of a group. */
struct rchan_share {
    bool shared;
    gid_t group;
};

struct rchan_cursor { /* cursor.h */
    uint64_t head;    /* after which the next record goes to */
    uint8_t *at;      /* this place (NULL: not known), */
    uint64_t room;    /* with so many bytes up to the end of its sub-buffer */
    bool full;        /* with this `head` and the next `tail`, whoever is asked: no place, then */
    uint64_t full_tail;
};

struct rchan_buffer {
    struct rchan_block *block;
    rchan_abytes data; /* NULL: not (yet) for this process's writers and readers */
    uint8_t *map;      /* the same memory, from before `data` is published */
    struct rchan_cursor cursor;
    struct rchan_channel *channel;
    uint32_t index;
    int fd;       /* of a buffer without a name, to link it later; else -1 */
    ino_t inode;  /* of its file */
    bool hidden;  /* a late setup failed: kept alive under a name of no channel */
    void *client; /* the language binding's object */
};

/* A bell's FIFO that this process has rung, open for writing; fd -1: none. */
struct rchan_kept_bell {
    int fd;
    uint32_t made; /* header->bells_made of its bell: another number, another FIFO */
};

enum { RCHAN_KEPT_BELLS = 16 };

/* Called in the process that causes them. NULL: the built-in behaviour. */
struct rchan_hooks {
    void *client;
    /* Give the buffer its file (name NULL: there is none to give; only is_global is asked).
     * 0, or a negative errno: then the buffer does not come into being. */
    int (*create_buf_file)(struct rchan_buffer *buffer, const char *file_name, bool *is_global);
    void (*remove_buf_file)(struct rchan_buffer *buffer, const char *file_name);
    /* May sub-buffer `subbuf` begin? prev < 0: there is none. Owner word held. */
    bool (*subbuf_start)(struct rchan_buffer *buffer, uint32_t subbuf, int64_t prev,
                         uint32_t prev_padding);
    /* Told after the owner word was given back. */
    void (*deliver)(struct rchan_buffer *buffer, uint32_t subbuf);
    void (*buf_full)(struct rchan_buffer *buffer, uint32_t subbuf);
    void (*after)(struct rchan_channel *channel); /* end of an operation that ran hooks */
    /* Let other threads run for about a scheduler's slice (drop an interpreter lock, yield). */
    void (*yield)(struct rchan_channel *channel);
};

struct rchan_channel {
    /* what every write reads */
    struct rchan_header *header;
    struct rchan_buffer *buffers; /* [n_buffers] */
    rchan_a32 writes, reads;      /* has it, since the last fork? */
    rchan_a64 owner_value;        /* generation << 32 | slot + 1; 0: no slot (a fork went wrong) */
    uint64_t offset_mask;         /* (1 << shift) - 1 */
    uint64_t full;                /* offset that means FULL: subbuf_size + 1 */
    uint32_t subbuf_size;
    uint32_t n_subbufs;
    uint32_t n_buffers;
    uint32_t shift;
    uint32_t flags;
    uint32_t packet_header; /* bytes at the start of each sub-buffer; 0: no event channel */
    uint32_t stamp_clock;
    uint64_t stamp_base;
    /* the rest */
    uint32_t owner_wait_us;
    uint32_t fork_count; /* forks since the attachment was made; a reservation keeps its own */
    bool creator;        /* this handle made the channel, in this very process */
    bool closed;
    bool defer_wakeups; /* tests: rchan_run_wakeups() does them */
    bool named;
    bool copied;     /* the files are copies: inode numbers say nothing */
    bool hidden;     /* the control file, like buffers' */
    bool cut;        /* it was found too short */
    _Atomic(int) fd; /* control file; carries the slot's lock. Others: rchan_control_fd() */
    dev_t control_dev;
    ino_t control_ino;
    void *lock_page; /* keeps the lock if the descriptor is closed by others; NULL: none */
    mode_t mode;
    struct rchan_share share;
    uint64_t alloc_size;
    uint64_t block_size;
    uint64_t map_size;
    struct rchan_hooks hooks;
    char *hidden_directory; /* where files of a failed late setup are kept; NULL: none */
    char *directory;        /* absolute path; checked by device and inode when opened again */
    dev_t directory_dev;
    ino_t directory_ino;
    char base[256]; /* "" while buffer-only */
    pthread_mutex_t
        making; /* buffers come into being one at a time; only ever tried, never waited for */
    pthread_mutex_t ringing;   /* guards kept_bells; only ever tried, too */
    pthread_mutex_t appending; /* to the metadata; only ever tried */
    struct rchan_kept_bell kept_bells[RCHAN_KEPT_BELLS]; /* of bells 0, 1, ... */
    uint64_t make_again_ns;                              /* after a failure: not before then */
    struct rchan_channel *next, **prev_next;             /* list of attachments, for fork */
};

/* Where a core function failed and why, in words for the user. */
enum rchan_failure {
    RCHAN_FAIL_NONE,
    RCHAN_FAIL_OS, /* errno */
    RCHAN_FAIL_EXISTS,
    RCHAN_FAIL_NOT_FOUND,
    RCHAN_FAIL_CORRUPT,
    RCHAN_FAIL_INCOMPATIBLE,
    RCHAN_FAIL_PERMISSION,
    RCHAN_FAIL_NO_SPACE,
    RCHAN_FAIL_GEOMETRY,
    RCHAN_FAIL_NAME,
    RCHAN_FAIL_BUSY,
    RCHAN_FAIL_CALLBACK,
    RCHAN_FAIL_UNSUPPORTED,
    RCHAN_FAIL_NO_BUFFER,
};

struct rchan_error {
    enum rchan_failure failure;
    int os_errno;
    char message[768];
};

/* What became of a record: stored, dropped and counted, or neither. */
enum rchan_outcome {
    RCHAN_STORED,
    RCHAN_DROPPED_FULL,
    RCHAN_DROPPED_TOO_BIG,
    RCHAN_DROPPED_DISABLED,
    RCHAN_DROPPED_CONTENDED,
    RCHAN_NOT_PLAIN, /* a record for an event channel, or the reverse: nothing was done */
    RCHAN_CORRUPT,   /* the mapping holds impossible values: nothing was done */
};

static inline uint64_t rchan_head_produced(const struct rchan_channel *channel, uint64_t word)
{
    return word >> channel->shift;
}

static inline uint64_t rchan_head_offset(const struct rchan_channel *channel, uint64_t word)
{
    return word & channel->offset_mask;
}

static inline uint64_t rchan_head_word(const struct rchan_channel *channel, uint64_t count,
                                       uint64_t offset)
{
    return count << channel->shift | offset;
}

#endif
