/* Values into bytes: scalars. docs/reference/events-format.md, "Types". */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "event.h"

bool bind_sink_grow(struct bind_sink *sink, size_t length)
{
    size_t used = (size_t)(sink->at - sink->start), size = 2 * (used + length);
    uint8_t *memory = PyMem_Realloc(sink->heap, size);
    if (!memory) {
        PyErr_NoMemory();
        return false;
    }
    if (!sink->heap)
        memcpy(memory, sink->here, used);
    sink->heap = sink->start = memory;
    sink->at = memory + used;
    sink->end = memory + size;
    return true;
}

static inline bool put(struct bind_sink *sink, const void *value, size_t length)
{
    if (!bind_sink_room(sink, length))
        return false;
    memcpy(sink->at, value, length);
    sink->at += length;
    return true;
}

bool bind_field_fail(const struct bind_event *event, const struct bind_field *field,
                     const char *error, const char *format, PyObject *value)
{
    PyObject *detail = PyUnicode_FromFormat(format, value);
    if (detail)
        bind_raise(event->state, error, EINVAL, "%U(): %U %U", event->name, field->name, detail);
    Py_XDECREF(detail);
    return false;
}

/* ---- numbers ---- */

static const struct {
    long long low, high;
    const char *text;
} ranges[] = {
    [BIND_U8] = {0, UINT8_MAX, "0 to 255"},
    [BIND_U16] = {0, UINT16_MAX, "0 to 65535"},
    [BIND_U32] = {0, UINT32_MAX, "0 to 4294967295"},
    [BIND_U64] = {0, 0, "0 to 2**64 - 1"},
    [BIND_I8] = {INT8_MIN, INT8_MAX, "-128 to 127"},
    [BIND_I16] = {INT16_MIN, INT16_MAX, "-32768 to 32767"},
    [BIND_I32] = {INT32_MIN, INT32_MAX, "-2147483648 to 2147483647"},
    [BIND_I64] = {LLONG_MIN, LLONG_MAX, "-2**63 to 2**63 - 1"},
};
static const uint8_t sizes[] = {1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 1, 0, 0, 0};

static bool out_of_range(const struct bind_event *event, const struct bind_field *field,
                         PyObject *value)
{
    char format[64];
    PyErr_Clear();
    snprintf(format, sizeof format, "is out of range: it holds %s", ranges[field->kind].text);
    return bind_field_fail(event, field, "FieldError", format, value);
}

/* The exception that is pending says that it is no number at all. */
static bool not_a_number(bool *wrong)
{
    *wrong = PyErr_ExceptionMatches(PyExc_TypeError);
    if (*wrong)
        PyErr_Clear();
    return false;
}

static bool encode_u64(const struct bind_event *event, const struct bind_field *field,
                       PyObject *value, struct bind_sink *sink, bool *wrong)
{
    unsigned long long number = PyLong_AsUnsignedLongLong(value);
    if (rchan_unlikely(number == (unsigned long long)-1 && PyErr_Occurred())) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError))
            return out_of_range(event, field, value);
        PyErr_Clear();
        PyObject *integer = PyNumber_Index(value); /* no int, but may stand for one */
        if (!integer)
            return not_a_number(wrong);
        number = PyLong_AsUnsignedLongLong(integer);
        Py_DECREF(integer);
        if (number == (unsigned long long)-1 && PyErr_Occurred())
            return out_of_range(event, field, value);
    }
    return put(sink, &number, 8);
}

static bool encode_int(const struct bind_event *event, const struct bind_field *field,
                       PyObject *value, struct bind_sink *sink, bool *wrong)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (rchan_unlikely(number == -1)) {
        if (!overflow && PyErr_Occurred())
            return not_a_number(wrong);
    }
    if (rchan_unlikely(overflow || number < ranges[field->kind].low ||
                       number > ranges[field->kind].high))
        return out_of_range(event, field, value);
    /* The low bytes are the number, in either byte order. */
    switch (sizes[field->kind]) {
    case 1:
        return put(sink, &(uint8_t){(uint8_t)number}, 1);
    case 2:
        return put(sink, &(uint16_t){(uint16_t)number}, 2);
    case 4:
        return put(sink, &(uint32_t){(uint32_t)number}, 4);
    default:
        return put(sink, &number, 8);
    }
}

static bool encode_float(const struct bind_field *field, PyObject *value, struct bind_sink *sink,
                         bool *wrong)
{
    double number = PyFloat_AsDouble(value);
    if (rchan_unlikely(number == -1.0 && PyErr_Occurred())) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError)) { /* an int that no float can hold */
            PyErr_Clear();
            number = PyObject_RichCompareBool(value, Py_False, Py_GT) > 0 ? 1.0 / 0.0 : -1.0 / 0.0;
        } else {
            return not_a_number(wrong);
        }
    }
    if (field->kind == BIND_F32)
        return put(sink, &(float){(float)number}, 4);
    return put(sink, &number, 8);
}

/* The scalar of an array library that is a truth value: memory that holds one, of format '?'. */
static bool is_true_in_memory(PyObject *value, bool *wrong)
{
    Py_buffer view;
    *wrong = PyObject_GetBuffer(value, &view, PyBUF_FORMAT) != 0;
    if (*wrong) {
        PyErr_Clear();
        return false;
    }
    /* The order of its one byte may be named before it. */
    const char *format = view.format ? strchr(view.format, '?') : NULL;
    *wrong = view.len != 1 || view.ndim || !format || format[1] || format > view.format + 1;
    bool result = !*wrong && *(const uint8_t *)view.buf;
    PyBuffer_Release(&view);
    return result;
}

static bool encode_bool(PyObject *value, struct bind_sink *sink, bool *wrong)
{
    *wrong = false;
    bool given = value == Py_True;
    if (rchan_unlikely(!given && value != Py_False))
        given = is_true_in_memory(value, wrong);
    return !*wrong && put(sink, &(uint8_t){given}, 1);
}

/* A member, a label or a value: what the enum knows it as. */
static bool encode_enum(const struct bind_event *event, const struct bind_field *field,
                        PyObject *value, struct bind_sink *sink, bool *wrong)
{
    PyObject *number = PyDict_GetItemWithError(field->labels, value);
    if (!number)
        return PyErr_Occurred() ? not_a_number(wrong)
                                : bind_field_fail(event, field, "FieldError",
                                                  "is no member of its enum: %R", value);
    if (field->kind == BIND_U64)
        return encode_u64(event, field, number, sink, wrong);
    return encode_int(event, field, number, sink, wrong);
}

/* ---- strings and bytes ---- */

/* Behind a string that was cut: how many bytes of it are missing. */
enum { MARK_ROOM = 16 };

static bool put_string(struct bind_sink *sink, const char *text, size_t length, uint32_t limit)
{
    char mark[MARK_ROOM + 8] = "";
    size_t keep = length;
    if (rchan_unlikely(length > limit)) {
        keep = limit - MARK_ROOM;
        while (keep && ((uint8_t)text[keep] & 0xc0) == 0x80)
            keep--;
        snprintf(mark, sizeof mark, "\xe2\x80\xa6[+%zu]", length - keep);
    }
    size_t marked = strlen(mark);
    if (!bind_sink_room(sink, keep + marked + 1))
        return false;
    memcpy(sink->at, text, keep);
    memcpy(sink->at + keep, mark, marked + 1);
    sink->at += keep + marked + 1;
    return true;
}

/* What a string cannot hold, as backslash escapes. A new bytes object, or NULL. */
static PyObject *escaped(PyObject *value)
{
    PyErr_Clear();
    PyObject *bytes = PyUnicode_AsEncodedString(value, "utf-8", "backslashreplace");
    PyObject *nul = PyBytes_FromStringAndSize("\0", 1);
    PyObject *clean =
        bytes && nul ? PyObject_CallMethod(bytes, "replace", "Oy", nul, "\\x00") : NULL;
    Py_XDECREF(nul);
    Py_XDECREF(bytes);
    return clean;
}

static bool encode_escaped(const struct bind_field *field, PyObject *value, struct bind_sink *sink)
{
    PyObject *bytes = escaped(value);
    char *text;
    Py_ssize_t length;
    bool good = bytes && PyBytes_AsStringAndSize(bytes, &text, &length) == 0 &&
                put_string(sink, text, (size_t)length, field->limit);
    Py_XDECREF(bytes);
    return good;
}

static bool encode_string(const struct bind_event *event, const struct bind_field *field,
                          PyObject *value, struct bind_sink *sink, bool *wrong)
{
    Py_ssize_t length;
    if (rchan_unlikely(!PyUnicode_Check(value))) {
        *wrong = true;
        return false;
    }
    const char *text = PyUnicode_AsUTF8AndSize(value, &length);
    bool unfit = !text || memchr(text, 0, (size_t)length);
    if (rchan_likely(!unfit))
        return put_string(sink, text, (size_t)length, field->limit);
    if (!text && !PyErr_ExceptionMatches(PyExc_UnicodeError))
        return false;
    if (field->kind == BIND_TEXT)
        return encode_escaped(field, value, sink);
    PyErr_Clear();
    return bind_field_fail(event, field, "FieldError",
                           text ? "contains a NUL, which no string of a trace can hold: %R (rchan."
                                  "text takes it)"
                                : "contains a surrogate, which UTF-8 cannot hold: %A (rchan.text "
                                  "takes it)",
                           value);
}

static bool encode_bytes(const struct bind_event *event, const struct bind_field *field,
                         PyObject *value, struct bind_sink *sink, bool *wrong)
{
    Py_buffer view;
    if (PyObject_GetBuffer(value, &view, PyBUF_SIMPLE)) {
        *wrong =
            PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_BufferError);
        if (*wrong)
            PyErr_Clear();
        return false;
    }
    bool good = view.len <= BIND_MOST;
    if (!good)
        bind_field_fail(event, field, "FieldError", "is longer than 65535 bytes", value);
    good = good && put(sink, &(uint16_t){(uint16_t)view.len}, 2) &&
           put(sink, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return good;
}

/* ---- the quick way: what most events are made of, nothing unusual about it ---- */

/* Room for what it stores is there. False: not so quick; no exception, nothing stored. */
static inline bool quick_string(const struct bind_field *field, PyObject *value,
                                struct bind_sink *sink)
{
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(value, &length);
    if (rchan_unlikely(!text)) {
        PyErr_Clear();
        return false;
    }
    if (rchan_unlikely((size_t)length > field->limit || length >= sink->end - sink->at ||
                       memchr(text, 0, (size_t)length)))
        return false;
    memcpy(sink->at, text, (size_t)length + 1);
    sink->at += length + 1;
    return true;
}

static inline bool quick_number(enum bind_kind kind, PyObject *value, struct bind_sink *sink)
{
    union {
        long long integer;
        double real;
    } number;
    int overflow = 0;
    if (rchan_unlikely(sink->end - sink->at < 8))
        return false;
    if (kind == BIND_F64)
        number.real = PyFloat_AsDouble(value);
    else
        number.integer = PyLong_AsLongLongAndOverflow(value, &overflow);
    /* -1 may be an error, or a value; and no u64 is below 0, nor as quick above 2**63. */
    bool plain = kind == BIND_F64   ? number.real != -1.0
                 : kind == BIND_I64 ? number.integer != -1
                                    : number.integer >= 0;
    if (rchan_unlikely(!plain || overflow)) {
        PyErr_Clear();
        return false;
    }
    memcpy(sink->at, &number, 8);
    sink->at += 8;
    return true;
}

bool bind_encode_positional(const struct bind_event *event, uint16_t first, PyObject *const *args,
                            struct bind_sink *sink)
{
    for (uint16_t i = first; i < event->n_fields; i++, args++) {
        const struct bind_field *field = &event->fields[i];
        bool stored = false;
        if (field->quick == BIND_QUICK_NUMBER)
            stored = quick_number(field->kind, *args, sink);
        else if (field->quick == BIND_QUICK_STRING)
            stored = quick_string(field, *args, sink);
        if (rchan_unlikely(!stored) && !bind_encode(event, field, *args, sink))
            return false;
    }
    return true;
}

bool bind_encode_scalar(const struct bind_event *event, const struct bind_field *field,
                        PyObject *value, struct bind_sink *sink, bool *wrong)
{
    if (rchan_unlikely(field->labels != NULL))
        return encode_enum(event, field, value, sink, wrong);
    switch (field->kind) {
    case BIND_U64:
        return encode_u64(event, field, value, sink, wrong);
    case BIND_F32:
    case BIND_F64:
        return encode_float(field, value, sink, wrong);
    case BIND_BOOL:
        return encode_bool(value, sink, wrong);
    case BIND_STRING:
    case BIND_TEXT:
        return encode_string(event, field, value, sink, wrong);
    case BIND_BYTES:
        return encode_bytes(event, field, value, sink, wrong);
    default:
        return encode_int(event, field, value, sink, wrong);
    }
}
