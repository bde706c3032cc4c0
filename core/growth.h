/* Buffers come into being, or into this process. */
#ifndef RCHAN_GROWTH_H
#define RCHAN_GROWTH_H

#include "handle.h"

/* Make buffer `index`: block, memory, file (hook or default), sub-buffer 0. 0 or -1.
 * -1 with RCHAN_FAIL_EXISTS: the file is there already. */
int rchan_buffer_make(struct rchan_channel *channel, int directory, uint32_t index,
                      struct rchan_error *error);

/* Map a buffer that another process made. 0 or -1. */
int rchan_buffer_map(struct rchan_channel *channel, int directory, uint32_t index,
                     struct rchan_error *error);

/* The buffer for this CPU, made or mapped if need be. NULL: *error says why. */
struct rchan_buffer *rchan_buffer_prepare(struct rchan_channel *channel, uint32_t cpu,
                                          struct rchan_error *error);
/* Map buffers that other processes have made since. Number mapped now. */
uint32_t rchan_channel_refresh(struct rchan_channel *channel);
/* The buffer that a write on this CPU should use first; NULL if none exists at all. */
struct rchan_buffer *rchan_buffer_for_cpu(struct rchan_channel *channel, uint64_t cpu);

/* Link the buffer's unnamed file as file_name: what create_buf_file does by default. -errno. */
int rchan_buffer_link(struct rchan_buffer *buffer, const char *file_name);
int rchan_buffer_unlink(struct rchan_buffer *buffer, const char *file_name);

/* Does this name stand for the buffer's file? */
bool rchan_buffer_has_name(struct rchan_buffer *buffer, const char *file_name);

/* Unmap one buffer only (its last user has gone). */
void rchan_buffer_unmap(struct rchan_buffer *buffer);

static inline struct rchan_block *rchan_block_at(const struct rchan_channel *channel,
                                                 uint32_t index)
{
    return (struct rchan_block *)((char *)channel->header + RCHAN_BLOCKS_OFFSET +
                                  index * channel->block_size);
}

static inline bool rchan_bit(rchan_a64 *bits, uint32_t index)
{
    /* bit.look: pairs with bit.set */
    return rchan_load_acquire(&bits[index / 64]) >> (index % 64) & 1;
}

static inline void rchan_bit_set(rchan_a64 *bits, uint32_t index)
{
    /* bit.set: pairs with bit.look */
    rchan_set_bits(&bits[index / 64], UINT64_C(1) << (index % 64));
}

/* Of a buffer without a name: its file's descriptor, if it still is that; else -1. */
int rchan_buffer_fd(const struct rchan_buffer *buffer);
void rchan_buffer_close_fd(struct rchan_buffer *buffer);

#endif
