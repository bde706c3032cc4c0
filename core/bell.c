/* Doorbells: made, armed and closed by their reader. */
#include "bell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "bell_files.h"
#include "files.h"
#include "testpoint.h"
#include "wait.h"

enum { DRAIN = 4096 };

/* ---- open ---- */

/* mkfifo knows our group only, and less than its mode under a umask. 0 or -1. */
static int share_fifo(const struct rchan_bell *bell)
{
    struct rchan_share share = bell->channel->share;
    if (!share.shared)
        return 0;
    return fchown(bell->fd, (uid_t)-1, share.group) || fchmod(bell->fd, 0660) ? -1 : 0;
}

/* Its reader opens it for writing, too: it never reads an end of file, and can ring it itself. */
static int open_fifo(struct rchan_bell *bell, int directory, const char *name)
{
    struct stat made;
    bell->fd = openat(directory, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (bell->fd < 0)
        return -errno;
    if (fstat(bell->fd, &made) == 0 && rchan_is_bell(&made, (struct rchan_share){0}) &&
        share_fifo(bell) == 0) {
        bell->inode = made.st_ino;
        return 0;
    }
    close(bell->fd);
    bell->fd = -1;
    return -EEXIST;
}

/* 0, -EEXIST: taken, or another negative errno. */
static int make_fifo(struct rchan_bell *bell, int directory, uint32_t index)
{
    char name[280];
    rchan_bell_name(name, sizeof name, bell->channel->base, index);
    /* Before: if we are killed with the name made, whoever closes the channel finds it. */
    if (rchan_bell_limit(bell->channel) <= index)
        rchan_store(&bell->channel->header->bell_limit, index + 1);
    if (mkfifoat(directory, name, 0600) &&
        (errno != EEXIST || !rchan_bell_remove_if_dead(directory, name, bell->channel->share) ||
         mkfifoat(directory, name, 0600)))
        return -errno;
    TESTPOINT("bell: made");
    int result = open_fifo(bell, directory, name);
    if (result) {
        unlinkat(directory, name, 0);
        return result;
    }
    struct rchan_header *header = bell->channel->header;
    bell->index = (int32_t)index;
    bell->word = rchan_load(&header->bells[index]) & ~RCHAN_BELL_ARMED;
    /* After the FIFO has its name, before the first arming: who sees this number opens this FIFO. */
    rchan_store(&header->bells_made[index], rchan_load(&header->bells_made[index]) + 1);
    TESTPOINT("bell: counted");
    return 0;
}

static int open_named(struct rchan_bell *bell, int directory, struct rchan_error *error)
{
    for (uint32_t index = 0; index < RCHAN_MAX_BELLS; index++) {
        int result = make_fifo(bell, directory, index);
        if (!result)
            return 0;
        if (result == -ENAMETOOLONG)
            return rchan_fail(error, RCHAN_FAIL_UNSUPPORTED, ENAMETOOLONG,
                              "the name of channel %s is too long for the file of bell %u: with "
                              "%u bytes at most there is room for all; or wait with poll(timeout)",
                              bell->channel->base, index, RCHAN_BASE_MAX - 4);
        if (result != -EEXIST)
            return rchan_fail(error, RCHAN_FAIL_OS, -result, "cannot make a bell in %s",
                              bell->channel->directory);
    }
    return rchan_fail(error, RCHAN_FAIL_BUSY, EBUSY,
                      "all %u bells of channel %s are in use: close files whose fileno() was asked "
                      "for, or wait with poll(timeout)",
                      RCHAN_MAX_BELLS, bell->channel->base);
}

/* Nobody will ever have news: a pipe of our own will do. */
static int open_unnamed(struct rchan_bell *bell, struct rchan_error *error)
{
    int ends[2];
    char path[40];
    if (pipe2(ends, O_CLOEXEC))
        return rchan_fail(error, RCHAN_FAIL_OS, errno, "cannot make a pipe");
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    bell->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    int result = bell->fd < 0
                     ? rchan_fail(error, RCHAN_FAIL_OS, errno, "cannot open a pipe for both ways")
                     : 0;
    close(ends[0]);
    close(ends[1]);
    return result;
}

static int open_in_directory(struct rchan_bell *bell, struct rchan_error *error)
{
    int directory = rchan_directory_again(bell->channel, error);
    if (directory < 0)
        return -1;
    int result = rchan_bells_take(bell->channel) ? 0 : -EBUSY;
    if (result) {
        rchan_fail(error, RCHAN_FAIL_BUSY, EBUSY, "somebody else is making a bell all the time");
    } else {
        result = open_named(bell, directory, error);
        rchan_bells_leave(bell->channel);
    }
    close(directory);
    return result ? -1 : 0;
}

int rchan_bell_open(struct rchan_channel *channel, struct rchan_bell *bell,
                    struct rchan_error *error)
{
    *bell = (struct rchan_bell){
        .channel = channel, .fd = -1, .index = -1, .fork_count = channel->fork_count};
    if (rchan_load(&channel->header->gate) & RCHAN_GATE_FINALIZED)
        return open_unnamed(bell, error);
    if (!channel->named)
        return rchan_fail(error, RCHAN_FAIL_UNSUPPORTED, ENOTSUP,
                          "a buffer-only channel has no directory for a bell: give it files with "
                          "late_setup_files, or wait with poll(timeout)");
    return open_in_directory(bell, error);
}

/* ---- use ---- */

static bool ours(const struct rchan_bell *bell)
{
    return bell->fd >= 0 && bell->fork_count == bell->channel->fork_count;
}

/* Only its reader arms it. Ever another value: a ringer that is late does not disarm the bell of
 * after its ring. */
static void arm(struct rchan_bell *bell)
{
    bell->word = (bell->word | RCHAN_BELL_ARMED) + 2;
    /* bell.arm: pairs with bell.seen */
    rchan_store_release(&bell->channel->header->bells[bell->index], bell->word);
    TESTPOINT("bell: armed");
    rchan_wake_note_bell(&bell->channel->header->wake);
}

static void drain(struct rchan_bell *bell)
{
    char rung[DRAIN];
    ssize_t got = sizeof rung;
    while (got == sizeof rung)
        got = read(bell->fd, rung, sizeof rung);
    bell->rung_by_us = false;
}

bool rchan_bell_rearm(struct rchan_bell *bell)
{
    if (!ours(bell))
        return false;
    drain(bell);
    if (bell->index >= 0)
        arm(bell);
    return true;
}

void rchan_bell_ring(struct rchan_bell *bell)
{
    if (!ours(bell) || bell->rung_by_us)
        return;
    ssize_t written = write(bell->fd, "", 1);
    bell->rung_by_us = written == 1 || errno == EAGAIN; /* full: rung already */
}

/* Armed as we left it, so nobody has finished ringing it. */
static bool still_armed(const struct rchan_bell *bell)
{
    return bell->index >= 0 && bell->word & RCHAN_BELL_ARMED && !bell->rung_by_us &&
           rchan_load(&bell->channel->header->bells[bell->index]) == bell->word;
}

bool rchan_bell_settle(struct rchan_bell *bell, uint32_t (*look)(const void *), const void *object,
                       bool had_news)
{
    if (!ours(bell))
        return false;
    if (!look(object)) {
        /* Not twice: a ringer that was killed in the middle has left a byte in there. */
        bell->left_alone = !had_news && !bell->left_alone && still_armed(bell);
        if (bell->left_alone)
            return true;
        rchan_bell_rearm(bell);
        if (!look(object))
            return true;
    }
    rchan_bell_ring(bell);
    return true;
}

/* ---- close ---- */

static void forget(struct rchan_bell *bell)
{
    char name[280];
    struct rchan_error error;
    rchan_store(&bell->channel->header->bells[bell->index], bell->word & ~RCHAN_BELL_ARMED);
    int directory = rchan_directory_again(bell->channel, &error);
    if (directory < 0)
        return;
    rchan_bell_name(name, sizeof name, bell->channel->base, (uint32_t)bell->index);
    rchan_file_unlink(directory, name, bell->inode);
    close(directory);
}

void rchan_bell_close(struct rchan_bell *bell)
{
    if (bell->fd < 0)
        return;
    if (ours(bell) && bell->index >= 0)
        forget(bell);
    close(bell->fd);
    bell->fd = -1;
}
