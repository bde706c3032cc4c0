/* Kill a process at every testpoint that it passes, one after the other. */
#ifndef RCHAN_KILLING_H
#define RCHAN_KILLING_H

#include "fixture.h"

enum { MAX_SEQ = 64, RECORD = 16 };

/* What the child was doing when it was killed; in memory that outlives it. */
struct log {
    uint64_t started, done;   /* operations */
    uint8_t outcome[MAX_SEQ]; /* of write number seq, once it is done */
    uint64_t number;          /* for the test's use */
    char point[64];           /* where it was killed */
};

struct scene {
    struct rchan_channel *(*set)(struct log *log); /* parent, before the fork; may be NULL */
    void (*act)(struct rchan_channel *channel, struct log *log);                /* child */
    void (*check)(struct rchan_channel *channel, struct log *log, bool killed); /* parent */
};

/* Play the scene with a kill at the first testpoint, the second, ... until it is played to its end.
 * Returns the number of kills. */
int kill_everywhere(const struct scene *scene);

/* In the child: write record number log->started, logging before and after. */
void log_write(struct rchan_channel *channel, struct log *log, int64_t cpu);
/* A record of this number, RECORD bytes. */
void record_make(uint8_t *bytes, uint64_t seq);
/* Its number if the checksum is right, else -1 (and a failed check). */
int64_t record_seq(const uint8_t *bytes);

#endif
