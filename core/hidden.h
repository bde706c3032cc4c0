/* Files of a late setup that failed: a file that has had a name must not lose its last one, or it can
 * never be given one again. Each is kept under a name that no channel has, as long as its maker lives. */
#ifndef RCHAN_HIDDEN_H
#define RCHAN_HIDDEN_H

#include "handle.h"

/* Keep the file that is open as fd, as `name` in `directory`, in channel->hidden_directory. 0, -errno. */
int rchan_hide(struct rchan_channel *channel, int directory, const char *name, int fd, ino_t inode);
/* From there to a name. 0 or -errno. */
int rchan_hidden_link(struct rchan_channel *channel, int directory, ino_t inode, const char *name);
/* Not needed any more; to be called while it is open as fd, so that its lock is held. */
void rchan_hidden_remove(struct rchan_channel *channel, ino_t inode);
/* Remove those in this directory whose makers were killed. */
void rchan_hidden_clear(int directory, struct rchan_share share);

#endif
