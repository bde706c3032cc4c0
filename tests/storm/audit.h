/* After each round: nobody hangs, everything can be read, and the ledger agrees with the books. */
#ifndef RCHAN_AUDIT_H
#define RCHAN_AUDIT_H

#include "channel.h"

struct totals {
    uint64_t attempted, stored, delivered, overwritten, discarded, dropped, unknown;
};

/* All actors are dead. Adds to *totals; crimes go to the ledger. */
void audit(struct rchan_channel *channel, bool losses_allowed, struct totals *totals);

#endif
