// SPDX-License-Identifier: Apache-2.0
/* An event loop: epoll, timers, and tasks posted from other threads. One thread owns a loop; others may call only
 * loop_post and loop_stop.
 *
 * Time. loop_now is Unix milliseconds, read once per turn (outside a turn at each call). Timers are due in the loop's
 * monotonic clock (loop_mono), so a jump of the wall clock moves no timer. A test sets both with loop_set_clock and
 * runs turns by hand, without waiting for timers.
 *
 * Fairness. A turn waits for events, then runs due timers, then the tasks posted so far, then ready descriptors; after
 * 2 ms it leaves the rest to the next turn. Work that takes longer is done in slices: a slice ends when loop_slice_end
 * has come, and re-posts the task.
 */
#ifndef BASE_OS_LOOP_H
#define BASE_OS_LOOP_H

#include "base/list.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;

struct loop_task { /* embed it; zeroed = not posted */
    void (*run)(struct loop_task *task);
    struct loop_task *_next;
};
struct loop_timer { /* embed it; zeroed = not armed */
    void (*run)(struct loop_timer *timer);
    int64_t due;  /* loop_mono ms */
    uint32_t _at; /* index in the heap + 1; 0 = not armed */
};
struct loop_fd { /* embed it; zeroed = not watched */
    void (*run)(struct loop_fd *watch, uint32_t events); /* EPOLL* bits */
    int fd;
    uint32_t _events;
    bool _watched;
};

struct loop *loop_new(void) MUST_USE; /* NULL with errno; uses two descriptors */
void loop_free(struct loop *l);       /* no watch or timer may remain; tasks still posted are dropped */

void loop_run(struct loop *l);                    /* until loop_stop */
void loop_stop(struct loop *l);                   /* any thread; tasks posted earlier still run */
void loop_turn(struct loop *l, int64_t wait_ms);  /* one turn; waits at most wait_ms (-1 = until the next timer) */

/* From now on observes each turn's CPU time in seconds; h may be NULL. CPU time finds work that should be sliced,
 * however busy the machine is; reading it costs one system call per turn (0.3 us). */
struct stats_histogram;
void loop_observe_turns(struct loop *l, const struct stats_histogram *h);

/* The clock_mono_ns at which work that begins now on the loop's thread must return to the loop: 1.5 ms after the start
 * of the turn, but at least 0.5 ms from now; never with a test's clock. */
int64_t loop_slice_end(const struct loop *l);

int64_t loop_now(const struct loop *l);
int64_t loop_mono(const struct loop *l);
struct loop_clock { int64_t (*wall)(void *arg); int64_t (*mono)(void *arg); void *arg; };
/* For tests; such a loop sleeps at most loop_turn's wait_ms, -1 being 0. */
void loop_set_clock(struct loop *l, struct loop_clock clock);

/* Any thread; wakes the loop. Tasks run in the order of posting. Posting a task that is already posted has no effect;
 * once it starts to run it may be posted again. */
void loop_post(struct loop *l, struct loop_task *task);
void loop_unpost(struct loop *l, struct loop_task *task); /* the loop's thread: it will not run; fine when not posted */
void loop_timer_at(struct loop *l, struct loop_timer *t, int64_t due_mono); /* arms or moves */
void loop_timer_in(struct loop *l, struct loop_timer *t, int64_t ms);       /* INT64_MAX: never */
void loop_timer_stop(struct loop *l, struct loop_timer *t);                 /* no effect when not armed */
static inline bool loop_timer_armed(const struct loop_timer *t) { return t->_at != 0; }
bool loop_watch(struct loop *l, struct loop_fd *w, uint32_t events); /* adds or changes; false with errno */
/* call before closing the descriptor; safe inside its own run */
void loop_unwatch(struct loop *l, struct loop_fd *w);

#endif
