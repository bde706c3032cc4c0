/* Channels: create, attach, buffers on demand, late setup, finalize, remove. */
#ifndef RCHAN_CHANNEL_H
#define RCHAN_CHANNEL_H

#include "growth.h"

struct rchan_options {
    const char *directory; /* absolute; exists and was checked by the caller */
    const char *base;      /* NULL: buffer-only */
    uint64_t subbuf_size;  /* bytes */
    uint64_t n_subbufs;
    uint64_t n_buffers;
    bool overwrite;
    mode_t mode; /* of the files, such as 0600; shared: 0660 */
    struct rchan_share share;
    const uint32_t *cpus; /* get their buffers at once */
    uint32_t n_cpus;
    uint32_t owner_wait_us;   /* 0: 10,000 */
    uint32_t stamp_clock;     /* RCHAN_STAMP_NONE: plain records; else an event channel */
    uint64_t stamp_frequency; /* Hz, as far as known now */
    struct rchan_hooks hooks;
};

/* NULL on failure, with *error filled in and nothing left behind. */
struct rchan_channel *rchan_channel_create(const struct rchan_options *options,
                                           struct rchan_error *error);
/* share: whose channel it may be; what is not as that asks for is refused. */
struct rchan_channel *rchan_channel_attach_shared(const char *directory, const char *base,
                                                  struct rchan_share share,
                                                  const struct rchan_hooks *hooks,
                                                  struct rchan_error *error);
static inline struct rchan_channel *rchan_channel_attach(const char *directory, const char *base,
                                                         const struct rchan_hooks *hooks,
                                                         struct rchan_error *error)
{
    return rchan_channel_attach_shared(directory, base, (struct rchan_share){0}, hooks, error);
}

/* False: its control file was cut, also at an earlier call. Ask before looking at one that others may
 * damage: a look at what is not there is a SIGBUS. From the call on the file is long enough. A detach
 * asks by itself. */
bool rchan_channel_whole(struct rchan_channel *channel);

/* Unmap everything, give the slot back, free. The channel itself stays. */
void rchan_channel_detach(struct rchan_channel *channel);

/* Shut the gate for good, wake everybody. Number of buffers whose owner is stalled (0: all done). */
uint32_t rchan_channel_finalize(struct rchan_channel *channel);
/* finalize, then per buffer: wake, remove its file (hook), on_removed(buffer); then the control file. */
void rchan_channel_close(struct rchan_channel *channel,
                         void (*on_removed)(struct rchan_buffer *buffer));

/* All or nothing, repeatable. 0, or -1 with *error. */
int rchan_channel_late_setup(struct rchan_channel *channel, const char *directory, const char *base,
                             struct rchan_error *error);

void rchan_channel_enable(struct rchan_channel *channel, bool enabled);
bool rchan_channel_enabled(const struct rchan_channel *channel);
bool rchan_channel_finalized(const struct rchan_channel *channel);

/* Remove a channel's files without attaching; also one that is damaged or half-created. 0 or -1. */
int rchan_channel_remove_shared(const char *directory, const char *base, struct rchan_share share,
                                struct rchan_error *error);
static inline int rchan_channel_remove(const char *directory, const char *base,
                                       struct rchan_error *error)
{
    return rchan_channel_remove_shared(directory, base, (struct rchan_share){0}, error);
}

/* Alignment, limits, overflow of the geometry. 0 or -1 with *error. */
int rchan_check_geometry(uint64_t subbuf_size, uint64_t n_subbufs, uint64_t n_buffers,
                         struct rchan_error *error);

#endif
