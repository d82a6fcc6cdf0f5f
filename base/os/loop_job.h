// SPDX-License-Identifier: Apache-2.0
/* Work that would block a loop for too long: it runs on one of the threads for files (base/os/file_work.h), which
 * report its end to the loop.
 *
 *   loop_job_start(&job, loop)   runs `work` on another thread, then `done` in the loop, which may start it again
 *   loop_job_drop(&job)          prevents `done`; calls `release`, at once or after the work
 *
 * A job is embedded in the data of its work, which nobody else uses between start and `done`. Loop's thread only.
 */
#ifndef BASE_OS_LOOP_JOB_H
#define BASE_OS_LOOP_JOB_H

#include "base/os/file_work.h"
#include "base/os/loop.h"
#include "base/os/thread.h"

struct loop_job {
    void (*work)(struct loop_job *job);
    void (*done)(struct loop_job *job);
    void (*release)(struct loop_job *job); /* any thread: frees the struct that has the job */
    /* Private. */
    struct loop *_loop;
    struct file_work _file_work;
    struct loop_task _task;
    struct mutex _lock;          /* guards `dropped`, and posts */
    bool _dropped;
};
void loop_job_init(struct loop_job *job, void (*work)(struct loop_job *), void (*done)(struct loop_job *),
                   void (*release)(struct loop_job *));
void loop_job_start(struct loop_job *job, struct loop *loop);
void loop_job_drop(struct loop_job *job); /* once for each job, whether or not it was started */

#endif
