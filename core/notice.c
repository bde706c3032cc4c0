/* After the owner word: wake-ups and notifications. */
#include "notice.h"

#include "ring.h"
#include "testpoint.h"
#include "wait.h"

void rchan_act_on_notice(struct rchan_buffer *buffer, const struct rchan_notice *notice)
{
    struct rchan_channel *channel = buffer->channel;
    TESTPOINT("owner: given back");
    if (notice->wake && !channel->defer_wakeups) {
        rchan_wake(&buffer->block->wake);
        rchan_wake_channel(channel);
    }
    if (notice->delivered && channel->hooks.deliver)
        channel->hooks.deliver(buffer, notice->delivered_subbuf);
    if (notice->became_full && channel->hooks.buf_full)
        channel->hooks.buf_full(buffer, notice->full_subbuf);
    if (channel->hooks.after)
        channel->hooks.after(channel);
}

uint32_t rchan_run_wakeups(struct rchan_channel *channel)
{
    uint32_t ran = 0;
    for (uint32_t i = 0; i < channel->n_buffers; i++) {
        struct rchan_buffer *buffer = &channel->buffers[i];
        /* buffer.mapped: pairs with buffer.map */
        if (rchan_load_acquire(&buffer->data) && rchan_wake_asked(&buffer->block->wake)) {
            rchan_wake(&buffer->block->wake);
            ran++;
        }
    }
    if (rchan_wake_asked(&channel->header->wake))
        rchan_wake_channel(channel);
    return ran;
}

uint64_t rchan_channel_sleepers(const struct rchan_channel *channel)
{
    uint64_t sleepers = rchan_sleepers(&channel->header->wake);
    for (uint32_t i = 0; i < channel->n_buffers; i++) {
        struct rchan_buffer *buffer = &channel->buffers[i];
        /* buffer.mapped: pairs with buffer.map */
        if (rchan_load_acquire(&buffer->data))
            sleepers += rchan_sleepers(&buffer->block->wake);
    }
    return sleepers;
}
