// SPDX-License-Identifier: Apache-2.0
#include "gateway/background/filter_sync.h"

#include "base/http/via.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "gateway/background/group_visitor.h"
#include "gateway/upstream/label_queries.h"
#include "gateway/upstream/source.h"
#include "gateway/upstream/stats.h"

struct filter_sync {
    struct group_visitor visitor;
    struct group_reading reading;
    struct group group;            /* that is read: a copy that may not fail silently */
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
    f->reading.arena.max = FILTER_MEMORY;
    bool ok = label_query_run(&scope, q, &what, &found, &err);
    f->reading.arena.max = 0;
    bool complete = ok && q->notes->warnings.n + q->notes->infos.n == 0;
    if (!ok && !atomic_load(&f->visitor.stopping))
        log_warn("upstream", "cannot read the values of a label for label_filter; retrying, and queries are not "
                 "filtered by unknown values", "err", err.text);
    if (ok)
        group_filter_set(f->group.filter, name, found.strings, found.n_strings, complete);
    return complete;
}

static void filter_run(struct worker_task *task)
{
    struct filter_sync *f = CONTAINER(task, struct filter_sync, reading.task);
    struct worker *worker = worker_self();
    struct arena *arena = &f->reading.arena;
    f->complete = true;
    worker->via = via_line(arena, STR(""), f->visitor.id);
    for (size_t i = 0; group_filter_dynamic(f->group.filter, i).n > 0 && !atomic_load(&f->visitor.stopping); i++) {
        struct notes notes = {.arena = arena};
        struct query_ctx q = {.arena = arena, .notes = &notes, .deadline_mono = clock_mono_ms() + FILTER_MS,
                              .canceled = &f->visitor.stopping, .user = worker};
        f->complete = filter_read_label(f, &q, group_filter_dynamic(f->group.filter, i)) && f->complete;
    }
    stats_add(&upstream_stats, FILTER_READINGS, 1);
    stats_add(&upstream_stats, FILTER_FAILED, !f->complete);
    worker_turn_end(worker);
    worker->via = NULL;
}

/* --- on the main thread ------------------------------------------------------------------------------------------- */

static void filter_done(struct worker_task *task)
{
    struct filter_sync *f = CONTAINER(task, struct filter_sync, reading.task);
    group_filter_synced(f->group.filter, clock_mono_ms(), f->complete);
    group_reading_end(&f->reading);
}

static void filter_visit(struct group_visitor *v, const struct group *g)
{
    struct filter_sync *f = CONTAINER(v, struct filter_sync, visitor);
    if (g->n_servers == 0 || !group_reading_idle(&f->reading) || !group_filter_due(g->filter, clock_mono_ms()))
        return;
    arena_init(&f->reading.arena, 0);
    f->group = *g;
    f->group.failure = GROUP_REQUIRED;
    if (v->memory && !arena_charge(&f->reading.arena, v->memory))
        arena_free(&f->reading.arena);
    else
        group_reading_begin(&f->reading, v, filter_run, filter_done);
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
    group_visitor_use(&f->visitor, workers, memory, u, filter_is_used(u) ? 0 : -1);
}

void filter_sync_stop(struct filter_sync *f) { group_visitor_stop(&f->visitor); }

struct filter_sync *filter_sync_new(struct loop *loop, const char *id)
{
    struct filter_sync *f = mem_zalloc(sizeof *f);
    group_visitor_init(&f->visitor, loop, id, filter_visit);
    return f;
}

void filter_sync_free(struct filter_sync *f)
{
    group_reading_free(&f->reading);
    group_visitor_free(&f->visitor);
    mem_free(f);
}
