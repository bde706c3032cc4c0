/* Buffers on demand. */
#include "growth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buffer.h"
#include "clock.h"
#include "control.h"
#include "cursor.h"
#include "files.h"
#include "hidden.h"
#include "notice.h"
#include "owner.h"
#include "ring.h"
#include "switch.h"
#include "testpoint.h"

enum { MAKE_AGAIN_NS = 1000000000, MAKE_WAIT_US = 1000000 };

static int map_data(struct rchan_channel *channel, uint32_t index, int fd, ino_t inode,
                    struct rchan_error *error)
{
    void *map = mmap(NULL, channel->alloc_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return rchan_fail(error, RCHAN_FAIL_OS, errno, "cannot map a buffer of %llu bytes",
                          (unsigned long long)channel->alloc_size);
    struct rchan_buffer *buffer = &channel->buffers[index];
    buffer->block = rchan_block_at(channel, index);
    rchan_cursor_forget(buffer);
    buffer->inode = inode;
    buffer->fd = -1;
    buffer->map = map;
    return 0;
}

/* From now on this process's threads write to it and read it. */
static void publish(struct rchan_buffer *buffer)
{
    /* buffer.map: pairs with buffer.mapped */
    rchan_store_release(&buffer->data, buffer->map);
}

int rchan_buffer_fd(const struct rchan_buffer *buffer)
{
    struct stat found;
    const struct rchan_channel *channel = buffer->channel;
    bool ours =
        buffer->fd >= 0 && rchan_is_file(buffer->fd, channel->control_dev, buffer->inode, &found);
    return ours ? buffer->fd : -1;
}

void rchan_buffer_close_fd(struct rchan_buffer *buffer)
{
    int fd = rchan_buffer_fd(buffer);
    if (fd >= 0)
        close(fd);
    buffer->fd = -1;
}

void rchan_buffer_unmap(struct rchan_buffer *buffer)
{
    if (!buffer->map)
        return;
    rchan_store(&buffer->data, NULL);
    munmap(buffer->map, buffer->channel->alloc_size);
    buffer->map = NULL;
    if (buffer->hidden && buffer->channel->creator)
        rchan_hidden_remove(buffer->channel, buffer->inode);
    rchan_buffer_close_fd(buffer);
}

static bool is_the_file(const struct rchan_channel *channel, uint32_t index, int fd)
{
    uint64_t identity = rchan_file_identity(fd, "");
    return channel->copied ||
           (identity && rchan_load(&rchan_block_at(channel, index)->file_identity) == identity);
}

/* Map the file of that name, which another process made. */
static int map_existing(struct rchan_channel *channel, int directory, uint32_t index,
                        struct rchan_error *error)
{
    char name[280];
    struct stat found;
    rchan_buffer_name(name, sizeof name, channel->base, index);
    int fd = rchan_file_open(directory, name, channel->share, &found, error);
    if (fd < 0)
        return -1;
    TESTPOINT("map: opened");
    int result = -1;
    if ((uint64_t)found.st_size != channel->alloc_size)
        rchan_fail(error, RCHAN_FAIL_CORRUPT, EINVAL,
                   "buffer file %s has %lld bytes instead of %llu: truncated or foreign", name,
                   (long long)found.st_size, (unsigned long long)channel->alloc_size);
    else if (!is_the_file(channel, index, fd))
        rchan_fail(error, RCHAN_FAIL_CORRUPT, EINVAL,
                   "%s is not this channel's buffer but another file of that name", name);
    /* A copy or a damaged file may have holes: filled now, not by a SIGBUS later. */
    else if (((uint64_t)found.st_blocks * 512 >= channel->alloc_size ||
              !rchan_file_extend(fd, 0, channel->alloc_size, name, error)) &&
             !rchan_file_extend(rchan_control_fd(channel),
                                RCHAN_BLOCKS_OFFSET + index * channel->block_size,
                                channel->block_size, "a buffer's control block", error))
        result = map_data(channel, index, fd, found.st_ino, error);
    close(fd);
    return result;
}

int rchan_buffer_map(struct rchan_channel *channel, int directory, uint32_t index,
                     struct rchan_error *error)
{
    if (map_existing(channel, directory, index, error))
        return -1;
    publish(&channel->buffers[index]);
    return 0;
}

/* The buffer's file under its name: by the client's hook, or by us. 0 or -errno. */
static int give_file(struct rchan_channel *channel, struct rchan_buffer *buffer, bool *is_global)
{
    char name[280];
    rchan_buffer_name(name, sizeof name, channel->base, buffer->index);
    const char *file_name = channel->named ? name : NULL;
    if (channel->hooks.create_buf_file)
        return channel->hooks.create_buf_file(buffer, file_name, is_global);
    return file_name ? rchan_buffer_link(buffer, file_name) : 0;
}

static int fail_to_name(struct rchan_channel *channel, uint32_t index, int result,
                        struct rchan_error *error)
{
    if (result == -EEXIST)
        return rchan_fail(error, RCHAN_FAIL_EXISTS, EEXIST,
                          "there is a file %s%u already (another channel's buffer?)", channel->base,
                          index);
    if (result == -EXDEV)
        return rchan_fail(error, RCHAN_FAIL_UNSUPPORTED, EXDEV,
                          "the directory is on another file system than the buffers");
    if (channel->hooks.create_buf_file)
        return rchan_fail(error, RCHAN_FAIL_CALLBACK, -result,
                          "create_buf_file gave no file for buffer %u", index);
    return rchan_fail(error, RCHAN_FAIL_OS, -result, "cannot name the file of buffer %u", index);
}

/* Only the first call of create_buf_file of a channel may say that one buffer serves all. */
static void note_global(struct rchan_channel *channel)
{
    if (rchan_load(&channel->header->state) != RCHAN_CHANGING)
        return;
    channel->n_buffers = 1;
    channel->header->n_buffers = 1;
}

/* The file of a maker who was killed before he could say so: named, and noted in the block. */
static bool left_by_dead_maker(struct rchan_channel *channel, int directory, uint32_t index)
{
    char name[280];
    uint64_t noted = rchan_load(&rchan_block_at(channel, index)->file_identity);
    rchan_buffer_name(name, sizeof name, channel->base, index);
    return channel->named && noted && rchan_file_identity(directory, name) == noted;
}

/* Memory and a name for it. The buffer's owner word is held: nobody else makes it meanwhile. */
static int make_file(struct rchan_channel *channel, int directory, uint32_t index,
                     struct rchan_error *error)
{
    struct rchan_buffer *buffer = &channel->buffers[index];
    struct stat made;
    bool is_global = false;
    int fd = rchan_file_make(directory, "a buffer", channel->alloc_size, channel->alloc_size,
                             channel->mode, channel->share, error);
    if (fd < 0)
        return -1;
    uint64_t identity = rchan_file_identity(fd, "");
    int failed = !identity || fstat(fd, &made)
                     ? rchan_fail(error, RCHAN_FAIL_OS, errno, "cannot look at a new buffer")
                     : map_data(channel, index, fd, made.st_ino, error);
    if (failed) {
        close(fd);
        return -1;
    }
    buffer->fd = fd;
    rchan_store(&buffer->block->file_identity, identity);
    TESTPOINT("make: mapped");
    int result = give_file(channel, buffer, &is_global);
    if (result) { /* the hook may have named it and failed after that */
        char name[280];
        rchan_buffer_name(name, sizeof name, channel->base, index);
        if (channel->named)
            rchan_file_unlink(directory, name, made.st_ino);
        rchan_buffer_unmap(buffer);
        return fail_to_name(channel, index, result, error);
    }
    TESTPOINT("make: named");
    if (is_global && index == 0)
        note_global(channel); /* asked of another CPU's buffer first: it stays one per CPU */
    if (channel->named) {
        close(fd);
        buffer->fd = -1;
    }
    return 0;
}

static int make_owned(struct rchan_channel *channel, int directory, uint32_t index,
                      struct rchan_notice *notice, struct rchan_error *error)
{
    struct rchan_buffer *buffer = &channel->buffers[index];
    uint32_t forks = channel->fork_count;
    bool there =
        rchan_bit(channel->header->linked, index) || left_by_dead_maker(channel, directory, index);
    int result = there ? map_existing(channel, directory, index, error)
                       : make_file(channel, directory, index, error);
    if (result || channel->fork_count != forks)
        return result;
    if (!rchan_load(&buffer->block->begun))
        rchan_start_first(buffer, notice);
    if (!channel->named || channel->fork_count != forks)
        return 0;
    TESTPOINT("make: begun");
    rchan_bit_set(channel->header->linked, index);
    TESTPOINT("make: linked");
    /* A close that did not see the name yet has shut the gate before: then it is ours to remove. */
    if (rchan_load(&channel->header->gate) & RCHAN_GATE_FINALIZED) {
        char name[280];
        rchan_buffer_name(name, sizeof name, channel->base, index);
        rchan_file_unlink(directory, name, buffer->inode);
    }
    return 0;
}

int rchan_buffer_make(struct rchan_channel *channel, int directory, uint32_t index,
                      struct rchan_error *error)
{
    struct rchan_buffer *buffer = &channel->buffers[index];
    struct rchan_notice notice = {0};
    uint32_t forks = channel->fork_count;
    if (rchan_file_extend(rchan_control_fd(channel),
                          RCHAN_BLOCKS_OFFSET + index * channel->block_size, channel->block_size,
                          "a buffer's control block", error))
        return -1;
    buffer->block = rchan_block_at(channel, index);
    rchan_bit_set(channel->header->present, index);
    TESTPOINT("make: block there");
    if (rchan_buffer_own(buffer))
        return rchan_fail(error, RCHAN_FAIL_BUSY, EBUSY,
                          "another process is making buffer %u right now", index);
    int result = make_owned(channel, directory, index, &notice, error);
    if (channel->fork_count != forks)
        return rchan_fail(error, RCHAN_FAIL_BUSY, EBUSY, "a callback forked");
    if (!result)
        publish(buffer);
    rchan_give_owner(buffer, &notice);
    rchan_wake_channel(channel); /* readers of the whole channel: here is one more */
    return result;
}

int rchan_buffer_link(struct rchan_buffer *buffer, const char *file_name)
{
    struct rchan_error error;
    struct rchan_channel *channel = buffer->channel;
    int directory = rchan_directory_again(channel, &error);
    if (directory < 0)
        return -error.os_errno;
    int result = -EEXIST;
    if (buffer->hidden)
        result = rchan_hidden_link(channel, directory, buffer->inode, file_name);
    else if (buffer->fd >= 0)
        result = rchan_file_link(rchan_buffer_fd(buffer), directory, file_name);
    close(directory);
    return result;
}

bool rchan_buffer_has_name(struct rchan_buffer *buffer, const char *file_name)
{
    struct rchan_error error;
    struct stat found;
    int directory = rchan_directory_again(buffer->channel, &error);
    bool has = directory >= 0 && !fstatat(directory, file_name, &found, AT_SYMLINK_NOFOLLOW) &&
               found.st_ino == buffer->inode;
    if (directory >= 0)
        close(directory);
    return has;
}

int rchan_buffer_unlink(struct rchan_buffer *buffer, const char *file_name)
{
    struct rchan_error error;
    int directory = rchan_directory_again(buffer->channel, &error);
    if (directory < 0)
        return -error.os_errno;
    int result = rchan_file_unlink(directory, file_name, buffer->inode);
    close(directory);
    return result;
}

/* ---- from a CPU number to a buffer ---- */

static bool mapped(const struct rchan_buffer *buffer)
{
    /* buffer.mapped: pairs with buffer.map */
    return rchan_load_acquire(&((struct rchan_buffer *)buffer)->data) != NULL;
}

/* Map it if somebody made it, else make it. `making` held. */
static int map_or_make(struct rchan_channel *channel, uint32_t index, struct rchan_error *error)
{
    if (mapped(&channel->buffers[index]))
        return 0;
    int directory = rchan_directory_again(channel, error);
    if (directory < 0)
        return -1;
    int result = rchan_bit(channel->header->linked, index)
                     ? rchan_buffer_map(channel, directory, index, error)
                     : rchan_buffer_make(channel, directory, index, error);
    close(directory);
    return result;
}

/* A copy of an unnamed channel in another process would get memory of its own: only the maker may. */
static bool may_make(const struct rchan_channel *channel)
{
    return !(rchan_load(&channel->header->gate) & RCHAN_GATE_SHUT) &&
           (channel->named || (channel->creator && !channel->fork_count));
}

struct rchan_buffer *rchan_buffer_prepare(struct rchan_channel *channel, uint32_t cpu,
                                          struct rchan_error *error)
{
    struct rchan_buffer *buffer = &channel->buffers[cpu % channel->n_buffers];
    uint64_t deadline = rchan_now_ns() + MAKE_WAIT_US * UINT64_C(1000);
    if (mapped(buffer))
        return buffer;
    if (!may_make(channel)) {
        rchan_fail(error, RCHAN_FAIL_NO_BUFFER, ENXIO,
                   "CPU %u has no buffer and cannot get one here (the channel is closed, or "
                   "buffer-only and made by another process)",
                   cpu);
        return NULL;
    }
    while (pthread_mutex_trylock(&channel->making)) {
        if (rchan_now_ns() >= deadline) {
            rchan_fail(error, RCHAN_FAIL_BUSY, EBUSY, "another buffer is being made");
            return NULL;
        }
        rchan_yield(channel);
    }
    uint32_t forks = channel->fork_count;
    int result = map_or_make(channel, buffer->index, error);
    if (channel->fork_count == forks) /* else a callback forked, and `making` is new and free */
        pthread_mutex_unlock(&channel->making);
    return result ? NULL : buffer;
}

struct rchan_buffer *rchan_buffer_for_cpu(struct rchan_channel *channel, uint64_t cpu)
{
    uint32_t index = (uint32_t)(cpu % channel->n_buffers);
    struct rchan_error error = {0};
    if (mapped(&channel->buffers[index]))
        return &channel->buffers[index];
    if (may_make(channel) && rchan_now_ns() >= channel->make_again_ns &&
        pthread_mutex_trylock(&channel->making) == 0) {
        uint32_t forks = channel->fork_count;
        if (map_or_make(channel, index, &error))
            channel->make_again_ns = rchan_now_ns() + MAKE_AGAIN_NS;
        if (channel->fork_count == forks)
            pthread_mutex_unlock(&channel->making);
    }
    for (uint32_t i = 0; i < channel->n_buffers; i++) {
        if (mapped(&channel->buffers[(index + i) % channel->n_buffers]))
            return &channel->buffers[(index + i) % channel->n_buffers];
    }
    return NULL;
}

uint32_t rchan_channel_refresh(struct rchan_channel *channel)
{
    struct rchan_error error;
    uint32_t fresh = 0;
    int directory = -1;
    if (!channel->named || pthread_mutex_trylock(&channel->making))
        return 0;
    for (uint32_t i = 0; i < channel->n_buffers; i++) {
        if (mapped(&channel->buffers[i]) || !rchan_bit(channel->header->linked, i))
            continue;
        if (directory < 0)
            directory = rchan_directory_again(channel, &error);
        if (directory >= 0 && rchan_buffer_map(channel, directory, i, &error) == 0)
            fresh++;
    }
    if (directory >= 0)
        close(directory);
    pthread_mutex_unlock(&channel->making);
    return fresh;
}
