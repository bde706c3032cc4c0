/* Processes of the storm: each gets on until it is killed. */
#ifndef RCHAN_ACTORS_H
#define RCHAN_ACTORS_H

#include "channel.h"
#include "ledger.h"

enum role {
    WRITER,
    THREADED_WRITER,
    RESERVER,
    FORKING_WRITER,
    READER,
    BELL_READER,
    TAPPER,
    SNAPSHOOTER,
    MEDDLER,
    ROLES
};

struct weather {
    const char *directory, *name;
    bool resets;  /* the meddler may reset */
    bool lingers; /* everybody, now and then, at a testpoint: there kills hit where it hurts */
};

/* Never returns, except where the process cannot do its work at all (a crime). */
void actor_run(enum role role, unsigned number, uint64_t seed, struct rchan_channel *channel,
               const struct weather *weather);

/* Take what is there, in all buffers, and check it. Sub-buffers taken. */
unsigned reader_round(struct rchan_channel *channel, uint64_t *random);

/* A number, from a state that never is 0. */
uint64_t random_next(uint64_t *state);

#endif
