/* Polls: the server's end of /dev/fuse. Requests, and those about polls answered on the way. */
#include "binding.h"

#include <errno.h>

#include "polled.h"

struct bind_polls {
    PyObject_HEAD struct polled core;
    bool inside; /* a thread receives, without the interpreter lock */
};

#define SELF(object) ((struct bind_polls *)(object))

static bool usable(PyObject *object)
{
    if (SELF(object)->core.epoll >= 0 && !SELF(object)->inside)
        return true;
    PyErr_SetString(PyExc_ValueError, "closed, or in use by another thread");
    return false;
}

static void let_go(void *keep)
{
    Py_DECREF(OBJECT(keep));
}

static PyObject *add(PyObject *object, PyObject *args)
{
    struct bind_state *state = PyType_GetModuleState(Py_TYPE(object));
    unsigned long long fh;
    PyObject *buffer;
    if (!usable(object) || !PyArg_ParseTuple(args, "KO!:add", &fh, state->buffer, &buffer))
        return NULL;
    struct rchan_buffer *core = bind_buffer_mapped((struct bind_buffer *)buffer);
    if (!core)
        return NULL;
    int result = polled_add(&SELF(object)->core, fh, core, buffer);
    if (result == -ENOMEM)
        return PyErr_NoMemory();
    if (!result)
        Py_INCREF(buffer);
    Py_RETURN_NONE;
}

static PyObject *drop(PyObject *object, PyObject *args)
{
    unsigned long long fh;
    if (!usable(object) || !PyArg_ParseTuple(args, "K:drop", &fh))
        return NULL;
    PyObject *kept = polled_drop(&SELF(object)->core, fh);
    Py_XDECREF(kept);
    Py_RETURN_NONE;
}

static PyObject *answer(PyObject *object, PyObject *args)
{
    unsigned long long unique, fh;
    PyObject *handle;
    uint64_t kh = 0;
    if (!usable(object) || !PyArg_ParseTuple(args, "KKO:answer", &unique, &fh, &handle))
        return NULL;
    if (!Py_IsNone(handle) && (kh = PyLong_AsUnsignedLongLong(handle)) == (uint64_t)-1 &&
        PyErr_Occurred())
        return NULL;
    return PyBool_FromLong(
        polled_answer(&SELF(object)->core, unique, fh, Py_IsNone(handle) ? NULL : &kh));
}

static PyObject *receive(PyObject *object, PyObject *message)
{
    struct bind_polls *self = SELF(object);
    Py_buffer into;
    int64_t length = -EINTR;
    if (!usable(object) || PyObject_GetBuffer(message, &into, PyBUF_WRITABLE))
        return NULL;
    while (length == -EINTR) {
        if (PyErr_CheckSignals()) {
            PyBuffer_Release(&into);
            return NULL;
        }
        self->inside = true;
        bind_release();
        length = polled_receive(&self->core, into.buf, (size_t)into.len);
        bind_retake();
        self->inside = false;
    }
    PyBuffer_Release(&into);
    errno = length < 0 ? (int)-length : 0;
    return length < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLongLong(length);
}

static PyObject *close_polls(PyObject *object, PyObject *unused)
{
    (void)unused;
    if (SELF(object)->core.epoll >= 0 && !usable(object))
        return NULL;
    polled_end(&SELF(object)->core, let_go);
    Py_RETURN_NONE;
}

static PyObject *new_polls(PyTypeObject *type, PyObject *args, PyObject *names)
{
    int device, stop;
    static char *keywords[] = {(char *)"device", (char *)"stop", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, names, "ii:Polls", keywords, &device, &stop))
        return NULL;
    struct bind_polls *self = bind_alloc(type);
    if (!self)
        return NULL;
    int result = polled_init(&self->core, device, stop);
    if (!result)
        return OBJECT(self);
    Py_DECREF(OBJECT(self));
    errno = -result;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    (void)arg;
    Py_VISIT(Py_TYPE(object)); /* buffers are in no cycle with it */
    return 0;
}

static void dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    polled_end(&SELF(object)->core, let_go);
    bind_free(object);
}

static PyMethodDef methods[] = {
    {"receive", receive, METH_O,
     "receive(message): wait; the length of the next request but polls of known files. 0: the "
     "end."},
    {"add", add, METH_VARARGS, "add(fh, buffer): answer this open file's polls from now on."},
    {"drop", drop, METH_VARARGS, "drop(fh): it was closed."},
    {"answer", answer, METH_VARARGS,
     "answer(unique, fh, kh): a poll request; kh: who is to be told of news, or None."},
    {"close", close_polls, METH_NOARGS, "Let go of all. A second call does nothing."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (char *)"The server's end of /dev/fuse: requests, of which it answers polls."},
    {Py_tp_new, new_polls},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core.Polls",
    .basicsize = sizeof(struct bind_polls),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int bind_polls_ready(PyObject *module, struct bind_state *state)
{
    state->polls = bind_type(module, &spec, "Polls");
    return state->polls ? 0 : -1;
}
