/* Places where a test may stop, kill or interleave; nothing at all in release builds. */
#ifndef RCHAN_TESTPOINT_H
#define RCHAN_TESTPOINT_H

#ifdef RCHAN_TESTPOINTS
extern void (*rchan_testpoint_hook)(const char *name); /* NULL: go on */
#define TESTPOINT(name)                                                                            \
    do {                                                                                           \
        if (rchan_testpoint_hook)                                                                  \
            rchan_testpoint_hook(name);                                                            \
    } while (0)
#else
#define TESTPOINT(name) ((void)0)
#endif

/* How often words that change under one's hands are looked at again, at most. A fuzzer, in whose
 * memory they never agree, has no time for that. */
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
#define RCHAN_TRIES 8
#else
#define RCHAN_TRIES 1000
#endif

#endif
