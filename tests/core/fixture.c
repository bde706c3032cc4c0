/* Channels and their directory. */
#include "fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[200];
static pid_t directory_owner;

static void remove_directory(void)
{
    if (getpid() != directory_owner)
        return; /* a forked child that came to exit() */
    DIR *open_directory = opendir(directory);
    for (struct dirent *entry; open_directory && (entry = readdir(open_directory));)
        unlinkat(dirfd(open_directory), entry->d_name, 0);
    if (open_directory)
        closedir(open_directory);
    rmdir(directory);
}

static bool make_below(const char *parent)
{
    if (!parent || snprintf(directory, sizeof directory, "%s/rchan-core-XXXXXX", parent) >=
                       (int)sizeof directory)
        return false;
    return mkdtemp(directory) != NULL;
}

const char *fixture_directory(void)
{
    if (directory[0])
        return directory;
    if (!make_below(getenv("RCHAN_TEST_DIR")) && !make_below("/dev/shm") &&
        !make_below(getenv("TMPDIR")) && !make_below("/tmp")) {
        perror("no directory to test in");
        exit(2);
    }
    directory_owner = getpid();
    atexit(remove_directory);
    return directory;
}

int fixture_files(void)
{
    int count = 0;
    DIR *open_directory = opendir(fixture_directory());
    while (open_directory && readdir(open_directory))
        count++;
    if (open_directory)
        closedir(open_directory);
    return count - 2;
}

void fixture_empty(bool (*keeps)(const char *name))
{
    DIR *open_directory = opendir(fixture_directory());
    for (struct dirent *entry; open_directory && (entry = readdir(open_directory));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || keeps(entry->d_name))
            continue;
        fprintf(stderr, "left behind: %s\n", entry->d_name);
        unlinkat(dirfd(open_directory), entry->d_name, 0);
    }
    if (open_directory)
        closedir(open_directory);
}

struct rchan_options fixture_options(const char *base, uint64_t subbuf_size, uint64_t n_subbufs)
{
    static const uint32_t first[] = {0};
    return (struct rchan_options){
        .directory = fixture_directory(),
        .base = base,
        .subbuf_size = subbuf_size,
        .n_subbufs = n_subbufs,
        .n_buffers = 1,
        .mode = 0600,
        .cpus = first,
        .n_cpus = 1,
    };
}

static struct rchan_channel *got(struct rchan_channel *channel, const struct rchan_error *error)
{
    if (!channel)
        fprintf(stderr, "failure %d, errno %d: %s\n", (int)error->failure, error->os_errno,
                error->message);
    REQUIRE(channel != NULL);
    return channel;
}

struct rchan_channel *fixture_create(const struct rchan_options *options)
{
    struct rchan_error error = {0};
    return got(rchan_channel_create(options, &error), &error);
}

struct rchan_channel *fixture_attach(const char *base)
{
    struct rchan_error error = {0};
    return got(rchan_channel_attach(fixture_directory(), base, NULL, &error), &error);
}

void fixture_close(struct rchan_channel *channel)
{
    rchan_channel_close(channel, NULL);
    rchan_channel_detach(channel);
}

struct rchan_channel *fixture_channel(const char *base, uint64_t subbuf_size, uint64_t n_subbufs,
                                      bool overwrite)
{
    struct rchan_options options = fixture_options(base, subbuf_size, n_subbufs);
    options.overwrite = overwrite;
    return fixture_create(&options);
}

enum rchan_outcome fixture_write(struct rchan_channel *channel, uint8_t fill, uint64_t length)
{
    uint8_t record[256];
    memset(record, fill, sizeof record);
    return rchan_write(channel, 0, record, length);
}

struct rchan_books fixture_books(const struct rchan_buffer *buffer)
{
    struct rchan_books books;
    CHECK_EQ(rchan_buffer_books(buffer, &books), 0);
    return books;
}

int64_t fixture_open_records(const struct rchan_books *books, uint64_t attempted)
{
    uint64_t known = books->readable_records + books->consumed_records +
                     books->overwritten_records + books->discarded_records;
    for (unsigned cause = 0; cause < RCHAN_DROP_CAUSES; cause++)
        known += books->dropped_records[cause];
    return (int64_t)(attempted - known);
}
