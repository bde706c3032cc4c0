/* The files of bells: their names, and who may make and remove them. */
#include "bell_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "files.h"

enum { LOCK_WAIT_MS = 2000 };

/* ---- names ---- */

void rchan_bell_name(char *name, size_t room, const char *base, uint32_t index)
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

bool rchan_is_bell(const struct stat *found, struct rchan_share share)
{
    return S_ISFIFO(found->st_mode) && rchan_file_ours(found, share);
}

bool rchan_is_bell_file(const struct stat *found, struct rchan_share share)
{
    return S_ISFIFO(found->st_mode) && (share.shared || found->st_uid == geteuid());
}

uint32_t rchan_bell_limit(const struct rchan_channel *channel)
{
    uint32_t limit = rchan_load(&channel->header->bell_limit);
    return limit < RCHAN_MAX_BELLS ? limit : RCHAN_MAX_BELLS;
}

/* ---- one at a time ---- */

static int lock_bells(struct rchan_channel *channel, short type)
{
    struct flock lock = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = RCHAN_BELL_LOCK, .l_len = 1};
    return fcntl(rchan_control_fd(channel), F_OFD_SETLK, &lock);
}

bool rchan_bells_try(struct rchan_channel *channel)
{
    if (pthread_mutex_trylock(&channel->making))
        return false;
    if (lock_bells(channel, F_WRLCK) == 0)
        return true;
    pthread_mutex_unlock(&channel->making);
    return false;
}

void rchan_bells_leave(struct rchan_channel *channel)
{
    lock_bells(channel, F_UNLCK);
    pthread_mutex_unlock(&channel->making);
}

bool rchan_bells_take(struct rchan_channel *channel)
{
    struct timespec pause = {0, 1000000};
    for (int waited = 0; waited < LOCK_WAIT_MS; waited++) {
        if (rchan_bells_try(channel))
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* ---- removal ---- */

bool rchan_bell_remove_if_dead(int directory, const char *name, struct rchan_share share)
{
    struct stat found;
    if (fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW) || !rchan_is_bell_file(&found, share))
        return false;
    if (!rchan_is_bell(&found, share)) /* its maker held what we hold, and so is dead */
        return unlinkat(directory, name, 0) == 0;
    int fd = openat(directory, name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENXIO && unlinkat(directory, name, 0) == 0;
    close(fd);
    return false;
}
