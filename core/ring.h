/* Ringing: what a waker does for readers that wait on a descriptor. docs/explanation/protocol.md, "Bells". */
#ifndef RCHAN_RING_H
#define RCHAN_RING_H

#include "handle.h"

/* Wake the readers of the whole channel: those who sleep, and every armed bell. */
bool rchan_wake_channel(struct rchan_channel *channel);

/* Ring it and take its name away. */
void rchan_bell_remove(int directory, const char *name, struct rchan_share share);
/* All of them. */
void rchan_bells_remove(struct rchan_channel *channel, int directory);

#endif
