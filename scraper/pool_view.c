// SPDX-License-Identifier: Apache-2.0
/* A change of the cluster's members: who owns which target is computed from the keys of those that were found; only
 * those that this member begins to own are built, in slices. */
#include "scraper/pool_internal.h"

#include "base/text/duration.h"

static void follow_found(struct pool_batch *b, struct pool_part *part, struct pool_found *f)
{
    const struct scrape_job *job = b->pool->conf;
    struct target_environment env = pool_environment(b->sync);
    struct target *t = f->target;
    struct cluster_span span = target_span_of(job, &env, f->key);
    bool owned = span.from < span.until;
    pool_set_due(b->pool, part, f, owned && t == NULL && !f->invalid);
    if (f->invalid && !owned)
        pool_drop_invalid(b->pool, part, f);
    if (t == NULL)
        return;
    if (owned) {
        if (t->uses == 0) {
            t->found_span = span;
            t->found_lead = target_lead_of(job, &env, f->key);
            t->key = f->key;
        }
        pool_batch_keep(b, part, t);
        return;
    }
    f->target = NULL;
    pool_drop(b->pool, part, t->discovered->labels, false, NULL, (size_t)(f - part->found) + 1);
}

static void follow_part(struct pool_batch *b, struct pool_part *part)
{
    pool_batch_release(b, part);
    part->due_from = part->n_found;
    for (size_t i = 0; i < part->n_found; i++)
        if (!part->found[i].never)
            follow_found(b, part, &part->found[i]);
}

void pool_follow_view(struct pool *p, struct pool_sync *s)
{
    struct pool_batch b = {.pool = p, .sync = s};
    mutex_lock(s->mutex);
    for (struct map_entry *e = map_next(&p->parts, NULL); e; e = map_next(&p->parts, e))
        follow_part(&b, e->value.p);
    pool_batch_note_changes(&b);
    mutex_unlock(s->mutex);
    pool_batch_end(&b);
}

/* ---- those that are due ---- */

static void build_due(struct pool_batch *b, struct pool_part *part, struct pool_found *f)
{
    const struct pool_source *from = &part->sources[f->source];
    const struct static_group *groups = from->groups ? from->groups->items : b->pool->conf->static_configs.items;
    const struct static_group *g = &groups[f->group];
    struct target_source source = {.address = g->targets.items[f->at], .labels = g->labels,
                                   .meta = from->meta, .source = from->text, .mechanism = from->mechanism};
    pool_set_due(b->pool, part, f, false);
    pool_undrop(b->pool, part, f);
    pool_batch_make(b, part, &source, f);
}

static void build_due_of(struct pool_batch *b, struct pool_part *part, int64_t until_ns)
{
    for (; part->n_due > 0 && clock_mono_ns() < until_ns; part->due_from++)
        if (part->found[part->due_from].due)
            build_due(b, part, &part->found[part->due_from]);
}

bool pool_build_due(struct pool *p, struct pool_sync *s, int64_t until_ns)
{
    struct pool_batch b = {.pool = p, .sync = s};
    if (p->n_due == 0)
        return true;
    mutex_lock(s->mutex);
    for (struct map_entry *e = map_next(&p->parts, NULL); e && p->n_due > 0; e = map_next(&p->parts, e))
        build_due_of(&b, e->value.p, until_ns);
    pool_batch_note_changes(&b);
    mutex_unlock(s->mutex);
    pool_batch_end(&b);
    return p->n_due == 0;
}
