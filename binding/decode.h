/* Decoding: packets of several streams, merged by time, into columns or Python objects. */
#ifndef RCHAN_BINDING_DECODE_H
#define RCHAN_BINDING_DECODE_H

#include "event.h"

/* What is wrong with a packet or an event; the names are in decode.c. */
enum decode_cause {
    DECODE_SHORT,     /* a packet that is shorter than its header */
    DECODE_MAGIC,     /* does not begin like a packet */
    DECODE_ORDER,     /* the other byte order */
    DECODE_UUID,      /* of another trace */
    DECODE_SIZE,      /* sizes that cannot be */
    DECODE_TIME,      /* ends before it begins */
    DECODE_TRUNCATED, /* cut off: what is there is read */
    DECODE_COUNT,     /* holds another number of events than it says */
    DECODE_ID,        /* an event type that nobody described */
    DECODE_CUT,       /* an event that is longer than the rest of its packet */
    DECODE_STAMP,     /* an event earlier than the one before it, or outside its packet */
    DECODE_TEXT,      /* a string that is no UTF-8: read with replacement characters */
    DECODE_CAUSES
};

/* Bytes of one column as they are put together. */
struct decode_column {
    uint8_t *data; /* NULL: none yet */
    size_t used, room;
};

struct decode_field {
    PyObject *name;
    PyObject *labels; /* an enum's: int -> label; else NULL */
    enum bind_kind kind;
    int32_t count; /* elements of an array, BIND_SCALAR or BIND_VARIABLE */
    uint64_t elements;
    struct decode_column values, offsets, lists;
};

struct decode_type {
    PyObject *name;
    bool wanted;
    uint16_t n_fields;
    uint32_t fixed; /* bytes of its fields if they are always as many; else UINT32_MAX */
    struct decode_field *fields;
    uint64_t rows;
    struct decode_column time, cpu, pid, tid;
};

struct decode_packet {
    struct decode_packet *next;
    uint64_t begin, end; /* stamps */
    uint64_t sequence, discarded;
    size_t length, room; /* of the content; of `data` */
    uint32_t events;
    bool finished, truncated;
    uint8_t data[];
};

struct decode_stream {
    uint32_t id;
    bool open;                          /* more packets may come */
    bool begun;                         /* it had a packet */
    struct decode_packet *first, *last; /* queue; `first` is being read */
    const uint8_t *at, *end;            /* the next event of `first`, and where its content ends */
    const uint8_t *after;               /* where the next event ends */
    uint16_t type;                      /* of the next event */
    uint64_t stamp;                     /* of the next event; without one: no later one is before */
    uint64_t read;                      /* events of `first` so far, also bad ones */
    uint64_t sequence, discarded;       /* of the packet before */
};

struct decode_clock {
    uint64_t anchor, frequency;
    int64_t realtime_ns;
    uint64_t factor; /* 2^64 * 10^9 / frequency; 0: too big for that */
};

struct bind_decoder {
    PyObject_HEAD struct bind_state *state;
    PyObject *weakrefs;
    bool busy;
    struct decode_clock clock;
    uint8_t uuid[16];
    struct decode_type *types;
    uint32_t n_types, room_types;
    struct decode_stream **streams; /* all, in the order of their ids */
    uint32_t n_streams, room_streams;
    struct decode_packet *spare; /* memory of packets that were read, for the next ones */
    uint32_t n_spare;
    struct decode_stream **heap; /* those with a next event, the earliest first */
    uint32_t n_heap;
    uint64_t newest; /* stamp, of what was given out */
    size_t longest;  /* bytes in the fullest column: offsets are 32 bits wide */
    uint64_t damage[DECODE_CAUSES];
    uint64_t events, packets, late;
    uint64_t skipped_events, skipped_bytes, discarded_events, missing_packets;
};

/* Memory of a column that was taken: decode_columns.c. */
int decode_block_ready(PyObject *module, struct bind_state *state);

/* ---- packets and streams: decode_packet.c ---- */

/* Queue a copy of a packet. False: MemoryError. */
bool decode_feed(struct bind_decoder *self, uint32_t stream, const uint8_t *data, size_t length,
                 bool finished);
/* The stream, made if it is not there. NULL: MemoryError. */
struct decode_stream *decode_stream_of(struct bind_decoder *self, uint32_t id);
/* Go to the stream's next good event, over packets. False: there is none now. */
bool decode_advance(struct bind_decoder *self, struct decode_stream *stream);
void decode_stream_free(struct decode_stream *stream);

/* ---- fields ---- */

extern const uint8_t decode_sizes[BIND_KINDS];

static inline uint16_t decode_u16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t decode_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t decode_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* Offsets in an event. */
enum { DECODE_ID_AT = 0, DECODE_STAMP_AT = 2, DECODE_CPU_AT = 10, DECODE_PID_AT = 12 };
enum { DECODE_TID_AT = 16, DECODE_FIELDS_AT = 20 };

/* Where the fields at `at` end; NULL: behind `end`. */
const uint8_t *decode_measure(const struct decode_type *type, const uint8_t *at,
                              const uint8_t *end);
bool decode_is_utf8(const uint8_t *at, size_t length);
/* Nanoseconds since 1970. */
int64_t decode_realtime(const struct decode_clock *clock, uint64_t stamp);

/* ---- what comes out ---- */

/* Append the event to its type's columns. False: an exception; all columns are useless then. */
bool decode_to_columns(struct bind_decoder *self, struct decode_type *type, const uint8_t *event);
/* (rows, buffers) of the columns, which are empty then. */
PyObject *decode_take_columns(struct bind_decoder *self, struct decode_type *type);
void decode_drop_columns(struct decode_type *type);
/* (name, ns since 1970, cpu, pid, tid, fields) */
PyObject *decode_to_row(struct bind_decoder *self, const struct decode_type *type,
                        const uint8_t *event);

#endif
