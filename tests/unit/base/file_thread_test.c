// SPDX-License-Identifier: Apache-2.0
#include "base/os/file_thread.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_bool hang, stop_noticed;
static atomic_int n_released, n_steps;

/* A disk: hangs as long as the test says, then is read in steps of 1 ms. */
static void use_disk(void *arg UNUSED, struct file_thread *self)
{
    while (atomic_load(&hang))
        usleep(1000);
    file_thread_reach(self, FILE_OPENED);
    for (int i = 0; i < atomic_load(&n_steps); i++) {
        usleep(1000);
        if (!file_thread_goes_on(self)) {
            atomic_store(&stop_noticed, true);
            return;
        }
    }
}

static void release_disk(void *arg UNUSED) { atomic_fetch_add(&n_released, 1); }

static struct file_thread *start_disk(int steps)
{
    atomic_store(&n_steps, steps);
    struct file_thread *t =
        file_thread_start(&(struct file_thread_conf){.name = "disk", .run = use_disk, .release = release_disk});
    return t;
}

static void await_released(int n)
{
    for (int ms = 0; atomic_load(&n_released) < n; ms++) {
        assert_true(ms < 5000);
        usleep(1000);
    }
}

static int file_thread_setup(void **state UNUSED)
{
    atomic_store(&hang, false);
    atomic_store(&stop_noticed, false);
    atomic_store(&n_released, 0);
    return 0;
}

static bool always(void) { return true; }

/* It takes longer than it may hang, and is waited for. */
static void slow_work_is_no_hang(void **state UNUSED)
{
    struct file_thread *t = start_disk(800);
    assert_int_equal(file_thread_wait(t, FILE_OPENED, 500, NULL), FILE_REACHED);
    assert_int_equal(file_thread_wait(t, FILE_ENDED, 500, NULL), FILE_REACHED);
    assert_true(file_thread_at(t, FILE_WALKED)); /* an ended thread has reached everything */
    assert_true(file_thread_end(t, 0));
    assert_int_equal(atomic_load(&n_released), 0);
}

static void a_hang_is_noticed_and_may_pass(void **state UNUSED)
{
    atomic_store(&hang, true);
    struct file_thread *t = start_disk(1);
    int64_t begin = clock_mono_ms();
    assert_int_equal(file_thread_wait(t, FILE_OPENED, 100, NULL), FILE_HANGS);
    assert_in_range(clock_mono_ms() - begin, 90, 3000);
    assert_int_equal(file_thread_wait(t, FILE_OPENED, 100, NULL), FILE_HANGS); /* at once: it has been silent */
    atomic_store(&hang, false);
    usleep(200000);
    assert_int_equal(file_thread_wait(t, FILE_OPENED, 0, NULL), FILE_REACHED);
    assert_true(file_thread_end(t, INT64_MAX));
}

static void work_is_told_to_stop(void **state UNUSED)
{
    struct file_thread *t = start_disk(60000);
    assert_int_equal(file_thread_wait(t, FILE_ENDED, 10000, always), FILE_REACHED);
    assert_true(atomic_load(&stop_noticed));
    assert_true(file_thread_end(t, 0));
}

static void a_hung_thread_is_abandoned(void **state UNUSED)
{
    atomic_store(&hang, true);
    struct file_thread *t = start_disk(0);
    int64_t begin = clock_mono_ms();
    assert_int_equal(file_thread_wait(t, FILE_OPENED, 60000, always), FILE_INTERRUPTED);
    assert_false(file_thread_end(t, clock_mono_ms() + 50));
    assert_in_range(clock_mono_ms() - begin, 1000, 5000);
    assert_int_equal(atomic_load(&n_released), 0);
    atomic_store(&hang, false);
    await_released(1);
}

static void hung_threads_are_bounded(void **state UNUSED)
{
    atomic_store(&hang, true);
    for (int i = 0; i < FILE_THREADS_HUNG; i++)
        assert_false(file_thread_end(start_disk(0), 0));
    errno = 0;
    assert_null(start_disk(0));
    assert_int_equal(errno, EAGAIN);
    atomic_store(&hang, false);
    await_released(FILE_THREADS_HUNG);
    usleep(20000); /* the last one counts itself out after that */
    struct file_thread *t = start_disk(0);
    assert_non_null(t);
    assert_true(file_thread_end(t, INT64_MAX));
}

static int n_notices;
static void count_notice(struct loop_task *task UNUSED) { n_notices++; }

static void a_step_is_notified(void **state UNUSED)
{
    struct loop *loop = loop_new();
    struct loop_task opened = {.run = count_notice}, late = {.run = count_notice}, never = {.run = count_notice};
    atomic_store(&hang, true);
    struct file_thread *t = start_disk(0), *abandoned = start_disk(0);
    file_thread_notify(t, FILE_OPENED, loop, &opened);
    file_thread_notify(abandoned, FILE_OPENED, loop, &never);
    assert_false(file_thread_end(abandoned, 0));
    loop_turn(loop, 50);
    assert_int_equal(n_notices, 0);
    atomic_store(&hang, false);
    for (int i = 0; i < 100 && n_notices == 0; i++)
        loop_turn(loop, 50);
    await_released(1);
    assert_int_equal(n_notices, 1);
    file_thread_notify(t, FILE_OPENED, loop, &late); /* it was reached before */
    loop_turn(loop, 50);
    assert_int_equal(n_notices, 2);
    assert_true(file_thread_end(t, INT64_MAX));
    loop_turn(loop, 10);
    assert_int_equal(n_notices, 2);
    loop_free(loop);
}

#define FILE_THREAD_TEST(test) cmocka_unit_test_setup(test, file_thread_setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_THREAD_TEST(slow_work_is_no_hang),
        FILE_THREAD_TEST(a_hang_is_noticed_and_may_pass),
        FILE_THREAD_TEST(work_is_told_to_stop),
        FILE_THREAD_TEST(a_hung_thread_is_abandoned),
        FILE_THREAD_TEST(hung_threads_are_bounded),
        FILE_THREAD_TEST(a_step_is_notified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
