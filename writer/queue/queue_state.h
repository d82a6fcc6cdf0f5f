// SPDX-License-Identifier: Apache-2.0
/* A queue from inside: for queue.c (the io thread's work), queue_life.c (its beginning and end) and queue_intake.c. */
#ifndef WRITER_QUEUE_QUEUE_STATE_H
#define WRITER_QUEUE_QUEUE_STATE_H

#include "base/os/thread.h"
#include "writer/queue/queue_dir.h"
#include "writer/queue/queue_intake.h"
#include "writer/queue/queue_space.h"

/* Main waits for the io thread to begin and to end. */
struct queue_life {
    struct mutex lock;         /* guards what follows */
    struct cond changed;
    bool opened, open_ok, ended;
    bool abandoned;            /* main waits no more: the io thread frees everything when the disk responds again */
    struct err err;            /* why it could not be opened */
    unsigned shards;
    atomic_bool interrupted;   /* the files are not to be read any further */
    int64_t until;             /* mono ms; so long failed writes are retried at the end */
    struct loop_timer retry;
    struct loop_task end;
    struct loop *home; struct loop_task *told; /* when it has ended; NULL: nobody */
};

struct queue {
    struct queue_dir queue_dir;
    struct queue_lock *_Atomic lock; /* NULL = none */
    struct queue_life life;
    struct intake intake;
    atomic_ullong max_bytes;
    atomic_ullong max_memory;
    atomic_bool sync_writes, keep_all; /* as struct queue_limits */
    struct loop *loop;
    struct thread *thread;
    struct loop_timer sync, check; /* check: once a second, always */
    struct queue_space space;
    int why;                  /* errno of the last write that failed */
    int64_t backoff, retry_at; /* mono ms */
    bool locked_out;          /* another process uses the directory */
    atomic_ullong bytes, unwritten, unwritten_blocks, unwritten_samples;
    atomic_bool failing;
    struct queue_stats stats;
};

enum { QUEUE_RETRY_MS = 1000 };

/* queue.c, for queue_life.c. On the io thread. */
void queue_work(struct queue *q);          /* all that the lanes have handed over */
void queue_start_checks(struct queue *q);  /* once a second */
void queue_stop_checks(struct queue *q);
/* Retries what has failed, also deleted files. True: all is on disk. */
bool queue_flush(struct queue *q);
void queue_count_bytes(struct queue *q);
void queue_run_work(struct loop_task *task);

#endif
