/* What benchmarks/regression.py counts the instructions of: regression DIRECTORY OPERATION COUNT. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "channel.h"

static struct rchan_channel *make(const char *directory, bool overwrite, uint64_t subbuf_size)
{
    struct rchan_error error = {0};
    const uint32_t cpu = 0;
    struct rchan_options options = {.directory = directory,
                                    .base = "regression",
                                    .subbuf_size = subbuf_size,
                                    .n_subbufs = 4,
                                    .n_buffers = 1,
                                    .overwrite = overwrite,
                                    .mode = 0600,
                                    .cpus = &cpu,
                                    .n_cpus = 1};
    struct rchan_channel *channel = rchan_channel_create(&options, &error);
    if (!channel) {
        fprintf(stderr, "regression: %s\n", error.message);
        exit(1);
    }
    return channel;
}

static void write_all(struct rchan_channel *channel, uint64_t length, long count)
{
    static char record[4096];
    for (long i = 0; i < count; i++)
        rchan_write(channel, 0, record, length);
}

static void reserve_all(struct rchan_channel *channel, uint64_t length, long count)
{
    for (long i = 0; i < count; i++) {
        struct rchan_reservation slot;
        if (rchan_reserve(channel, 0, length, &slot) != RCHAN_STORED)
            abort();
        memset(slot.data, 'x', length);
        rchan_commit(&slot, length);
    }
}

int main(int argc, char **argv)
{
    const char *operation = argc == 4 ? argv[2] : "";
    long count = argc == 4 ? atol(argv[3]) : 0;
    bool overwrite = strcmp(operation, "refused, full") != 0;
    /* A record of 4 KiB a sub-buffer: each write is a switch. */
    struct rchan_channel *channel = make(argv[1], overwrite, 1 << 12);
    if (!strcmp(operation, "write 8 B"))
        write_all(channel, 8, count);
    else if (!strcmp(operation, "write 64 B"))
        write_all(channel, 64, count);
    else if (!strcmp(operation, "write 1 KiB"))
        write_all(channel, 1024, count);
    else if (!strcmp(operation, "write 4 KiB, a switch each"))
        write_all(channel, 4096, count);
    else if (!strcmp(operation, "reserve and commit 64 B"))
        reserve_all(channel, 64, count);
    else if (!strcmp(operation, "refused, full"))
        write_all(channel, 64, 256 + count);
    else if (!strcmp(operation, "refused, disabled")) {
        rchan_channel_enable(channel, false);
        write_all(channel, 64, count);
    } else
        return 2;
    rchan_channel_close(channel, NULL);
    return 0;
}
