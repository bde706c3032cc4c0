/* A forked process as one of the two: it stops at its testpoint until the other is done. */
#ifndef RCHAN_RACE_FORK_H
#define RCHAN_RACE_FORK_H

#include "race.h"

/* Fork; the child does `act` and ends. What became of it there. */
int fork_and(int (*act)(struct party *party), struct party *party);
/* In such a child, at a testpoint: tell its name, and wait until the parent has done `in_parent`. */
void fork_stop(const char *point);
extern void (*fork_in_parent)(const char *point);

#endif
