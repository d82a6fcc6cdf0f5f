// SPDX-License-Identifier: Apache-2.0
/* Work on another thread whose end a loop is told, or not, when it was dropped: at any moment. */
#include "base/os/loop_job.h"

#include "base/text/duration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct sum { struct loop_job job; int n, result; bool *ended; atomic_int *released; };

static struct sum *sum_of(struct loop_job *job) { return CONTAINER(job, struct sum, job); }

static void sum_work(struct loop_job *job)
{
    struct sum *s = sum_of(job);
    s->result = 0;
    for (int i = 1; i <= s->n; i++)
        s->result += i;
}

static void sum_done(struct loop_job *job) { *sum_of(job)->ended = true; }

static void sum_release(struct loop_job *job)
{
    atomic_fetch_add(sum_of(job)->released, 1);
    mem_free(job);
}

static struct sum *sum_new(int n, bool *ended, atomic_int *released)
{
    struct sum *s = mem_zalloc(sizeof *s);
    loop_job_init(&s->job, sum_work, sum_done, sum_release);
    s->n = n;
    s->ended = ended;
    s->released = released;
    return s;
}

static void await_true(struct loop *l, const bool *ended)
{
    for (int64_t began = clock_mono_ms(); !*ended && clock_mono_ms() - began < 10000;)
        loop_turn(l, 10);
    assert_true(*ended);
}

/* A work that has just ended may still have its thread. */
static void await_released(struct loop *l, atomic_int *released, int n)
{
    for (int64_t began = clock_mono_ms(); *released < n && clock_mono_ms() - began < 10000;)
        loop_turn(l, 10);
    assert_int_equal(*released, n);
}

static void a_job_runs_again_and_again(void **state UNUSED)
{
    struct loop *l = loop_new();
    bool ended;
    atomic_int released = 0;
    struct sum *s = sum_new(100, &ended, &released);
    for (int i = 0; i < 50; i++) {
        ended = false;
        loop_job_start(&s->job, l);
        await_true(l, &ended);
        assert_int_equal(s->result, 5050);
    }
    assert_int_equal(released, 0);
    loop_job_drop(&s->job);
    await_released(l, &released, 1);
    loop_free(l);
}

static void a_dropped_job_is_released_once_and_not_done(void **state UNUSED)
{
    enum { JOBS = 400 };
    struct loop *l = loop_new();
    bool ended = false;
    atomic_int released = 0;
    for (int i = 0; i < JOBS; i++) {
        struct sum *s = sum_new(i * 100, &ended, &released);
        if (i % 4)
            loop_job_start(&s->job, l);
        if (i % 3 == 0)
            loop_turn(l, 1);
        loop_job_drop(&s->job);
        ended = false;
        loop_turn(l, 0);
        assert_false(ended);
    }
    await_released(l, &released, JOBS);
    assert_false(ended);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_runs_again_and_again),
        cmocka_unit_test(a_dropped_job_is_released_once_and_not_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
