// SPDX-License-Identifier: Apache-2.0
/* load_with_nhcb: what a scraper makes of classic histograms when it stores them as native ones with custom buckets. */
#include "corpus.h"

#include "base/text/num.h"
#include "model/histogram/histogram_math.h"

#include <stdlib.h>

struct stripe { double le, count; };
struct moment { int64_t i; struct stripe *parts; size_t n, _cap; double count, sum; bool has_count; };
struct classic { struct labels labels; struct moment *moments; size_t n, _cap; };
struct classics { struct arena *a; struct classic *items; size_t n, _cap; };

static struct moment *moment_at(struct classics *c, struct labels l, int64_t i)
{
    size_t k = 0, m = 0;
    while (k < c->n && !labels_equal(c->items[k].labels, l))
        k++;
    if (k == c->n) {
        arena_grow(c->a, &c->items, &c->_cap, c->n + 1, sizeof *c->items);
        c->items[c->n++] = (struct classic){.labels = l};
    }
    struct classic *x = &c->items[k];
    while (m < x->n && x->moments[m].i != i)
        m++;
    if (m == x->n) {
        arena_grow(c->a, &x->moments, &x->_cap, x->n + 1, sizeof *x->moments);
        x->moments[x->n++] = (struct moment){.i = i};
    }
    return &x->moments[m];
}

static void add_part(struct classics *c, struct moment *m, double le, double count)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->parts[i].le == le)
            return;
    arena_grow(c->a, &m->parts, &m->_cap, m->n + 1, sizeof *m->parts);
    m->parts[m->n++] = (struct stripe){le, count};
}

enum suffix { NO_SUFFIX, BUCKET, SUM, COUNT };
static enum suffix suffix_of(struct str name, struct str *base)
{
    static const struct { enum suffix suffix; struct str text; } known[] = {
        {BUCKET, {"_bucket", 7}}, {SUM, {"_sum", 4}}, {COUNT, {"_count", 6}}};
    for (size_t i = 0; i < LEN(known); i++) {
        if (!str_ends(name, known[i].text))
            continue;
        *base = str_first(name, name.n - known[i].text.n);
        return known[i].suffix;
    }
    return NO_SUFFIX;
}

static void collect(struct classics *c, const struct corpus_series *s)
{
    struct str base;
    double le = 0;
    enum suffix suffix = suffix_of(labels_name(s->labels), &base);
    if (suffix == NO_SUFFIX || (suffix == BUCKET && (!num_parse(labels_get(s->labels, STR("le")), &le) || isnan(le))))
        return;
    struct labels l = labels_with(c->a, labels_with(c->a, s->labels, STR(METRIC_NAME), base), STR("le"), STR(""));
    for (size_t i = 0; i < s->n; i++) {
        if (s->values[i].omitted || s->values[i].h)
            continue;
        struct moment *m = moment_at(c, l, (int64_t)i);
        if (suffix == BUCKET)
            add_part(c, m, le, s->values[i].v);
        else if (suffix == SUM)
            m->sum = s->values[i].v;
        else
            m->count = s->values[i].v;
        m->has_count = m->has_count || suffix == COUNT;
    }
}

static int by_bound(const void *a, const void *b)
{
    double x = ((const struct stripe *)a)->le, y = ((const struct stripe *)b)->le;
    return (x > y) - (x < y);
}

static const struct histogram *convert(struct classics *c, struct moment *m)
{
    if (m->n > 0)
        qsort(m->parts, m->n, sizeof *m->parts, by_bound);
    if (!m->has_count && m->n > 0)
        m->count = m->parts[m->n - 1].count;
    if (m->n == 0 || !isinf(m->parts[m->n - 1].le))
        add_part(c, m, INFINITY, m->count);
    double *counts = ARENA_ARRAY(c->a, double, m->n), *bounds = ARENA_ARRAY(c->a, double, m->n);
    for (size_t i = 0; i < m->n; i++) {
        counts[i] = m->parts[i].count - (i ? m->parts[i - 1].count : 0);
        bounds[i] = m->parts[i].le;
    }
    struct span *span = ARENA_NEW(c->a, struct span);
    *span = (struct span){0, (uint32_t)m->n};
    struct histogram h = {.schema = HISTOGRAM_CUSTOM, .count = m->count, .sum = m->sum, .custom = bounds,
                          .n_custom = (uint32_t)m->n - 1,
                          .positive = {span, 1, counts, (uint32_t)m->n}};
    return histogram_compact(c->a, &h);
}

bool corpus_store_add_custom(struct corpus_store *s, const struct corpus_series *series, size_t n, int64_t step,
                             struct err *err)
{
    struct classics c = {.a = &s->arena};
    for (size_t i = 0; i < n; i++)
        collect(&c, &series[i]);
    for (size_t i = 0; i < c.n; i++) {
        struct classic *x = &c.items[i];
        for (size_t m = 0; m < x->n; m++) {
            const struct histogram *h = convert(&c, &x->moments[m]);
            if (h == NULL)
                return err_set(err, ERR_BAD_DATA, "a classic histogram that is none");
            struct corpus_value v = {.h = h};
            corpus_store_add(s, &(struct corpus_series){x->labels, &v, 1, 0}, step, x->moments[m].i * step);
        }
    }
    return true;
}
