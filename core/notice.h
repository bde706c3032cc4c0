/* What is due after the owner word was given back: wake-ups, the client's 2005 callbacks. */
#ifndef RCHAN_NOTICE_H
#define RCHAN_NOTICE_H

#include "buffer.h"
#include "owner.h"

/* Wake those who were asked for, tell deliver and buf_full, report callbacks' errors. */
void rchan_act_on_notice(struct rchan_buffer *buffer, const struct rchan_notice *notice);

static inline void rchan_give_owner(struct rchan_buffer *buffer, const struct rchan_notice *notice)
{
    rchan_word_give(&buffer->block->owner);
    rchan_act_on_notice(buffer, notice);
}

/* Readers that wait for news of the channel or of a buffer: asleep, or with an armed bell. */
uint64_t rchan_channel_sleepers(const struct rchan_channel *channel);

#endif
