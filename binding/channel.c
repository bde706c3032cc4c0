/* Channel: the object, the fast path, and its end. */
#include "binding.h"

#include <errno.h>

#define SELF(object) ((struct bind_channel *)(object))

/* ---- write and reserve ---- */

/* Stored or dropped, both are answered without a call. */
static inline PyObject *answer(struct bind_channel *self, enum rchan_outcome outcome)
{
    if (rchan_unlikely(outcome > RCHAN_DROPPED_CONTENDED) && bind_refused(self->state, outcome))
        return NULL;
    return Py_NewRef(outcome == RCHAN_STORED ? Py_True : Py_False);
}

typedef enum rchan_outcome (*write_function)(struct rchan_channel *, int64_t, const void *,
                                             uint64_t);

/* Any bytes-like object, any CPU. */
static PyObject *write_with(write_function write, struct bind_channel *self, PyObject *const *args,
                            Py_ssize_t n_args, PyObject *given)
{
    static const char *const names[] = {"data", "cpu"};
    PyObject *values[2];
    Py_buffer view;
    int64_t cpu;
    if (!bind_parse("write", names, 1, 2, args, n_args, given, values) ||
        !bind_get_cpu(self->state, values[1], &cpu) ||
        !bind_get_view(self->state, values[0], PyBUF_SIMPLE, &view))
        return NULL;
    struct rchan_channel *core = bind_channel_open(self);
    enum rchan_outcome outcome = RCHAN_STORED;
    if (core) {
        bind_channel_enter(self);
        outcome = write(core, cpu, view.buf, (uint64_t)view.len);
        bind_channel_leave(self);
    }
    PyBuffer_Release(&view);
    if (!core)
        return NULL;
    return answer(self, outcome);
}

static PyObject *write_record(PyObject *object, PyObject *const *args, Py_ssize_t n_args,
                              PyObject *given)
{
    struct bind_channel *self = SELF(object);
    if (rchan_unlikely(n_args != 1 || given || !Py_IS_TYPE(args[0], &PyBytes_Type) || !self->open))
        return write_with(rchan_write, self, args, n_args, given);
    bind_channel_enter(self);
    enum rchan_outcome outcome = rchan_write(self->open, -1, (char *)args[0] + bind_bytes_offset,
                                             (uint64_t)Py_SIZE(args[0]));
    bind_channel_leave(self);
    return answer(self, outcome);
}

static PyObject *write_and_wake(PyObject *object, PyObject *const *args, Py_ssize_t n_args,
                                PyObject *given)
{
    return write_with(rchan_write_and_wake, SELF(object), args, n_args, given);
}

static PyObject *reserve(PyObject *object, PyObject *const *args, Py_ssize_t n_args,
                         PyObject *given)
{
    static const char *const names[] = {"length", "cpu"};
    struct bind_channel *self = SELF(object);
    PyObject *values[2];
    Py_ssize_t length;
    int64_t cpu = -1;
    if (rchan_likely(n_args == 1 && !given))
        values[0] = args[0];
    else if (!bind_parse("reserve", names, 1, 2, args, n_args, given, values) ||
             !bind_get_cpu(self->state, values[1], &cpu))
        return NULL;
    if (!bind_get_length(self->state, values[0], "length", &length) || !bind_channel_open(self))
        return NULL;
    return bind_reserve(self, cpu, (uint64_t)length);
}

/* ---- its end ---- */

struct rchan_channel *bind_channel_open(struct bind_channel *self)
{
    if (rchan_unlikely(!self->open))
        bind_raise(self->state, "ChannelClosed", EBADF,
                   "this channel handle is closed: create or open another");
    return self->open;
}

struct rchan_channel *bind_channel_attached(struct bind_channel *self)
{
    if (self->attachment && !self->detached)
        return self->attachment->core;
    bind_raise(self->state, "ChannelClosed", EBADF,
               "this channel handle is closed: create or open another");
    return NULL;
}

bool bind_channel_keep(struct bind_channel *self, struct bind_buffer *buffer)
{
    struct rchan_channel *core = buffer->core->channel;
    if (!self->buffers) {
        self->buffers = PyMem_Calloc(core->n_buffers, sizeof *self->buffers);
        self->n_buffers = core->n_buffers;
    }
    if (!self->buffers)
        return PyErr_NoMemory();
    struct bind_buffer **place = &self->buffers[buffer->core->index];
    Py_XDECREF(OBJECT(*place));
    *place = (struct bind_buffer *)Py_NewRef(OBJECT(buffer));
    return true;
}

static void drop_buffers(struct bind_channel *self)
{
    for (uint32_t i = 0; i < self->n_buffers; i++)
        Py_CLEAR(self->buffers[i]);
}

/* Nobody is inside any more: drop what the channel kept for them. */
void bind_channel_let_go(struct bind_channel *self)
{
    struct bind_attachment *attachment = self->attachment;
    if (!attachment)
        return;
    bind_hooks_report(attachment);
    bind_hooks_drop(attachment);
    drop_buffers(self);
    self->attachment = NULL;
    attachment->owner = NULL;
    Py_DECREF(OBJECT(attachment));
}

void bind_channel_shut(struct bind_channel *self)
{
    self->open = NULL;
    self->detached = true;
    if (!self->inside)
        bind_channel_let_go(self);
}

/* From rchan_channel_close: the buffer dies here unless somebody has it, or is inside. */
static void on_removed(struct rchan_buffer *core)
{
    struct bind_attachment *attachment = core->channel->hooks.client;
    struct bind_channel *self = attachment->owner;
    if (self && self->inside == 1 && core->index < self->n_buffers)
        Py_CLEAR(self->buffers[core->index]);
}

static bool refuse_open_slot(struct bind_channel *self)
{
    if (!self->open || !self->open_slots || self->slots_fork != self->open->fork_count)
        return true;
    return bind_raise(self->state, "ChannelBusy", EBUSY,
                      "a reserved slot is still open: commit or abort it first");
}

static PyObject *close_channel(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct bind_channel *self = SELF(object);
    if (!refuse_open_slot(self))
        return NULL;
    struct rchan_channel *core = bind_channel_open(self);
    if (!core)
        return NULL;
    self->open = NULL;
    self->closed = true;
    bind_channel_enter(self);
    if (core->creator)
        rchan_channel_close(core, on_removed);
    self->detached = true;
    bind_channel_leave(self);
    Py_RETURN_NONE;
}

static PyObject *detach(PyObject *object, PyObject *unused)
{
    (void)unused;
    if (!refuse_open_slot(SELF(object)))
        return NULL;
    bind_channel_shut(SELF(object));
    Py_RETURN_NONE;
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    struct bind_channel *self = SELF(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->attachment);
    for (uint32_t i = 0; i < self->n_buffers; i++)
        Py_VISIT(self->buffers[i]);
    return 0;
}

static void dealloc(PyObject *object)
{
    struct bind_channel *self = SELF(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs)
        PyObject_ClearWeakRefs(object);
    bind_channel_shut(self);
    PyMem_Free(self->buffers);
    bind_free(self);
}

#define KEYWORDS(function) (PyCFunction)(void (*)(void))(function)

static const char write_doc[] =
    "write($self, /, data, cpu=None)\n--\n\n"
    "Store one record; never blocks (relay_write, __relay_write). False: dropped and counted.\n\n"
    "data: bytes-like, at most subbuf_size bytes. cpu: whose buffer (modulo the number of\n"
    "buffers); None: this CPU's.\n"
    "Raises WrongType, NoSuchBuffer (a negative cpu), ChannelClosed, CorruptChannel.";
static const char write_and_wake_doc[] =
    "write_and_wake($self, /, data, cpu=None)\n--\n\n"
    "Like write; a record that was stored wakes the readers, whatever `wakeup` says.\n\n"
    "data, cpu, errors: as of `write`.";
static const char reserve_doc[] =
    "reserve($self, /, length, cpu=None)\n--\n\n"
    "A record to be filled in in place, in a with block (relay_reserve).\n\n"
    "length: bytes. cpu: as of `write`. If there is no room the slot's\n"
    "`stored` is False, what is put into it goes nowhere, and the loss is counted.\n"
    "Raises WrongType, GeometryError, NoSuchBuffer, ChannelClosed, CorruptChannel.";

#define WRITE                                                                                      \
    {                                                                                              \
        "write", KEYWORDS(write_record), METH_FASTCALL | METH_KEYWORDS, write_doc                  \
    }
#define RESERVE                                                                                    \
    {                                                                                              \
        "reserve", KEYWORDS(reserve), METH_FASTCALL | METH_KEYWORDS, reserve_doc                   \
    }

/* What every subclass gets of its own: the interpreter's shortcuts want the exact type. */
static PyMethodDef fast_methods[] = {WRITE, RESERVE, {0}};

/* Unless the class defines it itself. */
static int add_method(PyTypeObject *type, PyObject *members, PyMethodDef *method)
{
    if (PyMapping_HasKeyString(members, method->ml_name))
        return 0;
    PyObject *descriptor = PyDescr_NewMethod(type, method);
    int result =
        descriptor ? PyObject_SetAttrString(OBJECT(type), method->ml_name, descriptor) : -1;
    Py_XDECREF(descriptor);
    return result;
}

static PyObject *init_subclass(PyObject *type, PyObject *unused)
{
    (void)unused;
    PyObject *members = PyObject_GetAttrString(type, "__dict__");
    int result = members ? 0 : -1;
    for (PyMethodDef *method = fast_methods; !result && method->ml_name; method++)
        result = add_method((PyTypeObject *)type, members, method);
    Py_XDECREF(members);
    return result ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef methods[] = {
    WRITE,
    RESERVE,
    {"write_and_wake", KEYWORDS(write_and_wake), METH_FASTCALL | METH_KEYWORDS, write_and_wake_doc},
    {"__init_subclass__", init_subclass, METH_CLASS | METH_NOARGS, NULL},
    {"_create", KEYWORDS(bind_channel_create),
     METH_CLASS | METH_METHOD | METH_FASTCALL | METH_KEYWORDS, NULL},
    {"_attach", KEYWORDS(bind_channel_attach),
     METH_CLASS | METH_METHOD | METH_FASTCALL | METH_KEYWORDS, NULL},
    {"_close", close_channel, METH_NOARGS,
     "The creator: finalize and remove; others: detach. The Attachment is dropped last."},
    {"_detach", detach, METH_NOARGS, "Give up this handle only."},
    {"_wait", KEYWORDS(bind_channel_wait), METH_VARARGS | METH_KEYWORDS,
     "Sleep until any buffer polls nonzero; False after timeout seconds."},
    {"_sleeper_add", bind_channel_sleeper_add, METH_NOARGS, "Become a sleeper; the epoch."},
    {"_sleep", bind_channel_sleep, METH_VARARGS,
     "_sleep(epoch, timeout): until there is news since that epoch; 0: not at all. Leave."},
    {"_bell", bind_channel_bell, METH_NOARGS, "A new doorbell of the channel, not armed."},
    {"_wait_taps", bind_channel_wait_taps, METH_VARARGS,
     "_wait_taps(taps, known, timeout): sleep until one has something, or a buffer is new."},
    {"_flush", KEYWORDS(bind_channel_flush), METH_FASTCALL | METH_KEYWORDS,
     "Finish the current sub-buffers; the list of buffers that were busy."},
    {"_reset", bind_channel_reset, METH_NOARGS,
     "Back to the start; the list of buffers that were busy."},
    {"_finalize", bind_channel_finalize, METH_NOARGS,
     "Shut the gate; the number of stalled buffers."},
    {"_late_setup", KEYWORDS(bind_channel_late_setup), METH_FASTCALL | METH_KEYWORDS,
     "_late_setup(directory, base): files for a buffer-only channel."},
    {"_prepare", bind_channel_prepare, METH_O, "_prepare(cpu): the CPU's buffer, made if need be."},
    {"_buffers", bind_channel_buffers, METH_NOARGS, "All buffers that exist, by index."},
    {"_producers", bind_channel_producers, METH_NOARGS, "Process ids of the attachments."},
    {"_metadata", bind_channel_metadata, METH_O,
     "_metadata(offset): what describes the events, from there on."},
    {"_append_metadata", bind_channel_append_metadata, METH_VARARGS,
     "_append_metadata(length, bytes): False if it is not that long any more."},
    {"_run_wakeups", bind_channel_run_wakeups, METH_NOARGS, "Do the wake-ups that were put off."},
    {0},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct bind_channel, weakrefs), READONLY, NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (char *)"Base of rchan.Channel."},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, bind_channel_properties},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core.Channel",
    .basicsize = sizeof(struct bind_channel),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int bind_channel_ready(PyObject *module, struct bind_state *state)
{
    state->channel = bind_type(module, &spec, "Channel");
    return state->channel ? 0 : -1;
}
