/* The bytes that processes share: control file and buffers of a channel.
 *
 *   app.chan                                   app0, app1, ...
 *   +--------------------------+ 0             +------------------+ 0
 *   | header         (4 KiB)   |               | sub-buffer 0     |
 *   +--------------------------+ 4096          | sub-buffer 1     |
 *   | slot table     (32 KiB)  |               | ...              |
 *   +--------------------------+ 36864         | sub-buffer n - 1 |
 *   | block of buffer 0        |               | (to the page end)|
 *   |   words, 12 cache lines  |               +------------------+ alloc_size
 *   |   meta[n], 2 lines each  |
 *   +--------------------------+ + block_size
 *   | block of buffer 1 ...    |
 *   +--------------------------+ metadata_offset
 *   | schemas of events        |   (event channels; the file grows with them)
 *
 * Each sub-buffer of an event channel begins with a struct rchan_packet: docs/reference/events-format.md.
 * Zeroed memory is a valid, empty table, block and buffer. A change to any of this
 * is a new RCHAN_ABI_VERSION. docs/explanation/protocol.md says who may write which word.
 */
#ifndef RCHAN_LAYOUT_H
#define RCHAN_LAYOUT_H

#include "platform.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "atomics.h"

#define RCHAN_MAGIC UINT64_C(0x314e414843524cff) /* ff "LRCHAN1", little-endian */
#define RCHAN_ABI_VERSION 2u
#define RCHAN_BYTE_ORDER_MARK UINT32_C(0x01020304)

#define RCHAN_CACHE_LINE 64u
#define RCHAN_PAGE 4096u /* unit of the layout, whatever the machine's page is */
#define RCHAN_MAX_BUFFERS 4096u
#define RCHAN_MAX_SUBBUFS 524288u
#define RCHAN_MAX_SLOTS 4096u
#define RCHAN_MAX_BELLS 256u
#define RCHAN_BASE_MAX 250u                     /* NAME_MAX less ".chan" */
#define RCHAN_LOCK_BASE (INT64_C(1) << 40)      /* slot k locks byte LOCK_BASE + k of app.chan */
#define RCHAN_REMOVE_LOCK (RCHAN_LOCK_BASE - 1) /* whoever takes the control file's name away */
#define RCHAN_BELL_LOCK (RCHAN_LOCK_BASE - 2)   /* whoever makes a bell, or removes a dead one's */
/* of a file that a failed late setup has hidden: its maker lives */
#define RCHAN_HIDDEN_LOCK (RCHAN_LOCK_BASE - 4)
#define RCHAN_METADATA_LOCK (RCHAN_LOCK_BASE - 3) /* whoever adds to the metadata */

/* header.state. CHANGING: being created, given late files, or removed */
enum { RCHAN_CHANGING = 0, RCHAN_LIVE = 1 };
/* header.gate: what stops the writers' fast path, and when readers are woken besides at switches */
enum {
    RCHAN_GATE_DISABLED = 1,
    RCHAN_GATE_FINALIZED = 2,
    RCHAN_GATE_SHUT = RCHAN_GATE_DISABLED | RCHAN_GATE_FINALIZED,
    RCHAN_GATE_ANNOUNCE = 4, /* after `gate >> RCHAN_GATE_COUNT_SHIFT` records (or bytes) as well */
    RCHAN_GATE_NEVER = 8,    /* not even at switches */
    RCHAN_GATE_BYTES = 16,
    RCHAN_GATE_PACKETS = 32, /* an event channel, always: nobody else writes to it */
    RCHAN_GATE_SLOW_EVENT = RCHAN_GATE_SHUT | RCHAN_GATE_ANNOUNCE,
    RCHAN_GATE_SLOW = RCHAN_GATE_SLOW_EVENT | RCHAN_GATE_PACKETS,
    RCHAN_GATE_FIXED = RCHAN_GATE_SHUT | RCHAN_GATE_PACKETS, /* no part of the wake-up mode */
};
#define RCHAN_GATE_COUNT_SHIFT 8
/* header.flags */
enum { RCHAN_OVERWRITE = 1, RCHAN_PACKETS = 2 };
/* header.stamp_clock: what stamps count. The CPU's counter: TSC, or CNTVCT_EL0 */
enum { RCHAN_STAMP_NONE, RCHAN_STAMP_MONOTONIC, RCHAN_STAMP_COUNTER };
/* the owner-counted drop causes; "contended" is counted without the owner word */
enum {
    RCHAN_DROP_FULL,
    RCHAN_DROP_TOO_BIG,
    RCHAN_DROP_DISABLED,
    RCHAN_DROP_OWNED,
    RCHAN_DROP_CONTENDED = RCHAN_DROP_OWNED,
    RCHAN_DROP_CAUSES
};

/* slot word, generation << 32 | reads << 31 | pid: an attachment that has read and never written */
#define RCHAN_SLOT_READS (UINT64_C(1) << 31)

struct rchan_header {
    /* identity and geometry: written before the file has a name, then constant */
    uint64_t magic;
    uint32_t abi_version;
    uint32_t byte_order;
    uint32_t subbuf_size;
    uint32_t n_subbufs;
    uint32_t n_buffers;
    uint32_t n_slots;
    uint32_t flags;
    uint32_t owner_wait_us;
    uint64_t alloc_size; /* bytes of a buffer file */
    uint64_t block_size; /* bytes of a buffer's block */

    uint64_t created_realtime_ns;
    uint64_t created_monotonic_ns;
    uint32_t clock_id; /* of every time stamp: CLOCK_MONOTONIC */
    uint32_t creator_pid;
    uint64_t control_inode; /* of this file when it was made: another one is a copy */
    rchan_a64 changer;      /* owner value of who works on the files while state is CHANGING */
    rchan_a32 state;
    uint8_t reserved0[28];

    /* read at every write, hardly ever written */
    rchan_a32 gate;
    uint8_t reserved1[60];

    /* readers of the whole channel sleep here */
    rchan_a64 wake;
    rchan_a64 last_toobig; /* length of the last record that was too big */
    uint8_t reserved2[48];

    rchan_a64 present[RCHAN_MAX_BUFFERS / 64]; /* block allocated: may be read */
    rchan_a64 linked[RCHAN_MAX_BUFFERS / 64];  /* buffer file exists under its name */
    char base[256];                            /* the channel's name, NUL-padded */
    rchan_a32 bell_limit;                      /* bells below it may be there */
    rchan_a32 bells[RCHAN_MAX_BELLS];          /* times armed << 1 | armed */
    rchan_a32 bells_made[RCHAN_MAX_BELLS];     /* FIFOs that this bell has had */
    uint32_t stamp_clock;
    /* event channels: written before the file has a name, then constant */
    uint64_t stamp_base;      /* a stamp is the clock less this */
    uint64_t stamp_frequency; /* of the clock in Hz, as its maker measured it */
    uint64_t anchor_stamp;    /* these three are one moment */
    uint64_t anchor_monotonic_ns;
    uint64_t anchor_realtime_ns;
    uint8_t uuid[16];
    uint8_t boot_id[16]; /* the clock goes on as long as this is the machine's */
    uint64_t metadata_offset;
    rchan_a64 metadata_length; /* bytes that are there for good */
    uint8_t reserved3[416];
};

struct rchan_drop {
    rchan_a64 select; /* half [select & 1] is valid */
    rchan_a64 records[2];
    rchan_a64 bytes[2];
};

/* What has left the buffer through the reader's side, up to `tail`. */
struct rchan_account {
    rchan_a64 tail; /* valid while this equals block.tail */
    rchan_a64 consumed_records, consumed_bytes;
    rchan_a64 overwritten_records, overwritten_bytes;
    rchan_a64 discarded_records, discarded_bytes;
    rchan_a64 reserved;
};

/* One sub-buffer's facts: those that hold from its start, and those of its end. */
struct rchan_meta {
    rchan_a32 padding; /* bytes free at the end; kept until the slot's next finish */
    rchan_a32 records;
    rchan_a64 seq;           /* which sub-buffer the rest speaks of */
    rchan_a64 first_ns;      /* time of its start (of its first record, if started empty) */
    rchan_a64 last_ns;       /* time of its finish */
    rchan_a64 start_records; /* all records and bytes written before it */
    rchan_a64 start_bytes;
    rchan_a64 lost_records[RCHAN_DROP_CAUSES]; /* the drop counters at its start */
    rchan_a64 lost_bytes[RCHAN_DROP_CAUSES];
    uint8_t reserved[16];
};

/* At the start of each sub-buffer of an event channel: CTF's packet header and context. */
struct rchan_packet {
    uint32_t magic;
    uint32_t stream_id;
    uint8_t uuid[16];
    uint64_t timestamp_begin;
    uint64_t timestamp_end;
    uint64_t content_size; /* bits; 0: not finished */
    uint64_t packet_size;  /* bits */
    uint64_t packet_seq_num;
    uint64_t events_discarded; /* of this buffer, up to timestamp_end */
    uint64_t monotonic_ns;     /* at timestamp_begin */
    uint32_t cpu_id;
    uint32_t events;
};

#define RCHAN_PACKET_MAGIC UINT32_C(0xc1fc1fc1)
#define RCHAN_EVENT_HEADER 20u /* id 2, timestamp 8, cpu 2, pid 4, tid 4 */
#define RCHAN_SMALLEST_PACKET 256u
#define RCHAN_METADATA_MOST (UINT64_C(1) << 30)

struct rchan_block {
    /* line 0: the writer's, at every record */
    rchan_a64 owner;
    rchan_a64 head;
    rchan_a64 pending;
    rchan_a64 started;
    rchan_a32 begun;          /* sub-buffer 0 was started (and its header reserved) */
    rchan_a32 resetting;      /* odd: a reset is under way; counts them otherwise */
    rchan_a64 last_stamp;     /* no later event is earlier */
    rchan_a64 packets_before; /* that resets have ended, and the same after the one under way */
    rchan_a64 reset_packets;
    /* line 1: the writer's, at a switch */
    rchan_a64 total_records[2];
    rchan_a64 total_bytes[2];
    rchan_a64 early_bytes;   /* bytes finished before the buffer had a file */
    rchan_a64 reset_records; /* all written, when `resetting` was set */
    rchan_a64 reset_bytes;
    rchan_a32 finalized;
    uint32_t reserved1;
    /* lines 2 and 3: drops counted by the owner */
    struct rchan_drop dropped[RCHAN_DROP_OWNED];
    uint8_t reserved2[8];
    /* line 4: written without the owner word */
    rchan_a64 contended_records;
    rchan_a64 contended_bytes;
    rchan_a64 stalled_owner;
    rchan_a64 stalled_head;
    rchan_a64 stalled_ns;        /* since when it has not moved */
    rchan_a64 stalled_looked_ns; /* when it was last found alive */
    uint8_t reserved4[16];
    /* line 5: sleepers */
    rchan_a64 wake;
    rchan_a64 wakeups; /* switches that found a sleeper */
    rchan_a64
        unfinished_bytes; /* written, but never part of a finished sub-buffer: lost to resets */
    rchan_a64 reset_unfinished;  /* what unfinished_bytes is after the reset under way */
    rchan_a64 file_identity;     /* of the buffer's file, stored before it gets its name */
    rchan_a64 announced;         /* the `head` that readers were last woken for between switches */
    rchan_a64 announced_records; /* all written, when readers were last woken */
    rchan_a64 announced_bytes;
    /* lines 6 to 8: the reader's */
    rchan_a64 reader;
    rchan_a64 tail;
    rchan_a64 undo;   /* ~`tail` before a read whose bytes are still being handed on; 0: none */
    rchan_a64 undone; /* how often `tail` went back: the same `tail` may have another account */
    uint8_t reserved6[32];
    struct rchan_account account[2];
    uint8_t reserved7[192]; /* to line 12 */

    struct rchan_meta meta[]; /* [n_subbufs] */
};

#define RCHAN_SLOTS_OFFSET 4096u
#define RCHAN_BLOCKS_OFFSET (RCHAN_SLOTS_OFFSET + RCHAN_MAX_SLOTS * 8u)

static_assert(sizeof(struct rchan_header) == RCHAN_PAGE, "the header is one page");
static_assert(offsetof(struct rchan_header, gate) == 128, "gate has line 2");
static_assert(offsetof(struct rchan_header, bell_limit) == 1536, "bells follow the name");
static_assert(offsetof(struct rchan_header, wake) == 192, "wake has line 3");
static_assert(offsetof(struct rchan_header, present) == 256, "bitmaps from line 4");
static_assert(offsetof(struct rchan_header, stamp_base) == 3592, "event words follow the bells");
static_assert(sizeof(struct rchan_packet) == 88, "a packet's header has no holes");
static_assert(offsetof(struct rchan_block, packets_before) == 48, "line 0");
static_assert(sizeof(struct rchan_meta) == 128, "meta is two lines");
static_assert(sizeof(struct rchan_account) == 64, "an account is one line");
static_assert(offsetof(struct rchan_block, total_records) == 64, "line 1");
static_assert(offsetof(struct rchan_block, dropped) == 128, "lines 2 and 3");
static_assert(offsetof(struct rchan_block, contended_records) == 256, "line 4");
static_assert(offsetof(struct rchan_block, wake) == 320, "line 5");
static_assert(offsetof(struct rchan_block, reader) == 384, "line 6");
static_assert(offsetof(struct rchan_block, account) == 448, "lines 7 and 8");
static_assert(offsetof(struct rchan_block, meta) == 768, "meta from line 12");

#endif
