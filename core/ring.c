/* Ringing. A process keeps the FIFOs that it has rung open, and knows by a number which they are. */
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "bell.h"
#include "bell_files.h"
#include "files.h"
#include "kept.h"
#include "testpoint.h"
#include "wait.h"

enum { NO_SIGNAL = 0x100 }; /* RWF_NOSIGNAL, which older headers lack */

enum ring { RUNG, NOBODY, NOT_NOW };

/* One round through the bells. */
struct round {
    struct rchan_channel *channel;
    bool keeps;    /* this thread may use the kept descriptors */
    int directory; /* -1: not open yet */
};

/* ---- one byte ---- */

/* Linux 6.18: RWF_NOSIGNAL. -EOPNOTSUPP before that. */
static int write_unsignalled(int fd)
{
    static rchan_a32 missing;
    struct iovec byte = {(char[1]){0}, 1};
    if (rchan_load(&missing))
        return -EOPNOTSUPP;
    /* Not by the C library: an old one has no such function. -1: where the FIFO is. */
    int result = syscall(SYS_pwritev2, fd, &byte, 1, -1L, -1L, NO_SIGNAL) < 0 ? -errno : 0;
    if (result == -EOPNOTSUPP || result == -EINVAL || result == -ENOSYS || result == -EPERM) {
        rchan_store(&missing, 1);
        return -EOPNOTSUPP;
    }
    return result;
}

/* SIGPIPE blocked meanwhile, and taken back if it came. */
static int write_masked(int fd)
{
    static const struct timespec now = {0, 0};
    sigset_t broken, before, pending;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken, &before);
    bool blocked = sigismember(&before, SIGPIPE);
    bool waits = blocked && sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE);
    int result = write(fd, "", 1) < 0 ? -errno : 0;
    if (result == -EPIPE && !waits)
        sigtimedwait(&broken, NULL, &now);
    if (!blocked)
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

/* Into a FIFO whose reader may die just now: no SIGPIPE for that. 0 or -errno. */
static int write_quietly(int fd)
{
    int result = write_unsignalled(fd);
    return result == -EOPNOTSUPP ? write_masked(fd) : result;
}

static enum ring ring_fd(int fd)
{
    int result = write_quietly(fd);
    return result == -EPIPE ? NOBODY : result == -EINTR ? NOT_NOW : RUNG; /* full: rung already */
}

/* NOBODY: not by a kept descriptor. */
static enum ring ring_kept(struct round *round, uint32_t index, uint32_t made)
{
    int fd = round->keeps ? rchan_kept_find(round->channel, index, made) : -1;
    enum ring result = fd < 0 ? NOBODY : ring_fd(fd);
    if (fd >= 0 && result == NOBODY)
        rchan_kept_drop(round->channel, index);
    return result;
}

/* ---- by name ---- */

static bool none_left(int os_errno)
{
    return os_errno == EMFILE || os_errno == ENFILE;
}

/* For want of a descriptor the kept ones go, once. */
static bool open_directory(struct round *round)
{
    struct rchan_error error;
    struct rchan_channel *channel = round->channel;
    if (round->directory >= 0 || !channel->named) /* forked off before late setup gave it files */
        return round->directory >= 0;
    round->directory = rchan_directory_again(channel, &error);
    if (round->directory < 0 && round->keeps && none_left(error.os_errno)) {
        rchan_kept_close(channel);
        round->directory = rchan_directory_again(channel, &error);
    }
    return round->directory >= 0;
}

static int open_fifo(struct round *round, const char *name)
{
    int flags = O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(round->directory, name, flags);
    if (fd < 0 && round->keeps && none_left(errno)) {
        rchan_kept_close(round->channel);
        fd = openat(round->directory, name, flags);
    }
    return fd;
}

static enum ring ring_by_name(struct round *round, uint32_t index, uint32_t made)
{
    char name[280];
    struct stat found;
    if (!open_directory(round))
        return NOT_NOW;
    rchan_bell_name(name, sizeof name, round->channel->base, index);
    int fd = open_fifo(round, name);
    if (fd < 0)
        return none_left(errno) || errno == ENOMEM || errno == EINTR ? NOT_NOW : NOBODY;
    TESTPOINT("bell: opened");
    enum ring result = fstat(fd, &found) == 0 && rchan_is_bell(&found, round->channel->share)
                           ? ring_fd(fd)
                           : NOBODY;
    if (result == RUNG && round->keeps)
        rchan_kept_keep(round->channel, index, made, fd);
    else
        close(fd);
    return result;
}

/* ---- all armed ones ---- */

static void forget_dead(struct round *round, uint32_t index)
{
    char name[280];
    rchan_bell_name(name, sizeof name, round->channel->base, index);
    if (open_directory(round) && rchan_bells_try(round->channel)) {
        rchan_bell_remove_if_dead(round->directory, name, round->channel->share);
        rchan_bells_leave(round->channel);
    }
}

/* Seen armed as `seen`: a reader that has armed it again meanwhile keeps it so. False: not now. */
static bool ring(struct round *round, uint32_t index, uint32_t seen)
{
    struct rchan_header *header = round->channel->header;
    uint32_t made = rchan_load(&header->bells_made[index]);
    enum ring result = ring_kept(round, index, made);
    if (result == NOBODY)
        result = ring_by_name(round, index, made);
    if (result == NOT_NOW)
        return false;
    TESTPOINT("bell: rung");
    rchan_swap_half(&header->bells[index], seen, seen & ~RCHAN_BELL_ARMED);
    if (result == NOBODY)
        forget_dead(round, index);
    return true;
}

/* False: some could not be rung now; they stay armed. */
static bool ring_all(struct rchan_channel *channel)
{
    struct round round = {channel, pthread_mutex_trylock(&channel->ringing) == 0, -1};
    bool done = true;
    for (uint32_t index = 0, limit = rchan_bell_limit(channel); index < limit; index++) {
        /* bell.seen: pairs with bell.arm */
        uint32_t seen = rchan_load_acquire(&channel->header->bells[index]);
        if (seen & RCHAN_BELL_ARMED)
            done &= ring(&round, index, seen);
    }
    if (round.directory >= 0)
        close(round.directory);
    if (round.keeps)
        pthread_mutex_unlock(&channel->ringing);
    return done;
}

bool rchan_wake_channel(struct rchan_channel *channel)
{
    return rchan_wake_also(&channel->header->wake, ring_all, channel);
}

/* ---- for the last time ---- */

void rchan_bell_remove(int directory, const char *name, struct rchan_share share)
{
    int fd = openat(directory, name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    struct stat found;
    if (fd >= 0) {
        if (fstat(fd, &found) == 0 && rchan_is_bell(&found, share))
            write_quietly(fd); /* nobody who has news finds it by its name any more */
        close(fd);
    }
    unlinkat(directory, name, 0);
}

void rchan_bells_remove(struct rchan_channel *channel, int directory)
{
    char name[280];
    struct stat found;
    for (uint32_t index = 0, limit = rchan_bell_limit(channel); index < limit; index++) {
        rchan_bell_name(name, sizeof name, channel->base, index);
        if (fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
            rchan_is_bell_file(&found, channel->share))
            rchan_bell_remove(directory, name, channel->share);
    }
}
