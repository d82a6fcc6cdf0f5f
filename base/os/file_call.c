// SPDX-License-Identifier: Apache-2.0
#include "base/os/file_call.h"

#include "base/os/file_work.h"
#include "base/os/thread.h"
#include "base/text/duration.h"

struct pending_call {
    struct file_work work;
    struct file_call call;
    struct mutex lock;    /* guards the fields below */
    struct cond changed;
    bool ended, abandoned;
};

static struct pending_call *call_of_work(struct file_work *w) { return CONTAINER(w, struct pending_call, work); }

static void run_call(struct file_work *w)
{
    struct pending_call *c = call_of_work(w);
    c->call.run(c->call.arg);
    mutex_lock(&c->lock);
    c->ended = true;
    cond_signal(&c->changed);
    mutex_unlock(&c->lock);
}

static void call_hangs(struct file_work *w UNUSED) {} /* the caller knows */

static void release_call(struct file_work *w)
{
    struct pending_call *c = call_of_work(w);
    if (c->abandoned)
        c->call.release(c->call.arg);
    mutex_free(&c->lock);
    cond_free(&c->changed);
    mem_free(c);
}

static bool await_call(struct pending_call *c, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;
    mutex_lock(&c->lock);
    for (int64_t now; !c->ended && (now = clock_mono_ms()) < until;)
        cond_wait_ms(&c->changed, &c->lock, until - now);
    bool ended = c->ended;
    c->abandoned = !ended;
    mutex_unlock(&c->lock);
    return ended;
}

bool file_call(const struct file_call *call, int64_t ms)
{
    struct pending_call *c = mem_zalloc(sizeof *c);
    c->work = (struct file_work){.run = run_call, .hangs = call_hangs, .release = release_call, .hang_ms = ms};
    c->call = *call;
    mutex_init(&c->lock, RANK_LEAF);
    cond_init(&c->changed);
    bool started = file_work_in(&c->work, 0), ended = await_call(c, started ? ms : 0);
    if (file_work_drop(&c->work)) /* otherwise it is running, and releases itself */
        release_call(&c->work);
    return ended;
}
