/* Books: the numbers of one buffer, as a struct sequence. */
#include "binding.h"

static PyStructSequence_Field fields[] = {
    {"subbufs_produced", "sub-buffers finished"},
    {"subbufs_consumed", "sub-buffers read, or skipped"},
    {"bytes_consumed", "position inside the sub-buffer that is being read"},
    {"offset", "bytes used in the current sub-buffer; subbuf_size + 1: full"},
    {"written_records", "records stored"},
    {"written_bytes", "bytes stored"},
    {"readable_records", "records there now and unread"},
    {"readable_bytes", "bytes there now and unread"},
    {"consumed_records", "records read"},
    {"consumed_bytes", "bytes read"},
    {"overwritten_records", "records lost to newer ones, unread"},
    {"overwritten_bytes", "bytes lost to newer ones, unread"},
    {"discarded_records", "records unread when the buffer was reset"},
    {"discarded_bytes", "bytes unread when the buffer was reset"},
    {"dropped_full_records", "records not stored: full"},
    {"dropped_full_bytes", "bytes not stored: full"},
    {"dropped_too_big_records", "records not stored: longer than a sub-buffer"},
    {"dropped_too_big_bytes", "bytes not stored: longer than a sub-buffer"},
    {"dropped_disabled_records", "records not stored: disabled or finalized"},
    {"dropped_disabled_bytes", "bytes not stored: disabled or finalized"},
    {"dropped_contended_records", "records not stored: all buffers were held"},
    {"dropped_contended_bytes", "bytes not stored: all buffers were held"},
    {"wakeups", "switches that found a sleeping reader"},
    {NULL, NULL},
};

enum { N_FIELDS = sizeof fields / sizeof *fields - 1 };

static PyStructSequence_Desc description = {
    .name = "rchan._core.Books",
    .doc = "Numbers of one buffer at one moment.",
    .fields = fields,
    .n_in_sequence = N_FIELDS,
};

PyObject *bind_books_new(struct bind_state *state, const struct rchan_books *books)
{
    const uint64_t numbers[] = {
        books->subbufs_produced,
        books->subbufs_consumed,
        books->bytes_consumed,
        books->offset,
        books->written_records,
        books->written_bytes,
        books->readable_records,
        books->readable_bytes,
        books->consumed_records,
        books->consumed_bytes,
        books->overwritten_records,
        books->overwritten_bytes,
        books->discarded_records,
        books->discarded_bytes,
        books->dropped_records[RCHAN_DROP_FULL],
        books->dropped_bytes[RCHAN_DROP_FULL],
        books->dropped_records[RCHAN_DROP_TOO_BIG],
        books->dropped_bytes[RCHAN_DROP_TOO_BIG],
        books->dropped_records[RCHAN_DROP_DISABLED],
        books->dropped_bytes[RCHAN_DROP_DISABLED],
        books->dropped_records[RCHAN_DROP_CONTENDED],
        books->dropped_bytes[RCHAN_DROP_CONTENDED],
        books->wakeups,
    };
    static_assert(sizeof numbers / sizeof *numbers == N_FIELDS, "a number for each field");
    PyObject *self = PyStructSequence_New(state->books);
    for (int i = 0; self && i < N_FIELDS; i++) {
        PyObject *number = PyLong_FromUnsignedLongLong(numbers[i]);
        if (number)
            PyStructSequence_SetItem(self, i, number);
        else
            Py_CLEAR(self);
    }
    return self;
}

PyObject *bind_pairs(const uint64_t *records, const uint64_t *bytes, int count)
{
    PyObject *tuple = PyTuple_New(count);
    for (int i = 0; tuple && i < count; i++) {
        PyObject *pair = Py_BuildValue("(KK)", records[i], bytes[i]);
        if (pair)
            PyTuple_SetItem(tuple, i, pair);
        else
            Py_CLEAR(tuple);
    }
    return tuple;
}

int bind_books_ready(PyObject *module, struct bind_state *state)
{
    state->books = PyStructSequence_NewType(&description);
    if (!state->books)
        return -1;
    return PyModule_AddObjectRef(module, "Books", (PyObject *)state->books);
}
