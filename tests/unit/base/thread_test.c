// SPDX-License-Identifier: Apache-2.0
#include "base/os/thread.h"

#include "base/os/cgroup.h"
#include "base/text/duration.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>

struct shared {
    struct mutex mutex;
    struct cond cond;
    int n;
};

static void count_to_thousand(void *arg)
{
    struct shared *s = arg;
    for (int i = 0; i < 1000; i++) {
        mutex_lock(&s->mutex);
        s->n++;
        cond_signal(&s->cond);
        mutex_unlock(&s->mutex);
    }
}

static void a_mutex_keeps_threads_apart_and_a_cond_wakes(void **state UNUSED)
{
    struct shared s = {.n = 0};
    struct thread *threads[4];
    mutex_init(&s.mutex, RANK_LEAF);
    cond_init(&s.cond);
    for (unsigned i = 0; i < LEN(threads); i++)
        threads[i] = thread_start("a name that is longer than fifteen bytes", count_to_thousand, &s);
    mutex_lock(&s.mutex);
    while (s.n < 4000)
        cond_wait(&s.cond, &s.mutex);
    mutex_unlock(&s.mutex);
    for (unsigned i = 0; i < LEN(threads); i++)
        thread_join(threads[i]);
    assert_int_equal(s.n, 4000);
    cond_free(&s.cond);
    mutex_free(&s.mutex);
}

static void post_thousand(void *arg)
{
    for (int i = 0; i < 1000; i++)
        semaphore_post(arg);
}

static void a_semaphore_counts_posts(void **state UNUSED)
{
    struct semaphore s;
    struct thread *threads[4];
    semaphore_init(&s);
    assert_false(semaphore_wait_ms(&s, 0));
    int64_t began = clock_mono_ms();
    assert_false(semaphore_wait_ms(&s, 20));
    assert_true(clock_mono_ms() - began >= 19);
    for (unsigned i = 0; i < LEN(threads); i++)
        threads[i] = thread_start("posts", post_thousand, &s);
    for (int i = 0; i < 4000; i++)
        assert_true(semaphore_wait_ms(&s, 10000));
    assert_false(semaphore_wait_ms(&s, 0));
    for (unsigned i = 0; i < LEN(threads); i++)
        thread_join(threads[i]);
    semaphore_free(&s);
}

/* Detached at once, some before they run: each does its work all the same. */
static void a_detached_thread_needs_no_owner(void **state UNUSED)
{
    enum { THREADS = 50 };
    static struct shared s; /* the last thread may still unlock it when the test is over */
    mutex_init(&s.mutex, RANK_LEAF);
    cond_init(&s.cond);
    for (int i = 0; i < THREADS; i++)
        thread_detach(thread_start("detached", count_to_thousand, &s));
    mutex_lock(&s.mutex);
    while (s.n < THREADS * 1000)
        cond_wait(&s.cond, &s.mutex);
    mutex_unlock(&s.mutex);
}

static void a_timed_wait_ends(void **state UNUSED)
{
    struct shared s = {.n = 0};
    mutex_init(&s.mutex, RANK_LEAF);
    cond_init(&s.cond);
    mutex_lock(&s.mutex);
    int64_t before = clock_mono_ms();
    while (cond_wait_ms(&s.cond, &s.mutex, 1020)) {} /* crosses a second, whatever the fraction is now */
    assert_in_range(clock_mono_ms() - before, 1019, 10000);
    assert_false(cond_wait_ms(&s.cond, &s.mutex, -1)); /* a deadline that has passed */
    mutex_unlock(&s.mutex);
    cond_free(&s.cond);
    mutex_free(&s.mutex);
}

static void read_mask(void *arg) { pthread_sigmask(SIG_SETMASK, NULL, arg); }

static void signals_stay_with_the_main_thread(void **state UNUSED)
{
    sigset_t theirs, ours;
    thread_join(thread_start("mask", read_mask, &theirs));
    pthread_sigmask(SIG_SETMASK, NULL, &ours);
    assert_true(sigismember(&theirs, SIGTERM) && sigismember(&theirs, SIGHUP));
    assert_false(sigismember(&theirs, SIGSEGV));
    assert_false(sigismember(&ours, SIGTERM));
}

static void never_runs(void *arg UNUSED) { fail(); }

static void a_thread_that_cannot_start_is_an_error(void **state UNUSED)
{
    pthread_attr_t before, huge;
    pthread_getattr_default_np(&before);
    pthread_attr_init(&huge);
    pthread_attr_setstacksize(&huge, (size_t)1 << 47); /* more than there are addresses */
    assert_int_equal(pthread_setattr_default_np(&huge), 0);
    errno = 0;
    assert_null(thread_start("huge", never_runs, NULL));
    assert_int_equal(errno, EAGAIN);
    pthread_setattr_default_np(&before);
    sigset_t ours;
    pthread_sigmask(SIG_SETMASK, NULL, &ours);
    assert_false(sigismember(&ours, SIGTERM));
}

static void cores_are_at_least_one_and_within_the_group(void **state UNUSED)
{
    assert_in_range(thread_cores(), 1, 4096);
    if (cgroup_cores() > 0)
        assert_true(thread_cores() < cgroup_cores() + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mutex_keeps_threads_apart_and_a_cond_wakes),
        cmocka_unit_test(a_semaphore_counts_posts),
        cmocka_unit_test(a_detached_thread_needs_no_owner),
        cmocka_unit_test(a_timed_wait_ends),
        cmocka_unit_test(signals_stay_with_the_main_thread),
        cmocka_unit_test(a_thread_that_cannot_start_is_an_error),
        cmocka_unit_test(cores_are_at_least_one_and_within_the_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
