// SPDX-License-Identifier: Apache-2.0
/* Private parts of a queue, for queue.c (the io thread's work), queue_life.c (open and close) and queue_intake.c. */
#ifndef WRITER_QUEUE_QUEUE_STATE_H
#define WRITER_QUEUE_QUEUE_STATE_H

#include "base/os/file_thread.h"
#include "base/os/thread.h"
#include "writer/queue/queue_dir.h"
#include "writer/queue/queue_intake.h"
#include "writer/queue/queue_space.h"
#include "writer/queue/queue_sync.h"

/* Opening and closing: main waits for the io thread. */
struct queue_life {
    struct file_thread *self;  /* the io thread's */
    unsigned shards;
    struct vmagent_queues vmagent; /* dir is owned */
    bool open_ok;              /* the io thread's until FILE_OPENED */
    struct err err;            /* then: why opening failed */
    int64_t until;             /* mono ms; failed writes are retried until then */
    struct loop_timer retry;
    struct loop_task end;
    struct queue_walk_job *walk;
};

struct queue {
    struct queue_dir queue_dir;
    struct queue_lock *_Atomic lock; /* NULL = none */
    struct queue_life life;
    struct intake intake;
    atomic_ullong max_bytes;
    atomic_ullong max_memory;
    atomic_bool sync_writes, keep_all; /* as in struct queue_limits */
    struct loop *loop;
    struct file_thread *thread;
    struct loop_timer sync, check; /* check: once a second, always */
    struct loop_timer write;       /* when the next job is due */
    struct queue_syncer *syncer;
    struct queue_space space;
    struct quarantine quarantine;
    int write_errno;                  /* errno of the last failed write */
    int64_t backoff, retry_at; /* mono ms */
    int64_t checked_at;        /* mono ms */
    size_t next_check;         /* of a shard whose blocks are all delivered */
    bool locked_out;          /* another process uses the directory */
    atomic_ullong bytes, unwritten, unwritten_blocks, unwritten_samples;
    atomic_bool failing;
    struct queue_stats stats;
};

enum { QUEUE_RETRY_MS = 1000 };

/* queue.c, for queue_life.c. On the io thread. */
void queue_work(struct queue *q);          /* executes all jobs of the lanes */
void queue_start_checks(struct queue *q);  /* starts the check that runs once a second */
void queue_stop_checks(struct queue *q);
/* Retries failed writes and restores deleted files. True: everything is on disk. */
bool queue_flush(struct queue *q);
void queue_count_bytes(struct queue *q);
void queue_run_work(struct loop_task *task);

#endif
