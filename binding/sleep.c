/* Blocking waits: sleep on a wake word until a look says that there is something. */
#include "binding.h"

#include <errno.h>

#include "../core/buffer.h"
#include "../core/clock.h"

enum { SLICE_NS = 1000000000 }; /* look again this often, should a wake-up get lost */

struct sleep {
    struct rchan_channel *channel;
    rchan_a64 *wake;
    uint32_t (*look)(void *object); /* nonzero: there is something */
    void *object;
    int64_t left_ns; /* < 0: no limit */
};

/* What the look found, or 0 after one slice; *left_ns is counted down. */
static uint32_t sleep_slice(struct sleep *sleep)
{
    uint32_t epoch = rchan_sleeper_add(sleep->wake);
    uint32_t found = sleep->look(sleep->object);
    if (!found) {
        int64_t slice = sleep->left_ns;
        if (slice < 0 || slice > SLICE_NS)
            slice = SLICE_NS;
        uint64_t before = rchan_now_ns();
        bind_release();
        int result = rchan_sleep(sleep->wake, epoch, slice);
        bind_retake();
        /* By one who was killed before he woke anybody: readers on descriptors cannot look. */
        if (result == -ETIMEDOUT && !sleep->channel->defer_wakeups)
            rchan_run_wakeups(sleep->channel);
        int64_t slept = (int64_t)(rchan_now_ns() - before);
        if (sleep->left_ns >= 0)
            sleep->left_ns = sleep->left_ns > slept ? sleep->left_ns - slept : 0;
    }
    rchan_sleeper_remove(sleep->wake, epoch);
    return found;
}

/* What was found, 0: time is up, -1: an exception (of a signal handler). */
static int64_t sleep_until_found(struct sleep *sleep)
{
    uint32_t found = sleep->look(sleep->object);
    while (!found && sleep->left_ns) {
        found = sleep_slice(sleep);
        if (!found && PyErr_CheckSignals())
            return -1;
        if (!found)
            found = sleep->look(sleep->object);
    }
    return found;
}

int64_t bind_sleep(struct rchan_channel *channel, uint32_t (*look)(void *), void *object,
                   int64_t timeout_ns)
{
    struct sleep sleep = {channel, &channel->header->wake, look, object, timeout_ns};
    return sleep_until_found(&sleep);
}

static bool get_timeout(struct bind_state *state, PyObject *args, PyObject *names, int64_t *left)
{
    static char *keywords[] = {(char *)"timeout", NULL};
    PyObject *timeout = NULL;
    return PyArg_ParseTupleAndKeywords(args, names, "|O", keywords, &timeout) &&
           bind_get_timeout(state, timeout, left);
}

static uint32_t look_at_buffer(void *object)
{
    return rchan_poll(object);
}

PyObject *bind_buffer_wait(PyObject *object, PyObject *args, PyObject *names)
{
    struct bind_buffer *self = (struct bind_buffer *)object;
    struct rchan_buffer *core = bind_buffer_mapped(self);
    struct sleep sleep = {.look = look_at_buffer, .object = core};
    if (!core || !get_timeout(self->attachment->state, args, names, &sleep.left_ns))
        return NULL;
    bind_reads(core->channel);
    sleep.channel = core->channel;
    sleep.wake = &core->block->wake;
    int64_t found = sleep_until_found(&sleep);
    return found < 0 ? NULL : PyLong_FromLongLong(found);
}

enum { CLOSED_MEANWHILE = 1u << 31 };

static uint32_t look_at_channel(void *object)
{
    struct rchan_channel *core = ((struct bind_channel *)object)->open;
    if (!core)
        return CLOSED_MEANWHILE;
    rchan_channel_refresh(core);
    for (uint32_t i = 0; i < core->n_buffers; i++) {
        struct rchan_buffer *buffer = &core->buffers[i];
        if (rchan_load_acquire(&buffer->data) && rchan_poll(buffer))
            return 1;
    }
    return 0;
}

/* ---- sleeping on a condition of the caller's: be a sleeper, look, then sleep or give up ---- */

PyObject *bind_channel_sleeper_add(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct rchan_channel *core = bind_channel_open((struct bind_channel *)object);
    if (!core)
        return NULL;
    bind_reads(core);
    return PyLong_FromUnsignedLong(rchan_sleeper_add(&core->header->wake));
}

PyObject *bind_channel_sleep(PyObject *object, PyObject *args)
{
    struct bind_channel *self = (struct bind_channel *)object;
    PyObject *number, *timeout;
    uint64_t epoch;
    int64_t timeout_ns;
    if (!PyArg_ParseTuple(args, "OO:_sleep", &number, &timeout) ||
        !bind_get_u64(self->state, number, "epoch", &epoch) ||
        !bind_get_timeout(self->state, timeout, &timeout_ns))
        return NULL;
    struct rchan_channel *core = bind_channel_open(self);
    if (!core)
        return NULL;
    bind_channel_enter(self);
    if (timeout_ns) {
        bind_release();
        int result = rchan_sleep(&core->header->wake, (uint32_t)epoch, timeout_ns);
        bind_retake();
        if (result == -ETIMEDOUT && !core->defer_wakeups) /* as in sleep_slice */
            rchan_run_wakeups(core);
    }
    rchan_sleeper_remove(&core->header->wake, (uint32_t)epoch);
    bind_channel_leave(self);
    return PyErr_CheckSignals() ? NULL : Py_NewRef(Py_None);
}

PyObject *bind_channel_wait(PyObject *object, PyObject *args, PyObject *names)
{
    struct bind_channel *self = (struct bind_channel *)object;
    int64_t left_ns;
    if (!get_timeout(self->state, args, names, &left_ns))
        return NULL;
    struct rchan_channel *core = bind_channel_open(self);
    if (!core)
        return NULL;
    bind_reads(core);
    bind_channel_enter(self);
    int64_t found = bind_sleep(core, look_at_channel, self, left_ns);
    bind_channel_leave(self);
    if (found == CLOSED_MEANWHILE)
        bind_channel_open(self);
    return found < 0 || PyErr_Occurred() ? NULL : PyBool_FromLong(found != 0);
}
