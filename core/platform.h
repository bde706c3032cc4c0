/* What the shared bytes and words take for granted. First of all: elsewhere it is the only error. */
#ifndef RCHAN_PLATFORM_H
#define RCHAN_PLATFORM_H

#if !defined(__linux__)
#error "rchan needs Linux: futexes, open file description locks and /proc"
#elif !defined(__LP64__)
#error                                                                                             \
    "rchan needs a 64-bit machine: its shared words are 64-bit atomics, and buffers are mapped whole"
#elif __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "rchan needs a little-endian machine: channels, recordings and traces are little-endian"
#endif

#endif
