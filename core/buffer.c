/* The writer's side. docs/explanation/protocol.md, "Write" and "The owner word is taken". */
#include "buffer.h"

#include <errno.h>
#include <string.h>

#include "announce.h"
#include "books.h"
#include "clock.h"
#include "copy.h"
#include "fast.h"
#include "growth.h"
#include "notice.h"
#include "owner.h"
#include "switch.h"
#include "testpoint.h"

enum { SPINS = 30, LOOK_AGAIN_NS = 10000000 };

/* ---- taking the owner word when it is not free ---- */

static int after_take(struct rchan_buffer *buffer, enum rchan_take taken)
{
    if (taken == RCHAN_BUSY)
        return -EBUSY;
    if (taken == RCHAN_TAKEN && !(rchan_load(&buffer->block->resetting) & 1))
        return 0;
    int result = rchan_buffer_repair(buffer);
    if (result) /* not whole yet: the next one has to take over, too */
        /* owner.leave: pairs with word.takeover */
        rchan_store_release(&buffer->block->owner, RCHAN_NOBODY_ALIVE);
    return result;
}

static bool known_stalled(struct rchan_block *block)
{
    return rchan_load(&block->stalled_owner) == rchan_load(&block->owner) &&
           rchan_load(&block->stalled_head) == rchan_load(&block->head) &&
           rchan_load(&block->owner);
}

/* Take the word of a buffer that is taken if its owner is dead. If not, note that it was found alive,
 * and since when it has not moved; *hope: not yet for `patience` ns. */
static enum rchan_take try_stalled(struct rchan_buffer *buffer, uint64_t now, uint64_t patience,
                                   bool *hope)
{
    struct rchan_block *block = buffer->block;
    uint64_t owner = rchan_load(&block->owner), head = rchan_load(&block->head);
    bool known = known_stalled(block);
    bool look = !known || now - rchan_load(&block->stalled_looked_ns) >= LOOK_AGAIN_NS;
    enum rchan_take taken = rchan_word_try(buffer->channel, &block->owner, look);
    if (taken != RCHAN_BUSY)
        return taken;
    if (!known)
        rchan_store(&block->stalled_ns, now);
    if (look) {
        rchan_store(&block->stalled_looked_ns, now);
        rchan_store(&block->stalled_head, head);
        rchan_store(&block->stalled_owner, owner);
    }
    if (!known || now - rchan_load(&block->stalled_ns) < patience)
        *hope = true;
    return RCHAN_BUSY;
}

/* One round over all buffers that this process has mapped, the CPU's own first.
 * *hope: some owner has not yet been stalled for owner_wait_us. */
static int own_any(struct rchan_channel *channel, uint32_t first, struct rchan_buffer **owned,
                   bool *hope)
{
    uint64_t now = rchan_now_ns(), patience = channel->owner_wait_us * UINT64_C(1000);
    *hope = false;
    for (uint32_t i = 0, index = first; i < channel->n_buffers; i++) {
        struct rchan_buffer *buffer = &channel->buffers[index];
        index = index + 1 == channel->n_buffers ? 0 : index + 1;
        /* buffer.mapped: pairs with buffer.map */
        if (!rchan_load_acquire(&buffer->data) || rchan_inside_callback(buffer))
            continue;
        enum rchan_take taken = rchan_word_try(channel, &buffer->block->owner, false);
        if (taken == RCHAN_BUSY)
            taken = try_stalled(buffer, now, patience, hope);
        int result = after_take(buffer, taken);
        if (result != -EBUSY) {
            *owned = buffer;
            return result;
        }
    }
    return -EBUSY;
}

/* For the books of a process that could map no buffer at all: create made at least one. */
static struct rchan_buffer *any_present(struct rchan_channel *channel)
{
    for (uint32_t i = 0; i < channel->n_buffers; i++) {
        if (rchan_bit(channel->header->present, i))
            return &channel->buffers[i];
    }
    return NULL;
}

static void count_contended(struct rchan_buffer *buffer, uint64_t length)
{
    if (!buffer)
        return;
    rchan_count(&buffer->block->contended_records, 1);
    TESTPOINT("contended: half counted");
    rchan_count(&buffer->block->contended_bytes, length);
}

/* The slow way to an owner word: brief spin, take over, spill, wait, and at last give up. */
static int own_some_buffer(struct rchan_channel *channel, int64_t cpu, struct rchan_buffer **owned)
{
    struct rchan_buffer *buffer = rchan_buffer_for_cpu(channel, (uint64_t)cpu);
    *owned = buffer;
    if (!buffer)
        return -ENXIO;
    if (rchan_inside_callback(buffer) || !rchan_load(&channel->owner_value))
        return -EBUSY;
    for (int spin = 0; spin < SPINS && !known_stalled(buffer->block); spin++) {
        if (rchan_word_try(channel, &buffer->block->owner, false) == RCHAN_TAKEN)
            return 0;
        rchan_pause();
    }
    uint64_t deadline = rchan_now_ns() + channel->owner_wait_us * UINT64_C(1000);
    for (;;) {
        bool hope;
        int result = own_any(channel, buffer->index, owned, &hope);
        if (result != -EBUSY)
            return result;
        if (!hope || rchan_now_ns() >= deadline)
            return -EBUSY;
        rchan_yield(channel);
    }
}

int rchan_buffer_own(struct rchan_buffer *buffer)
{
    struct rchan_channel *channel = buffer->channel;
    if (rchan_inside_callback(buffer))
        return -EBUSY;
    return after_take(buffer,
                      rchan_word_take(channel, &buffer->block->owner, channel->owner_wait_us));
}

/* ---- a place for a record; owner word held ---- */

static enum rchan_outcome drop(struct rchan_buffer *buffer, unsigned cause, uint64_t length)
{
    static const enum rchan_outcome outcomes[] = {
        [RCHAN_DROP_FULL] = RCHAN_DROPPED_FULL,
        [RCHAN_DROP_TOO_BIG] = RCHAN_DROPPED_TOO_BIG,
        [RCHAN_DROP_DISABLED] = RCHAN_DROPPED_DISABLED,
    };
    if (cause == RCHAN_DROP_TOO_BIG)
        rchan_store(&buffer->channel->header->last_toobig, length);
    rchan_count_drop(buffer->block, cause, length);
    return outcomes[cause];
}

static void stamp_first(struct rchan_buffer *buffer, uint64_t produced)
{
    struct rchan_meta *meta = &buffer->block->meta[produced % buffer->channel->n_subbufs];
    rchan_store(&meta->first_ns, rchan_now_ns());
}

/* Find room for `length` bytes, switching if need be. *head: the word to commit on top of. */
static enum rchan_outcome make_room(struct rchan_buffer *buffer, uint64_t length, uint64_t *head,
                                    struct rchan_notice *notice)
{
    struct rchan_channel *channel = buffer->channel;
    struct rchan_block *block = buffer->block;
    uint32_t forks = channel->fork_count;
    if (rchan_load(&channel->header->gate) & RCHAN_GATE_SHUT)
        return drop(buffer, RCHAN_DROP_DISABLED, length);
    if (length > channel->subbuf_size - channel->packet_header)
        return drop(buffer, RCHAN_DROP_TOO_BIG, length);
    if (!rchan_load(&block->begun))
        rchan_start_first(buffer, notice);
    if (channel->fork_count != forks)
        return RCHAN_DROPPED_CONTENDED; /* the word is the parent's */
    *head = rchan_load(&block->head);
    uint64_t offset = rchan_head_offset(channel, *head);
    if (offset + length <= channel->subbuf_size) {
        if (!offset)
            stamp_first(buffer, rchan_head_produced(channel, *head));
        rchan_cursor_seek(buffer, *head);
        return RCHAN_STORED;
    }
    switch (rchan_switch_subbuf(buffer, *head, head, notice)) {
    case RCHAN_SWITCHED:
        if (rchan_head_offset(channel, *head) + length > channel->subbuf_size)
            return drop(buffer, RCHAN_DROP_TOO_BIG, length);
        return RCHAN_STORED;
    case RCHAN_STAYS_FULL:
        return drop(buffer, RCHAN_DROP_FULL, length);
    case RCHAN_SWITCH_VOID:
        return RCHAN_DROPPED_CONTENDED;
    default:
        return RCHAN_CORRUPT;
    }
}

static void commit(struct rchan_buffer *buffer, uint64_t head, uint64_t length)
{
    struct rchan_block *block = buffer->block;
    if (!length)
        return;
    TESTPOINT("write: copied");
    rchan_store(&block->pending,
                rchan_load(&block->pending) + (UINT64_C(1) << buffer->channel->shift) + length);
    TESTPOINT("write: pending stored");
    /* commit.head: pairs with books.head, read.head, poll.head */
    rchan_store_release(&block->head, head + length);
    if (buffer->cursor.head == head && buffer->cursor.room)
        rchan_cursor_advance(buffer, length);
}

/* With the owner word held: a place, or the word given back and the loss counted. */
static enum rchan_outcome reserve_owned(struct rchan_buffer *buffer, uint64_t length,
                                        struct rchan_reservation *place)
{
    struct rchan_channel *channel = buffer->channel;
    uint32_t forks = channel->fork_count;
    if (rchan_unlikely(
            !rchan_load(&channel->writes))) /* never on the fast path: it needs a cached place */
        rchan_note_writing(channel);
    TESTPOINT("write: owner taken");
    enum rchan_outcome outcome = make_room(buffer, length, &place->head, &place->notice);
    if (channel->fork_count != forks) { /* a callback forked: the word is the parent's */
        count_contended(buffer, length);
        return RCHAN_DROPPED_CONTENDED;
    }
    if (outcome != RCHAN_STORED) {
        rchan_give_owner(buffer, &place->notice);
        return outcome;
    }
    place->buffer = buffer;
    place->data = buffer->cursor.at;
    place->length = length;
    place->fork_count = forks;
    return RCHAN_STORED;
}

static inline int64_t cpu_or_own(int64_t cpu)
{
    return cpu < 0 ? rchan_current_cpu() : cpu;
}

static enum rchan_outcome own_for_record(struct rchan_channel *channel, int64_t cpu,
                                         uint64_t length, struct rchan_buffer **buffer)
{
    int owned = own_some_buffer(channel, cpu_or_own(cpu), buffer);
    if (owned == -EBADMSG)
        return RCHAN_CORRUPT;
    if (owned)
        count_contended(*buffer ? *buffer : any_present(channel), length);
    return owned ? RCHAN_DROPPED_CONTENDED : RCHAN_STORED;
}

enum rchan_outcome rchan_reserve(struct rchan_channel *channel, int64_t cpu, uint64_t length,
                                 struct rchan_reservation *place)
{
    memset(place, 0, sizeof *place);
    return channel->packet_header ? RCHAN_NOT_PLAIN
                                  : rchan_reserve_any(channel, cpu, length, place);
}

enum rchan_outcome rchan_reserve_any(struct rchan_channel *channel, int64_t cpu, uint64_t length,
                                     struct rchan_reservation *place)
{
    memset(place, 0, sizeof *place);
    struct rchan_buffer *buffer = rchan_fast_buffer(channel, cpu_or_own(cpu));
    if (!buffer) {
        enum rchan_outcome outcome = own_for_record(channel, cpu, length, &buffer);
        if (outcome != RCHAN_STORED)
            return outcome;
    }
    uint64_t before = rchan_load(&buffer->block->head);
    enum rchan_outcome outcome = reserve_owned(buffer, length, place);
    /* relay's own way: a reservation of nothing that only un-fills the buffer gives no place. */
    if (outcome == RCHAN_STORED && !length && rchan_head_offset(channel, before) == channel->full)
        rchan_abort(place);
    return outcome;
}

bool rchan_commit(struct rchan_reservation *place, uint64_t length)
{
    struct rchan_buffer *buffer = place->buffer;
    place->buffer = NULL;
    if (!buffer || place->fork_count != buffer->channel->fork_count)
        return false;
    commit(buffer, place->head, length < place->length ? length : place->length);
    TESTPOINT("write: committed");
    if (length &&
        (place->announce || rchan_load(&buffer->channel->header->gate) & RCHAN_GATE_ANNOUNCE))
        rchan_announce(buffer, &place->notice, place->announce);
    struct rchan_block *block = buffer->block;
    if (rchan_load(&block->stalled_owner) == rchan_load(&block->owner))
        rchan_store(&block->stalled_owner, 0); /* not stalled after all */
    rchan_give_owner(buffer, &place->notice);
    return true;
}

void rchan_abort(struct rchan_reservation *place)
{
    rchan_commit(place, 0);
}

__attribute__((noinline)) static enum rchan_outcome
write_owned(struct rchan_buffer *buffer, const void *data, uint64_t length, bool announce)
{
    struct rchan_reservation place = {0};
    if (buffer->channel->packet_header) {
        rchan_word_give(&buffer->block->owner);
        return RCHAN_NOT_PLAIN;
    }
    enum rchan_outcome outcome = reserve_owned(buffer, length, &place);
    if (outcome != RCHAN_STORED)
        return outcome;
    place.announce = announce;
    memcpy(place.data, data, length);
    rchan_commit(&place, length);
    return RCHAN_STORED;
}

__attribute__((noinline)) static enum rchan_outcome write_slow(struct rchan_channel *channel,
                                                               int64_t cpu, const void *data,
                                                               uint64_t length, bool announce)
{
    struct rchan_buffer *buffer;
    if (channel->packet_header)
        return RCHAN_NOT_PLAIN;
    enum rchan_outcome outcome = own_for_record(channel, cpu, length, &buffer);
    return outcome == RCHAN_STORED ? write_owned(buffer, data, length, announce) : outcome;
}

enum rchan_outcome rchan_write_and_wake(struct rchan_channel *channel, int64_t cpu,
                                        const void *data, uint64_t length)
{
    struct rchan_buffer *buffer = rchan_fast_buffer(channel, cpu_or_own(cpu));
    return buffer ? write_owned(buffer, data, length, true)
                  : write_slow(channel, cpu, data, length, true);
}

/* ---- the fast path ---- */

/* Would asking the client or looking for room change nothing? */
static bool is_full(struct rchan_buffer *buffer, uint64_t head, uint64_t tail)
{
    const struct rchan_channel *channel = buffer->channel;
    uint64_t filled = rchan_head_produced(channel, head) - rchan_head_produced(channel, tail);
    if (rchan_head_offset(channel, head) != channel->full || filled < channel->n_subbufs ||
        channel->flags & RCHAN_OVERWRITE || channel->hooks.subbuf_start)
        return false;
    buffer->cursor = (struct rchan_cursor){.head = head, .full = true, .full_tail = tail};
    return true;
}

static inline bool still_full(struct rchan_buffer *buffer, uint64_t head)
{
    uint64_t tail = rchan_load(&buffer->block->tail);
    const struct rchan_cursor *cursor = &buffer->cursor;
    return (cursor->full && head == cursor->head && tail == cursor->full_tail) ||
           is_full(buffer, head, tail);
}

static inline enum rchan_outcome refuse(struct rchan_buffer *buffer, unsigned cause,
                                        uint64_t length, enum rchan_outcome outcome)
{
    rchan_count_drop(buffer->block, cause, length);
    rchan_word_give(&buffer->block->owner);
    return outcome;
}

/* The owner word is held; there is no room, or not that easily. A refusal that takes only counting
 * should cost no more than a record. */
__attribute__((noinline)) static enum rchan_outcome
write_without_room(struct rchan_buffer *buffer, uint64_t head, const void *data, uint64_t length)
{
    const struct rchan_channel *channel = buffer->channel;
    if (rchan_load(&channel->header->gate) & RCHAN_GATE_SHUT)
        return refuse(buffer, RCHAN_DROP_DISABLED, length, RCHAN_DROPPED_DISABLED);
    if (length <= channel->subbuf_size && still_full(buffer, head))
        return refuse(buffer, RCHAN_DROP_FULL, length, RCHAN_DROPPED_FULL);
    return write_owned(buffer, data, length, false);
}

__attribute__((noinline)) static enum rchan_outcome
write_long(struct rchan_buffer *buffer, uint64_t head, const void *data, uint64_t length)
{
    memcpy(buffer->cursor.at, data, length);
    rchan_fast_commit(buffer, head, length);
    return RCHAN_STORED;
}

__attribute__((noinline)) static enum rchan_outcome write_asking(struct rchan_channel *channel,
                                                                 const void *data, uint64_t length)
{
    return rchan_write(channel, rchan_asked_cpu(), data, length);
}

/* What it calls does not come back here, so that it saves no registers. */
enum rchan_outcome rchan_write(struct rchan_channel *channel, int64_t cpu, const void *data,
                               uint64_t length)
{
    if (cpu < 0 && (cpu = rchan_noted_cpu()) < 0)
        return write_asking(channel, data, length);
    struct rchan_buffer *buffer = rchan_fast_buffer(channel, cpu);
    if (rchan_unlikely(!buffer))
        return write_slow(channel, cpu, data, length, false);
    uint64_t head = rchan_load(&buffer->block->head);
    uint8_t *place = rchan_fast_place(channel, buffer, head, length, RCHAN_GATE_SLOW);
    if (rchan_unlikely(!place))
        return write_without_room(buffer, head, data, length);
    TESTPOINT("write: fast owner taken");
    if (length > RCHAN_COPY_SHORT)
        return write_long(buffer, head, data, length);
    rchan_copy_short(place, data, length);
    rchan_fast_commit(buffer, head, length);
    return RCHAN_STORED;
}
