// SPDX-License-Identifier: Apache-2.0
/* A thread for work on files that may hang: a disk or mount that does not respond holds the thread that uses it,
 * without end, so other threads must not wait for it for long.
 *
 * The owner starts the thread, waits until it has reached a step (those before FILE_ENDED are reported by the work
 * itself), and ends it. Waiting is bounded by the time in which nothing happened, so that a large directory on a slow
 * disk is read to its end; work that reads much therefore calls file_thread_goes_on() for each file or record. A thread
 * that does not end is abandoned: what it uses belongs to it from then on, and it releases it when the disk responds.
 *
 * At most FILE_THREADS_HUNG of them hang at a time; then no further one is started.
 */
#ifndef BASE_OS_FILE_THREAD_H
#define BASE_OS_FILE_THREAD_H

#include "base/os/loop.h"

enum { FILE_THREADS_HUNG = 64 };
enum file_step { FILE_OPENED, FILE_WALKED, FILE_ENDED }; /* each is reached once */
enum file_wait {
    FILE_REACHED,     /* the step */
    FILE_HANGS,       /* no progress within the time limit; it continues */
    FILE_INTERRUPTED  /* the work was requested to stop, and did not within a second; it continues */
};

struct file_thread;
struct file_thread_conf {
    const char *name;          /* as of thread_start */
    void (*run)(void *arg, struct file_thread *self);
    void (*release)(void *arg); /* on the thread, at its end, when it was abandoned */
    void *arg;
};
struct file_thread *file_thread_start(const struct file_thread_conf *c) MUST_USE; /* NULL with errno */

/* ---- the owner, one thread ---- */

/* interrupted (may be NULL) is polled: once it returns true, the work is requested to stop. A thread that has ended has
 * reached all steps. */
enum file_wait file_thread_wait(struct file_thread *t, enum file_step step, int64_t hang_ms, bool (*interrupted)(void));
bool file_thread_at(struct file_thread *t, enum file_step step); /* without waiting */
/* Restarts the time limit, since the owner has just requested work. */
void file_thread_set_active(struct file_thread *t);
/* The task is posted to the loop when the step is reached, at once if it was; not after file_thread_end. */
void file_thread_notify(struct file_thread *t, enum file_step step, struct loop *home, struct loop_task *task);
/* Waits for the end, at most until `until` (clock_mono_ms). True: the thread has ended, and arg belongs to the owner
 * again; false: it is abandoned. The pointer is invalid afterwards. */
bool file_thread_end(struct file_thread *t, int64_t until) MUST_USE;

/* ---- the thread itself ---- */

void file_thread_reach(struct file_thread *t, enum file_step step);
/* Something was read: it does not hang. False: nobody wants the result any more. */
bool file_thread_goes_on(struct file_thread *t);
bool file_thread_abandoned(struct file_thread *t);

#endif
