// SPDX-License-Identifier: Apache-2.0
/* The source without server groups: the recent store alone. */
#include "gateway/upstream/source.h"

#include "gateway/upstream/union.h"
#include "model/query_work.h"

/* Series are read later, so the reference lives as long as the query's arena. It is taken last, since the arena may
 * leave this function by longjmp. */
struct held_recent { void (*put)(struct source *s); struct source *source; };
static void put_held(void *arg)
{
    struct held_recent *h = arg;
    if (h->source)
        h->put(h->source);
}

static struct source *hold_recent(struct source *source, struct query_ctx *q, struct err *err)
{
    struct upstream *u = upstream_of(source);
    struct held_recent *h = ARENA_NEW(q->arena, struct held_recent);
    if (h == NULL || !arena_at_end(q->arena, put_held, h)) {
        query_refuse_memory(err);
        return NULL;
    }
    *h = (struct held_recent){u->env.recent_put, source_use_recent(u).source};
    if (h->source == NULL)
        err_set(err, ERR_UNAVAILABLE,
                "no server group and no recent store to read from; add server_groups or `recent: {}`"
                                       " to the configuration");
    return h->source;
}

static bool local_select(struct source *source, struct query_ctx *q, const struct select *sels, size_t n,
                         struct series_set *out, struct err *err)
{
    struct source *recent = hold_recent(source, q, err);
    return recent && recent->ops->select(recent, q, sels, n, out, err);
}

static bool local_label_names(struct source *source, struct query_ctx *q, const struct series_query *sq,
                              struct str_set *out, struct err *err)
{
    struct source *recent = hold_recent(source, q, err);
    return recent && recent->ops->label_names(recent, q, sq, out, err);
}

static bool local_label_values(struct source *source, struct query_ctx *q, struct str name,
                               const struct series_query *sq, struct str_set *out, struct err *err)
{
    struct source *recent = hold_recent(source, q, err);
    return recent && recent->ops->label_values(recent, q, name, sq, out, err);
}

static bool local_series(struct source *source, struct query_ctx *q, const struct series_query *sq,
                         struct labels_set *out, struct err *err)
{
    struct source *recent = hold_recent(source, q, err);
    return recent && recent->ops->series(recent, q, sq, out, err);
}

static bool local_metadata(struct source *source, struct query_ctx *q, struct str metric, size_t limit,
                           struct metadata_set *out, struct err *err)
{
    struct source *recent = hold_recent(source, q, err);
    return recent && recent->ops->metadata(recent, q, metric, limit, out, err);
}

/* A series may be there once for each lane. */
static bool local_exemplars(struct source *source, struct query_ctx *q, const struct series_query *sq,
                            struct exemplar_set *out, struct err *err)
{
    struct source *recent = hold_recent(source, q, err);
    *out = (struct exemplar_set){0};
    return recent && recent->ops->exemplars(recent, q, sq, out, err) && exemplars_unite(q, out, err);
}

const struct source_ops upstream_local_ops = {.select = local_select, .label_names = local_label_names,
                                              .label_values = local_label_values, .series = local_series,
                                              .metadata = local_metadata, .exemplars = local_exemplars};
