/* Doorbells: a FIFO a waiting reader, for select, poll and epoll. docs/protocol.md, "Sleep and wake". */
#ifndef RCHAN_BELL_H
#define RCHAN_BELL_H

#include "handle.h"

/* One reader's bell. Its FIFO is NAME.<index>.bell in the channel's directory. */
struct rchan_bell {
    struct rchan_channel *channel;
    int fd;        /* readable: was rung. -1: closed */
    int32_t index; /* -1: without a name, of a finalized channel: only the reader itself rings it */
    ino_t inode;
    uint32_t epoch; /* of header->wake, if asleep */
    bool asleep;
    uint32_t fork_count; /* a fork since then: it is the parent's, not ours */
};

/* 0, or -1 with *error: UNSUPPORTED (buffer-only), BUSY (all taken), OS. */
int rchan_bell_open(struct rchan_channel *channel, struct rchan_bell *bell,
                    struct rchan_error *error);
/* From now on the next news rings it, once. Then look at the condition once more.
 * False: void since a fork. */
bool rchan_bell_arm(struct rchan_bell *bell);
/* Forget that it was rung. */
void rchan_bell_clear(struct rchan_bell *bell);
/* The reader's own hand. */
void rchan_bell_ring(struct rchan_bell *bell);
void rchan_bell_close(struct rchan_bell *bell);

/* Wake the readers of the whole channel: those who sleep, and every armed bell. */
bool rchan_wake_channel(struct rchan_channel *channel);
/* Take the bells' names away; each is rung before. */
void rchan_bells_remove(struct rchan_channel *channel, int directory);
void rchan_bell_remove(int directory, const char *name);
bool rchan_is_bell_name(const char *name, const char *base);

#endif
