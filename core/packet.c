/* Headers of packets. */
#include "packet.h"

#include <string.h>

#include "books.h"
#include "stamp.h"
#include "testpoint.h"

static uint8_t *place_of(const struct rchan_buffer *buffer, uint64_t subbuf)
{
    const struct rchan_channel *channel = buffer->channel;
    return buffer->map + (subbuf % channel->n_subbufs) * (uint64_t)channel->subbuf_size;
}

/* Everything lost here that is no packet: of every cause. */
static uint64_t discarded(const struct rchan_block *block)
{
    uint64_t sum = 0, records, bytes;
    for (unsigned cause = 0; cause < RCHAN_DROP_CAUSES; cause++) {
        rchan_drop_read(block, cause, &records, &bytes);
        sum += records;
    }
    return sum;
}

void rchan_packet_begin(struct rchan_buffer *buffer, uint64_t subbuf)
{
    const struct rchan_channel *channel = buffer->channel;
    uint64_t stamp = rchan_stamp(buffer);
    struct rchan_packet packet = {
        .magic = RCHAN_PACKET_MAGIC,
        .timestamp_begin = stamp,
        .timestamp_end = stamp,
        .packet_size = channel->subbuf_size * UINT64_C(8),
        .packet_seq_num = rchan_load(&buffer->block->packets_before) + subbuf,
        .events_discarded = discarded(buffer->block),
        .monotonic_ns = rchan_now_ns(),
        .cpu_id = buffer->index,
    };
    memcpy(packet.uuid, channel->header->uuid, sizeof packet.uuid);
    memcpy(place_of(buffer, subbuf), &packet, sizeof packet);
    TESTPOINT("packet: begun");
}

static void put(uint8_t *packet, size_t at, uint64_t value)
{
    memcpy(packet + at, &value, sizeof value);
}

void rchan_packet_finish(struct rchan_buffer *buffer, uint64_t subbuf, uint64_t offset)
{
    uint8_t *packet = place_of(buffer, subbuf);
    uint32_t events = (uint32_t)(rchan_load(&buffer->block->pending) >> buffer->channel->shift);
    put(packet, offsetof(struct rchan_packet, timestamp_end), rchan_stamp(buffer));
    put(packet, offsetof(struct rchan_packet, events_discarded), discarded(buffer->block));
    memcpy(packet + offsetof(struct rchan_packet, events), &events, sizeof events);
    TESTPOINT("packet: finishing");
    put(packet, offsetof(struct rchan_packet, content_size), offset * 8);
    TESTPOINT("packet: finished");
}

uint64_t rchan_packets_begun(const struct rchan_buffer *buffer, uint64_t head)
{
    uint64_t offset = rchan_head_offset(buffer->channel, head);
    bool unfinished = offset && offset != buffer->channel->full;
    return rchan_load(&buffer->block->packets_before) + rchan_head_produced(buffer->channel, head) +
           unfinished;
}
