/* Events into columns, as Apache Arrow lays them out: values, bits, offsets and bytes. */
#include <string.h>

#include "decode.h"

enum { ROOM_AT_FIRST = 1024 };

/* A column's memory, taken over: what Arrow arrays are made over. */
struct decode_block {
    PyObject_HEAD uint8_t *data;
    size_t length;
};

static bool grow(struct decode_column *column, size_t more)
{
    size_t room = column->room ? column->room : ROOM_AT_FIRST;
    while (room - column->used < more)
        room *= 2;
    uint8_t *data = PyMem_Realloc(column->data, room);
    if (!data)
        return PyErr_NoMemory() != NULL;
    column->data = data;
    column->room = room;
    return true;
}

static inline bool room_for(struct decode_column *column, size_t more)
{
    return rchan_likely(column->room - column->used >= more) || grow(column, more);
}

static inline bool append(struct decode_column *column, const void *from, size_t length)
{
    if (rchan_unlikely(!length))
        return true; /* there may be no memory yet to point into */
    if (rchan_unlikely(!room_for(column, length)))
        return false;
    memcpy(column->data + column->used, from, length);
    column->used += length;
    return true;
}

/* Of a length that is known when compiled: one store. */
#define APPEND(column, from, length) append(column, from, length)

static bool append_bit(struct decode_column *column, uint64_t number, bool value)
{
    if (number % 8 == 0 && !append(column, "", 1))
        return false;
    column->data[number / 8] |= (uint8_t)(value << (number % 8));
    return true;
}

/* The offset where the next one starts; the first is 0. */
static bool append_offset(struct decode_column *column, uint64_t offset)
{
    int32_t zero = 0, stored = (int32_t)offset;
    if (!column->used && !append(column, &zero, sizeof zero))
        return false;
    return append(column, &stored, sizeof stored);
}

static bool append_replaced(struct decode_column *column, const uint8_t *from, size_t length)
{
    PyObject *text = PyUnicode_DecodeUTF8((const char *)from, (Py_ssize_t)length, "replace");
    Py_ssize_t size = 0;
    const char *good = text ? PyUnicode_AsUTF8AndSize(text, &size) : NULL;
    bool done = good && append(column, good, (size_t)size);
    Py_XDECREF(text);
    return done;
}

static bool append_text(struct bind_decoder *self, struct decode_field *field, const uint8_t **at)
{
    size_t length = strlen((const char *)*at);
    bool done;
    if (rchan_likely(decode_is_utf8(*at, length))) {
        done = append(&field->values, *at, length);
    } else {
        self->damage[DECODE_TEXT]++;
        done = append_replaced(&field->values, *at, length);
    }
    *at += length + 1;
    return done && append_offset(&field->offsets, field->values.used);
}

static bool append_bytes(struct decode_field *field, const uint8_t **at)
{
    size_t length = decode_u16(*at);
    bool done = append(&field->values, *at + 2, length);
    *at += 2 + length;
    return done && append_offset(&field->offsets, field->values.used);
}

/* One value that is no array. */
static inline bool append_scalar(struct bind_decoder *self, struct decode_field *field,
                                 const uint8_t **at)
{
    const uint8_t *from = *at;
    field->elements++;
    switch (field->kind) {
    case BIND_STRING:
    case BIND_TEXT:
        return append_text(self, field, at);
    case BIND_BYTES:
        return append_bytes(field, at);
    case BIND_BOOL:
        *at += 1;
        return append_bit(&field->values, field->elements - 1, *from != 0);
    case BIND_U8:
    case BIND_I8:
        *at += 1;
        return APPEND(&field->values, from, 1);
    case BIND_U16:
    case BIND_I16:
        *at += 2;
        return APPEND(&field->values, from, 2);
    case BIND_U32:
    case BIND_I32:
    case BIND_F32:
        *at += 4;
        return APPEND(&field->values, from, 4);
    default:
        *at += 8;
        return APPEND(&field->values, from, 8);
    }
}

static bool append_array(struct bind_decoder *self, struct decode_field *field, const uint8_t **at)
{
    uint32_t count = (uint32_t)field->count;
    if (field->count == BIND_VARIABLE) {
        count = decode_u16(*at);
        *at += 2;
    }
    size_t size = decode_sizes[field->kind];
    if (size && field->kind != BIND_BOOL) {
        field->elements += count;
        if (!append(&field->values, *at, count * size))
            return false;
        *at += count * size;
    } else {
        for (uint32_t i = 0; i < count; i++)
            if (!append_scalar(self, field, at))
                return false;
    }
    return field->count != BIND_VARIABLE || append_offset(&field->lists, field->elements);
}

bool decode_to_columns(struct bind_decoder *self, struct decode_type *type, const uint8_t *event)
{
    int64_t time = decode_realtime(&self->clock, decode_u64(event + DECODE_STAMP_AT));
    if (!APPEND(&type->time, &time, 8) || !APPEND(&type->cpu, event + DECODE_CPU_AT, 2) ||
        !APPEND(&type->pid, event + DECODE_PID_AT, 4) ||
        !APPEND(&type->tid, event + DECODE_TID_AT, 4))
        return false;
    const uint8_t *at = event + DECODE_FIELDS_AT;
    for (uint16_t i = 0; i < type->n_fields; i++) {
        struct decode_field *field = &type->fields[i];
        bool done = rchan_likely(field->count == BIND_SCALAR) ? append_scalar(self, field, &at)
                                                              : append_array(self, field, &at);
        if (!done)
            return false;
        /* Bits and empty strings: more elements than bytes. */
        uint64_t used = field->values.used;
        if (rchan_unlikely(used < field->elements))
            used = field->elements;
        if (rchan_unlikely(used > self->longest))
            self->longest = used;
    }
    type->rows++;
    return true;
}

/* ---- handing over ---- */

static PyObject *take(struct bind_decoder *self, struct decode_column *column)
{
    struct decode_block *block = bind_alloc(self->state->block);
    if (!block)
        return NULL;
    uint8_t *less = column->used ? PyMem_Realloc(column->data, column->used) : NULL;
    block->data = less ? less : column->data;
    block->length = column->used;
    memset(column, 0, sizeof *column);
    return OBJECT(block);
}

static PyObject *take_field(struct bind_decoder *self, struct decode_field *field)
{
    uint64_t elements = field->elements;
    field->elements = 0;
    return Py_BuildValue("(KNNN)", (unsigned long long)elements, take(self, &field->lists),
                         take(self, &field->offsets), take(self, &field->values));
}

PyObject *decode_take_columns(struct bind_decoder *self, struct decode_type *type)
{
    uint64_t rows = type->rows;
    type->rows = 0;
    PyObject *fields = PyTuple_New(type->n_fields);
    for (uint16_t i = 0; fields && i < type->n_fields; i++) {
        PyObject *field = take_field(self, &type->fields[i]);
        if (!field || PyTuple_SetItem(fields, i, field))
            Py_CLEAR(fields);
    }
    if (!fields) {
        decode_drop_columns(type);
        return NULL;
    }
    return Py_BuildValue("(KNNNNN)", (unsigned long long)rows, take(self, &type->time),
                         take(self, &type->cpu), take(self, &type->pid), take(self, &type->tid),
                         fields);
}

static void drop(struct decode_column *column)
{
    PyMem_Free(column->data);
    memset(column, 0, sizeof *column);
}

void decode_drop_columns(struct decode_type *type)
{
    type->rows = 0;
    drop(&type->time);
    drop(&type->cpu);
    drop(&type->pid);
    drop(&type->tid);
    for (uint16_t i = 0; i < type->n_fields; i++) {
        type->fields[i].elements = 0;
        drop(&type->fields[i].values);
        drop(&type->fields[i].offsets);
        drop(&type->fields[i].lists);
    }
}

static int get_buffer(PyObject *object, Py_buffer *view, int flags)
{
    struct decode_block *block = (struct decode_block *)object;
    void *data = block->data ? block->data : (uint8_t *)object; /* NULL is refused by some */
    return PyBuffer_FillInfo(view, object, data, (Py_ssize_t)block->length, 1, flags);
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    return 0;
}

static void dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    PyMem_Free(((struct decode_block *)object)->data);
    bind_free(object);
}

static PyType_Slot slots[] = {
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {Py_bf_getbuffer, get_buffer},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core._Block",
    .basicsize = sizeof(struct decode_block),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int decode_block_ready(PyObject *module, struct bind_state *state)
{
    state->block = bind_type(module, &spec, NULL);
    return state->block ? 0 : -1;
}
