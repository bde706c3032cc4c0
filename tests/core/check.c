/* Runs the registered tests, or those named in the arguments, in the order of the file. */
#include "check.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct check_test *tests, **last = &tests;
static _Atomic bool failed; /* threads may check too */
static jmp_buf way_out;
static pid_t tester;
const char *check_context;
unsigned check_failures;

void check_register(struct check_test *test)
{
    *last = test;
    last = &test->next;
}

bool check_that(bool held, const char *file, int line, const char *text)
{
    if (!held) {
        failed = true;
        check_failures++;
        fprintf(stderr, "%s:%d: does not hold: %s", file, line, text);
        fprintf(stderr, check_context ? " [%s]\n" : "\n", check_context);
    }
    return held;
}

bool check_same(int64_t got, int64_t wanted, const char *file, int line, const char *text)
{
    if (got != wanted)
        fprintf(stderr, "%s:%d: got %lld, wanted %lld\n", file, line, (long long)got,
                (long long)wanted);
    return check_that(got == wanted, file, line, text);
}

void check_leave(void)
{
    if (getpid() != tester)
        _exit(64); /* a forked child does not go on with the tests */
    longjmp(way_out, 1);
}

/* What a test may leave no more of than it found. */
struct things {
    int descriptors, mappings;
};

static struct things things_now(void)
{
    char line[512];
    struct things things = {0};
    DIR *descriptors = opendir("/proc/self/fd");
    while (descriptors && readdir(descriptors))
        things.descriptors++;
    if (descriptors)
        closedir(descriptors);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps)) {
        char permissions[8] = "", path[256] = "";
        sscanf(line, "%*s %7s %*s %*s %*s %255s", permissions, path);
        things.mappings += permissions[0] && permissions[3] == 's';
    }
    if (maps)
        fclose(maps);
    return things;
}

static void check_leaks(struct things before)
{
    struct things now = things_now();
    check_context = "open descriptors, and shared mappings, after the test";
    CHECK_EQ(now.descriptors, before.descriptors);
    CHECK_EQ(now.mappings, before.mappings);
}

static bool run(const struct check_test *test)
{
    failed = false;
    check_context = NULL;
    struct things before = things_now();
    if (!setjmp(way_out)) {
        test->body();
        check_leaks(before);
    }
    printf("%s %s\n", failed ? "FAILED" : "ok    ", test->name);
    fflush(stdout);
    return !failed;
}

static bool wanted(const struct check_test *test, int count, char **names)
{
    for (int i = 1; i < count; i++)
        if (!strcmp(names[i], test->name))
            return true;
    return count < 2;
}

int main(int count, char **names)
{
    int n_passed = 0, n_failed = 0;
    tester = getpid();
    for (const struct check_test *test = tests; test; test = test->next) {
        if (!wanted(test, count, names))
            continue;
        if (run(test))
            n_passed++;
        else
            n_failed++;
    }
    printf("%d passed, %d failed\n", n_passed, n_failed);
    return n_failed || !n_passed;
}
