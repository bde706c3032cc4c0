/* What a Channel says of its events: clock, identity, metadata. */
#include <errno.h>
#include <string.h>

#include "../core/metadata.h"
#include "../core/stamp.h"
#include "binding.h"

#define SELF(object) ((struct bind_channel *)(object))

enum { APPEND_WAIT_MS = 2000 };

static PyObject *failed(struct bind_channel *self, int64_t result)
{
    if (result == -EBUSY)
        return bind_raise(self->state, "ChannelBusy", ETIMEDOUT,
                          "another process has held the list of event types for too long");
    if (result == -EFBIG)
        return bind_raise(self->state, "SchemaError", EFBIG,
                          "the descriptions of the channel's events are too long");
    if (result == -EBADMSG)
        return bind_raise(self->state, "CorruptChannel", EBADMSG,
                          "the channel's list of event types is damaged");
    if (result == -ENOSPC)
        return bind_raise(self->state, "NoSpace", ENOSPC,
                          "no room in the file system for another event type");
    return bind_raise(self->state, "SystemFailure", (int)-result,
                      "the channel's list of event types cannot be used (errno %d)", (int)-result);
}

PyObject *bind_channel_metadata(PyObject *object, PyObject *from)
{
    struct bind_channel *self = SELF(object);
    uint64_t offset;
    if (!bind_get_u64(self->state, from, "offset", &offset))
        return NULL;
    struct rchan_channel *core = bind_channel_attached(self);
    if (!core)
        return NULL;
    int64_t length = rchan_metadata_length(core);
    if (length < 0 || offset > (uint64_t)length)
        return failed(self, -EBADMSG);
    length -= (int64_t)offset;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
    if (!bytes)
        return NULL;
    int result = rchan_metadata_read(core, offset, PyBytes_AsString(bytes), (uint64_t)length);
    if (result) {
        Py_DECREF(bytes);
        return failed(self, result);
    }
    return bytes;
}

PyObject *bind_channel_append_metadata(PyObject *object, PyObject *args)
{
    struct bind_channel *self = SELF(object);
    unsigned long long expected;
    const char *bytes;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(args, "Ky#:_append_metadata", &expected, &bytes, &length))
        return NULL;
    struct rchan_channel *core = bind_channel_open(self);
    if (!core)
        return NULL;
    bind_channel_enter(self);
    bind_release();
    int result = rchan_metadata_append(core, expected, bytes, (uint64_t)length, APPEND_WAIT_MS);
    bind_retake();
    bind_channel_leave(self);
    if (result && result != -EAGAIN)
        return failed(self, result);
    return PyBool_FromLong(!result);
}

PyObject *bind_channel_get_clock(PyObject *object, void *closure)
{
    (void)closure;
    struct rchan_channel *core = bind_channel_attached(SELF(object));
    if (!core)
        return NULL;
    if (!core->packet_header)
        return Py_NewRef(Py_None);
    const struct rchan_header *header = core->header;
    uint8_t boot_id[16];
    rchan_boot_id(boot_id);
    bool same = memcmp(boot_id, header->boot_id, sizeof boot_id) == 0;
    return Py_BuildValue("(IKKKKKy#N)", core->stamp_clock, (unsigned long long)core->stamp_base,
                         (unsigned long long)header->stamp_frequency,
                         (unsigned long long)header->anchor_stamp,
                         (unsigned long long)header->anchor_monotonic_ns,
                         (unsigned long long)header->anchor_realtime_ns, header->uuid,
                         (Py_ssize_t)16, PyBool_FromLong(same));
}

PyObject *bind_channel_get_events(PyObject *object, void *closure)
{
    (void)closure;
    struct rchan_channel *core = bind_channel_attached(SELF(object));
    return core ? PyBool_FromLong(core->packet_header != 0) : NULL;
}

PyObject *bind_moment(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    struct rchan_moment now = rchan_moment_now();
    return Py_BuildValue("(KKK)", (unsigned long long)now.counter,
                         (unsigned long long)now.monotonic_ns, (unsigned long long)now.realtime_ns);
}
