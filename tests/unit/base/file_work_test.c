// SPDX-License-Identifier: Apache-2.0
/* Works that hang at a gate, and others that must not notice. */
#include "base/os/file_work.h"

#include "base/os/thread.h"
#include "base/text/duration.h"
#include "tests/unit/threads.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

enum { SOON_MS = 30000 /* at the latest, on a busy machine */, HANG_MS = 100, WORKS = 100 };

struct counted_work {
    struct file_work work;
    void (*body)(struct counted_work *w);
    atomic_int ran, hangs, released;
};

static struct counted_work works[WORKS];
static atomic_bool gate_open;
static atomic_int at_gate, at_once, most_at_once, slow_works;

static struct counted_work *counted(struct file_work *w) { return CONTAINER(w, struct counted_work, work); }

static void run_counted(struct file_work *w)
{
    if (counted(w)->body)
        counted(w)->body(counted(w));
    atomic_fetch_add(&counted(w)->ran, 1);
}
static void count_hang(struct file_work *w) { atomic_fetch_add(&counted(w)->hangs, 1); }
static void count_release(struct file_work *w) { atomic_fetch_add(&counted(w)->released, 1); }

static void wait_at_gate(struct counted_work *w UNUSED)
{
    atomic_fetch_add(&at_gate, 1);
    while (!atomic_load(&gate_open))
        usleep(1000);
    atomic_fetch_sub(&at_gate, 1);
}

static void take_a_moment(struct counted_work *w)
{
    int n = atomic_fetch_add(&at_once, 1) + 1, most = atomic_load(&most_at_once);
    while (n > most && !atomic_compare_exchange_weak(&most_at_once, &most, n)) {
    }
    usleep(5000);
    atomic_fetch_sub(&at_once, 1);
    atomic_fetch_add(&slow_works, clock_mono_ms() - w->work._alive_at >= FILE_WORK_SLOW_MS);
}

static bool soon_is(atomic_int *counter, int n)
{
    for (int64_t began = clock_mono_ms(); clock_mono_ms() - began < SOON_MS; usleep(1000))
        if (atomic_load(counter) == n)
            return true;
    return false;
}

static int set_up(void **state UNUSED)
{
    for (size_t i = 0; i < WORKS; i++)
        works[i] = (struct counted_work){.work = {.run = run_counted, .hangs = count_hang, .release = count_release,
                                                  .hang_ms = HANG_MS}};
    atomic_store(&gate_open, false);
    return 0;
}

static int tear_down(void **state UNUSED)
{
    atomic_store(&gate_open, true);
    file_work_await_threads(SOON_MS);
    return soon_is(&at_gate, 0) ? 0 : -1;
}

static void works_that_hang_hold_no_other(void **state UNUSED)
{
    for (size_t i = 0; i < 5; i++) {
        works[i].body = wait_at_gate;
        assert_true(file_work_in(&works[i].work, 0));
    }
    assert_true(soon_is(&at_gate, 5));
    works[5].work.hang_ms = SOON_MS;
    assert_true(file_work_in(&works[5].work, 0));
    assert_true(soon_is(&works[5].ran, 1));
    for (size_t i = 0; i < 5; i++)
        assert_true(soon_is(&works[i].hangs, 1));
    usleep(2 * HANG_MS * 1000);
    assert_int_equal(works[0].hangs, 1); /* once */
    assert_int_equal(works[5].hangs, 0);
    assert_false(file_work_drop(&works[0].work)); /* it is running */
    assert_int_equal(works[0].released, 0);
    atomic_store(&gate_open, true);
    assert_true(soon_is(&works[0].released, 1));
    assert_true(soon_is(&works[1].ran, 1));
    for (size_t i = 1; i < 6; i++)
        while (!file_work_drop(&works[i].work))
            usleep(1000);
}

/* The last of these begin so late that they are reported before. */
static void a_late_begin_and_a_hang_are_reported_once(void **state UNUSED)
{
    for (size_t i = 0; i < 8; i++) {
        works[i].body = wait_at_gate;
        works[i].work.hang_ms = FILE_WORK_SLOW_MS;
        assert_true(file_work_in(&works[i].work, 0));
    }
    assert_true(soon_is(&at_gate, 8));
    for (size_t i = 0; i < 8; i++)
        assert_true(soon_is(&works[i].hangs, 1));
    usleep(3 * FILE_WORK_SLOW_MS * 1000);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(works[i].hangs, 1);
}

static void threads_are_bounded(void **state UNUSED)
{
    for (size_t i = 0; i < WORKS; i++) {
        works[i].body = wait_at_gate;
        assert_true(file_work_in(&works[i].work, 0));
    }
    assert_true(soon_is(&at_gate, FILE_WORK_THREADS - 1));
    usleep(2 * FILE_WORK_SLOW_MS * 1000);
    assert_int_equal(at_gate, FILE_WORK_THREADS - 1);
    for (int64_t began = clock_mono_ms(); count_threads_named("files") > FILE_WORK_THREADS; usleep(1000))
        assert_in_range(clock_mono_ms() - began, 0, SOON_MS); /* those of earlier tests end */
    assert_true(soon_is(&works[WORKS - 1].hangs, 1)); /* no thread is left for it, which is reported too */
    assert_true(file_work_drop(&works[WORKS - 1].work));
    atomic_store(&gate_open, true);
    for (size_t i = 0; i < WORKS - 1; i++)
        assert_true(soon_is(&works[i].ran, 1));
    file_work_await_threads(SOON_MS);
    assert_int_equal(works[WORKS - 1].ran, 0);
}

static void quick_works_share_few_threads(void **state UNUSED)
{
    for (size_t i = 0; i < WORKS; i++) {
        works[i].body = take_a_moment;
        assert_true(file_work_in(&works[i].work, 0));
    }
    for (size_t i = 0; i < WORKS; i++)
        assert_true(soon_is(&works[i].ran, 1));
    assert_in_range(most_at_once, 1, FILE_WORK_BUSY + slow_works); /* some are slow on a busy machine */
}

static void again(struct counted_work *w)
{
    if (w->ran < 2)
        file_work_in(&w->work, 20);
}

static void works_run_at_their_time(void **state UNUSED)
{
    int64_t began = clock_mono_ms();
    assert_true(file_work_in(&works[0].work, 60000));
    assert_true(file_work_in(&works[1].work, 50));
    assert_true(file_work_in(&works[1].work, 60000)); /* the earlier time counts */
    assert_true(file_work_in(&works[2].work, 60000));
    assert_true(file_work_in(&works[2].work, 0));
    assert_true(soon_is(&works[2].ran, 1));
    assert_true(soon_is(&works[1].ran, 1));
    assert_in_range(clock_mono_ms() - began, 50, SOON_MS);
    assert_int_equal(works[0].ran, 0);
    assert_true(file_work_drop(&works[0].work));
    works[3].body = again;
    assert_true(file_work_in(&works[3].work, 0));
    assert_true(soon_is(&works[3].ran, 3));
}

static void times_hold_while_the_clock_is_ahead(void **state UNUSED)
{
    clock_advance(60000); /* the works' clock is ahead of the system's, on which threads wait */
    assert_true(file_work_in(&works[0].work, 50));
    assert_true(soon_is(&works[0].ran, 1));
    int64_t began = clock_mono_ms();
    assert_true(file_work_in(&works[1].work, 60000));
    file_work_await_threads(50); /* one is idle and stays */
    assert_in_range(clock_mono_ms() - began, 50, SOON_MS);
    assert_true(file_work_drop(&works[1].work));
}

static int64_t longest_pause; /* ms between two files */

static void read_many(struct counted_work *w)
{
    int64_t began = clock_mono_ms(), alive = w->work._alive_at;
    longest_pause = 0;
    while (clock_mono_ms() - began < 2 * w->work.hang_ms && file_work_goes_on(&w->work)) {
        longest_pause = w->work._alive_at - alive > longest_pause ? w->work._alive_at - alive : longest_pause;
        alive = w->work._alive_at;
        usleep(HANG_MS * 1000 / 10);
    }
}

static void read_without_end(struct counted_work *w)
{
    while (file_work_goes_on(&w->work))
        usleep(1000);
}

static void progress_is_no_hang(void **state UNUSED)
{
    int runs = 0;
    works[0].body = read_many;
    works[0].work.hang_ms = 3 * HANG_MS;
    do { /* until the machine is not so busy that the progress is slow, too */
        atomic_store(&works[0].hangs, 0);
        assert_true(file_work_in(&works[0].work, 0));
        assert_true(soon_is(&works[0].ran, ++runs));
    } while (longest_pause >= works[0].work.hang_ms / 2 && runs < SOON_MS / HANG_MS);
    assert_int_equal(works[0].hangs, 0);
    works[1].body = read_without_end;
    assert_true(file_work_in(&works[1].work, 0));
    while (file_work_drop(&works[1].work))
        assert_true(file_work_in(&works[1].work, 0)); /* it did not run yet */
    assert_true(soon_is(&works[1].released, 1)); /* it noticed */
}

#define WITH_WORKS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORKS(works_that_hang_hold_no_other),
        WITH_WORKS(a_late_begin_and_a_hang_are_reported_once),
        WITH_WORKS(threads_are_bounded),
        WITH_WORKS(quick_works_share_few_threads),
        WITH_WORKS(works_run_at_their_time),
        WITH_WORKS(times_hold_while_the_clock_is_ahead),
        WITH_WORKS(progress_is_no_hang),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
