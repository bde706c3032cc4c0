/* Who holds a word, and whether they are alive: slots, taking and taking over. */
#ifndef RCHAN_OWNER_H
#define RCHAN_OWNER_H

#include "handle.h"

/* Take a free slot of channel->fd's control file and set channel->owner_value.
 * 0, or -EUSERS: all are taken, or another negative errno. */
int rchan_slot_take(struct rchan_channel *channel);

/* Give the slot back (the lock and the table word). */
void rchan_slot_release(struct rchan_channel *channel);

/* Is the holder named by this owner value gone for good? (One system call if its slot is in use.) */
bool rchan_owner_dead(struct rchan_channel *channel, uint64_t owner_value);

/* Attached producers: counts slots whose lock is held, without those that have only read. pids (may
 * be NULL) gets up to `room` of them. */
uint32_t rchan_producers_alive(struct rchan_channel *channel, uint32_t *pids, uint32_t room);

/* Is no other process attached that writes, or may (one that has done nothing yet may)? */
bool rchan_orphaned(struct rchan_channel *channel);

/* Note in the slot what this attachment is for. */
void rchan_note_reading(struct rchan_channel *channel);
void rchan_note_writing(struct rchan_channel *channel);

/* An owner value that is dead for ever: what a take-over that could not be finished leaves. */
#define RCHAN_NOBODY_ALIVE UINT64_MAX

enum rchan_take { RCHAN_TAKEN, RCHAN_TAKEN_OVER, RCHAN_BUSY };

/* One attempt without waiting: free -> ours, or a dead holder's -> ours (look_for_dead). */
enum rchan_take rchan_word_try(struct rchan_channel *channel, rchan_a64 *word, bool look_for_dead);

/* Attempts for at most wait_us, spinning, then yielding. */
enum rchan_take rchan_word_take(struct rchan_channel *channel, rchan_a64 *word, uint32_t wait_us);

static inline void rchan_word_give(rchan_a64 *word)
{
    /* word.give: pairs with word.take, word.takeover, write.take, poll.owner */
    rchan_store_release(word, 0);
}

/* Let other threads run: the hook, or sched_yield. */
void rchan_yield(struct rchan_channel *channel);

/* Take a slot and be on the list by which fork gives the child slots of its own, all in one.
 * 0, -EUSERS, or another negative errno. */
int rchan_attachment_add(struct rchan_channel *channel);
void rchan_attachment_remove(struct rchan_channel *channel);

#endif
