/* The files of bells: FIFOs NAME.<index>.bell in the channel's directory. */
#ifndef RCHAN_BELL_FILES_H
#define RCHAN_BELL_FILES_H

#include <sys/stat.h>

#include "handle.h"

void rchan_bell_name(char *name, size_t room, const char *base, uint32_t index);
bool rchan_is_bell_name(const char *name, const char *base);
/* A FIFO that those who take part can use? */
bool rchan_is_bell(const struct stat *found, struct rchan_share share);
/* Or one whose maker was killed before they could? */
bool rchan_is_bell_file(const struct stat *found, struct rchan_share share);
/* No index at or above it was ever used. */
uint32_t rchan_bell_limit(const struct rchan_channel *channel);

/* Whoever makes a bell or removes a dead one's name holds this: so a FIFO that nobody has open is a
 * dead reader's, not a new one's. */
bool rchan_bells_try(struct rchan_channel *channel);
bool rchan_bells_take(struct rchan_channel *channel); /* waits for a bounded time */
void rchan_bells_leave(struct rchan_channel *channel);

/* It held: remove the name if nobody reads there. True: removed. */
bool rchan_bell_remove_if_dead(int directory, const char *name, struct rchan_share share);

#endif
