// SPDX-License-Identifier: Apache-2.0
#include "gateway/background/group_visitor.h"

#include "gateway/upstream/source.h"

/* --- groups ------------------------------------------------------------------------------------------------------- */

void group_visit_all(struct group_visitor *v)
{
    size_t n = v->upstream && !atomic_load(&v->stopping) ? v->upstream->groups.n : 0;
    for (size_t i = 0; i < n; i++)
        v->visit(v, &v->upstream->groups.items[(v->_next + i) % n]);
    v->_next++;
}

static void group_visitor_on_tick(struct loop_timer *timer)
{
    struct group_visitor *v = CONTAINER(timer, struct group_visitor, _tick);
    group_visit_all(v);
    loop_timer_in(v->loop, &v->_tick, GROUP_VISITOR_TICK_MS);
}

void group_visitor_init(struct group_visitor *v, struct loop *loop, const char *id,
                        void (*visit)(struct group_visitor *v, const struct group *g))
{
    *v = (struct group_visitor){.loop = loop, .id = id, .visit = visit, ._tick.run = group_visitor_on_tick};
}

void group_visitor_use(struct group_visitor *v, struct workers *workers, struct budget *memory, struct upstream *u,
                       int64_t ms)
{
    upstream_unref(v->upstream);
    v->upstream = upstream_ref(u);
    v->workers = workers;
    v->memory = memory;
    if (ms >= 0)
        loop_timer_in(v->loop, &v->_tick, ms);
    else
        loop_timer_stop(v->loop, &v->_tick);
}

void group_visitor_stop(struct group_visitor *v)
{
    atomic_store(&v->stopping, true);
    loop_timer_stop(v->loop, &v->_tick);
}

void group_visitor_free(struct group_visitor *v)
{
    group_visitor_stop(v);
    upstream_unref(v->upstream);
}

/* --- readings ----------------------------------------------------------------------------------------------------- */

void group_reading_begin(struct group_reading *g, struct group_visitor *v, void (*run)(struct worker_task *task),
                         void (*done)(struct worker_task *task))
{
    g->visitor = v;
    g->task = (struct worker_task){.class = WORKER_BACKGROUND, .run = run, .done = done, .loop = v->loop};
    if (worker_submit(v->workers, &g->task))
        g->upstream = upstream_ref(v->upstream);
    else
        arena_free(&g->arena);
}

void group_reading_end(struct group_reading *g)
{
    arena_free(&g->arena);
    upstream_unref(g->upstream);
    g->upstream = NULL;
}

void group_reading_free(struct group_reading *g)
{
    if (group_reading_idle(g))
        return;
    loop_unpost(g->visitor->loop, &g->task._back); /* it has run, but main's loop did not turn again */
    group_reading_end(g);
}
