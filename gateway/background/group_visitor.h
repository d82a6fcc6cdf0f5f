// SPDX-License-Identifier: Apache-2.0
/* What the readers of server groups share: visits and readings. Private to background/.
 *
 * All groups of the configuration are visited once a second, beginning with another one each time. A visit may begin a
 * reading of the group, on a worker of class background. A reading has a reference to the upstream that it reads, so
 * that a reload need not wait for it.
 *
 * Called on the main thread, in its loop, except the `run` of a reading.
 */
#ifndef GATEWAY_BACKGROUND_GROUP_VISITOR_H
#define GATEWAY_BACKGROUND_GROUP_VISITOR_H

#include "base/os/loop.h"
#include "gateway/query/worker.h"
#include "gateway/upstream/group.h"

enum { GROUP_VISITOR_TICK_MS = 1000 };

struct group_visitor {
    struct loop *loop;
    const char *id;                /* of the process, see via.h */
    struct workers *workers;
    struct budget *memory;         /* of queries; NULL: none */
    struct upstream *upstream;     /* NULL: none yet */
    void (*visit)(struct group_visitor *v, const struct group *g);
    atomic_bool stopping;          /* readings are to end soon */
    struct loop_timer _tick;
    size_t _next;                  /* group that is visited first */
};
void group_visitor_init(struct group_visitor *v, struct loop *loop, const char *id,
                        void (*visit)(struct group_visitor *v, const struct group *g));
/* Visits the groups of u from now on, first in `ms`, and keeps a reference. ms < 0: none of them needs visits. */
void group_visitor_use(struct group_visitor *v, struct workers *workers, struct budget *memory, struct upstream *u,
                       int64_t ms);
void group_visit_all(struct group_visitor *v);    /* now */
void group_visitor_stop(struct group_visitor *v); /* ends readings soon, begins none */
void group_visitor_free(struct group_visitor *v); /* after workers_stop and group_reading_free */

struct group_reading { /* zeroed: idle */
    struct worker_task task;
    struct group_visitor *visitor;
    struct upstream *upstream;     /* NULL: idle */
    struct arena arena;            /* from arena_init to the end of the reading */
};
static inline bool group_reading_idle(const struct group_reading *g) { return g->upstream == NULL; }
/* Begins a reading whose arena is initialized; `done` ends it. Without a worker it stays idle: later visits try again. */
void group_reading_begin(struct group_reading *g, struct group_visitor *v, void (*run)(struct worker_task *task),
                         void (*done)(struct worker_task *task));
void group_reading_end(struct group_reading *g);
void group_reading_free(struct group_reading *g); /* after workers_stop: ends one whose `done` has not run */

#endif
