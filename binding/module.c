/* rchan._core: multi-phase init, one state per interpreter, the functions and constants. */
#include "binding.h"

#include "../core/clock.h"
#include "../core/stream.h"

Py_ssize_t bind_bytes_offset;

PyTypeObject *bind_type(PyObject *module, PyType_Spec *spec, const char *name)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    if (type && name && PyModule_AddObjectRef(module, name, (PyObject *)type) < 0)
        Py_CLEAR(type);
    return type;
}

void *bind_alloc(PyTypeObject *type)
{
    return PyType_GenericAlloc(type, 0);
}

void bind_free(void *object)
{
    PyTypeObject *type = Py_TYPE((PyObject *)object);
    PyObject_GC_Del(object);
    Py_DECREF(OBJECT(type));
}

static PyObject *set_errors(PyObject *module, PyObject *errors)
{
    struct bind_state *state = PyModule_GetState(module);
    PyObject *before = state->errors;
    state->errors = Py_NewRef(errors);
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

static PyObject *remove_channel(PyObject *module, PyObject *args)
{
    struct bind_state *state = PyModule_GetState(module);
    PyObject *directory, *base, *group = NULL;
    struct rchan_share share;
    if (!PyArg_ParseTuple(args, "OO|O:remove", &directory, &base, &group) ||
        !bind_get_group(state, group, &share))
        return NULL;
    directory = bind_get_path(state, directory, "directory");
    base = directory ? bind_get_path(state, base, "base") : NULL;
    struct rchan_error error = {0};
    int result = base ? rchan_channel_remove_shared(PyBytes_AsString(directory),
                                                    PyBytes_AsString(base), share, &error)
                      : 0;
    bool failed = !base;
    Py_XDECREF(directory);
    Py_XDECREF(base);
    if (result)
        return bind_raise_core(state, &error, NULL);
    return failed ? NULL : Py_NewRef(Py_None);
}

static PyObject *now_ns(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromUnsignedLongLong(rchan_now_ns());
}

static PyMethodDef functions[] = {
    {"set_errors", set_errors, METH_O, "The module whose classes failures are raised as."},
    {"remove", remove_channel, METH_VARARGS,
     "remove(directory, base, group=None): the channel's files, also of a damaged one."},
    {"moment", bind_moment, METH_NOARGS,
     "(CPU's counter, monotonic ns, real time ns) at one moment."},
    {"crc32c", (PyCFunction)(void (*)(void))bind_crc32c, METH_FASTCALL,
     "crc32c(data, crc=0): CRC-32C of the data, going on from `crc`."},
    {"mount", bind_mount, METH_VARARGS, "mount(2)."},
    {"umount", bind_umount, METH_VARARGS, "umount2(2)."},
    {"now_ns", now_ns, METH_NOARGS, "The clock of every time stamp, in nanoseconds."},
    {0},
};

static int add_constants(PyObject *module)
{
#ifdef RCHAN_TESTPOINTS
    PyObject *testpoints = Py_True;
#else
    PyObject *testpoints = Py_False;
#endif
    PyObject *causes = Py_BuildValue("(ssss)", "full", "too_big", "disabled", "contended");
    int result = PyModule_AddObjectRef(module, "DROP_CAUSES", causes);
    Py_XDECREF(causes);
    if (result || PyModule_AddObjectRef(module, "TESTPOINTS", testpoints))
        return -1;
    return PyModule_AddStringConstant(module, "VERSION", RCHAN_VERSION) ||
           PyModule_AddIntConstant(module, "ABI_VERSION", RCHAN_ABI_VERSION) ||
           PyModule_AddIntConstant(module, "MAX_SUBBUFS", RCHAN_MAX_SUBBUFS) ||
           PyModule_AddIntConstant(module, "MAX_BUFFERS", RCHAN_MAX_BUFFERS) ||
           PyModule_AddIntConstant(module, "MAX_SLOTS", RCHAN_MAX_SLOTS) ||
           PyModule_AddIntConstant(module, "BASE_MAX", RCHAN_BASE_MAX) ||
           PyModule_AddIntConstant(module, "DRAINED_EMPTY", RCHAN_DRAINED_EMPTY) ||
           PyModule_AddIntConstant(module, "DRAINED_LIMIT", RCHAN_DRAINED_LIMIT) ||
           PyModule_AddIntConstant(module, "DRAINED_FULL", RCHAN_DRAINED_FULL) ||
           PyModule_AddIntConstant(module, "DRAINED_BUSY", RCHAN_DRAINED_BUSY) ||
           PyModule_AddIntConstant(module, "DRAINED_DATA", RCHAN_DRAINED_DATA) ||
           PyModule_AddIntConstant(module, "DRAINED_INDEX", RCHAN_DRAINED_INDEX);
}

static int find_bytes_offset(void)
{
    PyObject *bytes = PyBytes_FromStringAndSize("\1\2", 2);
    if (bytes)
        bind_bytes_offset = PyBytes_AsString(bytes) - (char *)bytes;
    Py_XDECREF(bytes);
    return bytes ? 0 : -1;
}

static int module_exec(PyObject *module)
{
    struct bind_state *state = PyModule_GetState(module);
    if (find_bytes_offset() || add_constants(module))
        return -1;
    return bind_arena_ready(module, state) || bind_attachment_ready(module, state) ||
           bind_bell_ready(module, state) || bind_books_ready(module, state) ||
           bind_buffer_ready(module, state) || bind_channel_ready(module, state) ||
           bind_copy_ready(module, state) || bind_decoder_ready(module, state) ||
           bind_event_ready(module, state) || bind_event_span_ready(module, state) ||
           bind_hold_ready(module, state) || bind_memory_ready(module, state) ||
           bind_polls_ready(module, state) || bind_reservation_ready(module, state) ||
           bind_subbuf_ready(module, state) || bind_stream_ready(module, state) ||
           bind_tap_ready(module, state);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct bind_state *state = PyModule_GetState(module);
    Py_VISIT(state->errors);
    Py_VISIT(state->arena);
    Py_VISIT(state->attachment);
    Py_VISIT(state->bell);
    Py_VISIT(state->block);
    Py_VISIT(state->books);
    Py_VISIT(state->buffer);
    Py_VISIT(state->channel);
    Py_VISIT(state->hold);
    Py_VISIT(state->memory);
    Py_VISIT(state->polls);
    Py_VISIT(state->reservation);
    Py_VISIT(state->copy);
    Py_VISIT(state->decoder);
    Py_VISIT(state->event);
    Py_VISIT(state->span);
    Py_VISIT(state->spans);
    Py_VISIT(state->stream);
    Py_VISIT(state->subbuf);
    Py_VISIT(state->tap);
    if (state->spare)
        Py_VISIT(Py_TYPE((PyObject *)state->spare));
    return 0;
}

static int module_clear(PyObject *module)
{
    struct bind_state *state = PyModule_GetState(module);
    Py_CLEAR(state->errors);
    Py_CLEAR(state->arena);
    Py_CLEAR(state->attachment);
    Py_CLEAR(state->bell);
    Py_CLEAR(state->block);
    Py_CLEAR(state->books);
    Py_CLEAR(state->buffer);
    Py_CLEAR(state->channel);
    Py_CLEAR(state->hold);
    Py_CLEAR(state->memory);
    Py_CLEAR(state->polls);
    Py_CLEAR(state->reservation);
    Py_CLEAR(state->copy);
    Py_CLEAR(state->decoder);
    Py_CLEAR(state->event);
    Py_CLEAR(state->span);
    Py_CLEAR(state->spans);
    Py_CLEAR(state->stream);
    Py_CLEAR(state->subbuf);
    Py_CLEAR(state->tap);
    bind_reservation_free_spare(state);
    bind_arena_free_spare(state);
    return 0;
}

static void module_free(void *module)
{
    module_clear(module);
}

/* Slot ids of later Pythons, written out: each is unknown to, and refused by, those before. */
enum { SLOT_MULTIPLE_INTERPRETERS = 3 };
#define EVERY_INTERPRETER                                                                          \
    {                                                                                              \
        SLOT_MULTIPLE_INTERPRETERS, (void *)2                                                      \
    } /* each with its own lock */

static PyModuleDef_Slot slots_3_11[] = {{Py_mod_exec, module_exec}, {0}};
static PyModuleDef_Slot slots_3_12[] = {{Py_mod_exec, module_exec}, EVERY_INTERPRETER, {0}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "rchan._core",
    .m_doc = "The C binding: converts, calls, raises. The public surface is the package rchan.",
    .m_size = sizeof(struct bind_state),
    .m_methods = functions,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void)
{
    /* No slot that says it needs no lock: objects here count their users under the interpreter's. */
    definition.m_slots = Py_Version >= 0x030C0000 ? slots_3_12 : slots_3_11;
    return PyModuleDef_Init(&definition);
}
