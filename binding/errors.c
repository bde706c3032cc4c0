/* Failures become exceptions: the classes are looked up in rchan.errors by name. */
#include "binding.h"

#include <errno.h>
#include <string.h>

/* How each enum rchan_failure is raised, with the errno of those that are OSErrors. */
static const struct {
    const char *name;
    int number;
} failures[] = {
    [RCHAN_FAIL_NONE] = {"RchanError", 0},
    [RCHAN_FAIL_OS] = {"SystemFailure", EIO},
    [RCHAN_FAIL_EXISTS] = {"ChannelExists", EEXIST},
    [RCHAN_FAIL_NOT_FOUND] = {"ChannelNotFound", ENOENT},
    [RCHAN_FAIL_CORRUPT] = {"CorruptChannel", EBADMSG},
    [RCHAN_FAIL_INCOMPATIBLE] = {"IncompatibleChannel", EPROTO},
    [RCHAN_FAIL_PERMISSION] = {"NotPermitted", EACCES},
    [RCHAN_FAIL_NO_SPACE] = {"NoSpace", ENOSPC},
    [RCHAN_FAIL_GEOMETRY] = {"GeometryError", EINVAL},
    [RCHAN_FAIL_NAME] = {"BadName", EINVAL},
    [RCHAN_FAIL_BUSY] = {"ChannelBusy", EBUSY},
    [RCHAN_FAIL_CALLBACK] = {"CallbackFailed", ECANCELED},
    [RCHAN_FAIL_UNSUPPORTED] = {"Unsupported", EOPNOTSUPP},
    [RCHAN_FAIL_NO_BUFFER] = {"NoSuchBuffer", ENXIO},
};

static PyObject *class_named(struct bind_state *state, const char *name)
{
    PyObject *class = state->errors ? PyObject_GetAttrString(state->errors, name) : NULL;
    if (class)
        return class;
    PyErr_Clear();
    return Py_NewRef(PyExc_RuntimeError); /* set_errors was not called */
}

/* `message` is stolen; NULL: an exception is pending. */
static void raise_named(struct bind_state *state, const char *name, int number, PyObject *message)
{
    if (!message)
        return;
    PyObject *class = class_named(state, name);
    int is_os = PyObject_IsSubclass(class, PyExc_OSError);
    PyObject *args = is_os > 0 ? Py_BuildValue("(iO)", number, message) : PyTuple_Pack(1, message);
    if (args && is_os >= 0)
        PyErr_SetObject(class, args);
    Py_XDECREF(args);
    Py_DECREF(class);
    Py_DECREF(message);
}

PyObject *bind_raise(struct bind_state *state, const char *name, int number, const char *format,
                     ...)
{
    va_list values;
    va_start(values, format);
    raise_named(state, name, number, PyUnicode_FromFormatV(format, values));
    va_end(values);
    return NULL;
}

PyObject *bind_take_exception(void)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace)
        PyException_SetTraceback(value, trace);
    Py_DECREF(type);
    Py_XDECREF(trace);
    return value;
}

/* Ours, and those that are no errors (KeyboardInterrupt), go through as they are. */
static bool passes(struct bind_state *state, PyObject *raised)
{
    PyObject *base = class_named(state, "RchanError");
    bool ours = PyObject_IsInstance(raised, base) > 0;
    Py_DECREF(base);
    return ours || PyObject_IsInstance(raised, PyExc_Exception) == 0;
}

static void raise_from(struct bind_state *state, const struct rchan_error *error, PyObject *raised)
{
    if (passes(state, raised)) {
        PyErr_SetObject((PyObject *)Py_TYPE(raised), raised);
        return;
    }
    bind_raise(state, "CallbackFailed", ECANCELED, "%s", error->message);
    PyObject *exception = bind_take_exception();
    PyException_SetCause(exception, Py_NewRef(raised));
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_DECREF(exception);
}

PyObject *bind_raise_core(struct bind_state *state, const struct rchan_error *error,
                          PyObject *raised)
{
    size_t known = sizeof failures / sizeof *failures;
    enum rchan_failure failure = error->failure < known ? error->failure : RCHAN_FAIL_NONE;
    int number = error->os_errno ? error->os_errno : failures[failure].number;
    if (failure == RCHAN_FAIL_CALLBACK && raised)
        raise_from(state, error, raised);
    else
        raise_named(state, failures[failure].name, number,
                    PyUnicode_DecodeFSDefault(error->message));
    Py_XDECREF(raised);
    return NULL;
}

static PyObject *raise_blocked(uint32_t index)
{
    PyObject *message = PyUnicode_FromFormat("another reader has buffer %u", index);
    PyObject *args = message ? Py_BuildValue("(iN)", EAGAIN, message) : NULL;
    if (args)
        PyErr_SetObject(PyExc_BlockingIOError, args);
    Py_XDECREF(args);
    return NULL;
}

PyObject *bind_raise_result(struct bind_state *state, int64_t result, uint32_t index)
{
    switch (result) {
    case -EAGAIN:
        return raise_blocked(index);
    case -EBUSY:
        return bind_raise(state, "ChannelBusy", EBUSY,
                          "buffer %u is held by a stalled process or thread: try again", index);
    case -EBADMSG:
        return bind_raise(state, "CorruptChannel", EBADMSG,
                          "buffer %u holds impossible values: remove the channel", index);
    default:
        return bind_raise(state, "SystemFailure", (int)-result, "buffer %u: %s", index,
                          strerror((int)-result));
    }
}

bool bind_refused(struct bind_state *state, enum rchan_outcome outcome)
{
    if (outcome == RCHAN_CORRUPT)
        bind_raise(state, "CorruptChannel", EBADMSG,
                   "the channel's memory holds impossible values: remove the channel");
    else if (outcome == RCHAN_NOT_PLAIN)
        bind_raise(state, "WrongChannel", EINVAL,
                   "this channel holds typed events, not plain records: write to it through "
                   "rchan.Tracer");
    return outcome == RCHAN_CORRUPT || outcome == RCHAN_NOT_PLAIN;
}
