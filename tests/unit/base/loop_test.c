// SPDX-License-Identifier: Apache-2.0
#include "base/os/loop.h"

#include "base/os/thread.h"
#include "base/telemetry/stats.h"
#include "base/text/duration.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- a clock that the test moves ---- */

static int64_t fake_wall(void *arg) { return 1000000 + *(int64_t *)arg; }
static int64_t fake_mono(void *arg) { return *(int64_t *)arg; }

static struct loop *loop_at(int64_t *ms)
{
    struct loop *l = loop_new();
    loop_set_clock(l, (struct loop_clock){fake_wall, fake_mono, ms});
    return l;
}

struct alarm {
    struct loop_timer timer;
    struct loop *loop;
    int64_t fired; /* loop_mono, -1 = not yet */
    int64_t again; /* ms, < 0 = once */
    int times;
};

static void ring(struct loop_timer *t)
{
    struct alarm *a = CONTAINER(t, struct alarm, timer);
    a->fired = loop_mono(a->loop);
    a->times++;
    if (a->again >= 0)
        loop_timer_in(a->loop, t, a->again);
}

static void timers_fire_when_due_and_in_order(void **state UNUSED)
{
    enum { N = 500 };
    static struct alarm alarms[N];
    int64_t ms = 0;
    struct loop *l = loop_at(&ms);
    srand(7);
    for (int i = 0; i < N; i++) {
        alarms[i] = (struct alarm){.timer.run = ring, .loop = l, .fired = -1, .again = -1};
        loop_timer_at(l, &alarms[i].timer, rand() % 1000);
    }
    for (int i = 0; i < N; i += 3) /* some move, earlier or later */
        loop_timer_at(l, &alarms[i].timer, rand() % 1000);
    for (int i = 0; i < N; i += 5) {
        loop_timer_stop(l, &alarms[i].timer);
        loop_timer_stop(l, &alarms[i].timer);
    }
    for (ms = 0; ms < 1000; ms++)
        loop_turn(l, -1);
    for (int i = 0; i < N; i++)
        assert_int_equal(alarms[i].fired, i % 5 == 0 ? -1 : alarms[i].timer.due);
    loop_free(l);
}

static void a_timer_that_rearms_for_now_does_not_hold_the_turn(void **state UNUSED)
{
    int64_t ms = 5;
    struct loop *l = loop_at(&ms);
    struct alarm a = {.timer.run = ring, .loop = l, .again = 0}, due[10], later[100];
    for (size_t i = 0; i < LEN(later); i++) {
        later[i] = (struct alarm){.timer.run = ring, .loop = l, .again = -1};
        loop_timer_in(l, &later[i].timer, 100000);
    }
    loop_timer_in(l, &a.timer, 0);
    for (size_t i = 0; i < LEN(due); i++) {
        due[i] = (struct alarm){.timer.run = ring, .loop = l, .again = -1};
        loop_timer_in(l, &due[i].timer, 0);
    }
    for (int i = 0; i < 10; i++)
        loop_turn(l, -1);
    assert_int_equal(a.times, 10);
    for (size_t i = 0; i < LEN(due); i++)
        assert_int_equal(due[i].times, 1);
    loop_timer_stop(l, &a.timer);
    assert_false(loop_timer_armed(&a.timer));
    for (size_t i = 0; i < LEN(later); i++)
        loop_timer_stop(l, &later[i].timer);
    loop_free(l);
}

static void a_timer_may_be_set_for_never(void **state UNUSED)
{
    int64_t ms = 5;
    struct loop *l = loop_at(&ms);
    struct alarm a = {.timer.run = ring, .loop = l, .again = -1};
    loop_timer_in(l, &a.timer, INT64_MAX);
    loop_turn(l, 0);
    assert_int_equal(a.times, 0);
    loop_timer_stop(l, &a.timer);
    loop_free(l);
}

static void time_stands_still_within_a_turn_only(void **state UNUSED)
{
    int64_t ms = 1;
    struct loop *l = loop_at(&ms);
    assert_int_equal(loop_now(l), 1000001);
    ms = 2;
    assert_int_equal(loop_mono(l), 2);
    loop_free(l);
}

static void ring_and_arm_for_the_past(struct loop_timer *t)
{
    struct alarm *a = CONTAINER(t, struct alarm, timer);
    a->times++;
    loop_timer_at(a->loop, t, 0);
}

static void a_timer_for_the_past_keeps_no_other_waiting(void **state UNUSED)
{
    int64_t ms = 5;
    struct loop *l = loop_at(&ms);
    struct alarm greedy = {.timer.run = ring_and_arm_for_the_past, .loop = l}, other = greedy;
    loop_timer_at(l, &greedy.timer, 0);
    loop_timer_at(l, &other.timer, 6);
    for (; ms < 9; ms++)
        loop_turn(l, -1);
    assert_in_range(greedy.times, 3, 4);
    assert_in_range(other.times, 2, 3);
    loop_timer_stop(l, &greedy.timer);
    loop_timer_stop(l, &other.timer);
    loop_free(l);
}

/* ---- tasks ---- */

struct job {
    struct loop_task task;
    struct loop *loop;
    int *order, place; /* place = (*order)++ when it ran */
    int again;         /* posts itself so often */
    int runs;
};

static void work(struct loop_task *t)
{
    struct job *j = CONTAINER(t, struct job, task);
    j->place = (*j->order)++;
    j->runs++;
    if (j->again-- > 0)
        loop_post(j->loop, t);
}

static void tasks_run_in_order_and_once_a_turn(void **state UNUSED)
{
    struct loop *l = loop_new();
    int order = 0;
    struct job a = {{.run = work}, l, &order, -1, 2, 0}, b = {{.run = work}, l, &order, -1, 0, 0};
    loop_post(l, &a.task);
    loop_post(l, &b.task);
    loop_post(l, &a.task); /* waits already */
    loop_turn(l, -1);
    assert_int_equal(a.runs, 1);
    assert_int_equal(a.place, 0);
    assert_int_equal(b.place, 1);
    loop_turn(l, -1); /* must not sleep: a waits */
    assert_int_equal(a.runs, 2);
    loop_turn(l, 0);
    assert_int_equal(a.runs, 3);
    loop_free(l);
}

struct write_counts {
    struct loop_task task;
    int *n;
};

static void count(struct loop_task *t)
{
    struct write_counts *c = CONTAINER(t, struct write_counts, task);
    ++*c->n;
    mem_free(c);
}

struct poster {
    struct loop *loop;
    int *n;
};

static void post_many(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < 5000; i++) {
        struct write_counts *c = mem_zalloc(sizeof *c);
        c->task.run = count;
        c->n = p->n;
        loop_post(p->loop, &c->task);
    }
    loop_stop(p->loop);
}

static void nothing_posted_by_another_thread_is_lost(void **state UNUSED)
{
    struct loop *l = loop_new();
    int n = 0;
    struct poster p = {l, &n};
    struct thread *threads[4];
    for (unsigned i = 0; i < LEN(threads); i++)
        threads[i] = thread_start("poster", post_many, &p);
    while (n < 5000 * (int)LEN(threads))
        loop_turn(l, 1000);
    for (unsigned i = 0; i < LEN(threads); i++)
        thread_join(threads[i]);
    loop_free(l);
}

static void stop_later(void *arg)
{
    struct poster *p = arg;
    usleep(20000);
    struct write_counts *c = mem_zalloc(sizeof *c);
    c->task.run = count;
    c->n = p->n;
    loop_post(p->loop, &c->task);
    loop_stop(p->loop);
}

static void a_sleeping_loop_is_woken_and_stopped(void **state UNUSED)
{
    struct loop *l = loop_new();
    int n = 0;
    struct poster p = {l, &n};
    struct thread *t = thread_start("stopper", stop_later, &p);
    loop_run(l);
    assert_int_equal(n, 1);
    thread_join(t);
    loop_stop(l); /* before the run: it returns at once */
    loop_run(l);
    loop_free(l);
}

static void a_real_loop_sleeps_until_its_timer(void **state UNUSED)
{
    struct loop *l = loop_new();
    struct alarm a = {.timer.run = ring, .loop = l, .again = -1};
    int64_t begin = clock_mono_ms();
    loop_timer_in(l, &a.timer, 30);
    int turns = 0;
    for (; a.times == 0; turns++)
        loop_turn(l, -1);
    assert_in_range(clock_mono_ms() - begin, 30, 5000);
    assert_in_range(turns, 1, 4);
    loop_free(l);
}

/* ---- descriptors ---- */

struct end {
    struct loop_fd watch;
    struct loop *loop;
    struct end *other; /* unwatched by this one's run */
    int runs;
};

static void readable(struct loop_fd *w, uint32_t events)
{
    struct end *e = CONTAINER(w, struct end, watch);
    char c;
    assert_true(events & EPOLLIN);
    assert_int_equal(read(w->fd, &c, 1), 1);
    e->runs++;
    if (e->other)
        loop_unwatch(e->loop, &e->other->watch);
}

static void an_unwatched_descriptor_is_silent_even_in_the_same_batch(void **state UNUSED)
{
    struct loop *l = loop_new();
    int one[2], two[2];
    assert_int_equal(pipe(one) | pipe(two), 0);
    struct end a = {.watch = {.run = readable, .fd = one[0]}, .loop = l},
               b = {.watch = {.run = readable, .fd = two[0]}, .loop = l};
    a.other = &b;
    b.other = &a;
    assert_true(loop_watch(l, &a.watch, EPOLLIN));
    assert_true(loop_watch(l, &a.watch, EPOLLIN | EPOLLRDHUP));
    assert_true(loop_watch(l, &b.watch, EPOLLIN));
    assert_int_equal(write(one[1], "x", 1) + write(two[1], "x", 1), 2);
    loop_turn(l, 1000);
    assert_int_equal(a.runs + b.runs, 1);
    loop_unwatch(l, &a.watch);
    loop_unwatch(l, &b.watch);
    loop_turn(l, 0);
    assert_int_equal(a.runs + b.runs, 1);
    struct loop_fd bad = {.run = readable, .fd = -1};
    assert_false(loop_watch(l, &bad, EPOLLIN));
    for (int i = 0; i < 2; i++) {
        close(one[i]);
        close(two[i]);
    }
    loop_free(l);
}

/* ---- the length of a turn ---- */

static void spin(int64_t ns)
{
    for (int64_t until = clock_mono_ns() + ns; clock_mono_ns() < until;) {
    }
}

struct slow { struct loop_timer timer; struct loop_task task; struct loop_fd watch; int *order, place; };

static void slow_run(struct slow *s)
{
    s->place = (*s->order)++;
    spin(2500000); /* more than any kind gets */
}
static void slow_timer(struct loop_timer *t) { slow_run(CONTAINER(t, struct slow, timer)); }
static void slow_task(struct loop_task *t) { slow_run(CONTAINER(t, struct slow, task)); }
static void slow_event(struct loop_fd *w, uint32_t events UNUSED)
{
    char c;
    assert_int_equal(read(w->fd, &c, 1), 1);
    slow_run(CONTAINER(w, struct slow, watch));
}

/* Of each kind one runs in a turn, the others in later turns, in their order and before what came later; the loop stops
 * after the tasks that were posted before. */
static void a_turn_leaves_what_takes_long_to_the_next(void **state UNUSED)
{
    enum { N = 3 };
    struct loop *l = loop_new();
    struct slow timers[N], tasks[N], events[N], late = {.task.run = slow_task, .place = -1};
    int pipes[N][2], n_timers = 0, n_tasks = 0, n_events = 0;
    late.order = &n_tasks;
    for (int i = 0; i < N; i++) {
        timers[i] = (struct slow){.timer.run = slow_timer, .order = &n_timers, .place = -1};
        tasks[i] = (struct slow){.task.run = slow_task, .order = &n_tasks, .place = -1};
        assert_int_equal(pipe(pipes[i]), 0);
        events[i] = (struct slow){.watch = {.run = slow_event, .fd = pipes[i][0]}, .order = &n_events, .place = -1};
        assert_true(loop_watch(l, &events[i].watch, EPOLLIN));
        loop_timer_in(l, &timers[i].timer, i);
        loop_post(l, &tasks[i].task);
        assert_int_equal(write(pipes[i][1], "x", 1), 1);
    }
    loop_stop(l);
    spin(N * 1000000); /* all timers are due */
    for (int i = 0; i < N; i++) {
        loop_turn(l, -1);
        assert_int_equal(n_timers, i + 1);
        assert_int_equal(n_tasks, i + 1);
        assert_int_equal(n_events, i + 1);
        if (i == 0)
            loop_post(l, &late.task);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(timers[i].place, i);
        assert_int_equal(tasks[i].place, i);
        assert_int_equal(events[i].place, i);
        loop_unwatch(l, &events[i].watch);
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
    assert_int_equal(late.place, -1);
    loop_turn(l, -1);
    assert_int_equal(late.place, N);
    loop_free(l);
}

struct slice { struct loop_task task; struct loop *loop; int64_t spin_ns, left_ns; };

static void measure_slice(struct loop_task *t)
{
    struct slice *s = CONTAINER(t, struct slice, task);
    spin(s->spin_ns);
    int64_t before = clock_mono_ns();
    s->left_ns = loop_slice_end(s->loop) - before;
}

static void a_slice_ends_with_the_turn_but_is_never_empty(void **state UNUSED)
{
    struct loop *l = loop_new();
    struct slice early = {.task.run = measure_slice, .loop = l}, late = {.task.run = measure_slice, .loop = l};
    late.spin_ns = 3000000;
    loop_post(l, &early.task);
    loop_turn(l, 0);
    loop_post(l, &late.task);
    loop_turn(l, 0);
    assert_in_range(early.left_ns, 500000, 1500000);
    assert_in_range(late.left_ns, 500000, 1000000); /* 500000, and what it took to ask */
    loop_free(l);
}

struct unposter { struct loop_task task; struct loop *loop; struct unposter *victims[2]; int runs; };

static void unpost_others(struct loop_task *task)
{
    struct unposter *u = CONTAINER(task, struct unposter, task);
    u->runs++;
    for (size_t i = 0; i < LEN(u->victims); i++)
        if (u->victims[i])
            loop_unpost(u->loop, &u->victims[i]->task);
}

static void an_unposted_task_does_not_run(void **state UNUSED)
{
    struct loop *l = loop_new();
    struct unposter u[4];
    for (size_t i = 0; i < LEN(u); i++) {
        u[i] = (struct unposter){.task.run = unpost_others, .loop = l};
        loop_post(l, &u[i].task);
    }
    loop_unpost(l, &u[3].task); /* the last, the first, one in between; the turn counted them before */
    loop_post(l, &u[3].task);
    loop_unpost(l, &u[0].task);
    loop_unpost(l, &u[0].task);
    u[1].victims[0] = &u[2];
    loop_turn(l, 0);
    assert_int_equal(u[0].runs + u[2].runs, 0);
    assert_int_equal(u[1].runs + u[3].runs, 2);
    u[0].victims[0] = &u[1];
    u[0].victims[1] = &u[2];
    for (size_t i = 0; i < 3; i++)
        loop_post(l, &u[i].task);
    loop_turn(l, 0); /* the first unposts all others */
    assert_int_equal(u[0].runs, 1);
    assert_int_equal(u[1].runs + u[2].runs, 1);
    loop_post(l, &u[2].task);
    loop_turn(l, 0);
    assert_int_equal(u[2].runs, 1);
    loop_free(l);
}

static void a_loop_without_descriptors_is_an_error(void **state UNUSED)
{
    struct rlimit before, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    close(next);
    for (int left = 0; left < 2; left++) {
        few = (struct rlimit){(rlim_t)(next + left), before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        errno = 0;
        assert_null(loop_new());
        assert_int_equal(errno, EMFILE);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        int again = dup(0);
        assert_int_equal(again, next); /* nothing stayed open */
        close(again);
    }
}

/* Takes the place of the C library's: the clocks of CPU time are system calls, which this counts. */
static int cpu_readings;
int clock_gettime(clockid_t clock, struct timespec *t)
{
    cpu_readings += clock == CLOCK_THREAD_CPUTIME_ID;
    return (int)syscall(SYS_clock_gettime, clock, t);
}

/* Short turns share a reading: at most one for each 500 us that they take. */
static void short_turns_read_the_cpu_clock_seldom(void **state UNUSED)
{
    enum { TURNS = 3000, NS_PER_READING = 500000 };
    static const double bounds[] = {1};
    static const struct stats_histogram turns = {.name = "turns", .bounds = bounds, .n_bounds = 1};
    struct loop *l = loop_new();
    loop_observe_turns(l, &turns);
    cpu_readings = 0;
    int64_t began = clock_mono_ns();
    for (int i = 0; i < TURNS; i++)
        loop_turn(l, 0);
    int64_t took = clock_mono_ns() - began;
    assert_true(cpu_readings >= 1 && cpu_readings <= 1 + took / NS_PER_READING);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_when_due_and_in_order),
        cmocka_unit_test(a_timer_that_rearms_for_now_does_not_hold_the_turn),
        cmocka_unit_test(a_timer_for_the_past_keeps_no_other_waiting),
        cmocka_unit_test(a_turn_leaves_what_takes_long_to_the_next),
        cmocka_unit_test(a_slice_ends_with_the_turn_but_is_never_empty),
        cmocka_unit_test(a_timer_may_be_set_for_never),
        cmocka_unit_test(time_stands_still_within_a_turn_only),
        cmocka_unit_test(tasks_run_in_order_and_once_a_turn),
        cmocka_unit_test(nothing_posted_by_another_thread_is_lost),
        cmocka_unit_test(a_sleeping_loop_is_woken_and_stopped),
        cmocka_unit_test(a_real_loop_sleeps_until_its_timer),
        cmocka_unit_test(an_unwatched_descriptor_is_silent_even_in_the_same_batch),
        cmocka_unit_test(an_unposted_task_does_not_run),
        cmocka_unit_test(a_loop_without_descriptors_is_an_error),
        cmocka_unit_test(short_turns_read_the_cpu_clock_seldom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
