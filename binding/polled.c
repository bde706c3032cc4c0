/* Polls of files: from a ringing bell to the client that wakes up, without Python. */
#include "polled.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../core/channel.h"
#include "../core/consume.h"

enum { EVENTS = 16, LOOK_AGAIN_MS = 20 };

/* As in <linux/fuse.h>, which not every C library comes with. */
enum { FUSE_POLL = 40, FUSE_NOTIFY_POLL = 1, FUSE_POLL_SCHEDULE_NOTIFY = 1 };

struct request_head {
    uint32_t length, opcode;
    uint64_t unique, node;
    uint32_t uid, gid, pid, unused;
};
struct answer_head {
    uint32_t length;
    int32_t error; /* or which notice */
    uint64_t unique;
};
struct poll_request {
    uint64_t fh, kh;
    uint32_t flags, events;
};
struct poll_answer {
    uint32_t events, unused;
};
static_assert(sizeof(struct request_head) == 40 && sizeof(struct answer_head) == 16 &&
                  sizeof(struct poll_request) == 24 && sizeof(struct poll_answer) == 8,
              "as in <linux/fuse.h>");

struct seen {
    uint64_t head; /* how far the buffer is written */
    uint32_t mask; /* of poll */
};

struct polled_file {
    uint64_t fh, kh;
    bool waits; /* the next news are to be told */
    struct seen answered;
    struct rchan_buffer *buffer;
    void *keep;
    struct polled_channel *owner;
    struct polled_file *next, *next_of_channel;
};

/* One bell for all files of a channel, armed only while somebody waits: writers pay nothing else. */
struct polled_channel {
    struct rchan_channel *core;
    struct rchan_bell bell; /* fd -1: there was none left: looked at from time to time */
    bool armed;
    struct polled_file *files;
    struct polled_channel *next;
};

/* ---- which files ---- */

static struct polled_file **bucket_of(struct polled *polled, uint64_t fh)
{
    return &polled->buckets[fh % POLLED_BUCKETS];
}

static struct polled_file *find(struct polled *polled, uint64_t fh)
{
    struct polled_file *file = *bucket_of(polled, fh);
    while (file && file->fh != fh)
        file = file->next;
    return file;
}

/* Edges: a ring that was seen need not be taken out of the FIFO before the next arming. */
static void hang_up_bell(struct polled *polled, struct polled_channel *channel)
{
    struct rchan_error error;
    struct epoll_event event = {EPOLLIN | EPOLLET, {.ptr = channel}};
    if (!rchan_channel_whole(channel->core) ||
        rchan_bell_open(channel->core, &channel->bell, &error))
        channel->bell.fd = -1; /* damaged, all in use, the name is too long, ... */
    else if (epoll_ctl(polled->epoll, EPOLL_CTL_ADD, channel->bell.fd, &event))
        rchan_bell_close(&channel->bell);
}

static struct polled_channel *channel_of(struct polled *polled, struct rchan_channel *core)
{
    struct polled_channel *channel = polled->channels;
    while (channel && channel->core != core)
        channel = channel->next;
    if (channel || !(channel = calloc(1, sizeof *channel)))
        return channel;
    channel->core = core;
    hang_up_bell(polled, channel);
    channel->next = polled->channels;
    polled->channels = channel;
    return channel;
}

static void drop_channel(struct polled *polled, struct polled_channel *channel)
{
    struct polled_channel **place = &polled->channels;
    while (*place != channel)
        place = &(*place)->next;
    *place = channel->next;
    rchan_channel_whole(channel->core); /* made so if it was cut */
    /* Not by closing it alone: a child that was forked off may have it open, too (and if it is we who
     * were forked off, the entry is the parent's). */
    if (channel->bell.fd >= 0 && channel->bell.fork_count == channel->core->fork_count)
        epoll_ctl(polled->epoll, EPOLL_CTL_DEL, channel->bell.fd, NULL);
    rchan_bell_close(&channel->bell);
    free(channel);
}

int polled_add(struct polled *polled, uint64_t fh, struct rchan_buffer *buffer, void *keep)
{
    if (find(polled, fh))
        return -EEXIST;
    struct polled_file *file = calloc(1, sizeof *file);
    struct polled_channel *owner = file ? channel_of(polled, buffer->channel) : NULL;
    if (!owner) {
        free(file);
        return -ENOMEM;
    }
    *file = (struct polled_file){.fh = fh,
                                 .buffer = buffer,
                                 .keep = keep,
                                 .owner = owner,
                                 .next = *bucket_of(polled, fh),
                                 .next_of_channel = owner->files};
    *bucket_of(polled, fh) = owner->files = file;
    return 0;
}

void *polled_drop(struct polled *polled, uint64_t fh)
{
    struct polled_file *file = find(polled, fh), **place = bucket_of(polled, fh);
    if (!file)
        return NULL;
    while (*place != file)
        place = &(*place)->next;
    *place = file->next;
    struct polled_channel *owner = file->owner;
    for (place = &owner->files; *place != file;)
        place = &(*place)->next_of_channel;
    *place = file->next_of_channel;
    if (!owner->files)
        drop_channel(polled, owner);
    void *keep = file->keep;
    free(file);
    return keep;
}

/* ---- news ---- */

/* A channel that others have damaged is one with an error. */
static struct seen look(const struct polled_file *file)
{
    if (!rchan_channel_whole(file->owner->core))
        return (struct seen){0, POLLERR};
    uint64_t head = rchan_load(&file->buffer->block->head); /* first: news in between are told */
    return (struct seen){head, rchan_poll(file->buffer)};
}

/* Something to see that was not there at the last answer. More of the same is news, too: an edge. */
static bool has_news(const struct polled_file *file)
{
    struct seen now = look(file);
    return now.mask & ~file->answered.mask || (now.mask && now.head != file->answered.head);
}

/* Errors need no answer: then the file or the mount is gone. */
static void send(const struct polled *polled, uint64_t unique, int notice, const void *body,
                 size_t length)
{
    struct answer_head head = {(uint32_t)(sizeof head + length), notice, unique};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)body, length}};
    ssize_t written = writev(polled->device, parts, 2);
    (void)written;
}

/* Tell of news those who wait; true: somebody waits on. */
static bool tell(const struct polled *polled, const struct polled_channel *channel)
{
    bool some_wait = false;
    for (struct polled_file *file = channel->files; file; file = file->next_of_channel) {
        if (file->waits && has_news(file)) {
            file->waits = false;
            send(polled, 0, FUSE_NOTIFY_POLL, &file->kh, sizeof file->kh);
        }
        some_wait |= file->waits;
    }
    return some_wait;
}

/* From now on news ring; those that came before are told. */
static void arm(const struct polled *polled, struct polled_channel *channel)
{
    if (channel->armed || channel->bell.fd < 0 || !rchan_channel_whole(channel->core))
        return;
    channel->armed = rchan_bell_rearm(&channel->bell);
    tell(polled, channel);
}

static void was_rung(const struct polled *polled, struct polled_channel *channel)
{
    channel->armed = false;
    if (tell(polled, channel))
        arm(polled, channel);
}

/* ---- requests ---- */

bool polled_answer(struct polled *polled, uint64_t unique, uint64_t fh, const uint64_t *kh)
{
    struct polled_file *file = find(polled, fh);
    if (!file)
        return false;
    file->answered = look(file);
    struct poll_answer answer = {file->answered.mask, 0};
    send(polled, unique, 0, &answer, sizeof answer);
    if (kh) {
        file->kh = *kh;
        file->waits = true; /* even if there is something already: an edge may be waited for */
        arm(polled, file->owner); /* after the answer: the client need not wait for that */
    }
    return true;
}

static bool answered(struct polled *polled, const char *message, ssize_t length)
{
    struct request_head head;
    struct poll_request poll;
    if (length < (ssize_t)(sizeof head + sizeof poll))
        return false;
    memcpy(&head, message, sizeof head);
    memcpy(&poll, message + sizeof head, sizeof poll);
    return head.opcode == FUSE_POLL && head.length == length &&
           polled_answer(polled, head.unique, poll.fh,
                         poll.flags & FUSE_POLL_SCHEDULE_NOTIFY ? &poll.kh : NULL);
}

/* -EAGAIN: there is none (any more), or it was answered. */
static int64_t take_request(struct polled *polled, void *message, size_t room)
{
    ssize_t length = read(polled->device, message, room);
    if (length < 0)
        return errno == ENOENT ? -EAGAIN : -errno; /* ENOENT: taken back before we had it */
    return answered(polled, message, length) ? -EAGAIN : length;
}

/* ---- the wait ---- */

static char device_event, stop_event; /* what an event is about that is no channel's bell */

static int watch(const struct polled *polled, int fd, void *what)
{
    struct epoll_event event = {EPOLLIN, {.ptr = what}};
    return epoll_ctl(polled->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int polled_init(struct polled *polled, int device, int stop)
{
    *polled = (struct polled){.device = device, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    if (polled->epoll < 0)
        return -errno;
    int result = watch(polled, device, &device_event);
    return result ? result : watch(polled, stop, &stop_event);
}

void polled_end(struct polled *polled, void (*let_go)(void *keep))
{
    for (int i = 0; i < POLLED_BUCKETS; i++)
        while (polled->buckets[i])
            let_go(polled_drop(polled, polled->buckets[i]->fh));
    if (polled->epoll >= 0)
        close(polled->epoll);
    polled->epoll = -1;
}

static bool lonely(const struct polled_channel *channel)
{
    bool waits = false;
    for (const struct polled_file *file = channel->files; file && !waits;
         file = file->next_of_channel)
        waits = file->waits;
    return waits && channel->bell.fd < 0 && !channel->core->cut;
}

static int timeout_ms(const struct polled *polled)
{
    for (const struct polled_channel *channel = polled->channels; channel; channel = channel->next)
        if (lonely(channel))
            return LOOK_AGAIN_MS;
    return -1;
}

static void look_again(const struct polled *polled)
{
    for (struct polled_channel *channel = polled->channels; channel; channel = channel->next)
        if (channel->bell.fd < 0)
            tell(polled, channel);
}

int64_t polled_receive(struct polled *polled, void *message, size_t room)
{
    for (;;) {
        struct epoll_event events[EVENTS];
        bool request = false, stop = false;
        int count = epoll_wait(polled->epoll, events, EVENTS, timeout_ms(polled));
        if (count < 0)
            return -errno;
        if (!count)
            look_again(polled);
        for (int i = 0; i < count; i++) {
            void *what = events[i].data.ptr;
            stop |= what == &stop_event;
            request |= what == &device_event;
            if (what != &stop_event && what != &device_event)
                was_rung(polled, what);
        }
        int64_t length = request && !stop ? take_request(polled, message, room) : -EAGAIN;
        if (stop || length == -ENODEV)
            return 0;
        if (length != -EAGAIN)
            return length;
    }
}
