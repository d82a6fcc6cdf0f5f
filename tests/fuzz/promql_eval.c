// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a query over a few series of every kind: no crash and no leak, whatever the memory is; a result's series
 * have points of the grid in order and distinct labels; and what a range query says of one of its steps is what an
 * instant query says at that time. The first bytes choose the grid and the budgets.
 */
#include "base/text/duration.h"
#include "promql/promql.h"

#include <stdlib.h>
#include <strings.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, SAMPLES = 80, HEADER = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct store { struct source source; struct arena arena; struct series series[8]; size_t n; };

static bool select_all(struct source *s, struct query_ctx *q, const struct select *sel, size_t n, struct series_set *out,
                       struct err *err)
{
    struct store *store = (struct store *)s;
    (void)err;
    for (size_t i = 0; i < n; i++) {
        out[i] = (struct series_set){.series = ARENA_ARRAY(q->arena, struct series, store->n)};
        for (size_t k = 0; k < store->n; k++)
            if (matchers_match(sel[i].matchers, sel[i].n_matchers, store->series[k].labels))
                out[i].series[out[i].n++] = store->series[k];
    }
    return true;
}

static struct series *add(struct store *s, const char *name, const char *label, const char *value)
{
    struct label labels[] = {{STR(METRIC_NAME), str_of(name)}, {str_of(label), str_of(value)}};
    struct series *new = &s->series[s->n++];
    *new = (struct series){.labels = labels_from(&s->arena, labels, LEN(labels))};
    return new;
}

/* Every 20 s, with a reset or a stale marker now and then. */
static void add_floats(struct store *s, struct series *to, unsigned kind)
{
    struct sample *samples = ARENA_ARRAY(&s->arena, struct sample, SAMPLES);
    for (int i = 0; i < SAMPLES; i++) {
        double v = kind == 0 ? i % 31 : kind == 1 ? (i * 7 % 13) - 5.5 : i % 9 == 0 ? NAN : 1e300 * (i - 40);
        samples[i] = (struct sample){i * 20 * SECOND, i % 23 == 22 ? stale_nan() : v};
    }
    to->samples = samples;
    to->n_samples = SAMPLES;
}

static void add_histograms(struct store *s, struct series *to, bool custom)
{
    static const struct span spans[] = {{0, 2}, {1, 1}}, all = {0, 3};
    static const double bounds[] = {0.5, 2};
    struct hist_sample *hists = ARENA_ARRAY(&s->arena, struct hist_sample, SAMPLES);
    for (int i = 0; i < SAMPLES; i++) {
        struct histogram *h = ARENA_NEW(&s->arena, struct histogram);
        double *counts = ARENA_ARRAY(&s->arena, double, 3);
        for (int k = 0; k < 3; k++)
            counts[k] = i % 29 + k;
        *h = (struct histogram){.schema = custom ? HISTOGRAM_CUSTOM : i % 3, .count = 3 * (i % 29) + 3, .sum = i, .positive =
                                {custom ? &all : spans, custom ? 1 : 2, counts, 3}};
        h->custom = custom ? bounds : NULL;
        h->n_custom = custom ? 2 : 0;
        hists[i] = (struct hist_sample){i * 20 * SECOND + 5, h};
    }
    to->hists = hists;
    to->n_hists = SAMPLES;
}

static struct store *store_get(void)
{
    static const struct source_ops ops = {.select = select_all};
    static struct store s;
    if (s.n > 0)
        return &s;
    s.source.ops = &ops;
    arena_init(&s.arena, 0);
    add_floats(&s, add(&s, "m", "a", "1"), 0);
    add_floats(&s, add(&s, "m", "a", "2"), 1);
    add_floats(&s, add(&s, "n", "a", "1"), 2);
    add_floats(&s, add(&s, "b_bucket", "le", "1"), 0);
    add_floats(&s, add(&s, "b_bucket", "le", "+Inf"), 0);
    add_histograms(&s, add(&s, "h", "a", "1"), false);
    add_histograms(&s, add(&s, "h", "a", "2"), true);
    struct series *mixed = add(&s, "x", "a", "1");
    add_floats(&s, mixed, 1);
    add_histograms(&s, mixed, false);
    return &s;
}

/* --- what must hold of every answer ------------------------------------------------------------------------------- */

static void check(bool holds)
{
    if (!holds)
        __builtin_trap();
}

static int by_labels(const void *a, const void *b)
{
    const struct promql_series *const *x = a, *const *y = b;
    return labels_cmp((*x)->labels, (*y)->labels);
}

/* Of each series that has a point at t, a series of that point, in order of the labels. */
static const struct promql_series **at_time(struct arena *a, const struct promql_result *r, int64_t t, size_t *n)
{
    const struct promql_series **out = ARENA_ARRAY(a, const struct promql_series *, r->n + 1);
    *n = 0;
    for (size_t i = 0; i < r->n; i++) {
        for (size_t k = 0; k < r->series[i].n; k++) {
            const struct promql_series *s = &r->series[i];
            if (s->t[k] != t || !promql_has(s, k))
                continue;
            struct promql_series *one = ARENA_NEW(a, struct promql_series);
            *one = (struct promql_series){s->labels, &s->t[k], &s->v[k], s->h ? &s->h[k] : NULL, 1};
            out[(*n)++] = one;
        }
    }
    if (*n > 0)
        qsort(out, *n, sizeof(struct promql_series *), by_labels);
    return out;
}

static void check_result(struct arena *a, const struct promql_result *r, const struct promql_params *p)
{
    const struct promql_series **sorted = ARENA_ARRAY(a, const struct promql_series *, r->n + 1);
    for (size_t i = 0; i < r->n; i++) {
        sorted[i] = &r->series[i];
        check(r->series[i].n > 0);
        for (size_t k = 0; p->range && k < r->series[i].n; k++) {
            int64_t t = r->series[i].t[k];
            check(t >= p->start && t <= p->end && (t - p->start) % p->step == 0);
            check(k == 0 || t > r->series[i].t[k - 1]);
        }
    }
    if (r->n > 0)
        qsort(sorted, r->n, sizeof(struct promql_series *), by_labels);
    for (size_t i = 1; i < r->n; i++)
        check(labels_cmp(sorted[i - 1]->labels, sorted[i]->labels) != 0);
}

/* The values are chosen so that differences of large numbers have no digits to be relied on; a NaN or an infinity may come
 * of them. */
static bool near(double a, double b)
{
    return !isfinite(a) || !isfinite(b) || a == b || fabs(a - b) <= 1e-6 * fmax(fabs(a), fabs(b));
}

static void check_step(struct arena *a, const struct promql_result *range, const struct promql_result *instant, int64_t t)
{
    size_t n, n_instant;
    const struct promql_series **one = at_time(a, range, t, &n), **other = at_time(a, instant, t, &n_instant);
    if (instant->type == PROMQL_SCALAR) {
        check(n == 1 && near(one[0]->v[0], instant->scalar));
        return;
    }
    check(n == n_instant);
    for (size_t i = 0; i < n; i++) {
        const struct histogram *x = promql_hist(one[i], 0), *y = promql_hist(other[i], 0);
        check(labels_cmp(one[i]->labels, other[i]->labels) == 0);
        check((x == NULL) == (y == NULL));
        check(x ? near(x->count, y->count) && near(x->sum, y->sum) : near(one[i]->v[0], other[i]->v[0]));
    }
}

/* By these words a query knows its grid, or chooses among equals; or, with names that go at the end, a series that
 * comes from two sides keeps or loses its name by the side that it came from first. */
static bool knows_its_grid(struct str text)
{
    static const char *const words[] = {"start", "end", "range", "step", "topk", "bottomk", "limitk", "or"};
    for (size_t i = 0; i < LEN(words); i++)
        for (size_t k = 0; k + strlen(words[i]) <= text.n; k++)
            if (strncasecmp(text.p + k, words[i], strlen(words[i])) == 0)
                return true;
    return false;
}

/* --- one input ---------------------------------------------------------------------------------------------------- */

struct input { struct str text; struct promql_params params; size_t fail_after; };

static struct input read_input(const uint8_t *data, size_t size)
{
    static const int64_t steps[] = {MINUTE, 15 * SECOND, 7 * MINUTE, 1}, lookbacks[] = {0, 1, 20 * MINUTE, 30 * SECOND};
    struct input in = {str_n(data + HEADER, size - HEADER), .fail_after = data[2]};
    in.params = (struct promql_params){
        .start = data[0] * 10 * SECOND, .step = steps[data[3] & 3], .lookback = lookbacks[data[3] >> 2 & 3], .range = data[1] & 1,
        .max_samples = 50000, .delayed_name_removal = data[1] & 2, .per_step_stats = data[1] & 4,
    };
    in.params.end = in.params.start + (in.params.range ? (data[1] >> 3) * in.params.step : 0);
    return in;
}

static bool eval(struct arena *a, const struct input *in, const struct promql_params *p, struct promql_result *out)
{
    struct err err = {0};
    struct notes *notes = ARENA_NEW(a, struct notes);
    notes->arena = a;
    struct query_ctx q = {.arena = a, .notes = notes, .deadline_mono = clock_mono_ms() + 2 * SECOND};
    struct expr *e = promql_parse(a, in->text, &(struct promql_syntax){0}, &err);
    check(e || err.kind == ERR_BAD_DATA || err.kind == ERR_LIMIT);
    a->fail_after = in->fail_after; /* 0: never */
    bool ok = e && promql_eval(e, in->text, p, &store_get()->source, &q, out, &err);
    check(ok || err.kind != ERR_INTERNAL);
    a->fail_after = 0;
    promql_free(e);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEADER)
        return 0;
    struct arena a;
    struct promql_result out, at_step;
    struct input in = read_input(data, size);
    arena_init(&a, 8 << 20);
    if (eval(&a, &in, &in.params, &out)) {
        a.max = 0; /* what follows is no query's */
        check_result(&a, &out, &in.params);
        struct promql_params one = in.params;
        one.range = false;
        one.start = one.end = in.params.start + (data[1] >> 4) * in.params.step;
        in.fail_after = 0;
        if (in.params.range && !knows_its_grid(in.text) && eval(&a, &in, &one, &at_step))
            check_step(&a, &out, &at_step, one.start);
    }
    arena_free(&a);
    return 0;
}
