/* The race tables: one actor stopped at each of its testpoints, another run to its end there. */
#ifndef RCHAN_RACE_H
#define RCHAN_RACE_H

#include <stddef.h>

#include "bell.h"
#include "killing.h"

/* ---- the ledger: what everybody tried, and what came out ---- */

enum { RACE_SEQS = 256, RACE_PARTIES = 4, RACE_SUBBUF = 264 };

/* An event carries its record four times; two fit into a packet, as two records into a sub-buffer. */
enum { EVENT_PAYLOAD = 4 * RECORD, EVENT_ID = 7 };

/* What happened to a record, as far as its writer could say. REFUSED: nothing, the channel is for the
 * other kind. */
enum fate { FATE_OPEN, FATE_STORED, FATE_DROPPED, FATE_REFUSED, N_FATES };

struct ledger {
    uint32_t attempts;
    uint8_t fate[RACE_SEQS], party[RACE_SEQS];
    uint8_t delivered[RACE_SEQS]; /* times, to those who consume */
    uint64_t n_delivered;
    int64_t last[RACE_PARTIES]; /* seq delivered last, of each party */
    bool unseen;                /* consumed without being looked at, or by one who died */
    bool
        undone; /* consumed for somebody who may have refused it: then what it made room for stays */
    bool reset;                   /* somebody did one, or may have */
    bool corrupt;                 /* somebody was told so */
    uint64_t appending, appended; /* pieces of metadata: begun, and there for good */
};

void ledger_clear(struct ledger *ledger);
uint64_t ledger_attempt(struct ledger *ledger, unsigned party, uint8_t *record);
void ledger_fate(struct ledger *ledger, uint64_t seq, enum rchan_outcome outcome);
/* Whole records that a consumer got. */
void ledger_deliver(struct ledger *ledger, const uint8_t *bytes, uint64_t count);
/* The same of a sub-buffer, `skipped` bytes of which were read before. */
void ledger_deliver_subbuf(struct ledger *ledger, const struct rchan_subbuf *subbuf,
                           const uint8_t *bytes);
/* Of any bytes of an event channel: whatever events are whole in there, not looked at any further. */
uint64_t ledger_find(const struct ledger *ledger, const uint8_t *bytes, uint64_t count,
                     int64_t seqs[RACE_SEQS]);
void ledger_deliver_part(struct ledger *ledger, const uint8_t *bytes, uint64_t count);
/* Bytes that so many records, and the header before them, take in a sub-buffer. */
uint64_t ledger_bytes(const struct rchan_channel *channel, uint64_t records);
/* Metadata: piece by piece the same as a record of its number. Returns their number. */
uint64_t metadata_check(struct rchan_channel *channel);
/* Read whatever is left, and look whether it all adds up. */
void ledger_close(struct ledger *ledger, struct rchan_channel *channel, bool overwrite);

/* ---- actors ---- */

/* The word (or the lock) that an actor cannot do without; ONLY_: elsewhere it is refused. */
enum {
    NEEDS_OWNER = 1,
    NEEDS_READER = 2,
    NEEDS_ALL_OWNERS = 4,
    NEEDS_METADATA = 16,
    ONLY_PLAIN = 32,
    ONLY_EVENTS = 64
};

/* What became of it. */
enum {
    DID = 1,    /* what it is for */
    NOT = 2,    /* nothing to do, or refused for good: empty, full, closed, there already */
    BUSY = 4,   /* somebody holds what it needs */
    SPILLED = 8 /* stored, in the next buffer */
};

struct party {
    struct rchan_channel *channel; /* NULL: it has to find one */
    struct ledger *ledger;
    unsigned number;
};

struct actor {
    const char *name;
    unsigned needs;
    bool files; /* changes files or attachments: has a channel of its own made for each run */
    int (*act)(struct party *party);
    bool by_name; /* needs no channel to begin with */
    bool forks;
};

int act_event(struct party *party);
int act_append(struct party *party);
int act_record(struct party *party);
int act_hand_on(struct party *party);
int act_hand_on_refused(struct party *party);
int act_bell(struct party *party);
int outcome_of(enum rchan_outcome outcome, bool elsewhere);
int refusal(const struct rchan_error *error);

extern const struct actor race_actors[];
extern const unsigned n_race_actors;
#define RACE_CHANNEL "race"

/* ---- scenes: what the two find ---- */

struct race_scene {
    const char *name;
    uint32_t n_subbufs;
    bool overwrite, events;
    bool own, unnamed, absent; /* a channel for each run; buffer-only; none at all */
    bool obstacle;             /* a file is in the way of the first buffer's */
    uint32_t records, reads;   /* written, and of those read, before */
    uint32_t gate;
    bool holder;         /* a third has a reservation all the time */
    const char *stopped; /* the only one who is; NULL: all */
    const char *ghost;   /* the testpoint at which one has died before */
    unsigned ghost_actor;
};

extern const struct race_scene race_scenes[];
extern const unsigned n_race_scenes;

struct stage {
    const struct race_scene *scene;
    struct party first, second;
    struct ledger *ledger; /* in memory that forked processes share */
    struct rchan_bell bell;
    struct rchan_channel *third;
    struct rchan_reservation held;
    bool killed; /* the first actor was */
    uint64_t head;
    uint32_t epochs[2];
};

/* RCHAN_RACE=short (for sanitizers): nobody forks, two scenes of kills, no table. */
bool race_is_short(void);
/* Channels made for each run, or used again and again? */
bool stage_is_own(const struct race_scene *scene);
/* May it be stopped here? And that one come to it? */
bool stage_has_part(const struct race_scene *scene, const struct actor *stopped);
bool stage_has_parts(const struct race_scene *scene, const struct actor *stopped,
                     const struct actor *other);
/* Nothing but a fresh ledger and two without a channel. */
void stage_prepare(struct stage *stage, const struct race_scene *scene);
void stage_set(struct stage *stage, const struct race_scene *scene);
/* After both actors: is everybody awake who has to be? Do the books close? Is nothing left behind? */
void stage_close(struct stage *stage);
/* Let go of the channels that are used again. */
void stages_end(void);
/* Either's channel; NULL: there is none. */
struct rchan_channel *stage_channel(const struct stage *stage);

/* ---- the testpoints that an actor passes ---- */

enum { MOST_PASSED = 160, OFTEN = 4 };

/* Each testpoint as often as it is passed, up to OFTEN times. */
struct way {
    unsigned n_hits, n_points;
    const char *points[MOST_PASSED];
    unsigned hits[MOST_PASSED]; /* how many were passed before it */
    bool first[MOST_PASSED];    /* not passed before on this way */
};

/* Let it go alone, and note them. */
void way_find(const struct race_scene *scene, const struct actor *actor, struct way *way);

/* Kill every actor at each of its testpoints. */
void race_kill(const struct race_scene *scene, char *context, size_t room);

/* ---- the table ---- */

/* What `actor` came to at a testpoint at which these words were held by living ones. */
void table_note(const char *point, unsigned actor, int outcome, unsigned held, bool forbidden);
/* The same name, as long as the program runs. */
const char *table_name(const char *point);
void table_killed(const char *point, bool forbidden);
/* Nothing missing, nothing FORBIDDEN? */
void table_check(void);
void table_write(const char *file);
void table_compare(const char *file);

#endif
