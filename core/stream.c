/* From a buffer to a recorded stream: write, note, give back; in that order. */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "crc32c.h"
#include "testpoint.h"

enum { LEAST_ROOM = 1 << 20 }; /* bytes allocated at a time in a small file */

/* All of it, or -errno. */
static int write_at(int fd, const void *data, uint64_t length, uint64_t offset)
{
    const uint8_t *from = data;
    while (length) {
        ssize_t done = pwrite(fd, from, length, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done ? -errno : -EIO;
        TESTPOINT("record: written a part");
        from += done;
        offset += (uint64_t)done;
        length -= (uint64_t)done;
    }
    return 0;
}

/* Blocks behind the end of the file, so that each write need not find some; its size stays. That it
 * fails is no error: the write itself decides. */
static void make_room(struct rchan_stream *stream, uint64_t end)
{
    if (!stream->allocate || end <= stream->allocated)
        return;
    uint64_t start = stream->allocated > stream->offset ? stream->allocated : stream->offset;
    uint64_t step = start < stream->allocate ? start : stream->allocate; /* doubles the file */
    if (step < LEAST_ROOM)
        step = LEAST_ROOM;
    uint64_t length = end - start > step ? end - start : step;
    if (stream->limit && start < stream->limit && length > stream->limit - start)
        length = stream->limit - start > end - start ? stream->limit - start : end - start;
    if (fallocate(stream->data_fd, FALLOC_FL_KEEP_SIZE, (off_t)start, (off_t)length) == 0)
        stream->allocated = start + length;
    else
        stream->allocate = 0;
}

static bool recorded_before(const struct rchan_stream *stream, const struct rchan_subbuf *sub)
{
    return stream->any && sub->resets == stream->last_resets && sub->seq <= stream->last_seq;
}

static struct rchan_entry entry_of(const struct rchan_stream *stream,
                                   const struct rchan_subbuf *sub)
{
    struct rchan_entry entry = {
        .seq = sub->seq,
        .offset = stream->offset,
        .length = sub->length,
        .stored = stream->stride ? stream->stride : sub->length,
        .skipped = sub->skipped,
        .records = sub->records,
        .before_records = sub->before_records,
        .first_ns = sub->first_ns,
        .last_ns = sub->last_ns,
        .overwritten_records = sub->overwritten_records,
        .overwritten_bytes = sub->overwritten_bytes,
        .resets = sub->resets,
        .buffer = sub->buffer->index,
        .flags = stream->checked ? RCHAN_ENTRY_CHECKED : 0,
    };
    memcpy(entry.lost_records, sub->lost_records, sizeof entry.lost_records);
    memcpy(entry.lost_bytes, sub->lost_bytes, sizeof entry.lost_bytes);
    return entry;
}

/* Its bytes to the file. What a writer in overwrite mode destroys meanwhile is never noted: the
 * next one takes its place. */
static int store_data(struct rchan_stream *stream, const struct rchan_subbuf *sub,
                      struct rchan_entry *entry)
{
    make_room(stream, entry->offset + entry->stored);
    if (stream->checked)
        entry->data_crc = rchan_crc32c(0, sub->data, sub->length);
    int result = write_at(stream->data_fd, sub->data, sub->length, entry->offset);
    if (!result && entry->stored > sub->length) {
        /* The last byte of the padding: the file has its full length, the rest is a hole of zeros. */
        off_t end = (off_t)(entry->offset + entry->stored);
        if (ftruncate(stream->data_fd, end))
            result = -errno;
    }
    TESTPOINT("record: data written");
    return result;
}

static int store_entry(struct rchan_stream *stream, struct rchan_entry *entry)
{
    entry->entry_crc = rchan_crc32c(0, entry, offsetof(struct rchan_entry, entry_crc));
    int result = write_at(stream->index_fd, entry, sizeof *entry, stream->index_offset);
    TESTPOINT("record: entry written");
    return result;
}

static void advance(struct rchan_stream *stream, const struct rchan_entry *entry)
{
    stream->offset = entry->offset + entry->stored;
    stream->index_offset += sizeof *entry;
    stream->any = true;
    stream->last_resets = entry->resets;
    stream->last_seq = entry->seq;
    stream->subbufs++;
    stream->records += entry->records;
    stream->bytes += entry->length;
    stream->last = *entry;
}

/* LIMIT: recorded, go on. Otherwise the sub-buffer is still held. */
static enum rchan_drained store(struct rchan_stream *stream, struct rchan_subbuf *sub, bool *gone)
{
    struct rchan_entry entry = entry_of(stream, sub);
    *gone = false;
    if (stream->limit && stream->offset && entry.offset + entry.stored > stream->limit)
        return RCHAN_DRAINED_FULL;
    stream->os_errno = -store_data(stream, sub, &entry);
    if (stream->os_errno)
        return RCHAN_DRAINED_DATA;
    *gone = !rchan_subbuf_whole(sub);
    if (*gone)
        return RCHAN_DRAINED_LIMIT;
    stream->os_errno = -store_entry(stream, &entry);
    if (stream->os_errno)
        return RCHAN_DRAINED_INDEX;
    advance(stream, &entry);
    return RCHAN_DRAINED_LIMIT;
}

/* LIMIT: one sub-buffer further. */
static enum rchan_drained drain_one(struct rchan_stream *stream, struct rchan_buffer *buffer)
{
    struct rchan_subbuf sub;
    int taken = rchan_subbuf_take(buffer, &sub);
    if (taken == -EAGAIN)
        return RCHAN_DRAINED_BUSY;
    if (taken <= 0)
        return taken ? RCHAN_DRAINED_CORRUPT : RCHAN_DRAINED_EMPTY;
    bool gone = false;
    enum rchan_drained result = RCHAN_DRAINED_LIMIT;
    if (recorded_before(stream, &sub))
        rchan_subbuf_whole(&sub);
    else
        result = store(stream, &sub, &gone);
    if (result != RCHAN_DRAINED_LIMIT || gone)
        rchan_subbuf_put_down(&sub);
    else if (!rchan_subbuf_give_back(&sub, UINT64_MAX))
        return RCHAN_DRAINED_BUSY; /* overtaken just now, or forked: the next look says */
    TESTPOINT("record: given back");
    return result;
}

enum rchan_drained rchan_stream_drain(struct rchan_stream *stream, struct rchan_buffer *buffer,
                                      uint64_t most)
{
    for (uint64_t count = 0; count < most; count++) {
        enum rchan_drained result = drain_one(stream, buffer);
        if (result != RCHAN_DRAINED_LIMIT)
            return result;
    }
    return RCHAN_DRAINED_LIMIT;
}
