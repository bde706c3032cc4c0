/* Sessions: see session.h. */
#include "session.h"

#include <string.h>
#include <unistd.h>

#include "event.h"
#include "metadata.h"

enum { MAX_ACTS = 24 };

static struct ground grounds[8];

static void make_grounds(void)
{
    if (grounds[0].channel)
        return;
    ground_make(&grounds[0], "four", 64, 4, false, RCHAN_STAMP_NONE);
    ground_make(&grounds[1], "newest", 64, 4, true, RCHAN_STAMP_NONE);
    ground_make(&grounds[2], "tiny", 1, 1, true, RCHAN_STAMP_NONE);
    ground_make(&grounds[3], "pages", 4096, 2, false, RCHAN_STAMP_NONE);
    ground_make(&grounds[4], "odd", 100, 3, true, RCHAN_STAMP_NONE);
    ground_make(&grounds[5], "one", 24, 1, false, RCHAN_STAMP_NONE);
    ground_make(&grounds[6], "events", 256, 4, false, RCHAN_STAMP_MONOTONIC);
    ground_make(&grounds[7], "ring", 256, 3, true, RCHAN_STAMP_MONOTONIC);
}

static void lay_down(struct session *session)
{
    rchan_subbuf_put_down(&session->subbuf);
    if (session->place.buffer)
        rchan_abort(&session->place);
}

void session_play(session_act *const *acts, unsigned n_acts, const uint8_t *data, size_t size)
{
    make_grounds();
    struct session session = {.script = {data, size}};
    session.ground = &grounds[script_take(&session.script, 1) % 8];
    ground_renew(session.ground);
    for (unsigned n = 0; n < MAX_ACTS && session.script.left; n++)
        acts[script_take(&session.script, 1) % n_acts](&session);
    ground_peace();
    lay_down(&session);
    if (session.described)
        ground_must(!ftruncate(session.ground->channel->fd, session.ground->file_size),
                    "ftruncate");
}

void act_write(struct session *session)
{
    uint64_t most = session->ground->channel->subbuf_size + 2;
    uint64_t length = script_take(&session->script, 1) * 16 % (most + 1);
    uint8_t *record = ground_room(length);
    memset(record, (int)length, length);
    if (session->ground->channel->packet_header)
        rchan_event(session->ground->channel, (uint16_t)length, record, length);
    else
        rchan_write(session->ground->channel, 0, record, length);
}

void act_flush(struct session *session)
{
    rchan_buffer_flush(session->ground->buffer);
}

void act_poke(struct session *session)
{
    ground_poke(session->ground, &session->script);
}

void act_ambush(struct session *session)
{
    ground_ambush(session->ground, &session->script);
}

void act_describe(struct session *session)
{
    struct rchan_channel *channel = session->ground->channel;
    int64_t now = rchan_metadata_length(channel);
    uint64_t length = script_take(&session->script, 1) % 80;
    session->described = true;
    rchan_metadata_append(channel, now < 0 ? length : (uint64_t)now, ground_room(length), length,
                          0);
    now = rchan_metadata_length(channel);
    ground_must(now <= (int64_t)RCHAN_METADATA_MOST, "metadata of bounded length");
    if (now > 0 && now <= ROOM)
        rchan_metadata_read(channel, 0, ground_room((uint64_t)now), (uint64_t)now);
}
