/* What the storm knows about every record, in memory that outlives each process: who tried to write
 * it, what became of that, and in which sub-buffer a reader found it. */
#ifndef RCHAN_LEDGER_H
#define RCHAN_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "atomics.h"

enum { LIVES = 8192, SEQS = 1 << 14, ACTORS = 32, WILD = 16 };

/* A record's fate, as its writer knows it. UNKNOWN: killed between the attempt and the answer. */
enum fate { NEVER, UNKNOWN, STORED, FULL, TOO_BIG, DISABLED, CONTENDED, ABORTED, FATES };

/* What must be 0 at the end. */
enum crime {
    TORN,       /* a record with a wrong checksum, or cut */
    DUPLICATED, /* one record in two sub-buffers */
    INVENTED,   /* delivered, but never attempted, or answered with "dropped" */
    UNCOUNTED,  /* lost, and no counter says so; or the books do not close */
    WEDGED,     /* somebody waits for ever */
    FAILED,     /* a call that must work did not */
    CRIMES
};
extern const char *const crime_names[CRIMES];

struct actor_state {
    rchan_a64 beats;   /* grows as long as it gets on */
    rchan_a32 stopped; /* was ever sent SIGSTOP: its waits say nothing */
};

struct ledger {
    rchan_a64 crimes[CRIMES];
    rchan_a32 lives;      /* handed out in this round */
    rchan_a32 stop_wild;  /* no more grandchildren */
    rchan_a64 wild[WILD]; /* their process ids */
    rchan_a64 checked;    /* records looked at, however often */
    rchan_a64 redelivered, copied;
    rchan_a64 longest_write_ns;
    struct actor_state actors[ACTORS];
    rchan_a32 next_seq[LIVES]; /* attempts of each life */
    _Atomic(uint8_t) fates[LIVES][SEQS];
    rchan_a32 where[LIVES][SEQS]; /* hash of the sub-buffer that it was found in */
    _Atomic(uint8_t) consumed[LIVES][SEQS];
};

struct record {
    uint32_t life, seq;
    uint32_t length; /* of all */
    uint32_t sum;
    uint8_t fill[];
};

extern struct ledger *ledger;

/* Shared with all children; exec'd ones map it by the descriptor. */
int ledger_make(void);
void ledger_map(int fd);
/* A new round: nobody has written anything. */
void ledger_clear(int fd);

/* A crime, said on stderr. */
__attribute__((format(printf, 2, 3))) void ledger_accuse(enum crime crime, const char *format, ...);

/* A writer's identity; -1: all are used up. */
int64_t ledger_new_life(void);

/* length >= sizeof(struct record). */
void record_fill(struct record *record, uint32_t life, uint32_t seq, uint32_t length);
/* All records in these bytes are whole; calls each (if not NULL) for everyone. How many there are. */
uint64_t records_check(const uint8_t *bytes, uint64_t length, uint32_t where,
                       void (*each)(const struct record *record, uint32_t where));

/* For `each`: a consumer has it in hand; it is given back; a copy was seen. */
void ledger_found(const struct record *record, uint32_t where);
void ledger_consumed(const struct record *record, uint32_t where);
void ledger_copied(const struct record *record, uint32_t where);

#endif
