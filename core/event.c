/* Writing events: like records, with a header made under the owner word. */
#include "event.h"

#include <string.h>

#include "fast.h"
#include "stamp.h"
#include "task.h"

static inline void put_header(uint8_t *to, uint16_t id, uint64_t stamp, uint16_t cpu)
{
    struct rchan_task task = rchan_task_now();
    memcpy(to, &id, 2);
    memcpy(to + 2, &stamp, 8);
    memcpy(to + 10, &cpu, 2);
    memcpy(to + 12, &task.pid, 4);
    memcpy(to + 16, &task.tid, 4);
    static_assert(RCHAN_EVENT_HEADER == 20, "the header as docs/reference/events-format.md has it");
}

static enum rchan_outcome event_slow(struct rchan_channel *channel, uint16_t id,
                                     const void *payload, uint64_t length)
{
    struct rchan_reservation place;
    uint64_t whole = RCHAN_EVENT_HEADER + length;
    if (!channel->packet_header)
        return RCHAN_NOT_PLAIN;
    enum rchan_outcome outcome = rchan_reserve_any(channel, -1, whole, &place);
    if (outcome != RCHAN_STORED)
        return outcome;
    put_header(place.data, id, rchan_stamp(place.buffer), (uint16_t)rchan_current_cpu());
    memcpy(place.data + RCHAN_EVENT_HEADER, payload, length);
    /* False: a callback forked, and this copy of the place is not ours. */
    return rchan_commit(&place, whole) ? RCHAN_STORED : RCHAN_DROPPED_CONTENDED;
}

enum rchan_outcome rchan_event(struct rchan_channel *channel, uint16_t id, const void *payload,
                               uint64_t length)
{
    int cpu = rchan_current_cpu();
    uint64_t whole = RCHAN_EVENT_HEADER + length;
    struct rchan_buffer *buffer = rchan_fast_buffer(channel, cpu);
    if (rchan_unlikely(!buffer))
        return event_slow(channel, id, payload, length);
    uint64_t head = rchan_load(&buffer->block->head);
    uint8_t *place = rchan_fast_place(channel, buffer, head, whole, RCHAN_GATE_SLOW_EVENT);
    if (rchan_unlikely(!place || !channel->packet_header)) {
        rchan_word_give(&buffer->block->owner);
        return event_slow(channel, id, payload, length);
    }
    TESTPOINT("event: fast owner taken");
    put_header(place, id, rchan_stamp(buffer), (uint16_t)cpu);
    if (length > RCHAN_COPY_SHORT)
        memcpy(place + RCHAN_EVENT_HEADER, payload, length);
    else
        rchan_copy_short(place + RCHAN_EVENT_HEADER, payload, length);
    rchan_fast_commit(buffer, head, whole);
    return RCHAN_STORED;
}
