/* Files of a channel. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LARGEST_PIECE = 1 << 24, SMALLEST_PIECE = 1 << 16 };

int rchan_fail(struct rchan_error *error, enum rchan_failure failure, int os_errno,
               const char *format, ...)
{
    va_list arguments;
    error->failure = failure;
    error->os_errno = os_errno;
    va_start(arguments, format);
    int used = vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    if (os_errno && failure == RCHAN_FAIL_OS && used >= 0 && (size_t)used < sizeof error->message)
        snprintf(error->message + used, sizeof error->message - (size_t)used, ": %s",
                 strerror(os_errno));
    return -1;
}

/* Group read and write, nothing for others. Only a member can have given it to the group. */
bool rchan_file_ours(const struct stat *found, struct rchan_share share)
{
    enum { GROUP_USES = S_IRGRP | S_IWGRP };
    if (!share.shared)
        return found->st_uid == geteuid();
    return found->st_gid == share.group && (found->st_mode & GROUP_USES) == GROUP_USES &&
           !(found->st_mode & S_IRWXO);
}

/* Shared: of the group, and so made by a member, unless everybody can make such directories. */
static int check_shared(const char *path, int fd, const struct stat *found, gid_t group,
                        struct rchan_error *error)
{
    struct stat above;
    if (found->st_gid != group)
        return rchan_fail(
            error, RCHAN_FAIL_PERMISSION, EPERM,
            "directory %s belongs to group %u, not to group %u: chgrp it and chmod it "
            "to 2770, or make one with relayfs_create_dir(name, group=...)",
            path, (unsigned)found->st_gid, (unsigned)group);
    if (found->st_mode & S_IWOTH)
        return rchan_fail(error, RCHAN_FAIL_PERMISSION, EPERM,
                          "directory %s can be written by everybody (mode %04o): chmod it to 2770",
                          path, (unsigned)found->st_mode & 07777);
    if (fstatat(fd, "..", &above, 0))
        return rchan_fail(error, RCHAN_FAIL_OS, errno, "cannot look at the directory above %s",
                          path);
    if (above.st_gid == group && above.st_mode & S_ISGID && above.st_mode & S_IWOTH)
        return rchan_fail(error, RCHAN_FAIL_PERMISSION, EPERM,
                          "everybody can make directories of group %u in the one above %s: use one "
                          "elsewhere",
                          (unsigned)group, path);
    return 0;
}

static int check_private(const char *path, const struct stat *found, struct rchan_error *error)
{
    if (found->st_uid != geteuid())
        return rchan_fail(error, RCHAN_FAIL_PERMISSION, EPERM,
                          "directory %s belongs to user %u and we are user %u: give a directory of "
                          "your own",
                          path, (unsigned)found->st_uid, (unsigned)geteuid());
    if (found->st_mode & (S_IWGRP | S_IWOTH))
        return rchan_fail(error, RCHAN_FAIL_PERMISSION, EPERM,
                          "directory %s can be written by others (mode %04o): chmod it to 0700",
                          path, (unsigned)found->st_mode & 07777);
    return 0;
}

/* Looked at when it is open: whoever looked at its path before may have seen another one. */
static int check_directory(const char *path, int fd, struct rchan_share share, struct stat *found,
                           struct rchan_error *error)
{
    if (fstat(fd, found))
        return rchan_fail(error, RCHAN_FAIL_OS, errno, "cannot look at the directory %s", path);
    return share.shared ? check_shared(path, fd, found, share.group, error)
                        : check_private(path, found, error);
}

int rchan_directory_open(const char *path, struct rchan_share share, struct stat *found,
                         struct rchan_error *error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return rchan_fail(error, RCHAN_FAIL_NOT_FOUND, ENOENT, "there is no directory %s", path);
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return rchan_fail(error, RCHAN_FAIL_PERMISSION, errno,
                          "%s is not a directory of its own (a symbolic link or a file): refused",
                          path);
    if (fd < 0 && errno == EACCES)
        return rchan_fail(error, RCHAN_FAIL_PERMISSION, EACCES,
                          "no permission to use the directory %s", path);
    if (fd < 0)
        return rchan_fail(error, RCHAN_FAIL_OS, errno, "cannot open the directory %s", path);
    if (check_directory(path, fd, share, found, error) == 0)
        return fd;
    close(fd);
    return -1;
}

int rchan_directory_again(const struct rchan_channel *channel, struct rchan_error *error)
{
    struct stat found;
    int fd = rchan_directory_open(channel->directory, channel->share, &found, error);
    if (fd < 0 ||
        (found.st_dev == channel->directory_dev && found.st_ino == channel->directory_ino))
        return fd;
    close(fd);
    return rchan_fail(error, RCHAN_FAIL_NOT_FOUND, ENOENT,
                      "the directory %s is another one than when the channel was opened",
                      channel->directory);
}

static int no_space(int fd, const char *what, uint64_t need, struct rchan_error *error)
{
    struct statvfs space;
    struct stat ours = {0}; /* what it has taken so far, it gives back */
    uint64_t room = fstatvfs(fd, &space) ? 0 : (uint64_t)space.f_bavail * space.f_frsize;
    uint64_t size = fstatvfs(fd, &space) ? 0 : (uint64_t)space.f_blocks * space.f_frsize;
    if (room < size && !fstat(fd, &ours))
        room += (uint64_t)ours.st_blocks * 512;
    return rchan_fail(error, RCHAN_FAIL_NO_SPACE, ENOSPC,
                      "no room for %s: it takes %llu KiB and the file system has %llu KiB free of "
                      "%llu KiB; make the channel smaller (subbuf_size, n_subbufs, n_buffers), or "
                      "the file system larger (a container's /dev/shm: --shm-size), or set "
                      "RCHAN_DIR to a directory elsewhere",
                      what, (unsigned long long)(need + 1023) / 1024,
                      (unsigned long long)room / 1024, (unsigned long long)size / 1024);
}

int rchan_file_extend(int fd, uint64_t start, uint64_t length, const char *what,
                      struct rchan_error *error)
{
    /* In pieces: an interrupted call gives all back, so a large one might never end under a timer. */
    uint64_t piece = LARGEST_PIECE, end = start + length;
    int result = 0;
    while (start < end && !result) {
        uint64_t now = end - start < piece ? end - start : piece;
        result = posix_fallocate(fd, (off_t)start, (off_t)now);
        if (!result)
            start += now;
        else if (result == EINTR && piece > SMALLEST_PIECE)
            piece /= 2;
        if (result == EINTR)
            result = 0;
    }
    if (!result)
        return 0;
    if (result == ENOSPC || result == EFBIG || result == EDQUOT)
        return no_space(fd, what, length, error);
    return rchan_fail(error, RCHAN_FAIL_OS, result, "cannot allocate %s", what);
}

static int no_permission(int directory, int os_errno, struct rchan_error *error)
{
    char link[40], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t length = readlink(link, path, sizeof path);
    return rchan_fail(error, RCHAN_FAIL_PERMISSION, os_errno,
                      "no permission to make a file in the directory %.*s",
                      length < 0 ? 0 : (int)length, path);
}

/* While it has no name yet: nobody ever sees it with another group or mode. */
static int set_access(int fd, mode_t mode, struct rchan_share share, struct rchan_error *error)
{
    if (share.shared && fchown(fd, (uid_t)-1, share.group))
        return errno == EPERM
                   ? rchan_fail(error, RCHAN_FAIL_PERMISSION, EPERM,
                                "no permission to share a file with group %u: only its members may",
                                (unsigned)share.group)
                   : rchan_fail(error, RCHAN_FAIL_OS, errno, "cannot share a file with group %u",
                                (unsigned)share.group);
    if (fchmod(fd, mode))
        return rchan_fail(error, RCHAN_FAIL_OS, errno, "cannot set the mode of a file");
    return 0;
}

int rchan_file_make(int directory, const char *what, uint64_t size, uint64_t solid, mode_t mode,
                    struct rchan_share share, struct rchan_error *error)
{
    int fd = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        return rchan_fail(error, RCHAN_FAIL_UNSUPPORTED, errno,
                          "this file system has no unnamed files (O_TMPFILE); set RCHAN_DIR to a "
                          "directory on tmpfs, ext4, xfs or btrfs");
    if (fd < 0 && (errno == EACCES || errno == EPERM || errno == EROFS))
        return no_permission(directory, errno, error);
    if (fd < 0 && errno == ENOSPC)
        return no_space(directory, what, solid, error);
    if (fd < 0)
        return rchan_fail(error, RCHAN_FAIL_OS, errno, "cannot make a file for %s", what);
    int result = set_access(fd, mode, share, error);
    if (!result && ftruncate(fd, (off_t)size))
        result = rchan_fail(error, RCHAN_FAIL_OS, errno, "cannot size the file for %s", what);
    if (!result && rchan_file_extend(fd, 0, solid, what, error) == 0)
        return fd;
    close(fd);
    return -1;
}

bool rchan_is_file(int fd, dev_t device, ino_t inode, struct stat *found)
{
    if (fstat(fd, found)) { /* for another reason: that tells nothing about whose it is */
        found->st_size = INT64_MAX;
        return errno != EBADF;
    }
    return found->st_ino == inode && found->st_dev == device;
}

int rchan_file_link(int fd, int directory, const char *name)
{
    char path[40];
    if (fd < 0)
        return -EBADF;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW) ? -errno : 0;
}

static int refuse(int fd, const char *name, const struct stat *found, struct rchan_share share,
                  struct rchan_error *error)
{
    close(fd);
    if (!S_ISREG(found->st_mode))
        return rchan_fail(error, RCHAN_FAIL_CORRUPT, EINVAL, "%s is not a regular file", name);
    if (share.shared)
        return rchan_fail(error, RCHAN_FAIL_PERMISSION, EPERM,
                          "%s is not shared with group %u alone (it is of group %u, mode %04o): "
                          "refused; create it with group=",
                          name, (unsigned)share.group, (unsigned)found->st_gid,
                          (unsigned)found->st_mode & 07777);
    return rchan_fail(error, RCHAN_FAIL_PERMISSION, EPERM,
                      "%s belongs to user %u and we are user %u: refused", name,
                      (unsigned)found->st_uid, (unsigned)geteuid());
}

int rchan_file_open(int directory, const char *name, struct rchan_share share, struct stat *found,
                    struct rchan_error *error)
{
    int fd = openat(directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return rchan_fail(error, RCHAN_FAIL_NOT_FOUND, ENOENT, "there is no file %s", name);
    if (fd < 0 && errno == ELOOP)
        return rchan_fail(error, RCHAN_FAIL_PERMISSION, ELOOP, "%s is a symbolic link: refused",
                          name);
    if (fd < 0 && errno == EACCES)
        return rchan_fail(error, RCHAN_FAIL_PERMISSION, EACCES, "no permission to open %s", name);
    if (fd < 0)
        return rchan_fail(error, RCHAN_FAIL_OS, errno, "cannot open %s", name);
    if (fstat(fd, found)) {
        close(fd);
        return rchan_fail(error, RCHAN_FAIL_OS, errno, "cannot look at %s", name);
    }
    if (!S_ISREG(found->st_mode) || !rchan_file_ours(found, share))
        return refuse(fd, name, found, share, error);
    return fd;
}

/* The kernel's struct statx as far as we need it: musl has it only since 1.2.5, and what is built
 * with that shall run with the ones before. */
struct birth {
    uint32_t mask, unused1[7];
    uint64_t inode, unused2[5];
    int64_t seconds;
    uint32_t nanoseconds, unused3;
    uint64_t unused4[20];
};
static_assert(offsetof(struct birth, inode) == 32 && offsetof(struct birth, seconds) == 80 &&
                  sizeof(struct birth) == 256,
              "as in <linux/stat.h>");
enum { BIRTH_INODE = 0x100, BIRTH_TIME = 0x800 };

static int ask_birth(int directory, const char *name, struct birth *found)
{
    int flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW;
    return (int)syscall(SYS_statx, directory, name, flags, BIRTH_INODE | BIRTH_TIME, found);
}

uint64_t rchan_file_identity(int directory, const char *name)
{
    struct birth found;
    if (ask_birth(directory, name, &found))
        return 0;
    uint64_t born =
        found.mask & BIRTH_TIME ? (uint64_t)found.seconds * 1000000000u + found.nanoseconds : 0;
    uint64_t identity = found.inode ^ born * UINT64_C(0x9e3779b97f4a7c15);
    return identity ? identity : 1;
}

int rchan_file_unlink(int directory, const char *name, ino_t inode)
{
    struct stat found;
    if (fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW))
        return -errno;
    if (found.st_ino != inode)
        return -ESTALE;
    return unlinkat(directory, name, 0) ? -errno : 0;
}

static int remove_lock(int fd, short type)
{
    struct flock lock = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = RCHAN_REMOVE_LOCK, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock) ? -errno : 0;
}

int rchan_control_unlink_with(int fd, int directory, const char *name,
                              void (*before)(int directory, const char *base,
                                             struct rchan_share share),
                              const char *base, struct rchan_share share)
{
    struct stat ours, found;
    int result = remove_lock(fd, F_WRLCK);
    if (result)
        return result;
    if (fstat(fd, &ours) || fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW))
        result = -errno;
    else if (found.st_ino != ours.st_ino || found.st_dev != ours.st_dev)
        result = -ESTALE;
    if (!result && before)
        before(directory, base, share);
    if (!result && unlinkat(directory, name, 0))
        result = -errno;
    remove_lock(fd, F_UNLCK);
    return result;
}

void rchan_control_name(char *name, size_t room, const char *base)
{
    snprintf(name, room, "%s.chan", base);
}

void rchan_buffer_name(char *name, size_t room, const char *base, uint32_t index)
{
    snprintf(name, room, "%s%u", base, index);
}
