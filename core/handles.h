/* How handles come about: shared by create and attach. */
#ifndef RCHAN_HANDLES_H
#define RCHAN_HANDLES_H

#include "handle.h"

struct rchan_shape {
    uint32_t subbuf_size, n_subbufs, n_buffers, flags, owner_wait_us, stamp_clock;
    uint64_t stamp_base;
    mode_t mode;
    struct rchan_share share;
};

/* A handle with nothing mapped yet; the shape was checked. NULL: no memory. */
struct rchan_channel *rchan_handle_new(const char *directory, const char *base,
                                       const struct rchan_shape *shape,
                                       const struct rchan_hooks *hooks, struct rchan_error *error);
void rchan_handle_free(struct rchan_channel *channel);
/* Map the control file channel->fd. 0 or -1. */
int rchan_handle_map(struct rchan_channel *channel, struct rchan_error *error);
/* Take a slot, and be known to fork. 0 or -1. */
int rchan_handle_join(struct rchan_channel *channel, struct rchan_error *error);

/* Reserve the name for channel->fd. 0 or -1. */
int rchan_control_link(struct rchan_channel *channel, int directory, const char *base,
                       struct rchan_error *error);
/* Remove files that look like buffers of `base` and that no other channel could have named. */
void rchan_remove_leavings(int directory, const char *base, struct rchan_share share);
/* Remove the buffer files whose inodes the blocks name, and the bells: those of this very channel. */
void rchan_remove_noted(struct rchan_channel *channel, int directory);
/* Remove what a killed creator or remover left under this name; true if there was such a thing. */
bool rchan_clear_half_created(const char *path, int directory, const char *base,
                              struct rchan_share share);

#endif
