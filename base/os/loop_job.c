// SPDX-License-Identifier: Apache-2.0
#include "base/os/loop_job.h"

enum { JOB_HANG_MS = 60000 };    /* job_is_slow() reports nothing then */

static struct loop_job *job_of_work(struct file_work *w) { return CONTAINER(w, struct loop_job, _file_work); }

static void job_run(struct file_work *w)
{
    struct loop_job *job = job_of_work(w);
    job->work(job);
    mutex_lock(&job->_lock);
    if (!job->_dropped)
        loop_post(job->_loop, &job->_task);
    mutex_unlock(&job->_lock);
}

static void job_is_slow(struct file_work *w UNUSED) {}

static void job_release(struct file_work *w)
{
    struct loop_job *job = job_of_work(w);
    mutex_free(&job->_lock);
    job->release(job);
}

static void job_on_end(struct loop_task *task)
{
    struct loop_job *job = CONTAINER(task, struct loop_job, _task);
    job->done(job);
}

void loop_job_init(struct loop_job *job, void (*work)(struct loop_job *), void (*done)(struct loop_job *),
                   void (*release)(struct loop_job *))
{
    *job = (struct loop_job){.work = work, .done = done, .release = release, ._task.run = job_on_end,
                             ._file_work = {.run = job_run, .hangs = job_is_slow, .release = job_release,
                                            .hang_ms = JOB_HANG_MS}};
    mutex_init(&job->_lock, RANK_LOOP_JOB);
}

void loop_job_start(struct loop_job *job, struct loop *loop)
{
    job->_loop = loop;
    (void)file_work_in(&job->_file_work, 0);
}

void loop_job_drop(struct loop_job *job)
{
    mutex_lock(&job->_lock);
    job->_dropped = true;
    mutex_unlock(&job->_lock);
    if (job->_loop)
        loop_unpost(job->_loop, &job->_task);
    if (file_work_drop(&job->_file_work))
        job_release(&job->_file_work);
}
