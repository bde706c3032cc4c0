/* Readers that record, and those that wait with a bell. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "consume.h"
#include "race.h"
#include "stream.h"

/* ---- recording ---- */

/* What the files hold, as the index has it; others may have had later ones by now. */
static void deliver_recorded(struct party *party, const struct rchan_stream *stream)
{
    uint8_t bytes[RACE_SUBBUF];
    struct rchan_entry entry;
    int64_t had[RACE_PARTIES], *last = party->ledger->last;
    memcpy(had, last, sizeof had);
    for (unsigned i = 0; i < RACE_PARTIES; i++)
        last[i] = -1;
    for (uint64_t i = 0; i < stream->subbufs; i++) {
        uint64_t at = i * sizeof entry;
        CHECK_EQ(pread(stream->index_fd, &entry, sizeof entry, (off_t)at), sizeof entry);
        REQUIRE(entry.length <= sizeof bytes);
        CHECK_EQ(pread(stream->data_fd, bytes, entry.length, (off_t)entry.offset), entry.length);
        struct rchan_subbuf recorded = {.buffer = &party->channel->buffers[0],
                                        .length = entry.length,
                                        .skipped = entry.skipped,
                                        .records = entry.records};
        ledger_deliver_subbuf(party->ledger, &recorded, bytes);
    }
    for (unsigned i = 0; i < RACE_PARTIES; i++)
        last[i] = last[i] > had[i] ? last[i] : had[i];
}

int act_record(struct party *party)
{
    struct rchan_stream stream = {.data_fd = memfd_create("race data", MFD_CLOEXEC),
                                  .index_fd = memfd_create("race index", MFD_CLOEXEC)};
    REQUIRE(stream.data_fd >= 0 && stream.index_fd >= 0);
    enum rchan_drained drained = rchan_stream_drain(&stream, &party->channel->buffers[0], 9);
    CHECK(drained <= RCHAN_DRAINED_BUSY);
    deliver_recorded(party, &stream);
    close(stream.data_fd);
    close(stream.index_fd);
    return stream.subbufs ? DID : drained == RCHAN_DRAINED_BUSY ? BUSY : NOT;
}

/* ---- a read for somebody else ---- */

/* As much as `act_read`; refused: the bytes are unread again. */
static int hand_on(struct party *party, bool accepted)
{
    uint8_t bytes[RACE_SUBBUF];
    struct rchan_hold hold = {.copy = bytes};
    struct rchan_buffer *buffer = &party->channel->buffers[0];
    bool events = party->channel->packet_header;
    party->ledger->undone = true;
    uint64_t most = events ? sizeof bytes : 3 * RECORD;
    int64_t count = rchan_hold(buffer, most, party->channel->owner_wait_us, &hold);
    if (count <= 0)
        return count == -EAGAIN ? BUSY : NOT;
    CHECK_EQ(hold.n_parts, 1);
    party->ledger->unseen |= events;
    if (accepted && events)
        ledger_deliver_part(party->ledger, bytes, (uint64_t)count);
    else if (accepted)
        ledger_deliver(party->ledger, bytes, (uint64_t)count);
    rchan_hold_end(&hold, accepted);
    return DID;
}

int act_hand_on(struct party *party)
{
    return hand_on(party, true);
}

int act_hand_on_refused(struct party *party)
{
    return hand_on(party, false);
}

/* ---- a bell ---- */

static uint32_t look(const void *buffer)
{
    return rchan_poll(buffer);
}

/* Whoever brings news after it has settled rings; who brought some before is seen. */
int act_bell(struct party *party)
{
    struct rchan_bell bell;
    struct rchan_error error = {0};
    const struct rchan_buffer *buffer = &party->channel->buffers[0];
    if (rchan_bell_open(party->channel, &bell, &error))
        return refusal(&error);
    CHECK(rchan_bell_rearm(&bell));
    CHECK(rchan_bell_settle(&bell, look, buffer, true));
    struct pollfd rung = {.fd = bell.fd, .events = POLLIN};
    CHECK(!look(buffer) || poll(&rung, 1, 0) == 1);
    rchan_bell_close(&bell);
    return DID;
}
