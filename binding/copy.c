/* SubbufCopy: what a tap delivers, in memory of its own. */
#include "tap.h"

#define SELF(object) ((struct bind_copy *)(object))

bool bind_copy_place(struct bind_copy *copy, struct bind_arena *arena)
{
    copy->data = arena ? bind_arena_take(arena, copy->core.length) : NULL;
    if (copy->data) {
        copy->memory = Py_NewRef(OBJECT(arena));
        return true;
    }
    copy->memory = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)copy->core.length);
    if (copy->memory)
        copy->data = (uint8_t *)PyBytes_AsString(copy->memory);
    return copy->memory != NULL;
}

void bind_copy_unplace(struct bind_copy *copy, struct bind_arena *arena)
{
    if (copy->memory == OBJECT(arena))
        bind_arena_undo(arena, copy->data, copy->core.length);
    copy->data = NULL;
    Py_CLEAR(copy->memory);
}

static int get_buffer(PyObject *object, Py_buffer *view, int flags)
{
    return PyBuffer_FillInfo(view, object, SELF(object)->data,
                             (Py_ssize_t)SELF(object)->core.length, 1, flags);
}

static Py_ssize_t length(PyObject *object)
{
    return (Py_ssize_t)SELF(object)->core.length;
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(SELF(object)->memory);
    return 0;
}

static void dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    Py_XDECREF(SELF(object)->memory);
    bind_free(object);
}

static PyObject *repr(PyObject *object)
{
    const struct rchan_copy *core = &SELF(object)->core;
    return PyUnicode_FromFormat(
        "<rchan.SubbufCopy: sub-buffer %llu of CPU %u, %llu records, %llu bytes%s>",
        (unsigned long long)core->seq, SELF(object)->index, (unsigned long long)core->records,
        (unsigned long long)core->length, core->finished ? "" : ", unfinished");
}

/* ---- properties ---- */

static PyObject *get_number(PyObject *object, void *offset)
{
    return PyLong_FromUnsignedLongLong(*(uint64_t *)((char *)object + (intptr_t)offset));
}

static PyObject *get_truth(PyObject *object, void *offset)
{
    return PyBool_FromLong(*(bool *)((char *)object + (intptr_t)offset));
}

static PyObject *get_cpu(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLong(SELF(object)->index);
}

static PyObject *get_data(PyObject *object, void *closure)
{
    (void)closure;
    return PyMemoryView_FromObject(object);
}

static PyObject *get_missed(PyObject *object, void *closure)
{
    (void)closure;
    const struct rchan_loss *missed = &SELF(object)->core.missed;
    return Py_BuildValue("(KKK)", missed->subbufs, missed->records, missed->bytes);
}

static PyObject *get_drops(PyObject *object, void *closure)
{
    (void)closure;
    return bind_pairs(SELF(object)->core.drop_records, SELF(object)->core.drop_bytes,
                      RCHAN_DROP_CAUSES);
}

static PyObject *get_lost(PyObject *object, void *closure)
{
    (void)closure;
    return bind_pairs(SELF(object)->core.lost_records, SELF(object)->core.lost_bytes,
                      RCHAN_DROP_CAUSES);
}

#define FIELD(name, get, doc)                                                                      \
    {                                                                                              \
#name, get, NULL, doc, (void *)offsetof(struct bind_copy, core.name)                       \
    }

static PyGetSetDef properties[] = {
    FIELD(seq, get_number, "sub-buffers produced before it"),
    FIELD(length, get_number, "bytes, without padding"),
    FIELD(records, get_number, "records in it"),
    FIELD(first_ns, get_number, "time of its first record, in nanoseconds of the monotonic clock"),
    FIELD(last_ns, get_number, "time of its finish, or of the look at an unfinished one"),
    FIELD(finished, get_truth, "False: it was still being filled; what there was of it"),
    FIELD(was_reset, get_truth, "the buffer was reset before it: seq began anew"),
    {"cpu", get_cpu, NULL, "the buffer's index", NULL},
    {"data", get_data, NULL, "a read-only view of the copied bytes", NULL},
    {"missed", get_missed, NULL, "(sub-buffers, records, bytes) gone between the last and this",
     NULL},
    {"drops", get_drops, NULL, "(records, bytes) of each cause, as they stood at its start", NULL},
    {"lost", get_lost, NULL, "(records, bytes) of each cause, dropped since the last one began",
     NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     (char *)"A copy of a sub-buffer; made by `Tap` and `Channel.snapshot`.\n\n"
             "memoryview(copy), bytes(copy) and len(copy) are of its bytes; they never change."},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {Py_tp_getset, properties},
    {Py_tp_repr, repr},
    {Py_bf_getbuffer, get_buffer},
    {Py_sq_length, length},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core.SubbufCopy",
    .basicsize = sizeof(struct bind_copy),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int bind_copy_ready(PyObject *module, struct bind_state *state)
{
    state->copy = bind_type(module, &spec, "SubbufCopy");
    return state->copy ? 0 : -1;
}
