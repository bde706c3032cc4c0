/* Inputs: see script.h. */
#include "script.h"

#include <stdio.h>
#include <stdlib.h>

uint64_t script_take(struct script *script, unsigned n_bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < n_bytes && script->left; i++, script->left--)
        value |= (uint64_t)*script->bytes++ << (8 * i);
    return value;
}

void ground_must(bool held, const char *what)
{
    if (held)
        return;
    fprintf(stderr, "fuzz: does not hold: %s\n", what);
    abort();
}
