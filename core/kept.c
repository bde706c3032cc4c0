/* Kept descriptors: few, looked at before each use, and never the last ones of the process. */
#include "kept.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* A program may have closed all its descriptors and opened others under their numbers. The signal of a
 * descriptor that has O_ASYNC off means nothing: it is our mark, and costs less to read than fstat. */
static int mark(uint32_t index)
{
    return SIGRTMIN + (int)index;
}

static bool still_ours(const struct rchan_channel *channel, uint32_t index)
{
    int fd = channel->kept_bells[index].fd;
    return fd >= 0 && fcntl(fd, F_GETSIG) == mark(index);
}

static void let_go(struct rchan_channel *channel, uint32_t index)
{
    int fd = channel->kept_bells[index].fd;
    bool ours = still_ours(channel, index);
    channel->kept_bells[index].fd = -1;
    if (ours)
        close(fd);
}

void rchan_kept_init(struct rchan_channel *channel)
{
    pthread_mutex_init(&channel->ringing, NULL);
    for (int i = 0; i < RCHAN_KEPT_BELLS; i++)
        channel->kept_bells[i].fd = -1;
}

void rchan_kept_close(struct rchan_channel *channel)
{
    for (uint32_t i = 0; i < RCHAN_KEPT_BELLS; i++)
        let_go(channel, i);
}

int rchan_kept_find(struct rchan_channel *channel, uint32_t index, uint32_t made)
{
    if (index >= RCHAN_KEPT_BELLS || channel->kept_bells[index].fd < 0)
        return -1;
    if (channel->kept_bells[index].made != made || !still_ours(channel, index))
        let_go(channel, index);
    return channel->kept_bells[index].fd;
}

/* The last descriptors are for the program: it may need them. */
static bool may_keep(int fd)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && (rlim_t)fd < limit.rlim_cur / 8 * 7;
}

void rchan_kept_keep(struct rchan_channel *channel, uint32_t index, uint32_t made, int fd)
{
    if (index >= RCHAN_KEPT_BELLS || !may_keep(fd) || fcntl(fd, F_SETSIG, mark(index))) {
        close(fd);
        return;
    }
    let_go(channel, index);
    channel->kept_bells[index] = (struct rchan_kept_bell){fd, made};
}

void rchan_kept_drop(struct rchan_channel *channel, uint32_t index)
{
    if (index < RCHAN_KEPT_BELLS)
        let_go(channel, index);
}
