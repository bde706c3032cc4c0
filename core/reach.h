/* How far a buffer's writer is, for whoever reads: what is whole, finished, lost. Takes nothing. */
#ifndef RCHAN_REACH_H
#define RCHAN_REACH_H

#include "handle.h"

/* As seen from one sub-buffer. Bytes below `end` of it may be copied. */
struct rchan_reach {
    uint64_t started, produced, end;
    bool finished;
};

/* Is the sub-buffer's memory untouched by later ones, if `started` is the newest? */
static inline bool rchan_whole(const struct rchan_channel *channel, uint64_t subbuf,
                               uint64_t started)
{
    return (int64_t)(started - subbuf) < (int64_t)channel->n_subbufs;
}

/* The same, now, after what was read of it. */
bool rchan_still_whole(const struct rchan_buffer *buffer, uint64_t subbuf);

/* 0, or -EBADMSG. end <= subbuf_size. */
int rchan_reach_load(const struct rchan_buffer *buffer, uint64_t subbuf, struct rchan_reach *reach);

/* Sums before the sub-buffer. False: the writer turned a page meanwhile, or it is lost. */
bool rchan_start_known(const struct rchan_buffer *buffer, uint64_t subbuf, uint64_t *records,
                       uint64_t *bytes);

#endif
