/* Where stamps begin, and what they mean. */
#include "stamp.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ATTEMPTS = 16, BOOT_ID_TEXT = 36 };

/* CLOCK_MONOTONIC in the middle of two looks at the counter; the closest pair of several. */
static uint64_t counter_and_monotonic(struct rchan_moment *moment)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < ATTEMPTS; i++) {
        uint64_t before = rchan_counter(), now = rchan_now_ns(), after = rchan_counter();
        if (after - before < best) {
            best = after - before;
            moment->counter = before + best / 2;
            moment->monotonic_ns = now;
        }
    }
    return best;
}

struct rchan_moment rchan_moment_now(void)
{
    struct rchan_moment moment = {0};
    uint64_t best = UINT64_MAX;
    int64_t difference = 0;
    for (int i = 0; i < ATTEMPTS; i++) {
        uint64_t before = rchan_now_ns(), real = rchan_clock_read(CLOCK_REALTIME),
                 after = rchan_now_ns();
        if (after - before < best) {
            best = after - before;
            difference = (int64_t)(real - (before + best / 2));
        }
    }
    counter_and_monotonic(&moment);
    moment.realtime_ns = moment.monotonic_ns + (uint64_t)difference;
    return moment;
}

static int hex_digit(char digit)
{
    return digit >= 'a' ? digit - 'a' + 10 : digit - '0';
}

void rchan_boot_id(uint8_t id[16])
{
    char text[BOOT_ID_TEXT] = {0};
    memset(id, 0, 16);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    int digits = 0;
    for (int i = 0; length == BOOT_ID_TEXT && i < BOOT_ID_TEXT && digits < 32; i++) {
        if (text[i] == '-')
            continue;
        id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | (hex_digit(text[i]) & 15));
        digits++;
    }
}

enum { NONBLOCK = 1 }; /* as in <linux/random.h> */

static void make_uuid(uint8_t uuid[16], const struct rchan_moment *moment)
{
    if (syscall(SYS_getrandom, uuid, 16, NONBLOCK) != 16) {
        memcpy(uuid, &moment->realtime_ns, 8);
        memcpy(uuid + 8, &moment->counter, 8);
    }
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40); /* RFC 4122, version 4 */
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

void rchan_stamp_start(struct rchan_channel *channel, uint64_t frequency)
{
    struct rchan_header *header = channel->header;
    struct rchan_moment moment = rchan_moment_now();
    bool counter = channel->stamp_clock == RCHAN_STAMP_COUNTER;
    channel->stamp_base = counter ? moment.counter : 0;
    header->stamp_clock = channel->stamp_clock;
    header->stamp_base = channel->stamp_base;
    header->stamp_frequency = counter ? frequency : UINT64_C(1000000000);
    header->anchor_stamp = counter ? 0 : moment.monotonic_ns;
    header->anchor_monotonic_ns = moment.monotonic_ns;
    header->anchor_realtime_ns = moment.realtime_ns;
    make_uuid(header->uuid, &moment);
    rchan_boot_id(header->boot_id);
    rchan_store(&header->gate, (uint32_t)RCHAN_GATE_PACKETS);
}
