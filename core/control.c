/* The control file's descriptor. */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "files.h"
#include "testpoint.h"

static bool is_control(const struct rchan_channel *channel, int fd, struct stat *found)
{
    return fd >= 0 && rchan_is_file(fd, channel->control_dev, channel->control_ino, found);
}

/* No other file can have its device and inode number as long as we have it mapped. Also called in the
 * child of a fork: no locks, no memory. */
static int open_by_name(const struct rchan_channel *channel, struct stat *found)
{
    char path[4400]; /* PATH_MAX and a file name */
    if (!channel->named)
        return -1;
    int length = snprintf(path, sizeof path, "%s/%s.chan", channel->directory, channel->base);
    if (length < 0 || (size_t)length >= sizeof path)
        return -1;
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || is_control(channel, fd, found))
        return fd;
    close(fd);
    return -1;
}

int rchan_control_note(struct rchan_channel *channel)
{
    struct stat found;
    if (fstat(channel->fd, &found)) {
        int result = -errno;
        close(channel->fd);
        channel->fd = -1;
        return result;
    }
    channel->control_dev = found.st_dev;
    channel->control_ino = found.st_ino;
    return 0;
}

int rchan_control_look(struct rchan_channel *channel, struct stat *found)
{
    int fd = channel->fd;
    if (rchan_likely(is_control(channel, fd, found)))
        return fd;
    int fresh = open_by_name(channel, found);
    /* The old number is somebody else's, or nobody's: not closed. */
    if (fresh >= 0 && !atomic_compare_exchange_strong(&channel->fd, &fd, fresh)) {
        close(fresh); /* another thread has found one */
        fresh = is_control(channel, fd, found) ? fd : -1;
    }
    return fresh;
}

int rchan_control_fd(struct rchan_channel *channel)
{
    struct stat found;
    return rchan_control_look(channel, &found);
}

int rchan_control_renew(struct rchan_channel *channel)
{
    char path[40];
    struct stat found;
    int fd = channel->fd;
    if (!is_control(channel, fd, &found)) {
        channel->fd = open_by_name(channel, &found);
        return channel->fd < 0 ? -EBADF : 0;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int fresh = open(path, O_RDWR | O_CLOEXEC);
    if (fresh < 0)
        return -errno;
    int result = dup3(fresh, fd, O_CLOEXEC) < 0 ? -errno : 0;
    TESTPOINT("slot: reopened");
    close(fresh);
    return result;
}

/* ---- the lock ---- */

/* A lock of this kind goes with the last user of its open file description, and a mapping is one. It is
 * never looked at. Where there is no room for it, all is as without it. */
void rchan_control_keep(struct rchan_channel *channel)
{
    void *page = mmap(NULL, RCHAN_PAGE, PROT_NONE, MAP_SHARED, channel->fd, 0);
    channel->lock_page = page == MAP_FAILED ? NULL : page;
}

void rchan_control_forget(struct rchan_channel *channel)
{
    if (channel->lock_page)
        munmap(channel->lock_page, RCHAN_PAGE);
    channel->lock_page = NULL;
}

void rchan_control_close(struct rchan_channel *channel)
{
    struct stat found;
    rchan_control_forget(channel);
    if (is_control(channel, channel->fd, &found))
        close(channel->fd);
    channel->fd = -1;
}
