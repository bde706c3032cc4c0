/* The ground of the fuzz targets. */
#include "ground.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cursor.h"
#include "layout.h"
#include "testpoint.h"

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define FORBID(start, length) ASAN_POISON_MEMORY_REGION((start), (length))
#define ALLOW(start, length) ASAN_UNPOISON_MEMORY_REGION((start), (length))
#else
#define FORBID(start, length) ((void)(start), (void)(length))
#define ALLOW(start, length) ((void)(start), (void)(length))
#endif

enum { SLOT_WORDS = 4, MAX_AMBUSHES = 8 };

static const uint64_t page = RCHAN_PAGE;

/* ---- the input ---- */

uint64_t script_word(struct script *script, const struct rchan_channel *channel)
{
    static const uint64_t edges[] = {UINT64_MAX,     INT64_MAX,        (uint64_t)INT64_MIN,
                                     UINT32_MAX,     INT32_MAX,        UINT64_C(1) << 31,
                                     UINT64_MAX - 1, UINT64_C(1) << 32};
    uint64_t kind = script_take(script, 1);
    switch (kind & 7) {
    case 0:
        return script_take(script, 8);
    case 1:
        return edges[kind >> 3 & 7];
    case 2:
    case 3: /* number and offset, both near what they may be */
        return rchan_head_word(channel, script_take(script, 1) - (kind >> 7),
                               (channel->subbuf_size + 3 - (kind >> 3 & 15)) &
                                   channel->offset_mask);
    case 4:
        return rchan_head_word(channel, script_take(script, 2), script_take(script, 2));
    case 5:
        return rchan_load(&channel->owner_value) + (kind >> 3 & 3);
    default:
        return kind >> 3;
    }
}

/* ---- files ---- */

static char directory[200];

static void remove_directory(void)
{
    DIR *list = opendir(directory);
    for (struct dirent *entry; list && (entry = readdir(list));)
        unlinkat(dirfd(list), entry->d_name, 0);
    if (list)
        closedir(list);
    rmdir(directory);
}

const char *ground_directory(void)
{
    if (directory[0])
        return directory;
    snprintf(directory, sizeof directory, "/dev/shm/rchan-fuzz-XXXXXX");
    bool made = mkdtemp(directory) != NULL;
    if (!made) {
        snprintf(directory, sizeof directory, "/tmp/rchan-fuzz-XXXXXX");
        made = mkdtemp(directory) != NULL;
    }
    ground_must(made, "a directory");
    atexit(remove_directory);
    return directory;
}

/* ---- a channel ---- */

/* The mapping moves to a place with forbidden pages around it. */
static void *fence_in(void *map, uint64_t size)
{
    uint64_t fence = (uint64_t)sysconf(_SC_PAGESIZE);
    uint8_t *room =
        mmap(NULL, size + 2 * fence, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ground_must(room != MAP_FAILED, "address space");
    void *moved = mremap(map, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, room + fence);
    ground_must(moved != MAP_FAILED, "mremap");
    return moved;
}

static uint64_t block_bytes(const struct ground *ground)
{
    return sizeof(struct rchan_block) + ground->channel->n_subbufs * sizeof(struct rchan_meta);
}

void ground_make(struct ground *ground, const char *name, uint32_t subbuf_size, uint32_t n_subbufs,
                 bool overwrite, uint32_t stamp_clock)
{
    static const uint32_t first[] = {0};
    struct rchan_error error = {0};
    struct rchan_options options = {
        .directory = ground_directory(),
        .base = name,
        .subbuf_size = subbuf_size,
        .n_subbufs = n_subbufs,
        .n_buffers = 1,
        .overwrite = overwrite,
        .mode = 0600,
        .cpus = first,
        .n_cpus = 1,
        .owner_wait_us = 1,
        .stamp_clock = stamp_clock,
    };
    struct rchan_channel *channel = rchan_channel_create(&options, &error);
    ground_must(channel != NULL, error.message);
    ground->channel = channel;
    ground->buffer = &channel->buffers[0];
    ground->file_size = lseek(channel->fd, 0, SEEK_END);
    channel->header = fence_in(channel->header, channel->map_size);
    ground->buffer->block = rchan_block_at(channel, 0);
    ground->buffer->map = fence_in(ground->buffer->map, channel->alloc_size);
    rchan_cursor_forget(ground->buffer);
    rchan_store(&ground->buffer->data, ground->buffer->map);
    uint64_t used = (uint64_t)subbuf_size * n_subbufs;
    FORBID(ground->buffer->map + used, channel->alloc_size - used);
    FORBID((uint8_t *)ground->buffer->block + block_bytes(ground),
           channel->block_size - block_bytes(ground));
    ground->template = malloc(page + block_bytes(ground));
    ground_must(ground->template != NULL, "memory");
    memcpy(ground->template, channel->header, page);
    memcpy(ground->template + page, ground->buffer->block, block_bytes(ground));
    ground->n_words = (page + block_bytes(ground)) / 8 + SLOT_WORDS;
}

static rchan_a64 *slots(const struct ground *ground)
{
    return (rchan_a64 *)((char *)ground->channel->header + RCHAN_SLOTS_OFFSET);
}

void ground_renew(struct ground *ground)
{
    struct rchan_channel *channel = ground->channel;
    ground_peace();
    memcpy((void *)channel->header, ground->template, page);
    memcpy((void *)ground->buffer->block, ground->template + page, block_bytes(ground));
    rchan_cursor_forget(ground->buffer);
    uint64_t value = rchan_load(&channel->owner_value);
    for (unsigned slot = 0; slot < SLOT_WORDS; slot++)
        rchan_store(&slots(ground)[slot], 0);
    rchan_store(&slots(ground)[(uint32_t)value - 1], value >> 32 << 32 | 1);
}

/* ---- what a hostile process does ---- */

static rchan_a64 *word_at(const struct ground *ground, uint64_t index)
{
    uint64_t in_header = page / 8, in_block = block_bytes(ground) / 8;
    index %= ground->n_words;
    if (index < in_header)
        return (rchan_a64 *)ground->channel->header + index;
    index -= in_header;
    if (index < in_block)
        return (rchan_a64 *)ground->buffer->block + index;
    return &slots(ground)[index - in_block];
}

/* Mostly the words that decide: the first of a block; bells ring the file system: seldom. */
static rchan_a64 *script_place(const struct ground *ground, struct script *script)
{
    uint64_t index = script_take(script, 1);
    if (index < 128)
        return word_at(ground, page / 8 + index);
    return word_at(ground, (index - 128) << 8 | script_take(script, 1));
}

void ground_poke(struct ground *ground, struct script *script)
{
    rchan_a64 *place = script_place(ground, script);
    rchan_store(place, script_word(script, ground->channel));
}

static struct {
    rchan_a64 *place;
    uint64_t value;
    uint64_t points_left;
} ambushes[MAX_AMBUSHES];
static unsigned n_ambushes;

#ifdef RCHAN_TESTPOINTS
static void spring(const char *name)
{
    (void)name;
    for (unsigned i = 0; i < n_ambushes; i++) {
        if (ambushes[i].points_left && !--ambushes[i].points_left)
            rchan_store(ambushes[i].place, ambushes[i].value);
    }
}
#endif

void ground_ambush(struct ground *ground, struct script *script)
{
    if (n_ambushes == MAX_AMBUSHES)
        return;
#ifdef RCHAN_TESTPOINTS
    rchan_testpoint_hook = spring;
#endif
    ambushes[n_ambushes].points_left = script_take(script, 1) % 16 + 1;
    ambushes[n_ambushes].place = script_place(ground, script);
    ambushes[n_ambushes].value = script_word(script, ground->channel);
    n_ambushes++;
}

void ground_peace(void)
{
    n_ambushes = 0;
#ifdef RCHAN_TESTPOINTS
    rchan_testpoint_hook = NULL;
#endif
}

uint8_t *ground_room(uint64_t length)
{
    static uint8_t *room;
    if (!room)
        room = malloc(ROOM);
    ground_must(room != NULL && length <= ROOM, "room");
    return room + ROOM - length;
}
