/* Event: called with the values of its fields, it writes one event. */
#include "event.h"

#include <errno.h>

#include "../core/event.h"

#define SELF(object) ((struct bind_event *)(object))

/* ---- calling ---- */

int bind_event_store(const struct bind_event *self, const uint8_t *values, size_t length)
{
    struct bind_channel *channel = self->channel;
    struct rchan_channel *core = bind_channel_open(channel);
    if (rchan_unlikely(!core))
        return -1;
    bind_channel_enter(channel);
    enum rchan_outcome outcome = rchan_event(core, self->id, values, length);
    bind_channel_leave(channel);
    if (rchan_likely(outcome == RCHAN_STORED))
        return 1;
    return bind_refused(self->state, outcome) ? -1 : 0;
}

static inline PyObject *call(struct bind_event *self, PyObject *const *args, Py_ssize_t n_args,
                             PyObject *names)
{
    struct bind_sink sink;
    bind_sink_init(&sink);
    bool good = n_args == self->n_fields && !names;
    if (rchan_likely(good)) {
        good = bind_encode_positional(self, 0, args, &sink);
    } else {
        good = bind_encode_all(self, args, n_args, names, &sink);
    }
    int stored = good ? bind_event_store(self, sink.start, (size_t)(sink.at - sink.start)) : -1;
    bind_sink_free(&sink);
    return rchan_likely(stored > 0) ? Py_NewRef(Py_True) : stored ? NULL : Py_NewRef(Py_False);
}

static PyObject *vectorcall(PyObject *object, PyObject *const *args, size_t n_args, PyObject *names)
{
    return call(SELF(object), args, (Py_ssize_t)(n_args & ~BIND_ARGUMENTS_OFFSET), names);
}

static PyObject *emit(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    return call(SELF(object), args, n_args, NULL);
}

/* f(*args, **names): the way for all that is not known to be quick. */
static PyObject *call_with(PyObject *object, PyObject *args, PyObject *given)
{
    Py_ssize_t n_args = PyTuple_Size(args), n_given = given ? PyDict_Size(given) : 0, at = 0;
    PyObject **values = PyMem_Calloc((size_t)(n_args + n_given) + 1, sizeof *values);
    PyObject *names = values && n_given ? PyTuple_New(n_given) : NULL, *name, *value;
    bool good = values && (names || !n_given);
    for (Py_ssize_t i = 0; good && i < n_args; i++)
        values[i] = PyTuple_GetItem(args, i);
    for (Py_ssize_t i = 0; good && i < n_given && PyDict_Next(given, &at, &name, &value); i++) {
        PyTuple_SetItem(names, i, Py_NewRef(name));
        values[n_args + i] = value;
    }
    PyObject *result = good ? call(SELF(object), values, n_args, names) : NULL;
    if (!values)
        PyErr_NoMemory();
    Py_XDECREF(names);
    PyMem_Free(values);
    return result;
}

/* ---- the object ---- */

static PyObject *new_event(PyObject *type, PyTypeObject *defining, PyObject *const *args,
                           Py_ssize_t n_args, PyObject *given)
{
    static const char *const names[] = {"channel", "id", "name", "fields", "source"};
    struct bind_state *state = PyType_GetModuleState(defining);
    PyObject *values[5];
    uint64_t id;
    if (!bind_parse("_new", names, 5, 5, args, n_args, given, values) ||
        !bind_get_u64(state, values[1], "id", &id))
        return NULL;
    int is_channel = PyObject_IsInstance(values[0], OBJECT(state->channel));
    if (is_channel <= 0 || !PyUnicode_Check(values[2]) || id >= BIND_MOST)
        return is_channel < 0 ? NULL
                              : bind_wrong_type(state, "an event's channel, name or id",
                                                "a Channel, a str, a u16", values[0]);
    uint16_t count;
    struct bind_field *fields = bind_fields_read(state, values[3], &count);
    struct bind_event *self = fields ? bind_alloc((PyTypeObject *)type) : NULL;
    if (!self) {
        if (fields)
            bind_fields_free(fields, count);
        return NULL;
    }
    self->channel = (struct bind_channel *)Py_NewRef(values[0]);
    self->state = state;
    self->vectorcall = vectorcall;
    self->name = Py_NewRef(values[2]);
    self->source = Py_NewRef(values[4]);
    self->id = (uint16_t)id;
    self->n_fields = count;
    self->fields = fields;
    return OBJECT(self);
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    struct bind_event *self = SELF(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->channel);
    Py_VISIT(self->source);
    for (uint16_t i = 0; i < self->n_fields; i++)
        Py_VISIT(self->fields[i].labels);
    return 0;
}

static void dealloc(PyObject *object)
{
    struct bind_event *self = SELF(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs)
        PyObject_ClearWeakRefs(object);
    Py_CLEAR(self->name);
    Py_CLEAR(self->source);
    Py_CLEAR(self->channel);
    bind_fields_free(self->fields, self->n_fields);
    bind_free(self);
}

static PyObject *repr(PyObject *object)
{
    struct bind_event *self = SELF(object);
    return PyUnicode_FromFormat("<rchan.Event %R: number %d of channel '%s'>", self->name, self->id,
                                self->channel->open ? self->channel->open->base : "(closed)");
}

static PyObject *get_reduce(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyObject_CallMethod(SELF(object)->source, "_reduce_event", "O", object);
}

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct bind_event, weakrefs), READONLY, NULL},
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(struct bind_event, vectorcall), READONLY, NULL},
    {"name", T_OBJECT, offsetof(struct bind_event, name), READONLY, "the event type's name"},
    {"id", T_USHORT, offsetof(struct bind_event, id), READONLY, "its number in the channel"},
    {"_source", T_OBJECT, offsetof(struct bind_event, source), READONLY, NULL},
    {0},
};

static PyMethodDef methods[] = {
    {"_new", (PyCFunction)(void (*)(void))new_event,
     METH_CLASS | METH_METHOD | METH_FASTCALL | METH_KEYWORDS, NULL},
    {"emit", (PyCFunction)(void (*)(void))emit, METH_FASTCALL,
     "emit($self, /, *values)\n--\n\nThe same as calling it, by position only. `emit = event.emit` "
     "outside a hot loop is the fastest form."},
    {"__reduce__", get_reduce, METH_NOARGS, NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (char *)"A type of events of a channel; calling it writes one.\n\n"
                        "Made by `Tracer.event`. The values of the fields in their order, or by "
                        "name; True, or False: it was dropped and counted. Raises WrongType "
                        "(number or type of values), FieldError (a value that the field cannot "
                        "hold), ChannelClosed; then nothing is written."},
    {Py_tp_call, call_with},
    {Py_tp_repr, repr},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core.Event",
    .basicsize = sizeof(struct bind_event),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = slots,
};

int bind_event_ready(PyObject *module, struct bind_state *state)
{
    state->event = bind_type(module, &spec, "Event");
    return state->event ? 0 : -1;
}
