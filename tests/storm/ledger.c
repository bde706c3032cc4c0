/* The storm's ledger. */
#include "ledger.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct ledger *ledger;

const char *const crime_names[CRIMES] = {"torn",      "duplicated", "invented",
                                         "uncounted", "wedged",     "failed"};

enum { SAID_AT_MOST = 20 };

void ledger_map(int fd)
{
    ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (ledger == MAP_FAILED) {
        perror("storm: ledger");
        exit(2);
    }
}

int ledger_make(void)
{
    int fd = memfd_create("storm-ledger", 0);
    if (fd < 0 || ftruncate(fd, sizeof *ledger)) {
        perror("storm: ledger");
        exit(2);
    }
    ledger_map(fd);
    return fd;
}

void ledger_clear(int fd)
{
    off_t start = offsetof(struct ledger, next_seq);
    rchan_store(&ledger->lives, 0);
    rchan_store(&ledger->stop_wild, 0);
    memset((void *)ledger->wild, 0, sizeof ledger->wild);
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start,
                  (off_t)sizeof *ledger - start))
        memset((uint8_t *)ledger + start, 0, sizeof *ledger - (size_t)start);
}

void ledger_accuse(enum crime crime, const char *format, ...)
{
    va_list arguments;
    uint64_t before = rchan_add(&ledger->crimes[crime], 1);
    if (before >= SAID_AT_MOST)
        return;
    char text[400];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    dprintf(2, "%s: %s\n", crime_names[crime], text);
}

int64_t ledger_new_life(void)
{
    if (rchan_load(&ledger->lives) >= LIVES)
        return -1;
    uint32_t life = (uint32_t)rchan_add(&ledger->lives, 1);
    return life < LIVES ? (int64_t)life : -1;
}

static uint8_t fill_byte(const struct record *record, uint32_t i)
{
    return (uint8_t)(record->life * 31 + record->seq * 7 + i);
}

static uint32_t sum_of(const struct record *record)
{
    uint32_t sum = record->life * 0x9e3779b9u ^ record->seq * 0x85ebca6bu ^ record->length;
    for (uint32_t i = 0; i < record->length - sizeof *record; i++)
        sum = sum * 31 + record->fill[i];
    return sum ^ 0x5a5a5a5au;
}

void record_fill(struct record *record, uint32_t life, uint32_t seq, uint32_t length)
{
    record->life = life;
    record->seq = seq;
    record->length = length;
    for (uint32_t i = 0; i < length - sizeof *record; i++)
        record->fill[i] = fill_byte(record, i);
    record->sum = sum_of(record);
}

uint64_t records_check(const uint8_t *bytes, uint64_t length, uint32_t where,
                       void (*each)(const struct record *record, uint32_t where))
{
    uint64_t count = 0, at = 0;
    uint8_t *copy = malloc(length ? length : 1); /* aligned, and ours */
    memcpy(copy, bytes, length);
    while (copy && at < length) {
        struct record head;
        if (length - at >= sizeof head)
            memcpy(&head, copy + at, sizeof head);
        if (length - at < sizeof head || head.length < sizeof head || head.length > length - at) {
            ledger_accuse(TORN, "%llu bytes at %llu of %llu are no record",
                          (unsigned long long)(length - at), (unsigned long long)at,
                          (unsigned long long)length);
            break;
        }
        struct record *record = malloc(head.length);
        memcpy(record, copy + at, head.length);
        if (sum_of(record) != head.sum || head.life >= LIVES || head.seq >= SEQS)
            ledger_accuse(TORN, "record %u of life %u has a wrong sum", head.seq, head.life);
        else if (each)
            each(record, where);
        free(record);
        at += head.length;
        count++;
    }
    free(copy);
    rchan_add(&ledger->checked, count);
    return count;
}

static bool may_exist(const struct record *record)
{
    uint8_t fate = rchan_load(&ledger->fates[record->life][record->seq]);
    if (fate == UNKNOWN || fate == STORED)
        return true;
    ledger_accuse(INVENTED, "record %u of life %u was found; its writer knows fate %u", record->seq,
                  record->life, fate);
    return false;
}

/* One record is in one sub-buffer only, whoever sees it. */
static bool found_in(const struct record *record, uint32_t where)
{
    rchan_a32 *place = &ledger->where[record->life][record->seq];
    bool again = !rchan_swap_half(place, 0, where);
    if (again && rchan_load(place) != where)
        ledger_accuse(DUPLICATED, "record %u of life %u is in two sub-buffers", record->seq,
                      record->life);
    return again;
}

void ledger_found(const struct record *record, uint32_t where)
{
    if (!may_exist(record))
        return;
    if (rchan_load(&ledger->consumed[record->life][record->seq]))
        ledger_accuse(DUPLICATED, "record %u of life %u came again after it was consumed",
                      record->seq, record->life);
    if (found_in(record, where))
        rchan_add(&ledger->redelivered, 1);
}

void ledger_consumed(const struct record *record, uint32_t where)
{
    (void)where;
    rchan_store(&ledger->consumed[record->life][record->seq], 1);
}

void ledger_copied(const struct record *record, uint32_t where)
{
    (void)where;
    if (may_exist(record))
        rchan_add(&ledger->copied, 1);
}
