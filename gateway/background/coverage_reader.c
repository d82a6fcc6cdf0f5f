// SPDX-License-Identifier: Apache-2.0
#include "gateway/background/coverage_reader.h"

#include "base/text/duration.h"
#include "gateway/background/coverage_reading.h"
#include "gateway/background/group_visitor.h"
#include "gateway/upstream/source.h"

struct reader_task {
    struct group_reading reading;
    struct coverage_reading_job job;
};

struct coverage_reader {
    struct group_visitor visitor;
    struct reader_task tasks[READINGS_AT_ONCE];
};

static void reader_run(struct worker_task *task)
{
    coverage_reading_run(&CONTAINER(task, struct reader_task, reading.task)->job);
}

static void reader_done(struct worker_task *task)
{
    struct group_reading *reading = CONTAINER(task, struct group_reading, task);
    group_reading_end(reading);
    group_visit_all(reading->visitor);
}

static struct reader_task *reader_idle_task(struct coverage_reader *r)
{
    for (size_t i = 0; i < READINGS_AT_ONCE; i++)
        if (group_reading_idle(&r->tasks[i].reading))
            return &r->tasks[i];
    return NULL;
}

/* Includes readings that started under the previous configuration. */
static bool group_is_being_read(const struct coverage_reader *r, const struct group *g)
{
    for (size_t i = 0; i < READINGS_AT_ONCE; i++)
        if (!group_reading_idle(&r->tasks[i].reading) && r->tasks[i].job.group->coverage == g->coverage)
            return true;
    return false;
}

static void reader_begin(struct group_visitor *v, struct reader_task *t, const struct group *g)
{
    struct arena *arena = &t->reading.arena;
    arena_init(arena, 0);
    t->job = (struct coverage_reading_job){.group = g, .arena = arena, .canceled = &v->stopping,
                                           .memory = v->memory, .id = v->id};
    coverage_next(g->coverage, arena, clock_wall_ms(), &t->job.work);
    if (t->job.work.kind == COVERAGE_REST)
        arena_free(arena);
    else
        group_reading_begin(&t->reading, v, reader_run, reader_done);
}

static void reader_visit(struct group_visitor *v, const struct group *g)
{
    struct coverage_reader *r = CONTAINER(v, struct coverage_reader, visitor);
    struct reader_task *t = reader_idle_task(r);
    if (t && g->n_servers > 1 && !group_is_being_read(r, g))
        reader_begin(v, t, g);
}

static bool has_replicas(const struct upstream *u)
{
    for (size_t g = 0; g < u->groups.n; g++)
        if (u->groups.items[g].n_servers > 1)
            return true;
    return false;
}

void coverage_reader_use(struct coverage_reader *r, struct workers *workers, struct budget *memory, struct upstream *u)
{
    group_visitor_use(&r->visitor, workers, memory, u, has_replicas(u) ? GROUP_VISITOR_TICK_MS : -1);
}

void coverage_reader_stop(struct coverage_reader *r) { group_visitor_stop(&r->visitor); }

struct coverage_reader *coverage_reader_new(struct loop *loop, const char *id)
{
    struct coverage_reader *r = mem_zalloc(sizeof *r);
    group_visitor_init(&r->visitor, loop, id, reader_visit);
    return r;
}

void coverage_reader_free(struct coverage_reader *r)
{
    for (size_t i = 0; i < READINGS_AT_ONCE; i++)
        group_reading_free(&r->tasks[i].reading);
    group_visitor_free(&r->visitor);
    mem_free(r);
}
