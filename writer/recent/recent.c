// SPDX-License-Identifier: Apache-2.0
/* The recent store: its stripes, reference count, complete window and counters, and its source interface. */
#include "writer/recent/recent.h"

#include "writer/recent/iterate.h"

static const struct source_ops ops = {
    .select = recent_select,
    .label_names = recent_label_names,
    .label_values = recent_label_values,
    .series = recent_series,
    .metadata = recent_metadata,
    .exemplars = recent_exemplars,
};

void recent_resize(struct recent *r, const struct recent_conf *c)
{
    atomic_store(&r->budget, (size_t)c->budget);
    atomic_store(&r->retention, c->retention);
}

struct recent *recent_new(const struct recent_conf *c, unsigned n_lanes, int64_t now)
{
    struct recent *r = mem_zalloc(sizeof *r);
    refs_init(&r->refs);
    r->source.ops = &ops;
    recent_resize(r, c);
    atomic_init(&r->from, c->retention ? now : INT64_MIN);
    r->n_stripes = n_lanes;
    r->stripes = mem_zalloc(n_lanes * sizeof *r->stripes);
    for (unsigned i = 0; i < n_lanes; i++)
        stripe_init(&r->stripes[i], r);
    return r;
}

struct recent *recent_ref(struct recent *r)
{
    refs_take(&r->refs);
    return r;
}

void recent_unref(struct recent *r)
{
    if (!refs_drop(&r->refs))
        return;
    for (unsigned i = 0; i < r->n_stripes; i++)
        stripe_free(&r->stripes[i]);
    mem_free(r->stripes);
    mem_free(r);
}

void recent_take(struct recent *r, unsigned lane, struct str series, int64_t now)
{
    stripe_give(&r->stripes[lane], series, now);
}

struct source *recent_source(struct recent *r) { return &r->source; }
struct recent *recent_of(struct source *s) { return recent_from_source(s); }
int64_t recent_from(const struct recent *r) { return atomic_load(&r->from); }

void recent_set_from(struct recent *r, int64_t t)
{
    if (r->retention)
        atomic_store(&r->from, t);
}

void recent_register_stats(void)
{
    stats_register(&recent_intake_stats);
    stats_register_histogram(&recent_lock_waits);
}

static uint64_t recent_count_of(const atomic_ullong *c) { return atomic_load_explicit(c, memory_order_relaxed); }

void recent_stats(struct recent *r, struct recent_stats *out)
{
    *out = (struct recent_stats){0};
    for (unsigned i = 0; i < r->n_stripes; i++) {
        const struct stripe_counts *c = &r->stripes[i].counts;
        uint64_t index_bytes = recent_count_of(&c->index_bytes), bytes = recent_count_of(&c->bytes);
        out->series += recent_count_of(&c->series);
        out->index_bytes += index_bytes;
        out->chunk_bytes += bytes > index_bytes ? bytes - index_bytes : 0;
        out->samples += recent_count_of(&c->samples);
        out->evicted_samples += recent_count_of(&c->evicted_samples);
        out->evicted_series += recent_count_of(&c->evicted_series);
        out->rejected_samples += recent_count_of(&c->rejected);
    }
}
