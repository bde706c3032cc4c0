/* Joining a channel that exists. Nothing in its file is believed before it was checked. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "channel.h"
#include "control.h"
#include "files.h"
#include "growth.h"
#include "handles.h"
#include "owner.h"
#include "testpoint.h"

enum { CREATE_WAIT_MS = 2000 };

static int corrupt(struct rchan_error *error, const char *base, const char *what)
{
    return rchan_fail(error, RCHAN_FAIL_CORRUPT, EINVAL,
                      "%s.chan is damaged or no channel: %s; remove it if it is yours", base, what);
}

static int check_identity(const struct rchan_header *header, const char *base,
                          struct rchan_error *error)
{
    if (header->magic == __builtin_bswap64(RCHAN_MAGIC))
        return rchan_fail(error, RCHAN_FAIL_INCOMPATIBLE, EINVAL,
                          "%s.chan was made on a machine of the other byte order", base);
    if (header->magic != RCHAN_MAGIC)
        return corrupt(error, base, "it does not begin like one");
    if (header->byte_order != RCHAN_BYTE_ORDER_MARK)
        return rchan_fail(error, RCHAN_FAIL_INCOMPATIBLE, EINVAL,
                          "%s.chan was made on a machine of the other byte order", base);
    if (header->abi_version != RCHAN_ABI_VERSION)
        return rchan_fail(error, RCHAN_FAIL_INCOMPATIBLE, EINVAL,
                          "%s.chan has ABI version %u and this rchan speaks version %u; use the "
                          "same rchan in all processes",
                          base, header->abi_version, RCHAN_ABI_VERSION);
    return 0;
}

static int check_header(const struct rchan_header *header, uint64_t file_size, const char *base,
                        struct rchan_error *error)
{
    struct rchan_error inner;
    if (check_identity(header, base, error))
        return -1;
    if (rchan_check_geometry(header->subbuf_size, header->n_subbufs, header->n_buffers, &inner))
        return corrupt(error, base, "its geometry is impossible");
    uint64_t block = sizeof(struct rchan_block) + header->n_subbufs * sizeof(struct rchan_meta);
    block = (block + RCHAN_PAGE - 1) / RCHAN_PAGE * RCHAN_PAGE;
    if (header->block_size != block || header->n_slots != RCHAN_MAX_SLOTS)
        return corrupt(error, base, "its sizes do not fit its geometry");
    if (header->flags & RCHAN_PACKETS &&
        (header->subbuf_size < RCHAN_SMALLEST_PACKET ||
         header->stamp_clock - RCHAN_STAMP_MONOTONIC > 1 || header->metadata_offset > file_size))
        return corrupt(error, base, "its description of events is impossible");
    if (RCHAN_BLOCKS_OFFSET + header->n_buffers * block > file_size)
        return corrupt(error, base, "it is truncated");
    if (strncmp(header->base, base, sizeof header->base) != 0)
        return rchan_fail(error, RCHAN_FAIL_CORRUPT, EINVAL,
                          "%s.chan calls itself by another name: it was copied or renamed", base);
    return 0;
}

static int read_header(int fd, struct rchan_header *header, const char *base,
                       struct rchan_error *error)
{
    ssize_t got = pread(fd, header, sizeof *header, 0);
    if (got < 0)
        return rchan_fail(error, RCHAN_FAIL_OS, errno, "cannot read %s.chan", base);
    if ((size_t)got < sizeof *header)
        return corrupt(error, base, "it is shorter than a header");
    return 0;
}

static bool is_live(struct rchan_channel *channel)
{
    /* channel.look: pairs with channel.live, channel.late, channel.change */
    return rchan_load_acquire(&channel->header->state) == RCHAN_LIVE;
}

/* Somebody creates, names or removes it right now. */
static bool changer_alive(struct rchan_channel *channel)
{
    struct stat file;
    uint64_t changer = rchan_load(&channel->header->changer);
    return changer && !rchan_owner_dead(channel, changer) && fstat(channel->fd, &file) == 0 &&
           file.st_nlink;
}

/* Until state is LIVE, as long as somebody works on it. */
static bool wait_until_live(struct rchan_channel *channel)
{
    struct timespec pause = {0, 1000000};
    for (int waited = 0; waited < CREATE_WAIT_MS; waited++) {
        if (is_live(channel))
            return true;
        if (!changer_alive(channel))
            break;
        nanosleep(&pause, NULL);
    }
    return is_live(channel);
}

static struct rchan_channel *handle_from(const char *path, const char *base, int fd,
                                         const struct stat *file, struct rchan_share share,
                                         const struct rchan_hooks *hooks, struct rchan_error *error)
{
    struct rchan_header header;
    if (read_header(fd, &header, base, error) ||
        check_header(&header, (uint64_t)file->st_size, base, error))
        return NULL;
    struct rchan_shape shape = {
        .subbuf_size = header.subbuf_size,
        .n_subbufs = header.n_subbufs,
        .n_buffers = header.n_buffers,
        .flags = header.flags,
        .stamp_clock = header.stamp_clock,
        .stamp_base = header.stamp_base,
        .owner_wait_us = header.owner_wait_us > 1000000 ? 1000000 : header.owner_wait_us,
        .mode = file->st_mode & 0777,
        .share = share,
    };
    struct rchan_channel *channel = rchan_handle_new(path, base, &shape, hooks, error);
    if (!channel)
        return NULL;
    channel->fd = fd;
    channel->control_dev = file->st_dev;
    channel->control_ino = file->st_ino;
    channel->copied = header.control_inode != file->st_ino;
    if (header.alloc_size == channel->alloc_size && rchan_handle_map(channel, error) == 0)
        return channel;
    if (header.alloc_size != channel->alloc_size)
        corrupt(error, base, "its sizes do not fit its geometry");
    channel->fd = -1;
    rchan_handle_free(channel);
    return NULL;
}

/* The control file open and mapped, not joined. */
static struct rchan_channel *open_control(const char *path, int directory, const char *base,
                                          struct rchan_share share, const struct rchan_hooks *hooks,
                                          struct rchan_error *error)
{
    char name[280];
    struct stat file;
    rchan_control_name(name, sizeof name, base);
    int fd = rchan_file_open(directory, name, share, &file, error);
    if (fd < 0 && error->failure == RCHAN_FAIL_NOT_FOUND)
        rchan_fail(
            error, RCHAN_FAIL_NOT_FOUND, ENOENT,
            "there is no channel '%s' in %s: it was not created yet, or its creator has closed it "
            "('rchan ls' shows which there are)",
            base, path);
    if (fd < 0)
        return NULL;
    TESTPOINT("attach: opened");
    struct rchan_channel *channel = handle_from(path, base, fd, &file, share, hooks, error);
    if (!channel)
        close(fd);
    return channel;
}

static int join(struct rchan_channel *channel, struct rchan_error *error)
{
    if (!wait_until_live(channel))
        return rchan_fail(error, RCHAN_FAIL_NOT_FOUND, ENOENT,
                          "channel %s is not complete: it is being removed, or its creator was "
                          "killed; create it again",
                          channel->base);
    TESTPOINT("attach: live");
    /* A late setup that failed has taken its name back. */
    if (strncmp(channel->header->base, channel->base, sizeof channel->base) != 0)
        return rchan_fail(error, RCHAN_FAIL_NOT_FOUND, ENOENT, "there is no channel '%s' any more",
                          channel->base);
    /* A create that said "global" has changed it since the header was read. */
    uint32_t n_buffers = channel->header->n_buffers;
    if (n_buffers && n_buffers < channel->n_buffers)
        channel->n_buffers = n_buffers;
    if (rchan_handle_join(channel, error))
        return -1;
    TESTPOINT("attach: joined");
    rchan_channel_refresh(channel);
    rchan_run_wakeups(channel); /* of one who was killed before he rang */
    return 0;
}

static bool name_possible(const char *base, struct rchan_error *error)
{
    if (*base && strlen(base) <= RCHAN_BASE_MAX && !strchr(base, '/'))
        return true;
    rchan_fail(error, RCHAN_FAIL_NAME, EINVAL, "a channel's name has 1 to %u bytes and no slash",
               RCHAN_BASE_MAX);
    return false;
}

struct rchan_channel *rchan_channel_attach_shared(const char *path, const char *base,
                                                  struct rchan_share share,
                                                  const struct rchan_hooks *hooks,
                                                  struct rchan_error *error)
{
    struct stat found;
    if (!name_possible(base, error))
        return NULL;
    int directory = rchan_directory_open(path, share, &found, error);
    if (directory < 0)
        return NULL;
    struct rchan_channel *channel = open_control(path, directory, base, share, hooks, error);
    close(directory);
    if (!channel)
        return NULL;
    channel->directory_dev = found.st_dev;
    channel->directory_ino = found.st_ino;
    if (join(channel, error) == 0)
        return channel;
    rchan_channel_detach(channel);
    return NULL;
}

bool rchan_clear_half_created(const char *path, int directory, const char *base,
                              struct rchan_share share)
{
    struct rchan_error error;
    struct rchan_channel *channel = open_control(path, directory, base, share, NULL, &error);
    if (!channel)
        return false;
    char name[280];
    rchan_control_name(name, sizeof name, base);
    /* Looked at again: it may have become LIVE, and its maker have left, between the two looks. */
    bool dead = !is_live(channel) && !changer_alive(channel) && !is_live(channel);
    TESTPOINT("create: name in the way");
    if (dead)
        rchan_remove_noted(channel, directory);
    bool cleared = dead && rchan_control_unlink_with(channel->fd, directory, name,
                                                     rchan_remove_leavings, base, share) == 0;
    rchan_channel_detach(channel);
    return cleared;
}
