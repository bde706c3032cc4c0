/* The fields of an event: arrays, values by name, and what is wrong with them. */
#include <errno.h>
#include <string.h>

#include "event.h"

static const struct {
    const char *takes;   /* for people */
    const char *formats; /* struct-module codes of memory that holds such values as they are */
    uint8_t size;
} kinds[BIND_KINDS] = {
    [BIND_U8] = {"an int", "B", 1},   [BIND_U16] = {"an int", "H", 2},
    [BIND_U32] = {"an int", "IL", 4}, [BIND_U64] = {"an int", "QL", 8},
    [BIND_I8] = {"an int", "b", 1},   [BIND_I16] = {"an int", "h", 2},
    [BIND_I32] = {"an int", "il", 4}, [BIND_I64] = {"an int", "ql", 8},
    [BIND_F32] = {"a float", "f", 4}, [BIND_F64] = {"a float", "d", 8},
    [BIND_BOOL] = {"a bool", "?", 1}, [BIND_STRING] = {"a str", "", 0},
    [BIND_TEXT] = {"a str", "", 0},   [BIND_BYTES] = {"bytes-like", "", 0},
};

static bool wrong_type(const struct bind_event *event, const struct bind_field *field,
                       const char *wanted, Py_ssize_t element, PyObject *value)
{
    PyErr_Clear();
    PyObject *type = PyType_GetName(Py_TYPE(value));
    if (type && element < 0)
        bind_raise(event->state, "WrongType", EINVAL, "%U(): %U must be %s, not %U", event->name,
                   field->name, wanted, type);
    else if (type)
        bind_raise(event->state, "WrongType", EINVAL, "%U(): %U[%zd] must be %s, not %U",
                   event->name, field->name, element, wanted, type);
    Py_XDECREF(type);
    return false;
}

static const char *takes(const struct bind_field *field)
{
    return field->labels ? "a member of its enum, a label or an int" : kinds[field->kind].takes;
}

/* ---- arrays ---- */

static bool wrong_count(const struct bind_event *event, const struct bind_field *field,
                        Py_ssize_t count)
{
    if (field->count >= 0)
        bind_raise(event->state, "FieldError", EINVAL, "%U(): %U must have %d elements, not %zd",
                   event->name, field->name, (int)field->count, count);
    else
        bind_raise(event->state, "FieldError", EINVAL,
                   "%U(): %U has %zd elements: 65535 is the most", event->name, field->name, count);
    return false;
}

static bool begin_array(const struct bind_event *event, const struct bind_field *field,
                        Py_ssize_t count, struct bind_sink *sink)
{
    if (field->count >= 0 ? count != field->count : count > BIND_MOST)
        return wrong_count(event, field, count);
    if (field->count >= 0)
        return true;
    uint16_t stored = (uint16_t)count;
    if (!bind_sink_room(sink, sizeof stored))
        return false;
    memcpy(sink->at, &stored, sizeof stored);
    sink->at += sizeof stored;
    return true;
}

/* Memory that holds exactly the values wanted: 1 copied, 0 it does not, -1 an exception. */
static int copy_array(const struct bind_event *event, const struct bind_field *field,
                      PyObject *value, struct bind_sink *sink)
{
    Py_buffer view;
    size_t size = kinds[field->kind].size;
    if (!size || field->labels ||
        PyObject_GetBuffer(value, &view, PyBUF_CONTIG_RO | PyBUF_FORMAT)) {
        PyErr_Clear();
        return 0;
    }
    const char *format = view.format ? view.format : "B";
    int result = 0;
    if (format[0] && !format[1] && strchr(kinds[field->kind].formats, format[0]) &&
        (size_t)view.itemsize == size && view.ndim == 1) {
        result = begin_array(event, field, view.len / view.itemsize, sink) &&
                         bind_sink_room(sink, (size_t)view.len)
                     ? 1
                     : -1;
        if (result > 0) {
            memcpy(sink->at, view.buf, (size_t)view.len);
            sink->at += view.len;
        }
    }
    PyBuffer_Release(&view);
    return result;
}

static bool encode_elements(const struct bind_event *event, const struct bind_field *field,
                            PyObject *elements, struct bind_sink *sink)
{
    Py_ssize_t count = PyTuple_Size(elements);
    if (!begin_array(event, field, count, sink))
        return false;
    for (Py_ssize_t i = 0; i < count; i++) {
        bool wrong = false;
        PyObject *element = PyTuple_GetItem(elements, i);
        if (!bind_encode_scalar(event, field, element, sink, &wrong))
            return wrong ? wrong_type(event, field, takes(field), i, element) : false;
    }
    return true;
}

static bool encode_array(const struct bind_event *event, const struct bind_field *field,
                         PyObject *value, struct bind_sink *sink)
{
    int copied = copy_array(event, field, value, sink);
    if (copied)
        return copied > 0;
    if (PyUnicode_Check(value) || (PyBytes_Check(value) && field->kind >= BIND_BOOL))
        return wrong_type(event, field, "a sequence", -1, value);
    /* A copy: what its elements do meanwhile cannot change it. */
    PyObject *elements = PySequence_Tuple(value);
    if (!elements && PyErr_ExceptionMatches(PyExc_TypeError))
        return wrong_type(event, field, "a sequence", -1, value);
    bool good = elements && encode_elements(event, field, elements, sink);
    Py_XDECREF(elements);
    return good;
}

bool bind_encode(const struct bind_event *event, const struct bind_field *field, PyObject *value,
                 struct bind_sink *sink)
{
    bool wrong = false;
    if (rchan_unlikely(field->count != BIND_SCALAR))
        return encode_array(event, field, value, sink);
    if (rchan_likely(bind_encode_scalar(event, field, value, sink, &wrong)))
        return true;
    return wrong ? wrong_type(event, field, takes(field), -1, value) : false;
}

/* ---- values by name ---- */

static PyObject *names_of(const struct bind_event *event)
{
    PyObject *list = PyList_New(0);
    for (uint16_t i = 0; list && i < event->n_fields; i++)
        if (PyList_Append(list, event->fields[i].name) < 0)
            Py_CLEAR(list);
    PyObject *comma = PyUnicode_FromString(", ");
    PyObject *joined = list && comma ? PyUnicode_Join(comma, list) : NULL;
    Py_XDECREF(comma);
    Py_XDECREF(list);
    return joined;
}

static bool wrong_fields(const struct bind_event *event, const char *format, Py_ssize_t given,
                         PyObject *name)
{
    PyObject *names = names_of(event);
    PyObject *detail =
        name ? PyUnicode_FromFormat(format, name) : PyUnicode_FromFormat(format, given);
    if (names && detail)
        bind_raise(event->state, "WrongType", EINVAL, "%U() takes %d field%s (%U): %U", event->name,
                   (int)event->n_fields, event->n_fields == 1 ? "" : "s", names, detail);
    Py_XDECREF(detail);
    Py_XDECREF(names);
    return false;
}

static int position_of(const struct bind_event *event, PyObject *name)
{
    for (uint16_t i = 0; i < event->n_fields; i++)
        if (event->fields[i].name == name || PyUnicode_Compare(event->fields[i].name, name) == 0)
            return i;
    return -1;
}

bool bind_encode_all(const struct bind_event *event, PyObject *const *args, Py_ssize_t n_args,
                     PyObject *given, struct bind_sink *sink)
{
    Py_ssize_t n_given = given ? PyTuple_Size(given) : 0;
    PyObject *values[256] = {0};
    static_assert(sizeof values / sizeof *values > 255, "an event has 255 fields at most");
    if (n_args + n_given > event->n_fields)
        return wrong_fields(event, "%zd were given", n_args + n_given, NULL);
    for (Py_ssize_t i = 0; i < n_args; i++)
        values[i] = args[i];
    for (Py_ssize_t i = 0; i < n_given; i++) {
        PyObject *name = PyTuple_GetItem(given, i);
        int position = position_of(event, name);
        if (position < 0 || values[position])
            return wrong_fields(event, position < 0 ? "it has no field %R" : "%R is given twice", 0,
                                name);
        values[position] = args[n_args + i];
    }
    for (uint16_t i = 0; i < event->n_fields; i++) {
        if (!values[i])
            return wrong_fields(event, "%R is missing", 0, event->fields[i].name);
        if (!bind_encode(event, &event->fields[i], values[i], sink))
            return false;
    }
    return true;
}

/* ---- descriptions ---- */

static bool read_field(PyObject *from, struct bind_field *field)
{
    int kind, count;
    unsigned limit;
    PyObject *name, *labels;
    if (!PyArg_ParseTuple(from, "UiIOi", &name, &kind, &limit, &labels, &count))
        return false;
    if (kind < 0 || kind >= BIND_KINDS || count < BIND_VARIABLE || count > BIND_MOST ||
        limit < 16 || limit > BIND_MOST || (labels != Py_None && !PyDict_Check(labels)) ||
        (labels != Py_None && kind > BIND_I64)) {
        PyErr_SetString(PyExc_ValueError, "no such field");
        return false;
    }
    field->name = Py_NewRef(name);
    field->labels = labels == Py_None ? NULL : Py_NewRef(labels);
    field->kind = (enum bind_kind)kind;
    field->count = count;
    field->limit = limit;
    if (count == BIND_SCALAR && !field->labels) {
        if (kind == BIND_U64 || kind == BIND_I64 || kind == BIND_F64)
            field->quick = BIND_QUICK_NUMBER;
        else if (kind == BIND_STRING || kind == BIND_TEXT)
            field->quick = BIND_QUICK_STRING;
    }
    return true;
}

struct bind_field *bind_fields_read(struct bind_state *state, PyObject *from, uint16_t *count)
{
    Py_ssize_t size = PyTuple_Check(from) ? PyTuple_Size(from) : -1;
    if (size < 0 || size > 255) {
        bind_wrong_type(state, "fields", "a tuple of at most 255", from);
        return NULL;
    }
    struct bind_field *fields = PyMem_Calloc((size_t)size + 1, sizeof *fields);
    if (!fields) {
        PyErr_NoMemory();
        return NULL;
    }
    *count = (uint16_t)size;
    for (Py_ssize_t i = 0; i < size; i++) {
        if (!read_field(PyTuple_GetItem(from, i), &fields[i])) {
            bind_fields_free(fields, *count);
            return NULL;
        }
    }
    return fields;
}

void bind_fields_free(struct bind_field *fields, uint16_t count)
{
    for (uint16_t i = 0; fields && i < count; i++) {
        Py_XDECREF(fields[i].name);
        Py_XDECREF(fields[i].labels);
    }
    PyMem_Free(fields);
}
