/* Attachment: owns the core's handle. Dies with the open Channel and the last Buffer. */
#include "binding.h"

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    struct bind_attachment *self = (struct bind_attachment *)object;
    Py_VISIT(Py_TYPE(object));
    for (int i = 0; i < BIND_HOOKS; i++)
        Py_VISIT(self->hooks[i]);
    Py_VISIT(self->kept);
    return 0;
}

/* Every reference cycle goes through the hooks: no other type of ours needs to be cleared. */
static int clear(PyObject *object)
{
    bind_hooks_drop((struct bind_attachment *)object);
    return 0;
}

static void dealloc(PyObject *object)
{
    struct bind_attachment *self = (struct bind_attachment *)object;
    PyObject_GC_UnTrack(object);
    if (self->weakrefs)
        PyObject_ClearWeakRefs(object);
    bind_hooks_drop(self);
    if (self->core)
        rchan_channel_detach(self->core);
    bind_free(self);
}

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct bind_attachment, weakrefs), READONLY, NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (char *)"A process's hold on a channel: control mapping, slot, descriptor.\n\n"
                        "Lives as long as the open Channel, or any Buffer of it."},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_dealloc, dealloc},
    {Py_tp_members, members},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core.Attachment",
    .basicsize = sizeof(struct bind_attachment),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int bind_attachment_ready(PyObject *module, struct bind_state *state)
{
    state->attachment = bind_type(module, &spec, "Attachment");
    return state->attachment ? 0 : -1;
}
