/* Files that are polled through FUSE: their POLL requests are answered, and the kernel is told when to
 * look again. No Python in here: it runs without the interpreter lock. Not for two threads at once. */
#ifndef RCHAN_POLLED_H
#define RCHAN_POLLED_H

#include "../core/bell.h"
#include "../core/buffer.h"

enum { POLLED_BUCKETS = 256 };

struct polled_file;
struct polled_channel;

struct polled {
    int device; /* /dev/fuse, not blocking */
    int epoll;  /* for the device, a descriptor that ends it all, and the bells; -1: closed */
    struct polled_channel *channels;
    struct polled_file *buckets[POLLED_BUCKETS];
};

/* 0 or -errno. stop: once it is readable, `polled_receive` returns 0 for ever. */
int polled_init(struct polled *polled, int device, int stop);
/* Forget all files; keep(...) lets go of what was kept for each. */
void polled_end(struct polled *polled, void (*let_go)(void *keep));

/* Answer the polls of this open file from now on. keep: keeps the buffer; belongs to the file then.
 * 0, -EEXIST: it is known already, -ENOMEM. */
int polled_add(struct polled *polled, uint64_t fh, struct rchan_buffer *buffer, void *keep);
/* The file was closed: what was kept, or NULL. */
void *polled_drop(struct polled *polled, uint64_t fh);

/* Answer request `unique`; kh: the kernel's handle to tell, once, of news after that. NULL: none.
 * False: that file is not known. */
bool polled_answer(struct polled *polled, uint64_t unique, uint64_t fh, const uint64_t *kh);

/* The next request that is not answered here: its length. 0: to be ended, or the mount is gone.
 * -errno, such as -EINTR. */
int64_t polled_receive(struct polled *polled, void *message, size_t room);

#endif
