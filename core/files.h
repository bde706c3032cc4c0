/* Files of a channel: made unnamed, named when whole, opened with suspicion. */
#ifndef RCHAN_FILES_H
#define RCHAN_FILES_H

#include <sys/stat.h>

#include "handle.h"

/* Fill in *error and return -1. os_errno 0: none. */
__attribute__((format(printf, 4, 5))) int rchan_fail(struct rchan_error *error,
                                                     enum rchan_failure failure, int os_errno,
                                                     const char *format, ...);

/* Is what was found ours to use: our own, or one that the members of the group share? */
bool rchan_file_ours(const struct stat *found, struct rchan_share share);

/* The directory, not through a symbolic link. fd or -1. */
int rchan_directory_open(const char *path, struct rchan_share share, struct stat *found,
                         struct rchan_error *error);
/* The channel's own directory again, if it still is the same. fd or -1. */
int rchan_directory_again(const struct rchan_channel *channel, struct rchan_error *error);

/* An unnamed file of `size` bytes of which the first `solid` are there for sure. fd or -1. */
int rchan_file_make(int directory, const char *what, uint64_t size, uint64_t solid, mode_t mode,
                    struct rchan_share share, struct rchan_error *error);
/* More solid bytes. 0 or -1. */
int rchan_file_extend(int fd, uint64_t start, uint64_t length, const char *what,
                      struct rchan_error *error);
/* Is this descriptor of that file, which is mapped here? */
bool rchan_is_file(int fd, dev_t device, ino_t inode, struct stat *found);
/* Give it a name. 0 or -errno. */
int rchan_file_link(int fd, int directory, const char *name);
/* An existing regular file, ours as above. fd or -1. */
int rchan_file_open(int directory, const char *name, struct rchan_share share, struct stat *found,
                    struct rchan_error *error);
/* Tells a file from every other of its file system, also from a later one with the same inode number.
 * name "": the descriptor's own. 0: there is none. */
uint64_t rchan_file_identity(int directory, const char *name);
/* Remove the name if it still is this file. 0 or -errno. */
int rchan_file_unlink(int directory, const char *name, ino_t inode);
/* The same for a control file that is open as fd; only one process at a time may do that to it.
 * before (may be NULL) runs while it is sure that the name is this file's. 0 or -errno. */
int rchan_control_unlink_with(int fd, int directory, const char *name,
                              void (*before)(int directory, const char *base,
                                             struct rchan_share share),
                              const char *base, struct rchan_share share);
static inline int rchan_control_unlink(int fd, int directory, const char *name)
{
    return rchan_control_unlink_with(fd, directory, name, NULL, NULL, (struct rchan_share){0});
}

void rchan_control_name(char *name, size_t room, const char *base);
void rchan_buffer_name(char *name, size_t room, const char *base, uint32_t index);

#endif
