// SPDX-License-Identifier: Apache-2.0
/* What main keeps of the writer. Inside writer.c, reload.c and retire.c only.
 */
#ifndef WRITER_WRITER_INTERNAL_H
#define WRITER_WRITER_INTERNAL_H

#include "writer/lane.h"
#include "writer/orphans.h"
#include "writer/recent/recent.h"

struct writer {
    struct writer_env env;
    char *dir;
    struct queue_lock *queue_lock; /* NULL until there is a destination */
    struct writer_lane *lanes;
    struct destination **destinations; size_t n, _cap; /* main's; the lock is for the pages */
    struct mutex lock;
    struct recent *recent;     /* the current one; under the lock */
    struct recent_conf recent_conf;
    struct topology *topology; /* the newest; main's reference */
    unsigned answers;          /* of lanes, to plans that are coming into force, which are still to come */
    struct loop_task **awaiting; size_t n_awaiting, _cap_awaiting; /* to be run when there are none */
    atomic_bool ready, takes;
    struct list retiring;      /* destinations that go: retire.c */
    struct orphan_list orphans; /* under the lock: orphans.c */
    struct loop_timer orphans_timer;
    struct orphans_look *orphans_look; /* under way; NULL = none */
    bool orphans_logged, orphans_again;
    void (*stopped)(void *arg); void *stopped_arg; /* set once stopping */
    unsigned lanes_stopping;
    struct loop_timer regex_plan_give_up; /* armed while a stop waits for the queues */
    bool abandoned;
    int64_t grace;
};

/* reload.c: what the plan does not name goes; NULL names nothing. Every lane has left it. */
void writer_retire_gone(struct writer *w, const struct topology *p);
void writer_run_awaiting(struct writer *w);

/* retire.c. A destination goes: its lanes have left it, and free what they have of it; then its files are closed. */
void retire_add(struct writer *w, struct destination *d);
/* writer.c: when nothing leaves any more, the stop is done. */
void writer_stop_when_left(struct writer *w);
/* The stop waits no longer: logs what the queues still had in memory. */
void leaving_abandon(struct writer *w);
/* One that left a moment ago and comes back: two must not have its files open. */
bool retire_wait(struct writer *w, const char *identity, struct err *err) MUST_USE;

#endif
