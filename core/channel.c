/* Making a channel, and letting go of one. */
#include "channel.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "files.h"
#include "growth.h"
#include "handles.h"
#include "hidden.h"
#include "kept.h"
#include "owner.h"
#include "stamp.h"
#include "testpoint.h"

enum { DEFAULT_OWNER_WAIT_US = 10000 };

int rchan_check_geometry(uint64_t subbuf_size, uint64_t n_subbufs, uint64_t n_buffers,
                         struct rchan_error *error)
{
    if (!subbuf_size || !n_subbufs)
        return rchan_fail(error, RCHAN_FAIL_GEOMETRY, EINVAL,
                          "subbuf_size and n_subbufs must be at least 1 (got %llu and %llu)",
                          (unsigned long long)subbuf_size, (unsigned long long)n_subbufs);
    if (n_subbufs > RCHAN_MAX_SUBBUFS)
        return rchan_fail(error, RCHAN_FAIL_GEOMETRY, EINVAL,
                          "n_subbufs is %llu: at most %u sub-buffers make a buffer; use fewer, "
                          "larger ones",
                          (unsigned long long)n_subbufs, RCHAN_MAX_SUBBUFS);
    if (subbuf_size > UINT32_MAX / n_subbufs)
        return rchan_fail(error, RCHAN_FAIL_GEOMETRY, EINVAL,
                          "subbuf_size * n_subbufs is more than 4 GiB - 1 (got %llu * %llu)",
                          (unsigned long long)subbuf_size, (unsigned long long)n_subbufs);
    if (!n_buffers || n_buffers > RCHAN_MAX_BUFFERS)
        return rchan_fail(error, RCHAN_FAIL_GEOMETRY, EINVAL,
                          "n_buffers is %llu: it must be 1 to %u", (unsigned long long)n_buffers,
                          RCHAN_MAX_BUFFERS);
    return 0;
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

struct rchan_channel *rchan_handle_new(const char *directory, const char *base,
                                       const struct rchan_shape *shape,
                                       const struct rchan_hooks *hooks, struct rchan_error *error)
{
    struct rchan_channel *channel = calloc(1, sizeof *channel);
    if (channel) {
        channel->buffers = calloc(shape->n_buffers, sizeof *channel->buffers);
        channel->directory = strdup(directory);
    }
    if (!channel || !channel->buffers || !channel->directory) {
        if (channel)
            rchan_handle_free(channel);
        rchan_fail(error, RCHAN_FAIL_OS, ENOMEM, "no memory for a channel's handle");
        return NULL;
    }
    channel->fd = -1;
    channel->named = base != NULL;
    if (base)
        memcpy(channel->base, base, strlen(base) + 1);
    channel->subbuf_size = shape->subbuf_size;
    channel->n_subbufs = shape->n_subbufs;
    channel->n_buffers = shape->n_buffers;
    channel->flags = shape->flags;
    channel->packet_header = shape->flags & RCHAN_PACKETS ? sizeof(struct rchan_packet) : 0;
    channel->stamp_clock = shape->stamp_clock;
    channel->stamp_base = shape->stamp_base;
    channel->owner_wait_us = shape->owner_wait_us;
    channel->mode = shape->mode;
    channel->share = shape->share;
    channel->full = (uint64_t)shape->subbuf_size + 1;
    channel->shift = 64 - (uint32_t)__builtin_clzll(channel->full);
    channel->offset_mask = (UINT64_C(1) << channel->shift) - 1;
    channel->alloc_size =
        round_up((uint64_t)shape->subbuf_size * shape->n_subbufs, (uint64_t)sysconf(_SC_PAGESIZE));
    channel->block_size = round_up(
        sizeof(struct rchan_block) + shape->n_subbufs * sizeof(struct rchan_meta), RCHAN_PAGE);
    channel->map_size = round_up(RCHAN_BLOCKS_OFFSET + shape->n_buffers * channel->block_size,
                                 (uint64_t)sysconf(_SC_PAGESIZE));
    if (hooks)
        channel->hooks = *hooks;
    pthread_mutex_init(&channel->making, NULL);
    rchan_kept_init(channel);
    pthread_mutex_init(&channel->appending, NULL);
    for (uint32_t i = 0; i < shape->n_buffers; i++) {
        channel->buffers[i].channel = channel;
        channel->buffers[i].index = i;
        channel->buffers[i].fd = -1;
    }
    return channel;
}

void rchan_handle_free(struct rchan_channel *channel)
{
    free(channel->buffers);
    free(channel->directory);
    free(channel->hidden_directory);
    free(channel);
}

int rchan_handle_map(struct rchan_channel *channel, struct rchan_error *error)
{
    void *control =
        mmap(NULL, channel->map_size, PROT_READ | PROT_WRITE, MAP_SHARED, channel->fd, 0);
    if (control == MAP_FAILED)
        return rchan_fail(error, RCHAN_FAIL_OS, errno, "cannot map the control file (%llu bytes)",
                          (unsigned long long)channel->map_size);
    channel->header = control;
    for (uint32_t i = 0; i < channel->n_buffers; i++)
        channel->buffers[i].block = rchan_block_at(channel, i);
    return 0;
}

bool rchan_channel_whole(struct rchan_channel *channel)
{
    struct stat control;
    int fd = rchan_control_look(channel, &control);
    if (fd >= 0 && (uint64_t)control.st_size < channel->map_size) {
        int result = ftruncate(fd, (off_t)channel->map_size); /* zeros, not a SIGBUS */
        (void)result;
        channel->cut = true;
    }
    return !channel->cut;
}

int rchan_handle_join(struct rchan_channel *channel, struct rchan_error *error)
{
    int result = rchan_attachment_add(channel);
    if (result == -EUSERS)
        return rchan_fail(error, RCHAN_FAIL_BUSY, EUSERS,
                          "all %u slots of the channel are taken by attached processes",
                          RCHAN_MAX_SLOTS);
    if (result)
        return rchan_fail(error, RCHAN_FAIL_OS, -result, "cannot lock a slot of the control file");
    return 0;
}

void rchan_channel_detach(struct rchan_channel *channel)
{
    rchan_attachment_remove(channel);
    rchan_kept_close(channel);
    for (uint32_t i = 0; i < channel->n_buffers; i++)
        rchan_buffer_unmap(&channel->buffers[i]);
    if (channel->header) {
        rchan_channel_whole(channel); /* made so if it was cut */
        rchan_slot_release(channel);
        munmap(channel->header, channel->map_size);
    }
    if (channel->hidden && channel->creator)
        rchan_hidden_remove(channel, channel->control_ino);
    rchan_control_close(channel);
    rchan_handle_free(channel);
}

/* ---- create ---- */

static void fill_header(struct rchan_channel *channel, uint64_t frequency)
{
    struct rchan_header *header = channel->header;
    header->control_inode = channel->control_ino;
    header->magic = RCHAN_MAGIC;
    header->abi_version = RCHAN_ABI_VERSION;
    header->byte_order = RCHAN_BYTE_ORDER_MARK;
    header->subbuf_size = channel->subbuf_size;
    header->n_subbufs = channel->n_subbufs;
    header->n_buffers = channel->n_buffers;
    header->n_slots = RCHAN_MAX_SLOTS;
    header->flags = channel->flags;
    header->owner_wait_us = channel->owner_wait_us;
    header->alloc_size = channel->alloc_size;
    header->block_size = channel->block_size;
    header->created_realtime_ns = rchan_clock_read(CLOCK_REALTIME);
    header->created_monotonic_ns = rchan_now_ns();
    header->clock_id = CLOCK_MONOTONIC;
    header->creator_pid = (uint32_t)getpid();
    memcpy(header->base, channel->base, sizeof header->base);
    header->metadata_offset = channel->map_size;
    if (channel->packet_header)
        rchan_stamp_start(channel, frequency);
}

/* The control file, whole but without a name. */
static int make_control(struct rchan_channel *channel, int directory, uint64_t frequency,
                        struct rchan_error *error)
{
    channel->fd = rchan_file_make(directory, "the control file", channel->map_size,
                                  RCHAN_BLOCKS_OFFSET, channel->mode, channel->share, error);
    if (channel->fd < 0)
        return -1;
    int result = rchan_control_note(channel);
    if (result)
        return rchan_fail(error, RCHAN_FAIL_OS, -result, "cannot look at the control file");
    if (rchan_handle_map(channel, error))
        return -1;
    fill_header(channel, frequency);
    TESTPOINT("create: control made");
    if (rchan_handle_join(channel, error))
        return -1;
    rchan_store(&channel->header->changer, rchan_load(&channel->owner_value));
    return 0;
}

static int name_control(struct rchan_channel *channel, int directory, const char *name)
{
    if (!channel->hidden)
        return rchan_file_link(rchan_control_fd(channel), directory, name);
    return rchan_hidden_link(channel, directory, channel->control_ino, name);
}

int rchan_control_link(struct rchan_channel *channel, int directory, const char *base,
                       struct rchan_error *error)
{
    char name[280];
    rchan_control_name(name, sizeof name, base);
    int result = name_control(channel, directory, name);
    if (result == -EEXIST &&
        rchan_clear_half_created(channel->directory, directory, base, channel->share))
        result = name_control(channel, directory, name);
    if (result == -EEXIST)
        return rchan_fail(
            error, RCHAN_FAIL_EXISTS, EEXIST,
            "channel '%s' exists in %s: join it (rchan.open, or create with exist_ok=True), "
            "or, if it is left over, remove it (rchan.remove, 'rchan rm %s')",
            base, channel->directory, base);
    if (result == -EXDEV)
        return rchan_fail(error, RCHAN_FAIL_UNSUPPORTED, EXDEV,
                          "%s is on another file system than the buffers were made on",
                          channel->directory);
    if (result)
        return rchan_fail(error, RCHAN_FAIL_OS, -result, "cannot name the control file %s", name);
    TESTPOINT("create: name reserved");
    return 0;
}

/* Undo a create that failed: what has a name loses it. */
static void unmake(struct rchan_channel *channel, int directory)
{
    char name[280];
    for (uint32_t i = 0; i < channel->n_buffers && channel->named; i++) {
        struct rchan_buffer *buffer = &channel->buffers[i];
        if (!rchan_load(&buffer->data))
            continue;
        rchan_buffer_name(name, sizeof name, channel->base, i);
        if (channel->hooks.remove_buf_file)
            channel->hooks.remove_buf_file(buffer, name);
        else
            rchan_file_unlink(directory, name, buffer->inode);
    }
    rchan_control_name(name, sizeof name, channel->base);
    if (channel->named && channel->fd >= 0)
        rchan_control_unlink(rchan_control_fd(channel), directory, name);
}

static int make_all(struct rchan_channel *channel, int directory,
                    const struct rchan_options *options, struct rchan_error *error)
{
    if (make_control(channel, directory, options->stamp_frequency, error))
        return -1;
    if (channel->named && rchan_control_link(channel, directory, channel->base, error))
        return -1;
    for (uint32_t i = 0; i < options->n_cpus; i++) {
        uint32_t index = options->cpus[i] % channel->n_buffers;
        if (!rchan_load(&channel->buffers[index].data) &&
            rchan_buffer_make(channel, directory, index, error))
            return -1;
    }
    TESTPOINT("create: buffers made");
    /* channel.live: pairs with channel.look */
    rchan_store_release(&channel->header->state, RCHAN_LIVE);
    return 0;
}

static int check_options(const struct rchan_options *options, struct rchan_error *error)
{
    if (rchan_check_geometry(options->subbuf_size, options->n_subbufs, options->n_buffers, error))
        return -1;
    if (options->base && (!*options->base || strlen(options->base) > RCHAN_BASE_MAX))
        return rchan_fail(error, RCHAN_FAIL_NAME, EINVAL,
                          "a channel's name has 1 to %u bytes (this one has %zu)", RCHAN_BASE_MAX,
                          strlen(options->base));
    if (!options->n_cpus)
        return rchan_fail(error, RCHAN_FAIL_GEOMETRY, EINVAL, "a channel needs at least one CPU");
    if (options->stamp_clock && options->subbuf_size < RCHAN_SMALLEST_PACKET)
        return rchan_fail(error, RCHAN_FAIL_GEOMETRY, EINVAL,
                          "subbuf_size is %llu: events need at least %u",
                          (unsigned long long)options->subbuf_size, RCHAN_SMALLEST_PACKET);
    return 0;
}

struct rchan_channel *rchan_channel_create(const struct rchan_options *options,
                                           struct rchan_error *error)
{
    struct stat found;
    if (check_options(options, error))
        return NULL;
    int directory = rchan_directory_open(options->directory, options->share, &found, error);
    if (directory < 0)
        return NULL;
    if (!options->base) /* only such a channel, here, can have left any */
        rchan_hidden_clear(directory, options->share);
    struct rchan_shape shape = {
        .subbuf_size = (uint32_t)options->subbuf_size,
        .n_subbufs = (uint32_t)options->n_subbufs,
        .n_buffers = (uint32_t)options->n_buffers,
        .flags =
            (options->overwrite ? RCHAN_OVERWRITE : 0) | (options->stamp_clock ? RCHAN_PACKETS : 0),
        .stamp_clock = options->stamp_clock,
        .owner_wait_us = options->owner_wait_us ? options->owner_wait_us : DEFAULT_OWNER_WAIT_US,
        .mode = options->mode,
        .share = options->share,
    };
    struct rchan_channel *channel =
        rchan_handle_new(options->directory, options->base, &shape, &options->hooks, error);
    if (channel) {
        channel->directory_dev = found.st_dev;
        channel->directory_ino = found.st_ino;
        channel->creator = true;
        if (make_all(channel, directory, options, error)) {
            if (!channel->fork_count) /* else a callback forked: it is the parent's */
                unmake(channel, directory);
            rchan_channel_detach(channel);
            channel = NULL;
        }
    }
    close(directory);
    return channel;
}
