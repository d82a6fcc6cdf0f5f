// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/http_aside.h"

#include "base/os/thread.h"
#include "gateway/lane.h"

struct aside_job {
    struct loop_task task; /* on the thread, then back on the lane */
    struct http_request *request;
    http_handler *run;
    void (*done)(struct http_request *r);
};

static struct {
    struct mutex mutex;    /* guards what follows */
    struct loop *loop;     /* NULL until the first request */
    struct thread *thread;
    bool stopping;
} aside;

static void aside_run_loop(void *loop) { loop_run(loop); }

static void aside_on_done(struct loop_task *task)
{
    struct aside_job *job = CONTAINER(task, struct aside_job, task);
    job->done(job->request);
    mem_free(job);
}

static void aside_run_job(struct loop_task *task)
{
    struct aside_job *job = CONTAINER(task, struct aside_job, task);
    job->run(job->request);
    job->task.run = aside_on_done;
    loop_post(job->request->lane->loop, &job->task);
}

static bool aside_has_thread(void) /* under the mutex */
{
    if (aside.thread || aside.stopping)
        return !aside.stopping;
    aside.loop = loop_new();
    aside.thread = aside.loop ? thread_start("aside", aside_run_loop, aside.loop) : NULL;
    if (aside.thread == NULL) {
        loop_free(aside.loop);
        aside.loop = NULL;
    }
    return aside.thread != NULL;
}

void http_aside_start(void) { mutex_init(&aside.mutex, RANK_WORKERS); }

bool http_aside_submit(struct http_request *r, http_handler *run, void (*done)(struct http_request *r))
{
    mutex_lock(&aside.mutex);
    bool ok = aside_has_thread();
    if (ok) {
        struct aside_job *job = mem_zalloc(sizeof *job);
        *job = (struct aside_job){.task.run = aside_run_job, .request = r, .run = run, .done = done};
        loop_post(aside.loop, &job->task);
    }
    mutex_unlock(&aside.mutex);
    return ok;
}

/* A loop that is stopped runs the tasks that were posted before. */
void http_aside_stop(void)
{
    mutex_lock(&aside.mutex);
    aside.stopping = true;
    mutex_unlock(&aside.mutex);
    if (aside.thread == NULL)
        return;
    loop_stop(aside.loop);
    thread_join(aside.thread);
}

void http_aside_free(void)
{
    loop_free(aside.loop);
    mutex_free(&aside.mutex);
}
