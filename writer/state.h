// SPDX-License-Identifier: Apache-2.0
/* What main keeps of the writer. Inside writer.c, reload.c and leaving.c only.
 */
#ifndef WRITER_STATE_H
#define WRITER_STATE_H

#include "writer/lane.h"
#include "writer/recent/recent.h"

struct writer {
    struct writer_env env;
    char *dir;
    int lock_fd;
    struct writer_lane *lanes;
    struct destination **destinations; size_t n, _cap; /* main's; the lock is for the pages */
    struct mutex lock;
    struct recent *recent;     /* the current one; under the lock */
    struct recent_conf recent_conf;
    struct plan *plan;         /* the newest; main's reference */
    unsigned answers;          /* of lanes, to plans that are coming into force, which are still to come */
    struct loop_task **awaiting; size_t n_awaiting, _cap_awaiting; /* to be run when there are none */
    atomic_bool ready, takes;
    struct list leaving;       /* destinations that go: leaving.c */
    void (*stopped)(void *arg); void *stopped_arg; /* set once stopping */
    unsigned lanes_stopping;
    int64_t grace;
};

/* writer.c: the folder of all queues is made and locked; once. */
bool writer_lock_dir(struct writer *w, struct err *err) MUST_USE;

/* reload.c: what the plan does not name goes; NULL names nothing. Every lane has left it. */
void writer_retire_gone(struct writer *w, const struct plan *p);
void writer_run_awaiting(struct writer *w);

/* leaving.c. A destination goes: its lanes have left it, and free what they have of it; then its files are closed. */
void leaving_add(struct writer *w, struct destination *d);
/* One that left a moment ago and comes back: two must not have its files open. */
bool leaving_wait(struct writer *w, const char *identity, struct err *err) MUST_USE;

#endif
