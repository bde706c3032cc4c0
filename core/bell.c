/* Doorbells: made, armed and closed by their reader, rung by whoever has news. */
#include "bell.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "files.h"
#include "testpoint.h"
#include "wait.h"

#define ARMED 1u

enum { LOCK_WAIT_MS = 2000, DRAIN = 4096 };

/* ---- names ---- */

static void bell_name(char *name, size_t room, const char *base, uint32_t index)
{
    snprintf(name, room, "%s.%u.bell", base, index);
}

bool rchan_is_bell_name(const char *name, const char *base)
{
    size_t length = strlen(base), digits;
    if (strncmp(name, base, length) != 0 || name[length] != '.')
        return false;
    digits = strspn(name + length + 1, "0123456789");
    return digits && digits <= 3 && strcmp(name + length + 1 + digits, ".bell") == 0;
}

static uint32_t bell_limit(const struct rchan_channel *channel)
{
    uint32_t limit = rchan_load(&channel->header->bell_limit);
    return limit < RCHAN_MAX_BELLS ? limit : RCHAN_MAX_BELLS;
}

static bool is_bell(const struct stat *found)
{
    return S_ISFIFO(found->st_mode) && found->st_uid == geteuid();
}

/* ---- one at a time: making a bell, removing a dead one's ---- */

static bool bells_try(struct rchan_channel *channel)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = RCHAN_BELL_LOCK, .l_len = 1};
    if (pthread_mutex_trylock(&channel->making))
        return false;
    if (fcntl(channel->fd, F_OFD_SETLK, &lock) == 0)
        return true;
    pthread_mutex_unlock(&channel->making);
    return false;
}

static void bells_leave(struct rchan_channel *channel)
{
    struct flock lock = {
        .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = RCHAN_BELL_LOCK, .l_len = 1};
    fcntl(channel->fd, F_OFD_SETLK, &lock);
    pthread_mutex_unlock(&channel->making);
}

static bool bells_take(struct rchan_channel *channel)
{
    struct timespec pause = {0, 1000000};
    for (int waited = 0; waited < LOCK_WAIT_MS; waited++) {
        if (bells_try(channel))
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* Locked, so that nobody is between making and opening one: a FIFO that nobody has open is dead. */
static bool remove_if_dead(int directory, const char *name)
{
    struct stat found;
    if (fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW) || !is_bell(&found))
        return false;
    int fd = openat(directory, name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENXIO && unlinkat(directory, name, 0) == 0;
    close(fd);
    return false;
}

/* ---- open ---- */

/* Its reader opens it for writing, too: it never reads an end of file, and can ring it itself. */
static int open_fifo(struct rchan_bell *bell, int directory, const char *name)
{
    struct stat made;
    bell->fd = openat(directory, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (bell->fd < 0)
        return -errno;
    if (fstat(bell->fd, &made) == 0 && is_bell(&made)) {
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
    bell_name(name, sizeof name, bell->channel->base, index);
    /* Before: if we are killed with the name made, whoever closes the channel finds it. */
    if (bell_limit(bell->channel) <= index)
        rchan_store(&bell->channel->header->bell_limit, index + 1);
    if (mkfifoat(directory, name, 0600) &&
        (errno != EEXIST || !remove_if_dead(directory, name) || mkfifoat(directory, name, 0600)))
        return -errno;
    TESTPOINT("bell: made");
    int result = open_fifo(bell, directory, name);
    if (result) {
        unlinkat(directory, name, 0);
        return result;
    }
    bell->index = (int32_t)index;
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
                              "the name of channel %s is too long for a bell's file: use at most "
                              "%u bytes, or wait with poll(timeout)",
                              bell->channel->base, RCHAN_BASE_MAX - 4);
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
    int result = bells_take(bell->channel) ? 0 : -EBUSY;
    if (result) {
        rchan_fail(error, RCHAN_FAIL_BUSY, EBUSY, "somebody else is making a bell all the time");
    } else {
        result = open_named(bell, directory, error);
        bells_leave(bell->channel);
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

/* ---- the reader's side ---- */

static bool ours(const struct rchan_bell *bell)
{
    return bell->fd >= 0 && bell->fork_count == bell->channel->fork_count;
}

static void fall_asleep(struct rchan_bell *bell)
{
    rchan_a64 *wake = &bell->channel->header->wake;
    if (bell->asleep)
        rchan_sleeper_remove(wake, bell->epoch);
    bell->asleep = true;
    bell->epoch = rchan_sleeper_add(wake);
}

bool rchan_bell_arm(struct rchan_bell *bell)
{
    if (!ours(bell))
        return false;
    if (bell->index >= 0) {
        /* Ever another value: a ringer that is late does not disarm the bell of after its ring. */
        rchan_a32 *word = &bell->channel->header->bells[bell->index];
        uint32_t before = rchan_load(word);
        while (!rchan_swap_half(word, before, (before | ARMED) + 2))
            before = rchan_load(word);
        TESTPOINT("bell: armed");
        fall_asleep(bell);
    }
    return true;
}

void rchan_bell_clear(struct rchan_bell *bell)
{
    char rung[DRAIN];
    ssize_t got = sizeof rung;
    while (ours(bell) && got == sizeof rung)
        got = read(bell->fd, rung, sizeof rung);
}

void rchan_bell_ring(struct rchan_bell *bell)
{
    ssize_t ignored = ours(bell) ? write(bell->fd, "", 1) : 0; /* full: rung already */
    (void)ignored;
}

static void forget(struct rchan_bell *bell)
{
    char name[280];
    struct rchan_error error;
    struct rchan_header *header = bell->channel->header;
    rchan_a32 *word = &header->bells[bell->index];
    if (bell->asleep)
        rchan_sleeper_remove(&header->wake, bell->epoch);
    uint32_t before = rchan_load(word);
    while (before & ARMED && !rchan_swap_half(word, before, before & ~ARMED))
        before = rchan_load(word);
    int directory = rchan_directory_again(bell->channel, &error);
    if (directory < 0)
        return;
    bell_name(name, sizeof name, bell->channel->base, (uint32_t)bell->index);
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

/* ---- the ringer's side ---- */

/* One byte into a FIFO whose reader may die just now: no SIGPIPE for that. 0 or -errno. */
static int write_quietly(int fd)
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

enum ring { RUNG, NOBODY, NOT_NOW };

static enum ring ring_fifo(int directory, const char *name)
{
    struct stat found;
    int fd = openat(directory, name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EINTR ? NOT_NOW
                                                                                       : NOBODY;
    TESTPOINT("bell: opened");
    int result = fstat(fd, &found) == 0 && is_bell(&found) ? write_quietly(fd) : -EPIPE;
    close(fd);
    return result == -EPIPE ? NOBODY : RUNG;
}

/* The word is as it was seen armed: a reader that has armed it again meanwhile keeps it so. */
static enum ring ring_armed(struct rchan_channel *channel, int directory, uint32_t index,
                            uint32_t seen)
{
    char name[280];
    bell_name(name, sizeof name, channel->base, index);
    enum ring result = ring_fifo(directory, name);
    if (result == NOT_NOW)
        return result;
    TESTPOINT("bell: rung");
    rchan_swap_half(&channel->header->bells[index], seen, seen & ~ARMED);
    if (result == NOBODY && bells_try(channel)) {
        remove_if_dead(directory, name);
        bells_leave(channel);
    }
    return result;
}

/* False: some could not be rung now; they stay armed. */
static bool ring_all(struct rchan_channel *channel)
{
    struct rchan_error error;
    int directory = -1;
    bool done = true;
    for (uint32_t index = 0, limit = bell_limit(channel); index < limit; index++) {
        uint32_t seen = rchan_load(&channel->header->bells[index]);
        if (!(seen & ARMED))
            continue;
        if (directory < 0 && channel->named) /* else forked off before late setup gave it files */
            directory = rchan_directory_again(channel, &error);
        if (directory < 0)
            return false;
        done &= ring_armed(channel, directory, index, seen) != NOT_NOW;
    }
    if (directory >= 0)
        close(directory);
    return done;
}

bool rchan_wake_channel(struct rchan_channel *channel)
{
    return rchan_wake_also(&channel->header->wake, ring_all, channel);
}

void rchan_bells_remove(struct rchan_channel *channel, int directory)
{
    char name[280];
    struct stat found;
    for (uint32_t index = 0, limit = bell_limit(channel); index < limit; index++) {
        bell_name(name, sizeof name, channel->base, index);
        if (fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW) == 0 && is_bell(&found))
            rchan_bell_remove(directory, name);
    }
}

void rchan_bell_remove(int directory, const char *name)
{
    ring_fifo(directory, name); /* nobody who has news finds it by its name any more */
    unlinkat(directory, name, 0);
}
