/* Descriptors of bells that this process has rung, kept for the next ring. */
#ifndef RCHAN_KEPT_H
#define RCHAN_KEPT_H

#include "handle.h"

/* A handle that keeps none. */
void rchan_kept_init(struct rchan_channel *channel);

/* The others are for the holder of channel->ringing, or where no other thread uses the handle. */

/* Close all. */
void rchan_kept_close(struct rchan_channel *channel);

/* Open for writing to FIFO number `made` of bell `index`, for sure; else -1. */
int rchan_kept_find(struct rchan_channel *channel, uint32_t index, uint32_t made);
/* Keep fd, or close it. */
void rchan_kept_keep(struct rchan_channel *channel, uint32_t index, uint32_t made, int fd);
void rchan_kept_drop(struct rchan_channel *channel, uint32_t index);

#endif
