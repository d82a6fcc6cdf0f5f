// SPDX-License-Identifier: Apache-2.0
#include "gateway/background/coverage_reader.h"

#include "base/os/loop.h"
#include "base/text/duration.h"
#include "gateway/background/coverage_reading.h"
#include "gateway/upstream/source.h"

struct reader_task {
    struct worker_task task;
    struct coverage_reader *reader;
    struct upstream *upstream;     /* NULL: idle */
    struct coverage_reading_job job;
    struct arena arena;
};

struct coverage_reader {
    struct loop *loop;
    const char *id;
    struct workers *workers;
    struct budget *memory;
    struct upstream *upstream;
    struct loop_timer tick;
    size_t next;                   /* group that is checked first */
    atomic_bool stopping;
    struct reader_task tasks[READINGS_AT_ONCE];
};

static void reader_begin(struct coverage_reader *r);

static void reader_task_end(struct reader_task *t)
{
    arena_free(&t->arena);
    upstream_unref(t->upstream);
    t->upstream = NULL;
}

static void reader_run(struct worker_task *task)
{
    coverage_reading_run(&CONTAINER(task, struct reader_task, task)->job);
}

static void reader_done(struct worker_task *task)
{
    struct reader_task *t = CONTAINER(task, struct reader_task, task);
    reader_task_end(t);
    reader_begin(t->reader);
}

static struct reader_task *reader_idle_task(struct coverage_reader *r)
{
    for (size_t i = 0; i < READINGS_AT_ONCE; i++)
        if (r->tasks[i].upstream == NULL)
            return &r->tasks[i];
    return NULL;
}

/* Includes readings that started under the previous configuration. */
static bool group_is_being_read(const struct coverage_reader *r, const struct group *g)
{
    for (size_t i = 0; i < READINGS_AT_ONCE; i++)
        if (r->tasks[i].upstream && r->tasks[i].job.group->coverage == g->coverage)
            return true;
    return false;
}

/* False: the group needs nothing, or there is no worker. */
static bool reader_begin_group(struct coverage_reader *r, struct reader_task *t, const struct group *g)
{
    arena_init(&t->arena, 0);
    t->job = (struct coverage_reading_job){.group = g, .arena = &t->arena, .canceled = &r->stopping,
                                           .memory = r->memory, .id = r->id};
    coverage_next(g->coverage, &t->arena, clock_wall_ms(), &t->job.work);
    t->task = (struct worker_task){.class = WORKER_BACKGROUND, .run = reader_run, .done = reader_done, .loop = r->loop};
    if (t->job.work.kind == COVERAGE_REST || !worker_submit(r->workers, &t->task)) {
        arena_free(&t->arena);
        return false;
    }
    t->reader = r;
    t->upstream = upstream_ref(r->upstream);
    return true;
}

/* Starts with another group each time. */
static void reader_begin(struct coverage_reader *r)
{
    size_t n = r->upstream && !atomic_load(&r->stopping) ? r->upstream->groups.n : 0;
    struct reader_task *t;
    for (size_t i = 0; i < n && (t = reader_idle_task(r)) != NULL; i++) {
        const struct group *g = &r->upstream->groups.items[(r->next + i) % n];
        if (g->n_servers > 1 && !group_is_being_read(r, g))
            reader_begin_group(r, t, g);
    }
    r->next++;
}

static void reader_on_tick(struct loop_timer *timer)
{
    struct coverage_reader *r = CONTAINER(timer, struct coverage_reader, tick);
    reader_begin(r);
    loop_timer_in(r->loop, &r->tick, READER_TICK_MS);
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
    upstream_unref(r->upstream);
    r->upstream = upstream_ref(u);
    r->workers = workers;
    r->memory = memory;
    if (has_replicas(u))
        loop_timer_in(r->loop, &r->tick, READER_TICK_MS);
    else
        loop_timer_stop(r->loop, &r->tick);
}

void coverage_reader_stop(struct coverage_reader *r)
{
    atomic_store(&r->stopping, true);
    loop_timer_stop(r->loop, &r->tick);
}

struct coverage_reader *coverage_reader_new(struct loop *loop, const char *id)
{
    struct coverage_reader *r = mem_zalloc(sizeof *r);
    r->loop = loop;
    r->id = id;
    r->tick.run = reader_on_tick;
    return r;
}

void coverage_reader_free(struct coverage_reader *r)
{
    coverage_reader_stop(r);
    for (size_t i = 0; i < READINGS_AT_ONCE; i++)
        if (r->tasks[i].upstream) { /* run, but main's loop did not turn again */
            loop_unpost(r->loop, &r->tasks[i].task._back);
            reader_task_end(&r->tasks[i]);
        }
    upstream_unref(r->upstream);
    mem_free(r);
}
