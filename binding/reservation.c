/* Reservation: bytes in place, committed or aborted; while open, the buffer's owner word is held. */
#include "binding.h"

#include <errno.h>
#include <string.h>

enum slot_state { OPEN, REFUSED, COMMITTED, ABORTED };

struct bind_reservation {
    PyObject_HEAD struct bind_state *state;
    struct bind_channel *channel; /* while OPEN */
    struct bind_buffer *buffer;   /* while OPEN, and as long as views of the slot live */
    struct rchan_reservation place;
    Py_ssize_t length;
    uint8_t *scratch; /* what views of a refused slot show */
    int64_t position; /* in the buffer; -1: refused */
    int64_t cpu;
    uint32_t exports;
    enum slot_state slot;
};

#define SELF(object) ((struct bind_reservation *)(object))

/* ---- beginning and end ---- */

static struct bind_reservation *new_reservation(struct bind_state *state)
{
    struct bind_reservation *self = state->spare;
    if (!self) {
        self = bind_alloc(state->reservation);
    } else {
        state->spare = NULL;
        PyTypeObject *type = Py_TYPE(OBJECT(self));
        PyObject_Init(OBJECT(self), type);
        Py_DECREF(OBJECT(type)); /* the spare had its own */
        PyObject_GC_Track(self);
    }
    if (self) {
        self->state = state;
        self->slot = REFUSED;
        self->cpu = self->position = -1;
    }
    return self;
}

void bind_reservation_free_spare(struct bind_state *state)
{
    struct bind_reservation *spare = state->spare;
    state->spare = NULL;
    if (spare)
        bind_free(spare);
}

static void count_open(struct bind_channel *channel, struct rchan_channel *core)
{
    if (channel->slots_fork != core->fork_count)
        channel->open_slots = 0; /* those were the parent's */
    channel->slots_fork = core->fork_count;
    channel->open_slots++;
}

/* The core granted it. False with an exception, nothing reserved. */
static bool begin(struct bind_reservation *self, struct bind_channel *channel,
                  struct rchan_channel *core)
{
    struct rchan_buffer *buffer = self->place.buffer;
    self->buffer = bind_buffer_of(channel->attachment, buffer);
    if (!self->buffer) {
        rchan_abort(&self->place);
        return false;
    }
    self->channel = (struct bind_channel *)Py_NewRef(OBJECT(channel));
    self->cpu = buffer->index;
    self->position = self->place.data - buffer->map;
    self->slot = OPEN;
    count_open(channel, core);
    return true;
}

PyObject *bind_reserve(struct bind_channel *channel, int64_t cpu, uint64_t length)
{
    struct rchan_channel *core = channel->open;
    bind_channel_enter(
        channel); /* an allocation may run the garbage collector, and that anything */
    struct bind_reservation *self = new_reservation(channel->state);
    if (!self) {
        bind_channel_leave(channel);
        return NULL;
    }
    self->length = (Py_ssize_t)length;
    enum rchan_outcome outcome = rchan_reserve(core, cpu, length, &self->place);
    bool granted = outcome == RCHAN_STORED && self->place.buffer;
    bool failed = granted && !begin(self, channel, core);
    bind_channel_leave(channel);
    if (bind_refused(channel->state, outcome) || failed)
        Py_CLEAR(self);
    return OBJECT(self);
}

/* Give the owner word back: the first `length` bytes as a record, or nothing. */
static void end(struct bind_reservation *self, bool committing, uint64_t length)
{
    struct bind_channel *channel = self->channel;
    bool ours = self->place.fork_count == self->place.buffer->channel->fork_count;
    bool stored = false;
    self->channel = NULL;
    bind_channel_enter(channel);
    if (committing)
        stored = rchan_commit(&self->place, length);
    else
        rchan_abort(&self->place);
    bind_channel_leave(channel);
    self->slot = stored ? COMMITTED : ABORTED;
    if (ours)
        channel->open_slots--;
    if (!self->exports)
        Py_CLEAR(self->buffer);
    Py_DECREF(OBJECT(channel));
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(SELF(object)->channel);
    Py_VISIT(SELF(object)->buffer);
    return 0;
}

/* Nobody will commit it: aborted, and said as of a file that was never closed. */
static void forget(struct bind_reservation *self)
{
    PyObject *type, *value, *traceback;
    bool ours = self->place.fork_count == self->place.buffer->channel->fork_count;
    PyErr_Fetch(&type, &value, &traceback);
    end(self, false, 0);
    const char *text = "a slot of %zd bytes was neither committed nor aborted: nothing was written";
    if (ours && PyErr_ResourceWarning(NULL, 1, text, self->length) < 0)
        PyErr_WriteUnraisable((PyObject *)Py_TYPE(OBJECT(self)));
    PyErr_Restore(type, value, traceback);
}

static void dealloc(PyObject *object)
{
    struct bind_reservation *self = SELF(object);
    struct bind_state *state = self->state;
    PyObject_GC_UnTrack(object);
    if (self->slot == OPEN)
        forget(self);
    if (self->scratch)
        PyMem_Free(self->scratch);
    self->scratch = NULL;
    if (state->spare)
        bind_free(self);
    else
        state->spare = self; /* with its reference to the type: freeing it asks that */
}

/* ---- its bytes ---- */

/* False with BufferError: not open any more. A refused slot has none: *bytes is NULL. */
static bool get_bytes(struct bind_reservation *self, uint8_t **bytes)
{
    *bytes = NULL;
    if (self->slot == REFUSED)
        return true;
    if (self->slot != OPEN) {
        PyErr_SetString(PyExc_BufferError, "the slot was committed or aborted");
        return false;
    }
    if (self->place.fork_count != self->place.buffer->channel->fork_count) {
        PyErr_SetString(PyExc_BufferError, "the slot is the parent process's");
        return false;
    }
    *bytes = self->place.data;
    return true;
}

static int get_buffer(PyObject *object, Py_buffer *view, int flags)
{
    struct bind_reservation *self = SELF(object);
    uint8_t *bytes;
    view->obj = NULL;
    if (!get_bytes(self, &bytes))
        return -1;
    if (!bytes && !self->scratch)
        self->scratch = PyMem_Calloc(self->length ? (size_t)self->length : 1, 1);
    if (!bytes)
        bytes = self->scratch;
    if (!bytes) {
        PyErr_NoMemory();
        return -1;
    }
    int result = PyBuffer_FillInfo(view, object, bytes, self->length, 0, flags);
    if (!result)
        self->exports++;
    return result;
}

static void release_buffer(PyObject *object, Py_buffer *view)
{
    (void)view;
    struct bind_reservation *self = SELF(object);
    if (!--self->exports && self->slot != OPEN)
        Py_CLEAR(self->buffer);
}

static PyObject *repr(PyObject *object)
{
    static const char *const states[] = {"open", "refused", "committed", "aborted"};
    return PyUnicode_FromFormat("<rchan.Reservation of %zd bytes, %s>", SELF(object)->length,
                                states[SELF(object)->slot]);
}

static Py_ssize_t get_len(PyObject *object)
{
    return SELF(object)->length;
}

/* An int or a slice. False with an exception. `count` < 0: it is one byte. */
static bool get_range(struct bind_reservation *self, PyObject *key, Py_ssize_t *start,
                      Py_ssize_t *step, Py_ssize_t *count)
{
    Py_ssize_t stop;
    *step = 1;
    *count = -1;
    if (PySlice_Check(key)) {
        if (PySlice_Unpack(key, start, &stop, step) < 0)
            return false;
        *count = PySlice_AdjustIndices(self->length, start, &stop, *step);
        return true;
    }
    if (!PyIndex_Check(key))
        return bind_wrong_type(self->state, "a slot's index", "an int or a slice", key);
    *start = PyNumber_AsSsize_t(key, PyExc_IndexError);
    if (*start == -1 && PyErr_Occurred())
        return false;
    if (*start < 0)
        *start += self->length;
    if (*start >= 0 && *start < self->length)
        return true;
    PyErr_Format(PyExc_IndexError, "the slot has %zd bytes", self->length);
    return false;
}

static PyObject *get_item(PyObject *object, PyObject *key)
{
    struct bind_reservation *self = SELF(object);
    Py_ssize_t start, step, count;
    uint8_t *bytes;
    if (!get_range(self, key, &start, &step, &count) || !get_bytes(self, &bytes))
        return NULL;
    if (count < 0)
        return PyLong_FromLong(bytes ? bytes[start] : 0);
    PyObject *copy = PyBytes_FromStringAndSize(NULL, count);
    char *to = copy ? PyBytes_AsString(copy) : NULL;
    for (Py_ssize_t i = 0; to && i < count; i++)
        to[i] = bytes ? (char)bytes[start + i * step] : 0;
    return copy;
}

/* Where it goes is asked for last: what the caller's objects do in their methods may end the slot. */
static int set_byte(struct bind_reservation *self, Py_ssize_t at, PyObject *value)
{
    uint8_t *bytes;
    uint64_t number;
    if (!bind_get_u64(self->state, value, "a byte", &number))
        return -1;
    if (number > 255) {
        bind_raise(self->state, "GeometryError", EINVAL, "a byte is out of range: %S", value);
        return -1;
    }
    if (!get_bytes(self, &bytes))
        return -1;
    if (bytes)
        bytes[at] = (uint8_t)number;
    return 0;
}

static void store(uint8_t *to, Py_ssize_t step, Py_ssize_t count, const uint8_t *from)
{
    if (step == 1)
        memmove(to, from, (size_t)count);
    else
        for (Py_ssize_t i = 0; i < count; i++)
            to[i * step] = from[i];
}

static int set_slice(struct bind_reservation *self, Py_ssize_t start, Py_ssize_t step,
                     Py_ssize_t count, PyObject *value)
{
    Py_buffer view;
    uint8_t *bytes;
    if (!bind_get_view(self->state, value, PyBUF_SIMPLE, &view))
        return -1;
    int result = -1;
    if (view.len != count)
        bind_raise(self->state, "GeometryError", EINVAL,
                   "%zd bytes cannot be stored in %zd bytes of a slot", view.len, count);
    else
        result = get_bytes(self, &bytes) ? 0 : -1;
    if (!result && bytes && count)
        store(bytes + start, step, count, view.buf);
    PyBuffer_Release(&view);
    return result;
}

static int set_item(PyObject *object, PyObject *key, PyObject *value)
{
    struct bind_reservation *self = SELF(object);
    Py_ssize_t start, step, count;
    if (!value) {
        bind_raise(self->state, "WrongType", EINVAL, "bytes of a slot cannot be deleted");
        return -1;
    }
    if (!get_range(self, key, &start, &step, &count))
        return -1;
    return count < 0 ? set_byte(self, start, value) : set_slice(self, start, step, count, value);
}

/* ---- methods ---- */

/* Open or refused, and without views. Else false with BufferError. */
static bool may_end(struct bind_reservation *self)
{
    if (self->exports) {
        PyErr_SetString(PyExc_BufferError, "a view of the slot still lives: release it first");
        return false;
    }
    if (self->slot == OPEN || self->slot == REFUSED)
        return true;
    PyErr_SetString(PyExc_BufferError, "the slot was committed or aborted before");
    return false;
}

static PyObject *commit(PyObject *object, PyObject *const *args, Py_ssize_t n_args, PyObject *given)
{
    static const char *const names[] = {"length"};
    struct bind_reservation *self = SELF(object);
    PyObject *value;
    uint64_t length = (uint64_t)self->length;
    if (!bind_parse("commit", names, 0, 1, args, n_args, given, &value))
        return NULL;
    if (value && value != Py_None && !bind_get_u64(self->state, value, "length", &length))
        return NULL;
    if (length > (uint64_t)self->length)
        return bind_raise(self->state, "GeometryError", EINVAL,
                          "the slot has %zd bytes, %S cannot be committed", self->length, value);
    if (!may_end(self))
        return NULL;
    if (self->slot == OPEN)
        end(self, true, length);
    Py_RETURN_NONE;
}

static PyObject *abort_slot(PyObject *object, PyObject *unused)
{
    (void)unused;
    if (!may_end(SELF(object)))
        return NULL;
    if (SELF(object)->slot == OPEN)
        end(SELF(object), false, 0);
    Py_RETURN_NONE;
}

static PyObject *enter(PyObject *object, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(object);
}

/* The owner word must not stay taken: a view that still lives is complained of afterwards. */
static PyObject *leave(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    struct bind_reservation *self = SELF(object);
    bool raised = n_args && args[0] != Py_None;
    if (self->slot != OPEN)
        Py_RETURN_NONE;
    end(self, !raised, (uint64_t)self->length);
    if (!self->exports || raised)
        Py_RETURN_NONE;
    PyErr_SetString(
        PyExc_BufferError,
        "the slot was committed, but a view of it still lives: release it in the block");
    return NULL;
}

static PyMethodDef methods[] = {
    {"__enter__", enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))leave, METH_FASTCALL, NULL},
    {"commit", (PyCFunction)(void (*)(void))commit, METH_FASTCALL | METH_KEYWORDS,
     "commit($self, /, length=None)\n--\n\nThe first length bytes become a record (relay_commit of "
     "relayfs); None: all.\n\nRaises GeometryError (more than were reserved), WrongType, "
     "BufferError (a view of it\nlives, or it was committed or aborted before)."},
    {"abort", abort_slot, METH_NOARGS,
     "abort($self, /)\n--\n\nAs if it had not been reserved. Raises BufferError as commit does."},
    {0},
};

static PyObject *get_number(PyObject *object, void *offset)
{
    return PyLong_FromLongLong(*(int64_t *)((char *)object + (intptr_t)offset));
}

static PyObject *get_stored(PyObject *object, void *closure)
{
    (void)closure;
    return PyBool_FromLong(SELF(object)->slot == OPEN || SELF(object)->slot == COMMITTED);
}

static PyGetSetDef properties[] = {
    {"position", get_number, NULL, "byte position in the buffer; -1: refused",
     (void *)offsetof(struct bind_reservation, position)},
    {"cpu", get_number, NULL, "index of the buffer; -1: refused",
     (void *)offsetof(struct bind_reservation, cpu)},
    {"stored", get_stored, NULL, "False: refused (dropped and counted), or aborted", NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (char *)"Bytes in place; made by `Channel.reserve`.\n\n"
                        "A with block commits them at its end, and aborts on an exception. "
                        "slot[i], slot[a:b] = …,\n"
                        "memoryview(slot) and len(slot) are of these bytes."},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_repr, repr},
    {Py_mp_length, get_len},
    {Py_mp_subscript, get_item},
    {Py_mp_ass_subscript, set_item},
    {Py_bf_getbuffer, get_buffer},
    {Py_bf_releasebuffer, release_buffer},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core.Reservation",
    .basicsize = sizeof(struct bind_reservation),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int bind_reservation_ready(PyObject *module, struct bind_state *state)
{
    state->reservation = bind_type(module, &spec, "Reservation");
    return state->reservation ? 0 : -1;
}
