/* Target: everything that a writer does, and taking over from a dead one. */
#include <string.h>

#include "owner.h"
#include "session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void reserve(struct session *session)
{
    const struct rchan_channel *channel = session->ground->channel;
    uint64_t length = script_take(&session->script, 1) * 16 % (channel->subbuf_size + 3u);
    if (session->place.buffer)
        return;
    if (rchan_reserve(session->ground->channel, 0, length, &session->place) == RCHAN_STORED &&
        session->place.buffer)
        memset(session->place.data, 1, length);
}

static void commit(struct session *session)
{
    rchan_commit(&session->place, script_take(&session->script, 2));
}

static void give_up(struct session *session)
{
    rchan_abort(&session->place);
}

static void write_and_wake(struct session *session)
{
    uint64_t length = script_take(&session->script, 1) % 80;
    rchan_write_and_wake(session->ground->channel, 0, memset(ground_room(length), 2, length),
                         length);
}

static void reset(struct session *session)
{
    rchan_buffer_reset(session->ground->buffer);
}

static void finalize(struct session *session)
{
    rchan_buffer_finalize(session->ground->buffer);
}

static void enable(struct session *session)
{
    rchan_channel_enable(session->ground->channel, script_take(&session->script, 1) & 1);
}

static void take(struct session *session)
{
    if (session->subbuf.buffer)
        rchan_subbuf_give_back(&session->subbuf, UINT64_MAX);
    else if (rchan_subbuf_take(session->ground->buffer, &session->subbuf) != 1)
        session->subbuf.buffer = NULL;
}

static void owners(struct session *session)
{
    struct rchan_channel *channel = session->ground->channel;
    uint32_t pids[4];
    rchan_owner_dead(channel, script_word(&session->script, channel));
    ground_must(rchan_producers_alive(channel, pids, 4) <= RCHAN_MAX_SLOTS, "a number of slots");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static session_act *const acts[] = {act_poke, act_ambush, act_write, act_flush,
                                        reserve,  commit,     give_up,   reset,
                                        finalize, enable,     take,      write_and_wake,
                                        owners,   act_poke,   act_write, act_describe};
    session_play(acts, sizeof acts / sizeof acts[0], data, size);
    return 0;
}
