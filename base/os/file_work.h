// SPDX-License-Identifier: Apache-2.0
/* Work on files that may hang: a disk or mount that does not respond holds the thread that uses it, without end. Such
 * work is queued here, from any thread, and runs on a few threads, named "files", that have nothing else to do: as long
 * as some work is running, another thread exists for the next one.
 *
 * At most FILE_WORK_BUSY works run at a time. A work that takes longer than FILE_WORK_SLOW_MS is not counted, so that
 * others need not wait for it, until FILE_WORK_THREADS threads are held. The threads end when nothing is queued.
 *
 * A work is embedded in its user's struct. The user must not free it while it runs: file_work_drop() tells.
 */
#ifndef BASE_OS_FILE_WORK_H
#define BASE_OS_FILE_WORK_H

#include "base/list.h"

#include <stdatomic.h>
#include <stdint.h>

enum { FILE_WORK_BUSY = 2, FILE_WORK_SLOW_MS = 50, FILE_WORK_THREADS = 64 };

struct file_work { /* zeroed but for the first four: not queued */
    void (*run)(struct file_work *w);     /* on one of the threads; it may queue itself again */
    /* Once per run that did not end, or begin, hang_ms after its time; within a lock: it may log, count, post to a
     * loop, and take locks above RANK_FILE_WORK, but neither wait nor call the functions below. */
    void (*hangs)(struct file_work *w);
    void (*release)(struct file_work *w); /* after the run during which the work was dropped, on the same thread */
    int64_t hang_ms;
    struct list _node;
    int64_t _due, _due_again;             /* clock_mono_ms; due: while it runs, of its beginning */
    _Atomic int64_t _alive_at;
    bool _queued, _running, _again, _hang_told, _dropped;
};

/* Runs the work in `ms`; a work that is queued already runs at the earlier of both times, and one that is running runs
 * again afterwards. False: no thread can be started, which is logged; the work stays queued, and the next call tries
 * again. */
bool file_work_in(struct file_work *w, int64_t ms);
/* True: the work neither runs nor is queued any more, and its memory is the caller's. False: it is running; `release`
 * follows. */
bool file_work_drop(struct file_work *w) MUST_USE;
/* Called by a long run after each file: its time limit begins again. False: it was dropped. */
bool file_work_goes_on(struct file_work *w);

/* At the end of the program: waits until no thread is idle, at most `ms`; those that hang remain. */
void file_work_await_threads(int64_t ms);

#endif
