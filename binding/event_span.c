/* Spans: `with spans.span("parse", file=name):` writes an event at its begin and one at its end. */
#include <errno.h>
#include <string.h>

#include "../core/clock.h"
#include "../core/task.h"
#include "event.h"

#define PID_SHIFT 42 /* process ids have 22 bits */
enum { CACHE = 64, INLINE_VALUES = 256, ID_LENGTH = 8 };

/* ---- what a span is made from ---- */

/* One use in the program: its name and argument names are the very same objects each time. */
struct use {
    PyObject *name, *names; /* names: tuple, or NULL */
    struct bind_event *begin, *end;
    bool ordered; /* the fields of begin have the order of the names */
};

struct bind_spans {
    PyObject_HEAD struct bind_state *state;
    PyObject *declare; /* (name, names, values) -> (begin event, end event) */
    struct use uses[CACHE];
};

struct bind_span {
    PyObject_HEAD struct bind_event *begin, *end;
    struct bind_state *state;
    bind_vectorcall vectorcall;
    uint64_t id;
    bool active;   /* begun and not ended */
    bool recorded; /* its begin was stored: so its end is worth writing */
    uint32_t length;
    uint8_t *heap;                 /* values that are longer than `values` */
    uint8_t values[INLINE_VALUES]; /* ID_LENGTH for the id, then the fields of begin */
};

/* Never twice while the machine is up: numbers grow slower than nanoseconds. */
static uint64_t next_id(void)
{
    static rchan_a64 last;
    uint64_t mask = (UINT64_C(1) << PID_SHIFT) - 1, id = rchan_load(&last);
    if (rchan_unlikely(!id)) /* by whoever is first, of all interpreters */
        rchan_swap_word(&last, 0, rchan_now_ns());
    id = rchan_count(&last, 1) + 1;
    return (uint64_t)rchan_task_now().pid << PID_SHIFT | (id & mask);
}

/* ---- Span ---- */

static PyObject *enter(PyObject *object)
{
    struct bind_span *self = (struct bind_span *)object;
    if (self->active)
        return bind_raise(self->state, "SpanActive", EBUSY,
                          "span '%U' is active: it cannot be entered again before it is left",
                          self->begin->name);
    uint8_t *values = self->heap ? self->heap : self->values;
    self->id = next_id();
    memcpy(values, &self->id, ID_LENGTH);
    int stored = bind_event_store(self->begin, values, self->length);
    if (stored < 0)
        return NULL;
    self->recorded = stored;
    self->active = true;
    return Py_NewRef(object);
}

static PyObject *leave(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    struct bind_span *self = (struct bind_span *)object;
    uint8_t values[ID_LENGTH + 1];
    if (!self->active)
        return bind_raise(self->state, "SpanActive", EINVAL, "span '%U' is not active",
                          self->begin->name);
    self->active = false;
    if (!self->recorded)
        return Py_NewRef(Py_False);
    memcpy(values, &self->id, ID_LENGTH);
    values[ID_LENGTH] = n_args && args[0] != Py_None; /* left by an exception */
    int stored = bind_event_store(self->end, values, sizeof values);
    return stored < 0 ? NULL : Py_NewRef(Py_False);
}

static void span_dealloc(PyObject *object)
{
    struct bind_span *self = (struct bind_span *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_DECREF(OBJECT(self->begin));
    Py_DECREF(OBJECT(self->end));
    if (rchan_unlikely(self->heap != NULL))
        PyMem_Free(self->heap);
    PyObject_Free(self);
    Py_DECREF(OBJECT(type));
}

static PyMemberDef span_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(struct bind_span, vectorcall), READONLY, NULL},
    {"id", T_ULONGLONG, offsetof(struct bind_span, id), READONLY,
     "the number of its two events, once it was entered"},
    {"active", T_BOOL, offsetof(struct bind_span, active), READONLY, "entered and not left"},
    {0},
};

/* A `with` block asks the type for __enter__ and __exit__ and binds them to the span: two objects
 * made and dropped, which is as much work as the events. Here the span itself is what it gets: called
 * without arguments it is entered, with the three of an exit it is left. */
static PyObject *span_call(PyObject *object, PyObject *const *args, size_t n_args, PyObject *names)
{
    Py_ssize_t count = (Py_ssize_t)(n_args & ~BIND_ARGUMENTS_OFFSET);
    if (rchan_likely(!names && count == 0))
        return enter(object);
    if (rchan_likely(!names && count == 3))
        return leave(object, args, count);
    return bind_raise(((struct bind_span *)object)->state, "WrongType", EINVAL,
                      "a span is for a with block: it is not called");
}

static PyObject *span_call_with(PyObject *object, PyObject *args, PyObject *given)
{
    PyObject *values[3] = {0};
    Py_ssize_t count = given ? -1 : PyTuple_Size(args);
    for (Py_ssize_t i = 0; i < count && i < 3; i++)
        values[i] = PyTuple_GetItem(args, i);
    return span_call(object, values, count < 0 ? 1 : (size_t)count, NULL);
}

static PyObject *span_itself(PyObject *descriptor, PyObject *span, PyObject *type)
{
    (void)type;
    return Py_NewRef(span ? span : descriptor);
}

/* From the class, as contextlib.ExitStack does it: Span.__exit__(span, None, None, None). */
static PyObject *method_call(PyObject *object, PyObject *args, PyObject *given)
{
    (void)object;
    Py_ssize_t count = PyTuple_Size(args);
    PyObject *rest = count > 0 ? PyTuple_GetSlice(args, 1, count) : PyTuple_New(0);
    PyObject *span = count > 0 ? PyTuple_GetItem(args, 0) : Py_None;
    PyObject *result = rest ? PyObject_Call(span, rest, given) : NULL;
    Py_XDECREF(rest);
    return result;
}

static void method_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_Free(object);
    Py_DECREF(OBJECT(type));
}

static PyType_Slot method_slots[] = {
    {Py_tp_doc, (char *)"__enter__ and __exit__ of a span."},
    {Py_tp_descr_get, span_itself},
    {Py_tp_call, method_call},
    {Py_tp_dealloc, method_dealloc},
    {0},
};

static PyType_Spec method_spec = {
    .name = "rchan._core.SpanMethod",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = method_slots,
};

static int add_span_methods(PyObject *module, PyTypeObject *span)
{
    PyTypeObject *type = bind_type(module, &method_spec, NULL);
    PyObject *method = type ? OBJECT(PyObject_New(PyObject, type)) : NULL;
    int result = !method || PyObject_SetAttrString(OBJECT(span), "__enter__", method) ||
                 PyObject_SetAttrString(OBJECT(span), "__exit__", method);
    Py_XDECREF(method);
    Py_XDECREF(OBJECT(type));
    return result;
}

static PyType_Slot span_slots[] = {
    {Py_tp_doc, (char *)"A span of time between two events; made by `Tracer.span`."},
    {Py_tp_dealloc, span_dealloc},
    {Py_tp_call, span_call_with},
    {Py_tp_members, span_members},
    {0},
};

static PyType_Spec span_spec = {
    .name = "rchan._core.Span",
    .basicsize = sizeof(struct bind_span),
    /* Not known to the garbage collector: nothing that it holds can come to hold it. */
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = span_slots,
};

/* ---- Spans ---- */

static void use_clear(struct use *use)
{
    struct use old = *use;
    memset(use, 0, sizeof *use);
    Py_XDECREF(old.name);
    Py_XDECREF(old.names);
    Py_XDECREF(OBJECT(old.begin));
    Py_XDECREF(OBJECT(old.end));
}

static PyObject *values_of(PyObject *const *args, Py_ssize_t count)
{
    PyObject *values = PyTuple_New(count);
    for (Py_ssize_t i = 0; values && i < count; i++)
        PyTuple_SetItem(values, i, Py_NewRef(args[i]));
    return values;
}

/* Where the value of a field of begin is among those given, by name. */
static Py_ssize_t position_of(const struct bind_field *field, PyObject *names)
{
    for (Py_ssize_t i = 0; i < PyTuple_Size(names); i++)
        if (PyUnicode_Compare(field->name, PyTuple_GetItem(names, i)) == 0)
            return i;
    return -1;
}

static bool same_order(const struct bind_event *begin, PyObject *names)
{
    for (uint16_t i = 1; i < begin->n_fields; i++)
        if (position_of(&begin->fields[i], names) != i - 1)
            return false;
    return true;
}

/* Ask Python what the events of this span are. False: an exception. */
static bool declare(const struct bind_spans *self, struct use *use, PyObject *name, PyObject *names,
                    PyObject *const *args)
{
    PyObject *values = values_of(args, names ? PyTuple_Size(names) : 0);
    PyObject *keys = names ? Py_NewRef(names) : PyTuple_New(0);
    PyObject *pair = values && keys
                         ? PyObject_CallFunctionObjArgs(self->declare, name, keys, values, NULL)
                         : NULL;
    Py_XDECREF(values);
    Py_XDECREF(keys);
    PyObject *begin, *end;
    bool good = pair && PyArg_ParseTuple(pair, "O!O!", self->state->event, &begin,
                                         self->state->event, &end);
    if (good) {
        use_clear(use);
        *use = (struct use){
            .name = Py_NewRef(name),
            .names = names ? Py_NewRef(names) : NULL,
            .begin = (struct bind_event *)Py_NewRef(begin),
            .end = (struct bind_event *)Py_NewRef(end),
            .ordered = !names || same_order((struct bind_event *)begin, names),
        };
    }
    Py_XDECREF(pair);
    return good;
}

static struct use *use_of(struct bind_spans *self, PyObject *name, PyObject *names,
                          PyObject *const *args)
{
    uintptr_t mixed = (uintptr_t)name ^ (uintptr_t)names * 3;
    struct use *use = &self->uses[(mixed >> 4 ^ mixed >> 10) % CACHE];
    if (rchan_likely(use->name == name && use->names == names))
        return use;
    return declare(self, use, name, names, args) ? use : NULL;
}

/* The values of begin, encoded behind room for the id. */
static bool take_values(struct bind_span *span, const struct use *use, PyObject *const *args,
                        PyObject *names)
{
    const struct bind_event *begin = span->begin;
    Py_ssize_t count = names ? PyTuple_Size(names) : 0;
    struct bind_sink sink;
    bind_sink_init(&sink);
    bool ordered = use->ordered; /* a value's __index__ may run anything, and that change the use */
    bool good = count + 1 == begin->n_fields;
    if (!good)
        bind_raise(span->state, "WrongType", EINVAL, "span '%U' has other fields", begin->name);
    sink.at += ID_LENGTH;
    if (rchan_likely(good && ordered))
        good = bind_encode_positional(begin, 1, args, &sink);
    for (Py_ssize_t i = 0; good && !ordered && i < count; i++) {
        const struct bind_field *field = &begin->fields[i + 1];
        Py_ssize_t at = position_of(field, names);
        good = at >= 0 && bind_encode(begin, field, args[at], &sink);
    }
    size_t length = (size_t)(sink.at - sink.start);
    uint8_t *to = span->values;
    if (good && length > sizeof span->values) {
        to = span->heap = PyMem_Malloc(length);
        if (!to) {
            PyErr_NoMemory();
            good = false;
        }
    }
    if (good)
        memcpy(to, sink.start, length);
    span->length = (uint32_t)length;
    bind_sink_free(&sink);
    return good;
}

static PyObject *make_span(PyObject *object, PyObject *const *args, Py_ssize_t n_args,
                           PyObject *names)
{
    struct bind_spans *self = (struct bind_spans *)object;
    if (rchan_unlikely(n_args != 1 || !PyUnicode_Check(args[0])))
        return bind_raise(self->state, "WrongType", EINVAL,
                          "span() takes the span's name, a str, and fields by name");
    struct use *use = use_of(self, args[0], names, args + 1);
    struct bind_span *span = use ? PyObject_New(struct bind_span, self->state->span) : NULL;
    if (!span)
        return NULL;
    span->id = 0;
    span->active = span->recorded = false;
    span->heap = NULL;
    span->vectorcall = span_call;
    span->begin = (struct bind_event *)Py_NewRef(OBJECT(use->begin));
    span->end = (struct bind_event *)Py_NewRef(OBJECT(use->end));
    span->state = self->state;
    if (!take_values(span, use, args + 1, names)) {
        Py_DECREF(OBJECT(span));
        return NULL;
    }
    return OBJECT(span);
}

static PyObject *new_spans(PyObject *type, PyTypeObject *defining, PyObject *const *args,
                           Py_ssize_t n_args, PyObject *given)
{
    static const char *const names[] = {"declare"};
    struct bind_state *state = PyType_GetModuleState(defining);
    PyObject *callable;
    if (!bind_parse("_new", names, 1, 1, args, n_args, given, &callable))
        return NULL;
    struct bind_spans *self = bind_alloc((PyTypeObject *)type);
    if (!self)
        return NULL;
    self->state = state;
    self->declare = Py_NewRef(callable);
    return OBJECT(self);
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    struct bind_spans *self = (struct bind_spans *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->declare);
    for (int i = 0; i < CACHE; i++) {
        Py_VISIT(self->uses[i].begin);
        Py_VISIT(self->uses[i].end);
    }
    return 0;
}

static int clear(PyObject *object)
{
    struct bind_spans *self = (struct bind_spans *)object;
    Py_CLEAR(self->declare);
    for (int i = 0; i < CACHE; i++)
        use_clear(&self->uses[i]);
    return 0;
}

static void dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    clear(object);
    bind_free(object);
}

static PyMethodDef methods[] = {
    {"_new", (PyCFunction)(void (*)(void))new_spans,
     METH_CLASS | METH_METHOD | METH_FASTCALL | METH_KEYWORDS, NULL},
    {"span", (PyCFunction)(void (*)(void))make_span, METH_FASTCALL | METH_KEYWORDS,
     "span(name, /, **fields): a context manager; see rchan.Tracer.span."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (char *)"Makes the spans of a Tracer."},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core.Spans",
    .basicsize = sizeof(struct bind_spans),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int bind_event_span_ready(PyObject *module, struct bind_state *state)
{
    state->span = bind_type(module, &span_spec, "Span");
    if (!state->span || add_span_methods(module, state->span))
        return -1;
    state->spans = bind_type(module, &spec, "Spans");
    return state->spans ? 0 : -1;
}
