/* Hold: bytes read from a buffer on their way to somebody else. */
#include "binding.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

/* Longer ones let other threads run meanwhile. */
enum { DELIVER_ALONE = 64 * 1024 };

struct bind_hold {
    PyObject_HEAD struct rchan_hold core;
    struct bind_buffer *buffer; /* NULL: handed on, or put down */
    uint64_t length;
    Py_buffer copy;
};

#define SELF(object) ((struct bind_hold *)(object))

static void let_go(struct bind_hold *self, struct bind_buffer *buffer)
{
    PyBuffer_Release(&self->copy);
    Py_XDECREF(OBJECT(buffer));
}

static void end(struct bind_hold *self, bool handed_on)
{
    struct bind_buffer *buffer = self->buffer;
    self->buffer = NULL;
    rchan_hold_end(&self->core, handed_on);
    let_go(self, buffer);
}

PyObject *bind_buffer_hold(PyObject *object, PyObject *args)
{
    struct bind_buffer *buffer = (struct bind_buffer *)object;
    struct bind_state *state = buffer->attachment->state;
    PyObject *size, *wait, *scratch;
    uint64_t count, wait_us;
    struct rchan_buffer *core = bind_buffer_mapped(buffer);
    if (!core || !PyArg_ParseTuple(args, "OOO:_hold", &size, &wait, &scratch) ||
        !bind_get_u64(state, size, "size", &count) ||
        !bind_get_u64(state, wait, "wait_us", &wait_us))
        return NULL;
    struct bind_hold *self = bind_alloc(state->hold);
    if (!self || !bind_get_view(state, scratch, PyBUF_WRITABLE, &self->copy)) {
        Py_XDECREF(OBJECT(self));
        return NULL;
    }
    self->core.copy = self->copy.buf;
    if (count > (uint64_t)self->copy.len)
        count = (uint64_t)self->copy.len;
    bind_reads(core->channel);
    int64_t done =
        rchan_hold(core, count, wait_us > 1000000 ? 1000000 : (uint32_t)wait_us, &self->core);
    if (done <= 0) {
        PyBuffer_Release(&self->copy);
        Py_DECREF(OBJECT(self));
        return done ? bind_raise_result(state, done, core->index) : Py_NewRef(Py_None);
    }
    self->length = (uint64_t)done;
    self->buffer = (struct bind_buffer *)Py_NewRef(object);
    return OBJECT(self);
}

/* All or nothing: what is behind fd takes one message. 0, or an errno. */
static int write_message(struct bind_hold *self, int fd, Py_buffer *head)
{
    struct iovec parts[RCHAN_HOLD_PARTS + 1];
    parts[0] = (struct iovec){head->buf, (size_t)head->len};
    memcpy(parts + 1, self->core.parts, self->core.n_parts * sizeof *parts);
    bool alone = self->length > DELIVER_ALONE;
    struct bind_buffer *buffer = self->buffer;
    self->buffer = NULL; /* another thread finds it ended */
    if (alone)
        bind_release();
    ssize_t done = writev(fd, parts, (int)self->core.n_parts + 1);
    int number = done < 0 ? errno : (uint64_t)done == self->length + (uint64_t)head->len ? 0 : EIO;
    rchan_hold_end(&self->core, !number); /* others need not wait until it is our turn in Python */
    if (alone)
        bind_retake();
    let_go(self, buffer);
    return number;
}

static PyObject *deliver(PyObject *object, PyObject *args)
{
    struct bind_hold *self = SELF(object);
    Py_buffer head;
    int fd;
    if (!PyArg_ParseTuple(args, "iy*:deliver", &fd, &head))
        return NULL;
    int number = self->buffer ? write_message(self, fd, &head) : EBADF;
    PyBuffer_Release(&head);
    errno = number;
    return number ? PyErr_SetFromErrno(PyExc_OSError) : Py_NewRef(Py_None);
}

static PyObject *put_down(PyObject *object, PyObject *unused)
{
    (void)unused;
    if (SELF(object)->buffer)
        end(SELF(object), false);
    Py_RETURN_NONE;
}

static PyObject *to_bytes(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct bind_hold *self = SELF(object);
    if (!self->buffer)
        return PyBytes_FromStringAndSize(NULL, 0);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)self->length);
    char *to = bytes ? PyBytes_AsString(bytes) : NULL;
    for (uint32_t i = 0; to && i < self->core.n_parts; i++) {
        memcpy(to, self->core.parts[i].iov_base, self->core.parts[i].iov_len);
        to += self->core.parts[i].iov_len;
    }
    return bytes;
}

static PyObject *get_length(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLongLong(SELF(object)->length);
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
        end(SELF(object), false);
    bind_free(object);
}

static PyMethodDef methods[] = {
    {"deliver", deliver, METH_VARARGS,
     "deliver(fd, head): write head and the bytes as one message. They count as read; if that "
     "fails (OSError), they are unread again."},
    {"put_down", put_down, METH_NOARGS, "put_down(): unread again."},
    {"__bytes__", to_bytes, METH_NOARGS, NULL},
    {0},
};

static PyGetSetDef properties[] = {
    {"length", get_length, NULL, "how many bytes", NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (char *)"Bytes read from a buffer on their way to somebody else."},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core.Hold",
    .basicsize = sizeof(struct bind_hold),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int bind_hold_ready(PyObject *module, struct bind_state *state)
{
    state->hold = bind_type(module, &spec, "Hold");
    return state->hold ? 0 : -1;
}
