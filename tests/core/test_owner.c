/* Slots, liveness by the kernel's word, taking and taking over, fork. */
#include "owner.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "fixture.h"

static struct rchan_block *block_of(struct rchan_channel *channel)
{
    return channel->buffers[0].block;
}

/* A forked process, with a pipe each way. */
struct child {
    pid_t pid;
    int said[2];  /* child -> parent: one word */
    int asked[2]; /* parent -> child: closed to let it go on */
};

static bool child_start(struct child *child)
{
    if (pipe(child->said) || pipe(child->asked))
        return false;
    child->pid = fork();
    return child->pid == 0;
}

/* In the child: say a value, then live until killed, or until the tester lets `until` go. */
static _Noreturn void child_say(const struct child *child, uint64_t value,
                                const struct child *until)
{
    char byte;
    if (write(child->said[1], &value, sizeof value) != sizeof value)
        _exit(1);
    close(until->asked[1]);
    while (read(until->asked[0], &byte, 1) > 0)
        ;
    _exit(0);
}

static uint64_t child_said(const struct child *child)
{
    uint64_t value = 0;
    CHECK_EQ(read(child->said[0], &value, sizeof value), sizeof value);
    return value;
}

static void child_close(const struct child *child)
{
    for (int i = 0; i < 2; i++) {
        close(child->said[i]);
        close(child->asked[i]);
    }
}

static void child_kill(const struct child *child)
{
    kill(child->pid, SIGKILL);
    CHECK_EQ(waitpid(child->pid, NULL, 0), child->pid);
    child_close(child);
}

TEST(every_attachment_has_a_slot_of_its_own)
{
    struct rchan_channel *channel = fixture_channel("slots", 64, 2, false);
    struct rchan_channel *other = fixture_attach("slots");
    uint64_t ours = rchan_load(&channel->owner_value), theirs = rchan_load(&other->owner_value);
    uint32_t pids[4] = {0};
    CHECK(ours && theirs && ours != theirs);
    CHECK((uint32_t)ours != (uint32_t)theirs);
    CHECK_EQ(rchan_producers_alive(channel, pids, 4), 2);
    CHECK_EQ(pids[0], getpid());
    CHECK_EQ(pids[1], getpid());
    CHECK(!rchan_owner_dead(channel, theirs));
    CHECK(!rchan_owner_dead(other, ours));
    CHECK(!rchan_owner_dead(channel, ours));
    rchan_channel_detach(other);
    CHECK_EQ(rchan_producers_alive(channel, NULL, 0), 1);
    CHECK(rchan_owner_dead(channel, theirs));
    fixture_close(channel);
}

TEST(pids_are_given_up_to_the_room)
{
    struct rchan_channel *channel = fixture_channel("room", 64, 2, false);
    struct rchan_channel *other = fixture_attach("room");
    uint32_t pids[2] = {0, 77};
    CHECK_EQ(rchan_producers_alive(channel, pids, 1), 2);
    CHECK_EQ(pids[1], 77);
    rchan_channel_detach(other);
    fixture_close(channel);
}

TEST(a_slot_used_again_has_another_generation)
{
    struct rchan_channel *channel = fixture_channel("again", 64, 2, false);
    struct rchan_channel *other = fixture_attach("again");
    uint64_t first = rchan_load(&other->owner_value);
    rchan_channel_detach(other);
    other = fixture_attach("again");
    uint64_t second = rchan_load(&other->owner_value);
    CHECK_EQ((uint32_t)second, (uint32_t)first);
    CHECK((second >> 32) > (first >> 32));
    CHECK(rchan_owner_dead(channel, first));
    CHECK(!rchan_owner_dead(channel, second));
    rchan_channel_detach(other);
    fixture_close(channel);
}

TEST(a_value_that_names_no_slot_is_dead)
{
    struct rchan_channel *channel = fixture_channel("hostile", 64, 2, false);
    CHECK(rchan_owner_dead(channel, UINT64_C(1) << 32 | (RCHAN_MAX_SLOTS + 1)));
    CHECK(rchan_owner_dead(channel, UINT64_C(1) << 32));
    CHECK(rchan_owner_dead(channel, UINT64_MAX));
    fixture_close(channel);
}

TEST(a_word_is_taken_once)
{
    struct rchan_channel *channel = fixture_channel("once", 64, 2, false);
    struct rchan_channel *other = fixture_attach("once");
    rchan_a64 *word = &block_of(channel)->owner;
    CHECK_EQ(rchan_word_try(channel, word, true), RCHAN_TAKEN);
    CHECK_EQ(rchan_load(word), rchan_load(&channel->owner_value));
    CHECK_EQ(rchan_word_try(other, &block_of(other)->owner, true), RCHAN_BUSY);
    rchan_word_give(word);
    CHECK_EQ(rchan_load(word), 0);
    CHECK_EQ(rchan_word_try(other, &block_of(other)->owner, true), RCHAN_TAKEN);
    rchan_word_give(&block_of(other)->owner);
    rchan_channel_detach(other);
    fixture_close(channel);
}

TEST(waiting_for_a_live_holder_is_bounded)
{
    struct rchan_channel *channel = fixture_channel("bounded", 64, 2, false);
    struct rchan_channel *other = fixture_attach("bounded");
    rchan_a64 *word = &block_of(channel)->owner;
    CHECK_EQ(rchan_word_take(channel, word, 0), RCHAN_TAKEN);
    uint64_t start = rchan_now_ns();
    CHECK_EQ(rchan_word_take(other, &block_of(other)->owner, 2000), RCHAN_BUSY);
    uint64_t waited = rchan_now_ns() - start;
    CHECK(waited >= UINT64_C(2000000));
    CHECK(waited < UINT64_C(60000000000));
    rchan_word_give(word);
    rchan_channel_detach(other);
    fixture_close(channel);
}

TEST(a_forked_child_has_a_slot_of_its_own)
{
    struct rchan_channel *channel = fixture_channel("fork", 64, 2, false);
    uint64_t ours = rchan_load(&channel->owner_value);
    struct child child;
    if (child_start(&child))
        child_say(&child, rchan_load(&channel->owner_value), &child);
    uint64_t theirs = child_said(&child);
    CHECK(theirs && (uint32_t)theirs != (uint32_t)ours);
    CHECK_EQ(rchan_load(&channel->owner_value), ours);
    CHECK(!rchan_owner_dead(channel, theirs));
    CHECK_EQ(rchan_producers_alive(channel, NULL, 0), 2);
    child_kill(&child);
    CHECK(rchan_owner_dead(channel, theirs));
    CHECK_EQ(rchan_producers_alive(channel, NULL, 0), 1);
    fixture_close(channel);
}

TEST(a_dead_parent_is_seen_while_its_child_lives)
{
    struct rchan_channel *channel = fixture_channel("orphan", 64, 2, false);
    struct child parent, grandchild;
    if (child_start(&parent)) {
        if (child_start(&grandchild))
            child_say(&grandchild, 1, &parent);
        child_said(&grandchild);
        child_say(&parent, rchan_load(&channel->owner_value), &parent);
    }
    uint64_t theirs = child_said(&parent);
    CHECK(!rchan_owner_dead(channel, theirs));
    CHECK_EQ(rchan_producers_alive(channel, NULL, 0), 3);
    kill(parent.pid, SIGKILL);
    waitpid(parent.pid, NULL, 0);
    CHECK(rchan_owner_dead(channel, theirs));
    CHECK_EQ(rchan_producers_alive(channel, NULL, 0), 2);
    child_close(&parent);
    fixture_close(channel);
}

TEST(who_has_only_read_is_no_producer)
{
    struct rchan_channel *channel = fixture_channel("reads", 64, 2, false);
    struct rchan_channel *other = fixture_attach("reads");
    rchan_note_reading(other);
    CHECK_EQ(rchan_producers_alive(channel, NULL, 0), 1);
    CHECK_EQ(rchan_write(other, 0, "record", 6), RCHAN_STORED);
    CHECK_EQ(rchan_producers_alive(channel, NULL, 0), 2);
    rchan_note_reading(other); /* it stays one */
    CHECK_EQ(rchan_producers_alive(channel, NULL, 0), 2);
    rchan_channel_detach(other);
    other = fixture_attach("reads"); /* the slot anew */
    CHECK_EQ(rchan_producers_alive(channel, NULL, 0), 2);
    rchan_channel_detach(other);
    fixture_close(channel);
}

TEST(a_reader_of_another_process_leaves_the_channel_orphaned)
{
    struct rchan_channel *channel = fixture_channel("reader", 64, 2, false);
    struct child child;
    rchan_note_reading(channel);
    CHECK(rchan_orphaned(channel));
    if (child_start(&child)) { /* it may write, as long as it has not read */
        child_say(&child, (uint64_t)rchan_orphaned(channel), &child);
    }
    CHECK_EQ(child_said(&child), 1); /* the parent has only read */
    CHECK(!rchan_orphaned(channel));
    child_kill(&child);
    CHECK(rchan_orphaned(channel));
    if (child_start(&child)) {
        rchan_note_reading(channel);
        child_say(&child, 1, &child);
    }
    child_said(&child);
    CHECK(rchan_orphaned(channel));
    child_kill(&child);
    fixture_close(channel);
}

TEST(while_a_record_is_in_progress_its_buffer_is_not_finalized)
{
    struct rchan_channel *channel = fixture_channel("half", 64, 2, false);
    struct rchan_buffer *buffer = &channel->buffers[0];
    struct rchan_reservation place;
    CHECK(!rchan_buffer_finalized(buffer));
    CHECK_EQ(rchan_reserve(channel, 0, 8, &place), RCHAN_STORED);
    /* a finalizer who was killed after his first store */
    rchan_set_bits(&channel->header->gate, (uint32_t)RCHAN_GATE_FINALIZED);
    CHECK(!rchan_buffer_finalized(buffer));
    memcpy(place.data, "the last", 8);
    CHECK(rchan_commit(&place, 8));
    CHECK(rchan_buffer_finalized(buffer));
    rchan_store(&buffer->block->owner, RCHAN_NOBODY_ALIVE);
    CHECK(rchan_buffer_finalized(buffer));
    rchan_store(&buffer->block->owner, 0);
    fixture_close(channel);
}

TEST(the_word_of_a_killed_holder_is_taken_over)
{
    struct rchan_channel *channel = fixture_channel("takeover", 64, 2, false);
    rchan_a64 *word = &block_of(channel)->owner;
    struct child child;
    if (child_start(&child)) {
        rchan_word_take(channel, word, 0);
        child_say(&child, rchan_load(word), &child);
    }
    uint64_t theirs = child_said(&child);
    CHECK_EQ(rchan_load(word), theirs);
    CHECK_EQ(rchan_word_try(channel, word, true), RCHAN_BUSY);
    child_kill(&child);
    CHECK_EQ(rchan_word_try(channel, word, false), RCHAN_BUSY);
    CHECK_EQ(rchan_word_try(channel, word, true), RCHAN_TAKEN_OVER);
    CHECK_EQ(rchan_load(word), rchan_load(&channel->owner_value));
    rchan_word_give(word);
    fixture_close(channel);
}

TEST(the_own_value_of_a_fork_is_not_the_parents_word)
{
    struct rchan_channel *channel = fixture_channel("inherit", 64, 2, false);
    rchan_a64 *word = &block_of(channel)->owner;
    struct child child;
    CHECK_EQ(rchan_word_take(channel, word, 0), RCHAN_TAKEN);
    if (child_start(&child))
        child_say(&child, (uint64_t)rchan_word_try(channel, word, true), &child);
    CHECK_EQ(child_said(&child), RCHAN_BUSY);
    child_kill(&child);
    CHECK_EQ(rchan_load(word), rchan_load(&channel->owner_value));
    rchan_word_give(word);
    fixture_close(channel);
}

/* ---- a descriptor that the program closed, and whose number is another file's ---- */

static int take_its_number(struct rchan_channel *channel)
{
    int fd = channel->fd, other = open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(other >= 0 && dup2(other, fd) == fd);
    close(other);
    return fd;
}

TEST(a_descriptor_that_others_closed)
{
    struct stat found;
    struct rchan_channel *channel = fixture_channel("closed", 64, 4, false);
    struct rchan_channel *other = fixture_attach("closed");
    int fd = take_its_number(channel);
    CHECK(!rchan_owner_dead(other, rchan_load(&channel->owner_value)));
    CHECK(!rchan_owner_dead(channel, rchan_load(&other->owner_value)));
    CHECK(channel->fd != fd);
    uint64_t value = rchan_load(&other->owner_value);
    rchan_channel_detach(other);
    CHECK(rchan_owner_dead(channel, value));
    fixture_close(channel);
    CHECK(fstat(fd, &found) == 0 && S_ISCHR(found.st_mode));
    close(fd);
    CHECK_EQ(fixture_files(), 0);
}

TEST(without_a_name_it_is_lost)
{
    struct stat found;
    struct rchan_channel *channel = fixture_channel(NULL, 64, 4, false);
    int fd = take_its_number(channel);
    CHECK_EQ(rchan_control_fd(channel), -1);
    CHECK(!rchan_owner_dead(channel, rchan_load(&channel->owner_value) + 1));
    CHECK(rchan_channel_whole(channel));
    CHECK_EQ(fixture_write(channel, 'x', 8), RCHAN_STORED);
    fixture_close(channel);
    CHECK(fstat(fd, &found) == 0 && S_ISCHR(found.st_mode));
    close(fd);
}

static void *look_for_it(void *channel)
{
    struct stat found;
    for (int i = 0; i < 100; i++)
        CHECK(rchan_control_look(channel, &found) >= 0 && S_ISREG(found.st_mode));
    return NULL;
}

TEST(threads_find_it_again)
{
    struct rchan_channel *channel = fixture_channel("found", 64, 4, false);
    for (int round = 0; round < 20; round++) {
        pthread_t threads[4];
        int fd = take_its_number(channel);
        for (int i = 0; i < 4; i++)
            REQUIRE(!pthread_create(&threads[i], NULL, look_for_it, channel));
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        close(fd);
    }
    fixture_close(channel);
}
