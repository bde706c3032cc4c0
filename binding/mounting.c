/* mount(2) and umount2(2), which Python does not have. */
#include "binding.h"

#include <errno.h>
#include <sys/mount.h>

static PyObject *result_of(int result, PyObject *path)
{
    if (result)
        return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
    Py_RETURN_NONE;
}

PyObject *bind_mount(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *target;
    const char *source, *kind, *data;
    unsigned long flags;
    if (!PyArg_ParseTuple(args, "sO&sks:mount", &source, PyUnicode_FSConverter, &target, &kind,
                          &flags, &data))
        return NULL;
    bind_release();
    int result = mount(source, PyBytes_AsString(target), kind, flags, data);
    int number = errno;
    bind_retake();
    errno = number;
    PyObject *done = result_of(result, target);
    Py_DECREF(target);
    return done;
}

PyObject *bind_umount(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *target;
    int flags;
    if (!PyArg_ParseTuple(args, "O&i:umount", PyUnicode_FSConverter, &target, &flags))
        return NULL;
    bind_release();
    int result = umount2(PyBytes_AsString(target), flags);
    int number = errno;
    bind_retake();
    errno = number;
    PyObject *done = result_of(result, target);
    Py_DECREF(target);
    return done;
}
