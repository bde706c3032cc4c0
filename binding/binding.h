/* The CPython binding converts, calls, raises. What its files share. Limited API of 3.11. */
#ifndef RCHAN_BINDING_H
#define RCHAN_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include "../core/books.h"
#include "../core/buffer.h"
#include "../core/channel.h"
#include "../core/consume.h"
#include "../core/owner.h"
#include "../core/wait.h"

#define OBJECT(pointer) ((PyObject *)(pointer))

/* ---- the module: one state per interpreter ---- */

struct bind_reservation;

struct bind_state {
    PyObject *errors; /* the module rchan.errors; NULL before set_errors */
    PyTypeObject *attachment, *bell, *books, *buffer, *channel, *hold, *memory, *polls,
        *reservation, *stream, *subbuf;
    PyTypeObject *arena, *block, *copy, *decoder, *tap, *event, *span, *spans;
    struct bind_reservation *spare; /* memory of a dead one: reserve() allocates nothing */
    rchan_abytes spare_arena;       /* a dead arena's pages; its length is in the first word */
};

/* Where bytes objects keep their data, from the start of the object. */
extern Py_ssize_t bind_bytes_offset;

/* Each makes a type and stores it in the state. 0, or -1 with an exception. */
int bind_arena_ready(PyObject *module, struct bind_state *state);
int bind_attachment_ready(PyObject *module, struct bind_state *state);
int bind_bell_ready(PyObject *module, struct bind_state *state);
int bind_books_ready(PyObject *module, struct bind_state *state);
int bind_buffer_ready(PyObject *module, struct bind_state *state);
int bind_channel_ready(PyObject *module, struct bind_state *state);
int bind_copy_ready(PyObject *module, struct bind_state *state);
int bind_decoder_ready(PyObject *module, struct bind_state *state);
int bind_event_ready(PyObject *module, struct bind_state *state);
int bind_event_span_ready(PyObject *module, struct bind_state *state);
int bind_hold_ready(PyObject *module, struct bind_state *state);
int bind_memory_ready(PyObject *module, struct bind_state *state);
int bind_polls_ready(PyObject *module, struct bind_state *state);
int bind_reservation_ready(PyObject *module, struct bind_state *state);
int bind_stream_ready(PyObject *module, struct bind_state *state);
int bind_subbuf_ready(PyObject *module, struct bind_state *state);
int bind_tap_ready(PyObject *module, struct bind_state *state);
/* The type of a spec, added to the module under `name` unless that is NULL. */
PyTypeObject *bind_type(PyObject *module, PyType_Spec *spec, const char *name);

void bind_reservation_free_spare(struct bind_state *state);
void bind_arena_free_spare(struct bind_state *state);

/* A zeroed, tracked object of a heap type, and its end. */
void *bind_alloc(PyTypeObject *type);
void bind_free(void *object);

/* ---- errors ---- */

/* Raise rchan.errors.<name>; `number` is the errno if the class is an OSError. Always NULL. */
PyObject *bind_raise(struct bind_state *state, const char *name, int number, const char *format,
                     ...);
/* Raise what a core call reported; `raised` (stolen, may be NULL): what create_buf_file raised. */
PyObject *bind_raise_core(struct bind_state *state, const struct rchan_error *error,
                          PyObject *raised);
/* Raise what forbids a write; false: nothing does, it was stored or dropped. */
bool bind_refused(struct bind_state *state, enum rchan_outcome outcome);
/* Raise what a core call returned (-errno) about one buffer. */
PyObject *bind_raise_result(struct bind_state *state, int64_t result, uint32_t index);
/* Take the pending exception: a normalized instance with its traceback. */
PyObject *bind_take_exception(void);

/* ---- arguments: false (or NULL) with an exception of our hierarchy ---- */

PyObject *bind_wrong_type(struct bind_state *state, const char *what, const char *wanted,
                          PyObject *got);
/* Positional and named arguments into values[max]; NULL where absent. */
bool bind_parse(const char *function, const char *const *names, Py_ssize_t required, Py_ssize_t max,
                PyObject *const *args, Py_ssize_t n_args, PyObject *given, PyObject **values);
bool bind_get_u64(struct bind_state *state, PyObject *from, const char *what, uint64_t *to);
/* NULL or None: shared with nobody. */
bool bind_get_group(struct bind_state *state, PyObject *from, struct rchan_share *share);
/* More than there can be is the most there can be. */
bool bind_get_length(struct bind_state *state, PyObject *from, const char *what, Py_ssize_t *to);
/* None or NULL: -1. */
bool bind_get_cpu(struct bind_state *state, PyObject *from, int64_t *cpu);
/* None or NULL: -1, no limit. */
bool bind_get_timeout(struct bind_state *state, PyObject *from, int64_t *nanoseconds);
/* A new bytes object in the file system's encoding; failures name `what`. */
PyObject *bind_get_path(struct bind_state *state, PyObject *from, const char *what);
bool bind_get_view(struct bind_state *state, PyObject *from, int flags, Py_buffer *view);

/* ---- objects ---- */

enum bind_hook {
    BIND_CREATE_BUF_FILE,
    BIND_REMOVE_BUF_FILE,
    BIND_SUBBUF_START,
    BIND_DELIVER,
    BIND_BUF_FULL,
    BIND_HOOKS
};

/* Owns the core's handle: what a Channel and its Buffers hold in common. */
struct bind_attachment {
    PyObject_HEAD struct rchan_channel *core; /* NULL while it is being made, or if that failed */
    struct bind_state *state;
    struct bind_channel *owner;  /* borrowed; NULL once the Channel is closed or gone */
    bool complete;               /* its coming into being cannot fail any more */
    PyObject *hooks[BIND_HOOKS]; /* callables, or NULL */
    PyObject *kept;              /* list of (exception, callable) still to be reported, or NULL */
    PyObject *weakrefs;
};

/* One object per buffer and attachment: core->client points back to it. */
struct bind_buffer {
    PyObject_HEAD struct rchan_buffer *core; /* NULL: its channel never came into being */
    struct bind_attachment *attachment;
    bool creating; /* create_buf_file runs: it may be undone */
    PyObject *weakrefs;
};

struct bind_channel {
    PyObject_HEAD struct rchan_channel *open; /* NULL once closed */
    uint32_t inside;                          /* calls into the core that are running */
    uint32_t open_slots;                      /* reservations not yet committed or aborted ... */
    uint32_t slots_fork;                      /* ... since this fork */
    bool closed, detached;                    /* to be let go of when nobody is inside */
    struct bind_attachment *attachment;
    struct bind_buffer **buffers; /* [n_buffers]; NULL: no object made */
    uint32_t n_buffers;
    struct bind_state *state;
    PyObject *weakrefs;
};

/* `core->client`, or a new Buffer that the attachment's open Channel keeps. New reference. */
struct bind_buffer *bind_buffer_of(struct bind_attachment *attachment, struct rchan_buffer *core);
/* Its memory is mapped: the core's buffer; else NULL and ChannelClosed. */
struct rchan_buffer *bind_buffer_mapped(struct bind_buffer *buffer);
/* A memoryview over part of a buffer's memory, which it keeps mapped. */
PyObject *bind_memory_view(struct bind_buffer *buffer, uint64_t offset, uint64_t length,
                           bool readonly);

/* Somebody reads through this handle: it is no producer's, unless it writes. */
static inline void bind_reads(struct rchan_channel *core)
{
    if (rchan_unlikely(!rchan_load(&core->reads)))
        rchan_note_reading(core);
}

/* crc32c(data, crc=0) */
PyObject *bind_crc32c(PyObject *module, PyObject *const *args, Py_ssize_t n_args);
PyObject *bind_books_new(struct bind_state *state, const struct rchan_books *books);
/* ((records, bytes), …), one for each of `count` causes. */
PyObject *bind_pairs(const uint64_t *records, const uint64_t *bytes, int count);
/* Methods of Buffer: None if there is no finished sub-buffer. */
PyObject *bind_subbuf_take(PyObject *buffer, PyObject *unused);
PyObject *bind_subbuf_take_as(PyObject *buffer, PyObject *const *args, Py_ssize_t n_args);
/* _hold(size, wait_us, scratch): a Hold, or None: nothing is there. */
PyObject *bind_buffer_hold(PyObject *buffer, PyObject *args);
/* start: 'unread', 'oldest' or 'now'. */
PyObject *bind_buffer_tap(PyObject *buffer, PyObject *start);
PyObject *bind_reserve(struct bind_channel *channel, int64_t cpu, uint64_t length);

/* Calls that use channel->open come between these two: close() in another thread waits. */
static inline void bind_channel_enter(struct bind_channel *channel)
{
    channel->inside++;
}

void bind_channel_let_go(struct bind_channel *channel);

static inline void bind_channel_leave(struct bind_channel *channel)
{
    if (rchan_unlikely(!--channel->inside && (channel->closed | channel->detached)))
        bind_channel_let_go(channel);
}

/* The handle of an open channel; else NULL and ChannelClosed. */
struct rchan_channel *bind_channel_open(struct bind_channel *channel);
/* Keep the object until the channel is closed. */
bool bind_channel_keep(struct bind_channel *channel, struct bind_buffer *buffer);
/* No operation of the channel begins any more; its files stay. */
void bind_channel_shut(struct bind_channel *channel);

/* The handle as long as it is attached, also during close; else NULL and ChannelClosed. */
struct rchan_channel *bind_channel_attached(struct bind_channel *channel);

/* Class methods _create and _attach. */
PyObject *bind_channel_create(PyObject *type, PyTypeObject *defining, PyObject *const *args,
                              Py_ssize_t n_args, PyObject *names);
PyObject *bind_channel_attach(PyObject *type, PyTypeObject *defining, PyObject *const *args,
                              Py_ssize_t n_args, PyObject *names);
/* Methods whose files are their own. */
PyObject *bind_channel_wait(PyObject *self, PyObject *args, PyObject *names);
PyObject *bind_channel_sleeper_add(PyObject *self, PyObject *unused);
PyObject *bind_channel_sleep(PyObject *self, PyObject *args);
PyObject *bind_channel_flush(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                             PyObject *names);
PyObject *bind_channel_late_setup(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                                  PyObject *names);
PyObject *bind_channel_reset(PyObject *self, PyObject *unused);
PyObject *bind_channel_finalize(PyObject *self, PyObject *unused);
PyObject *bind_channel_prepare(PyObject *self, PyObject *cpu);
PyObject *bind_channel_buffers(PyObject *self, PyObject *unused);
PyObject *bind_channel_producers(PyObject *self, PyObject *unused);
PyObject *bind_channel_run_wakeups(PyObject *self, PyObject *unused);
PyObject *bind_channel_bell(PyObject *self, PyObject *unused);
PyObject *bind_buffer_bell(PyObject *self, PyObject *unused);
PyObject *bind_buffer_wait(PyObject *self, PyObject *args, PyObject *names);
PyObject *bind_channel_wait_taps(PyObject *self, PyObject *args);
PyObject *bind_channel_metadata(PyObject *self, PyObject *offset);
PyObject *bind_channel_append_metadata(PyObject *self, PyObject *args);
PyObject *bind_channel_get_clock(PyObject *self, void *closure);
PyObject *bind_channel_get_events(PyObject *self, void *closure);
extern PyGetSetDef bind_channel_properties[];
extern PyGetSetDef bind_buffer_properties[];

/* The module's function moment(). */
PyObject *bind_moment(PyObject *module, PyObject *unused);
/* Functions of the module: mount(source, target, type, flags, data), umount(target, flags). */
PyObject *bind_mount(PyObject *module, PyObject *args);
PyObject *bind_umount(PyObject *module, PyObject *args);

/* ---- hooks and the interpreter lock ---- */

/* Read the tuple of callables (or None). False with WrongType. */
bool bind_hooks_set(struct bind_attachment *attachment, PyObject *hooks);
struct rchan_hooks bind_hooks_for_core(struct bind_attachment *attachment);
void bind_hooks_drop(struct bind_attachment *attachment);
/* Report now what hooks raised and `after` has not reported. */
void bind_hooks_report(struct bind_attachment *attachment);
bool bind_hooks_any(const struct bind_attachment *attachment);
/* What create_buf_file raises in this thread goes to *place, until set to another (NULL: it is
 * reported as unraisable). The place before. */
PyObject **bind_hooks_raise_into(PyObject **place);

/* Sleep until look(object) is nonzero: its value, 0: time is up, -1: an exception. */
int64_t bind_sleep(struct rchan_channel *channel, uint32_t (*look)(void *), void *object,
                   int64_t timeout_ns);

/* Without the interpreter lock in between; hooks that run there take it for themselves. */
void bind_release(void);
void bind_retake(void);

#endif
