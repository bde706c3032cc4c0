/* What a memoryview over a buffer's memory keeps alive. */
#include "binding.h"

#include <errno.h>
#include <sys/mman.h>

struct bind_memory {
    PyObject_HEAD struct bind_buffer *buffer;
    uint8_t *data;
    Py_ssize_t length;
    void *second_map; /* of a buffer that may yet be undone: its views must outlive it */
    size_t map_size;
    bool readonly;
    PyObject *weakrefs; /* it goes with the last view of the memory, slices too */
};

static int get_buffer(PyObject *object, Py_buffer *view, int flags)
{
    struct bind_memory *self = (struct bind_memory *)object;
    return PyBuffer_FillInfo(view, object, self->data, self->length, self->readonly, flags);
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    struct bind_memory *self = (struct bind_memory *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->buffer);
    return 0;
}

static void dealloc(PyObject *object)
{
    struct bind_memory *self = (struct bind_memory *)object;
    PyObject_GC_UnTrack(object);
    if (self->weakrefs)
        PyObject_ClearWeakRefs(object);
    if (self->second_map)
        munmap(self->second_map, self->map_size);
    Py_XDECREF(OBJECT(self->buffer));
    bind_free(self);
}

/* The same pages at another address. */
static uint8_t *map_again(struct bind_memory *self, struct rchan_buffer *core)
{
    size_t size = core->channel->alloc_size;
    void *map = mremap(core->map, 0, size, MREMAP_MAYMOVE);
    if (map == MAP_FAILED) {
        bind_raise(self->buffer->attachment->state, "SystemFailure", errno,
                   "buffer %u cannot be mapped again", core->index);
        return NULL;
    }
    self->second_map = map;
    self->map_size = size;
    return map;
}

PyObject *bind_memory_view(struct bind_buffer *buffer, uint64_t offset, uint64_t length,
                           bool readonly)
{
    struct rchan_buffer *core = bind_buffer_mapped(buffer);
    struct bind_memory *self = core ? bind_alloc(buffer->attachment->state->memory) : NULL;
    if (!self)
        return NULL;
    self->buffer = (struct bind_buffer *)Py_NewRef(OBJECT(buffer));
    self->length = (Py_ssize_t)length;
    self->readonly = readonly;
    bool may_vanish = buffer->creating || !buffer->attachment->complete;
    uint8_t *map = may_vanish ? map_again(self, core) : core->map;
    PyObject *view = NULL;
    if (map) {
        self->data = map + offset;
        view = PyMemoryView_FromObject(OBJECT(self));
    }
    Py_DECREF(OBJECT(self));
    return view;
}

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct bind_memory, weakrefs), READONLY, NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_traverse, traverse},
    {Py_tp_members, members},
    {Py_tp_dealloc, dealloc},
    {Py_bf_getbuffer, get_buffer},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core._Memory",
    .basicsize = sizeof(struct bind_memory),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int bind_memory_ready(PyObject *module, struct bind_state *state)
{
    state->memory = bind_type(module, &spec, NULL);
    return state->memory ? 0 : -1;
}
