/* The properties of Buffer. */
#include "../core/packet.h"
#include "binding.h"

#include <errno.h>

enum fact {
    ALLOC_SIZE,
    BYTES_CONSUMED,
    EARLY_BYTES,
    EMPTY,
    FINALIZED,
    FULL,
    INDEX,
    LAST_STAMP,
    N_SUBBUFS,
    OFFSET,
    PACKETS_BEGUN,
    SUBBUF_SIZE,
    SUBBUFS_CONSUMED,
    SUBBUFS_PRODUCED,
    WAKE_ASKED,
    WAKE_EPOCH,
};

/* What is asked while its files are made needs no memory mapped. */
static struct rchan_buffer *known(PyObject *object)
{
    struct bind_buffer *self = (struct bind_buffer *)object;
    return self->core && self->core->block ? self->core : bind_buffer_mapped(self);
}

static uint64_t head(const struct rchan_buffer *core)
{
    return rchan_load_acquire(&core->block->head);
}

static uint64_t tail(const struct rchan_buffer *core)
{
    return rchan_load_acquire(&core->block->tail);
}

static bool has_file(const struct rchan_buffer *core)
{
    const struct rchan_channel *channel = core->channel;
    uint64_t word = rchan_load_acquire(&channel->header->linked[core->index / 64]);
    return channel->named && word >> (core->index % 64) & 1;
}

/* What finished sub-buffers ever held: the size of a file that is there from the start. */
static uint64_t finished_bytes(const struct rchan_buffer *core)
{
    uint64_t produced = rchan_head_produced(core->channel, head(core));
    return rchan_load(&core->block->total_bytes[produced & 1]) -
           rchan_load(&core->block->unfinished_bytes);
}

static bool truth(struct rchan_buffer *core, enum fact fact)
{
    switch (fact) {
    case EMPTY:
        return rchan_buffer_is_empty(core);
    case FULL:
        return rchan_buffer_is_full(core);
    case FINALIZED:
        return rchan_buffer_finalized(core);
    default:
        return rchan_wake_asked(&core->block->wake);
    }
}

static uint64_t number(struct rchan_buffer *core, enum fact fact)
{
    struct rchan_channel *channel = core->channel;
    switch (fact) {
    case ALLOC_SIZE:
        return channel->alloc_size;
    case LAST_STAMP:
        return rchan_load(&core->block->last_stamp);
    case PACKETS_BEGUN:
        return rchan_packets_begun(core, head(core));
    case BYTES_CONSUMED:
        return rchan_head_offset(channel, tail(core));
    case EARLY_BYTES:
        return has_file(core) ? rchan_load(&core->block->early_bytes) : finished_bytes(core);
    case INDEX:
        return core->index;
    case N_SUBBUFS:
        return channel->n_subbufs;
    case OFFSET:
        return rchan_head_offset(channel, head(core));
    case SUBBUF_SIZE:
        return channel->subbuf_size;
    case SUBBUFS_CONSUMED:
        return rchan_head_produced(channel, tail(core));
    case SUBBUFS_PRODUCED:
        return rchan_head_produced(channel, head(core));
    default:
        return rchan_wake_epoch(&core->block->wake);
    }
}

static PyObject *get_number(PyObject *object, void *closure)
{
    struct rchan_buffer *core = known(object);
    return core ? PyLong_FromUnsignedLongLong(number(core, (enum fact)(intptr_t)closure)) : NULL;
}

static PyObject *get_truth(PyObject *object, void *closure)
{
    struct rchan_buffer *core = known(object);
    return core ? PyBool_FromLong(truth(core, (enum fact)(intptr_t)closure)) : NULL;
}

static PyObject *get_attachment(PyObject *object, void *closure)
{
    (void)closure;
    return Py_NewRef(OBJECT(((struct bind_buffer *)object)->attachment));
}

static PyObject *get_channel_base(PyObject *object, void *closure)
{
    (void)closure;
    struct rchan_buffer *core = known(object);
    if (!core)
        return NULL;
    if (!core->channel->named)
        Py_RETURN_NONE;
    return PyUnicode_DecodeFSDefault(core->channel->base);
}

static PyObject *get_directory(PyObject *object, void *closure)
{
    (void)closure;
    struct rchan_buffer *core = known(object);
    return core ? PyUnicode_DecodeFSDefault(core->channel->directory) : NULL;
}

static PyObject *get_file_name(PyObject *object, void *closure)
{
    (void)closure;
    struct rchan_buffer *core = known(object);
    if (!core)
        return NULL;
    if (!has_file(core))
        Py_RETURN_NONE;
    PyObject *base = PyUnicode_DecodeFSDefault(core->channel->base);
    PyObject *name = base ? PyUnicode_FromFormat("%U%u", base, core->index) : NULL;
    Py_XDECREF(base);
    return name;
}

static PyObject *get_file_size(PyObject *object, void *closure)
{
    (void)closure;
    struct rchan_buffer *core = known(object);
    if (!core)
        return NULL;
    if (!has_file(core))
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(finished_bytes(core));
}

static PyObject *get_padding(PyObject *object, void *closure)
{
    (void)closure;
    struct rchan_buffer *core = known(object);
    PyObject *tuple = core ? PyTuple_New(core->channel->n_subbufs) : NULL;
    for (uint32_t i = 0; tuple && i < core->channel->n_subbufs; i++) {
        PyObject *padding = PyLong_FromUnsignedLong(rchan_load(&core->block->meta[i].padding));
        if (padding)
            PyTuple_SetItem(tuple, i, padding);
        else
            Py_CLEAR(tuple);
    }
    return tuple;
}

static PyObject *get_memory(PyObject *object, void *closure)
{
    (void)closure;
    struct bind_buffer *self = (struct bind_buffer *)object;
    struct rchan_buffer *core = bind_buffer_mapped(self);
    return core ? bind_memory_view(self, 0, core->channel->alloc_size, true) : NULL;
}

#define NUMBER(name, fact, doc)                                                                    \
    {                                                                                              \
        name, get_number, NULL, doc, (void *)(intptr_t)(fact)                                      \
    }
#define TRUTH(name, fact, doc)                                                                     \
    {                                                                                              \
        name, get_truth, NULL, doc, (void *)(intptr_t)(fact)                                       \
    }

static PyObject *get_resets(PyObject *object, void *closure)
{
    (void)closure;
    struct rchan_buffer *core = bind_buffer_mapped((struct bind_buffer *)object);
    return core ? PyLong_FromUnsignedLong(rchan_load(&core->block->resetting) >> 1) : NULL;
}

PyGetSetDef bind_buffer_properties[] = {
    NUMBER("index", INDEX, "its number: CPU modulo n_buffers"),
    NUMBER("subbuf_size", SUBBUF_SIZE, "bytes"),
    NUMBER("n_subbufs", N_SUBBUFS, "sub-buffers in it"),
    NUMBER("alloc_size", ALLOC_SIZE, "bytes of its memory, whole pages"),
    NUMBER("subbufs_produced", SUBBUFS_PRODUCED, "finished so far, since the last reset"),
    NUMBER("subbufs_consumed", SUBBUFS_CONSUMED, "read so far, since the last reset"),
    NUMBER("bytes_consumed", BYTES_CONSUMED, "inside the sub-buffer that is being read"),
    NUMBER("offset", OFFSET, "bytes used in the current sub-buffer; subbuf_size + 1: full"),
    NUMBER("early_bytes", EARLY_BYTES, "bytes finished before the buffer had a file"),
    NUMBER("_last_stamp", LAST_STAMP, "no event or packet of it is later; 0: plain records"),
    NUMBER("_packets_begun", PACKETS_BEGUN, "number of the packet after the newest"),
    NUMBER("_wake_epoch", WAKE_EPOCH, "wake-ups of sleepers so far"),
    TRUTH("_wake_asked", WAKE_ASKED, "a wake-up is owed"),
    TRUTH("finalized", FINALIZED, "nothing will be written any more"),
    TRUTH("full", FULL, "all sub-buffers are finished and unread (relay_buf_full)"),
    TRUTH("empty", EMPTY, "no finished sub-buffer is unread (relay_buf_empty)"),
    {"attachment", get_attachment, NULL, "what keeps the control file mapped", NULL},
    {"channel_base", get_channel_base, NULL, "the channel's name, or None: buffer-only", NULL},
    {"directory", get_directory, NULL, "absolute path", NULL},
    {"file_name", get_file_name, NULL, "None: it has no file (yet)", NULL},
    {"resets", get_resets, NULL, "resets so far: numbers of sub-buffers began anew at each", NULL},
    {"file_size", get_file_size, NULL, "bytes; None: no file", NULL},
    {"padding", get_padding, NULL, "bytes left free at the end of each sub-buffer", NULL},
    {"memory", get_memory, NULL, "a read-only view of all its memory, live", NULL},
    {0},
};
