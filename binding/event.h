/* Events: the callable, its fields, spans. */
#ifndef RCHAN_BINDING_EVENT_H
#define RCHAN_BINDING_EVENT_H

#include "binding.h"

/* How the values of fields are stored; the numbers are rchan.events.types' too. */
enum bind_kind {
    BIND_U8,
    BIND_U16,
    BIND_U32,
    BIND_U64,
    BIND_I8,
    BIND_I16,
    BIND_I32,
    BIND_I64,
    BIND_F32,
    BIND_F64,
    BIND_BOOL,
    BIND_STRING,
    BIND_TEXT,
    BIND_BYTES,
    BIND_KINDS
};
enum { BIND_SCALAR = -1, BIND_VARIABLE = -2, BIND_MOST = 65535 };

enum bind_quick { BIND_QUICK_NOT, BIND_QUICK_NUMBER, BIND_QUICK_STRING };

struct bind_field {
    PyObject *name;   /* str */
    PyObject *labels; /* an enum's: what is given -> int; else NULL */
    int32_t count;    /* elements of an array, BIND_SCALAR or BIND_VARIABLE */
    uint32_t limit;   /* bytes of a string */
    enum bind_kind kind;
    enum bind_quick quick;
};

/* Where an event is put together: here, or if it is long, in memory of its own. */
enum { BIND_SINK_INLINE = 512 };

struct bind_sink {
    uint8_t *at, *end, *start;
    uint8_t *heap; /* NULL: `here` is enough */
    uint8_t here[BIND_SINK_INLINE];
};

static inline void bind_sink_init(struct bind_sink *sink)
{
    sink->at = sink->start = sink->here;
    sink->end = sink->here + sizeof sink->here;
    sink->heap = NULL;
}

static inline void bind_sink_free(struct bind_sink *sink)
{
    if (rchan_unlikely(sink->heap != NULL))
        PyMem_Free(sink->heap);
}

bool bind_sink_grow(struct bind_sink *sink, size_t length);

/* Room for `length` more bytes. False: MemoryError. */
static inline bool bind_sink_room(struct bind_sink *sink, size_t length)
{
    return rchan_likely((size_t)(sink->end - sink->at) >= length) || bind_sink_grow(sink, length);
}

/* In the limited API only since 3.12, but the same since 3.9. */
#ifndef Py_TPFLAGS_HAVE_VECTORCALL
#define Py_TPFLAGS_HAVE_VECTORCALL (1UL << 11)
#endif
#define BIND_ARGUMENTS_OFFSET ((size_t)1 << (8 * sizeof(size_t) - 1))
typedef PyObject *(*bind_vectorcall)(PyObject *, PyObject *const *, size_t, PyObject *);

struct bind_event {
    PyObject_HEAD struct bind_channel *channel;
    struct bind_state *state;
    bind_vectorcall vectorcall;
    PyObject *name, *source; /* source: what it was made from, for Python */
    PyObject *weakrefs;
    uint16_t id;
    uint16_t n_fields;
    struct bind_field *fields;
};

/* Store the value as the field wants it. False: an exception that names event and field. */
bool bind_encode(const struct bind_event *event, const struct bind_field *field, PyObject *value,
                 struct bind_sink *sink);
/* One value that is no array. False: an exception, or `*wrong`: its type is not the kind's. */
bool bind_encode_scalar(const struct bind_event *event, const struct bind_field *field,
                        PyObject *value, struct bind_sink *sink, bool *wrong);
/* The values of all fields from number `first` on, in order. False: an exception. */
bool bind_encode_positional(const struct bind_event *event, uint16_t first, PyObject *const *args,
                            struct bind_sink *sink);
/* Values of all fields, by position or name, in order. */
bool bind_encode_all(const struct bind_event *event, PyObject *const *args, Py_ssize_t n_args,
                     PyObject *names, struct bind_sink *sink);
/* Raise what is wrong with a value: "request(): user ...". Always false. */
bool bind_field_fail(const struct bind_event *event, const struct bind_field *field,
                     const char *error, const char *format, PyObject *value);

/* Write an event with these fields. 1, 0: dropped, -1: an exception. */
int bind_event_store(const struct bind_event *event, const uint8_t *values, size_t length);

/* Field descriptions (name, kind, limit, labels, count) into an array; NULL with an exception. */
struct bind_field *bind_fields_read(struct bind_state *state, PyObject *fields, uint16_t *count);
void bind_fields_free(struct bind_field *fields, uint16_t count);

#endif
