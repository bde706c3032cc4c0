/* The metadata of an event channel. Written behind its end, then made part of it by one store. */
#include "metadata.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "testpoint.h"

int64_t rchan_metadata_length(const struct rchan_channel *channel)
{
    /* metadata.read: pairs with metadata.store */
    uint64_t length = rchan_load_acquire(&channel->header->metadata_length);
    return length > RCHAN_METADATA_MOST ? -EBADMSG : (int64_t)length;
}

int rchan_metadata_read(struct rchan_channel *channel, uint64_t offset, void *to, uint64_t length)
{
    uint64_t at = channel->header->metadata_offset, done = 0;
    int fd = rchan_control_fd(channel);
    if (at < channel->map_size || at > INT64_MAX / 2)
        return -EBADMSG;
    while (done < length) {
        ssize_t got = pread(fd, (char *)to + done, length - done, (off_t)(at + offset + done));
        if (got < 0 && errno != EINTR)
            return -errno;
        if (!got)
            return -EBADMSG;
        done += got > 0 ? (uint64_t)got : 0;
    }
    return 0;
}

static int lock(struct rchan_channel *channel, short type)
{
    struct flock range = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = RCHAN_METADATA_LOCK, .l_len = 1};
    return fcntl(rchan_control_fd(channel), F_OFD_SETLK, &range) ? -errno : 0;
}

/* The lock tells processes apart, the mutex the threads of one. The kernel frees a dead one's. */
static int take(struct rchan_channel *channel, uint32_t wait_ms)
{
    struct timespec pause = {0, 1000000};
    for (uint32_t waited = 0; waited <= wait_ms; waited++) {
        if (pthread_mutex_trylock(&channel->appending) == 0) {
            int result = lock(channel, F_WRLCK);
            if (!result)
                return 0;
            pthread_mutex_unlock(&channel->appending);
            if (result != -EAGAIN && result != -EACCES)
                return result;
        }
        nanosleep(&pause, NULL);
    }
    return -EBUSY;
}

static int write_all(struct rchan_channel *channel, uint64_t at, const void *bytes, uint64_t length)
{
    int fd = rchan_control_fd(channel);
    for (uint64_t done = 0; done < length;) {
        ssize_t put = pwrite(fd, (const char *)bytes + done, length - done, (off_t)(at + done));
        if (put < 0 && errno != EINTR)
            return -errno;
        done += put > 0 ? (uint64_t)put : 0;
    }
    return 0;
}

static int append(struct rchan_channel *channel, uint64_t expected, const void *bytes,
                  uint64_t length)
{
    struct rchan_header *header = channel->header;
    uint64_t at = header->metadata_offset;
    int64_t now = rchan_metadata_length(channel);
    if (now < 0 || at < channel->map_size || at > INT64_MAX / 2)
        return -EBADMSG;
    if ((uint64_t)now != expected)
        return -EAGAIN;
    if (length > RCHAN_METADATA_MOST - expected)
        return -EFBIG;
    int result = write_all(channel, at + expected, bytes, length);
    if (result)
        return result;
    TESTPOINT("metadata: written");
    /* metadata.store: pairs with metadata.read */
    rchan_store_release(&header->metadata_length, expected + length);
    TESTPOINT("metadata: stored");
    return 0;
}

int rchan_metadata_append(struct rchan_channel *channel, uint64_t expected, const void *bytes,
                          uint64_t length, uint32_t wait_ms)
{
    int result = take(channel, wait_ms);
    if (result)
        return result;
    result = append(channel, expected, bytes, length);
    lock(channel, F_UNLCK);
    pthread_mutex_unlock(&channel->appending);
    return result;
}
