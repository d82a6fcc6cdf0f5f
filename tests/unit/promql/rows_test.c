// SPDX-License-Identifier: Apache-2.0
/* A row is the same however it is made: for an aggregation one at a time in the same column, or all before it; after
 * other series, whose windows and spreads it may share, or alone; over a grid at once, or a step at a time. Series of
 * random data are asked each way.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "corpus.h"
#include "../model/rng.h"

#include <math.h>
#include <stdio.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, SERIES = 14, SAMPLES = 150, STEPS = 23, TEXT = 256 };

struct fixture { struct corpus_store store; uint64_t rng; };

/* --- series ------------------------------------------------------------------------------------------------------- */

static void add(struct corpus_store *s, struct labels l, int64_t t, double v, const struct histogram *h)
{
    struct corpus_value one = {.v = v, .h = h};
    corpus_store_add(s, &(struct corpus_series){.labels = l, .values = &one, .n = 1}, 1, t);
}

static const struct histogram *random_histogram(struct fixture *f, unsigned i)
{
    static const struct span span = {0, 3};
    struct histogram *h = ARENA_NEW(&f->store.arena, struct histogram);
    double *counts = ARENA_ARRAY(&f->store.arena, double, 3);
    for (unsigned k = 0; k < 3; k++)
        counts[k] = (double)(i % 40 + rng_below(&f->rng, 3));
    *h = (struct histogram){.schema = (int32_t)rng_below(&f->rng, 2), .sum = i,
                            .count = counts[0] + counts[1] + counts[2], .positive = {&span, 1, counts, 3}};
    return h;
}

static double random_value(struct fixture *f, double before)
{
    switch (rng_below(&f->rng, 60)) {
    case 0: return stale_nan();
    case 1: return NAN;
    case 2: return 0;
    case 3: return rng_below(&f->rng, 8) ? -before : INFINITY;
    case 4: return before * 1e12;
    default: return isfinite(before) && fabs(before) < 1e280 ? before + (double)rng_below(&f->rng, 100) / 7 : 1;
    }
}

/* Every 20 s; in every third series at other times; every fifth has histograms, too. */
static void add_series(struct fixture *f, unsigned id)
{
    char text[16], group[2] = {(char)('a' + id % 3), 0};
    snprintf(text, sizeof text, "%u", id);
    struct label labels[] = {{STR(METRIC_NAME), id % 2 ? STR("x_total") : STR("y_total")}, {STR("g"), str_of(group)},
                             {STR("id"), str_of(text)}};
    struct labels l = labels_from(&f->store.arena, labels, LEN(labels));
    double v = (double)rng_below(&f->rng, 1000);
    int64_t from = (int64_t)rng_below(&f->rng, 20), gap = (int64_t)rng_below(&f->rng, SAMPLES);
    for (unsigned i = 0; i < SAMPLES; i++) {
        int64_t t = i * 20 * SECOND + (id % 3 == 2 ? (int64_t)rng_below(&f->rng, 20 * SECOND) : 0);
        if ((id % 4 == 3 && i < from) || (id % 7 == 6 && i > gap && i < gap + 25))
            continue;
        double next = random_value(f, v);
        v = isfinite(next) ? next : v;
        bool hist = id % 5 == 4 && (id % 2 || i / 40 % 2);
        add(&f->store, l, t, next, hist ? random_histogram(f, i) : NULL);
    }
}

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof *f);
    f->rng = 7;
    corpus_store_init(&f->store);
    for (unsigned id = 0; id < SERIES; id++)
        add_series(f, id);
    corpus_store_seal(&f->store);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    corpus_store_free(&f->store);
    mem_free(f);
    return 0;
}

/* --- queries ------------------------------------------------------------------------------------------------------ */

/* # is the selector, @ what may follow it in a window. */
static const char *const CALLS[] = {
    "rate(#[3m]@)", "increase(#[100s]@)", "delta(#[3m]@)", "irate(#[3m]@)", "idelta(#[3m]@)", "changes(#[3m]@)",
    "resets(#[3m]@)", "deriv(#[3m]@)", "predict_linear(#[3m]@, 100)", "double_exponential_smoothing(#[3m]@, 0.3, 0.4)",
    "sum_over_time(#[9m]@)", "sum_over_time(#[1m]@)", "avg_over_time(#[9m]@)", "avg_over_time(#[1m]@)",
    "count_over_time(#[3m]@)", "present_over_time(#[3m]@)", "first_over_time(#[3m]@)", "last_over_time(#[3m]@)",
    "min_over_time(#[3m]@)", "max_over_time(#[3m]@)", "stddev_over_time(#[3m]@)", "stdvar_over_time(#[3m]@)",
    "ts_of_min_over_time(#[3m]@)", "ts_of_last_over_time(#[3m]@)", "quantile_over_time(0.3, #[3m]@)",
    "mad_over_time(#[3m]@)", "#@", "timestamp(#@)", "rate(#[5m:30s]@)", "sum_over_time(#[9m:20s]@)",
    "max_over_time(rate(#[1m]@)[5m:30s])", "rate(#[3m] anchored@)", "delta(#[100s] anchored@)",
    "changes(#[3m] anchored@)", "increase(#[3m] smoothed@)"};
static const char *const MODIFIERS[] = {"", " offset 47s", " offset -2m", " @ 900"};

static void write_query(char *out, const char *call, const char *selector, const char *modifier)
{
    size_t n = 0;
    for (const char *p = call; *p && n < TEXT / 2; p++) {
        const char *part = *p == '#' ? selector : *p == '@' ? modifier : NULL;
        n += (size_t)(part ? snprintf(out + n, TEXT - n, "%s", part) : snprintf(out + n, TEXT - n, "%c", *p));
    }
}

struct response { struct arena arena; struct notes notes; struct promql_result result; };

static void ask(struct fixture *f, const char *text, struct promql_params p, struct response *out)
{
    struct err err = {0};
    *out = (struct response){0};
    arena_init(&out->arena, 0);
    out->notes.arena = &out->arena;
    struct query_ctx q = {.arena = &out->arena, .notes = &out->notes};
    struct expr *e = promql_parse(&out->arena, str_of(text), NULL, &err);
    if (e == NULL || !promql_eval(e, str_of(text), &p, &f->store.source, &q, &out->result, &err))
        fail_msg("%s: %s", text, err.text);
    promql_free(e);
}

static struct promql_params over_grid(void)
{
    return (struct promql_params){.start = 3 * MINUTE, .end = 3 * MINUTE + (STEPS - 1) * 110 * (int64_t)SECOND,
                                  .step = 110 * SECOND, .range = true};
}

static struct promql_params at_step(uint32_t i)
{
    struct promql_params p = over_grid();
    p.start = p.end = p.start + i * p.step;
    p.step = 0;
    p.range = false;
    return p;
}

/* --- comparing ---------------------------------------------------------------------------------------------------- */

static bool near(double a, double b)
{
    return (isnan(a) && isnan(b)) || a == b || fabs(a - b) <= 1e-12 * fmax(fabs(a), fabs(b));
}

static bool same_point(const struct promql_series *a, size_t i, const struct promql_series *b, size_t k)
{
    const struct histogram *x = promql_hist(a, i), *y = promql_hist(b, k);
    if (promql_has(a, i) != promql_has(b, k) || (x == NULL) != (y == NULL))
        return false;
    return x ? near(x->count, y->count) && near(x->sum, y->sum) : near(a->v[i], b->v[k]);
}

static const struct promql_series *with_label(const struct promql_result *r, struct str name, struct str value)
{
    for (size_t i = 0; i < r->n; i++)
        if (str_eq(labels_get(r->series[i].labels, name), value))
            return &r->series[i];
    return NULL;
}

/* Whatever came before: each series alone, each step alone. */
static void alone(void **state)
{
    struct fixture *f = *state;
    char text[TEXT], selector[32], id[8];
    for (size_t c = 0; c < LEN(CALLS) * LEN(MODIFIERS); c++) {
        struct response all, one;
        const char *call = CALLS[c / LEN(MODIFIERS)], *modifier = MODIFIERS[c % LEN(MODIFIERS)];
        write_query(text, call, "{id!=\"\"}", modifier);
        ask(f, text, over_grid(), &all);
        for (unsigned s = 0; s < SERIES; s++) {
            snprintf(id, sizeof id, "%u", s);
            snprintf(selector, sizeof selector, "{id=\"%u\"}", s);
            write_query(text, call, selector, modifier);
            const struct promql_series *row = with_label(&all.result, STR("id"), str_of(id));
            for (uint32_t i = 0; i < STEPS; i++) {
                ask(f, text, at_step(i), &one);
                bool has = row && promql_has(row, i);
                if (one.result.n != has || (has && !same_point(row, i, &one.result.series[0], 0)))
                    fail_msg("%s at step %u: %.17g and %.17g", text, i, has ? row->v[i] : -1,
                             one.result.n ? one.result.series[0].v[0] : -1);
                arena_free(&one.arena);
            }
        }
        arena_free(&all.arena);
    }
}

static void compare(const char *text, const struct response *a, const struct response *b)
{
    const struct promql_result *x = &a->result, *y = &b->result;
    if (x->n != y->n || x->stats.samples != y->stats.samples || x->stats.n_steps != y->stats.n_steps)
        fail_msg("%s: %zu and %zu series, %llu and %llu samples", text, x->n, y->n,
                 (unsigned long long)x->stats.samples, (unsigned long long)y->stats.samples);
    for (size_t i = 0; i < x->stats.n_steps; i++)
        assert_int_equal(x->stats.per_step[i], y->stats.per_step[i]);
    for (size_t i = 0; i < x->n; i++) {
        if (!labels_equal(x->series[i].labels, y->series[i].labels) || x->series[i].n != y->series[i].n)
            fail_msg("%s: series %zu", text, i);
        for (size_t k = 0; k < x->series[i].n; k++)
            if (!same_point(&x->series[i], k, &y->series[i], k))
                fail_msg("%s: series %zu, step %zu: %.17g and %.17g", text, i, k, x->series[i].v[k], y->series[i].v[k]);
    }
    if (a->notes.warnings.n != b->notes.warnings.n || a->notes.infos.n != b->notes.infos.n)
        fail_msg("%s: %zu and %zu warnings, %zu and %zu infos", text, a->notes.warnings.n, b->notes.warnings.n,
                 a->notes.infos.n, b->notes.infos.n);
}

/* What is joined with nothing is there before it is aggregated. */
static void at_once(void **state)
{
    static const char *const operators[] = {"sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"};
    struct fixture *f = *state;
    char call[TEXT], lazy[2 * TEXT], before[2 * TEXT];
    for (size_t c = 0; c < LEN(CALLS) * LEN(MODIFIERS) * LEN(operators) * 4; c++) {
        const char *op = operators[c / 4 % LEN(operators)];
        size_t k = c / 4 / LEN(operators);
        struct promql_params p = c & 1 ? over_grid() : at_step((uint32_t)c % STEPS);
        p.delayed_name_removal = c & 2;
        p.per_step_stats = c % 3 == 0;
        struct response a, b;
        write_query(call, CALLS[k / LEN(MODIFIERS)], "{id!=\"\"}", MODIFIERS[k % LEN(MODIFIERS)]);
        snprintf(lazy, sizeof lazy, "%s by (g) (%s)", op, call);
        snprintf(before, sizeof before, "%s by (g) (%s or nothing)", op, call);
        ask(f, lazy, p, &a);
        ask(f, before, p, &b);
        compare(lazy, &a, &b);
        arena_free(&a.arena);
        arena_free(&b.arena);
    }
}

/* The cells of three groups over one step fit into the cache, and rows are added in their order; those over 2,500 steps
 * do not, and groups are processed one after the other. */
static void groups_together(void **state)
{
    static const char *const operators[] = {"sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"};
    enum { FINE_STEPS = 2500, CHECKED_EVERY = 97 };
    struct fixture *f = *state;
    char call[TEXT], text[2 * TEXT];
    struct promql_params fine = over_grid(), once = at_step(0);
    fine.step = SECOND;
    fine.end = fine.start + (FINE_STEPS - 1) * SECOND;
    for (size_t c = 0; c < LEN(CALLS); c++) {
        struct response all, one;
        write_query(call, CALLS[c], "{id!=\"\"}", "");
        snprintf(text, sizeof text, "%s by (g) (%s)", operators[c % LEN(operators)], call);
        ask(f, text, fine, &all);
        for (uint32_t i = 0; i < FINE_STEPS; i += CHECKED_EVERY) {
            once.start = once.end = fine.start + i * SECOND;
            ask(f, text, once, &one);
            for (const char *g = "abc"; *g; g++) {
                const struct promql_series *x = with_label(&all.result, STR("g"), str_n(g, 1)),
                                           *y = with_label(&one.result, STR("g"), str_n(g, 1));
                bool has = x && promql_has(x, i);
                if (has != (y != NULL) || (has && !same_point(x, i, y, 0)))
                    fail_msg("%s of group %c at step %u: %.17g and %.17g", text, *g, i, has ? x->v[i] : -1,
                             y ? y->v[0] : -1);
            }
            arena_free(&one.arena);
        }
        arena_free(&all.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone),
        cmocka_unit_test(at_once),
        cmocka_unit_test(groups_together),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
