/* Target: taps, and the cuts that snapshots are made of. */
#include "session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void start(struct session *session)
{
    static const enum rchan_tap_from places[] = {RCHAN_TAP_UNREAD, RCHAN_TAP_OLDEST, RCHAN_TAP_NOW};
    enum rchan_tap_from from = places[script_take(&session->script, 1) % 3];
    session->tapping = rchan_tap_start(session->ground->buffer, from, &session->tap) == 0;
}

static void copy_one(struct session *session)
{
    const struct rchan_channel *channel = session->ground->channel;
    struct rchan_copy copy;
    if (!session->tapping || rchan_tap_look(&session->tap, &copy) != 1)
        return;
    ground_must(copy.length <= channel->subbuf_size, "a length within bounds");
    rchan_tap_copy(&session->tap, &copy, ground_room(copy.length));
}

static void cut(struct session *session)
{
    struct rchan_books books;
    if (session->tapping)
        rchan_tap_cut(&session->tap, &books);
}

/* A whole snapshot: it ends, whatever the memory says. */
static void snapshot(struct session *session)
{
    struct ground *ground = session->ground;
    struct rchan_tap tap;
    struct rchan_copy copy;
    uint64_t rounds = 0;
    if (rchan_tap_start(ground->buffer, RCHAN_TAP_OLDEST, &tap) || rchan_tap_cut(&tap, NULL))
        return;
    while (rounds++ < ground->channel->n_subbufs + 70u && rchan_tap_look(&tap, &copy) == 1)
        rchan_tap_copy(&tap, &copy, ground_room(copy.length));
    rchan_tap_rest(&tap);
}

static void look(struct session *session)
{
    if (!session->tapping)
        return;
    rchan_tap_ready(&session->tap);
    rchan_tap_rest(&session->tap);
}

static void reset(struct session *session)
{
    rchan_buffer_reset(session->ground->buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static session_act *const acts[] = {act_poke, act_ambush, act_write, act_flush, start,
                                        copy_one, copy_one,   cut,       snapshot,  look,
                                        reset,    act_poke,   act_write};
    session_play(acts, sizeof acts / sizeof acts[0], data, size);
    return 0;
}
