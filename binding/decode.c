/* Decoder: events of several streams of packets, merged by time. */
#include <errno.h>
#include <string.h>

#include "decode.h"

#define SELF(object) ((struct bind_decoder *)(object))

enum { FULL_COLUMN = 1 << 28 }; /* bytes: an event more, and its offsets still have 32 bits */

static const char *const causes[DECODE_CAUSES] = {
    [DECODE_SHORT] = "short",         [DECODE_MAGIC] = "magic", [DECODE_ORDER] = "byte_order",
    [DECODE_UUID] = "other_trace",    [DECODE_SIZE] = "size",   [DECODE_TIME] = "time",
    [DECODE_TRUNCATED] = "truncated", [DECODE_COUNT] = "count", [DECODE_ID] = "unknown_id",
    [DECODE_CUT] = "cut_event",       [DECODE_STAMP] = "stamp", [DECODE_TEXT] = "text",
};

/* ---- which stream is next ---- */

static bool earlier(const struct decode_stream *one, const struct decode_stream *other)
{
    return one->stamp != other->stamp ? one->stamp < other->stamp : one->id < other->id;
}

static void sink(struct bind_decoder *self)
{
    struct decode_stream *stream = self->heap[0];
    uint32_t place = 0;
    for (uint32_t child = 1; child < self->n_heap; child = 2 * place + 1) {
        if (child + 1 < self->n_heap && earlier(self->heap[child + 1], self->heap[child]))
            child++;
        if (!earlier(self->heap[child], stream))
            break;
        self->heap[place] = self->heap[child];
        place = child;
    }
    self->heap[place] = stream;
}

static void rise(struct bind_decoder *self, struct decode_stream *stream)
{
    uint32_t place = self->n_heap++;
    for (; place && earlier(stream, self->heap[(place - 1) / 2]); place = (place - 1) / 2)
        self->heap[place] = self->heap[(place - 1) / 2];
    self->heap[place] = stream;
}

/* Of the streams that may get more: no event that they will have is before this. */
static uint64_t fill_heap(struct bind_decoder *self, bool all)
{
    uint64_t limit = UINT64_MAX;
    self->n_heap = 0;
    for (uint32_t i = 0; i < self->n_streams; i++) {
        struct decode_stream *stream = self->streams[i];
        if (stream->at || decode_advance(self, stream))
            rise(self, stream);
        else if (stream->open && !all && stream->stamp < limit)
            limit = stream->stamp;
    }
    return limit;
}

/* Past the event that was given out: the stream's next one. Lowers *limit if it may get more. */
static void go_on(struct bind_decoder *self, struct decode_stream *stream, bool all,
                  uint64_t *limit)
{
    stream->at = stream->after;
    stream->read++;
    if (decode_advance(self, stream)) {
        sink(self);
        return;
    }
    if (stream->open && !all && stream->stamp < *limit)
        *limit = stream->stamp;
    self->heap[0] = self->heap[--self->n_heap];
    if (self->n_heap)
        sink(self);
}

/* Give out up to `most` events by time. Appends rows to `list`, or columns if it is NULL.
 * The number of events; -1: an exception. */
static Py_ssize_t decode(struct bind_decoder *self, Py_ssize_t most, bool all, PyObject *list)
{
    Py_ssize_t found = 0;
    uint64_t limit = fill_heap(self, all);
    while (found < most && self->n_heap && self->heap[0]->stamp <= limit) {
        struct decode_stream *stream = self->heap[0];
        struct decode_type *type = &self->types[stream->type];
        if (rchan_unlikely(stream->stamp < self->newest))
            self->late++;
        else
            self->newest = stream->stamp;
        self->events++;
        if (type->wanted && list) {
            PyObject *row = decode_to_row(self, type, stream->at);
            int failed = !row || PyList_Append(list, row);
            Py_XDECREF(row);
            if (failed)
                return -1;
            found++;
        } else if (type->wanted) {
            if (!decode_to_columns(self, type, stream->at))
                return -1;
            found++;
        }
        go_on(self, stream, all, &limit);
        if (rchan_unlikely(self->longest > FULL_COLUMN))
            break;
    }
    return found;
}

static bool enter(struct bind_decoder *self)
{
    if (self->busy) {
        bind_raise(self->state, "ChannelBusy", ETIMEDOUT,
                   "this decoder is in use: it is for one "
                   "thread at a time");
        return false;
    }
    return self->busy = true;
}

/* ---- methods ---- */

static PyObject *rows(PyObject *object, PyObject *args)
{
    Py_ssize_t most;
    int all;
    if (!PyArg_ParseTuple(args, "np:rows", &most, &all) || !enter(SELF(object)))
        return NULL;
    PyObject *list = PyList_New(0);
    if (list && decode(SELF(object), most, all, list) < 0)
        Py_CLEAR(list);
    SELF(object)->busy = false;
    return list;
}

static PyObject *columns(PyObject *object, PyObject *args)
{
    struct bind_decoder *self = SELF(object);
    Py_ssize_t most;
    int all;
    if (!PyArg_ParseTuple(args, "np:columns", &most, &all) || !enter(self))
        return NULL;
    Py_ssize_t found = decode(self, most, all, NULL);
    for (uint32_t i = 0; found < 0 && i < self->n_types; i++)
        decode_drop_columns(&self->types[i]);
    self->busy = false;
    return found < 0 ? NULL : PyLong_FromSsize_t(found);
}

static struct decode_type *type_of(struct bind_decoder *self, PyObject *number)
{
    unsigned long id = PyLong_AsUnsignedLong(number);
    if (PyErr_Occurred())
        return NULL;
    if (id < self->n_types)
        return &self->types[id];
    PyErr_SetString(PyExc_IndexError, "no such event type");
    return NULL;
}

static PyObject *take(PyObject *object, PyObject *number)
{
    struct bind_decoder *self = SELF(object);
    struct decode_type *type = type_of(self, number);
    if (!type || !enter(self))
        return NULL;
    PyObject *taken = decode_take_columns(self, type);
    self->longest = 0; /* of another type: it is seen again at its next event */
    self->busy = false;
    return taken;
}

static PyObject *feed(PyObject *object, PyObject *args)
{
    unsigned id;
    Py_buffer data;
    int finished;
    if (!PyArg_ParseTuple(args, "Iy*p:feed", &id, &data, &finished))
        return NULL;
    bool done = enter(SELF(object));
    if (done) {
        done = decode_feed(SELF(object), id, data.buf, (size_t)data.len, finished);
        SELF(object)->busy = false;
    }
    PyBuffer_Release(&data);
    return done ? Py_NewRef(Py_None) : NULL;
}

static PyObject *set_open(PyObject *object, PyObject *args)
{
    unsigned id;
    int open;
    if (!PyArg_ParseTuple(args, "Ip:set_open", &id, &open) || !enter(SELF(object)))
        return NULL;
    struct decode_stream *stream = decode_stream_of(SELF(object), id);
    if (stream)
        stream->open = open;
    SELF(object)->busy = false;
    return stream ? Py_NewRef(Py_None) : NULL;
}

static PyObject *full(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(SELF(object)->longest > FULL_COLUMN);
}

static PyObject *dry(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct bind_decoder *self = SELF(object);
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list && i < self->n_streams; i++) {
        if (!self->streams[i]->open || self->streams[i]->first)
            continue;
        PyObject *id = PyLong_FromUnsignedLong(self->streams[i]->id);
        if (!id || PyList_Append(list, id))
            Py_CLEAR(list);
        Py_XDECREF(id);
    }
    return list;
}

static bool put_count(PyObject *dict, const char *name, uint64_t count)
{
    PyObject *number = PyLong_FromUnsignedLongLong(count);
    bool done = number && PyDict_SetItemString(dict, name, number) == 0;
    Py_XDECREF(number);
    return done;
}

static PyObject *counts(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct bind_decoder *self = SELF(object);
    PyObject *damage = PyDict_New();
    for (int i = 0; damage && i < DECODE_CAUSES; i++)
        if (self->damage[i] && !put_count(damage, causes[i], self->damage[i]))
            Py_CLEAR(damage);
    if (!damage)
        return NULL;
    return Py_BuildValue("(KKKKKKKN)", self->packets, self->events, self->late,
                         self->skipped_events, self->skipped_bytes, self->discarded_events,
                         self->missing_packets, damage);
}

/* ---- event types ---- */

static bool read_field(PyObject *from, struct decode_field *field)
{
    int kind, count;
    PyObject *name, *labels;
    if (!PyArg_ParseTuple(from, "UiOi", &name, &kind, &labels, &count))
        return false;
    if (kind < 0 || kind >= BIND_KINDS || count < BIND_VARIABLE || count > BIND_MOST ||
        (kind == BIND_BYTES && count != BIND_SCALAR) ||
        (labels != Py_None && (!PyDict_CheckExact(labels) || kind > BIND_I64))) {
        PyErr_SetString(PyExc_ValueError, "no such field");
        return false;
    }
    field->name = Py_NewRef(name);
    field->labels = labels == Py_None ? NULL : Py_NewRef(labels);
    field->kind = (enum bind_kind)kind;
    field->count = count;
    return true;
}

static void free_type(struct decode_type *type)
{
    decode_drop_columns(type);
    for (uint16_t i = 0; i < type->n_fields; i++) {
        Py_XDECREF(type->fields[i].name);
        Py_XDECREF(type->fields[i].labels);
    }
    PyMem_Free(type->fields);
    Py_XDECREF(type->name);
}

static void measure_type(struct decode_type *type)
{
    type->fixed = 0;
    for (uint16_t i = 0; i < type->n_fields; i++) {
        const struct decode_field *field = &type->fields[i];
        uint32_t size = decode_sizes[field->kind];
        if (!size || field->count == BIND_VARIABLE) {
            type->fixed = UINT32_MAX;
            return;
        }
        type->fixed += field->count == BIND_SCALAR ? size : size * (uint32_t)field->count;
    }
}

static bool room_for_type(struct bind_decoder *self)
{
    if (self->n_types < self->room_types)
        return true;
    uint32_t room = self->room_types ? self->room_types * 2 : 64;
    struct decode_type *types = PyMem_Realloc(self->types, room * sizeof *types);
    if (!types)
        return PyErr_NoMemory() != NULL;
    self->types = types;
    self->room_types = room;
    return true;
}

static PyObject *add(PyObject *object, PyObject *args)
{
    struct bind_decoder *self = SELF(object);
    PyObject *name, *fields;
    int wanted;
    if (!PyArg_ParseTuple(args, "UO!p:add", &name, &PyTuple_Type, &fields, &wanted) || !enter(self))
        return NULL;
    Py_ssize_t n_fields = PyTuple_Size(fields);
    struct decode_type type = {.wanted = wanted};
    bool done = self->n_types < BIND_MOST && n_fields <= 255 && room_for_type(self);
    if (done)
        type.fields = PyMem_Calloc((size_t)n_fields + 1, sizeof *type.fields);
    done = done && type.fields;
    type.name = Py_NewRef(name);
    for (Py_ssize_t i = 0; done && i < n_fields; i++) {
        done = read_field(PyTuple_GetItem(fields, i), &type.fields[i]);
        type.n_fields += done;
    }
    measure_type(&type);
    if (done)
        self->types[self->n_types++] = type;
    else
        free_type(&type);
    self->busy = false;
    if (!done && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "no such event type");
    return done ? Py_NewRef(Py_None) : NULL;
}

/* ---- the object ---- */

static PyObject *new_decoder(PyTypeObject *type, PyObject *args, PyObject *names)
{
    const char *uuid;
    Py_ssize_t length;
    unsigned long long anchor, frequency;
    long long realtime;
    if (names && PyDict_Size(names)) {
        PyErr_SetString(PyExc_TypeError, "Decoder() takes no named arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "y#KLK:Decoder", &uuid, &length, &anchor, &realtime, &frequency))
        return NULL;
    if (length != 16 || !frequency) {
        PyErr_SetString(PyExc_ValueError, "a uuid has 16 bytes, and a frequency is not 0");
        return NULL;
    }
    struct bind_decoder *self = bind_alloc(type);
    if (!self)
        return NULL;
    unsigned __int128 factor =
        ((unsigned __int128)UINT64_C(1000000000) << 64) / (unsigned __int128)frequency;
    self->state = PyType_GetModuleState(type);
    self->clock = (struct decode_clock){
        .anchor = anchor,
        .frequency = frequency,
        .realtime_ns = realtime,
        .factor = factor >> 64 ? 0 : (uint64_t)factor,
    };
    memcpy(self->uuid, uuid, sizeof self->uuid);
    return OBJECT(self);
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    return 0;
}

static void dealloc(PyObject *object)
{
    struct bind_decoder *self = SELF(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs)
        PyObject_ClearWeakRefs(object);
    for (uint32_t i = 0; i < self->n_types; i++)
        free_type(&self->types[i]);
    for (uint32_t i = 0; i < self->n_streams; i++)
        decode_stream_free(self->streams[i]);
    while (self->spare) {
        struct decode_packet *next = self->spare->next;
        PyMem_Free(self->spare);
        self->spare = next;
    }
    PyMem_Free(self->types);
    PyMem_Free(self->streams);
    PyMem_Free(self->heap);
    bind_free(self);
}

static PyMethodDef methods[] = {
    {"add", add, METH_VARARGS, "add(name, fields, wanted): the event type of the next id."},
    {"feed", feed, METH_VARARGS, "feed(stream, data, finished): a packet, copied."},
    {"set_open", set_open, METH_VARARGS, "set_open(stream, open): may more packets come?"},
    {"dry", dry, METH_NOARGS, "Open streams that have no packet left."},
    {"full", full, METH_NOARGS, "Must the columns be taken before there are more events?"},
    {"rows", rows, METH_VARARGS, "rows(most, all): the next events; all: also if older may come."},
    {"columns", columns, METH_VARARGS,
     "columns(most, all): the next events, for take(). How many."},
    {"take", take, METH_O, "take(id): (rows, time, cpu, pid, tid, fields) of columns."},
    {"counts", counts, METH_NOARGS, "What was read, skipped, and lost before."},
    {0},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct bind_decoder, weakrefs), READONLY, NULL},
    {"n_types", T_UINT, offsetof(struct bind_decoder, n_types), READONLY, "Types that were added."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)"Decoder(uuid, anchor stamp, anchor ns, frequency): of one trace."},
    {Py_tp_new, new_decoder},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core.Decoder",
    .basicsize = sizeof(struct bind_decoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int bind_decoder_ready(PyObject *module, struct bind_state *state)
{
    state->decoder = bind_type(module, &spec, "Decoder");
    return state->decoder ? decode_block_ready(module, state) : -1;
}
