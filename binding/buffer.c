/* Buffer: one buffer as this process sees it. */
#include "binding.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Reads longer than this let other threads run meanwhile. */
enum { READ_ALONE = 64 * 1024 };

struct bind_buffer *bind_buffer_of(struct bind_attachment *attachment, struct rchan_buffer *core)
{
    if (core->client)
        return (struct bind_buffer *)Py_NewRef(OBJECT(core->client));
    struct bind_buffer *self = bind_alloc(attachment->state->buffer);
    if (!self)
        return NULL;
    if (core->client) { /* made by what the garbage collector ran just now */
        Py_DECREF(OBJECT(self));
        return (struct bind_buffer *)Py_NewRef(OBJECT(core->client));
    }
    self->core = core;
    self->attachment = (struct bind_attachment *)Py_NewRef(OBJECT(attachment));
    core->client = self;
    if (attachment->owner && !bind_channel_keep(attachment->owner, self))
        Py_CLEAR(self);
    return self;
}

struct rchan_buffer *bind_buffer_mapped(struct bind_buffer *self)
{
    if (self->core && self->core->map)
        return self->core;
    bind_raise(self->attachment->state, "ChannelClosed", EBADF,
               "this buffer has no memory: it never came into being");
    return NULL;
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    struct bind_buffer *self = (struct bind_buffer *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->attachment);
    return 0;
}

/* An open Channel keeps every Buffer, so that nobody else can be using the memory now. */
static void dealloc(PyObject *object)
{
    struct bind_buffer *self = (struct bind_buffer *)object;
    PyObject_GC_UnTrack(object);
    if (self->core)
        self->core->client = NULL;
    if (self->weakrefs)
        PyObject_ClearWeakRefs(object);
    struct bind_channel *owner = self->attachment ? self->attachment->owner : NULL;
    if (self->core && (!owner || owner->closed || owner->detached))
        rchan_buffer_unmap(self->core);
    Py_XDECREF(OBJECT(self->attachment));
    bind_free(self);
}

/* ---- methods ---- */

#define SELF(object) ((struct bind_buffer *)(object))
#define STATE(object) (SELF(object)->attachment->state)

static PyObject *raise_or_none(PyObject *object, int result)
{
    if (result)
        return bind_raise_result(STATE(object), result, SELF(object)->core->index);
    Py_RETURN_NONE;
}

static PyObject *give_name(PyObject *object, PyObject *name,
                           int (*act)(struct rchan_buffer *, const char *))
{
    struct rchan_buffer *core = bind_buffer_mapped(SELF(object));
    PyObject *path = core ? bind_get_path(STATE(object), name, "file_name") : NULL;
    if (!path)
        return NULL;
    struct rchan_error error = {RCHAN_FAIL_OS, -act(core, PyBytes_AsString(path)), ""};
    if (error.os_errno == EEXIST)
        error.failure = RCHAN_FAIL_EXISTS;
    else if (error.os_errno == ENOENT)
        error.failure = RCHAN_FAIL_NOT_FOUND;
    else if (error.os_errno == EACCES || error.os_errno == EPERM)
        error.failure = RCHAN_FAIL_PERMISSION;
    else if (error.os_errno == ENAMETOOLONG || error.os_errno == EINVAL)
        error.failure = RCHAN_FAIL_NAME;
    snprintf(error.message, sizeof error.message, "buffer file %.500s: %s", PyBytes_AsString(path),
             strerror(error.os_errno));
    Py_DECREF(path);
    if (error.os_errno)
        return bind_raise_core(STATE(object), &error, NULL);
    Py_RETURN_NONE;
}

static PyObject *link_file(PyObject *object, PyObject *name)
{
    return give_name(object, name, rchan_buffer_link);
}

static PyObject *unlink_file(PyObject *object, PyObject *name)
{
    return give_name(object, name, rchan_buffer_unlink);
}

static PyObject *subbuf(PyObject *object, PyObject *number)
{
    uint64_t index;
    struct rchan_buffer *core = bind_buffer_mapped(SELF(object));
    if (!core || !bind_get_u64(STATE(object), number, "index", &index))
        return NULL;
    struct rchan_channel *channel = core->channel;
    if (index >= channel->n_subbufs)
        return bind_raise(STATE(object), "GeometryError", EINVAL,
                          "there is no sub-buffer %S: the buffer has %u", number,
                          channel->n_subbufs);
    return bind_memory_view(SELF(object), index * channel->subbuf_size, channel->subbuf_size,
                            false);
}

static PyObject *subbuf_start_reserve(PyObject *object, PyObject *number)
{
    uint64_t length;
    struct rchan_buffer *core = bind_buffer_mapped(SELF(object));
    if (!core || !bind_get_u64(STATE(object), number, "length", &length))
        return NULL;
    return PyBool_FromLong(rchan_subbuf_start_reserve(core, length));
}

static PyObject *is_whole(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct rchan_buffer *core = bind_buffer_mapped(SELF(object));
    if (!core)
        return NULL;
    bool whole = rchan_channel_whole(core->channel);
    if (whole)
        bind_reads(core->channel);
    return PyBool_FromLong(whole);
}

/* Bytes read, or -1 with an exception. */
static int64_t read_into(PyObject *object, void *to, uint64_t length)
{
    struct rchan_buffer *core = SELF(object)->core;
    bool alone = length > READ_ALONE;
    bind_reads(core->channel);
    if (alone)
        bind_release();
    int64_t count = rchan_read(core, to, length);
    if (alone)
        bind_retake();
    if (count < 0)
        bind_raise_result(STATE(object), count, core->index);
    return count < 0 ? -1 : count;
}

/* No more than this can be there to read. */
static uint64_t most_readable(struct rchan_buffer *core)
{
    struct rchan_channel *channel = core->channel;
    uint64_t produced = rchan_head_produced(channel, rchan_load_acquire(&core->block->head));
    uint64_t consumed = rchan_head_produced(channel, rchan_load_acquire(&core->block->tail));
    uint64_t count = produced - consumed + 1;
    return count > channel->n_subbufs ? channel->alloc_size : count * channel->subbuf_size;
}

static PyObject *read_bytes(PyObject *object, PyObject *size)
{
    Py_ssize_t length;
    struct rchan_buffer *core = bind_buffer_mapped(SELF(object));
    if (!core || !bind_get_length(STATE(object), size, "size", &length))
        return NULL;
    uint64_t most = most_readable(core);
    if ((uint64_t)length > most)
        length = (Py_ssize_t)most;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, length);
    int64_t count = bytes ? read_into(object, PyBytes_AsString(bytes), (uint64_t)length) : -1;
    if (count == length)
        return bytes;
    PyObject *exact =
        count < 0 ? NULL : PyBytes_FromStringAndSize(PyBytes_AsString(bytes), (Py_ssize_t)count);
    Py_XDECREF(bytes);
    return exact;
}

static PyObject *readinto(PyObject *object, PyObject *into)
{
    Py_buffer view;
    if (!bind_buffer_mapped(SELF(object)) ||
        !bind_get_view(STATE(object), into, PyBUF_WRITABLE, &view))
        return NULL;
    int64_t count = read_into(object, view.buf, (uint64_t)view.len);
    PyBuffer_Release(&view);
    return count < 0 ? NULL : PyLong_FromLongLong(count);
}

static PyObject *poll(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct rchan_buffer *core = bind_buffer_mapped(SELF(object));
    return core ? PyLong_FromUnsignedLong(rchan_poll(core)) : NULL;
}

static PyObject *consumed(PyObject *object, PyObject *number)
{
    uint64_t count;
    struct rchan_buffer *core = bind_buffer_mapped(SELF(object));
    if (!core || !bind_get_u64(STATE(object), number, "count", &count))
        return NULL;
    return raise_or_none(object, rchan_subbufs_consumed(core, count));
}

static PyObject *flush(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct rchan_buffer *core = bind_buffer_mapped(SELF(object));
    return core ? raise_or_none(object, rchan_buffer_flush(core)) : NULL;
}

static PyObject *finish(PyObject *object, PyObject *args)
{
    PyObject *number = NULL;
    uint64_t wanted = UINT64_MAX;
    struct rchan_buffer *core = bind_buffer_mapped(SELF(object));
    if (!core || !PyArg_ParseTuple(args, "|O", &number) ||
        (number && !bind_get_u64(STATE(object), number, "subbuf", &wanted)))
        return NULL;
    int result = rchan_buffer_finish(core, wanted);
    if (result < 0)
        return bind_raise_result(STATE(object), result, core->index);
    return PyBool_FromLong(result);
}

static PyObject *books(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct rchan_books numbers;
    struct rchan_buffer *core = bind_buffer_mapped(SELF(object));
    int result = core ? rchan_buffer_books(core, &numbers) : 0;
    if (result)
        return bind_raise_result(STATE(object), result, core->index);
    return core ? bind_books_new(STATE(object), &numbers) : NULL;
}

static PyObject *sleeper_add(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct rchan_buffer *core = bind_buffer_mapped(SELF(object));
    return core ? PyLong_FromUnsignedLong(rchan_sleeper_add(&core->block->wake)) : NULL;
}

static PyObject *sleeper_remove(PyObject *object, PyObject *number)
{
    uint64_t epoch;
    struct rchan_buffer *core = bind_buffer_mapped(SELF(object));
    if (!core || !bind_get_u64(STATE(object), number, "epoch", &epoch))
        return NULL;
    return PyBool_FromLong(rchan_sleeper_remove(&core->block->wake, (uint32_t)epoch));
}

static PyMethodDef methods[] = {
    {"link", link_file, METH_O,
     "link($self, file_name, /)\n--\n\nGive the memory a name in the channel's directory: the "
     "default create_buf_file.\n\nfile_name: such as app0. Raises WrongType, BadName, "
     "ChannelExists, NotPermitted,\nSystemFailure, ChannelClosed."},
    {"unlink", unlink_file, METH_O,
     "unlink($self, file_name, /)\n--\n\nTake the name file_name away, if it is this buffer's: the "
     "default remove_buf_file.\n\nRaises WrongType, BadName, NotPermitted, SystemFailure, "
     "ChannelClosed."},
    {"subbuf", subbuf, METH_O,
     "subbuf($self, index, /)\n--\n\nA writable view of sub-buffer `index`, 0 to n_subbufs - 1; "
     "for callbacks.\n\nRaises WrongType, GeometryError."},
    {"subbuf_start_reserve", subbuf_start_reserve, METH_O,
     "subbuf_start_reserve($self, length, /)\n--\n\nKeep length bytes for a header; only from "
     "inside subbuf_start (subbuf_start_reserve).\n\nFalse: not inside it, full, or too long. "
     "Raises WrongType, GeometryError."},
    {"read", read_bytes, METH_O,
     "read($self, size, /)\n--\n\nUp to size bytes, which are consumed (read of relay's files); "
     "none: nothing is there.\n\nRaises BlockingIOError (another reader holds the buffer), "
     "CorruptChannel, WrongType."},
    {"readinto", readinto, METH_O,
     "readinto($self, into, /)\n--\n\nLike read, into writable memory; the number of bytes."},
    {"poll", poll, METH_NOARGS,
     "poll($self, /)\n--\n\nWhat is there: select.POLLIN | POLLRDNORM, POLLERR once finalized, "
     "else 0."},
    {"wait", (PyCFunction)(void (*)(void))bind_buffer_wait, METH_VARARGS | METH_KEYWORDS,
     "wait($self, /, timeout=None)\n--\n\nSleep until poll() is nonzero; its mask, or 0 when the "
     "time is up.\n\ntimeout: seconds; None: for ever. Raises WrongType, CorruptChannel."},
    {"_hold", bind_buffer_hold, METH_VARARGS, "A read that somebody else gets."},
    {"take", bind_subbuf_take, METH_NOARGS,
     "take($self, /)\n--\n\nThe oldest finished sub-buffer, held until it is given back; None: "
     "there is none.\n\nRaises BlockingIOError (another reader holds one), CorruptChannel."},
    {"_take_as", (PyCFunction)(void (*)(void))bind_subbuf_take_as, METH_FASTCALL,
     "_take_as(kind, before): as an object of kind, a subclass of Subbuf. before: its reader's."},
    {"tap", bind_buffer_tap, METH_O,
     "tap($self, start, /)\n--\n\nA reading position of its own, which consumes nothing.\n\nstart: "
     "'unread', 'oldest' or 'now'. Raises WrongType, ChannelBusy, CorruptChannel."},
    {"consumed", consumed, METH_O,
     "consumed($self, count, /)\n--\n\nCount so many more sub-buffers as read "
     "(relay_subbufs_consumed).\n\ncount: more than n_subbufs is ignored. Raises BlockingIOError "
     "(another reader holds "
     "one), WrongType, "
     "CorruptChannel."},
    {"flush", flush, METH_NOARGS,
     "flush($self, /)\n--\n\nFinish the current sub-buffer, also an empty one "
     "(relay_switch_subbuf).\n\nRaises ChannelBusy (a stalled writer holds the buffer), "
     "CorruptChannel."},
    {"_finish", finish, METH_VARARGS,
     "_finish([subbuf]): finish the current sub-buffer if there is anything to read in it."},
    {"books", books, METH_NOARGS,
     "books($self, /)\n--\n\nThe numbers of this buffer at this moment, which add up."},
    {"_is_whole", is_whole, METH_NOARGS, "False: the channel's control file was cut."},
    {"_bell", bind_buffer_bell, METH_NOARGS, "A new doorbell of its channel, not armed."},
    {"_sleeper_add", sleeper_add, METH_NOARGS, "Become a sleeper; the epoch."},
    {"_sleeper_remove", sleeper_remove, METH_O, "Give up; False if woken meanwhile."},
    {0},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct bind_buffer, weakrefs), READONLY, NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     (char *)"One buffer as this process sees it (the kernel's struct rchan_buf).\n\n"
             "Found in `Channel.buffers`. It keeps its memory mapped: what is in it can be read\n"
             "after the channel was closed."},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, bind_buffer_properties},
    {0},
};

static PyType_Spec spec = {
    .name = "rchan._core.Buffer",
    .basicsize = sizeof(struct bind_buffer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int bind_buffer_ready(PyObject *module, struct bind_state *state)
{
    state->buffer = bind_type(module, &spec, "Buffer");
    return state->buffer ? 0 : -1;
}
