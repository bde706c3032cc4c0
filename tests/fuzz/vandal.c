/* One thread writes anything into the control file while another one writes, reads and taps: nothing
 * crashes, hangs, or is read out of bounds. (The fuzz targets do it step by step; this is by chance.) */
#include <pthread.h>
#include <string.h>

#include "clock.h"
#include "ground.h"

enum { SHAPES = 3, NS_EACH = 250000000 };

static rchan_a32 over;

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void *destroy(void *argument)
{
    uint64_t random = 88172645463325252u;
    while (!rchan_load(&over)) {
        uint64_t bytes[2] = {random_next(&random), random_next(&random)};
        struct script script = {(const uint8_t *)bytes, sizeof bytes};
        ground_poke(argument, &script);
    }
    return NULL;
}

static void use(struct ground *ground, uint64_t random)
{
    struct rchan_subbuf subbuf;
    struct rchan_tap tap;
    struct rchan_copy copy;
    struct rchan_books books;
    uint64_t size = ground->channel->subbuf_size, length = random % (size + 2);
    rchan_write(ground->channel, 0, memset(ground_room(length), 1, length), length);
    ground_must(rchan_read(ground->buffer, ground_room(size), size) <= (int64_t)size, "a length");
    if (rchan_subbuf_take(ground->buffer, &subbuf) == 1) {
        ground_must(subbuf.length <= size, "a length within bounds");
        memcpy(ground_room(subbuf.length), subbuf.data, subbuf.length);
        rchan_subbuf_give_back(&subbuf, UINT64_MAX);
    }
    if (!rchan_tap_start(ground->buffer, RCHAN_TAP_OLDEST, &tap) && !rchan_tap_cut(&tap, NULL) &&
        rchan_tap_look(&tap, &copy) == 1) {
        ground_must(copy.length <= size, "a length within bounds");
        rchan_tap_copy(&tap, &copy, ground_room(copy.length));
    }
    rchan_buffer_books(ground->buffer, &books);
    if (random % 4 == 0)
        rchan_buffer_flush(ground->buffer);
    if (random % 64 == 0)
        rchan_buffer_reset(ground->buffer);
}

int main(void)
{
    static struct ground grounds[SHAPES];
    uint64_t random = 1;
    ground_make(&grounds[0], "small", 64, 4, false, RCHAN_STAMP_NONE);
    ground_make(&grounds[1], "newest", 64, 4, true, RCHAN_STAMP_NONE);
    ground_make(&grounds[2], "one", 24, 1, true, RCHAN_STAMP_NONE);
    for (unsigned i = 0; i < SHAPES; i++) {
        pthread_t vandal;
        rchan_store(&over, 0);
        ground_must(!pthread_create(&vandal, NULL, destroy, &grounds[i]), "a thread");
        uint64_t end = rchan_now_ns() + NS_EACH;
        while (rchan_now_ns() < end)
            use(&grounds[i], random_next(&random));
        rchan_store(&over, 1);
        pthread_join(vandal, NULL);
    }
    return 0;
}
