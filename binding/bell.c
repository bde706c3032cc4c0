/* Bell: a reader's doorbell, for select, poll, epoll and asyncio. */
#include "binding.h"

#include <errno.h>

#include "../core/bell.h"
#include "../core/buffer.h"

struct bind_bell {
    PyObject_HEAD struct rchan_bell core;
    struct bind_attachment *attachment; /* keeps the handle; NULL: never opened */
    PyObject *weakrefs;
};

#define SELF(object) ((struct bind_bell *)(object))

static PyObject *new_bell(struct bind_attachment *attachment)
{
    struct bind_state *state = attachment->state;
    struct rchan_error error = {0};
    struct bind_bell *self = bind_alloc(state->bell);
    if (!self)
        return NULL;
    self->core.fd = -1;
    bind_release();
    int result = rchan_bell_open(attachment->core, &self->core, &error);
    bind_retake();
    if (!result) {
        self->attachment = (struct bind_attachment *)Py_NewRef(OBJECT(attachment));
        return OBJECT(self);
    }
    Py_DECREF(OBJECT(self));
    return bind_raise_core(state, &error, NULL);
}

PyObject *bind_channel_bell(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct bind_channel *self = (struct bind_channel *)object;
    if (!bind_channel_open(self))
        return NULL;
    struct bind_attachment *attachment =
        (struct bind_attachment *)Py_NewRef(OBJECT(self->attachment));
    PyObject *bell = new_bell(attachment);
    Py_DECREF(OBJECT(attachment));
    return bell;
}

PyObject *bind_buffer_bell(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct bind_buffer *self = (struct bind_buffer *)object;
    return bind_buffer_mapped(self) ? new_bell(self->attachment) : NULL;
}

/* An open bell of this process; else false and ChannelClosed. */
static bool usable(struct bind_bell *self)
{
    if (self->core.fd >= 0 && self->core.fork_count == self->core.channel->fork_count)
        return true;
    return bind_raise(self->attachment->state, "ChannelClosed", EBADF,
                      self->core.fd < 0 ? "this bell is closed"
                                        : "this bell is of the process that forked: make another");
}

static PyObject *get_fileno(PyObject *object, PyObject *unused)
{
    (void)unused;
    return usable(SELF(object)) ? PyLong_FromLong(SELF(object)->core.fd) : NULL;
}

static PyObject *rearm(PyObject *object, PyObject *unused)
{
    (void)unused;
    if (!usable(SELF(object)))
        return NULL;
    rchan_bell_rearm(&SELF(object)->core);
    Py_RETURN_NONE;
}

static uint32_t look_at_buffer(const void *buffer)
{
    return rchan_poll(buffer);
}

static PyObject *settle(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    struct bind_bell *self = SELF(object);
    struct bind_state *state = self->attachment->state;
    if (n_args != 2 || !Py_IS_TYPE(args[0], state->buffer))
        return bind_raise(state, "WrongType", 0,
                          "settle wants a Buffer and whether there was news");
    struct rchan_buffer *buffer = bind_buffer_mapped((struct bind_buffer *)args[0]);
    if (!buffer)
        return NULL;
    int had_news = PyObject_IsTrue(args[1]);
    if (had_news < 0)
        return NULL;
    return PyBool_FromLong(rchan_bell_settle(&self->core, look_at_buffer, buffer, had_news));
}

static PyObject *ring(PyObject *object, PyObject *unused)
{
    (void)unused;
    if (!usable(SELF(object)))
        return NULL;
    rchan_bell_ring(&SELF(object)->core);
    Py_RETURN_NONE;
}

static PyObject *close_bell(PyObject *object, PyObject *unused)
{
    (void)unused;
    rchan_bell_close(&SELF(object)->core);
    Py_RETURN_NONE;
}

static PyObject *enter(PyObject *object, PyObject *unused)
{
    (void)unused;
    return usable(SELF(object)) ? Py_NewRef(object) : NULL;
}

static PyObject *leave(PyObject *object, PyObject *args)
{
    (void)args;
    return close_bell(object, NULL);
}

static PyObject *get_closed(PyObject *object, void *closure)
{
    (void)closure;
    return PyBool_FromLong(SELF(object)->core.fd < 0);
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(SELF(object)->attachment);
    return 0;
}

static void dealloc(PyObject *object)
{
    struct bind_bell *self = SELF(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs)
        PyObject_ClearWeakRefs(object);
    if (self->attachment)
        rchan_bell_close(&self->core);
    Py_XDECREF(OBJECT(self->attachment));
    bind_free(self);
}

static PyMethodDef methods[] = {
    {"fileno", get_fileno, METH_NOARGS, "The descriptor: readable means rung."},
    {"rearm", rearm, METH_NOARGS, "Unreadable until the next news rings it. Then look once more."},
    {"settle", (PyCFunction)(void (*)(void))settle, METH_FASTCALL,
     "Readable while the buffer has something, else rearmed."},
    {"ring", ring, METH_NOARGS, "Ring it oneself."},
    {"close", close_bell, METH_NOARGS, "Remove it. A second call does nothing."},
    {"__enter__", enter, METH_NOARGS, NULL},
    {"__exit__", leave, METH_VARARGS, NULL},
    {0},
};

static PyGetSetDef properties[] = {
    {"closed", get_closed, NULL, "close was called", NULL},
    {0},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct bind_bell, weakrefs), READONLY, NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (char *)"A reader's doorbell: a descriptor that is readable once it was rung."},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core.Bell",
    .basicsize = sizeof(struct bind_bell),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int bind_bell_ready(PyObject *module, struct bind_state *state)
{
    state->bell = bind_type(module, &spec, "Bell");
    return state->bell ? 0 : -1;
}
