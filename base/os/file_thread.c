// SPDX-License-Identifier: Apache-2.0
/* Owner and thread share a struct, freed by the last one: the owner in file_thread_end after the thread has ended, or
 * the thread if it was abandoned before. `lock` decides which of the two it is.
 */
#include "base/os/file_thread.h"

#include "base/os/thread.h"
#include "base/text/duration.h"

#include <errno.h>
#include <stdatomic.h>

enum {
    FILE_POLL_MS = 20,    /* between two calls of interrupted */
    FILE_STOP_MS = 1000   /* for the work to notice that it was interrupted */
};

struct file_notice { struct loop *home; struct loop_task *task; }; /* task NULL: none */

struct file_thread {
    struct file_thread_conf conf;
    struct thread *thread;     /* the owner's */
    _Atomic int64_t active_at; /* mono ms of the last sign of life */
    atomic_bool stop;          /* the result is not wanted any more */
    struct mutex lock;         /* guards the fields below */
    struct cond changed;
    bool reached[FILE_ENDED + 1];
    bool abandoned;
    struct file_notice notices[FILE_ENDED + 1];
};

static atomic_uint file_threads_hung;

static void file_thread_free(struct file_thread *t)
{
    mutex_free(&t->lock);
    cond_free(&t->changed);
    mem_free(t);
}

static void file_thread_tell(struct file_thread *t, enum file_step step) /* with the lock */
{
    struct file_notice *n = &t->notices[step];
    if (t->reached[step] && n->task && !t->abandoned)
        loop_post(n->home, n->task);
    if (t->reached[step])
        n->task = NULL;
}

static void file_thread_reach_locked(struct file_thread *t, enum file_step step)
{
    t->reached[step] = true;
    file_thread_tell(t, step);
    cond_broadcast(&t->changed);
}

static void run_file_thread(void *arg)
{
    struct file_thread *t = arg;
    t->conf.run(t->conf.arg, t);
    mutex_lock(&t->lock);
    bool abandoned = t->abandoned;
    for (int step = 0; step <= FILE_ENDED; step++)
        file_thread_reach_locked(t, (enum file_step)step);
    mutex_unlock(&t->lock);
    if (!abandoned)
        return;
    t->conf.release(t->conf.arg);
    file_thread_free(t);
    atomic_fetch_sub(&file_threads_hung, 1);
}

struct file_thread *file_thread_start(const struct file_thread_conf *c)
{
    if (atomic_load(&file_threads_hung) >= FILE_THREADS_HUNG) {
        errno = EAGAIN;
        return NULL;
    }
    struct file_thread *t = mem_zalloc(sizeof *t);
    t->conf = *c;
    atomic_init(&t->active_at, clock_mono_ms());
    mutex_init(&t->lock, RANK_FILE_THREAD);
    cond_init(&t->changed);
    t->thread = thread_start(c->name, run_file_thread, t);
    if (t->thread)
        return t;
    int why = errno;
    file_thread_free(t);
    errno = why;
    return NULL;
}

/* ---- the owner ---- */

bool file_thread_at(struct file_thread *t, enum file_step step)
{
    mutex_lock(&t->lock);
    bool reached = t->reached[step];
    mutex_unlock(&t->lock);
    return reached;
}

enum file_wait file_thread_wait(struct file_thread *t, enum file_step step, int64_t hang_ms, bool (*interrupted)(void))
{
    int64_t give_up_at = INT64_MAX;
    enum file_wait result = FILE_REACHED;
    mutex_lock(&t->lock);
    while (!t->reached[step] && result == FILE_REACHED) {
        int64_t now = clock_mono_ms();
        if (give_up_at == INT64_MAX && interrupted && interrupted()) {
            atomic_store(&t->stop, true);
            give_up_at = now + FILE_STOP_MS;
        }
        if (now >= give_up_at)
            result = FILE_INTERRUPTED;
        else if (give_up_at == INT64_MAX && now - atomic_load(&t->active_at) >= hang_ms)
            result = FILE_HANGS;
        else
            cond_wait_ms(&t->changed, &t->lock, FILE_POLL_MS);
    }
    mutex_unlock(&t->lock);
    return result;
}

void file_thread_set_active(struct file_thread *t)
{
    atomic_store_explicit(&t->active_at, clock_mono_ms(), memory_order_relaxed);
}

void file_thread_notify(struct file_thread *t, enum file_step step, struct loop *home, struct loop_task *task)
{
    mutex_lock(&t->lock);
    t->notices[step] = (struct file_notice){home, task};
    file_thread_tell(t, step);
    mutex_unlock(&t->lock);
}

bool file_thread_end(struct file_thread *t, int64_t until)
{
    atomic_store(&t->stop, true);
    mutex_lock(&t->lock);
    for (int64_t now; !t->reached[FILE_ENDED] && (now = clock_mono_ms()) < until;)
        cond_wait_ms(&t->changed, &t->lock, until - now);
    struct thread *thread = t->thread;
    bool ended = t->reached[FILE_ENDED];
    t->abandoned = !ended;
    if (!ended)
        atomic_fetch_add(&file_threads_hung, 1);
    mutex_unlock(&t->lock);
    if (!ended) { /* t may be freed already */
        thread_detach(thread);
        return false;
    }
    thread_join(thread);
    file_thread_free(t);
    return true;
}

/* ---- the thread ---- */

void file_thread_reach(struct file_thread *t, enum file_step step)
{
    mutex_lock(&t->lock);
    file_thread_reach_locked(t, step);
    mutex_unlock(&t->lock);
}

bool file_thread_goes_on(struct file_thread *t)
{
    file_thread_set_active(t);
    return !atomic_load_explicit(&t->stop, memory_order_relaxed);
}

bool file_thread_abandoned(struct file_thread *t)
{
    mutex_lock(&t->lock);
    bool abandoned = t->abandoned;
    mutex_unlock(&t->lock);
    return abandoned;
}
