/* The control file's descriptor, which carries the slot's lock. A program may close it behind our back
 * (daemons close all they have) and open a file of its own under its number. */
#ifndef RCHAN_CONTROL_H
#define RCHAN_CONTROL_H

#include <sys/stat.h>

#include "handle.h"

/* channel->fd was just opened: remember which file it is. 0, or -errno (closed). */
int rchan_control_note(struct rchan_channel *channel);

/* A descriptor of the control file, looked at before each use; if it was closed, the file is opened
 * again by its name. -1: it has none any more. */
int rchan_control_fd(struct rchan_channel *channel);
/* The same, and what was seen at the look. */
int rchan_control_look(struct rchan_channel *channel, struct stat *found);

/* An open file description of our own, so that the lock of a slot is nobody else's: before the slot is
 * taken, and in the child of a fork. 0 or -errno. */
int rchan_control_renew(struct rchan_channel *channel);

/* Whoever closes the descriptor does not take the slot's lock with it; only rchan_control_close does, or
 * the end of the process. */
void rchan_control_keep(struct rchan_channel *channel);
/* Not any more. In the child of a fork: it is the parent's lock. */
void rchan_control_forget(struct rchan_channel *channel);
/* Let go of the lock, close the descriptor. */
void rchan_control_close(struct rchan_channel *channel);

#endif
