/* Packets as they come from anywhere: every word is checked; what is wrong is skipped and counted. */
#include <string.h>

#include "../core/layout.h"
#include "decode.h"

enum { MAGIC_OTHER_ORDER = 0xc11ffcc1u, BITS = 8, SPARE = 8, SPARE_ROOM = 1 << 20 };

/* ---- fields ---- */

const uint8_t decode_sizes[BIND_KINDS] = {
    [BIND_U8] = 1,  [BIND_U16] = 2, [BIND_U32] = 4, [BIND_U64] = 8, [BIND_I8] = 1,   [BIND_I16] = 2,
    [BIND_I32] = 4, [BIND_I64] = 8, [BIND_F32] = 4, [BIND_F64] = 8, [BIND_BOOL] = 1,
};

static const uint8_t *skip(const uint8_t *at, const uint8_t *end, size_t length)
{
    return (size_t)(end - at) >= length ? at + length : NULL;
}

static const uint8_t *measure_scalar(enum bind_kind kind, const uint8_t *at, const uint8_t *end)
{
    if (kind == BIND_STRING || kind == BIND_TEXT) {
        const uint8_t *nul = memchr(at, 0, (size_t)(end - at));
        return nul ? nul + 1 : NULL;
    }
    if (kind == BIND_BYTES)
        return end - at < 2 ? NULL : skip(at + 2, end, decode_u16(at));
    return skip(at, end, decode_sizes[kind]);
}

static const uint8_t *measure_field(const struct decode_field *field, const uint8_t *at,
                                    const uint8_t *end)
{
    if (field->count == BIND_SCALAR)
        return measure_scalar(field->kind, at, end);
    uint32_t count = (uint32_t)field->count;
    if (field->count == BIND_VARIABLE) {
        if (end - at < 2)
            return NULL;
        count = decode_u16(at);
        at += 2;
    }
    if (decode_sizes[field->kind])
        return skip(at, end, (size_t)count * decode_sizes[field->kind]);
    for (uint32_t i = 0; at && i < count; i++)
        at = measure_scalar(field->kind, at, end);
    return at;
}

const uint8_t *decode_measure(const struct decode_type *type, const uint8_t *at, const uint8_t *end)
{
    if (type->fixed != UINT32_MAX)
        return skip(at, end, type->fixed);
    for (uint16_t i = 0; at && i < type->n_fields; i++)
        at = measure_field(&type->fields[i], at, end);
    return at;
}

/* Bytes of the character that begins at `at`; 0: none does. */
static size_t utf8_character(const uint8_t *at, size_t left)
{
    static const uint8_t least[] = {0, 0, 0x80, 0xa0, 0x90}, most[] = {0, 0, 0xbf, 0x9f, 0x8f};
    uint8_t first = at[0];
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first > 0xf4 || !length || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((first == 0xe0 || first == 0xf0) && at[1] < least[length])
        return 0;
    if ((first == 0xed || first == 0xf4) && at[1] > most[length])
        return 0;
    return length;
}

bool decode_is_utf8(const uint8_t *at, size_t length)
{
    const uint8_t *end = at + length;
    while (at < end) {
        while (end - at >= 8 && !(decode_u64(at) & UINT64_C(0x8080808080808080)))
            at += 8;
        if (at == end)
            break;
        size_t step = utf8_character(at, (size_t)(end - at));
        if (!step)
            return false;
        at += step;
    }
    return true;
}

int64_t decode_realtime(const struct decode_clock *clock, uint64_t stamp)
{
    const uint64_t ns = UINT64_C(1000000000), frequency = clock->frequency;
    uint64_t ticks = stamp - clock->anchor, whole;
    if (stamp < clock->anchor) { /* rounded down, as in rchan.events.clock */
        unsigned __int128 back = (unsigned __int128)(clock->anchor - stamp) * ns;
        return (int64_t)((uint64_t)clock->realtime_ns -
                         (uint64_t)((back + frequency - 1) / frequency));
    }
    if (frequency == ns) {
        whole = ticks;
    } else if (clock->factor) { /* without a division: at most 1 too small, which is mended */
        whole = (uint64_t)(((unsigned __int128)ticks * clock->factor) >> 64);
        whole += ticks * ns - whole * frequency >= frequency;
    } else {
        whole = (uint64_t)((unsigned __int128)ticks * ns / frequency);
    }
    return (int64_t)((uint64_t)clock->realtime_ns + whole);
}

/* ---- packets ---- */

/* What is wrong with its header; DECODE_CAUSES: nothing. */
static enum decode_cause wrong_header(const struct bind_decoder *self,
                                      const struct rchan_packet *header, bool finished)
{
    if (header->magic == MAGIC_OTHER_ORDER)
        return DECODE_ORDER;
    if (header->magic != RCHAN_PACKET_MAGIC || header->stream_id)
        return DECODE_MAGIC;
    if (memcmp(header->uuid, self->uuid, sizeof self->uuid))
        return DECODE_UUID;
    if (!finished)
        return DECODE_CAUSES;
    if (header->content_size % BITS || header->packet_size % BITS ||
        header->content_size < sizeof *header * BITS || header->content_size > header->packet_size)
        return DECODE_SIZE;
    return header->timestamp_begin > header->timestamp_end ? DECODE_TIME : DECODE_CAUSES;
}

static struct decode_packet *packet_for(struct bind_decoder *self, size_t length)
{
    struct decode_packet *packet = self->spare;
    if (packet) {
        self->spare = packet->next;
        self->n_spare--;
        if (packet->room >= length)
            return packet;
        PyMem_Free(packet);
    }
    packet = PyMem_Malloc(sizeof *packet + length);
    if (packet)
        packet->room = length;
    return packet;
}

static void packet_done(struct bind_decoder *self, struct decode_packet *packet)
{
    if (self->n_spare == SPARE || packet->room > SPARE_ROOM) {
        PyMem_Free(packet);
        return;
    }
    packet->next = self->spare;
    self->spare = packet;
    self->n_spare++;
}

bool decode_feed(struct bind_decoder *self, uint32_t id, const uint8_t *data, size_t length,
                 bool finished)
{
    struct decode_stream *stream = decode_stream_of(self, id);
    struct rchan_packet header;
    if (!stream)
        return false;
    self->packets++;
    enum decode_cause cause = DECODE_SHORT;
    if (length >= sizeof header) {
        memcpy(&header, data, sizeof header);
        cause = wrong_header(self, &header, finished);
    }
    if (cause != DECODE_CAUSES) {
        self->damage[cause]++;
        self->skipped_bytes += length;
        return true;
    }
    size_t content = finished && header.content_size / BITS < length
                         ? (size_t)(header.content_size / BITS)
                         : length;
    struct decode_packet *packet = packet_for(self, content);
    if (!packet)
        return PyErr_NoMemory() != NULL;
    *packet = (struct decode_packet){
        .begin = header.timestamp_begin,
        .end = finished ? header.timestamp_end : UINT64_MAX,
        .sequence = header.packet_seq_num,
        .discarded = header.events_discarded,
        .events = finished ? header.events : 0,
        .length = content,
        .room = packet->room,
        .finished = finished,
        .truncated = finished && header.content_size / BITS > length,
    };
    memcpy(packet->data, data, content);
    *(stream->last ? &stream->last->next : &stream->first) = packet;
    stream->last = packet;
    return true;
}

/* ---- streams ---- */

struct decode_stream *decode_stream_of(struct bind_decoder *self, uint32_t id)
{
    uint32_t place = 0;
    while (place < self->n_streams && self->streams[place]->id < id)
        place++;
    if (place < self->n_streams && self->streams[place]->id == id)
        return self->streams[place];
    if (self->n_streams == self->room_streams) {
        uint32_t room = self->room_streams ? self->room_streams * 2 : 8;
        void *streams = PyMem_Realloc(self->streams, room * sizeof *self->streams);
        if (streams)
            self->streams = streams;
        void *heap = streams ? PyMem_Realloc(self->heap, room * sizeof *self->heap) : NULL;
        if (!heap)
            return (struct decode_stream *)PyErr_NoMemory();
        self->heap = heap;
        self->room_streams = room;
    }
    struct decode_stream *stream = PyMem_Calloc(1, sizeof *stream);
    if (!stream)
        return (struct decode_stream *)PyErr_NoMemory();
    stream->id = id;
    stream->open = true;
    memmove(self->streams + place + 1, self->streams + place,
            (self->n_streams - place) * sizeof *self->streams);
    self->streams[place] = stream;
    self->n_streams++;
    return stream;
}

/* What its header tells of losses since the packet before. */
static void count_losses(struct bind_decoder *self, struct decode_stream *stream,
                         const struct decode_packet *packet)
{
    if (stream->begun && packet->sequence > stream->sequence)
        self->missing_packets += packet->sequence - stream->sequence - 1;
    stream->sequence = packet->sequence;
    if (packet->finished) {
        bool from_start = !stream->begun && !packet->sequence;
        if ((stream->begun || from_start) && packet->discarded > stream->discarded)
            self->discarded_events += packet->discarded - stream->discarded;
        stream->discarded = packet->discarded;
    }
    stream->begun = true;
}

/* Begin with `first`. */
static void open_packet(struct bind_decoder *self, struct decode_stream *stream)
{
    const struct decode_packet *packet = stream->first;
    count_losses(self, stream, packet);
    stream->at = packet->data + sizeof(struct rchan_packet);
    stream->end = packet->data + packet->length;
    stream->read = 0;
    stream->stamp = packet->begin;
    if (packet->truncated)
        self->damage[DECODE_TRUNCATED]++;
}

/* Done with `first`. rest: its events from `at` on cannot be read. */
static void close_packet(struct bind_decoder *self, struct decode_stream *stream, bool rest)
{
    struct decode_packet *packet = stream->first;
    if (rest)
        self->skipped_bytes += (uint64_t)(stream->end - stream->at);
    if ((rest || packet->truncated) && packet->events > stream->read)
        self->skipped_events += packet->events - stream->read;
    else if (packet->finished && packet->events != stream->read)
        self->damage[DECODE_COUNT]++;
    if (packet->finished && packet->end > stream->stamp)
        stream->stamp = packet->end;
    stream->first = packet->next;
    if (!stream->first)
        stream->last = NULL;
    stream->at = NULL;
    packet_done(self, packet);
}

/* The event at `at`, if there can be one. DECODE_CAUSES: fine. */
static enum decode_cause look_at_event(const struct bind_decoder *self,
                                       struct decode_stream *stream)
{
    if (stream->end - stream->at < DECODE_FIELDS_AT)
        return DECODE_CUT;
    uint16_t id = decode_u16(stream->at + DECODE_ID_AT);
    if (id >= self->n_types)
        return DECODE_ID;
    stream->type = id;
    stream->after = decode_measure(&self->types[id], stream->at + DECODE_FIELDS_AT, stream->end);
    if (!stream->after)
        return DECODE_CUT;
    uint64_t stamp = decode_u64(stream->at + DECODE_STAMP_AT);
    return stamp < stream->stamp || stamp > stream->first->end ? DECODE_STAMP : DECODE_CAUSES;
}

bool decode_advance(struct bind_decoder *self, struct decode_stream *stream)
{
    for (;;) {
        if (!stream->at) {
            if (!stream->first)
                return false;
            open_packet(self, stream);
        }
        if (stream->at == stream->end) {
            close_packet(self, stream, false);
            continue;
        }
        enum decode_cause cause = look_at_event(self, stream);
        if (cause == DECODE_CAUSES) {
            stream->stamp = decode_u64(stream->at + DECODE_STAMP_AT);
            return true;
        }
        if (cause != DECODE_CUT || !stream->first->truncated)
            self->damage[cause]++;
        if (cause != DECODE_STAMP) {
            close_packet(self, stream, true);
            continue;
        }
        self->skipped_events++;
        self->skipped_bytes += (uint64_t)(stream->after - stream->at);
        stream->at = stream->after;
        stream->read++;
    }
}

void decode_stream_free(struct decode_stream *stream)
{
    while (stream->first) {
        struct decode_packet *next = stream->first->next;
        PyMem_Free(stream->first);
        stream->first = next;
    }
    PyMem_Free(stream);
}
