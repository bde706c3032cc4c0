/* Target: everything that a consumer does. */
#include <string.h>

#include "session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_bytes(struct session *session)
{
    uint64_t count = script_take(&session->script, 2) % (ROOM + 1);
    int64_t got = rchan_read(session->ground->buffer, ground_room(count), count);
    ground_must(got <= (int64_t)count, "no more is read than was asked for");
}

/* What was taken lies in the buffer, and all of it can be read. */
static void take(struct session *session)
{
    const struct rchan_channel *channel = session->ground->channel;
    struct rchan_subbuf *subbuf = &session->subbuf;
    if (subbuf->buffer)
        return;
    if (rchan_subbuf_take(session->ground->buffer, subbuf) != 1) {
        subbuf->buffer = NULL;
        return;
    }
    ground_must(subbuf->length + subbuf->skipped <= channel->subbuf_size, "a length within bounds");
    memcpy(ground_room(subbuf->length), subbuf->data, subbuf->length);
}

static void whole(struct session *session)
{
    if (session->subbuf.buffer)
        rchan_subbuf_whole(&session->subbuf);
}

static void give_back(struct session *session)
{
    uint64_t length = script_take(&session->script, 1);
    rchan_subbuf_give_back(&session->subbuf, length == 255 ? UINT64_MAX : length);
}

static void put_down(struct session *session)
{
    rchan_subbuf_put_down(&session->subbuf);
}

static void consumed(struct session *session)
{
    rchan_subbufs_consumed(session->ground->buffer, script_take(&session->script, 1));
}

static void look(struct session *session)
{
    struct rchan_books books;
    rchan_poll(session->ground->buffer);
    rchan_buffer_books(session->ground->buffer, &books);
    rchan_buffer_is_full(session->ground->buffer);
    rchan_buffer_is_empty(session->ground->buffer);
}

static void finish(struct session *session)
{
    uint64_t subbuf = script_take(&session->script, 1);
    rchan_buffer_finish(session->ground->buffer, subbuf == 255 ? UINT64_MAX : subbuf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static session_act *const acts[] = {act_poke, act_ambush, act_write, act_flush, read_bytes,
                                        take,     whole,      give_back, put_down,  consumed,
                                        look,     finish,     act_poke,  act_write};
    session_play(acts, sizeof acts / sizeof acts[0], data, size);
    return 0;
}
