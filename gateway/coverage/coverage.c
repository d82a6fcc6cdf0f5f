// SPDX-License-Identifier: Apache-2.0
/* The registry of groups by their configuration, and the targets of a group. */
#include "gateway/coverage/coverage_internal.h"

enum { EDGE_MS = 2000 /* the reader checks once a second, and a reading takes time */, UNKNOWN_INTERVAL_MS = 60000 };
static const int64_t SHOWN_LATE_MS = 30000; /* VictoriaMetrics' -search.latencyOffset */

struct coverage_registry {
    struct mutex mutex;
    struct map entries; /* struct coverage */
};

struct coverage_registry *coverage_registry_new(void)
{
    struct coverage_registry *r = mem_zalloc(sizeof *r);
    mutex_init(&r->mutex, RANK_LEAF);
    return r;
}

void coverage_registry_free(struct coverage_registry *r)
{
    map_free(&r->entries);
    mutex_free(&r->mutex);
    mem_free(r);
}

/* --- one group ---------------------------------------------------------------------------------------------------- */

static void coverage_key(struct buf *out, const struct coverage_conf *conf)
{
    buf_printf(out, "%zu:%.*s %d", conf->group.n, STR_ARG(conf->group), conf->trust_untargeted);
    buf_add_str(out, (struct str){(const char *)conf->labels.p, conf->labels.n});
    for (size_t i = 0; i < conf->by.n; i++)
        buf_printf(out, " %zu:%.*s", conf->by.items[i].n, STR_ARG(conf->by.items[i]));
    for (size_t i = 0; i < conf->n_replicas; i++)
        buf_printf(out, " %llx", (unsigned long long)conf->replicas[i]);
}

static struct str coverage_text(struct str s) { return (struct str){str_dup(s), s.n}; }

static struct coverage *coverage_new(const struct coverage_conf *conf)
{
    struct coverage *c = mem_zalloc(sizeof *c);
    mutex_init(&c->mutex, RANK_COVERAGE);
    c->group = coverage_text(conf->group);
    c->n = conf->n_replicas;
    c->n_by = conf->by.n;
    c->by = mem_zalloc((c->n_by + 1) * sizeof *c->by);
    for (size_t i = 0; i < c->n_by; i++)
        c->by[i] = coverage_text(conf->by.items[i]);
    c->trust_untargeted = conf->trust_untargeted;
    c->unreached = mem_zalloc((c->n + 1) * sizeof *c->unreached);
    c->shows_late = mem_zalloc((c->n + 1) * sizeof *c->shows_late);
    c->due = mem_zalloc((c->n + 1) * sizeof *c->due);
    c->known = c->settled = COVERAGE_NOTHING;
    c->wanted_from = c->raw_to = INT64_MAX;
    c->suspected = COVERAGE_NOTHING;
    c->oldest = INT64_MIN;
    return c;
}

static void coverage_free(struct coverage *c)
{
    for (struct map_entry *e = map_next(&c->targets, NULL); e; e = map_next(&c->targets, e))
        coverage_free_target(c, e->value.p);
    map_free(&c->targets);
    coverage_names_free(c);
    for (size_t i = 0; i < c->n_by; i++)
        mem_free((char *)c->by[i].p);
    mem_free(c->by);
    mem_free((char *)c->group.p);
    mem_free(c->unreached);
    mem_free(c->shows_late);
    mem_free(c->due);
    buf_free(&c->suspects);
    spans_free(&c->barren);
    mem_free(c->gappy);
    mutex_free(&c->mutex);
    buf_free(&c->key);
    mem_free(c);
}

struct coverage *coverage_get(struct coverage_registry *r, const struct coverage_conf *conf)
{
    struct buf key = {0};
    coverage_key(&key, conf);
    mutex_lock(&r->mutex);
    struct coverage *c = map_get(&r->entries, buf_str(&key));
    if (c) {
        buf_free(&key);
    } else {
        c = coverage_new(conf);
        c->key = key;
        map_set(&r->entries, buf_str(&c->key), c);
    }
    c->users++;
    mutex_unlock(&r->mutex);
    return c;
}

void coverage_put(struct coverage_registry *r, struct coverage *c)
{
    mutex_lock(&r->mutex);
    bool last = --c->users == 0;
    if (last)
        map_remove(&r->entries, buf_str(&c->key));
    mutex_unlock(&r->mutex);
    if (last)
        coverage_free(c);
}

const struct str *coverage_labels(const struct coverage *c, size_t *n)
{
    *n = c->n_by;
    return c->by;
}

/* --- what is known ------------------------------------------------------------------------------------------------ */

int64_t coverage_slack(const struct coverage *c, const struct coverage_target *t, size_t replica)
{
    int64_t interval = t->seen[replica].interval;
    for (size_t i = 0; i < c->n && interval == 0; i++)
        interval = t->seen[i].interval;
    interval = interval ? interval : c->longest ? c->longest : UNKNOWN_INTERVAL_MS;
    int64_t until_read = interval + c->period + c->period / 4 + EDGE_MS;
    return coverage_max(interval + interval / 2, until_read) + (c->shows_late[replica] ? SHOWN_LATE_MS : 0);
}

struct coverage_target *coverage_add_target(struct coverage *c, struct labels labels)
{
    struct coverage_target *t = mem_zalloc(sizeof *t + c->n * sizeof t->seen[0]);
    uint8_t *bytes = mem_alloc(labels.n + 1);
    memcpy(bytes, labels.p ? labels.p : (const uint8_t *)"", labels.n);
    t->labels = (struct labels){bytes, labels.n, labels.count};
    for (size_t r = 0; r < c->n; r++)
        coverage_forget_run(&t->seen[r]);
    map_set(&c->targets, coverage_label_key(t->labels), t);
    c->bytes += sizeof *t + c->n * sizeof t->seen[0] + labels.n;
    return t;
}

void coverage_add_span(struct coverage *c, struct span_list *to, struct coverage_span span)
{
    size_t before = to->cap;
    spans_add(to, span);
    c->bytes += (to->cap - before) * sizeof *to->items;
}

void coverage_cut_gaps(struct coverage_seen *seen, struct coverage_span keep)
{
    for (size_t i = 0; i < LEN(seen->lists); i++) {
        spans_cut_before(&seen->lists[i], keep.from);
        spans_cut_after(&seen->lists[i], keep.to);
    }
}

void coverage_free_target(struct coverage *c, struct coverage_target *t)
{
    c->bytes -= sizeof *t + c->n * sizeof t->seen[0] + t->labels.n;
    for (size_t i = 0; i < c->n; i++) {
        struct coverage_seen *s = &t->seen[i];
        for (size_t k = 0; k < LEN(s->lists); k++) {
            c->bytes -= s->lists[k].cap * sizeof(struct coverage_span);
            spans_free(&s->lists[k]);
        }
    }
    mem_free((uint8_t *)t->labels.p);
    mem_free(t);
}

static void coverage_target_forget(struct coverage *c, struct coverage_target *t, struct coverage_span keep)
{
    for (size_t i = 0; i < c->n; i++) {
        coverage_cut_gaps(&t->seen[i], keep);
        coverage_forget_run(&t->seen[i]);
    }
}

void coverage_forget(struct coverage *c, struct coverage_span keep)
{
    for (struct map_entry *e = map_next(&c->targets, NULL); e; e = map_next(&c->targets, e))
        coverage_target_forget(c, e->value.p, keep);
    spans_cut_before(&c->barren, keep.from);
    spans_cut_after(&c->barren, keep.to);
    c->known = keep;
    c->settled.from = coverage_max(c->settled.from, keep.from);
    c->settled.to = coverage_min(c->settled.to, keep.to);
    c->suspected = COVERAGE_NOTHING;
    c->raw_to = INT64_MAX;
    c->resumed = true;
    c->next_at = 0;
}
