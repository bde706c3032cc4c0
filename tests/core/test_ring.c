/* Ringing with kept descriptors: never the wrong FIFO, never the last descriptor, never a signal. */
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#if __has_include(<linux/seccomp.h>)
#include <linux/filter.h>
#include <linux/seccomp.h>
#endif
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "announce.h"
#include "bell.h"
#include "fixture.h"
#include "wait.h"

static struct rchan_bell opened(struct rchan_channel *channel)
{
    struct rchan_bell bell;
    struct rchan_error error = {0};
    REQUIRE(rchan_bell_open(channel, &bell, &error) == 0);
    REQUIRE(rchan_bell_rearm(&bell));
    return bell;
}

static bool rung(const struct rchan_bell *bell)
{
    struct pollfd look = {.fd = bell->fd, .events = POLLIN};
    return poll(&look, 1, 0) == 1;
}

static bool armed(const struct rchan_bell *bell)
{
    return rchan_load(&bell->channel->header->bells[bell->index]) & RCHAN_BELL_ARMED;
}

static void finish_subbuf(struct rchan_channel *channel)
{
    fixture_write(channel, 'x', 8);
    CHECK_EQ(rchan_buffer_flush(&channel->buffers[0]), 0);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

TEST(the_descriptor_is_kept_from_ring_to_ring)
{
    struct rchan_channel *channel = fixture_channel("ring", 64, 8, true);
    struct rchan_bell bell = opened(channel);
    finish_subbuf(channel);
    int kept = channel->kept_bells[0].fd;
    CHECK(kept >= 0 && fcntl(kept, F_GETFD) == FD_CLOEXEC);
    for (int i = 0; i < 5; i++) {
        CHECK(rung(&bell));
        CHECK(rchan_bell_rearm(&bell) && !rung(&bell));
        finish_subbuf(channel);
        CHECK_EQ(channel->kept_bells[0].fd, kept);
    }
    rchan_bell_close(&bell);
    rchan_channel_close(channel, NULL);
    CHECK(!is_open(kept));
    rchan_channel_detach(channel);
    CHECK_EQ(fixture_files(), 0);
}

TEST(bells_beyond_the_kept_ones_ring_too)
{
    enum { N = RCHAN_KEPT_BELLS + 3 };
    struct rchan_bell bells[N];
    struct rchan_channel *channel = fixture_channel("ring", 64, 8, true);
    for (int i = 0; i < N; i++)
        bells[i] = opened(channel);
    for (int round = 0; round < 3; round++) {
        finish_subbuf(channel);
        for (int i = 0; i < N; i++)
            CHECK(rung(&bells[i]) && rchan_bell_rearm(&bells[i]) && !rung(&bells[i]));
        for (int i = 0; i < RCHAN_KEPT_BELLS; i++)
            CHECK(channel->kept_bells[i].fd >= 0);
    }
    for (int i = 0; i < N; i++)
        rchan_bell_close(&bells[i]);
    fixture_close(channel);
}

/* The old FIFO stays open for reading, as in a child that its reader forked off. */
TEST(the_next_reader_of_a_bell_is_not_taken_for_the_last)
{
    struct rchan_channel *channel = fixture_channel("ring", 64, 8, true);
    struct rchan_bell old = opened(channel);
    finish_subbuf(channel);
    int inherited = dup(old.fd);
    rchan_bell_close(&old);
    struct rchan_bell bell = opened(channel);
    CHECK_EQ(bell.index, 0);
    finish_subbuf(channel);
    CHECK(rung(&bell));
    char bytes[8];
    CHECK_EQ(read(inherited, bytes, sizeof bytes), 1); /* that of the first ring */
    close(inherited);
    rchan_bell_close(&bell);
    fixture_close(channel);
}

TEST(a_kept_bell_rings_though_its_name_is_anothers)
{
    char path[300];
    struct rchan_channel *channel = fixture_channel("ring", 64, 8, true);
    struct rchan_bell bell = opened(channel);
    finish_subbuf(channel);
    snprintf(path, sizeof path, "%s/ring.0.bell", fixture_directory());
    REQUIRE(unlink(path) == 0 && mkfifo(path, 0600) == 0);
    CHECK(rchan_bell_rearm(&bell) && !rung(&bell));
    finish_subbuf(channel);
    CHECK(rung(&bell));
    rchan_bell_close(&bell);
    fixture_close(channel);
    CHECK_EQ(fixture_files(), 0);
}

/* A reader that dies without a word. SIGPIPE would end this process. */
static void die(struct rchan_bell *bell)
{
    close(bell->fd);
    bell->fd = -1;
}

TEST(a_reader_that_died_is_forgotten)
{
    struct rchan_channel *channel = fixture_channel("ring", 64, 8, true);
    struct rchan_bell bell = opened(channel);
    finish_subbuf(channel);
    CHECK(rchan_bell_rearm(&bell));
    die(&bell);
    finish_subbuf(channel);
    CHECK(!armed(&bell));
    CHECK_EQ(channel->kept_bells[0].fd, -1);
    CHECK_EQ(fixture_files(), 2);
    CHECK(!rchan_wake_wanted(&channel->header->wake));
    fixture_close(channel);
}

#if __has_include(<linux/seccomp.h>) /* the kernel's headers are there */
static bool without_pwritev2(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwritev2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
           !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

TEST(before_linux_6_18_no_signal_comes_either)
{
    int status = -1;
    pid_t child = fork();
    if (!child) {
        if (!without_pwritev2())
            _exit(77);
        struct rchan_channel *channel = fixture_channel("ring", 64, 8, true);
        struct rchan_bell bell = opened(channel);
        finish_subbuf(channel);
        bool good = rung(&bell) && rchan_bell_rearm(&bell);
        die(&bell);
        finish_subbuf(channel);
        good = good && !armed(&bell) && fixture_files() == 2;
        fixture_close(channel);
        _exit(good ? 0 : 1);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77));
}
#endif

TEST(a_forked_child_keeps_none_and_rings_by_itself)
{
    struct rchan_channel *channel = fixture_channel("ring", 64, 8, true);
    struct rchan_bell bell = opened(channel);
    finish_subbuf(channel);
    int kept = channel->kept_bells[0].fd, status = -1;
    CHECK(rchan_bell_rearm(&bell));
    pid_t child = fork();
    if (!child) {
        bool clean = channel->kept_bells[0].fd == -1 && !is_open(kept);
        finish_subbuf(channel);
        _exit(clean && channel->kept_bells[0].fd >= 0 ? 0 : 1);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK(rung(&bell));
    CHECK(rchan_bell_rearm(&bell));
    finish_subbuf(channel);
    CHECK(rung(&bell) && channel->kept_bells[0].fd == kept);
    rchan_bell_close(&bell);
    fixture_close(channel);
}

/* As a daemon does: all descriptors closed, others opened under their numbers. */
TEST(what_has_the_number_of_a_kept_descriptor_is_not_written_to)
{
    char path[300];
    struct stat found;
    struct rchan_channel *channel = fixture_channel("ring", 64, 8, true);
    struct rchan_bell bell = opened(channel);
    finish_subbuf(channel);
    int kept = channel->kept_bells[0].fd;
    snprintf(path, sizeof path, "%s/precious", fixture_directory());
    int file = open(path, O_CREAT | O_RDWR, 0600);
    REQUIRE(file >= 0 && dup2(file, kept) == kept);
    CHECK(rchan_bell_rearm(&bell));
    finish_subbuf(channel);
    CHECK(rung(&bell));
    CHECK(fstat(file, &found) == 0 && found.st_size == 0);
    CHECK(is_open(kept)); /* not ours to close */
    close(file);
    close(kept);
    unlink(path);
    rchan_bell_close(&bell);
    fixture_close(channel);
}

/* ---- no descriptor left ---- */

enum { MOST = 64 };

static struct shortage {
    int fillers[MOST], used;
    struct rlimit before;
} shortage;

/* Every number up to `highest` is taken, and there are no others. */
static void use_up(int highest)
{
    struct rlimit limit;
    shortage.used = 0;
    for (int fd = dup(0); shortage.used < MOST; fd = dup(0)) {
        REQUIRE(fd >= 0);
        shortage.fillers[shortage.used++] = fd;
        if (fd > highest)
            highest = fd;
        if (shortage.used > 1 && fd == highest)
            break;
    }
    REQUIRE(getrlimit(RLIMIT_NOFILE, &shortage.before) == 0);
    limit = shortage.before;
    limit.rlim_cur = (rlim_t)highest + 1;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void end_shortage(void)
{
    REQUIRE(setrlimit(RLIMIT_NOFILE, &shortage.before) == 0);
    while (shortage.used)
        close(shortage.fillers[--shortage.used]);
}

TEST(kept_descriptors_go_when_none_is_left)
{
    struct rchan_bell bells[3];
    struct rchan_channel *channel = fixture_channel("ring", 64, 8, true);
    bells[0] = opened(channel);
    bells[1] = opened(channel);
    finish_subbuf(channel);
    bells[2] = opened(channel);
    use_up(bells[2].fd); /* but for the two that are kept */
    finish_subbuf(channel);
    end_shortage();
    CHECK(rung(&bells[2]) && !armed(&bells[2]));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(channel->kept_bells[i].fd, -1); /* nor kept again, so near the limit */
        rchan_bell_close(&bells[i]);
    }
    fixture_close(channel);
}

TEST(what_cannot_be_rung_now_is_rung_later)
{
    struct rchan_channel *channel = fixture_channel("ring", 64, 8, true);
    struct rchan_bell bell = opened(channel);
    use_up(bell.fd);
    finish_subbuf(channel);
    end_shortage();
    CHECK(!rung(&bell) && armed(&bell));
    CHECK(rchan_wake_asked(&channel->header->wake));
    struct rchan_channel *other = fixture_attach("ring"); /* whoever comes, rings */
    CHECK(rung(&bell) && !armed(&bell));
    CHECK(!rchan_wake_wanted(&channel->header->wake));
    rchan_channel_detach(other);
    rchan_bell_close(&bell);
    fixture_close(channel);
}

/* ---- damaged memory ---- */

TEST(no_value_of_a_bells_words_harms)
{
    static const uint32_t values[] = {0, 1, 2, 3, 0x7fffffff, 0x80000000, UINT32_MAX};
    struct rchan_channel *channel = fixture_channel("ring", 64, 8, true);
    struct rchan_bell bell = opened(channel);
    struct rchan_header *header = channel->header;
    for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
        for (unsigned k = 0; k < RCHAN_MAX_BELLS; k++) {
            rchan_store(&header->bells[k], values[i]);
            rchan_store(&header->bells_made[k], ~values[i]);
        }
        rchan_store(&header->bell_limit, UINT32_MAX - i);
        CHECK(rchan_bell_rearm(&bell));
        finish_subbuf(channel);
        CHECK(rung(&bell));
    }
    rchan_bell_close(&bell);
    fixture_close(channel);
    CHECK_EQ(fixture_files(), 0);
}

struct rush {
    struct rchan_channel *channel;
    rchan_a32 stop;
};

static void *change_words(void *argument)
{
    struct rush *rush = argument;
    struct rchan_header *header = rush->channel->header;
    for (uint32_t value = 0; !rchan_load(&rush->stop); value += 0x9e3779b9) {
        rchan_store(&header->bells[0], value);
        rchan_store(&header->bells_made[0], value);
        rchan_store(&header->gate, value & ~(uint32_t)RCHAN_GATE_SHUT);
        rchan_store(&header->wake, (uint64_t)value << 32 | value);
    }
    return NULL;
}

TEST(words_that_never_stand_still_hold_nobody_up)
{
    enum { ROUNDS = 300 };
    pthread_t thread;
    struct rush rush = {.channel = fixture_channel("ring", 64, 8, true)};
    REQUIRE(!pthread_create(&thread, NULL, change_words, &rush));
    for (int round = 0; round < ROUNDS; round++) {
        struct rchan_bell bell = opened(rush.channel);
        rchan_wakeup_set(rush.channel, RCHAN_GATE_NEVER);
        rchan_wake_channel(rush.channel);
        finish_subbuf(rush.channel);
        rchan_bell_close(&bell);
    }
    rchan_store(&rush.stop, 1);
    pthread_join(thread, NULL);
    rchan_store(&rush.channel->header->gate, 0);
    fixture_close(rush.channel);
    CHECK_EQ(fixture_files(), 0);
}

/* ---- threads ---- */

static void *ring_on(void *argument)
{
    struct rush *rush = argument;
    while (!rchan_load(&rush->stop)) {
        rchan_set_bits(&rush->channel->header->wake, UINT64_C(1) << 31);
        rchan_wake_channel(rush->channel);
    }
    return NULL;
}

TEST(threads_ring_at_once_while_readers_come_and_go)
{
    enum { THREADS = 3, VISITS = 1500 };
    pthread_t threads[THREADS];
    struct rush rush = {.channel = fixture_channel("ring", 64, 8, true)};
    struct rchan_channel *reader = fixture_attach("ring");
    for (int i = 0; i < THREADS; i++)
        REQUIRE(!pthread_create(&threads[i], NULL, ring_on, &rush));
    for (int visit = 0; visit < VISITS; visit++) {
        struct rchan_bell bell = opened(reader);
        struct pollfd look = {.fd = bell.fd, .events = POLLIN};
        CHECK_EQ(poll(&look, 1, 60000), 1);
        rchan_bell_close(&bell);
    }
    rchan_store(&rush.stop, 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    rchan_channel_detach(reader);
    CHECK_EQ(fixture_files(), 2);
    fixture_close(rush.channel);
}
