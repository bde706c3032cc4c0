/* What the files of taps and their copies share. */
#ifndef RCHAN_BINDING_TAP_H
#define RCHAN_BINDING_TAP_H

#include "../core/tap.h"
#include "binding.h"

struct bind_arena {
    PyObject_HEAD struct bind_state *state;
    Py_buffer given; /* obj NULL: mapped by us */
    uint8_t *map;
    size_t map_length;
    uint8_t *data;
    Py_ssize_t size, used;
};

/* A place for `length` bytes; NULL: no room. */
uint8_t *bind_arena_take(struct bind_arena *arena, uint64_t length);
/* The last place is free again. */
void bind_arena_undo(struct bind_arena *arena, const uint8_t *place, uint64_t length);

struct bind_copy {
    PyObject_HEAD struct rchan_copy core;
    PyObject *memory; /* a bytes object, or the arena: what `data` lies in */
    uint8_t *data;
    uint32_t index;
};

/* A place for the copy's bytes, in the arena (may be NULL) or its own. */
bool bind_copy_place(struct bind_copy *copy, struct bind_arena *arena);
void bind_copy_unplace(struct bind_copy *copy, struct bind_arena *arena);

struct bind_tap {
    PyObject_HEAD struct rchan_tap core;
    struct bind_buffer *buffer;
    uint64_t moves; /* of several threads one goes on: its numbers count */
};

#endif
