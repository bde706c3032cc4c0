/* The rival in C: for each number of events read, writes them and prints the ns of one. */
#define TRACEPOINT_DEFINE
#define TRACEPOINT_CREATE_PROBES
#include "lttng_event.h"

#include <stdio.h>
#include <time.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(void)
{
    long count;
    while (scanf("%ld", &count) == 1) {
        int enabled = tracepoint_enabled(rchan_bench, request);
        double start = now();
        for (long i = 0; i < count; i++)
            tracepoint(rchan_bench, request, i, 0.0031, "/index/abcdefgh1");
        printf("%d %.3f\n", enabled, (now() - start) / (double)count);
        fflush(stdout);
    }
    return 0;
}
