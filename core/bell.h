/* Doorbells: a FIFO a waiting reader, for select, poll and epoll. docs/explanation/protocol.md, "Bells". */
#ifndef RCHAN_BELL_H
#define RCHAN_BELL_H

#include "handle.h"

#define RCHAN_BELL_ARMED 1u

/* One reader's bell. Its FIFO is NAME.<index>.bell in the channel's directory. */
struct rchan_bell {
    struct rchan_channel *channel;
    int fd;        /* readable: was rung. -1: closed */
    int32_t index; /* -1: without a name, of a finalized channel: only the reader itself rings it */
    ino_t inode;
    uint32_t word;       /* the shared word as this reader last stored it */
    bool rung_by_us;     /* a byte is in the FIFO */
    bool left_alone;     /* by the last rchan_bell_settle */
    uint32_t fork_count; /* a fork since then: it is the parent's, not ours */
};

/* 0, or -1 with *error: UNSUPPORTED (buffer-only), BUSY (all taken), OS. */
int rchan_bell_open(struct rchan_channel *channel, struct rchan_bell *bell,
                    struct rchan_error *error);
/* Forget that it was rung: from now on it is unreadable until the next news rings it, once. Then
 * look at the condition once more. False: void since a fork. */
bool rchan_bell_rearm(struct rchan_bell *bell);
/* The reader's own hand. */
void rchan_bell_ring(struct rchan_bell *bell);
/* Readable if look(object) finds something, else rearmed (or left alone, still armed, where the reader
 * found no news either since it was). False: void since a fork. */
bool rchan_bell_settle(struct rchan_bell *bell, uint32_t (*look)(const void *), const void *object,
                       bool had_news);
void rchan_bell_close(struct rchan_bell *bell);

#endif
