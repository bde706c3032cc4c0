/* Channel: the operations on all buffers, and the properties. */
#include "binding.h"

#include <errno.h>

#include "../core/announce.h"
#include "../core/notice.h"

#define SELF(object) ((struct bind_channel *)(object))

/* ---- operations ---- */

static bool append_number(PyObject *list, unsigned long value)
{
    PyObject *number = PyLong_FromUnsignedLong(value);
    int result = number ? PyList_Append(list, number) : -1;
    Py_XDECREF(number);
    return result == 0;
}

/* `act` on buffers first..end: the list of those that were busy. NULL with CorruptChannel. */
static PyObject *on_buffers(struct bind_channel *self, uint32_t first, uint32_t end,
                            int (*act)(struct rchan_buffer *))
{
    struct rchan_channel *core = self->open;
    int failure = 0;
    uint32_t failed = 0;
    bind_channel_enter(self);
    PyObject *busy = PyList_New(0);
    for (uint32_t i = first; busy && i < end; i++) {
        struct rchan_buffer *buffer = &core->buffers[i];
        int result = rchan_load_acquire(&buffer->data) ? act(buffer) : 0;
        if (result == -EBUSY && !append_number(busy, i))
            Py_CLEAR(busy);
        if (result && result != -EBUSY) {
            failure = result;
            failed = i;
        }
    }
    bind_channel_leave(self);
    if (failure && busy) {
        bind_raise_result(self->state, failure, failed);
        Py_CLEAR(busy);
    }
    return busy;
}

PyObject *bind_channel_flush(PyObject *object, PyObject *const *args, Py_ssize_t n_args,
                             PyObject *given)
{
    static const char *const names[] = {"cpu"};
    struct bind_channel *self = SELF(object);
    PyObject *value;
    int64_t cpu;
    if (!bind_parse("_flush", names, 0, 1, args, n_args, given, &value) ||
        !bind_get_cpu(self->state, value, &cpu) || !bind_channel_open(self))
        return NULL;
    rchan_channel_refresh(self->open);
    if (cpu < 0)
        return on_buffers(self, 0, self->open->n_buffers, rchan_buffer_flush);
    uint32_t index = (uint32_t)(cpu % self->open->n_buffers);
    if (!rchan_load_acquire(&self->open->buffers[index].data))
        return bind_raise(self->state, "NoSuchBuffer", ENXIO, "CPU %S has no buffer yet", value);
    return on_buffers(self, index, index + 1, rchan_buffer_flush);
}

PyObject *bind_channel_reset(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct bind_channel *self = SELF(object);
    if (!bind_channel_open(self))
        return NULL;
    rchan_channel_refresh(self->open);
    return on_buffers(self, 0, self->open->n_buffers, rchan_buffer_reset);
}

PyObject *bind_channel_finalize(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct bind_channel *self = SELF(object);
    if (!bind_channel_open(self))
        return NULL;
    bind_channel_enter(self);
    uint32_t stalled = rchan_channel_finalize(self->open);
    bind_channel_leave(self);
    return PyLong_FromUnsignedLong(stalled);
}

static int late_setup_core(struct bind_channel *self, PyObject *directory, PyObject *base,
                           struct rchan_error *error, PyObject **raised)
{
    PyObject **before = bind_hooks_raise_into(raised);
    bind_channel_enter(self);
    int result = rchan_channel_late_setup(self->open, PyBytes_AsString(directory),
                                          PyBytes_AsString(base), error);
    bind_channel_leave(self);
    bind_hooks_raise_into(before);
    return result;
}

PyObject *bind_channel_late_setup(PyObject *object, PyObject *const *args, Py_ssize_t n_args,
                                  PyObject *given)
{
    static const char *const names[] = {"directory", "base"};
    struct bind_channel *self = SELF(object);
    struct rchan_error error = {0};
    PyObject *values[2] = {0}, *raised = NULL;
    if (!bind_parse("_late_setup", names, 2, 2, args, n_args, given, values))
        return NULL;
    PyObject *directory = bind_get_path(self->state, values[0], "directory");
    PyObject *base = directory ? bind_get_path(self->state, values[1], "base") : NULL;
    bool parsed = base && bind_channel_open(self);
    int result = parsed ? late_setup_core(self, directory, base, &error, &raised) : 0;
    Py_XDECREF(directory);
    Py_XDECREF(base);
    if (result)
        return bind_raise_core(self->state, &error, raised);
    Py_XDECREF(raised);
    return parsed ? Py_NewRef(Py_None) : NULL;
}

/* A buffer that failed to come into being: its object goes, the next attempt makes another. */
static void drop_unmade(struct bind_channel *self, uint32_t index)
{
    struct bind_buffer *buffer = index < self->n_buffers ? self->buffers[index] : NULL;
    if (buffer && !buffer->core->map)
        Py_CLEAR(self->buffers[index]);
}

PyObject *bind_channel_prepare(PyObject *object, PyObject *number)
{
    struct bind_channel *self = SELF(object);
    struct rchan_error error = {0};
    PyObject *raised = NULL, *buffer = NULL;
    int64_t cpu;
    if (number == Py_None)
        return bind_wrong_type(self->state, "cpu", "an int", number);
    if (!bind_get_cpu(self->state, number, &cpu) || !bind_channel_open(self))
        return NULL;
    PyObject **before = bind_hooks_raise_into(&raised);
    bind_channel_enter(self);
    struct rchan_buffer *core = rchan_buffer_prepare(self->open, (uint32_t)cpu, &error);
    if (core && self->attachment)
        buffer = OBJECT(bind_buffer_of(self->attachment, core));
    bind_channel_leave(self);
    bind_hooks_raise_into(before);
    if (!core) {
        if (self->n_buffers)
            drop_unmade(self, (uint32_t)cpu % self->n_buffers);
        return bind_raise_core(self->state, &error, raised);
    }
    Py_XDECREF(raised);
    return buffer;
}

PyObject *bind_channel_buffers(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct bind_channel *self = SELF(object);
    struct rchan_channel *core = bind_channel_open(self);
    if (!core)
        return NULL;
    bind_channel_enter(self);
    PyObject *dict = PyDict_New();
    rchan_channel_refresh(core);
    for (uint32_t i = 0; dict && i < core->n_buffers; i++) {
        if (!rchan_load_acquire(&core->buffers[i].data))
            continue;
        PyObject *index = PyLong_FromUnsignedLong(i);
        PyObject *buffer = OBJECT(bind_buffer_of(self->attachment, &core->buffers[i]));
        if (!index || !buffer || PyDict_SetItem(dict, index, buffer) < 0)
            Py_CLEAR(dict);
        Py_XDECREF(index);
        Py_XDECREF(buffer);
    }
    bind_channel_leave(self);
    return dict;
}

PyObject *bind_channel_producers(PyObject *object, PyObject *unused)
{
    (void)unused;
    static_assert(RCHAN_MAX_SLOTS <= 4096, "the process ids fit on the stack");
    uint32_t pids[RCHAN_MAX_SLOTS];
    struct rchan_channel *core = bind_channel_open(SELF(object));
    if (!core)
        return NULL;
    uint32_t count = rchan_producers_alive(core, pids, RCHAN_MAX_SLOTS);
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list && i < count; i++)
        if (!append_number(list, pids[i]))
            Py_CLEAR(list);
    return list;
}

PyObject *bind_channel_run_wakeups(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct rchan_channel *core = bind_channel_open(SELF(object));
    return core ? PyLong_FromUnsignedLong(rchan_run_wakeups(core)) : NULL;
}

/* ---- properties ---- */

enum fact {
    ALLOC_SIZE,
    CREATOR,
    DEFER_WAKEUPS,
    ENABLED,
    FINALIZED,
    LAST_TOOBIG,
    N_BUFFERS,
    N_SUBBUFS,
    ORPHANED,
    OVERWRITE,
    SLEEPERS,
    SUBBUF_SIZE,
};

static uint64_t number(struct rchan_channel *core, enum fact fact)
{
    switch (fact) {
    case ALLOC_SIZE:
        return core->alloc_size;
    case LAST_TOOBIG:
        return rchan_load(&core->header->last_toobig);
    case N_BUFFERS:
        return core->n_buffers;
    case N_SUBBUFS:
        return core->n_subbufs;
    case SLEEPERS:
        return rchan_channel_sleepers(core);
    default:
        return core->subbuf_size;
    }
}

static bool truth(struct rchan_channel *core, enum fact fact)
{
    switch (fact) {
    case CREATOR:
        return core->creator;
    case DEFER_WAKEUPS:
        return core->defer_wakeups;
    case ENABLED:
        return rchan_channel_enabled(core);
    case FINALIZED:
        return rchan_channel_finalized(core);
    case ORPHANED:
        return rchan_orphaned(core);
    default:
        return core->flags & RCHAN_OVERWRITE;
    }
}

static PyObject *get_number(PyObject *object, void *closure)
{
    struct rchan_channel *core = bind_channel_attached(SELF(object));
    return core ? PyLong_FromUnsignedLongLong(number(core, (enum fact)(intptr_t)closure)) : NULL;
}

static PyObject *get_truth(PyObject *object, void *closure)
{
    struct rchan_channel *core = bind_channel_attached(SELF(object));
    return core ? PyBool_FromLong(truth(core, (enum fact)(intptr_t)closure)) : NULL;
}

static int set_truth(PyObject *object, PyObject *value, void *closure)
{
    if (!value) {
        PyErr_SetString(PyExc_AttributeError, "this attribute cannot be deleted");
        return -1;
    }
    int on = PyObject_IsTrue(value);
    struct rchan_channel *core = on < 0 ? NULL : bind_channel_open(SELF(object));
    if (!core)
        return -1;
    if ((enum fact)(intptr_t)closure == ENABLED)
        rchan_channel_enable(core, on);
    else
        core->defer_wakeups = on;
    return 0;
}

static PyObject *get_closed(PyObject *object, void *closure)
{
    (void)closure;
    return PyBool_FromLong(!SELF(object)->open);
}

static PyObject *get_base(PyObject *object, void *closure)
{
    (void)closure;
    struct rchan_channel *core = bind_channel_attached(SELF(object));
    if (core && !core->named)
        Py_RETURN_NONE;
    return core ? PyUnicode_DecodeFSDefault(core->base) : NULL;
}

static PyObject *get_directory(PyObject *object, void *closure)
{
    (void)closure;
    struct rchan_channel *core = bind_channel_attached(SELF(object));
    return core ? PyUnicode_DecodeFSDefault(core->directory) : NULL;
}

static PyObject *get_group(PyObject *object, void *closure)
{
    (void)closure;
    struct rchan_channel *core = bind_channel_attached(SELF(object));
    if (core && !core->share.shared)
        Py_RETURN_NONE;
    return core ? PyLong_FromUnsignedLong(core->share.group) : NULL;
}

static PyObject *get_created_ns(PyObject *object, void *closure)
{
    (void)closure;
    struct rchan_channel *core = bind_channel_attached(SELF(object));
    return core ? Py_BuildValue("(KK)", core->header->created_realtime_ns,
                                core->header->created_monotonic_ns)
                : NULL;
}

static PyObject *get_owner_wait(PyObject *object, void *closure)
{
    (void)closure;
    struct rchan_channel *core = bind_channel_attached(SELF(object));
    return core ? PyFloat_FromDouble(core->owner_wait_us / 1e6) : NULL;
}

static PyObject *get_wakeup(PyObject *object, void *closure)
{
    (void)closure;
    struct rchan_channel *core = bind_channel_attached(SELF(object));
    return core ? PyLong_FromUnsignedLong(rchan_wakeup_mode(core)) : NULL;
}

static int set_wakeup(PyObject *object, PyObject *value, void *closure)
{
    (void)closure;
    uint64_t mode;
    if (!value) {
        PyErr_SetString(PyExc_AttributeError, "this attribute cannot be deleted");
        return -1;
    }
    if (!bind_get_u64(SELF(object)->state, value, "wakeup", &mode))
        return -1;
    struct rchan_channel *core = bind_channel_open(SELF(object));
    if (!core)
        return -1;
    if (rchan_wakeup_set(core, (uint32_t)mode & ~(uint32_t)RCHAN_GATE_FIXED))
        return 0;
    bind_raise(SELF(object)->state, "CorruptChannel", EBADMSG,
               "somebody keeps changing the channel's gate word: its memory is damaged");
    return -1;
}

static PyObject *get_attachment(PyObject *object, void *closure)
{
    (void)closure;
    struct bind_channel *self = SELF(object);
    return bind_channel_attached(self) ? Py_NewRef(OBJECT(self->attachment)) : NULL;
}

#define NUMBER(name, fact, doc)                                                                    \
    {                                                                                              \
        name, get_number, NULL, doc, (void *)(intptr_t)(fact)                                      \
    }
#define TRUTH(name, fact, set, doc)                                                                \
    {                                                                                              \
        name, get_truth, set, doc, (void *)(intptr_t)(fact)                                        \
    }

PyGetSetDef bind_channel_properties[] = {
    NUMBER("alloc_size", ALLOC_SIZE, "bytes of a buffer, whole pages"),
    NUMBER("last_toobig", LAST_TOOBIG, "length of the last record that was too big; 0: none"),
    NUMBER("n_buffers", N_BUFFERS, "how many buffers there can be"),
    NUMBER("n_subbufs", N_SUBBUFS, "sub-buffers of a buffer"),
    NUMBER("sleepers", SLEEPERS, "readers that wait now (one killed asleep: until it is woken)"),
    NUMBER("subbuf_size", SUBBUF_SIZE, "bytes of a sub-buffer"),
    TRUTH("creator", CREATOR, NULL, "this handle made the channel, in this process"),
    TRUTH("enabled", ENABLED, set_truth, "False, set by any process: records are dropped"),
    TRUTH("finalized", FINALIZED, NULL, "nobody can write any more"),
    TRUTH("orphaned", ORPHANED, NULL, "no other process is attached that writes, or may"),
    TRUTH("overwrite", OVERWRITE, NULL, "the newest records are kept, not the oldest"),
    TRUTH("_defer_wakeups", DEFER_WAKEUPS, set_truth, NULL),
    {"_wakeup", get_wakeup, set_wakeup, "when readers are woken: bits of the gate", NULL},
    {"events", bind_channel_get_events, NULL,
     "it holds typed events (see rchan.Tracer), not plain records", NULL},
    {"_clock", bind_channel_get_clock, NULL,
     "(clock, base, Hz, anchor: stamp, monotonic and real time; uuid, same boot); None: plain",
     NULL},
    {"closed", get_closed, NULL, "close or detach was called", NULL},
    {"base", get_base, NULL, "the channel's name; None: buffer-only", NULL},
    {"directory", get_directory, NULL, "absolute path", NULL},
    {"group", get_group, NULL, "number of the group that shares it; None: nobody else", NULL},
    {"created_ns", get_created_ns, NULL, "(real time, monotonic) of its creation", NULL},
    {"owner_wait", get_owner_wait, NULL, "seconds that a writer waits at most for a taken buffer",
     NULL},
    {"attachment", get_attachment, NULL, "this process's hold on the channel", NULL},
    {0},
};
