// SPDX-License-Identifier: Apache-2.0
/* The event loop.
 *
 * Timers are a binary heap; each timer knows its index, so that moving or stopping one is O(log n). The heap has a copy
 * of the times, since with ten thousand targets most timers are in no cache.
 *
 * Posting takes the mutex. The eventfd that wakes the loop is written only when the loop sleeps or is about to
 * (`sleeping`, under the same mutex), so posting to a busy loop costs no system call. The eventfd is watched
 * edge-triggered and never read: every write is a new edge.
 *
 * A callback may unwatch, and free, any descriptor's watch, even one with a ready event in the same batch: unwatching
 * clears that event.
 *
 * A turn is short, so that nothing waits long for what else is ready. Timers get 1 ms of it, tasks run until 2 ms have
 * passed since its start, events get 1 ms; each kind makes some progress in every turn. What is left runs in the next
 * turns before anything newer of its kind: timers by the time they are due, tasks and events in their order. Timers
 * come first, since a late scrape is seen in its data.
 */
#include "base/os/loop.h"

#include "base/telemetry/stats.h"
#include "base/os/thread.h"
#include "base/text/duration.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    BATCH = 64,
    TURN_NS = 2 * 1000 * 1000,
    KIND_NS = 1000 * 1000, /* for timers, and for events */
    SLICE_NS = 1500 * 1000, /* the last step of a slice may take long, such as compressing a block */
    SLICE_MIN_NS = 500 * 1000,
};

struct heap_timer {
    int64_t due;   /* loop_mono ms */
    uint32_t turn; /* number of the turn in which it was armed */
    struct loop_timer *timer;
};

struct loop {
    int epoll, wake;
    struct heap_timer *timers; /* timers[i] is due no later than 2i+1 and 2i+2; timers[i].timer->_at == i + 1 */
    size_t n_timers, cap_timers;
    struct loop_clock clock;
    bool clock_set;
    bool turning;               /* inside loop_turn: now and mono hold the turn's time */
    int64_t now, mono;
    int64_t start_ns;           /* clock_mono_ns at the start of the turn */
    uint32_t turn;              /* its number */
    size_t tasks_left;          /* of the tasks being run, which were posted before the first of them ran */
    bool tasks_stop;            /* the loop stops after them */
    bool stopped;
    const struct stats_histogram *turns; /* or NULL */
    int64_t cpu_ns;             /* CPU time of the thread when it was last read, at the end of a turn */
    int64_t unread_ns;          /* wall time of the turns since then */
    struct epoll_event events[BATCH]; /* the batch being processed: [at, n) remain */
    int at, n;

    struct mutex mutex; /* guards the fields below */
    struct loop_task *first, *last;
    size_t n_tasks;
    bool sleeping, stop_requested;
};

/* Terminates the list of tasks, so that _next is NULL only in a task that is not posted. */
static struct loop_task list_end;

static int64_t real_wall(void *arg UNUSED) { return clock_wall_ms(); }
static int64_t real_mono(void *arg UNUSED) { return clock_mono_ms(); }

static void die(const char *what)
{
    fprintf(stderr, "sluice: %s: %s\n", what, strerror(errno));
    abort();
}

struct loop *loop_new(void)
{
    struct loop *l = mem_zalloc(sizeof *l);
    l->clock = (struct loop_clock){real_wall, real_mono, NULL};
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    mutex_init(&l->mutex, RANK_LOOP);
    l->first = l->last = &list_end;
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    if (l->epoll >= 0 && l->wake >= 0 && epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->wake, &e) == 0)
        return l;
    int why = errno;
    loop_free(l);
    errno = why;
    return NULL;
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    if (l->epoll >= 0)
        close(l->epoll);
    if (l->wake >= 0)
        close(l->wake);
    mutex_free(&l->mutex);
    mem_free(l->timers);
    mem_free(l);
}

/* ---- time ---- */

int64_t loop_now(const struct loop *l) { return l->turning ? l->now : l->clock.wall(l->clock.arg); }
int64_t loop_mono(const struct loop *l) { return l->turning ? l->mono : l->clock.mono(l->clock.arg); }

void loop_set_clock(struct loop *l, struct loop_clock clock)
{
    l->clock = clock;
    l->clock_set = true;
}

/* ---- timers ---- */

static void timer_heap_put(struct loop *l, size_t i, struct heap_timer t)
{
    l->timers[i] = t;
    t.timer->_at = (uint32_t)i + 1;
}

/* Of timers due at the same time those that were armed in an earlier turn come first. */
static bool timer_before(const struct heap_timer *a, const struct heap_timer *b)
{
    return a->due < b->due || (a->due == b->due && (int32_t)(a->turn - b->turn) < 0);
}

static void sift_up(struct loop *l, size_t i, struct heap_timer t)
{
    while (i > 0 && timer_before(&t, &l->timers[(i - 1) / 2])) {
        timer_heap_put(l, i, l->timers[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    timer_heap_put(l, i, t);
}

static void timer_heap_sift_down(struct loop *l, size_t i, struct heap_timer t)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < l->n_timers && timer_before(&l->timers[child + 1], &l->timers[child]))
            child++;
        if (child >= l->n_timers || !timer_before(&l->timers[child], &t))
            break;
        timer_heap_put(l, i, l->timers[child]);
        i = child;
    }
    timer_heap_put(l, i, t);
}

/* Moves `t` from index i to the index that its due time requires. */
static void timer_heap_settle(struct loop *l, size_t i, struct heap_timer t)
{
    sift_up(l, i, t);
    if (t.timer->_at == i + 1)
        timer_heap_sift_down(l, i, t);
}

void loop_timer_at(struct loop *l, struct loop_timer *t, int64_t due_mono)
{
    if (t->_at == 0) {
        mem_grow(&l->timers, &l->cap_timers, l->n_timers + 1, sizeof *l->timers);
        t->_at = (uint32_t)++l->n_timers;
    }
    t->due = l->turning && due_mono < l->mono ? l->mono : due_mono;
    timer_heap_settle(l, t->_at - 1, (struct heap_timer){t->due, l->turn, t});
}

void loop_timer_in(struct loop *l, struct loop_timer *t, int64_t ms)
{
    int64_t due;
    loop_timer_at(l, t, __builtin_add_overflow(loop_mono(l), ms, &due) ? INT64_MAX : due);
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
    if (t->_at == 0)
        return;
    size_t i = t->_at - 1;
    t->_at = 0;
    struct heap_timer moved = l->timers[--l->n_timers];
    if (moved.timer != t)
        timer_heap_settle(l, i, moved);
}

/* Whether `ns` have passed since `since_ns`, so that the loop should do something else. Never with a test's clock: a
 * turn then runs everything. */
static bool loop_time_is_up(const struct loop *l, int64_t since_ns, int64_t ns)
{
    return !l->clock_set && clock_mono_ns() - since_ns >= ns;
}

/* A timer that is armed in this turn waits for the next one, so that a timer that arms itself for now does not extend
 * the turn. */
static void run_timers(struct loop *l)
{
    while (l->n_timers > 0) {
        struct heap_timer first = l->timers[0];
        struct loop_timer *t = first.timer;
        if (first.due > l->mono || first.turn == l->turn)
            return;
        loop_timer_stop(l, t);
        t->run(t);
        if (loop_time_is_up(l, l->start_ns, KIND_NS))
            return;
    }
}

/* ---- tasks ---- */

static void wake_if_sleeping(struct loop *l) /* called with the mutex held */
{
    if (!l->sleeping)
        return;
    uint64_t one = 1;
    if (write(l->wake, &one, sizeof one) == sizeof one)
        l->sleeping = false;
}

void loop_post(struct loop *l, struct loop_task *task)
{
    mutex_lock(&l->mutex);
    if (task->_next == NULL) {
        task->_next = &list_end;
        if (l->first == &list_end)
            l->first = task;
        else
            l->last->_next = task;
        l->last = task;
        l->n_tasks++;
        wake_if_sleeping(l);
    }
    mutex_unlock(&l->mutex);
}

void loop_unpost(struct loop *l, struct loop_task *task)
{
    mutex_lock(&l->mutex);
    struct loop_task **link = &l->first, *before = NULL;
    while (task->_next && *link != task) {
        before = *link;
        link = &before->_next;
    }
    if (task->_next) {
        *link = task->_next;
        if (l->last == task)
            l->last = before ? before : &list_end;
        task->_next = NULL;
        l->n_tasks--;
    }
    mutex_unlock(&l->mutex);
}

/* NULL: the remaining tasks were unposted. */
static struct loop_task *loop_next_task(struct loop *l)
{
    mutex_lock(&l->mutex);
    struct loop_task *task = l->n_tasks > 0 ? l->first : NULL;
    if (task) {
        l->first = task->_next;
        task->_next = NULL;
        l->n_tasks--;
    }
    mutex_unlock(&l->mutex);
    return task;
}

/* Tasks that are posted while these run wait until all of these have run. */
static void take_tasks(struct loop *l)
{
    mutex_lock(&l->mutex);
    l->tasks_left = l->n_tasks;
    l->tasks_stop = l->stop_requested;
    l->stop_requested = false;
    mutex_unlock(&l->mutex);
}

static void run_tasks(struct loop *l)
{
    if (l->tasks_left == 0)
        take_tasks(l);
    while (l->tasks_left > 0) {
        struct loop_task *task = loop_next_task(l);
        l->tasks_left = task ? l->tasks_left - 1 : 0; /* the others were unposted */
        if (task)
            task->run(task);
        if (l->tasks_left > 0 && loop_time_is_up(l, l->start_ns, TURN_NS))
            return;
    }
    l->stopped = l->tasks_stop;
    l->tasks_stop = false;
}

void loop_stop(struct loop *l)
{
    mutex_lock(&l->mutex);
    l->stop_requested = true;
    wake_if_sleeping(l);
    mutex_unlock(&l->mutex);
}

/* ---- descriptors ---- */

bool loop_watch(struct loop *l, struct loop_fd *w, uint32_t events)
{
    if (w->_watched && w->_events == events)
        return true;
    struct epoll_event e = {.events = events, .data.ptr = w};
    if (epoll_ctl(l->epoll, w->_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &e) < 0)
        return false;
    w->_watched = true;
    w->_events = events;
    return true;
}

void loop_unwatch(struct loop *l, struct loop_fd *w)
{
    if (!w->_watched)
        return;
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
    w->_watched = false;
    for (int i = l->at; i < l->n; i++)
        if (l->events[i].data.ptr == w)
            l->events[i].data.ptr = NULL;
}

/* How long the turn may sleep: at most until the next timer. */
static int sleep_ms(const struct loop *l, int64_t wait_ms)
{
    int64_t ms = l->clock_set && wait_ms < 0 ? 0 : wait_ms;
    if (l->n_timers > 0) {
        int64_t left = l->timers[0].due - loop_mono(l);
        if (left <= 0)
            return 0;
        if (!l->clock_set && (ms < 0 || left < ms))
            ms = left;
    }
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

static void wait_for_events(struct loop *l, int64_t wait_ms)
{
    if (l->at < l->n)
        return; /* events of the last turn are left */
    int ms = sleep_ms(l, wait_ms);
    mutex_lock(&l->mutex);
    if (l->n_tasks > 0 || l->tasks_left > 0 || l->stop_requested)
        ms = 0;
    l->sleeping = ms != 0;
    mutex_unlock(&l->mutex);
    int n = epoll_wait(l->epoll, l->events, BATCH, ms);
    if (n < 0 && errno != EINTR)
        die("epoll_wait");
    mutex_lock(&l->mutex);
    l->sleeping = false;
    mutex_unlock(&l->mutex);
    l->at = 0;
    l->n = n > 0 ? n : 0;
}

static void run_descriptors(struct loop *l)
{
    int64_t start_ns = l->at < l->n ? clock_mono_ns() : 0;
    while (l->at < l->n) {
        struct epoll_event e = l->events[l->at++];
        struct loop_fd *w = e.data.ptr;
        if (w == NULL) /* the eventfd, or unwatched in the meantime */
            continue;
        w->run(w, e.events);
        if (loop_time_is_up(l, start_ns, KIND_NS))
            return;
    }
}

int64_t loop_slice_end(const struct loop *l)
{
    int64_t now = clock_mono_ns(), end = (l->turning ? l->start_ns : now) + SLICE_NS;
    if (l->clock_set)
        return INT64_MAX;
    return end > now + SLICE_MIN_NS ? end : now + SLICE_MIN_NS;
}

void loop_observe_turns(struct loop *l, const struct stats_histogram *h)
{
    l->turns = h;
    l->cpu_ns = 0;
}

/* Reading the CPU clock is a system call, of which a lane that is seldom busy would make one for each response. So it is read
 * after turns that together took 500 us of the wall clock, and before that a turn's time is that of the wall clock. A longer
 * turn then has up to 500 us of the turns before it, but no more than the wall clock's. */
static void observe_turn(struct loop *l)
{
    enum { UNREAD_NS = 500000 };
    int64_t wall_ns = clock_mono_ns() - l->start_ns, turn_ns = wall_ns;
    l->unread_ns += wall_ns;
    if (l->cpu_ns == 0 || l->unread_ns >= UNREAD_NS) {
        int64_t cpu_ns = clock_cpu_ns();
        if (l->cpu_ns > 0 && cpu_ns - l->cpu_ns < wall_ns)
            turn_ns = cpu_ns - l->cpu_ns;
        l->cpu_ns = cpu_ns;
        l->unread_ns = 0;
    }
    stats_observe(l->turns, (double)turn_ns / 1e9);
}

/* Waits first, so that a caller that turns the loop until a condition holds sees it before the next sleep. */
void loop_turn(struct loop *l, int64_t wait_ms)
{
    wait_for_events(l, wait_ms);
    l->now = l->clock.wall(l->clock.arg);
    l->mono = l->clock.mono(l->clock.arg);
    l->start_ns = clock_mono_ns();
    l->turn++;
    l->turning = true;
    run_timers(l);
    run_tasks(l);
    run_descriptors(l);
    l->turning = false;
    if (l->turns)
        observe_turn(l);
}

void loop_run(struct loop *l)
{
    do
        loop_turn(l, -1);
    while (!l->stopped);
    l->stopped = false;
}
