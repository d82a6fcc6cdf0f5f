// SPDX-License-Identifier: Apache-2.0
#include "gateway/background/filter_sync.h"

#include "base/http/via.h"
#include "base/os/loop.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "gateway/upstream/label_queries.h"
#include "gateway/upstream/source.h"
#include "gateway/upstream/stats.h"

struct filter_sync {
    struct loop *loop;
    const char *id;
    struct workers *workers;
    struct budget *memory;
    struct upstream *upstream;
    struct loop_timer tick;
    size_t next;                   /* group that is checked first */
    atomic_bool stopping;
    /* The reading that runs. */
    struct worker_task task;
    struct upstream *reading;      /* NULL: none */
    struct group group;            /* a copy that may not fail silently */
    struct arena arena;
    bool complete;                 /* all servers responded, for all labels */
};

/* --- on a worker -------------------------------------------------------------------------------------------------- */

/* A response with a note may be partial, and a replica that did not respond is noted. */
static bool filter_read_label(struct filter_sync *f, struct query_ctx *q, struct str name)
{
    static const struct series_query everything = {.t_min = INT64_MIN, .t_max = INT64_MAX};
    struct group_list list = {&f->group, 1, 1};
    struct list_scope scope = {&list, {0}, FILTER_MEMORY};
    struct list_question what = {.kind = LIST_VALUES, .name = name, .sq = &everything};
    struct label_list found;
    struct err err;
    f->arena.max = FILTER_MEMORY;
    bool ok = label_query_run(&scope, q, &what, &found, &err);
    f->arena.max = 0;
    bool complete = ok && q->notes->warnings.n + q->notes->infos.n == 0;
    if (!ok && !atomic_load(&f->stopping))
        log_warn("upstream", "cannot read the values of a label for label_filter; retrying, and queries are not filtered by "
                 "unknown values", "err", err.text);
    if (ok)
        group_filter_set(f->group.filter, name, found.strings, found.n_strings, complete);
    return complete;
}

static void filter_run(struct worker_task *task)
{
    struct filter_sync *f = CONTAINER(task, struct filter_sync, task);
    struct worker *worker = worker_self();
    f->complete = true;
    worker->via = via_line(&f->arena, STR(""), f->id);
    for (size_t i = 0; group_filter_dynamic(f->group.filter, i).n > 0 && !atomic_load(&f->stopping); i++) {
        struct notes notes = {.arena = &f->arena};
        struct query_ctx q = {.arena = &f->arena, .notes = &notes, .deadline_mono = clock_mono_ms() + FILTER_MS,
                              .canceled = &f->stopping, .user = worker};
        f->complete = filter_read_label(f, &q, group_filter_dynamic(f->group.filter, i)) && f->complete;
    }
    stats_add(&upstream_stats, FILTER_READINGS, 1);
    stats_add(&upstream_stats, FILTER_FAILED, !f->complete);
    worker_turn_end(worker);
    worker->via = NULL;
}

/* --- on the main thread ------------------------------------------------------------------------------------------- */

static void filter_release(struct filter_sync *f)
{
    arena_free(&f->arena);
    upstream_unref(f->reading);
    f->reading = NULL;
}

static void filter_done(struct worker_task *task)
{
    struct filter_sync *f = CONTAINER(task, struct filter_sync, task);
    group_filter_synced(f->group.filter, clock_mono_ms(), f->complete);
    filter_release(f);
}

static void filter_sync_begin(struct filter_sync *f, const struct group *g)
{
    arena_init(&f->arena, 0);
    f->group = *g;
    f->group.failure = GROUP_REQUIRED;
    f->task = (struct worker_task){.class = WORKER_BACKGROUND, .run = filter_run, .done = filter_done, .loop = f->loop};
    if ((f->memory == NULL || arena_charge(&f->arena, f->memory)) && worker_submit(f->workers, &f->task))
        f->reading = upstream_ref(f->upstream);
    else
        arena_free(&f->arena);
}

static void filter_on_tick(struct loop_timer *timer)
{
    struct filter_sync *f = CONTAINER(timer, struct filter_sync, tick);
    size_t n = f->upstream->groups.n;
    for (size_t i = 0; i < n && f->reading == NULL; i++) {
        const struct group *g = &f->upstream->groups.items[(f->next + i) % n];
        if (group_filter_due(g->filter, clock_mono_ms()))
            filter_sync_begin(f, g);
    }
    f->next++;
    loop_timer_in(f->loop, &f->tick, FILTER_TICK_MS);
}

static bool filter_is_used(const struct upstream *u)
{
    for (size_t g = 0; g < u->groups.n; g++)
        if (u->groups.items[g].filter && group_filter_dynamic(u->groups.items[g].filter, 0).n > 0)
            return true;
    return false;
}

void filter_sync_use(struct filter_sync *f, struct workers *workers, struct budget *memory, struct upstream *u)
{
    upstream_unref(f->upstream);
    f->upstream = upstream_ref(u);
    f->workers = workers;
    f->memory = memory;
    if (filter_is_used(u))
        loop_timer_in(f->loop, &f->tick, 0);
    else
        loop_timer_stop(f->loop, &f->tick);
}

void filter_sync_stop(struct filter_sync *f)
{
    atomic_store(&f->stopping, true);
    loop_timer_stop(f->loop, &f->tick);
}

struct filter_sync *filter_sync_new(struct loop *loop, const char *id)
{
    struct filter_sync *f = mem_zalloc(sizeof *f);
    f->loop = loop;
    f->id = id;
    f->tick.run = filter_on_tick;
    return f;
}

void filter_sync_free(struct filter_sync *f)
{
    filter_sync_stop(f);
    if (f->reading) { /* run, but main's loop did not turn again */
        loop_unpost(f->loop, &f->task._back);
        filter_release(f);
    }
    upstream_unref(f->upstream);
    mem_free(f);
}
