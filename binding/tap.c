/* Tap: a position of its own in one buffer, for reading along without consuming. */
#include "tap.h"

#include <errno.h>

#define SELF(object) ((struct bind_tap *)(object))
#define STATE(object) (SELF(object)->buffer->attachment->state)

enum { MAX_LAPS = 64 }; /* overtaken that often while copying: nothing, for now */

static PyObject *raise_result(struct bind_state *state, int result, uint32_t index)
{
    if (result == -EAGAIN)
        return bind_raise(state, "ChannelBusy", EBUSY,
                          "buffer %u is written too fast for a tap to begin: try again", index);
    return bind_raise_result(state, result, index);
}

PyObject *bind_buffer_tap(PyObject *object, PyObject *from)
{
    struct bind_buffer *buffer = (struct bind_buffer *)object;
    struct rchan_buffer *core = bind_buffer_mapped(buffer);
    struct bind_state *state = buffer->attachment->state;
    static const char *const names[] = {"unread", "oldest", "now"};
    if (!core)
        return NULL;
    for (int i = 0; PyUnicode_Check(from) && i < 3; i++) {
        if (PyUnicode_CompareWithASCIIString(from, names[i]))
            continue;
        struct bind_tap *self = bind_alloc(state->tap);
        if (!self)
            return NULL;
        self->buffer = (struct bind_buffer *)Py_NewRef(object);
        bind_reads(core->channel);
        int result = rchan_tap_start(core, (enum rchan_tap_from)i, &self->core);
        if (result)
            Py_CLEAR(self);
        return result ? raise_result(state, result, core->index) : OBJECT(self);
    }
    return bind_wrong_type(state, "start", "'unread', 'oldest' or 'now'", from);
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(SELF(object)->buffer);
    return 0;
}

static void dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    Py_XDECREF(OBJECT(SELF(object)->buffer));
    bind_free(object);
}

/* ---- methods ---- */

/* 1, 0: nothing there, -EBADMSG, -ENOMEM with an exception. Other threads run while it copies. */
static int deliver(struct bind_tap *self, struct bind_copy *copy, struct bind_arena *arena)
{
    for (int laps = 0; laps < MAX_LAPS; laps++) {
        struct rchan_tap at = self->core;
        uint64_t moves = self->moves;
        int result = rchan_tap_look(&at, &copy->core);
        if (result <= 0) {
            self->core = at;
            return result;
        }
        if (!bind_copy_place(copy, arena))
            return -ENOMEM;
        bind_release();
        bool good = rchan_tap_copy(&at, &copy->core, copy->data);
        bind_retake();
        bool first = self->moves == moves;
        if (first)
            self->core = at;
        if (first && good) {
            self->moves++;
            return 1;
        }
        bind_copy_unplace(copy, arena);
    }
    return 0;
}

static PyObject *next(PyObject *object, PyObject *const *args, Py_ssize_t n_args, PyObject *given)
{
    static const char *const names[] = {"arena"};
    PyObject *arena;
    if (!bind_parse("next", names, 0, 1, args, n_args, given, &arena))
        return NULL;
    if (arena && !Py_IS_TYPE(arena, STATE(object)->arena))
        return bind_wrong_type(STATE(object), "arena", "an Arena", arena);
    struct bind_copy *copy = bind_alloc(STATE(object)->copy);
    if (!copy)
        return NULL;
    copy->index = SELF(object)->core.buffer->index;
    int result = deliver(SELF(object), copy, (struct bind_arena *)arena);
    if (result > 0)
        return OBJECT(copy);
    Py_DECREF(OBJECT(copy));
    if (PyErr_Occurred())
        return NULL;
    return result ? raise_result(STATE(object), result, SELF(object)->core.buffer->index)
                  : Py_NewRef(Py_None);
}

static PyObject *cut(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct rchan_books books;
    int result = rchan_tap_cut(&SELF(object)->core, &books);
    SELF(object)->moves++;
    if (result)
        return raise_result(STATE(object), result, SELF(object)->core.buffer->index);
    return bind_books_new(STATE(object), &books);
}

static PyObject *rest(PyObject *object, PyObject *unused)
{
    (void)unused;
    if (!SELF(object)->core.cut)
        return Py_BuildValue("(iii)", 0, 0, 0);
    struct rchan_loss rest = rchan_tap_rest(&SELF(object)->core);
    return Py_BuildValue("(KKK)", rest.subbufs, rest.records, rest.bytes);
}

/* ---- sleeping until one of several has something ---- */

enum { CLOSED_MEANWHILE = 1u << 31 };

struct watch {
    struct bind_channel *channel;
    PyObject *taps; /* a tuple of Tap */
    Py_buffer known;
};

static struct rchan_tap *tap_at(PyObject *taps, Py_ssize_t i)
{
    return &SELF(PyTuple_GetItem(taps, i))->core;
}

static bool any_ready(struct rchan_channel *core, PyObject *taps)
{
    bool ended = rchan_channel_finalized(core);
    for (Py_ssize_t i = 0; i < PyTuple_Size(taps); i++) {
        if (rchan_tap_ready(tap_at(taps, i)))
            return true;
        ended = ended && rchan_buffer_finalized(tap_at(taps, i)->buffer);
    }
    return ended;
}

static uint32_t look(void *object)
{
    struct watch *watch = object;
    struct rchan_channel *core = watch->channel->open;
    const char *known = watch->known.buf;
    if (!core)
        return CLOSED_MEANWHILE;
    rchan_channel_refresh(core);
    for (uint32_t i = 0; i < core->n_buffers; i++)
        if (rchan_load_acquire(&core->buffers[i].data) && (i >= watch->known.len || !known[i]))
            return 1;
    return any_ready(core, watch->taps);
}

static bool all_taps(struct bind_state *state, PyObject *taps)
{
    bool good = PyTuple_Check(taps);
    for (Py_ssize_t i = 0; good && i < PyTuple_Size(taps); i++)
        good = Py_IS_TYPE(PyTuple_GetItem(taps, i), state->tap);
    if (!good)
        bind_wrong_type(state, "taps", "a tuple of taps", taps);
    return good;
}

PyObject *bind_channel_wait_taps(PyObject *object, PyObject *args)
{
    struct watch watch = {.channel = (struct bind_channel *)object};
    PyObject *known, *timeout;
    int64_t timeout_ns;
    if (!PyArg_ParseTuple(args, "OOO:_wait_taps", &watch.taps, &known, &timeout) ||
        !all_taps(watch.channel->state, watch.taps) ||
        !bind_get_timeout(watch.channel->state, timeout, &timeout_ns) ||
        !bind_get_view(watch.channel->state, known, PyBUF_SIMPLE, &watch.known))
        return NULL;
    struct rchan_channel *core = bind_channel_open(watch.channel);
    if (!core) {
        PyBuffer_Release(&watch.known);
        return NULL;
    }
    bind_reads(core);
    bind_channel_enter(watch.channel);
    int64_t found = bind_sleep(core, look, &watch, timeout_ns);
    bind_channel_leave(watch.channel);
    PyBuffer_Release(&watch.known);
    if (found == CLOSED_MEANWHILE)
        bind_channel_open(watch.channel);
    return found < 0 || PyErr_Occurred() ? NULL : PyBool_FromLong(found != 0);
}

/* ---- the type ---- */

static PyObject *get_buffer(PyObject *object, void *closure)
{
    (void)closure;
    return Py_NewRef(OBJECT(SELF(object)->buffer));
}

static PyObject *get_seq(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLongLong(SELF(object)->core.next);
}

static PyObject *get_left(PyObject *object, void *closure)
{
    (void)closure;
    const struct rchan_tap *tap = &SELF(object)->core;
    uint64_t bytes = tap->cut ? tap->end_bytes - tap->bytes : 0;
    uint64_t most = tap->buffer->channel->alloc_size;
    return PyLong_FromUnsignedLongLong(bytes < most ? bytes : most);
}

static PyMethodDef methods[] = {
    {"next", (PyCFunction)(void (*)(void))next, METH_FASTCALL | METH_KEYWORDS,
     "next(arena=None): a copy of the next finished sub-buffer; None: there is none (yet)."},
    {"cut", cut, METH_NOARGS,
     "cut(): end here, with what is unfinished; the books at this very moment."},
    {"rest", rest, METH_NOARGS, "rest(): (sub-buffers, records, bytes) missed before the cut."},
    {0},
};

static PyGetSetDef properties[] = {
    {"buffer", get_buffer, NULL, "the buffer", NULL},
    {"seq", get_seq, NULL, "number of the sub-buffer that comes next", NULL},
    {"left", get_left, NULL, "bytes up to the cut, at most", NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (char *)"A reader's own position in one buffer; it consumes nothing."},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core.Tap",
    .basicsize = sizeof(struct bind_tap),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int bind_tap_ready(PyObject *module, struct bind_state *state)
{
    state->tap = bind_type(module, &spec, "Tap");
    return state->tap ? 0 : -1;
}
