/* What was tried, what became of it, what was delivered: and whether it adds up. */
#include <string.h>

#include "metadata.h"

#include "race.h"

void ledger_clear(struct ledger *ledger)
{
    memset(ledger, 0, sizeof *ledger);
    for (unsigned i = 0; i < RACE_PARTIES; i++)
        ledger->last[i] = -1;
}

uint64_t ledger_attempt(struct ledger *ledger, unsigned party, uint8_t *record)
{
    uint64_t seq = ledger->attempts++;
    REQUIRE(seq < RACE_SEQS);
    ledger->party[seq] = (uint8_t)party;
    ledger->fate[seq] = FATE_OPEN;
    record_make(record, seq);
    return seq;
}

void ledger_fate(struct ledger *ledger, uint64_t seq, enum rchan_outcome outcome)
{
    ledger->fate[seq] = outcome == RCHAN_STORED      ? FATE_STORED
                        : outcome == RCHAN_NOT_PLAIN ? FATE_REFUSED
                                                     : FATE_DROPPED;
    ledger->corrupt |= outcome == RCHAN_CORRUPT;
}

static void deliver(struct ledger *ledger, int64_t seq)
{
    if (!CHECK(seq >= 0 && seq < ledger->attempts))
        return;                            /* invented */
    CHECK_EQ(ledger->delivered[seq]++, 0); /* not twice */
    unsigned party = ledger->party[seq];
    CHECK(ledger->last[party] < seq);
    ledger->last[party] = seq;
    ledger->n_delivered++;
}

void ledger_deliver(struct ledger *ledger, const uint8_t *bytes, uint64_t count)
{
    CHECK_EQ(count % RECORD, 0);
    for (uint64_t at = 0; at + RECORD <= count; at += RECORD)
        deliver(ledger, record_seq(bytes + at)); /* not torn */
}

/* ---- events ---- */

enum { EVENT = RCHAN_EVENT_HEADER + EVENT_PAYLOAD, PACKET = sizeof(struct rchan_packet) };

uint64_t ledger_bytes(const struct rchan_channel *channel, uint64_t records)
{
    return channel->packet_header ? PACKET + records * EVENT : records * RECORD;
}

static bool same_four(const uint8_t *payload)
{
    return !memcmp(payload, payload + RECORD, EVENT_PAYLOAD - RECORD);
}

static void check_packet(const struct rchan_subbuf *subbuf, const uint8_t *bytes)
{
    struct rchan_packet packet;
    memcpy(&packet, bytes, sizeof packet);
    CHECK_EQ(packet.magic, RCHAN_PACKET_MAGIC);
    CHECK_EQ(packet.content_size, subbuf->length * 8);
    CHECK_EQ(packet.events, subbuf->records);
    CHECK(packet.timestamp_begin <= packet.timestamp_end);
}

void ledger_deliver_subbuf(struct ledger *ledger, const struct rchan_subbuf *subbuf,
                           const uint8_t *bytes)
{
    uint64_t skipped = subbuf->skipped, end = skipped + subbuf->length;
    if (!subbuf->buffer->channel->packet_header) {
        ledger_deliver(ledger, bytes, subbuf->length);
        return;
    }
    if (!skipped)
        check_packet(subbuf, bytes);
    for (uint64_t at = PACKET; at < end; at += EVENT) {
        if (at < skipped)
            continue;
        const uint8_t *event = bytes + (at - skipped), *payload = event + RCHAN_EVENT_HEADER;
        if (!CHECK(at + EVENT <= end))
            continue;
        CHECK(event[0] == EVENT_ID && same_four(payload));
        deliver(ledger, record_seq(payload));
    }
}

uint64_t ledger_find(const struct ledger *ledger, const uint8_t *bytes, uint64_t count,
                     int64_t seqs[RACE_SEQS])
{
    uint64_t found = 0, seq;
    uint8_t record[RECORD];
    for (uint64_t at = 0; at + EVENT_PAYLOAD <= count; at++) {
        memcpy(&seq, bytes + at, sizeof seq);
        record_make(record, seq);
        if (seq >= ledger->attempts || memcmp(record, bytes + at, RECORD) ||
            !same_four(bytes + at) || found == RACE_SEQS)
            continue;
        seqs[found++] = (int64_t)seq;
        at += EVENT_PAYLOAD - 1;
    }
    return found;
}

void ledger_deliver_part(struct ledger *ledger, const uint8_t *bytes, uint64_t count)
{
    int64_t seqs[RACE_SEQS];
    uint64_t found = ledger_find(ledger, bytes, count, seqs);
    for (uint64_t i = 0; i < found; i++)
        deliver(ledger, seqs[i]);
}

uint64_t metadata_check(struct rchan_channel *channel)
{
    uint8_t piece[RECORD];
    int64_t length = rchan_metadata_length(channel);
    CHECK(length >= 0 && length % RECORD == 0);
    for (int64_t at = 0; at + RECORD <= length; at += RECORD) {
        CHECK_EQ(rchan_metadata_read(channel, (uint64_t)at, piece, RECORD), 0);
        CHECK_EQ(record_seq(piece), at / RECORD);
    }
    return (uint64_t)length / RECORD;
}

/* ---- the end ---- */

static void drain(struct ledger *ledger, struct rchan_buffer *buffer)
{
    uint8_t bytes[RECORD * 64];
    struct rchan_subbuf subbuf;
    uint64_t most = buffer->channel->packet_header ? 0 : sizeof bytes; /* packets: whole */
    int64_t count = rchan_read(buffer, bytes, most);
    if (count == -11) /* EAGAIN, once: a dead one's reset is ended first */
        count = rchan_read(buffer, bytes, most);
    if (CHECK(count >= 0))
        ledger_deliver(ledger, bytes, (uint64_t)count);
    CHECK_EQ(rchan_buffer_flush(buffer), 0);
    while (rchan_subbuf_take(buffer, &subbuf) == 1) {
        ledger_deliver_subbuf(ledger, &subbuf, subbuf.data);
        CHECK(rchan_subbuf_give_back(&subbuf, UINT64_MAX));
    }
}

struct sums {
    uint64_t written, dropped, consumed, overwritten, discarded, readable_bytes;
    uint64_t written_bytes, consumed_bytes, overwritten_bytes, discarded_bytes;
};

static void add_books(struct sums *sums, const struct rchan_books *books)
{
    sums->written += books->written_records;
    sums->consumed += books->consumed_records;
    sums->overwritten += books->overwritten_records;
    sums->discarded += books->discarded_records;
    sums->written_bytes += books->written_bytes;
    sums->consumed_bytes += books->consumed_bytes;
    sums->overwritten_bytes += books->overwritten_bytes;
    sums->discarded_bytes += books->discarded_bytes;
    for (unsigned cause = 0; cause < RCHAN_DROP_CAUSES; cause++)
        sums->dropped += books->dropped_records[cause];
    CHECK_EQ(books->readable_records, 0);
    sums->readable_bytes += books->readable_bytes;
}

/* Plain records: no byte but theirs. Events: headers, too, the last one unread. */
static void check_bytes(const struct ledger *ledger, const struct sums *sums, bool events)
{
    if (events) {
        CHECK_EQ((sums->written_bytes - sums->written * EVENT) % PACKET, 0);
        CHECK(sums->readable_bytes == 0 || sums->readable_bytes == PACKET);
        CHECK(ledger->unseen || ledger->n_delivered == sums->consumed);
        CHECK(ledger->n_delivered * EVENT <= sums->consumed_bytes);
        return;
    }
    CHECK_EQ(sums->readable_bytes, 0);
    CHECK_EQ(sums->written_bytes, sums->written * RECORD);
    CHECK(ledger->n_delivered * RECORD <= sums->consumed_bytes);
    CHECK(ledger->unseen || ledger->n_delivered * RECORD == sums->consumed_bytes);
}

static void check_sums(const struct ledger *ledger, const struct sums *sums, bool overwrite)
{
    uint64_t fates[N_FATES] = {0};
    for (uint32_t seq = 0; seq < ledger->attempts; seq++) {
        fates[ledger->fate[seq]]++;
        CHECK(!ledger->delivered[seq] || ledger->fate[seq] < FATE_DROPPED);
    }
    CHECK(!ledger->corrupt);
    CHECK(sums->written >= fates[FATE_STORED]);
    CHECK(sums->written <= fates[FATE_STORED] + fates[FATE_OPEN]);
    CHECK(sums->dropped >= fates[FATE_DROPPED]);
    CHECK(sums->written + sums->dropped <= ledger->attempts);
    CHECK_EQ(sums->consumed + sums->overwritten + sums->discarded, sums->written);
    CHECK_EQ(sums->consumed_bytes + sums->overwritten_bytes + sums->discarded_bytes +
                 sums->readable_bytes,
             sums->written_bytes);
    /* Nothing unread was overwritten; what was read and refused too late is counted as that. */
    CHECK(overwrite || ledger->undone || !sums->overwritten_bytes);
    CHECK(ledger->reset || !sums->discarded_bytes);
}

void ledger_close(struct ledger *ledger, struct rchan_channel *channel, bool overwrite)
{
    struct sums sums = {0};
    rchan_channel_refresh(channel);
    for (uint32_t i = 0; i < channel->n_buffers; i++) {
        struct rchan_buffer *buffer = &channel->buffers[i];
        if (!rchan_load(&buffer->data))
            continue;
        for (unsigned party = 0; i && party < RACE_PARTIES; party++)
            ledger->last[party] = -1; /* each buffer has an order of its own */
        drain(ledger, buffer);
        struct rchan_books books = fixture_books(buffer);
        add_books(&sums, &books);
        CHECK_EQ(rchan_load(&buffer->block->owner), 0);
        CHECK_EQ(rchan_load(&buffer->block->reader), 0);
        CHECK(!(rchan_load(&buffer->block->resetting) & 1));
    }
    check_sums(ledger, &sums, overwrite);
    check_bytes(ledger, &sums, channel->packet_header);
    uint64_t pieces = metadata_check(channel);
    CHECK(pieces >= ledger->appended && pieces <= ledger->appending);
}
