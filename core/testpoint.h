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

#endif
