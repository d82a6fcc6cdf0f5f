/* Any bytes as a query over a few series of every kind: no crash and no leak, whatever the memory is; and a result's series
 * have points within the grid. The first bytes choose the grid and the budgets.
 */
#include "base/times.h"
#include "promql/promql.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, SAMPLES = 80, HEADER = 3 };

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

static void check(const struct promql_result *r, const struct promql_params *p)
{
    for (size_t i = 0; p->range && i < r->n; i++)
        for (size_t k = 0; k < r->series[i].n; k++)
            if (r->series[i].points[k].t < p->start || r->series[i].points[k].t > p->end)
                __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEADER)
        return 0;
    struct arena a;
    struct err err = {0};
    struct promql_result out;
    struct str text = str_n(data + HEADER, size - HEADER);
    struct promql_params p = {.start = data[0] * 10 * SECOND, .step = MINUTE, .range = data[1] & 1, .max_samples = 50000,
                              .delayed_name_removal = data[1] & 2, .per_step_stats = data[1] & 4};
    p.end = p.start + (p.range ? (data[1] >> 3) * MINUTE : 0);
    arena_init(&a, 8 << 20);
    struct notes notes = {.arena = &a};
    struct query_ctx q = {.arena = &a, .notes = &notes, .deadline_mono = clock_mono_ms() + 2 * SECOND};
    struct expr *e = promql_parse(&a, text, &(struct promql_syntax){0}, &err);
    a.fail_after = data[2]; /* 0: never */
    if (e && promql_eval(e, text, &p, &store_get()->source, &q, &out, &err))
        check(&out, &p);
    promql_free(e);
    arena_free(&a);
    return 0;
}
