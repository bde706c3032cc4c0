/* LD_PRELOAD: the k-th call of a file operation, or request for memory, fails. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int enabled, left, with, count;

/* Called by the test, by ctypes, around what it tests. */
void shim_arm(int at, int error)
{
    left = at;
    with = error;
    count = 0;
    enabled = 1;
}

int shim_disarm(void)
{
    enabled = 0;
    return count;
}

static int fails(void)
{
    if (!enabled)
        return 0;
    count++;
    if (left <= 0 || --left)
        return 0;
    errno = with;
    return 1;
}

static void *(*next_calloc)(size_t, size_t);
static char *(*next_strdup)(const char *);

__attribute__((constructor)) static void resolve(void)
{
    next_calloc = (__typeof__(next_calloc))dlsym(RTLD_NEXT, "calloc");
    next_strdup = (__typeof__(next_strdup))dlsym(RTLD_NEXT, "strdup");
}

extern void *__libc_calloc(size_t count, size_t size);

void *calloc(size_t count_of, size_t size)
{
    if (fails())
        return NULL;
    return next_calloc ? next_calloc(count_of, size) : __libc_calloc(count_of, size);
}

char *strdup(const char *text)
{
    return fails() ? NULL : next_strdup(text);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int openat(int directory, const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return fails() ? -1 : NEXT(openat)(directory, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return fails() ? -1 : NEXT(open)(path, flags, mode);
}

int posix_fallocate(int fd, off_t start, off_t length)
{
    return fails() ? with : NEXT(posix_fallocate)(fd, start, length);
}

int ftruncate(int fd, off_t length)
{
    return fails() ? -1 : NEXT(ftruncate)(fd, length);
}

int fchmod(int fd, mode_t mode)
{
    return fails() ? -1 : NEXT(fchmod)(fd, mode);
}

int fchown(int fd, uid_t user, gid_t group)
{
    return fails() ? -1 : NEXT(fchown)(fd, user, group);
}

ssize_t pwrite(int fd, const void *from, size_t length, off_t at)
{
    return fails() ? -1 : NEXT(pwrite)(fd, from, length, at);
}

int linkat(int from, const char *old, int to, const char *name, int flags)
{
    return fails() ? -1 : NEXT(linkat)(from, old, to, name, flags);
}

int fstat(int fd, struct stat *found)
{
    return fails() ? -1 : NEXT(fstat)(fd, found);
}

int fstatat(int directory, const char *path, struct stat *found, int flags)
{
    return fails() ? -1 : NEXT(fstatat)(directory, path, found, flags);
}

long syscall(long number, ...)
{
    long given[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        given[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_statx && fails())
        return -1;
    return NEXT(syscall)(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}

ssize_t pread(int fd, void *to, size_t length, off_t at)
{
    return fails() ? -1 : NEXT(pread)(fd, to, length, at);
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (fd >= 0 && fails())
        return MAP_FAILED;
    return NEXT(mmap)(at, length, protection, flags, fd, offset);
}

int mkfifoat(int directory, const char *path, mode_t mode)
{
    return fails() ? -1 : NEXT(mkfifoat)(directory, path, mode);
}

int dup3(int from, int to, int flags)
{
    return fails() ? -1 : NEXT(dup3)(from, to, flags);
}

int fcntl(int fd, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (command == F_OFD_SETLK && fails())
        return -1;
    return NEXT(fcntl)(fd, command, argument);
}

/* The same calls as programs name them that were compiled for 64-bit offsets. */
#define ALSO(name, of) extern __typeof__(of) name __attribute__((alias(#of)))
ALSO(open64, open);
ALSO(openat64, openat);
ALSO(posix_fallocate64, posix_fallocate);
ALSO(ftruncate64, ftruncate);
ALSO(fcntl64, fcntl);
ALSO(pread64, pread);
ALSO(pwrite64, pwrite);
ALSO(mmap64, mmap);
int fstat64(int fd, struct stat64 *found)
{
    return fstat(fd, (struct stat *)found);
}
int fstatat64(int directory, const char *path, struct stat64 *found, int flags)
{
    return fstatat(directory, path, (struct stat *)found, flags);
}
