/* Late files, and the end of a channel. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bell_files.h"
#include "buffer.h"
#include "channel.h"
#include "control.h"
#include "files.h"
#include "growth.h"
#include "handles.h"
#include "hidden.h"
#include "kept.h"
#include "ring.h"
#include "testpoint.h"
#include "wait.h"

/* ---- enable, finalize ---- */

void rchan_channel_enable(struct rchan_channel *channel, bool enabled)
{
    if (enabled)
        rchan_clear_bits(&channel->header->gate, (uint32_t)RCHAN_GATE_DISABLED);
    else
        rchan_set_bits(&channel->header->gate, (uint32_t)RCHAN_GATE_DISABLED);
}

bool rchan_channel_enabled(const struct rchan_channel *channel)
{
    return !(rchan_load(&channel->header->gate) & RCHAN_GATE_SHUT);
}

bool rchan_channel_finalized(const struct rchan_channel *channel)
{
    return rchan_load(&channel->header->gate) & RCHAN_GATE_FINALIZED;
}

uint32_t rchan_channel_finalize(struct rchan_channel *channel)
{
    uint32_t busy = 0;
    rchan_set_bits(&channel->header->gate, (uint32_t)RCHAN_GATE_FINALIZED);
    TESTPOINT("finalize: gate shut");
    /* Also buffers that this process has not mapped: the block is enough. */
    for (uint32_t i = 0; i < channel->n_buffers; i++) {
        if (rchan_bit(channel->header->present, i))
            busy += rchan_buffer_finalize(&channel->buffers[i]) != 0;
    }
    rchan_wake_channel(channel);
    return busy;
}

/* ---- close ---- */

static void remove_buffer_file(struct rchan_buffer *buffer)
{
    char name[280];
    struct rchan_channel *channel = buffer->channel;
    rchan_buffer_name(name, sizeof name, channel->base, buffer->index);
    const char *file_name = channel->named ? name : NULL;
    if (channel->hooks.remove_buf_file)
        channel->hooks.remove_buf_file(buffer, file_name);
    else if (file_name && rchan_buffer_unlink(buffer, file_name))
        rchan_buffer_unlink(buffer, file_name); /* no descriptor, no memory: perhaps just then */
}

/* 0 or -1: it may still be there. */
static int try_remove_control(struct rchan_channel *channel)
{
    char name[280];
    struct rchan_error error;
    int directory = channel->named ? rchan_directory_again(channel, &error) : -1;
    if (directory < 0)
        return channel->named ? -1 : 0;
    rchan_control_name(name, sizeof name, channel->base);
    int result = rchan_control_unlink(rchan_control_fd(channel), directory, name);
    close(directory);
    return result ? -1 : 0;
}

static void remove_control(struct rchan_channel *channel)
{
    if (try_remove_control(channel))
        try_remove_control(channel);
}

/* Nobody may join from here on; if we are killed, the next one under this name clears it away. */
static void begin_change(struct rchan_channel *channel)
{
    rchan_store(&channel->header->changer, rchan_load(&channel->owner_value));
    /* channel.change: pairs with channel.look */
    rchan_store_release(&channel->header->state, RCHAN_CHANGING);
}

/* Files of buffers that this process could not map just now. */
static void remove_unmapped(struct rchan_channel *channel)
{
    struct rchan_error error;
    int directory = channel->named ? rchan_directory_again(channel, &error) : -1;
    if (directory < 0)
        return;
    rchan_remove_noted(channel, directory);
    close(directory);
}

void rchan_channel_close(struct rchan_channel *channel,
                         void (*on_removed)(struct rchan_buffer *buffer))
{
    rchan_set_bits(&channel->header->gate, (uint32_t)RCHAN_GATE_FINALIZED);
    rchan_channel_refresh(channel);
    begin_change(channel);
    TESTPOINT("close: shut");
    for (uint32_t i = 0; i < channel->n_buffers; i++) {
        struct rchan_buffer *buffer = &channel->buffers[i];
        if (!rchan_bit(channel->header->present, i))
            continue;
        rchan_buffer_finalize(buffer);
        TESTPOINT("close: buffer finalized");
        if (!rchan_load(&buffer->data))
            continue;
        remove_buffer_file(buffer);
        if (on_removed)
            on_removed(buffer);
    }
    rchan_wake_channel(channel); /* while the bells have their names */
    if (pthread_mutex_trylock(&channel->ringing) == 0) {
        rchan_kept_close(channel);
        pthread_mutex_unlock(&channel->ringing);
    }
    remove_unmapped(channel);
    TESTPOINT("close: buffers removed");
    remove_control(channel);
    TESTPOINT("close: control removed");
    channel->closed = true;
}

/* ---- late setup ---- */

struct late {
    struct rchan_channel *channel;
    char *old_directory;
    dev_t old_dev;
    ino_t old_ino;
    bool control;  /* the control file has its name */
    uint32_t done; /* buffers below this index have their file */
};

static void set_base(struct rchan_channel *channel, const char *base)
{
    memset(channel->base, 0, sizeof channel->base);
    snprintf(channel->base, sizeof channel->base, "%s", base);
    memcpy(channel->header->base, channel->base, sizeof channel->header->base);
}

static int late_buffers(struct late *late, struct rchan_error *error)
{
    struct rchan_channel *channel = late->channel;
    for (uint32_t i = 0; i < channel->n_buffers; i++, late->done++) {
        struct rchan_buffer *buffer = &channel->buffers[i];
        char name[280];
        bool is_global = false;
        if (!rchan_load(&buffer->data))
            continue;
        rchan_buffer_name(name, sizeof name, channel->base, i);
        int result = channel->hooks.create_buf_file
                         ? channel->hooks.create_buf_file(buffer, name, &is_global)
                         : rchan_buffer_link(buffer, name);
        TESTPOINT("late: buffer named");
        if (result && rchan_buffer_has_name(buffer, name))
            late->done++; /* its hook named it and failed after that */
        if (result == -EEXIST)
            return rchan_fail(error, RCHAN_FAIL_EXISTS, EEXIST, "there is a file %s already", name);
        if (result == -EXDEV)
            return rchan_fail(error, RCHAN_FAIL_UNSUPPORTED, EXDEV,
                              "%s is on another file system than the buffers were made on",
                              channel->directory);
        if (result)
            return rchan_fail(error,
                              channel->hooks.create_buf_file ? RCHAN_FAIL_CALLBACK : RCHAN_FAIL_OS,
                              -result, "no file for buffer %u", i);
    }
    return 0;
}

/* All have their names: it is a channel with files from now on. */
static void late_succeed(struct late *late)
{
    struct rchan_channel *channel = late->channel;
    for (uint32_t i = 0; i < channel->n_buffers; i++) {
        struct rchan_buffer *buffer = &channel->buffers[i];
        if (!rchan_load(&buffer->data))
            continue;
        /* early.head: pairs with switch.head, switch.begin */
        uint64_t head = rchan_load_acquire(&buffer->block->head);
        uint64_t now = head >> channel->shift & 1;
        rchan_store(&buffer->block->early_bytes, rchan_load(&buffer->block->total_bytes[now]) -
                                                     rchan_load(&buffer->block->unfinished_bytes));
        if (buffer->hidden)
            rchan_hidden_remove(channel, buffer->inode);
        buffer->hidden = false;
        rchan_buffer_close_fd(buffer);
        rchan_bit_set(channel->header->linked, i);
    }
    if (channel->hidden)
        rchan_hidden_remove(channel, channel->control_ino);
    channel->hidden = false;
    free(late->old_directory);
}

/* A file that loses its last name cannot be given one again: so each keeps a hidden one. */
static void late_hide(struct late *late)
{
    char name[280];
    struct rchan_error error;
    struct rchan_channel *channel = late->channel;
    int directory = rchan_directory_again(channel, &error);
    if (directory < 0)
        return;
    if (!channel->hidden_directory)
        channel->hidden_directory = strdup(late->old_directory);
    for (uint32_t i = 0; i < late->done; i++) {
        struct rchan_buffer *buffer = &channel->buffers[i];
        rchan_buffer_name(name, sizeof name, channel->base, i);
        if (rchan_load(&buffer->data) && !buffer->hidden)
            buffer->hidden =
                !rchan_hide(channel, directory, name, rchan_buffer_fd(buffer), buffer->inode);
    }
    rchan_control_name(name, sizeof name, channel->base);
    if (late->control && !channel->hidden)
        channel->hidden =
            !rchan_hide(channel, directory, name, rchan_control_fd(channel), channel->control_ino);
    close(directory);
    TESTPOINT("late: hidden");
}

static void late_fail(struct late *late)
{
    struct rchan_channel *channel = late->channel;
    TESTPOINT("late: failing");
    late_hide(late);
    for (uint32_t i = 0; i < late->done; i++) {
        if (rchan_load(&channel->buffers[i].data))
            remove_buffer_file(&channel->buffers[i]);
    }
    if (late->control)
        remove_control(channel);
    channel->named = false;
    free(channel->directory);
    channel->directory = late->old_directory;
    channel->directory_dev = late->old_dev;
    channel->directory_ino = late->old_ino;
    set_base(channel, "");
}

static int late_names(struct late *late, const char *path, const char *base,
                      struct rchan_error *error)
{
    struct rchan_channel *channel = late->channel;
    struct stat found;
    int directory = rchan_directory_open(path, channel->share, &found, error);
    char *copy = directory < 0 ? NULL : strdup(path);
    if (!copy) {
        if (directory >= 0) {
            close(directory);
            rchan_fail(error, RCHAN_FAIL_OS, ENOMEM, "no memory");
        }
        return -1;
    }
    late->old_directory = channel->directory;
    late->old_dev = channel->directory_dev;
    late->old_ino = channel->directory_ino;
    channel->directory = copy;
    channel->directory_dev = found.st_dev;
    channel->directory_ino = found.st_ino;
    channel->named = true;
    set_base(channel, base);
    uint32_t forks = channel->fork_count;
    begin_change(channel);
    int result = rchan_control_link(channel, directory, base, error);
    late->control = !result;
    close(directory);
    if (!result)
        result = late_buffers(late, error);
    if (channel->fork_count != forks)
        return rchan_fail(error, RCHAN_FAIL_BUSY, EBUSY, "a callback forked: it is the parent's");
    if (!result)
        late_succeed(late);
    else
        late_fail(late);
    TESTPOINT("late: done");
    /* channel.late: pairs with channel.look */
    rchan_store_release(&channel->header->state, RCHAN_LIVE);
    return result;
}

int rchan_channel_late_setup(struct rchan_channel *channel, const char *directory, const char *base,
                             struct rchan_error *error)
{
    struct late late = {.channel = channel};
    if (!base || !*base || strlen(base) > RCHAN_BASE_MAX)
        return rchan_fail(error, RCHAN_FAIL_NAME, EINVAL,
                          "late setup needs a name of 1 to %u bytes", RCHAN_BASE_MAX);
    if (channel->named || channel->header->base[0])
        return rchan_fail(error, RCHAN_FAIL_EXISTS, EEXIST,
                          "the channel has its files already, as %.250s", channel->header->base);
    if (!channel->creator)
        return rchan_fail(error, RCHAN_FAIL_NO_BUFFER, EPERM,
                          "only the process that made a buffer-only channel can give it files");
    if (pthread_mutex_trylock(&channel->making))
        return rchan_fail(error, RCHAN_FAIL_BUSY, EBUSY, "a buffer is being made");
    uint32_t forks = channel->fork_count;
    int result = late_names(&late, directory, base, error);
    if (channel->fork_count == forks) /* else a callback forked, and `making` is new and free */
        pthread_mutex_unlock(&channel->making);
    return result;
}

/* ---- remove without taking part ---- */

static bool exists(int directory, const char *name)
{
    struct stat found;
    return fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW) == 0;
}

/* `app12` is of `app`, or of `app1`: whose it is cannot be told if both are there. */
static bool claimed_by_other(int directory, const char *name, size_t base_length)
{
    char control[280], prefix[280];
    size_t length = strlen(name);
    while (length && name[length - 1] >= '0' && name[length - 1] <= '9') {
        snprintf(prefix, sizeof prefix, "%.*s", (int)--length, name);
        rchan_control_name(control, sizeof control, prefix);
        if (length && length != base_length && exists(directory, control))
            return true;
    }
    return false;
}

static bool is_buffer_name(const char *name, const char *base)
{
    size_t length = strlen(base), digits;
    if (strncmp(name, base, length) != 0)
        return false;
    digits = strspn(name + length, "0123456789");
    return digits && digits <= 4 && !name[length + digits] && (name[length] != '0' || digits == 1);
}

void rchan_remove_leavings(int directory, const char *base, struct rchan_share share)
{
    struct stat found;
    int again = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = again < 0 ? NULL : fdopendir(again);
    if (!list)
        return;
    for (struct dirent *entry = readdir(list); entry; entry = readdir(list)) {
        bool bell = rchan_is_bell_name(entry->d_name, base);
        if (!bell && (!is_buffer_name(entry->d_name, base) ||
                      claimed_by_other(directory, entry->d_name, strlen(base))))
            continue;
        if (fstatat(directory, entry->d_name, &found, AT_SYMLINK_NOFOLLOW))
            continue;
        if (bell && rchan_is_bell_file(&found, share))
            rchan_bell_remove(directory, entry->d_name, share);
        else if (!bell && S_ISREG(found.st_mode) && rchan_file_ours(&found, share))
            unlinkat(directory, entry->d_name, 0);
    }
    closedir(list);
}

void rchan_remove_noted(struct rchan_channel *channel, int directory)
{
    char name[280];
    for (uint32_t i = 0; i < channel->n_buffers; i++) {
        if (!rchan_bit(channel->header->present, i))
            continue;
        uint64_t noted = rchan_load(&rchan_block_at(channel, i)->file_identity);
        rchan_buffer_name(name, sizeof name, channel->base, i);
        if (noted && rchan_file_identity(directory, name) == noted)
            unlinkat(directory, name, 0);
    }
    rchan_bells_remove(channel, directory);
}

/* The control file is damaged or half-made: names are all there is to go by. */
static int remove_unattached(int directory, const char *path, const char *base,
                             struct rchan_share share, struct rchan_error *error)
{
    char name[280];
    struct stat found;
    rchan_control_name(name, sizeof name, base);
    int fd = rchan_file_open(directory, name, share, &found, error);
    if (fd < 0 && error->failure == RCHAN_FAIL_NOT_FOUND)
        return rchan_fail(error, RCHAN_FAIL_NOT_FOUND, ENOENT, "there is no channel '%s' in %s",
                          base, path);
    if (fd < 0)
        return -1;
    int result = rchan_control_unlink_with(fd, directory, name, rchan_remove_leavings, base, share);
    close(fd);
    if (result == -EAGAIN || result == -EACCES || result == -ESTALE || result == -ENOENT)
        return rchan_fail(error, RCHAN_FAIL_BUSY, EBUSY, "somebody else is removing %s", name);
    if (result)
        return rchan_fail(error, RCHAN_FAIL_OS, -result, "cannot remove %s", name);
    return 0;
}

int rchan_channel_remove_shared(const char *path, const char *base, struct rchan_share share,
                                struct rchan_error *error)
{
    struct stat found;
    struct rchan_channel *channel = rchan_channel_attach_shared(path, base, share, NULL, error);
    if (channel) {
        rchan_channel_close(channel, NULL);
        rchan_channel_detach(channel);
        return 0;
    }
    if (error->failure == RCHAN_FAIL_NAME)
        return -1;
    int directory = rchan_directory_open(path, share, &found, error);
    if (directory < 0)
        return -1;
    int result = remove_unattached(directory, path, base, share, error);
    close(directory);
    return result;
}
