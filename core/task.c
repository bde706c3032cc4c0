/* Who we are. */
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "task.h"

_Thread_local struct rchan_task rchan_task RCHAN_TASK_MODEL;

void rchan_task_ask(void)
{
    rchan_task.pid = (uint32_t)getpid();
    rchan_task.tid = (uint32_t)syscall(SYS_gettid);
}

void rchan_task_forget(void)
{
    rchan_task.tid = 0;
}
