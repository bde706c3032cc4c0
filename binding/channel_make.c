/* Channel._create and Channel._attach. */
#include "binding.h"

#include <errno.h>

/* A Channel with an Attachment that has no handle of the core yet. NULL with an exception. */
static struct bind_channel *new_channel(PyObject *type, struct bind_state *state, PyObject *hooks)
{
    struct bind_channel *self = bind_alloc((PyTypeObject *)type);
    if (!self)
        return NULL;
    self->state = state;
    self->attachment = bind_alloc(state->attachment);
    if (!self->attachment) {
        Py_DECREF(OBJECT(self));
        return NULL;
    }
    self->attachment->state = state;
    self->attachment->owner = self;
    if (!bind_hooks_set(self->attachment, hooks))
        Py_CLEAR(self);
    return self;
}

/* The core has freed what the Buffers (that hooks were told of, and may have kept) stand for. */
static PyObject *undo(struct bind_channel *self, const struct rchan_error *error, PyObject *raised)
{
    struct bind_state *state = self->state;
    for (uint32_t i = 0; i < self->n_buffers; i++)
        if (self->buffers[i])
            self->buffers[i]->core = NULL;
    bind_hooks_report(self->attachment);
    Py_DECREF(OBJECT(self));
    return bind_raise_core(state, error, raised);
}

static PyObject *finish(struct bind_channel *self, struct rchan_channel *core)
{
    self->open = core;
    self->attachment->core = core;
    self->attachment->complete = true;
    bind_hooks_report(self->attachment);
    return OBJECT(self);
}

/* ---- _create ---- */

enum {
    DIRECTORY,
    BASE,
    SUBBUF_SIZE,
    N_SUBBUFS,
    N_BUFFERS,
    OVERWRITE,
    MODE,
    CPUS,
    HOOKS,
    STAMPS,
    GROUP,
    CREATE_ARGUMENTS
};
static const char *const create_names[] = {"directory", "base",      "subbuf_size", "n_subbufs",
                                           "n_buffers", "overwrite", "mode",        "cpus",
                                           "hooks",     "stamps",    "group"};

/* What the options point to. */
struct owned {
    PyObject *directory, *base;
    uint32_t *cpus;
};

static void free_owned(struct owned *owned)
{
    Py_XDECREF(owned->directory);
    Py_XDECREF(owned->base);
    PyMem_Free(owned->cpus);
}

static bool get_names(struct bind_state *state, PyObject *directory, PyObject *base,
                      struct owned *owned)
{
    owned->directory = bind_get_path(state, directory, "directory");
    if (!owned->directory)
        return false;
    if (base == Py_None)
        return true;
    owned->base = bind_get_path(state, base, "base");
    return owned->base != NULL;
}

static bool get_cpus(struct bind_state *state, PyObject *from, struct owned *owned,
                     struct rchan_options *options)
{
    Py_ssize_t count = PySequence_Size(from);
    if (count < 0)
        return bind_wrong_type(state, "cpus", "a sequence of ints", from);
    owned->cpus = PyMem_Calloc((size_t)count + 1, sizeof *owned->cpus);
    if (!owned->cpus)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        int64_t cpu;
        PyObject *item = PySequence_GetItem(from, i);
        bool good = item && bind_get_cpu(state, item, &cpu);
        Py_XDECREF(item);
        if (!good)
            return false;
        owned->cpus[i] = (uint32_t)cpu;
    }
    options->cpus = owned->cpus;
    options->n_cpus = (uint32_t)count;
    return true;
}

/* (clock, Hz): a channel for events. None or NULL: for plain records. */
static bool get_stamps(PyObject *from, struct rchan_options *options)
{
    unsigned clock;
    unsigned long long frequency;
    if (!from || from == Py_None)
        return true;
    if (!PyArg_ParseTuple(from, "IK", &clock, &frequency))
        return false;
    if (clock != RCHAN_STAMP_MONOTONIC && clock != RCHAN_STAMP_COUNTER) {
        PyErr_SetString(PyExc_ValueError, "no such clock");
        return false;
    }
    options->stamp_clock = clock;
    options->stamp_frequency = frequency;
    return true;
}

static bool get_options(struct bind_state *state, PyObject **values, struct owned *owned,
                        struct rchan_options *options)
{
    uint64_t mode;
    int overwrite = PyObject_IsTrue(values[OVERWRITE]);
    if (overwrite < 0 || !get_names(state, values[DIRECTORY], values[BASE], owned) ||
        !bind_get_u64(state, values[SUBBUF_SIZE], "subbuf_size", &options->subbuf_size) ||
        !bind_get_u64(state, values[N_SUBBUFS], "n_subbufs", &options->n_subbufs) ||
        !bind_get_u64(state, values[N_BUFFERS], "n_buffers", &options->n_buffers) ||
        !bind_get_u64(state, values[MODE], "mode", &mode) || !get_stamps(values[STAMPS], options) ||
        !bind_get_group(state, values[GROUP], &options->share) ||
        !get_cpus(state, values[CPUS], owned, options))
        return false;
    options->directory = PyBytes_AsString(owned->directory);
    options->base = owned->base ? PyBytes_AsString(owned->base) : NULL;
    options->overwrite = overwrite;
    options->mode = (mode_t)mode;
    return true;
}

/* Filling the files takes time: without hooks nobody has to wait for it. */
static struct rchan_channel *create_core(struct bind_channel *self,
                                         const struct rchan_options *options,
                                         struct rchan_error *error, PyObject **raised)
{
    bool alone = !bind_hooks_any(self->attachment);
    PyObject **before = bind_hooks_raise_into(raised);
    if (alone)
        bind_release();
    struct rchan_channel *core = rchan_channel_create(options, error);
    if (alone)
        bind_retake();
    bind_hooks_raise_into(before);
    return core;
}

PyObject *bind_channel_create(PyObject *type, PyTypeObject *defining, PyObject *const *args,
                              Py_ssize_t n_args, PyObject *names)
{
    struct bind_state *state = PyType_GetModuleState(defining);
    struct rchan_options options = {0};
    struct rchan_error error = {0};
    struct owned owned = {0};
    PyObject *values[CREATE_ARGUMENTS] = {0}, *raised = NULL;
    struct bind_channel *self = NULL;
    struct rchan_channel *core = NULL;
    if (bind_parse("_create", create_names, STAMPS, CREATE_ARGUMENTS, args, n_args, names,
                   values) &&
        get_options(state, values, &owned, &options))
        self = new_channel(type, state, values[HOOKS]);
    if (self) {
        options.hooks = bind_hooks_for_core(self->attachment);
        core = create_core(self, &options, &error, &raised);
    }
    free_owned(&owned);
    if (!self)
        return NULL;
    if (!core)
        return undo(self, &error, raised);
    Py_XDECREF(raised);
    return finish(self, core);
}

/* ---- _attach ---- */

PyObject *bind_channel_attach(PyObject *type, PyTypeObject *defining, PyObject *const *args,
                              Py_ssize_t n_args, PyObject *given)
{
    static const char *const names[] = {"directory", "base", "hooks", "group"};
    struct bind_state *state = PyType_GetModuleState(defining);
    struct rchan_error error = {0};
    struct owned owned = {0};
    PyObject *values[4] = {0};
    struct rchan_share share;
    struct bind_channel *self = NULL;
    struct rchan_channel *core = NULL;
    if (!bind_parse("_attach", names, 3, 4, args, n_args, given, values) ||
        !bind_get_group(state, values[3], &share))
        return NULL;
    if (values[1] == Py_None)
        return bind_wrong_type(state, "base", "a str", values[1]);
    if (get_names(state, values[0], values[1], &owned))
        self = new_channel(type, state, values[2]);
    if (self) {
        struct rchan_hooks hooks = bind_hooks_for_core(self->attachment);
        core = rchan_channel_attach_shared(PyBytes_AsString(owned.directory),
                                           PyBytes_AsString(owned.base), share, &hooks, &error);
    }
    free_owned(&owned);
    if (!self)
        return NULL;
    return core ? finish(self, core) : undo(self, &error, NULL);
}
