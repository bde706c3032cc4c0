/* Bell: a reader's doorbell, for select, poll, epoll and asyncio. */
#include "binding.h"

#include <errno.h>

#include "../core/bell.h"

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

static PyObject *act(PyObject *object, void (*what)(struct rchan_bell *))
{
    if (!usable(SELF(object)))
        return NULL;
    what(&SELF(object)->core);
    Py_RETURN_NONE;
}

static void arm_usable(struct rchan_bell *bell)
{
    rchan_bell_arm(bell);
}

static PyObject *arm(PyObject *object, PyObject *unused)
{
    (void)unused;
    return act(object, arm_usable);
}

static PyObject *clear_rung(PyObject *object, PyObject *unused)
{
    (void)unused;
    return act(object, rchan_bell_clear);
}

static PyObject *ring(PyObject *object, PyObject *unused)
{
    (void)unused;
    return act(object, rchan_bell_ring);
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
    {"arm", arm, METH_NOARGS, "The next news rings it, once. Then look once more."},
    {"clear", clear_rung, METH_NOARGS, "Forget that it was rung."},
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
