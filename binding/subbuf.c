/* Subbuf: a finished sub-buffer in the reader's hand. */
#include "binding.h"

#include <errno.h>

#include "../core/atomics.h"
#include "../core/buffer.h"

enum { BIND_LOSSES = 1 + RCHAN_DROP_CAUSES }; /* overwritten, then the drops */

struct bind_subbuf {
    PyObject_HEAD struct rchan_subbuf core;
    struct bind_buffer *buffer; /* NULL once it is out of the reader's hand */
    struct bind_state *state;
    uint32_t index;
    uint32_t exports;
    bool whole;     /* as it was found when given back */
    PyObject *copy; /* bytes that `data` shows instead of the mapping, or NULL */
    /* what was lost before the sub-buffer that its reader had before this one, by cause */
    uint64_t told_records[BIND_LOSSES], told_bytes[BIND_LOSSES];
};

#define SELF(object) ((struct bind_subbuf *)(object))

static PyObject *take(struct bind_buffer *buffer, PyTypeObject *kind)
{
    struct rchan_subbuf taken;
    struct rchan_buffer *core = buffer->core;
    int result = rchan_subbuf_take(core, &taken);
    if (result < 0)
        return bind_raise_result(buffer->attachment->state, result, core->index);
    if (!result)
        return Py_NewRef(Py_None);
    struct bind_subbuf *self = bind_alloc(kind);
    if (!self) {
        rchan_subbuf_put_down(&taken);
        return NULL;
    }
    self->core = taken;
    self->index = core->index;
    self->state = buffer->attachment->state;
    self->buffer = (struct bind_buffer *)Py_NewRef(OBJECT(buffer));
    return OBJECT(self);
}

PyObject *bind_subbuf_take(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct bind_buffer *buffer = (struct bind_buffer *)object;
    struct rchan_buffer *core = bind_buffer_mapped(buffer);
    if (!core)
        return NULL;
    bind_reads(core->channel);
    return take(buffer, buffer->attachment->state->subbuf);
}

static void records_lost(const struct bind_subbuf *self, uint64_t *records, uint64_t *bytes)
{
    records[0] = self->core.overwritten_records;
    bytes[0] = self->core.overwritten_bytes;
    for (int i = 0; i < RCHAN_DROP_CAUSES; i++) {
        records[i + 1] = self->core.lost_records[i];
        bytes[i + 1] = self->core.lost_bytes[i];
    }
}

PyObject *bind_subbuf_take_as(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    struct bind_buffer *buffer = (struct bind_buffer *)object;
    struct bind_state *state = buffer->attachment->state;
    struct rchan_buffer *core = bind_buffer_mapped(buffer);
    if (!core)
        return NULL;
    if (n_args != 2 || !PyType_Check(args[0]) ||
        !PyType_IsSubtype((PyTypeObject *)args[0], state->subbuf))
        return bind_wrong_type(state, "kind", "a subclass of Subbuf, and the one before", object);
    if (args[1] != Py_None && !PyObject_TypeCheck(args[1], state->subbuf))
        return bind_wrong_type(state, "before", "a Subbuf or None", args[1]);
    bind_reads(core->channel);
    if (rchan_buffer_is_empty(core))
        return Py_NewRef(Py_None);
    PyObject *taken = take(buffer, (PyTypeObject *)args[0]);
    if (taken && taken != Py_None && args[1] != Py_None)
        records_lost(SELF(args[1]), SELF(taken)->told_records, SELF(taken)->told_bytes);
    return taken;
}

static int get_buffer(PyObject *object, Py_buffer *view, int flags)
{
    struct bind_subbuf *self = SELF(object);
    view->obj = NULL;
    if (!self->buffer) {
        PyErr_SetString(PyExc_BufferError, "this sub-buffer was given back or put down");
        return -1;
    }
    if (self->copy)
        return PyObject_GetBuffer(self->copy, view, flags);
    int result = PyBuffer_FillInfo(view, object, (void *)self->core.data,
                                   (Py_ssize_t)self->core.length, 1, flags);
    if (!result)
        self->exports++;
    return result;
}

static void release_buffer(PyObject *object, Py_buffer *view)
{
    (void)view;
    SELF(object)->exports--;
}

/* Held and without views: else false, with BufferError if there are views. */
static bool may_end(struct bind_subbuf *self)
{
    if (!self->exports)
        return self->buffer != NULL;
    PyErr_Format(PyExc_BufferError,
                 "a view of sub-buffer %llu of CPU %u still lives (a variable, a slice, an array): "
                 "release it first, for instance by `with sub.data as data:`",
                 (unsigned long long)self->core.seq, self->index);
    return false;
}

static bool end(struct bind_subbuf *self, bool consumed, uint64_t length)
{
    struct bind_buffer *buffer = self->buffer;
    /* The reader's own last look decides whether it counts as read, not this one. */
    bool good = self->core.good;
    self->whole = rchan_subbuf_whole(&self->core);
    self->core.good = good;
    self->buffer = NULL;
    bool done = consumed;
    if (consumed)
        done = rchan_subbuf_give_back(&self->core, length);
    else
        rchan_subbuf_put_down(&self->core);
    Py_DECREF(OBJECT(buffer));
    return done;
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
    if (SELF(object)->buffer)
        end(SELF(object), false, 0);
    Py_XDECREF(SELF(object)->copy);
    bind_free(object);
}

static PyObject *give_back(PyObject *object, PyObject *const *args, Py_ssize_t n_args,
                           PyObject *given)
{
    static const char *const names[] = {"length"};
    struct bind_subbuf *self = SELF(object);
    PyObject *value;
    uint64_t length = UINT64_MAX;
    if (!bind_parse("give_back", names, 0, 1, args, n_args, given, &value))
        return NULL;
    /* First: an object's __index__ may do anything, give it back too. */
    if (value && value != Py_None && !bind_get_u64(self->state, value, "length", &length))
        return NULL;
    if (!may_end(self))
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_False);
    return PyBool_FromLong(end(self, true, length));
}

static PyObject *put_down(PyObject *object, PyObject *unused)
{
    (void)unused;
    if (may_end(SELF(object)))
        end(SELF(object), false, 0);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

/* From now on `data` is a copy that nobody overwrites. */
static PyObject *copy(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct bind_subbuf *self = SELF(object);
    if (!self->buffer || self->copy)
        Py_RETURN_FALSE;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)self->core.length);
    if (!bytes)
        return NULL;
    rchan_copy_racing((uint8_t *)PyBytes_AsString(bytes), self->core.data, self->core.length);
    bool whole = rchan_subbuf_whole(&self->core);
    if (whole)
        self->copy = bytes;
    else
        Py_DECREF(bytes);
    return PyBool_FromLong(whole);
}

static PyMethodDef methods[] = {
    {"_copy", copy, METH_NOARGS, "_copy(): show a copy from now on. False: overwritten before."},
    {"give_back", (PyCFunction)(void (*)(void))give_back, METH_FASTCALL | METH_KEYWORDS,
     "give_back($self, /, length=None)\n--\n\nIt is consumed, or its first length bytes (None: "
     "all).\n\nFalse: it was void: given back before, the channel was reset, or a forked "
     "copy.\nRaises BufferError while a view of data lives, GeometryError (length < 0), "
     "WrongType."},
    {"put_down", put_down, METH_NOARGS,
     "put_down($self, /)\n--\n\nNot consumed: the next reader gets it. Raises BufferError while a "
     "view lives."},
    {0},
};

/* ---- properties ---- */

static PyObject *get_number(PyObject *object, void *offset)
{
    return PyLong_FromUnsignedLongLong(*(uint64_t *)((char *)object + (intptr_t)offset));
}

static PyObject *get_resets(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLong(SELF(object)->core.resets);
}

static PyObject *get_cpu(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLong(SELF(object)->index);
}

static PyObject *get_data(PyObject *object, void *closure)
{
    (void)closure;
    struct bind_subbuf *self = SELF(object);
    if (self->buffer)
        return PyMemoryView_FromObject(object);
    return bind_raise(self->state, "NotHeld", EINVAL,
                      "sub-buffer %llu of CPU %u was given back or put down: its data is gone",
                      (unsigned long long)self->core.seq, self->index);
}

static PyObject *repr(PyObject *object)
{
    struct bind_subbuf *self = SELF(object);
    return PyUnicode_FromFormat("<rchan.Subbuf: sub-buffer %llu of CPU %u, %llu bytes%s>",
                                (unsigned long long)self->core.seq, self->index,
                                (unsigned long long)self->core.length,
                                self->buffer ? "" : ", not held any more");
}

static PyObject *get_overwritten(PyObject *object, void *closure)
{
    (void)closure;
    return Py_BuildValue("(KK)", SELF(object)->core.overwritten_records,
                         SELF(object)->core.overwritten_bytes);
}

static PyObject *get_drops(PyObject *object, void *closure)
{
    (void)closure;
    return bind_pairs(SELF(object)->core.lost_records, SELF(object)->core.lost_bytes,
                      RCHAN_DROP_CAUSES);
}

static PyObject *get_news(PyObject *object, void *closure)
{
    (void)closure;
    uint64_t records[BIND_LOSSES], bytes[BIND_LOSSES], any = 0;
    records_lost(SELF(object), records, bytes);
    for (int i = 0; i < BIND_LOSSES; i++) {
        any |= records[i] -= SELF(object)->told_records[i];
        any |= bytes[i] -= SELF(object)->told_bytes[i];
    }
    return any ? bind_pairs(records, bytes, BIND_LOSSES) : Py_NewRef(Py_None);
}

static PyObject *get_whole(PyObject *object, void *closure)
{
    (void)closure;
    struct bind_subbuf *self = SELF(object);
    return PyBool_FromLong(self->buffer ? rchan_subbuf_whole(&self->core) : self->whole);
}

static PyObject *get_held(PyObject *object, void *closure)
{
    (void)closure;
    return PyBool_FromLong(SELF(object)->buffer != NULL);
}

#define NUMBER(name, doc)                                                                          \
    {                                                                                              \
#name, get_number, NULL, doc, (void *)offsetof(struct bind_subbuf, core.name)              \
    }

static PyGetSetDef properties[] = {
    NUMBER(seq, "sub-buffers produced before it"),
    NUMBER(length, "bytes, without padding and without what was read before"),
    NUMBER(skipped, "bytes of it that were read before"),
    NUMBER(records, "records in it"),
    NUMBER(before_records, "records written into its buffer before it, whatever became of them"),
    NUMBER(first_ns, "time of its start (of its first record), ns of CLOCK_MONOTONIC"),
    NUMBER(last_ns, "time of its finish, ns of CLOCK_MONOTONIC"),
    {"cpu", get_cpu, NULL, "the buffer's index", NULL},
    {"resets", get_resets, NULL, "resets of the buffer before it: seq began anew at each", NULL},
    {"data", get_data, NULL, "a read-only view of its bytes", NULL},
    {"overwritten", get_overwritten, NULL, "(records, bytes) lost just before it", NULL},
    {"drops", get_drops, NULL, "(records, bytes) of each cause, as they stood at its start", NULL},
    {"_news", get_news, NULL, "what of both the one before it did not tell, or None", NULL},
    {"whole", get_whole, NULL, "nothing of it was overwritten so far", NULL},
    {"held", get_held, NULL, "neither given back nor put down", NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     (char *)"A finished sub-buffer in the reader's hand; made by `Buffer.take`.\n\n"
             "memoryview(sub) and bytes(sub) are its bytes, read-only. In overwrite mode look at\n"
             "`whole` after that: False means that writers came in between."},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_repr, repr},
    {Py_bf_getbuffer, get_buffer},
    {Py_bf_releasebuffer, release_buffer},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core.Subbuf",
    .basicsize = sizeof(struct bind_subbuf),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};

int bind_subbuf_ready(PyObject *module, struct bind_state *state)
{
    state->subbuf = bind_type(module, &spec, "Subbuf");
    return state->subbuf ? 0 : -1;
}
