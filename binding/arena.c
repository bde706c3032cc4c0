/* Arena: memory that copies of sub-buffers are put into, one behind the other. */
#include "tap.h"

#include <errno.h>
#include <sys/mman.h>

/* From here on huge pages are asked for: a fresh page costs as much as copying it. */
enum { HUGE_PAGE = 2 * 1024 * 1024 };

uint8_t *bind_arena_take(struct bind_arena *arena, uint64_t length)
{
    if (length > (uint64_t)(arena->size - arena->used))
        return NULL;
    uint8_t *place = arena->data + arena->used;
    arena->used += (Py_ssize_t)length;
    return place;
}

void bind_arena_undo(struct bind_arena *arena, const uint8_t *place, uint64_t length)
{
    if (place + length == arena->data + arena->used)
        arena->used -= (Py_ssize_t)length;
}

/* Memory of our own. Big pieces are kept for the next arena, and the kernel may have them
 * back meanwhile: one that was used before takes half the time to fill. */
static uint8_t *map_pages(struct bind_state *state, size_t length, size_t *got)
{
    uint8_t *spare = length >= HUGE_PAGE ? atomic_exchange(&state->spare_arena, NULL) : NULL;
    *got = length;
    if (spare) {
        *got = *(size_t *)spare;
        if (*got >= length && *got / 2 <= length)
            return spare;
        munmap(spare, *got);
        *got = length;
    }
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (length >= HUGE_PAGE)
        madvise(memory, length, MADV_HUGEPAGE);
    return memory;
}

static void keep_or_unmap(struct bind_state *state, uint8_t *map, size_t length)
{
    uint8_t *before = map;
    if (length >= HUGE_PAGE && !madvise(map, length, MADV_FREE)) {
        *(size_t *)map = length;
        before = atomic_exchange(&state->spare_arena, map);
        length = before ? *(size_t *)before : 0;
    }
    if (before)
        munmap(before, length);
}

void bind_arena_free_spare(struct bind_state *state)
{
    uint8_t *spare = atomic_exchange(&state->spare_arena, NULL);
    if (spare)
        munmap(spare, *(size_t *)spare);
}

static bool map(struct bind_arena *self, PyObject *number)
{
    if (!bind_get_length(self->state, number, "size", &self->size))
        return false;
    size_t length = (size_t)self->size;
    if (!length)
        return true;
    if (length >= HUGE_PAGE) /* whole huge pages, wherever they begin */
        length = (length + 2 * HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    self->map = map_pages(self->state, length, &self->map_length);
    if (!self->map) {
        self->size = 0;
        return PyErr_NoMemory();
    }
    self->data = self->map;
    if (self->size >= HUGE_PAGE)
        self->data += -(uintptr_t)self->map % HUGE_PAGE;
    return true;
}

static bool borrow(struct bind_arena *self, PyObject *into)
{
    if (!bind_get_view(self->state, into, PyBUF_WRITABLE, &self->given))
        return false;
    self->data = self->given.buf;
    self->size = self->given.len;
    return true;
}

static PyObject *new_arena(PyTypeObject *type, PyObject *args, PyObject *names)
{
    static char *keywords[] = {(char *)"size", (char *)"into", NULL};
    PyObject *size, *into = Py_None;
    struct bind_state *state = PyType_GetModuleState(type);
    if (!state || !PyArg_ParseTupleAndKeywords(args, names, "O|O", keywords, &size, &into))
        return NULL;
    struct bind_arena *self = bind_alloc(type);
    if (!self)
        return NULL;
    self->state = state;
    if (!(into == Py_None ? map(self, size) : borrow(self, into)))
        Py_CLEAR(self);
    return OBJECT(self);
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((struct bind_arena *)object)->given.obj);
    return 0;
}

static void dealloc(PyObject *object)
{
    struct bind_arena *self = (struct bind_arena *)object;
    PyObject_GC_UnTrack(object);
    if (self->given.obj)
        PyBuffer_Release(&self->given);
    else if (self->map)
        keep_or_unmap(self->state, self->map, self->map_length);
    bind_free(self);
}

static PyObject *get_size(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromSsize_t(((struct bind_arena *)object)->size);
}

static PyObject *get_used(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromSsize_t(((struct bind_arena *)object)->used);
}

static PyGetSetDef properties[] = {
    {"size", get_size, NULL, "bytes", NULL},
    {"used", get_used, NULL, "bytes that copies have", NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (char *)"Arena(size, into=None): memory for copies; `into`: somebody's own."},
    {Py_tp_new, new_arena},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {Py_tp_getset, properties},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core.Arena",
    .basicsize = sizeof(struct bind_arena),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int bind_arena_ready(PyObject *module, struct bind_state *state)
{
    state->arena = bind_type(module, &spec, "Arena");
    return state->arena ? 0 : -1;
}
