/* Finishing a sub-buffer and starting the next. docs/explanation/protocol.md, "Switch". */
#include "switch.h"

#include "announce.h"
#include "books.h"
#include "clock.h"
#include "cursor.h"
#include "packet.h"
#include "testpoint.h"

/* Callbacks that are running in this thread, innermost first. */
struct frame {
    struct rchan_buffer *buffer;
    struct frame *outer;
    uint64_t subbuf; /* its number */
    uint64_t reserved;
    bool full;
};

static _Thread_local struct frame *innermost;

static struct frame *frame_of(const struct rchan_buffer *buffer)
{
    struct frame *frame = innermost;
    while (frame && frame->buffer != buffer)
        frame = frame->outer;
    return frame;
}

bool rchan_inside_callback(const struct rchan_buffer *buffer)
{
    return frame_of(buffer) != NULL;
}

static void touch_slot(struct rchan_block *block, uint64_t subbuf)
{
    /* switch.started: pairs with read.started, books.started */
    rchan_store_release(&block->started, subbuf);
    /* touch.fence: pairs with whole.fence, written.fence, books.fence */
    rchan_full_fence();
    TESTPOINT("switch: slot touched");
}

bool rchan_subbuf_start_reserve(struct rchan_buffer *buffer, uint64_t length)
{
    struct frame *frame = frame_of(buffer);
    if (!frame || frame->full || buffer->channel->packet_header || length > UINT32_MAX ||
        frame->reserved + length + 2 > buffer->channel->subbuf_size)
        return false;
    if (rchan_load(&buffer->block->started) != frame->subbuf)
        touch_slot(buffer->block, frame->subbuf);
    frame->reserved += length;
    return true;
}

static void finish_meta(struct rchan_buffer *buffer, uint64_t produced, uint64_t offset)
{
    struct rchan_channel *channel = buffer->channel;
    struct rchan_block *block = buffer->block;
    struct rchan_meta *meta = &block->meta[produced % channel->n_subbufs];
    uint64_t records = rchan_load(&block->pending) >> channel->shift;
    unsigned now = produced & 1, next = now ^ 1;
    rchan_store(&meta->padding, (uint32_t)(channel->subbuf_size - offset));
    rchan_store(&meta->records, (uint32_t)records);
    rchan_store(&meta->last_ns, rchan_now_ns());
    rchan_store(&block->total_records[next], rchan_load(&block->total_records[now]) + records);
    rchan_store(&block->total_bytes[next], rchan_load(&block->total_bytes[now]) + offset);
}

/* Step 1: sub-buffer `produced` is finished and readable. */
static void finish(struct rchan_buffer *buffer, uint64_t produced, uint64_t offset,
                   struct rchan_notice *notice)
{
    struct rchan_channel *channel = buffer->channel;
    TESTPOINT("switch: finishing");
    if (channel->packet_header)
        rchan_packet_finish(buffer, produced, offset);
    finish_meta(buffer, produced, offset);
    TESTPOINT("switch: totals stored");
    /* switch.head: pairs with books.head, read.head, poll.head, read.limit, read.start,
     * early.head */
    rchan_store_release(&buffer->block->head,
                        rchan_head_word(channel, produced + 1, channel->full));
    TESTPOINT("switch: finished");
    rchan_announce_switch(buffer, notice);
    notice->delivered = true;
    notice->delivered_subbuf = (uint32_t)(produced % channel->n_subbufs);
}

void rchan_finish_subbuf(struct rchan_buffer *buffer, uint64_t head, struct rchan_notice *notice)
{
    const struct rchan_channel *channel = buffer->channel;
    finish(buffer, rchan_head_produced(channel, head), rchan_head_offset(channel, head), notice);
}

static void start_meta(struct rchan_buffer *buffer, uint64_t subbuf)
{
    struct rchan_block *block = buffer->block;
    struct rchan_meta *meta = &block->meta[subbuf % buffer->channel->n_subbufs];
    rchan_store(&meta->seq, subbuf);
    rchan_store(&meta->first_ns, rchan_now_ns());
    rchan_store(&meta->start_records, rchan_load(&block->total_records[subbuf & 1]));
    rchan_store(&meta->start_bytes, rchan_load(&block->total_bytes[subbuf & 1]));
    for (unsigned cause = 0; cause < RCHAN_DROP_CAUSES; cause++) {
        uint64_t records, bytes;
        rchan_drop_read(block, cause, &records, &bytes);
        rchan_store(&meta->lost_records[cause], records);
        rchan_store(&meta->lost_bytes[cause], bytes);
    }
}

/* Step 3: records may go into sub-buffer `subbuf`, after `reserved` bytes of header. */
static uint64_t start(struct rchan_buffer *buffer, uint64_t subbuf, uint64_t reserved)
{
    struct rchan_channel *channel = buffer->channel;
    struct rchan_block *block = buffer->block;
    reserved += channel->packet_header;
    uint64_t head = rchan_head_word(channel, subbuf, reserved);
    touch_slot(block, subbuf);
    start_meta(buffer, subbuf);
    if (channel->packet_header)
        rchan_packet_begin(buffer, subbuf);
    rchan_store(&block->pending, reserved);
    rchan_cursor_jump(buffer, head);
    TESTPOINT("switch: starting");
    /* switch.begin: pairs with books.head, read.head, poll.head, read.limit, read.start,
     * early.head */
    rchan_store_release(&block->head, head);
    TESTPOINT("switch: begun");
    /* Not before: with one sub-buffer it is the same slot, and a killed start asks for it again. */
    rchan_store(&block->meta[subbuf % channel->n_subbufs].padding, 0);
    return head;
}

/* The client's word. False also if it forked and we are the child. */
static bool ask_client(struct rchan_buffer *buffer, struct frame *frame, int64_t prev,
                       uint32_t prev_padding, struct rchan_notice *notice)
{
    struct rchan_channel *channel = buffer->channel;
    uint32_t forks = channel->fork_count;
    frame->outer = innermost;
    innermost = frame;
    bool answer = channel->hooks.subbuf_start(
        buffer, (uint32_t)(frame->subbuf % channel->n_subbufs), prev, prev_padding);
    innermost = frame->outer;
    notice->ran_hook = true;
    return answer && channel->fork_count == forks;
}

/* Step 2 for sub-buffer `subbuf`. */
static bool may_start(struct rchan_buffer *buffer, struct frame *frame, struct rchan_notice *notice)
{
    struct rchan_channel *channel = buffer->channel;
    struct rchan_block *block = buffer->block;
    /* switch.tail: pairs with read.commit, undo.tail */
    uint64_t consumed = rchan_head_produced(channel, rchan_load_acquire(&block->tail));
    TESTPOINT("switch: room looked for");
    bool room = frame->subbuf - consumed < channel->n_subbufs || channel->flags & RCHAN_OVERWRITE;
    if (!channel->hooks.subbuf_start)
        return room;
    frame->full = !room;
    uint32_t prev = (uint32_t)((frame->subbuf - 1) % channel->n_subbufs);
    return ask_client(buffer, frame, prev, rchan_load(&block->meta[prev].padding), notice);
}

enum rchan_switch rchan_switch_subbuf(struct rchan_buffer *buffer, uint64_t head, uint64_t *now,
                                      struct rchan_notice *notice)
{
    struct rchan_channel *channel = buffer->channel;
    uint64_t produced = rchan_head_produced(channel, head);
    uint64_t offset = rchan_head_offset(channel, head);
    uint32_t forks = channel->fork_count;
    if (offset > channel->full)
        return RCHAN_SWITCH_CORRUPT;
    bool finishing = offset != channel->full;
    if (finishing)
        finish(buffer, produced++, offset, notice);
    *now = rchan_head_word(channel, produced, channel->full);
    struct frame frame = {.buffer = buffer, .subbuf = produced};
    if (may_start(buffer, &frame, notice)) {
        *now = start(buffer, produced, frame.reserved);
        return RCHAN_SWITCHED;
    }
    if (channel->fork_count != forks)
        return RCHAN_SWITCH_VOID;
    notice->became_full = finishing;
    notice->full_subbuf = (uint32_t)((produced - 1) % channel->n_subbufs);
    return RCHAN_STAYS_FULL;
}

void rchan_start_first(struct rchan_buffer *buffer, struct rchan_notice *notice)
{
    struct rchan_channel *channel = buffer->channel;
    struct frame frame = {.buffer = buffer};
    uint32_t forks = channel->fork_count;
    /* A header there already: its maker was killed before `begun`; a reader may have read it. */
    bool again = rchan_load(&buffer->block->head) != 0;
    if (channel->hooks.subbuf_start && !again)
        ask_client(buffer, &frame, -1, 0, notice);
    if (channel->fork_count != forks)
        return;
    if (!again)
        start(buffer, 0, frame.reserved);
    TESTPOINT("begin: head stored");
    rchan_store(&buffer->block->begun, 1);
}
