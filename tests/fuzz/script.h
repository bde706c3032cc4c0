/* The input of a target: bytes are taken from its front; behind its end there are zeros. */
#ifndef RCHAN_SCRIPT_H
#define RCHAN_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct script {
    const uint8_t *bytes;
    size_t left;
};

/* A little-endian number of so many bytes: up to 8. */
uint64_t script_take(struct script *script, unsigned n_bytes);

/* What must hold; else the process aborts, which is a finding. */
void ground_must(bool held, const char *what);

#endif
