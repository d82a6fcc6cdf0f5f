// SPDX-License-Identifier: Apache-2.0
/* Writes finished log lines, directly or on a thread.
 *
 * There are two buffers: threads append to `waiting`, and the writing thread swaps it with the one that it has
 * written. The lock is held for a memcpy or a swap, never for a write. A pipe accepts up to PIPE_BUF bytes
 * atomically, so that lines of several processes do not mix: each write has as many complete lines as fit, or one
 * longer line.
 */
#include "base/telemetry/log_writer.h"

#include "base/text/duration.h"
#include "base/write_all.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { KEEP_BYTES = 16 << 10, AWAIT_STEP_NS = 1000000 };

enum writer_mode { WRITER_DIRECT, WRITER_THREAD, WRITER_ABANDONED /* hung in a write: lines are dropped */ };

static atomic_int writer_fd = 2;
static atomic_uint_fast64_t n_dropped_total;
static atomic_size_t unwritten; /* bytes that the thread has not written yet */
static _Thread_local bool is_writer;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the variables below */
static pthread_cond_t something_waits = PTHREAD_COND_INITIALIZER, ended = PTHREAD_COND_INITIALIZER;
static enum writer_mode mode;
static bool writer_stopping;
static struct buf waiting;
static uint64_t n_dropped; /* lines that did not fit into `waiting` */

void log_writer_set_fd(int fd) { atomic_store(&writer_fd, fd); }
uint64_t log_writer_dropped(void) { return atomic_load_explicit(&n_dropped_total, memory_order_relaxed); }

/* ---- writing ---- */

static bool log_write_all(struct str text) { return write_all(atomic_load(&writer_fd), text); }

/* The part of `text` (not empty) for the next write. */
static size_t log_next_write(struct str text)
{
    size_t n = text.n < PIPE_BUF ? text.n : PIPE_BUF;
    const char *last = memrchr(text.p, '\n', n);
    return last ? (size_t)(last - text.p) + 1 : str_find(text, '\n') + 1;
}

/* Returns the number of lines that could not be written. */
static uint64_t log_write_lines(struct str text)
{
    uint64_t lost = 0;
    while (text.n > 0) {
        struct str piece = str_first(text, log_next_write(text));
        if (!log_write_all(piece))
            lost += str_count(piece, '\n');
        atomic_fetch_sub(&unwritten, piece.n);
        text = str_skip(text, piece.n);
    }
    atomic_fetch_add_explicit(&n_dropped_total, lost, memory_order_relaxed);
    return lost;
}

static bool log_write_report(log_report_fn *report, uint64_t lines)
{
    struct buf line = {0};
    report(lines, &line);
    bool ok = log_write_all(buf_str(&line));
    buf_free(&line);
    return ok;
}

/* ---- the thread ---- */

void log_writer_run(log_report_fn *report)
{
    struct buf taken = {0};
    uint64_t unreported = 0;
    is_writer = true;
    pthread_mutex_lock(&lock);
    mode = WRITER_THREAD;
    for (;;) {
        while (waiting.n == 0 && n_dropped == 0 && !writer_stopping)
            pthread_cond_wait(&something_waits, &lock);
        if (waiting.n == 0 && n_dropped == 0)
            break;
        struct buf empty = taken;
        taken = waiting;
        waiting = empty;
        uint64_t not_taken = n_dropped;
        n_dropped = 0;
        pthread_mutex_unlock(&lock);

        unreported += log_write_lines(buf_str(&taken)) + not_taken;
        if (unreported > 0 && log_write_report(report, unreported))
            unreported = 0;
        buf_clear(&taken);
        if (taken.cap > KEEP_BYTES)
            buf_free(&taken);
        pthread_mutex_lock(&lock);
    }
    mode = WRITER_DIRECT;
    writer_stopping = false;
    buf_free(&waiting);
    pthread_cond_broadcast(&ended);
    pthread_mutex_unlock(&lock);
    buf_free(&taken);
    is_writer = false;
}

bool log_writer_runs(void)
{
    pthread_mutex_lock(&lock);
    bool runs = mode == WRITER_THREAD;
    pthread_mutex_unlock(&lock);
    return runs;
}

bool log_writer_stop(int64_t ms)
{
    struct timespec until = clock_mono_after(ms);
    pthread_mutex_lock(&lock);
    writer_stopping = true;
    pthread_cond_signal(&something_waits);
    while (mode == WRITER_THREAD)
        if (pthread_cond_clockwait(&ended, &lock, CLOCK_MONOTONIC, &until) == ETIMEDOUT)
            break;
    bool ok = mode == WRITER_DIRECT;
    if (!ok)
        mode = WRITER_ABANDONED;
    pthread_mutex_unlock(&lock);
    return ok;
}

/* ---- other threads ---- */

static void log_enqueue(struct str line)
{
    if (mode == WRITER_ABANDONED || n_dropped > 0 || waiting.n >= LOG_WRITER_BYTES) {
        n_dropped++;
        atomic_fetch_add_explicit(&n_dropped_total, 1, memory_order_relaxed);
        return;
    }
    if (waiting.n == 0)
        pthread_cond_signal(&something_waits);
    atomic_fetch_add(&unwritten, line.n);
    buf_add_str(&waiting, line);
}

void log_writer_put(struct str line)
{
    pthread_mutex_lock(&lock);
    if (mode != WRITER_DIRECT)
        log_enqueue(line);
    else if (!log_write_all(line))
        atomic_fetch_add_explicit(&n_dropped_total, 1, memory_order_relaxed);
    pthread_mutex_unlock(&lock);
}

void log_writer_await(int64_t ms)
{
    for (int64_t left = ms; left > 0 && !is_writer && atomic_load(&unwritten) > 0; left--)
        nanosleep(&(struct timespec){.tv_nsec = AWAIT_STEP_NS}, NULL);
}
