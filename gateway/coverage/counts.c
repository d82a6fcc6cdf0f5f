// SPDX-License-Identifier: Apache-2.0
/* Counts the samples of queried metrics per target on all replicas: samples lost after the scrape leave no gap in `up`.
 *
 * A replica has fewer samples than it should when
 *
 *     samples + 2 * series < samples of a sibling * scrapes / scrapes of the sibling
 *
 * since a window begins and ends at other moments between the scrapes of each, and so does a series. Replicas that are
 * known to have a gap in the window are not compared. The window becomes a gap; if the last count that found one was
 * less than COVERAGE_DISTRUST_MS ago, so does the time since then.
 */
#include "gateway/coverage/coverage_internal.h"

#include <math.h>

enum {
    COUNT_WINDOW_MS = COVERAGE_NAME_MS,
    COUNT_LEAST_MS = 60000,
    COUNT_AGE_MS = 120000, /* samples may arrive late */
};
enum count_part { COUNT_SAMPLES, COUNT_SERIES, COUNT_SCRAPES, COUNT_PARTS };
static const char *const count_parts[] = {"samples", "series", "scrapes"};

struct counted { double parts[COUNT_PARTS]; };             /* on one replica */
struct counted_key {           /* values of the labels coverage_by */
    struct counted *replicas;
    bool suspect;              /* a replica has fewer samples than a sibling's explain */
    struct coverage_target **targets; size_t n, cap;
};

/* The metric that was counted longest ago. */
struct coverage_name *coverage_count_due(struct coverage *c, int64_t now, struct coverage_work *w)
{
    struct coverage_name *oldest = NULL;
    bool unreached = false;
    int64_t to = now - COUNT_AGE_MS, from = coverage_max(to - COUNT_WINDOW_MS, c->known.from);
    for (size_t r = 0; r < c->n; r++)
        unreached = unreached || c->unreached[r];
    if (now < c->next_count_at || unreached || coverage_span_empty(c->known) || to > c->known.to ||
        to - from < COUNT_LEAST_MS)
        return NULL;
    for (struct map_entry *e = map_next(&c->names, NULL); e; e = map_next(&c->names, e)) {
        struct coverage_name *n = e->value.p;
        bool due = n->origin == ORIGIN_TARGETS && now - n->counted_at >= COVERAGE_NAME_MS &&
                   now - n->asked_at < COVERAGE_IDLE_MS;
        if (due && (oldest == NULL || n->counted_at < oldest->counted_at))
            oldest = n;
    }
    if (oldest == NULL)
        return NULL;
    c->next_count_at = now + COVERAGE_COUNT_MS;
    oldest->counted_at = now;
    *w = (struct coverage_work){.kind = COVERAGE_COUNTS, .from = from, .to = to};
    return oldest;
}

static void counts_add_part(struct buf *out, const char *aggregate, const char *by, const char *function,
                            const char *metric, int64_t window, enum count_part part)
{
    buf_printf(out, "%slabel_replace(%s by(%s)(%s(%s[%lldms])),\"__part__\",\"%s\",\"\",\"\")", part ? " or " : "",
               aggregate, by, function, metric, (long long)window, count_parts[part]);
}

void coverage_counts_expr(const struct coverage *c, const struct coverage_work *w, struct buf *out)
{
    struct buf by = {0}, name = {0}, metric = {0};
    for (size_t i = 0; i < c->n_by; i++) {
        buf_add_z(&by, i ? "," : "");
        labels_print_name(&by, c->by[i]);
    }
    labels_print_name(&name, w->name);
    buf_printf(&metric, name.p[0] == '"' ? "{%s}" : "%s", buf_z(&name));
    counts_add_part(out, "sum", buf_z(&by), "count_over_time", buf_z(&metric), w->to - w->from, COUNT_SAMPLES);
    counts_add_part(out, "count", buf_z(&by), "count_over_time", buf_z(&metric), w->to - w->from, COUNT_SERIES);
    counts_add_part(out, "sum", buf_z(&by), "sum_over_time", "up", w->to - w->from, COUNT_SCRAPES);
    buf_free(&by);
    buf_free(&name);
    buf_free(&metric);
}

/* --- responses ---------------------------------------------------------------------------------------------------- */

struct counts {
    struct map by_key;         /* index of keys */
    struct counted_key *keys; size_t n, cap;
    struct buf key;
};

static struct str counts_key(struct counts *x, const struct coverage *c, struct labels labels)
{
    buf_clear(&x->key);
    for (size_t i = 0; i < c->n_by; i++) {
        struct str value = labels_get(labels, c->by[i]);
        buf_printf(&x->key, "%zu:", value.n);
        buf_add_str(&x->key, value);
    }
    return buf_str(&x->key);
}

static void counts_add(struct counts *x, const struct coverage *c, struct arena *a, size_t r, const struct series *s)
{
    struct str part = labels_get(s->labels, STR("__part__"));
    bool added;
    struct map_entry *e = map_add(&x->by_key, arena_str(a, counts_key(x, c, s->labels)), &added);
    if (added) {
        e->value.u = x->n;
        arena_grow(a, &x->keys, &x->cap, x->n + 1, sizeof *x->keys);
        x->keys[x->n++] = (struct counted_key){.replicas = ARENA_ARRAY(a, struct counted, c->n)};
    }
    for (unsigned i = 0; i < COUNT_PARTS; i++)
        if (str_is(part, count_parts[i]) && s->n_samples > 0)
            x->keys[e->value.u].replicas[r].parts[i] = s->samples[0].v;
}

static bool counted_is_short(const struct counted *of, const struct counted *sibling)
{
    double series = fmax(of->parts[COUNT_SERIES], sibling->parts[COUNT_SERIES]);
    double share = of->parts[COUNT_SCRAPES] / sibling->parts[COUNT_SCRAPES];
    return of->parts[COUNT_SCRAPES] > 0 && sibling->parts[COUNT_SCRAPES] > 0 &&
           of->parts[COUNT_SAMPLES] + 2 * series * fmax(share, 1) < sibling->parts[COUNT_SAMPLES] * share;
}

static bool counts_find_suspects(struct counts *x, size_t n_replicas)
{
    bool any = false;
    for (size_t i = 0; i < x->n; i++) {
        struct counted_key *k = &x->keys[i];
        for (size_t r = 0; r < n_replicas && !k->suspect; r++)
            for (size_t s = 0; s < n_replicas && !k->suspect; s++)
                k->suspect = s != r && counted_is_short(&k->replicas[r], &k->replicas[s]);
        any = any || k->suspect;
    }
    return any;
}

static void counts_add_targets(struct counts *x, struct coverage *c, struct arena *a)
{
    for (struct map_entry *e = map_next(&c->targets, NULL); e; e = map_next(&c->targets, e)) {
        struct coverage_target *t = e->value.p;
        const struct map_entry *found = map_find(&x->by_key, counts_key(x, c, t->labels));
        struct counted_key *k = found ? &x->keys[found->value.u] : NULL;
        if (k == NULL || !k->suspect)
            continue;
        arena_grow(a, &k->targets, &k->cap, k->n + 1, sizeof(struct coverage_target *));
        k->targets[k->n++] = t;
    }
}

static bool key_lacks_scrapes(const struct counted_key *k, size_t r, const struct coverage_work *w)
{
    for (size_t i = 0; i < k->n; i++)
        if (coverage_target_lacks_scrapes(k->targets[i], r, w->from + 1, w->to))
            return true;
    return false;
}

static void key_distrust(struct coverage *c, const struct counted_key *k, size_t r, const struct coverage_work *w,
                         int64_t now)
{
    for (size_t i = 0; i < k->n; i++) {
        struct coverage_seen *seen = &k->targets[i]->seen[r];
        int64_t last = seen->distrusted_until - COVERAGE_DISTRUST_MS - COUNT_AGE_MS - COUNT_WINDOW_MS;
        int64_t from = seen->distrusted_until > 0 ? coverage_min(last, w->from) : w->from;
        struct coverage_span span = {coverage_max(from, c->known.from), coverage_min(w->to, c->known.to)};
        seen->distrusted_until = now + COVERAGE_DISTRUST_MS;
        for (size_t l = 0; l < LEN(seen->lists) && span.from <= span.to; l++)
            coverage_add_span(c, &seen->lists[l], span);
    }
}

static bool key_is_short(const struct coverage *c, const struct counted_key *k, size_t r, const struct coverage_work *w)
{
    for (size_t s = 0; s < c->n; s++)
        if (s != r && counted_is_short(&k->replicas[r], &k->replicas[s]) && !key_lacks_scrapes(k, r, w) &&
            !key_lacks_scrapes(k, s, w))
            return true;
    return false;
}

static void counts_apply(struct counts *x, struct coverage *c, struct arena *a, const struct coverage_work *w,
                         int64_t now, unsigned *fewer)
{
    counts_add_targets(x, c, a);
    for (size_t i = 0; i < x->n; i++)
        for (size_t r = 0; r < c->n && x->keys[i].suspect; r++)
            if (key_is_short(c, &x->keys[i], r, w)) {
                key_distrust(c, &x->keys[i], r, w, now);
                fewer[r] += (unsigned)x->keys[i].n;
            }
    coverage_index(c);
}

void coverage_take_counts(struct coverage *c, struct arena *a, const struct coverage_work *w,
                          const struct coverage_reading *readings, int64_t now, unsigned *fewer)
{
    struct counts counts = {0};
    mutex_lock(&c->mutex);
    bool failed = coverage_count_readings(c, readings, COVERAGE_READ) < c->n;
    c->readings++;
    c->readings_failed += failed;
    mutex_unlock(&c->mutex);
    for (size_t r = 0; r < c->n && !failed; r++)
        for (size_t i = 0; i < readings[r].n; i++)
            counts_add(&counts, c, a, r, &readings[r].series[i]);
    if (counts_find_suspects(&counts, c->n)) {
        mutex_lock(&c->mutex);
        counts_apply(&counts, c, a, w, now, fewer);
        mutex_unlock(&c->mutex);
    }
    map_free(&counts.by_key);
    buf_free(&counts.key);
}
