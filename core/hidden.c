/* Files of late setups that failed. */
#include "hidden.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

static const char PREFIX[] = ".rchan-";

static void hidden_name(char *name, size_t room, ino_t inode)
{
    snprintf(name, room, "%s%llu", PREFIX, (unsigned long long)inode);
}

/* fd or -1. */
static int open_place(const struct rchan_channel *channel)
{
    struct stat found;
    struct rchan_error error;
    if (!channel->hidden_directory)
        return -1;
    return rchan_directory_open(channel->hidden_directory, channel->share, &found, &error);
}

/* Held by its maker, for as long as it has the file open: an open file's own, so the kernel lets go. */
static int lock_hidden(int fd)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = RCHAN_HIDDEN_LOCK, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock) ? -errno : 0;
}

int rchan_hide(struct rchan_channel *channel, int directory, const char *name, int fd, ino_t inode)
{
    char hidden[40];
    int place = open_place(channel);
    if (place < 0)
        return -ENOENT;
    hidden_name(hidden, sizeof hidden, inode);
    int result = lock_hidden(fd); /* before it can be found */
    if (!result && linkat(directory, name, place, hidden, 0))
        result = -errno;
    close(place);
    return result;
}

int rchan_hidden_link(struct rchan_channel *channel, int directory, ino_t inode, const char *name)
{
    char hidden[40];
    int place = open_place(channel);
    if (place < 0)
        return -ENOENT;
    hidden_name(hidden, sizeof hidden, inode);
    int result = linkat(place, hidden, directory, name, 0) ? -errno : 0;
    close(place);
    return result;
}

void rchan_hidden_remove(struct rchan_channel *channel, ino_t inode)
{
    char hidden[40];
    int place = open_place(channel);
    if (place < 0)
        return;
    hidden_name(hidden, sizeof hidden, inode);
    rchan_file_unlink(place, hidden, inode);
    close(place);
}

static bool is_hidden_name(const char *name)
{
    size_t length = sizeof PREFIX - 1, digits;
    if (strncmp(name, PREFIX, length) != 0)
        return false;
    digits = strspn(name + length, "0123456789");
    return digits && !name[length + digits];
}

static void remove_if_dead(int directory, const char *name, struct rchan_share share)
{
    struct stat found;
    struct rchan_error error;
    char meant[40];
    int fd = rchan_file_open(directory, name, share, &found, &error);
    if (fd < 0)
        return;
    hidden_name(meant, sizeof meant, found.st_ino);
    if (strcmp(meant, name) == 0 && lock_hidden(fd) == 0)
        rchan_file_unlink(directory, name, found.st_ino);
    close(fd);
}

void rchan_hidden_clear(int directory, struct rchan_share share)
{
    int again = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = again < 0 ? NULL : fdopendir(again);
    if (!list) {
        if (again >= 0)
            close(again);
        return;
    }
    for (struct dirent *entry = readdir(list); entry; entry = readdir(list))
        if (is_hidden_name(entry->d_name))
            remove_if_dead(directory, entry->d_name, share);
    closedir(list);
}
