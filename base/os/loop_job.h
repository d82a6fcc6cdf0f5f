// SPDX-License-Identifier: Apache-2.0
/* Work that would hold a loop for too long: it runs on one of the threads for files (base/os/file_work.h), and its end is
 * reported to the loop.
 *
 *   loop_job_start(&job, loop)   then `work` on another thread, then `done` in the loop, which may start it again
 *   loop_job_drop(&job)          `done` does not follow any more; `release` does, at once or after the work
 *
 * A job is embedded in what the work needs; nobody else uses that until `done`. All functions are the loop's thread's.
 */
#ifndef BASE_OS_LOOP_JOB_H
#define BASE_OS_LOOP_JOB_H

#include "base/os/file_work.h"
#include "base/os/loop.h"
#include "base/os/thread.h"

struct loop_job {
    void (*work)(struct loop_job *job);
    void (*done)(struct loop_job *job);
    void (*release)(struct loop_job *job); /* any thread: frees what has the job */
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
