// SPDX-License-Identifier: Apache-2.0
/* Server groups and the recent store as a struct source. select: all selectors × groups × replicas are queried
 * concurrently, equal selectors once; then replicas are merged and groups united.
 */
#include "gateway/upstream/source.h"

#include "gateway/upstream/label_queries.h"
#include "gateway/upstream/push.h"
#include "gateway/upstream/selected.h"
#include "gateway/upstream/union.h"
#include "model/labels_sort.h"
#include "model/str_sort.h"

/* --- the recent store --------------------------------------------------------------------------------------------- */

struct recent_link source_use_recent(struct upstream *u)
{
    struct recent_link link = {0};
    if (u->env.recent_get)
        link.source = u->env.recent_get(u->env.recent_arg);
    if (link.source)
        link.from = u->env.recent_from(link.source);
    return link;
}

void source_put_recent(struct upstream *u, struct recent_link link)
{
    if (link.source)
        u->env.recent_put(link.source);
}

/* --- select ------------------------------------------------------------------------------------------------------- */

struct select_call { /* one call of select */
    struct upstream *u;
    struct request_batch batch;
    struct recent_link recent;
    const struct select *sels; size_t n;
    struct group_query *queries;     /* n × groups */
    bool *started;                   /* of each; false: the group cannot match */
};

static bool source_same_matchers(const struct select *a, const struct select *b)
{
    for (size_t i = 0; a->n_matchers == b->n_matchers && i < a->n_matchers; i++) {
        const struct matcher *x = &a->matchers[i], *y = &b->matchers[i];
        if (x->type != y->type || !str_eq(x->name, y->name) || !str_eq(x->value, y->value))
            return false;
    }
    return a->n_matchers == b->n_matchers;
}

static bool same_select(const struct select *a, const struct select *b)
{
    bool same_times = a->t_min == b->t_min && a->t_max == b->t_max && a->start == b->start && a->end == b->end &&
                      a->step == b->step && a->window == b->window;
    return a->kind == b->kind && same_times && a->wants_origin == b->wants_origin && source_same_matchers(a, b);
}

static size_t first_equal(const struct select *sels, size_t i)
{
    size_t k = 0;
    while (!same_select(&sels[k], &sels[i]))
        k++;
    return k;
}

/* Whether another group that may have the same series is read for the selector. */
static bool select_shares(const struct select_call *s, const struct select *sel, const struct group *group)
{
    for (size_t g = 0; g < s->u->groups.n; g++) {
        const struct group *other = &s->u->groups.items[g];
        struct group_window w = {sel->t_min, sel->t_max};
        if (other != group && groups_share_series(group, other) &&
            group_admits(other, batch_reader(&s->batch), sel->matchers, sel->n_matchers, &w))
            return true;
    }
    return false;
}

static void select_start(struct select_call *s)
{
    size_t n_groups = s->u->groups.n;
    for (size_t i = 0; i < s->n; i++)
        for (size_t g = 0; g < n_groups && first_equal(s->sels, i) == i; g++) {
            struct group_query *query = &s->queries[i * n_groups + g];
            const struct group *group = &s->u->groups.items[g];
            *query = (struct group_query){.group = group, .sel = &s->sels[i],
                                           .shares = select_shares(s, &s->sels[i], group)};
            if (group->recent)
                query->recent = s->recent;
            s->started[i * n_groups + g] = group_query_start(query, &s->batch);
        }
}

/* The labels of a group's series, for the union. */
static bool unite_group(struct group_union *all, struct group_query *query, struct request_batch *batch,
                        struct err *err)
{
    struct labels *labels = ARENA_ARRAY(batch->q->arena, struct labels, query->n_series);
    for (size_t i = 0; i < query->n_series; i++)
        labels[i] = group_query_labels(query, i);
    return union_add(all, query->group, labels, query->n_series, err) && batch_check(batch, err);
}

/* Whether the backup of a group that did not respond has all samples of the points, though perhaps not of the lookback
 * of the first. */
static bool source_has_backup(const struct select_call *s, size_t i, const struct group_query *failed)
{
    const struct select *sel = failed->sel;
    for (size_t g = 0; g < s->u->groups.n; g++) {
        const struct group_query *backup = &s->queries[i * s->u->groups.n + g];
        struct str name = failed->group->name, of = s->u->groups.items[g].name;
        if (!s->started[i * s->u->groups.n + g] || !group_request_answered(&backup->request) ||
            !group_replaces(backup->group, failed->group, sel->start > sel->t_min ? sel->start : sel->t_min, sel->t_max))
            continue;
        if (group_replaces(backup->group, failed->group, sel->t_min, sel->t_max))
            notes_info(s->batch.q->notes, "server group \"%.*s\" did not respond; its result is from its backup, \"%.*s\"",
                       STR_ARG(name), STR_ARG(of));
        else
            notes_warn(s->batch.q->notes, "server group \"%.*s\" did not respond; its result has only the samples of its "
                       "backup, \"%.*s\", whose first points lack older samples", STR_ARG(name), STR_ARG(of));
        return true;
    }
    return false;
}

static bool unite(struct select_call *s, size_t i, struct series_set *out, struct err *err)
{
    struct group_union all;
    struct group_query **parts = ARENA_ARRAY(s->batch.q->arena, struct group_query *, s->u->groups.n);
    bool ok = true;
    union_begin(&all, s->batch.q, s->batch.q->arena);
    for (size_t g = 0; ok && g < s->u->groups.n; g++) {
        struct group_query *query = &s->queries[i * s->u->groups.n + g];
        struct err why = {0};
        if (!s->started[i * s->u->groups.n + g])
            continue;
        parts[all.n_groups] = query;
        if (group_query_collect(query, &why))
            ok = unite_group(&all, query, &s->batch, err);
        else if (!batch_check(&s->batch, err))
            ok = false;
        else if (!source_has_backup(s, i, query) && !group_may_fail(query->group, s->batch.q, &why)) {
            *err = why;
            ok = false;
        }
    }
    union_end(&all);
    return ok && union_sort(&all, err) && selected_make(&s->batch, &all, parts, out, err);
}

static bool source_collect(struct select_call *s, struct series_set *out, struct err *err)
{
    for (size_t i = 0; i < s->n; i++) {
        size_t first = first_equal(s->sels, i);
        if (first < i ? !selected_share(&s->batch, &out[first], &out[i], err) : !unite(s, i, &out[i], err))
            return false;
    }
    return true;
}

/* pushed: what is fetched besides; NULL: nothing. */
static enum exec_outcome source_query_groups(struct upstream *u, struct query_ctx *q, const struct source_plan *pushed,
                                             const struct select *sels, size_t n, struct series_set *out,
                                             struct err *err)
{
    struct select_call s = {.u = u, .sels = sels, .n = n};
    struct push_call *push = NULL;
    enum exec_outcome outcome = EXEC_DONE;
    if (n > 0)
        memset(out, 0, n * sizeof *out);
    batch_begin(&s.batch, q, u->env.max_response);
    s.recent = source_use_recent(u);
    s.queries = ARENA_ARRAY(q->arena, struct group_query, n * u->groups.n);
    s.started = ARENA_ARRAY(q->arena, bool, n * u->groups.n);
    select_start(&s);
    if (pushed)
        push = push_start(u, &s.batch, pushed);
    bool ok = batch_wait(&s.batch, err);
    for (size_t i = 0; i < n * u->groups.n; i++)
        if (s.started[i])
            group_query_stop(&s.queries[i]);
    if (push)
        push_stop(push);
    if (ok && push)
        outcome = push_collect(push, err);
    if (!ok || (outcome == EXEC_DONE && !source_collect(&s, out, err)))
        outcome = EXEC_FAILED;
    source_put_recent(u, s.recent);
    batch_end(&s.batch);
    return outcome;
}

static bool source_select(struct source *source, struct query_ctx *q, const struct select *sels, size_t n,
                          struct series_set *out, struct err *err)
{
    return source_query_groups(upstream_of(source), q, NULL, sels, n, out, err) == EXEC_DONE;
}

/* Plans without a budget, so that the arena does not leave by longjmp while other memory is allocated. */
static bool source_plan(struct source *source, struct query_ctx *q, const struct plan_question *question,
                        struct source_plan *out)
{
    struct upstream *u = upstream_of(source);
    struct request_batch none;
    struct recent_link recent = source_use_recent(u);
    batch_begin(&none, q, 0);
    bool some = push_plan(u, q, question, recent.source ? recent.from : INT64_MAX, out);
    batch_end(&none);
    source_put_recent(u, recent);
    return some;
}

static enum exec_outcome source_exec(struct source *source, struct query_ctx *q, struct source_plan *plan,
                                     const struct select *sels, size_t n, struct series_set *out, struct err *err)
{
    return source_query_groups(upstream_of(source), q, plan, sels, n, out, err);
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

static bool source_query_lists(struct upstream *u, struct query_ctx *q, const struct list_question *what,
                               struct label_list *out, struct err *err)
{
    struct list_scope scope = {&u->groups, source_use_recent(u), u->env.max_response};
    bool ok = label_query_run(&scope, q, what, out, err);
    source_put_recent(u, scope.recent);
    return ok;
}

static bool strings(struct upstream *u, struct query_ctx *q, const struct list_question *what, struct str_set *out,
                    struct err *err)
{
    struct label_list all;
    *out = (struct str_set){0};
    if (!source_query_lists(u, q, what, &all, err))
        return false;
    struct query_work work = reading_work(q);
    if (!str_sort(&work, q->arena, all.strings, all.n_strings, err) ||
        !query_charge(&work, all.n_strings, err))
        return false;
    for (size_t i = 0; i < all.n_strings; i++)
        if (out->n == 0 || !str_eq(all.strings[i], all.strings[out->n - 1]))
            all.strings[out->n++] = all.strings[i];
    out->items = all.strings;
    out->truncated = what->limit > 0 && out->n > what->limit;
    return true;
}

static bool label_names(struct source *source, struct query_ctx *q, const struct series_query *sq, struct str_set *out,
                        struct err *err)
{
    struct list_question what = {.kind = LIST_NAMES, .sq = sq, .limit = sq->limit};
    return strings(upstream_of(source), q, &what, out, err);
}

static bool source_label_values(struct source *source, struct query_ctx *q, struct str name,
                                const struct series_query *sq, struct str_set *out, struct err *err)
{
    struct list_question what = {.kind = LIST_VALUES, .name = name, .sq = sq, .limit = sq->limit};
    return strings(upstream_of(source), q, &what, out, err);
}

static bool source_series(struct source *source, struct query_ctx *q, const struct series_query *sq,
                          struct labels_set *out, struct err *err)
{
    struct upstream *u = upstream_of(source);
    struct label_list all;
    *out = (struct labels_set){0};
    if (!source_query_lists(u, q, &(struct list_question){.kind = LIST_SERIES, .sq = sq, .limit = sq->limit}, &all,
                            err))
        return false;
    struct query_work work = reading_work(q);
    if (!labels_sort(&work, q->arena, all.labels, all.n_labels, sizeof *all.labels, 0, err) ||
        !query_charge(&work, all.n_labels, err))
        return false;
    for (size_t i = 0; i < all.n_labels; i++)
        if (out->n == 0 || !labels_equal(all.labels[i], all.labels[out->n - 1]))
            all.labels[out->n++] = all.labels[i];
    out->items = all.labels;
    out->truncated = sq->limit > 0 && out->n > sq->limit;
    return true;
}

static int by_family(const void *a, const void *b)
{
    const struct metadata *x = a, *y = b;
    int order = str_cmp(x->family, y->family);
    order = order ? order : (int)x->type - (int)y->type;
    order = order ? order : str_cmp(x->help, y->help);
    return order ? order : str_cmp(x->unit, y->unit);
}

static bool source_metadata(struct source *source, struct query_ctx *q, struct str metric, size_t limit,
                            struct metadata_set *out, struct err *err)
{
    struct upstream *u = upstream_of(source);
    struct label_list all;
    *out = (struct metadata_set){0};
    if (!source_query_lists(u, q, &(struct list_question){.kind = LIST_METADATA, .name = metric, .limit = limit}, &all,
                            err))
        return false;
    struct query_work work = reading_work(q);
    if (!query_sort(&work, q->arena, all.metadata, all.n_metadata, sizeof *all.metadata, by_family, err))
        return false;
    for (size_t i = 0; i < all.n_metadata; i++)
        if (out->n == 0 || by_family(&all.metadata[i], &all.metadata[out->n - 1]) != 0)
            all.metadata[out->n++] = all.metadata[i];
    out->items = all.metadata;
    return true;
}

static bool source_exemplars(struct source *source, struct query_ctx *q, const struct series_query *sq,
                             struct exemplar_set *out, struct err *err)
{
    struct label_list all;
    *out = (struct exemplar_set){0};
    if (!source_query_lists(upstream_of(source), q, &(struct list_question){.kind = LIST_EXEMPLARS, .sq = sq}, &all,
                            err))
        return false;
    *out = (struct exemplar_set){all.exemplars, all.n_exemplars};
    return exemplars_unite(q, out, err);
}

const struct source_ops upstream_source_ops = {.select = source_select, .label_names = label_names,
                                               .label_values = source_label_values, .series = source_series,
                                               .metadata = source_metadata, .exemplars = source_exemplars,
                                               .plan = source_plan, .exec = source_exec};
