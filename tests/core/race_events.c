/* Those who write events, and describe them. */
#include <errno.h>
#include <string.h>

#include "event.h"
#include "metadata.h"
#include "race.h"

int act_event(struct party *party)
{
    uint8_t payload[EVENT_PAYLOAD];
    uint64_t seq = ledger_attempt(party->ledger, party->number, payload);
    for (int copy = 1; copy < EVENT_PAYLOAD / RECORD; copy++)
        memcpy(payload + copy * RECORD, payload, RECORD);
    enum rchan_outcome outcome = rchan_event(party->channel, EVENT_ID, payload, sizeof payload);
    CHECK_EQ(outcome == RCHAN_NOT_PLAIN, !party->channel->packet_header);
    ledger_fate(party->ledger, seq, outcome);
    return outcome_of(outcome, false);
}

int act_append(struct party *party)
{
    uint8_t piece[RECORD];
    uint64_t number = metadata_check(party->channel);
    record_make(piece, number);
    party->ledger->appending++;
    int result = rchan_metadata_append(party->channel, number * RECORD, piece, RECORD, 1);
    CHECK(result == 0 || result == -EBUSY);
    party->ledger->appended += !result;
    return result ? BUSY : DID;
}
