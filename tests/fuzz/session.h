/* A sequence of operations on a channel whose memory somebody else is changing. */
#ifndef RCHAN_SESSION_H
#define RCHAN_SESSION_H

#include "ground.h"

/* What the process under test has in its hands. */
struct session {
    struct ground *ground;
    struct script script;
    struct rchan_subbuf subbuf;
    struct rchan_reservation place;
    struct rchan_tap tap;
    bool tapping;
    bool described; /* the control file may be longer now */
};

typedef void session_act(struct session *session);

/* The first byte chooses the channel; then act after act, until the input ends. */
void session_play(session_act *const *acts, unsigned n_acts, const uint8_t *data, size_t size);

/* What every target needs: some data (records or events), and the enemy. */
session_act act_write, act_flush, act_poke, act_ambush;
/* Adds to the metadata of an event channel, and reads it. */
session_act act_describe;

#endif
