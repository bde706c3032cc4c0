/* Channels for the tests: made in a directory of their own, which goes when the test program ends. */
#ifndef RCHAN_FIXTURE_H
#define RCHAN_FIXTURE_H

#include "books.h"
#include "buffer.h"
#include "channel.h"
#include "check.h"
#include "consume.h"

/* RCHAN_TEST_DIR, else a fresh directory in shared memory, else one below TMPDIR. */
const char *fixture_directory(void);
/* Entries in it, "." and ".." not counted. */
int fixture_files(void);

/* Remove, and name on stderr, what is left in it but what `keeps` says. */
void fixture_empty(bool (*keeps)(const char *name));

/* Options with `n_buffers` = 1 and its buffer made at once; change them and create. */
struct rchan_options fixture_options(const char *base, uint64_t subbuf_size, uint64_t n_subbufs);
/* Both end the test on failure. */
struct rchan_channel *fixture_create(const struct rchan_options *options);
struct rchan_channel *fixture_attach(const char *base);
/* Close as the creator: files removed, everything unmapped. */
void fixture_close(struct rchan_channel *channel);

/* One buffer of this geometry, no hooks. */
struct rchan_channel *fixture_channel(const char *base, uint64_t subbuf_size, uint64_t n_subbufs,
                                      bool overwrite);

/* Write `length` bytes of value `fill` (256 at most) through CPU 0. */
enum rchan_outcome fixture_write(struct rchan_channel *channel, uint8_t fill, uint64_t length);

struct rchan_books fixture_books(const struct rchan_buffer *buffer);
/* attempted - (readable + consumed + overwritten + discarded + dropped), in records: 0 if closed. */
int64_t fixture_open_records(const struct rchan_books *books, uint64_t attempted);

#endif
