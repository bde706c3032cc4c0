/* Events into Python objects. */
#include <string.h>

#include "decode.h"

static PyObject *text_at(struct bind_decoder *self, const uint8_t **at)
{
    const char *from = (const char *)*at;
    size_t length = strlen(from);
    *at += length + 1;
    if (!decode_is_utf8((const uint8_t *)from, length))
        self->damage[DECODE_TEXT]++;
    return PyUnicode_DecodeUTF8(from, (Py_ssize_t)length, "replace");
}

static PyObject *bytes_at(const uint8_t **at)
{
    uint16_t length = decode_u16(*at);
    const char *from = (const char *)*at + 2;
    *at += 2 + length;
    return PyBytes_FromStringAndSize(from, length);
}

static PyObject *float_at(enum bind_kind kind, const uint8_t *at)
{
    float narrow;
    double wide;
    if (kind == BIND_F32) {
        memcpy(&narrow, at, sizeof narrow);
        return PyFloat_FromDouble((double)narrow);
    }
    memcpy(&wide, at, sizeof wide);
    return PyFloat_FromDouble(wide);
}

static PyObject *int_at(enum bind_kind kind, const uint8_t *at)
{
    switch (kind) {
    case BIND_U8:
        return PyLong_FromLong(*at);
    case BIND_I8:
        return PyLong_FromLong((int8_t)*at);
    case BIND_U16:
        return PyLong_FromLong(decode_u16(at));
    case BIND_I16:
        return PyLong_FromLong((int16_t)decode_u16(at));
    case BIND_U32:
        return PyLong_FromUnsignedLong(decode_u32(at));
    case BIND_I32:
        return PyLong_FromLong((int32_t)decode_u32(at));
    case BIND_U64:
        return PyLong_FromUnsignedLongLong(decode_u64(at));
    default:
        return PyLong_FromLongLong((int64_t)decode_u64(at));
    }
}

/* Its label; a number that has none stays one. */
static PyObject *labelled(PyObject *labels, PyObject *number)
{
    if (!labels || !number)
        return number;
    PyObject *label = PyDict_GetItemWithError(labels, number);
    if (!label && !PyErr_Occurred())
        return number;
    Py_DECREF(number);
    return Py_XNewRef(label);
}

static PyObject *scalar_at(struct bind_decoder *self, const struct decode_field *field,
                           const uint8_t **at)
{
    const uint8_t *from = *at;
    *at += decode_sizes[field->kind];
    switch (field->kind) {
    case BIND_STRING:
    case BIND_TEXT:
        return text_at(self, at);
    case BIND_BYTES:
        return bytes_at(at);
    case BIND_BOOL:
        return PyBool_FromLong(*from);
    case BIND_F32:
    case BIND_F64:
        return float_at(field->kind, from);
    default:
        return labelled(field->labels, int_at(field->kind, from));
    }
}

static PyObject *value_at(struct bind_decoder *self, const struct decode_field *field,
                          const uint8_t **at)
{
    if (field->count == BIND_SCALAR)
        return scalar_at(self, field, at);
    int32_t count = field->count;
    if (count == BIND_VARIABLE) {
        count = decode_u16(*at);
        *at += 2;
    }
    PyObject *list = PyList_New(count);
    for (int32_t i = 0; list && i < count; i++) {
        PyObject *value = scalar_at(self, field, at);
        if (!value || PyList_SetItem(list, i, value))
            Py_CLEAR(list);
    }
    return list;
}

PyObject *decode_to_row(struct bind_decoder *self, const struct decode_type *type,
                        const uint8_t *event)
{
    PyObject *fields = PyDict_New();
    const uint8_t *at = event + DECODE_FIELDS_AT;
    for (uint16_t i = 0; fields && i < type->n_fields; i++) {
        PyObject *value = value_at(self, &type->fields[i], &at);
        if (!value || PyDict_SetItem(fields, type->fields[i].name, value) < 0)
            Py_CLEAR(fields);
        Py_XDECREF(value);
    }
    if (!fields)
        return NULL;
    int64_t time = decode_realtime(&self->clock, decode_u64(event + DECODE_STAMP_AT));
    return Py_BuildValue("(OLHIIN)", type->name, (long long)time, decode_u16(event + DECODE_CPU_AT),
                         decode_u32(event + DECODE_PID_AT), decode_u32(event + DECODE_TID_AT),
                         fields);
}
