/* Process and thread id of the caller, asked of the kernel once a thread (and again after fork). */
#ifndef RCHAN_TASK_H
#define RCHAN_TASK_H

#include <stdint.h>

struct rchan_task {
    uint32_t pid, tid; /* tid 0: not known yet */
};

/* In the thread's own block, without a call to find it: glibc keeps some room there for libraries
 * that are loaded late. */
#if defined(__GLIBC__)
#define RCHAN_TASK_MODEL __attribute__((tls_model("initial-exec")))
#else
#define RCHAN_TASK_MODEL
#endif

extern _Thread_local struct rchan_task rchan_task RCHAN_TASK_MODEL;

void rchan_task_ask(void);
/* We are the child of a fork. */
void rchan_task_forget(void);

static inline struct rchan_task rchan_task_now(void)
{
    if (!rchan_task.tid)
        rchan_task_ask();
    return rchan_task;
}

#endif
