/* What the fuzz targets stand on: channels whose every shared word the input may change, at any
 * moment, and which are as new before each input. */
#ifndef RCHAN_GROUND_H
#define RCHAN_GROUND_H

#include <sys/types.h>

#include "books.h"
#include "buffer.h"
#include "channel.h"
#include "consume.h"
#include "script.h"
#include "tap.h"

/* ---- the input ---- */

/* A word that means something: small, at the edge, like a head word, or any. */
uint64_t script_word(struct script *script, const struct rchan_channel *channel);

/* ---- a channel to attack ---- */

enum { ROOM = 16384 }; /* bytes that an operation may copy to, at most */

struct ground {
    struct rchan_channel *channel;
    struct rchan_buffer *buffer;
    uint8_t *template; /* header and block as they were new */
    uint64_t n_words;  /* that the input may change */
    off_t file_size;   /* of its control file */
};

/* A directory in memory for the channels of this process; it goes at exit. */
const char *ground_directory(void);
/* A named channel with one buffer, both mapped between pages that nobody may touch, and the rest
 * of their last page forbidden to AddressSanitizer. */
void ground_make(struct ground *ground, const char *name, uint32_t subbuf_size, uint32_t n_subbufs,
                 bool overwrite, uint32_t stamp_clock);
void ground_renew(struct ground *ground);
/* One word of the control file gets another value, as the input says. */
void ground_poke(struct ground *ground, struct script *script);
/* The same, when the code has come to so many testpoints more. */
void ground_ambush(struct ground *ground, struct script *script);
/* No ambush from now on. */
void ground_peace(void);
/* Memory of exactly `length` bytes: one more is forbidden. length <= ROOM. */
uint8_t *ground_room(uint64_t length);

#endif
