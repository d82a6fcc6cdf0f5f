// SPDX-License-Identifier: Apache-2.0
/* Leader and followers. One of the idle threads, the leader, waits until a work is due and may run, and reports works
 * that hang. Before it runs a work itself it makes sure that another thread exists, which becomes the leader. So a work
 * that hangs holds one thread, and there is always one that waits for the next.
 */
#include "base/os/file_work.h"

#include "base/lock_rank.h"
#include "base/os/thread.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

enum { IDLE_THREADS = 2 /* a leader and the next one */ };

static pthread_mutex_t work_lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows, and the works' fields */
static pthread_cond_t work_changed = PTHREAD_COND_INITIALIZER, lead_free = PTHREAD_COND_INITIALIZER;
static pthread_cond_t file_thread_ended = PTHREAD_COND_INITIALIZER;
static struct list queued_works = {&queued_works, &queued_works};     /* by time */
static struct list running_works = {&running_works, &running_works};
static unsigned n_file_threads, n_running_works;
static bool has_leader;

static void work_lock_enter(void)
{
    lock_rank_enter(RANK_FILE_WORK);
    pthread_mutex_lock(&work_lock);
}

static void work_lock_leave(void)
{
    lock_rank_leave(RANK_FILE_WORK);
    pthread_mutex_unlock(&work_lock);
}

static struct file_work *work_at(const struct list *node) { return CONTAINER(node, struct file_work, _node); }
static int64_t work_alive_at(const struct file_work *w) { return atomic_load_explicit(&w->_alive_at, memory_order_relaxed); }

/* ---- the leader, with the lock ---- */

static void report_hang(struct file_work *w)
{
    w->_hang_told = true;
    w->hangs(w);
}

/* Works that run for long, and those that no thread was left for. */
static void report_hangs(int64_t now)
{
    for (struct list *node = running_works.next; node != &running_works; node = node->next)
        if (!work_at(node)->_hang_told && now - work_alive_at(work_at(node)) >= work_at(node)->hang_ms)
            report_hang(work_at(node));
    for (struct list *node = queued_works.next; node != &queued_works; node = node->next)
        if (!work_at(node)->_hang_told && now - work_at(node)->_due >= work_at(node)->hang_ms)
            report_hang(work_at(node));
}

static bool another_may_run(int64_t now)
{
    unsigned busy = 0;
    for (const struct list *node = running_works.next; node != &running_works; node = node->next)
        busy += now - work_alive_at(work_at(node)) < FILE_WORK_SLOW_MS;
    return busy < FILE_WORK_BUSY && n_running_works < FILE_WORK_THREADS - 1; /* the last thread reports */
}

static void no_later_than(int64_t *at, int64_t other)
{
    if (other < *at)
        *at = other;
}

/* When the leader has something to do. */
static int64_t next_check(int64_t now)
{
    int64_t at = INT64_MAX;
    for (const struct list *node = running_works.next; node != &running_works; node = node->next) {
        const struct file_work *w = work_at(node);
        int64_t alive = work_alive_at(w);
        if (!w->_hang_told)
            no_later_than(&at, alive + w->hang_ms);
        if (now - alive < FILE_WORK_SLOW_MS)
            no_later_than(&at, alive + FILE_WORK_SLOW_MS);
    }
    for (const struct list *node = queued_works.next; node != &queued_works; node = node->next) {
        const struct file_work *w = work_at(node);
        if (w->_due > now || !w->_hang_told)
            no_later_than(&at, w->_due > now ? w->_due : w->_due + w->hang_ms);
        if (w->_due > now)
            break;
    }
    return at;
}

static void wait_for_work(int64_t now, int64_t until)
{
    struct timespec end = clock_mono_after(until == INT64_MAX ? 0 : until - now);
    lock_rank_leave(RANK_FILE_WORK);
    if (until == INT64_MAX)
        pthread_cond_wait(&work_changed, &work_lock);
    else
        pthread_cond_clockwait(&work_changed, &work_lock, CLOCK_MONOTONIC, &end);
    lock_rank_enter(RANK_FILE_WORK);
}

/* The next work that is due and may run; NULL: there is none at all. */
static struct file_work *lead_work(void)
{
    while (!list_empty(&queued_works) || !list_empty(&running_works)) {
        int64_t now = clock_mono_ms();
        struct file_work *first = list_empty(&queued_works) ? NULL : work_at(queued_works.next);
        if (first && first->_due <= now && another_may_run(now))
            return first;
        report_hangs(now);
        wait_for_work(now, next_check(now));
    }
    return NULL;
}

/* ---- the threads, with the lock ---- */

static void insert_by_time(struct file_work *w, int64_t due)
{
    struct list *after = queued_works.prev;
    while (after != &queued_works && work_at(after)->_due > due)
        after = after->prev;
    w->_due = due;
    w->_queued = true;
    list_push_front(after, &w->_node);
    if (queued_works.next == &w->_node)
        pthread_cond_signal(&work_changed);
}

static void run_file_works(void *arg);

/* Makes sure that an idle thread exists. */
static void ensure_idle_thread(void)
{
    if (n_file_threads > n_running_works) {
        pthread_cond_signal(&lead_free);
        return;
    }
    struct thread *t = thread_start("files", run_file_works, NULL);
    if (t == NULL) {
        log_error("files", "cannot start a thread that reads files; if a file system hangs, other files are not read "
                  "either; raise the limit of threads (ulimit -u, pids cgroup)", "err", strerror(errno));
        return;
    }
    thread_detach(t);
    n_file_threads++;
}

static void run_work(struct file_work *w)
{
    list_remove(&w->_node);
    list_push_back(&running_works, &w->_node);
    n_running_works++;
    w->_queued = false;
    w->_running = true;
    atomic_store_explicit(&w->_alive_at, clock_mono_ms(), memory_order_relaxed);
    ensure_idle_thread();
    work_lock_leave();
    w->run(w);
    work_lock_enter();
    list_remove(&w->_node);
    n_running_works--;
    w->_running = w->_hang_told = false;
    if (w->_again && !w->_dropped) {
        w->_again = false;
        insert_by_time(w, w->_due_again);
    }
    bool dropped = w->_dropped;
    pthread_cond_signal(&work_changed);
    if (!dropped)
        return;
    work_lock_leave();
    w->release(w);
    work_lock_enter();
}

/* False: this thread is not needed any more. */
static bool become_leader(void)
{
    while (has_leader && n_file_threads - n_running_works <= IDLE_THREADS) {
        lock_rank_leave(RANK_FILE_WORK);
        pthread_cond_wait(&lead_free, &work_lock);
        lock_rank_enter(RANK_FILE_WORK);
    }
    return !has_leader;
}

static void run_file_works(void *arg UNUSED)
{
    work_lock_enter();
    while (become_leader()) {
        has_leader = true;
        struct file_work *w = lead_work();
        has_leader = false;
        if (w == NULL)
            break;
        run_work(w);
    }
    n_file_threads--;
    pthread_cond_signal(&lead_free);
    pthread_cond_broadcast(&file_thread_ended);
    work_lock_leave();
}

/* ---- users ---- */

bool file_work_in(struct file_work *w, int64_t ms)
{
    int64_t due = clock_mono_ms() + ms;
    work_lock_enter();
    if (w->_running) {
        if (!w->_again || due < w->_due_again)
            w->_due_again = due;
        w->_again = true;
    } else if (!w->_queued || due < w->_due) {
        if (w->_queued)
            list_remove(&w->_node);
        insert_by_time(w, due);
    }
    if (n_file_threads == n_running_works)
        ensure_idle_thread();
    bool ok = n_file_threads > 0;
    work_lock_leave();
    return ok;
}

bool file_work_drop(struct file_work *w)
{
    work_lock_enter();
    bool running = w->_running;
    w->_dropped = running;
    w->_again = false;
    if (w->_queued) {
        list_remove(&w->_node);
        w->_queued = w->_hang_told = false;
        pthread_cond_signal(&work_changed);
    }
    work_lock_leave();
    return !running;
}

bool file_work_goes_on(struct file_work *w)
{
    atomic_store_explicit(&w->_alive_at, clock_mono_ms(), memory_order_relaxed);
    work_lock_enter();
    bool wanted = !w->_dropped;
    work_lock_leave();
    return wanted;
}

void file_work_await_threads(int64_t ms)
{
    struct timespec until = clock_mono_after(ms);
    work_lock_enter();
    lock_rank_leave(RANK_FILE_WORK);
    while (n_file_threads > n_running_works
           && pthread_cond_clockwait(&file_thread_ended, &work_lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT) {
    }
    lock_rank_enter(RANK_FILE_WORK);
    work_lock_leave();
}
