// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "scraper/page/identity_set.h"

#include <sys/resource.h>

/* The memory of sanitizers has pages, too: with one, none is counted. */
static long page_faults(void)
{
    struct rusage usage = {0};
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    getrusage(RUSAGE_THREAD, &usage);
#endif
    return usage.ru_minflt;
}

static uint64_t nth_identity(uint64_t i) { return hash_keyed(&i, sizeof i); }

static void touch_whole_set(struct identity_set *s)
{
    while (identity_set_touch(s)) {
    }
}

static void identities_are_added_and_marked_once(void **state UNUSED)
{
    enum { N = 1000, TIMES = 3 };
    struct identity_set s = {0};
    for (int round = 0; round < TIMES; round++) { /* the later ones in the memory of the first */
        identity_set_start(&s, N);
        touch_whole_set(&s);
        for (uint64_t i = 0; i < N; i++)
            assert_true(identity_set_add(&s, nth_identity(i)));
        assert_int_equal(s.n, N);
        for (uint64_t i = 0; i < N; i++) {
            assert_false(identity_set_add(&s, nth_identity(i)));
            assert_int_equal(identity_set_mark(&s, nth_identity(i)), IDENTITY_FIRST);
            assert_int_equal(identity_set_mark(&s, nth_identity(i)), IDENTITY_AGAIN);
        }
        assert_int_equal(identity_set_mark(&s, nth_identity(N)), IDENTITY_ABSENT);
    }
    identity_set_free(&s);
}

/* A set that grows is touched while it is used: some identities are at the beginning of a page. */
static void touching_keeps_identities(void **state UNUSED)
{
    enum { N = 20000 };
    struct identity_set s = {0};
    identity_set_start(&s, 1);
    for (uint64_t i = 0; i < N; i++) {
        identity_set_make_room(&s, 1);
        assert_true(identity_set_add(&s, nth_identity(i)));
    }
    while (identity_set_settle(&s)) {
    }
    s.touched = 0;
    touch_whole_set(&s);
    for (uint64_t i = 0; i < N; i++)
        assert_true(identity_set_has(&s, nth_identity(i)));
    identity_set_free(&s);
}

/* The pages of a large set are touched in steps of bounded size, and not by the additions. */
static void a_large_set_is_touched_in_steps(void **state UNUSED)
{
    enum { N = 500000, BURST = 256, PAGE = 4096 };
    struct identity_set s = {0};
    struct mem_release release = {0};
    identity_set_start(&s, N);
    long before = page_faults(), worst = 0, steps = 1;
    bool more = true;
    for (; more; steps++) {
        more = identity_set_touch(&s);
        long now = page_faults();
        worst = now - before > worst ? now - before : worst;
        before = now;
    }
    assert_true(steps > (long)(N * sizeof(uint64_t) / IDENTITY_SET_TOUCH));
    assert_true(worst < IDENTITY_SET_TOUCH / PAGE + 10);
    worst = 0;
    for (uint64_t i = 0; i < N; i++) {
        if (i % BURST == 0) {
            long now = page_faults();
            worst = now - before > worst ? now - before : worst;
            before = now;
        }
        assert_true(identity_set_add(&s, nth_identity(i)));
    }
    assert_true(worst < 10);
    identity_set_release(&s, &release);
    assert_null(s.slots);
    mem_release_all(&release);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identities_are_added_and_marked_once),
        cmocka_unit_test(touching_keeps_identities),
        cmocka_unit_test(a_large_set_is_touched_in_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
