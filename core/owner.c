/* Slots, liveness, taking and taking over, fork. */
#include "owner.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "cursor.h"
#include "kept.h"
#include "task.h"
#include "testpoint.h"

#ifdef RCHAN_TESTPOINTS
void (*rchan_testpoint_hook)(const char *name);
#endif

enum { SPINS = 30, LOOK_FOR_DEAD_NS = 1000000 };

static rchan_a64 *slot_table(const struct rchan_channel *channel)
{
    return (rchan_a64 *)((char *)channel->header + RCHAN_SLOTS_OFFSET);
}

static int slot_lock(int fd, int command, short type, uint32_t slot, short *found)
{
    struct flock lock = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = RCHAN_LOCK_BASE + slot, .l_len = 1};
    if (fcntl(fd, command, &lock) == -1)
        return -errno;
    if (found)
        *found = lock.l_type;
    return 0;
}

static bool slot_try(struct rchan_channel *channel, uint32_t slot, int *error)
{
    *error = slot_lock(channel->fd, F_OFD_SETLK, F_WRLCK, slot, NULL);
    if (*error)
        return false;
    TESTPOINT("slot: locked");
    rchan_a64 *word = &slot_table(channel)[slot];
    uint32_t generation = (uint32_t)(rchan_load(word) >> 32) + 1;
    if (!generation)
        generation = 1;
    /* slot.store: pairs with slot.check */
    rchan_store_release(word, (uint64_t)generation << 32 | (uint32_t)getpid());
    /* No owner word may show our value to one who still sees the old generation. */
    /* slot.fence: pairs with slot.check */
    rchan_full_fence();
    TESTPOINT("slot: stored");
    rchan_store(&channel->owner_value, (uint64_t)generation << 32 | (slot + 1));
    return true;
}

int rchan_slot_take(struct rchan_channel *channel)
{
    int error;
    /* Slots that nobody ever had, or that were given back, first: no search among the living. */
    for (int used = 0; used <= 1; used++) {
        for (uint32_t slot = 0; slot < RCHAN_MAX_SLOTS; slot++) {
            if (((uint32_t)rchan_load(&slot_table(channel)[slot]) != 0) != used)
                continue;
            if (slot_try(channel, slot, &error))
                return 0;
            if (error != -EAGAIN && error != -EACCES)
                return error;
        }
    }
    return -EUSERS;
}

void rchan_slot_release(struct rchan_channel *channel)
{
    uint64_t value = rchan_load(&channel->owner_value);
    if (!value)
        return;
    rchan_a64 *word = &slot_table(channel)[(uint32_t)value - 1];
    rchan_store(&channel->owner_value, 0);
    rchan_store(word, rchan_load(word) & ~(uint64_t)UINT32_MAX);
    TESTPOINT("slot: cleared");
    slot_lock(rchan_control_fd(channel), F_OFD_SETLK, F_UNLCK, (uint32_t)value - 1, NULL);
}

bool rchan_owner_dead(struct rchan_channel *channel, uint64_t owner_value)
{
    uint32_t slot = (uint32_t)owner_value - 1;
    if (owner_value == rchan_load(&channel->owner_value))
        return false;
    if (slot >= RCHAN_MAX_SLOTS)
        return true;
    /* slot.check: pairs with slot.store, slot.fence */
    uint32_t generation = (uint32_t)(rchan_load_acquire(&slot_table(channel)[slot]) >> 32);
    if ((int32_t)(generation - (uint32_t)(owner_value >> 32)) > 0)
        return true;
    short found = F_WRLCK;
    return slot_lock(rchan_control_fd(channel), F_OFD_GETLK, F_WRLCK, slot, &found) == 0 &&
           found == F_UNLCK;
}

static bool is_producer(struct rchan_channel *channel, uint32_t slot, uint64_t word)
{
    return (uint32_t)word && !(word & RCHAN_SLOT_READS) &&
           !rchan_owner_dead(channel, (word >> 32) << 32 | (slot + 1));
}

uint32_t rchan_producers_alive(struct rchan_channel *channel, uint32_t *pids, uint32_t room)
{
    uint32_t alive = 0;
    for (uint32_t slot = 0; slot < RCHAN_MAX_SLOTS; slot++) {
        uint64_t word = rchan_load(&slot_table(channel)[slot]);
        if (!is_producer(channel, slot, word))
            continue;
        if (pids && alive < room)
            pids[alive] = (uint32_t)word;
        alive++;
    }
    return alive;
}

enum rchan_take rchan_word_try(struct rchan_channel *channel, rchan_a64 *word, bool look_for_dead)
{
    uint64_t ours = rchan_load(&channel->owner_value);
    uint64_t holder = rchan_load(word);
    if (!ours)
        return RCHAN_BUSY;
    /* word.take: pairs with word.give, poll.owner */
    if (!holder)
        return rchan_take_word(word, 0, ours) ? RCHAN_TAKEN : RCHAN_BUSY;
    if (!look_for_dead || !rchan_owner_dead(channel, holder))
        return RCHAN_BUSY;
    TESTPOINT("owner: dead");
    /* word.takeover: pairs with word.give, owner.leave, poll.owner */
    return rchan_take_word(word, holder, ours) ? RCHAN_TAKEN_OVER : RCHAN_BUSY;
}

void rchan_yield(struct rchan_channel *channel)
{
    if (channel->hooks.yield)
        channel->hooks.yield(channel);
    else
        sched_yield();
}

enum rchan_take rchan_word_take(struct rchan_channel *channel, rchan_a64 *word, uint32_t wait_us)
{
    for (int spin = 0; spin < SPINS; spin++) {
        if (rchan_word_try(channel, word, false) == RCHAN_TAKEN)
            return RCHAN_TAKEN;
        rchan_pause();
    }
    uint64_t now = rchan_now_ns(), looked = 0, deadline = now + wait_us * UINT64_C(1000);
    for (;;) {
        bool look = now - looked >= LOOK_FOR_DEAD_NS;
        if (look)
            looked = now;
        enum rchan_take taken = rchan_word_try(channel, word, look);
        if (taken != RCHAN_BUSY || now >= deadline)
            return taken;
        rchan_yield(channel);
        now = rchan_now_ns();
    }
}

/* ---- fork ---- */

static pthread_mutex_t attachments_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rchan_channel *attachments;
static pthread_once_t fork_handlers_once = PTHREAD_ONCE_INIT;

/* Anew, because a fork since it was opened would have left the child a share in our lock. */
static int join(struct rchan_channel *channel)
{
    int result = rchan_control_renew(channel);
    if (!result)
        result = rchan_slot_take(channel);
    if (!result)
        rchan_control_keep(channel);
    return result;
}

static void renew_after_fork(struct rchan_channel *channel)
{
    rchan_store(&channel->owner_value, 0);
    rchan_control_forget(channel);
    channel->fork_count++;
    channel->creator = false;
    rchan_store(&channel->writes, 0);
    rchan_store(&channel->reads, 0);
    pthread_mutex_init(&channel->making, NULL); /* its holder is in the parent */
    rchan_kept_close(channel);                  /* half changed, perhaps */
    rchan_kept_init(channel);
    pthread_mutex_init(&channel->appending, NULL);
    for (uint32_t i = 0; i < channel->n_buffers; i++)
        rchan_cursor_forget(&channel->buffers[i]); /* perhaps half changed by another thread */
    if (join(channel)) /* no slot: every write is dropped and counted "contended" */
        rchan_control_close(channel);
}

static void before_fork(void)
{
    pthread_mutex_lock(&attachments_lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&attachments_lock);
}

static void after_fork_in_child(void)
{
    TESTPOINT("fork: child");
    rchan_task_forget();
    pthread_mutex_init(&attachments_lock, NULL);
    for (struct rchan_channel *channel = attachments; channel; channel = channel->next)
        renew_after_fork(channel);
}

static void install_fork_handlers(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static void put_on_list(struct rchan_channel *channel)
{
    channel->next = attachments;
    channel->prev_next = &attachments;
    if (attachments)
        attachments->prev_next = &channel->next;
    attachments = channel;
}

int rchan_attachment_add(struct rchan_channel *channel)
{
    pthread_once(&fork_handlers_once, install_fork_handlers);
    pthread_mutex_lock(&attachments_lock);
    int result = join(channel);
    if (!result)
        put_on_list(channel);
    pthread_mutex_unlock(&attachments_lock);
    return result;
}

void rchan_attachment_remove(struct rchan_channel *channel)
{
    pthread_mutex_lock(&attachments_lock);
    if (channel->prev_next) {
        *channel->prev_next = channel->next;
        if (channel->next)
            channel->next->prev_next = channel->prev_next;
    }
    channel->next = NULL;
    channel->prev_next = NULL;
    pthread_mutex_unlock(&attachments_lock);
}

/* ---- orphaned ---- */

static bool same_control(const struct rchan_channel *one, const struct rchan_channel *other)
{
    return one->control_ino == other->control_ino && one->control_dev == other->control_dev;
}

/* Of any handle of this process. */
static bool is_ours(const struct rchan_channel *channel, uint32_t slot)
{
    for (struct rchan_channel *other = attachments; other; other = other->next)
        if ((uint32_t)rchan_load(&other->owner_value) == slot + 1 && same_control(channel, other))
            return true;
    return false;
}

bool rchan_orphaned(struct rchan_channel *channel)
{
    bool orphaned = true;
    pthread_mutex_lock(&attachments_lock);
    for (uint32_t slot = 0; orphaned && slot < RCHAN_MAX_SLOTS; slot++)
        orphaned = !is_producer(channel, slot, rchan_load(&slot_table(channel)[slot])) ||
                   is_ours(channel, slot);
    pthread_mutex_unlock(&attachments_lock);
    return orphaned;
}

static rchan_a64 *own_slot(struct rchan_channel *channel)
{
    uint64_t value = rchan_load(&channel->owner_value);
    return value ? &slot_table(channel)[(uint32_t)value - 1] : NULL;
}

void rchan_note_reading(struct rchan_channel *channel)
{
    rchan_a64 *slot = own_slot(channel);
    rchan_store(&channel->reads, 1);
    if (!slot || rchan_load(&channel->writes))
        return;
    /* reads.noted: pairs with writes.noted */
    rchan_set_bits(slot, RCHAN_SLOT_READS);
    if (rchan_load(&channel->writes)) /* another thread's first record came in between */
        rchan_clear_bits(slot, RCHAN_SLOT_READS);
}

void rchan_note_writing(struct rchan_channel *channel)
{
    rchan_a64 *slot = own_slot(channel);
    rchan_store(&channel->writes, 1);
    if (slot) /* writes.noted: pairs with reads.noted */
        rchan_clear_bits(slot, RCHAN_SLOT_READS);
}
