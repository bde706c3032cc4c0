/* The core's hooks call Python, and the interpreter lock around it. */
#include "binding.h"

#include <errno.h>
#include <sched.h>

/* Set while this thread is in the core without the interpreter lock. */
static _Thread_local PyThreadState *released;
/* Where the call that runs in this thread wants what create_buf_file raises. */
static _Thread_local PyObject **raise_into;

void bind_release(void)
{
    released = PyEval_SaveThread();
}

void bind_retake(void)
{
    PyThreadState *state = released;
    released = NULL;
    PyEval_RestoreThread(state);
}

PyObject **bind_hooks_raise_into(PyObject **place)
{
    PyObject **before = raise_into;
    raise_into = place;
    return before;
}

/* Python runs inside: with the lock, no exception pending, and as an operation of its own. */
struct scope {
    PyThreadState *released;
    PyObject **raise_into;
    PyObject *type, *value, *trace;
};

static void scope_enter(struct scope *scope)
{
    scope->released = released;
    if (released)
        bind_retake();
    scope->raise_into = bind_hooks_raise_into(NULL);
    PyErr_Fetch(&scope->type, &scope->value, &scope->trace);
}

static void scope_leave(struct scope *scope)
{
    PyErr_Restore(scope->type, scope->value, scope->trace);
    raise_into = scope->raise_into;
    if (scope->released)
        bind_release();
}

static struct bind_attachment *attachment_of(struct rchan_channel *channel)
{
    return channel->hooks.client;
}

/* For `after`: here the owner word may be held. */
static void keep_exception(struct bind_attachment *attachment, PyObject *callable)
{
    PyObject *exception = bind_take_exception();
    PyObject *pair = PyTuple_Pack(2, exception, callable);
    if (!attachment->kept)
        attachment->kept = PyList_New(0);
    if (pair && attachment->kept)
        PyList_Append(attachment->kept, pair);
    PyErr_Clear();
    Py_XDECREF(pair);
    Py_DECREF(exception);
}

static void report(PyObject *exception, PyObject *callable)
{
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    PyErr_WriteUnraisable(callable);
}

void bind_hooks_report(struct bind_attachment *attachment)
{
    PyObject *kept = attachment->kept;
    attachment->kept = NULL;
    for (Py_ssize_t i = 0; kept && i < PyList_Size(kept); i++) {
        PyObject *pair = PyList_GetItem(kept, i);
        report(PyTuple_GetItem(pair, 0), PyTuple_GetItem(pair, 1));
    }
    Py_XDECREF(kept);
}

/* Call with `args` (stolen; NULL: an exception is pending). NULL: it raised, *callable did it. */
static PyObject *call(struct bind_attachment *attachment, enum bind_hook which, PyObject *args,
                      PyObject **callable)
{
    *callable = attachment->hooks[which] ? attachment->hooks[which] : Py_None;
    Py_INCREF(*callable);
    PyObject *answer = NULL;
    if (args && *callable == Py_None)
        answer = Py_NewRef(Py_None);
    else if (args)
        answer = PyObject_CallObject(*callable, args);
    Py_XDECREF(args);
    return answer;
}

/* Truth of the answer; an exception counts as false. */
static bool ask(struct bind_attachment *attachment, enum bind_hook which, PyObject *args)
{
    PyObject *callable;
    PyObject *answer = call(attachment, which, args, &callable);
    int truth = answer ? PyObject_IsTrue(answer) : -1;
    if (truth < 0)
        keep_exception(attachment, callable);
    Py_XDECREF(answer);
    Py_DECREF(callable);
    return truth > 0;
}

static PyObject *buffer_object(struct rchan_buffer *buffer)
{
    return OBJECT(bind_buffer_of(attachment_of(buffer->channel), buffer));
}

static bool subbuf_start(struct rchan_buffer *buffer, uint32_t subbuf, int64_t prev,
                         uint32_t prev_padding)
{
    struct scope scope;
    scope_enter(&scope);
    PyObject *before = prev < 0 ? Py_NewRef(Py_None) : PyLong_FromLongLong(prev);
    bool answer = ask(attachment_of(buffer->channel), BIND_SUBBUF_START,
                      Py_BuildValue("(NINI)", buffer_object(buffer), subbuf, before, prev_padding));
    scope_leave(&scope);
    return answer;
}

static void tell(struct rchan_buffer *buffer, enum bind_hook which, uint32_t subbuf)
{
    struct scope scope;
    scope_enter(&scope);
    ask(attachment_of(buffer->channel), which,
        Py_BuildValue("(NI)", buffer_object(buffer), subbuf));
    scope_leave(&scope);
}

static void deliver(struct rchan_buffer *buffer, uint32_t subbuf)
{
    tell(buffer, BIND_DELIVER, subbuf);
}

static void buf_full(struct rchan_buffer *buffer, uint32_t subbuf)
{
    tell(buffer, BIND_BUF_FULL, subbuf);
}

static PyObject *name_object(const char *file_name)
{
    return file_name ? PyUnicode_DecodeFSDefault(file_name) : Py_NewRef(Py_None);
}

static void remove_buf_file(struct rchan_buffer *buffer, const char *file_name)
{
    struct scope scope;
    scope_enter(&scope);
    struct bind_attachment *attachment = attachment_of(buffer->channel);
    ask(attachment, BIND_REMOVE_BUF_FILE,
        Py_BuildValue("(NN)", buffer_object(buffer), name_object(file_name)));
    bind_hooks_report(attachment);
    scope_leave(&scope);
}

/* 0 refused, 1 done, 2 done and global; -1: an exception. */
static long create_answer(PyObject *answer)
{
    long value = answer ? PyLong_AsLong(answer) : -1;
    if (value >= 0 && value <= 2)
        return value;
    if (!PyErr_Occurred())
        PyErr_Format(PyExc_ValueError, "create_buf_file answered %ld instead of 0, 1 or 2", value);
    return -1;
}

static void replace(PyObject **place, PyObject *exception)
{
    Py_XDECREF(*place);
    *place = exception;
}

static int create_buf_file(struct rchan_buffer *buffer, const char *file_name, bool *is_global)
{
    struct scope scope;
    scope_enter(&scope);
    struct bind_attachment *attachment = attachment_of(buffer->channel);
    struct bind_buffer *object = bind_buffer_of(attachment, buffer);
    if (object)
        object->creating = true;
    PyObject *callable;
    PyObject *answer = call(attachment, BIND_CREATE_BUF_FILE,
                            Py_BuildValue("(ON)", object, name_object(file_name)), &callable);
    long value = create_answer(answer);
    if (object)
        object->creating = value <= 0;
    if (value < 0 && scope.raise_into)
        replace(scope.raise_into, bind_take_exception());
    else if (value < 0)
        keep_exception(attachment, callable);
    Py_XDECREF(answer);
    Py_DECREF(callable);
    Py_XDECREF(OBJECT(object));
    scope_leave(&scope);
    *is_global = value == 2;
    return value > 0 ? 0 : -ECANCELED;
}

static void after(struct rchan_channel *channel)
{
    struct bind_attachment *attachment = attachment_of(channel);
    if (!attachment->kept)
        return;
    struct scope scope;
    scope_enter(&scope);
    bind_hooks_report(attachment);
    scope_leave(&scope);
}

static void yield(struct rchan_channel *channel)
{
    (void)channel;
    PyThreadState *state = released ? NULL : PyEval_SaveThread();
    sched_yield();
    if (state)
        PyEval_RestoreThread(state);
}

bool bind_hooks_set(struct bind_attachment *attachment, PyObject *hooks)
{
    if (hooks == Py_None)
        return true;
    if (!PyTuple_Check(hooks) || PyTuple_Size(hooks) != BIND_HOOKS)
        return bind_wrong_type(attachment->state, "hooks", "a tuple of 5", hooks);
    for (int i = 0; i < BIND_HOOKS; i++) {
        PyObject *hook = PyTuple_GetItem(hooks, i);
        if (hook == Py_None)
            continue;
        if (!PyCallable_Check(hook))
            return bind_wrong_type(attachment->state, "a callback", "callable or None", hook);
        attachment->hooks[i] = Py_NewRef(hook);
    }
    return true;
}

struct rchan_hooks bind_hooks_for_core(struct bind_attachment *attachment)
{
    PyObject **hooks = attachment->hooks;
    return (struct rchan_hooks){
        .client = attachment,
        .create_buf_file = hooks[BIND_CREATE_BUF_FILE] ? create_buf_file : NULL,
        .remove_buf_file = hooks[BIND_REMOVE_BUF_FILE] ? remove_buf_file : NULL,
        .subbuf_start = hooks[BIND_SUBBUF_START] ? subbuf_start : NULL,
        .deliver = hooks[BIND_DELIVER] ? deliver : NULL,
        .buf_full = hooks[BIND_BUF_FULL] ? buf_full : NULL,
        .after = bind_hooks_any(attachment) ? after : NULL,
        .yield = yield,
    };
}

void bind_hooks_drop(struct bind_attachment *attachment)
{
    if (attachment->core)
        attachment->core->hooks = (struct rchan_hooks){.client = attachment, .yield = yield};
    for (int i = 0; i < BIND_HOOKS; i++)
        Py_CLEAR(attachment->hooks[i]);
    Py_CLEAR(attachment->kept);
}

bool bind_hooks_any(const struct bind_attachment *attachment)
{
    for (int i = 0; i < BIND_HOOKS; i++)
        if (attachment->hooks[i])
            return true;
    return false;
}
