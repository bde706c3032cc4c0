/* The smallest test harness: TEST bodies register themselves, check.c has main(). */
#ifndef RCHAN_CHECK_H
#define RCHAN_CHECK_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

struct check_test {
    const char *name;
    void (*body)(void);
    struct check_test *next;
};

/* Said with every failure, if not NULL: where in a table or a loop the test is. */
extern const char *check_context;
/* Checks that did not hold so far, in this process. */
extern unsigned check_failures;

void check_register(struct check_test *test);
/* Note a failure; the test goes on. Returns `held`, so that a caller can stop. */
bool check_that(bool held, const char *file, int line, const char *text);
bool check_same(int64_t got, int64_t wanted, const char *file, int line, const char *text);
/* Leave the running test (from the thread that runs it). */
_Noreturn void check_leave(void);

#define TEST(name)                                                                                 \
    static void test_##name(void);                                                                 \
    static struct check_test record_##name = {#name, test_##name, 0};                              \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        check_register(&record_##name);                                                            \
    }                                                                                              \
    static void test_##name(void)

#define CHECK(condition) check_that((condition), __FILE__, __LINE__, #condition)
#define CHECK_EQ(got, wanted)                                                                      \
    check_same((int64_t)(got), (int64_t)(wanted), __FILE__, __LINE__, #got " == " #wanted)
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!CHECK(condition))                                                                     \
            check_leave();                                                                         \
    } while (0)

#endif
