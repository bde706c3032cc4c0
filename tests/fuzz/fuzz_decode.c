/* Target: the decoder of events, fed with any packets of any event types. What it gives as rows and
 * as columns is the same, nothing is read behind a packet's end, and all of it is accounted for. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "../../binding/event.h"
#include "../../core/layout.h"
#include "script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
PyObject *PyInit__core(void);

enum { MAX_TYPES = 4, MAX_FIELDS = 5, MAX_STEPS = 16, MAX_PACKET = 200, STREAMS = 3 };
static const int COUNTS_BYTES = 4; /* the field of counts() that has the bytes skipped */

static PyObject *decoder_type;

/* Python keeps objects for later: libFuzzer would look for a leak after every input. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static void *good(void *object)
{
    if (!object)
        PyErr_Print();
    ground_must(object != NULL, "no exception");
    return object;
}

/* Every object in memory of its own, so that AddressSanitizer sees where each ends. */
static void begin(void)
{
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.allocator = PYMEM_ALLOCATOR_MALLOC;
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    PyImport_AppendInittab("_core", PyInit__core);
    ground_must(!PyStatus_Exception(Py_PreInitialize(&before)), "Python's beginning");
    ground_must(!PyStatus_Exception(Py_InitializeFromConfig(&config)), "Python");
    PyConfig_Clear(&config);
    PyObject *module = good(PyImport_ImportModule("_core"));
    decoder_type = good(PyObject_GetAttrString(module, "Decoder"));
    Py_DECREF(module);
}

static PyObject *call(PyObject *decoder, const char *method, PyObject *arguments)
{
    PyObject *function = good(PyObject_GetAttrString(decoder, method));
    PyObject *result = PyObject_CallObject(function, arguments);
    Py_DECREF(function);
    Py_XDECREF(arguments);
    return result;
}

/* ---- what the input says ---- */

static PyObject *labels(struct script *script, unsigned kind)
{
    if (kind > BIND_I64 || script_take(script, 1) % 4)
        return Py_NewRef(Py_None);
    return Py_BuildValue("{isis}", 1, "one", (int)script_take(script, 1), "other");
}

static PyObject *field(struct script *script, unsigned number)
{
    static const int counts[] = {BIND_SCALAR, BIND_SCALAR, BIND_SCALAR, BIND_VARIABLE,
                                 0,           1,           3,           255};
    char name[] = {'f', (char)('0' + number), 0};
    unsigned kind = (unsigned)script_take(script, 1) % BIND_KINDS;
    int count = kind == BIND_BYTES ? BIND_SCALAR : counts[script_take(script, 1) % 8];
    return Py_BuildValue("(siNi)", name, (int)kind, labels(script, kind), count);
}

static void add_type(struct script *script, PyObject **decoders)
{
    unsigned n_fields = (unsigned)script_take(script, 1) % (MAX_FIELDS + 1);
    PyObject *fields = good(PyTuple_New(n_fields));
    for (unsigned i = 0; i < n_fields; i++)
        PyTuple_SetItem(fields, i, good(field(script, i)));
    PyObject *wanted = script_take(script, 1) % 4 ? Py_True : Py_False;
    for (int i = 0; i < 2; i++)
        Py_DECREF(good(call(decoders[i], "add", Py_BuildValue("(sOO)", "event", fields, wanted))));
    Py_DECREF(fields);
}

/* A header that is right for a packet of this length, and up to two words of it that are not. */
static void put_header(struct script *script, uint8_t *packet, size_t length, unsigned number)
{
    uint8_t changes = (uint8_t)script_take(script, 1);
    struct rchan_packet header = {.magic = RCHAN_PACKET_MAGIC,
                                  .timestamp_begin = number,
                                  .timestamp_end = UINT64_MAX / 2,
                                  .content_size = length * 8,
                                  .packet_size = length * 8,
                                  .packet_seq_num = number,
                                  .events = (uint32_t)script_take(script, 1)};
    memcpy(packet, &header, length < sizeof header ? length : sizeof header);
    for (int i = 0; i < changes % 3 && length >= sizeof header; i++) {
        size_t at = script_take(script, 1) % (sizeof header / 4) * 4;
        uint32_t word = (uint32_t)script_take(script, changes & 64 ? 1 : 4);
        memcpy(packet + at, &word, sizeof word);
    }
}

/* Behind the header: headers of events that are mostly right, and the input's bytes. */
static void put_events(struct script *script, uint8_t *at, const uint8_t *end)
{
    uint64_t stamp = 1;
    while (at < end && script->left) {
        uint8_t kind = (uint8_t)script_take(script, 1), header[20] = {kind % MAX_TYPES};
        size_t left = (size_t)(end - at), length = kind & 128 ? sizeof header : 0;
        stamp += kind >> 4 & 3;
        memcpy(header + 2, &stamp, sizeof stamp);
        memcpy(at, header, length < left ? length : left);
        at += length < left ? length : left;
        for (unsigned more = (unsigned)script_take(script, 1) % 40; more && at < end; more--)
            *at++ = (uint8_t)script_take(script, 1);
    }
}

static size_t feed(struct script *script, PyObject **decoders, unsigned number)
{
    uint8_t packet[MAX_PACKET] = {0};
    size_t length = script_take(script, 1) % (sizeof packet + 1);
    unsigned stream = (unsigned)script_take(script, 1) % STREAMS;
    put_header(script, packet, length, number);
    if (length > sizeof(struct rchan_packet))
        put_events(script, packet + sizeof(struct rchan_packet), packet + length);
    PyObject *finished = script_take(script, 1) % 4 ? Py_True : Py_False;
    for (int i = 0; i < 2; i++) {
        PyObject *arguments =
            Py_BuildValue("(Iy#O)", stream, (char *)packet, (Py_ssize_t)length, finished);
        Py_DECREF(good(call(decoders[i], "feed", arguments)));
    }
    return length;
}

static void set_open(struct script *script, PyObject **decoders)
{
    unsigned stream = (unsigned)script_take(script, 1) % STREAMS;
    int open = (int)script_take(script, 1) & 1;
    for (int i = 0; i < 2; i++)
        Py_DECREF(good(call(decoders[i], "set_open", Py_BuildValue("(Ii)", stream, open))));
}

/* ---- what comes out ---- */

static long long decode(PyObject **decoders, long most, int all)
{
    PyObject *rows = good(call(decoders[0], "rows", Py_BuildValue("(li)", most, all)));
    PyObject *count = good(call(decoders[1], "columns", Py_BuildValue("(li)", most, all)));
    long long found = PyLong_AsLongLong(count);
    ground_must(found == PyList_Size(rows) && found <= most, "as many rows as columns");
    Py_DECREF(rows);
    Py_DECREF(count);
    return found;
}

/* The rows that were taken. The memory of each column is read to its end. */
static long long take(PyObject *decoder, unsigned type)
{
    PyObject *taken = good(call(decoder, "take", Py_BuildValue("(I)", type)));
    long long rows = PyLong_AsLongLong(PyTuple_GetItem(taken, 0));
    Py_buffer view;
    for (Py_ssize_t i = 1; i < 5; i++) {
        ground_must(!PyObject_GetBuffer(PyTuple_GetItem(taken, i), &view, PyBUF_SIMPLE), "memory");
        static const int sizes[] = {0, 8, 2, 4, 4};
        ground_must(view.len == rows * sizes[i], "a value in each row");
        PyObject *copy = good(PyBytes_FromStringAndSize(view.buf, view.len));
        Py_DECREF(copy);
        PyBuffer_Release(&view);
    }
    Py_DECREF(taken);
    return rows;
}

static void compare(PyObject **decoders, size_t fed)
{
    PyObject *counts[2];
    for (int i = 0; i < 2; i++)
        counts[i] = good(call(decoders[i], "counts", NULL));
    ground_must(PyObject_RichCompareBool(counts[0], counts[1], Py_EQ) == 1, "the same books");
    long long skipped = PyLong_AsLongLong(PyTuple_GetItem(counts[0], COUNTS_BYTES));
    ground_must(skipped >= 0 && (size_t)skipped <= fed, "no more is skipped than was fed");
    Py_DECREF(counts[0]);
    Py_DECREF(counts[1]);
}

static void play(struct script *script, PyObject **decoders)
{
    size_t fed = 0;
    long long decoded = 0, taken = 0;
    unsigned n_types = (unsigned)script_take(script, 1) % (MAX_TYPES + 1);
    for (unsigned i = 0; i < n_types; i++)
        add_type(script, decoders);
    for (unsigned n = 0; n < MAX_STEPS && script->left; n++) {
        unsigned what = (unsigned)script_take(script, 1);
        if (what % 8 < 5)
            fed += feed(script, decoders, n);
        else if (what % 8 == 5)
            set_open(script, decoders);
        else if (what % 8 == 6)
            decoded += decode(decoders, what >> 4, what & 8);
        else if (n_types)
            taken += take(decoders[1], what / 8 % n_types);
    }
    decoded += decode(decoders, 100000, 1);
    for (unsigned i = 0; i < n_types; i++)
        taken += take(decoders[1], i);
    ground_must(taken == decoded, "every column is taken");
    compare(decoders, fed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t frequencies[] = {1000000000, 1, 3, 2500000000, UINT64_MAX};
    struct script script = {data, size};
    PyObject *decoders[2];
    if (!decoder_type)
        begin();
    uint64_t anchor = script_take(&script, 1) % 3, frequency = script_take(&script, 1) % 5;
    char uuid[16] = {0};
    for (int i = 0; i < 2; i++) {
        PyObject *arguments =
            Py_BuildValue("(y#KLK)", uuid, (Py_ssize_t)sizeof uuid, (unsigned long long)anchor,
                          (long long)1, (unsigned long long)frequencies[frequency]);
        decoders[i] = good(PyObject_CallObject(decoder_type, arguments));
        Py_DECREF(arguments);
    }
    play(&script, decoders);
    Py_DECREF(decoders[0]);
    Py_DECREF(decoders[1]);
    return 0;
}
