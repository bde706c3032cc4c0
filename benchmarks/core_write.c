/* CPU ns per operation of the core, and of the least that any owner word must cost: a compare-and-swap
 * and a release store, uncontended, in the same kind of loop. Prints one line a round. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buffer.h"
#include "channel.h"

enum { LOOPS = 200000 };

/* CPU time: none of this sleeps, and nobody else's work is in it. */
static uint64_t cpu_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static double bare(void)
{
    static rchan_a64 word __attribute__((aligned(64)));
    uint64_t start = cpu_ns();
    for (long i = 0; i < LOOPS; i++) {
        if (!rchan_take_word(&word, 0, 1))
            abort();
        rchan_store_release(&word, 0);
    }
    return (double)(cpu_ns() - start) / LOOPS;
}

static double writes(struct rchan_channel *channel, int64_t cpu, size_t size)
{
    static char record[4096];
    uint64_t start = cpu_ns();
    for (long i = 0; i < LOOPS; i++) {
        if (rchan_write(channel, cpu, record, size) != RCHAN_STORED)
            abort();
    }
    return (double)(cpu_ns() - start) / LOOPS;
}

int main(int argc, char **argv)
{
    struct rchan_error error = {0};
    uint32_t cpus[64];
    for (uint32_t i = 0; i < 64; i++)
        cpus[i] = i;
    struct rchan_options options = {.directory = argv[1],
                                    .subbuf_size = 262144,
                                    .n_subbufs = 8,
                                    .n_buffers = 64,
                                    .overwrite = true,
                                    .mode = 0600,
                                    .cpus = cpus,
                                    .n_cpus = 64};
    struct rchan_channel *channel = argc == 3 ? rchan_channel_create(&options, &error) : NULL;
    if (!channel) {
        fprintf(stderr, "core_write DIRECTORY ROUNDS: %s\n", error.message);
        return 1;
    }
    for (int round = atoi(argv[2]); round > 0; round--) {
        double base = bare();
        printf("%.3f %.3f %.3f\n", base, writes(channel, -1, 64), writes(channel, -1, 8));
    }
    rchan_channel_detach(channel);
    return 0;
}
