/* Target: joining, using and leaving a channel whose files say anything, of any size. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ground.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SUBBUF_SIZE = 64, N_SUBBUFS = 4, BUFFERS = 2, MAX_CHANGES = 12 };

static struct {
    int fd, buffer_fd;
    uint8_t *map, *as_new;
    size_t size;
    off_t size_now, buffer_size, buffer_size_now;
    struct rchan_channel shape; /* for words that mean something */
} victim;

static int open_in(const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", ground_directory(), name);
    return open(path, O_RDWR | O_CLOEXEC);
}

/* A channel with a record, left by its maker. */
static void make_victim(void)
{
    static const uint32_t cpus[] = {0, 1};
    struct rchan_error error = {0};
    struct rchan_options options = {.directory = ground_directory(),
                                    .base = "victim",
                                    .subbuf_size = SUBBUF_SIZE,
                                    .n_subbufs = N_SUBBUFS,
                                    .n_buffers = BUFFERS,
                                    .mode = 0600,
                                    .cpus = cpus,
                                    .n_cpus = BUFFERS,
                                    .owner_wait_us = 1};
    struct rchan_channel *channel = rchan_channel_create(&options, &error);
    ground_must(channel != NULL, error.message);
    rchan_write(channel, 0, "record", 6);
    victim.size = channel->map_size;
    victim.buffer_size = victim.buffer_size_now = (off_t)channel->alloc_size;
    victim.size_now = (off_t)victim.size;
    victim.shape = *channel;
    rchan_channel_detach(channel);
    victim.fd = open_in("victim.chan");
    victim.buffer_fd = open_in("victim0");
    victim.map = mmap(NULL, victim.size, PROT_READ | PROT_WRITE, MAP_SHARED, victim.fd, 0);
    victim.as_new = malloc(victim.size);
    ground_must(victim.map != MAP_FAILED && victim.as_new && victim.buffer_fd >= 0, "a victim");
    memcpy(victim.as_new, victim.map, victim.size);
}

static void resize(int fd, off_t *now, off_t wanted)
{
    if (*now != wanted)
        ground_must(ftruncate(fd, wanted) == 0, "ftruncate");
    *now = wanted;
}

/* The header, the first slots, and the blocks; the rest of the slot table stays. */
static void renew(void)
{
    resize(victim.fd, &victim.size_now, (off_t)victim.size);
    resize(victim.buffer_fd, &victim.buffer_size_now, victim.buffer_size);
    memcpy(victim.map, victim.as_new, RCHAN_SLOTS_OFFSET + 64);
    memcpy(victim.map + RCHAN_BLOCKS_OFFSET, victim.as_new + RCHAN_BLOCKS_OFFSET,
           victim.size - RCHAN_BLOCKS_OFFSET);
}

static void change(struct script *script)
{
    uint64_t kind = script_take(script, 1), at = script_take(script, 1);
    if (kind < 128)
        at *= 4; /* identity, geometry, state, gate, bitmaps, name */
    else if (kind < 144)
        at = RCHAN_SLOTS_OFFSET + at % 8 * 8;
    else if (kind < 200)
        at = RCHAN_BLOCKS_OFFSET + at % 160 * 8;
    else if (kind < 220)
        at = at * 16;
    else
        at = victim.size - 8 - at * 8;
    uint64_t value = script_word(script, &victim.shape);
    memcpy(victim.map + at, &value, kind & 1 ? 4 : 8);
}

static void change_sizes(struct script *script)
{
    static const off_t sizes[] = {0, 1, 4095, 4096, RCHAN_BLOCKS_OFFSET, 1 << 24};
    uint64_t which = script_take(script, 1);
    if (which < 240)
        return;
    if (which < 248)
        resize(victim.fd, &victim.size_now, sizes[which % 6]);
    else
        resize(victim.buffer_fd, &victim.buffer_size_now, sizes[which % 6]);
}

static void use(struct rchan_channel *channel)
{
    struct rchan_books books;
    struct rchan_subbuf subbuf;
    channel->owner_wait_us = 1;
    for (uint32_t i = 0; i < channel->n_buffers && i < BUFFERS; i++) {
        struct rchan_buffer *buffer = &channel->buffers[i];
        if (!rchan_load(&buffer->data))
            continue;
        rchan_buffer_books(buffer, &books);
        rchan_read(buffer, ground_room(100), 100);
        rchan_buffer_flush(buffer);
        if (rchan_subbuf_take(buffer, &subbuf) == 1)
            rchan_subbuf_give_back(&subbuf, UINT64_MAX);
    }
    rchan_write(channel, 0, "another", 7);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = {data, size};
    struct rchan_error error = {0};
    if (!victim.map)
        make_victim();
    renew();
    for (int n = 0; n < MAX_CHANGES && script.left > 1; n++)
        change(&script);
    change_sizes(&script);
    struct rchan_channel *channel =
        rchan_channel_attach(ground_directory(), "victim", NULL, &error);
    if (channel) {
        use(channel);
        rchan_channel_detach(channel);
    } else {
        ground_must(error.failure != RCHAN_FAIL_NONE && error.message[0], "a reason");
    }
    return 0;
}
