/* Python values become C values, or exceptions that name the argument. */
#include "binding.h"

#include <errno.h>

PyObject *bind_wrong_type(struct bind_state *state, const char *what, const char *wanted,
                          PyObject *got)
{
    PyErr_Clear();
    PyObject *name = PyType_GetName(Py_TYPE(got));
    if (name)
        bind_raise(state, "WrongType", EINVAL, "%s must be %s, not %U", what, wanted, name);
    Py_XDECREF(name);
    return NULL;
}

static Py_ssize_t position_of(PyObject *name, const char *const *names, Py_ssize_t max)
{
    for (Py_ssize_t i = 0; i < max; i++)
        if (PyUnicode_CompareWithASCIIString(name, names[i]) == 0)
            return i;
    return -1;
}

bool bind_parse(const char *function, const char *const *names, Py_ssize_t required, Py_ssize_t max,
                PyObject *const *args, Py_ssize_t n_args, PyObject *given, PyObject **values)
{
    Py_ssize_t n_given = given ? PyTuple_Size(given) : 0;
    if (n_args > max)
        return PyErr_Format(PyExc_TypeError, "%s() takes at most %zd arguments (%zd given)",
                            function, max, n_args);
    for (Py_ssize_t i = 0; i < max; i++)
        values[i] = i < n_args ? args[i] : NULL;
    for (Py_ssize_t i = 0; i < n_given; i++) {
        PyObject *name = PyTuple_GetItem(given, i);
        Py_ssize_t position = position_of(name, names, max);
        if (position < 0 || values[position])
            return PyErr_Format(PyExc_TypeError, "%s() got an unexpected argument %R", function,
                                name);
        values[position] = args[n_args + i];
    }
    for (Py_ssize_t i = 0; i < required; i++)
        if (!values[i])
            return PyErr_Format(PyExc_TypeError, "%s() misses the argument '%s'", function,
                                names[i]);
    return true;
}

/* False: no int. Values outside long long give LLONG_MIN or LLONG_MAX. */
static bool get_integer(struct bind_state *state, PyObject *from, const char *what, long long *to)
{
    PyObject *number = PyNumber_Index(from);
    if (!number)
        return bind_wrong_type(state, what, "an int", from);
    int overflow;
    *to = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow)
        *to = overflow < 0 ? LLONG_MIN : LLONG_MAX;
    Py_DECREF(number);
    return true;
}

bool bind_get_u64(struct bind_state *state, PyObject *from, const char *what, uint64_t *to)
{
    long long value;
    *to = 0;
    if (!get_integer(state, from, what, &value))
        return false;
    if (value < 0 || value == LLONG_MAX)
        return bind_raise(state, "GeometryError", EINVAL, "%s is out of range: %S", what, from);
    *to = (uint64_t)value;
    return true;
}

bool bind_get_length(struct bind_state *state, PyObject *from, const char *what, Py_ssize_t *to)
{
    long long value;
    *to = 0;
    if (!get_integer(state, from, what, &value))
        return false;
    if (value < 0)
        return bind_raise(state, "GeometryError", EINVAL, "%s is negative: %S", what, from);
    *to = value > PY_SSIZE_T_MAX ? PY_SSIZE_T_MAX : (Py_ssize_t)value;
    return true;
}

bool bind_get_cpu(struct bind_state *state, PyObject *from, int64_t *cpu)
{
    long long value = -1;
    if (from && from != Py_None) {
        if (!get_integer(state, from, "cpu", &value))
            return false;
        if (value < 0 || value > INT32_MAX)
            return bind_raise(state, "NoSuchBuffer", ENXIO, "there is no CPU %S", from);
    }
    *cpu = value;
    return true;
}

bool bind_get_group(struct bind_state *state, PyObject *from, struct rchan_share *share)
{
    uint64_t group;
    *share = (struct rchan_share){0};
    if (!from || from == Py_None)
        return true;
    if (!bind_get_u64(state, from, "group", &group))
        return false;
    if (group >= (gid_t)-1)
        return bind_raise(state, "BadName", EINVAL, "there is no group %S", from);
    *share = (struct rchan_share){true, (gid_t)group};
    return true;
}

bool bind_get_timeout(struct bind_state *state, PyObject *from, int64_t *nanoseconds)
{
    *nanoseconds = -1;
    if (!from || from == Py_None)
        return true;
    double seconds = PyFloat_AsDouble(from);
    if (seconds == -1.0 && PyErr_Occurred())
        return bind_wrong_type(state, "timeout", "a number of seconds or None", from);
    if (!(seconds >= 9e9)) /* else as good as no limit */
        *nanoseconds = seconds > 0 ? (int64_t)(seconds * 1e9) : 0;
    return true;
}

PyObject *bind_get_path(struct bind_state *state, PyObject *from, const char *what)
{
    PyObject *path;
    if (PyUnicode_FSConverter(from, &path))
        return path;
    if (PyErr_ExceptionMatches(PyExc_TypeError))
        return bind_wrong_type(state, what, "a str", from);
    if (!PyErr_ExceptionMatches(PyExc_ValueError))
        return NULL;
    PyErr_Clear();
    return bind_raise(state, "BadName", EINVAL, "%s holds a character that no file name can: %R",
                      what, from);
}

bool bind_get_view(struct bind_state *state, PyObject *from, int flags, Py_buffer *view)
{
    if (PyObject_GetBuffer(from, view, flags) == 0)
        return true;
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_BufferError))
        return false;
    const char *wanted = flags & PyBUF_WRITABLE ? "writable, contiguous and bytes-like"
                         : PyUnicode_Check(from)
                             ? "bytes (encode it: text.encode())"
                             : "bytes, or contiguous memory such as a bytearray or an array";
    return bind_wrong_type(state, "data", wanted, from);
}
