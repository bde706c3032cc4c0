/* Stream: a recorded file and its index; and the checksum of what is in it. */
#include "binding.h"

#include <errno.h>

#include "../core/crc32c.h"
#include "../core/stream.h"

/* More than this is summed without the interpreter lock. */
enum { SUM_ALONE = 64 * 1024 };

struct bind_stream {
    PyObject_HEAD struct rchan_stream core;
    bool running; /* a drain: without the interpreter lock */
    struct bind_state *state;
};

#define SELF(object) ((struct bind_stream *)(object))

PyObject *bind_crc32c(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    struct bind_state *state = PyModule_GetState(module);
    Py_buffer view;
    uint64_t before = 0;
    if (n_args < 1 || n_args > 2) {
        PyErr_SetString(PyExc_TypeError, "crc32c() takes the data, and a checksum to go on from");
        return NULL;
    }
    if ((n_args > 1 && !bind_get_u64(state, args[1], "crc", &before)) ||
        !bind_get_view(state, args[0], PyBUF_SIMPLE, &view))
        return NULL;
    bool alone = view.len > SUM_ALONE;
    if (alone)
        bind_release();
    uint32_t crc = rchan_crc32c((uint32_t)before, view.buf, (size_t)view.len);
    if (alone)
        bind_retake();
    PyBuffer_Release(&view);
    return PyLong_FromUnsignedLong(crc);
}

static PyObject *new_stream(PyTypeObject *type, PyObject *args, PyObject *names)
{
    static char *keywords[] = {(char *)"data_fd", (char *)"index_fd", NULL};
    int data_fd, index_fd;
    if (!PyArg_ParseTupleAndKeywords(args, names, "ii:Stream", keywords, &data_fd, &index_fd))
        return NULL;
    struct bind_stream *self = bind_alloc(type);
    if (!self)
        return NULL;
    self->state = PyType_GetModuleState(type);
    self->core.data_fd = data_fd;
    self->core.index_fd = index_fd;
    self->core.checked = true;
    return OBJECT(self);
}

static PyObject *drain(PyObject *object, PyObject *args)
{
    struct bind_stream *self = SELF(object);
    PyObject *source, *number;
    uint64_t most;
    if (!PyArg_ParseTuple(args, "O!O:drain", self->state->buffer, &source, &number) ||
        !bind_get_u64(self->state, number, "most", &most))
        return NULL;
    struct rchan_buffer *core = bind_buffer_mapped((struct bind_buffer *)source);
    if (!core)
        return NULL;
    if (self->running)
        return bind_raise(self->state, "ChannelBusy", EBUSY,
                          "another thread drains into this stream");
    bind_reads(core->channel);
    self->running = true;
    bind_release();
    enum rchan_drained result = rchan_stream_drain(&self->core, core, most);
    bind_retake();
    self->running = false;
    if (result == RCHAN_DRAINED_CORRUPT)
        return bind_raise_result(self->state, -EBADMSG, core->index);
    return PyLong_FromLong(result);
}

static PyObject *get_last(PyObject *object, void *closure)
{
    (void)closure;
    if (!SELF(object)->core.subbufs)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize((const char *)&SELF(object)->core.last, RCHAN_ENTRY_SIZE);
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    return 0;
}

static void dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    bind_free(object);
}

static PyMethodDef methods[] = {
    {"drain", drain, METH_VARARGS,
     "drain(buffer, most): record at most so many finished sub-buffers; DRAINED_... says the end."},
    {0},
};

#define MEMBER(name, type, doc)                                                                    \
    {                                                                                              \
#name, type, offsetof(struct bind_stream, core.name), 0, doc                               \
    }

static PyMemberDef members[] = {
    MEMBER(offset, T_ULONGLONG, "where the next sub-buffer goes"),
    MEMBER(start, T_ULONGLONG, "where the first sub-buffer goes"),
    MEMBER(index_offset, T_ULONGLONG, "where the next entry goes"),
    MEMBER(allocate, T_ULONGLONG, "bytes to allocate at a time; 0: none"),
    MEMBER(limit, T_ULONGLONG, "the file's greatest size; 0: none"),
    MEMBER(stride, T_ULONGLONG, "bytes that every sub-buffer takes; 0: what it has"),
    MEMBER(checked, T_BOOL, "checksums of the data"),
    MEMBER(any, T_BOOL, "last_resets and last_seq hold"),
    MEMBER(last_resets, T_UINT, "resets before the newest recorded sub-buffer"),
    MEMBER(last_seq, T_ULONGLONG, "number of the newest recorded sub-buffer"),
    MEMBER(subbufs, T_ULONGLONG, "recorded through this object"),
    MEMBER(records, T_ULONGLONG, "recorded through this object"),
    MEMBER(bytes, T_ULONGLONG, "recorded through this object"),
    MEMBER(os_errno, T_INT, "why the last drain failed"),
    {0},
};

static PyGetSetDef properties[] = {
    {"last", get_last, NULL, "the newest entry that it made; None: none", NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (char *)"Stream(data_fd, index_fd): sub-buffers to a file, entries to its index."},
    {Py_tp_new, new_stream},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core.Stream",
    .basicsize = sizeof(struct bind_stream),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int bind_stream_ready(PyObject *module, struct bind_state *state)
{
    state->stream = bind_type(module, &spec, "Stream");
    return state->stream ? 0 : -1;
}
