/* From a buffer to a recorded stream: write, note, give back; in that order. */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "crc32c.h"
#include "reach.h"
#include "testpoint.h"

enum { LEAST_ROOM = 1 << 20 };   /* bytes allocated at a time in a small file */
enum { MOST_AT_ONCE = 1 << 20 }; /* bytes written with one system call, but for one sub-buffer */

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

/* The sub-buffer, and those behind it that are finished: fewer and larger system calls. They are
 * not taken: whether one is still what was written is seen when it is its turn. At most `most`, and
 * half of the buffer, so that writers soon get room. Returns how many parts there are. */
static int gather(struct rchan_stream *stream, const struct rchan_subbuf *sub, uint64_t most,
                  struct iovec parts[RCHAN_AHEAD + 1])
{
    const struct rchan_channel *channel = sub->buffer->channel;
    uint64_t total = sub->length;
    struct rchan_ahead *ahead = &stream->ahead;
    struct rchan_reach reach;
    *ahead = (struct rchan_ahead){.seq = sub->seq + 1, .resets = sub->resets};
    parts[0] = (struct iovec){(void *)sub->data, sub->length};
    if (most > channel->n_subbufs / 2)
        most = channel->n_subbufs / 2;
    while (!stream->stride && ahead->count + 1 < most && ahead->count < RCHAN_AHEAD) {
        uint64_t seq = ahead->seq + ahead->count;
        if (rchan_reach_load(sub->buffer, seq, &reach) || !reach.finished || !reach.end ||
            !rchan_whole(channel, seq, reach.started))
            break;
        total += reach.end;
        if (total > MOST_AT_ONCE || (stream->limit && stream->offset + total > stream->limit))
            break;
        const uint8_t *data =
            sub->buffer->map + seq % channel->n_subbufs * (uint64_t)channel->subbuf_size;
        ahead->length[ahead->count++] = reach.end;
        parts[ahead->count] = (struct iovec){(void *)data, reach.end};
    }
    return (int)ahead->count + 1;
}

/* Was it written together with one before it, and is it still that? */
static bool written_ahead(struct rchan_stream *stream, const struct rchan_subbuf *sub)
{
    struct rchan_ahead *ahead = &stream->ahead;
    if (!ahead->count || sub->seq != ahead->seq || sub->resets != ahead->resets ||
        sub->length != ahead->length[0] || sub->skipped)
        return false;
    ahead->count--;
    ahead->seq++;
    memmove(ahead->length, ahead->length + 1, ahead->count * sizeof ahead->length[0]);
    return true;
}

static int write_parts(struct rchan_stream *stream, const struct rchan_subbuf *sub,
                       const struct iovec *parts, int count)
{
    ssize_t done = pwritev(stream->data_fd, parts, count, (off_t)stream->offset);
    uint64_t whole = done < 0 ? 0 : (uint64_t)done;
    if (whole < sub->length) { /* the rest of it, or why not */
        stream->ahead.count = 0;
        return write_at(stream->data_fd, sub->data + whole, sub->length - whole,
                        stream->offset + whole);
    }
    TESTPOINT("record: written ahead");
    whole -= sub->length;
    unsigned complete = 0;
    while (complete < stream->ahead.count && whole >= stream->ahead.length[complete])
        whole -= stream->ahead.length[complete++];
    stream->ahead.count = complete;
    return 0;
}

/* Its bytes to the file. What a writer in overwrite mode destroys meanwhile is never noted: the
 * next one takes its place. */
static int store_data(struct rchan_stream *stream, const struct rchan_subbuf *sub,
                      struct rchan_entry *entry, uint64_t most)
{
    struct iovec parts[RCHAN_AHEAD + 1];
    int result = 0;
    if (!written_ahead(stream, sub)) {
        int count = gather(stream, sub, most, parts);
        uint64_t end = entry->offset + entry->stored;
        for (int i = 1; i < count; i++)
            end += parts[i].iov_len;
        make_room(stream, end);
        result = write_parts(stream, sub, parts, count);
    }
    if (stream->checked)
        entry->data_crc = rchan_crc32c(0, sub->data, sub->length);
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
static enum rchan_drained store(struct rchan_stream *stream, struct rchan_subbuf *sub,
                                uint64_t most, bool *gone)
{
    struct rchan_entry entry = entry_of(stream, sub);
    *gone = false;
    if (stream->limit && stream->offset > stream->start &&
        entry.offset + entry.stored > stream->limit)
        return RCHAN_DRAINED_FULL;
    stream->os_errno = -store_data(stream, sub, &entry, most);
    if (stream->os_errno)
        return RCHAN_DRAINED_DATA;
    *gone = !rchan_subbuf_whole(sub);
    if (*gone) {
        stream->ahead.count = 0; /* the next one belongs where this one lies in the file */
        return RCHAN_DRAINED_LIMIT;
    }
    stream->os_errno = -store_entry(stream, &entry);
    if (stream->os_errno)
        return RCHAN_DRAINED_INDEX;
    advance(stream, &entry);
    return RCHAN_DRAINED_LIMIT;
}

/* LIMIT: one sub-buffer further, of `most`. */
static enum rchan_drained drain_one(struct rchan_stream *stream, struct rchan_buffer *buffer,
                                    uint64_t most)
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
        result = store(stream, &sub, most, &gone);
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
        enum rchan_drained result = drain_one(stream, buffer, most - count);
        if (result != RCHAN_DRAINED_LIMIT)
            return result;
    }
    return RCHAN_DRAINED_LIMIT;
}
