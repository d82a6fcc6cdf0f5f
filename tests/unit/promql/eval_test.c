// SPDX-License-Identifier: Apache-2.0
/* What a query may cost and how it ends: limits, deadlines, cancellation, and its statistics. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "corpus.h"

#include "promql/ast/tree.h"

#include <math.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND };

struct fixture {
    struct corpus_store store;
    struct arena arena;
    struct notes notes;
    struct query_ctx q;
    struct promql_params params;
    struct err err;
};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof *f);
    static const char *const lines[] = {
        "m{a=\"1\"} 0+1x60", "m{a=\"2\"} 0+2x60", "m{a=\"3\"} 5x60",
        "h{a=\"1\"} {{schema:0 count:3 sum:5 buckets:[1 2]}}x60",
        "h{a=\"2\"} {{schema:1 count:3 sum:5 buckets:[1 2]}}x60",
        "n{a=\"1\"} 7x60", "f{a=\"1\"} 60-1x60", "b_bucket{le=\"1\"} 0+1x60", "b_bucket{le=\"+Inf\"} 0+2x60"};
    corpus_store_init(&f->store);
    arena_init(&f->arena, 0);
    for (size_t i = 0; i < LEN(lines); i++) {
        struct corpus_series s;
        assert_true(corpus_series_read(&f->store.arena, str_of(lines[i]), &s, &f->err));
        corpus_store_add(&f->store, &s, 10 * SECOND, 0);
    }
    corpus_store_seal(&f->store);
    f->params = (struct promql_params){.start = 0, .end = 10 * MINUTE, .step = MINUTE, .range = true};
    f->q = (struct query_ctx){.arena = &f->arena, .notes = &f->notes};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    corpus_store_free(&f->store);
    arena_free(&f->arena);
    mem_free(f);
    return 0;
}

static bool eval(struct fixture *f, const char *text, struct promql_result *out)
{
    struct promql_syntax syntax = {0};
    f->notes = (struct notes){.arena = &f->arena};
    f->err = (struct err){0};
    struct expr *e = promql_parse(&f->arena, str_of(text), &syntax, &f->err);
    if (e == NULL)
        return false;
    bool ok = promql_eval(e, str_of(text), &f->params, &f->store.source, &f->q, out, &f->err);
    promql_free(e);
    return ok;
}

/* Of the first series the i-th point; NaN: it has fewer. */
static double point(const struct promql_result *r, size_t i)
{
    const struct promql_series *s = &r->series[0];
    for (size_t k = 0; k < s->n; k++)
        if (promql_has(s, k) && i-- == 0)
            return s->v[k];
    return NAN;
}

static void samples_are_limited(void **state)
{
    struct fixture *f = *state;
    struct promql_result out;
    f->params.max_samples = 32;
    assert_false(eval(f, "m", &out));
    assert_int_equal(f->err.kind, ERR_LIMIT);
    assert_string_equal(f->err.text, "query processing would load too many samples into memory in query execution");
    f->params.max_samples = 33;
    assert_true(eval(f, "m", &out));
    f->params.max_samples = 20;
    assert_false(eval(f, "rate(m[10m])", &out)); /* one series' window is more */
}

/* sort() keeps the order of equal values as an index gave it; of series from several servers it is that of labels. */
static void equal_values_of_several_servers_are_in_order_of_labels(void **state)
{
    struct fixture *f = *state;
    struct promql_result out;
    static const char *const queries[] = {"sort(m{a=\"3\"} * 0 or m * 0)", "-sort_desc(m{a=\"3\"} * 0 or m * 0)"};
    f->params = (struct promql_params){.start = 5 * MINUTE, .end = 5 * MINUTE};
    for (size_t i = 0; i < 2 * LEN(queries); i++) {
        f->store.source.united = i % 2;
        assert_true(eval(f, queries[i / 2], &out));
        assert_int_equal(out.n, 3);
        for (size_t k = 0; k < 3; k++) {
            static const char *const wanted[2][3] = {{"3", "1", "2"}, {"1", "2", "3"}};
            assert_true(str_is(labels_get(out.series[k].labels, STR("a")), wanted[i % 2][k]));
        }
    }
}

static void time_is_limited(void **state)
{
    struct fixture *f = *state;
    struct promql_result out;
    f->q.deadline_mono = 1;
    assert_false(eval(f, "sum(m)", &out));
    assert_int_equal(f->err.kind, ERR_TIMEOUT);
    assert_string_equal(f->err.text, "query timed out in expression evaluation");
}

static void clients_may_leave(void **state)
{
    struct fixture *f = *state;
    struct promql_result out;
    atomic_bool gone = true;
    f->q.canceled = &gone;
    assert_false(eval(f, "sum(m)", &out));
    assert_int_equal(f->err.kind, ERR_CANCELED);
}

static void memory_is_limited(void **state)
{
    struct fixture *f = *state;
    struct promql_result out;
    arena_free(&f->arena);
    arena_init(&f->arena, 1 << 20);
    f->params.end = 100000 * (int64_t)f->params.step;
    assert_false(eval(f, "m + on(a) m * on(a) m", &out));
    assert_int_equal(f->err.kind, ERR_LIMIT);
    assert_string_equal(f->err.text, "query needs more than 1 MiB of memory");
    assert_null(f->arena.on_full); /* it is the caller's again */
}

/* Where a counter fell is forgotten when its row is done. */
static void resets_cost_no_memory(void **state)
{
    struct fixture *f = *state;
    struct promql_result out;
    size_t used[2];
    static const char *const queries[] = {"rate(n[9m])", "rate(f[9m])"};
    for (size_t i = 0; i < LEN(queries); i++) {
        arena_free(&f->arena);
        arena_init(&f->arena, 0);
        assert_true(eval(f, queries[i], &out));
        used[i] = f->arena.used;
    }
    assert_true(point(&out, 5) > 0);
    assert_int_equal(used[0], used[1]);
}

static void times_have_limits(void **state)
{
    struct fixture *f = *state;
    struct promql_result out;
    assert_true(eval(f, "m @ 9e12 offset -100y", &out));
    assert_int_equal(out.n, 0);
    assert_true(eval(f, "rate(m[200y] @ -9e12 offset 90y)", &out));
    assert_false(eval(f, "count_over_time(m[200y:1ms])", &out));
    assert_int_equal(f->err.kind, ERR_LIMIT);
    f->params.start = f->params.end = INT64_MAX;
    assert_false(eval(f, "m", &out));
    assert_int_equal(f->err.kind, ERR_BAD_DATA);
}

static void ranges_are_of_vectors(void **state)
{
    struct fixture *f = *state;
    struct promql_result out;
    assert_false(eval(f, "m[5m]", &out));
    assert_int_equal(f->err.kind, ERR_BAD_DATA);
    assert_string_equal(f->err.text,
                        "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector");
    assert_false(eval(f, "\"text\"", &out));
    assert_string_equal(f->err.text,
                        "invalid expression type \"string\" for range query, must be Scalar or instant Vector");
    f->params.step = 0;
    assert_false(eval(f, "m", &out));
    assert_int_equal(f->err.kind, ERR_BAD_DATA);
}

static void samples_are_counted(void **state)
{
    struct fixture *f = *state;
    struct promql_result out;
    f->params.per_step_stats = true;
    f->params.end = 2 * MINUTE;
    assert_true(eval(f, "m", &out));
    assert_int_equal(out.stats.samples, 9);
    assert_int_equal(out.stats.n_steps, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(out.stats.per_step[i], 3);
    assert_true(eval(f, "rate(m[1m])", &out));
    assert_int_equal(out.stats.samples, 3 * (1 + 6 + 6));
    assert_int_equal(out.stats.per_step[0], 3);
    assert_int_equal(out.stats.per_step[2], 18);
    assert_true(eval(f, "1 + 1", &out));
    assert_int_equal(out.stats.samples, 0);
    assert_true(eval(f, "m @ 60", &out)); /* read once, counted at each step */
    assert_int_equal(out.stats.samples, 9);
    assert_int_equal(out.stats.per_step[2], 3);
    assert_true(eval(f, "h{a=\"1\"}", &out)); /* a histogram counts by its size */
    assert_true(out.stats.per_step[0] > 1);
    assert_true(eval(f, "timestamp(h{a=\"1\"})", &out)); /* of which this sees nothing */
    assert_int_equal(out.stats.per_step[0], 1);
    assert_true(eval(f, "count_over_time(m{a=\"1\"}[1m:30s])", &out)); /* what the windows see */
    assert_int_equal(out.stats.samples, 1 + 2 + 2);
}

/* All that is read is asked for in one call, with the window that each selector sees. */
struct spy { struct source source; unsigned calls; struct select seen[8]; size_t n; };
static bool spy_select(struct source *s, struct query_ctx *q, const struct select *sel, size_t n,
                       struct series_set *out, struct err *err)
{
    struct spy *spy = (struct spy *)s;
    (void)q;
    (void)out;
    (void)err;
    spy->calls++;
    spy->n = n;
    assert_true(n <= LEN(spy->seen));
    memcpy(spy->seen, sel, n * sizeof *sel);
    return true;
}

static void leaves_are_selected_at_once(void **state)
{
    static const struct source_ops ops = {.select = spy_select};
    struct fixture *f = *state;
    struct spy spy = {.source = {&ops}};
    struct promql_result out;
    struct promql_syntax syntax = {0};
    const char *text = "sum(rate(m[5m] offset 1m)) + timestamp(m @ 100) * max_over_time(h[10m:1m])";
    f->notes = (struct notes){.arena = &f->arena};
    struct expr *e = promql_parse(&f->arena, str_of(text), &syntax, &f->err);
    assert_non_null(e);
    assert_true(promql_eval(e, str_of(text), &f->params, &spy.source, &f->q, &out, &f->err));
    promql_free(e);
    assert_int_equal(spy.calls, 1);
    assert_int_equal(spy.n, 3);
    const struct select *rate = &spy.seen[0], *at = &spy.seen[1], *inner = &spy.seen[2];
    assert_int_equal(rate->kind, SELECT_RANGE);
    assert_int_equal(rate->t_min, -6 * MINUTE + 1);
    assert_int_equal(rate->t_max, 9 * MINUTE);
    assert_int_equal(rate->window, 5 * MINUTE);
    assert_string_equal(rate->func, "rate");
    assert_int_equal(at->start, 100 * SECOND);
    assert_int_equal(at->end, 100 * SECOND);
    assert_true(at->wants_origin);
    assert_int_equal(inner->kind, SELECT_INSTANT);
    assert_int_equal(inner->start, -9 * MINUTE);
    assert_int_equal(inner->end, 10 * MINUTE);
    assert_int_equal(inner->t_min, -14 * MINUTE + 1);
    assert_false(inner->wants_origin);
}

/* The same tree may be evaluated twice: nothing of the first time is left in it. */
static void trees_are_not_changed(void **state)
{
    struct fixture *f = *state;
    struct promql_result first, second;
    struct promql_syntax syntax = {0};
    const char *text = "rate(m[range()] @ end()) * start()";
    f->notes = (struct notes){.arena = &f->arena};
    struct expr *e = promql_parse(&f->arena, str_of(text), &syntax, &f->err);
    assert_non_null(e);
    assert_true(promql_eval(e, str_of(text), &f->params, &f->store.source, &f->q, &first, &f->err));
    f->params.start = 5 * MINUTE;
    assert_true(promql_eval(e, str_of(text), &f->params, &f->store.source, &f->q, &second, &f->err));
    promql_free(e);
    assert_true(point(&first, 0) == 0);
    assert_true(point(&second, 0) > 0);
}

/* Without the feature a name goes at once, and with it what tells two series apart. */
static void names_go_at_once_or_at_the_end(void **state)
{
    struct fixture *f = *state;
    struct promql_result out;
    const char *two = "count(rate({__name__=~\"m|n\", a=\"1\"}[5m]))";
    assert_false(eval(f, two, &out));
    assert_int_equal(f->err.kind, ERR_EXEC);
    assert_string_equal(f->err.text, "vector cannot contain metrics with the same labelset");
    assert_false(eval(f, "-{__name__=~\"m|n\", a=\"1\"}", &out));
    assert_true(eval(f, "count(last_over_time({__name__=~\"m|n\", a=\"1\"}[5m]))", &out));
    f->params.delayed_name_removal = true;
    assert_true(eval(f, two, &out));
    assert_true(point(&out, 0) == 2);
    assert_false(eval(f, "rate({__name__=~\"m|n\", a=\"1\"}[5m])", &out));
}

/* sum(<fetched>): what the other side has computed is taken as it stands, without another lookback. */
static void fetched_parts_are_taken_as_they_are(void **state)
{
    struct fixture *f = *state;
    struct sample one[] = {{0, 1}, {MINUTE, 2}}, two[] = {{MINUTE, 10}};
    struct label a = {STR("a"), STR("1")}, b = {STR("a"), STR("2")};
    struct series series[] = {{.labels = labels_from(&f->arena, &a, 1), .samples = one, .n_samples = 2},
                              {.labels = labels_from(&f->arena, &b, 1), .samples = two, .n_samples = 1}};
    struct series_set set = {.series = series, .n = 2, .exact = true};
    struct expr fetched = {.kind = EXPR_FETCHED, .type = VALUE_VECTOR, .u.fetched = {.set = &set}};
    struct expr sum = {.kind = EXPR_AGGREGATE, .type = VALUE_VECTOR, .u.aggregate = {.op = AGG_SUM, .inner = &fetched}};
    struct promql_result out;
    f->notes = (struct notes){.arena = &f->arena};
    assert_true(promql_eval(&sum, STR(""), &f->params, &f->store.source, &f->q, &out, &f->err));
    assert_int_equal(out.n, 1);
    assert_true(point(&out, 0) == 1);
    assert_true(point(&out, 1) == 12);
    assert_true(isnan(point(&out, 2)));
}

/* Steps of two origins: fetched, then evaluated; a series of both has one row. */
static void parts_of_a_cut_are_one_value(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct promql_result whole, out;
    assert_true(eval(f, "sum by (a) (m)", &whole));
    struct sample one[] = {{0, 7}};
    struct label a = {STR("a"), STR("1")};
    struct series series[] = {{.labels = labels_from(&f->arena, &a, 1), .samples = one, .n_samples = 1}};
    struct series_set set = {.series = series, .n = 1, .exact = true};
    struct expr fetched = {.kind = EXPR_FETCHED, .type = VALUE_VECTOR, .u.fetched = {.set = &set}};
    struct expr *raw = promql_parse(&f->arena, STR("sum by (a) (m)"), &(struct promql_syntax){0}, &err);
    struct expr_part parts[] = {{0, 1, &fetched}, {1, 2, raw}};
    struct expr cut = {.kind = EXPR_CUT, .type = VALUE_VECTOR, .u.cut = {parts, LEN(parts)}};
    assert_true(promql_eval(&cut, STR(""), &f->params, &f->store.source, &f->q, &out, &f->err));
    assert_int_equal(out.n, whole.n);
    for (size_t i = 0; i < out.n; i++) {
        bool mine = labels_equal(out.series[i].labels, series[0].labels);
        assert_true(mine ? out.series[i].v[0] == 7 : !promql_has(&out.series[i], 0));
        for (size_t k = 1; k < 3; k++)
            assert_memory_equal(&out.series[i].v[k], &whole.series[i].v[k], sizeof(double));
    }
    promql_free(raw);
}

/* --- a source that plans ------------------------------------------------------------------------------------------ */

struct planning_source { /* of m{a="1"} it fetches 7 at every step */
    struct source source;
    struct source *store;
    struct source_ops ops;
    enum exec_outcome outcome;
    struct series_set set;
    unsigned planned, executed, selected;
};

static bool planning_select(struct source *s, struct query_ctx *q, const struct select *sel, size_t n,
                            struct series_set *out, struct err *err)
{
    struct planning_source *p = CONTAINER(s, struct planning_source, source);
    p->selected++;
    return p->store->ops->select(p->store, q, sel, n, out, err);
}

static struct expr *fetched_for_selectors(struct expr *e, void *arg)
{
    struct planning_source *p = arg;
    if (e->kind == EXPR_SELECTOR) {
        e->kind = EXPR_FETCHED;
        e->u.fetched.set = &p->set;
    }
    return e;
}

static bool planning_plan(struct source *s, struct query_ctx *q, const struct plan_question *question,
                          struct source_plan *out)
{
    struct planning_source *p = CONTAINER(s, struct planning_source, source);
    p->planned++;
    out->tree = expr_rewrite(&(struct expr_rewriter){.arena = q->arena, .leave = fetched_for_selectors, .arg = p},
                             question->tree);
    return true;
}

static enum exec_outcome planning_exec(struct source *s, struct query_ctx *q UNUSED, struct source_plan *plan UNUSED,
                                       const struct select *sel UNUSED, size_t n, struct series_set *out UNUSED,
                                       struct err *err)
{
    struct planning_source *p = CONTAINER(s, struct planning_source, source);
    assert_int_equal(n, 0);
    p->executed++;
    if (p->outcome == EXEC_FAILED)
        err_set(err, ERR_UNAVAILABLE, "it failed");
    return p->outcome;
}

/* A plan in doubt changes nothing but the way; one that failed is the error. */
static void plans_are_executed_or_abandoned(void **state)
{
    struct fixture *f = *state;
    struct sample sevens[] = {{0, 7}, {MINUTE, 7}};
    struct label a = {STR("a"), STR("1")};
    struct series series = {.labels = labels_from(&f->arena, &a, 1), .samples = sevens, .n_samples = 2};
    struct planning_source p = {.store = &f->store.source, .set = {.series = &series, .n = 1, .exact = true},
                                .ops = {.select = planning_select, .plan = planning_plan, .exec = planning_exec}};
    struct promql_result out, raw;
    p.source.ops = &p.ops;
    f->params.end = MINUTE;
    assert_true(eval(f, "sum(m)", &raw));
    struct expr *e = promql_parse(&f->arena, STR("sum(m)"), &(struct promql_syntax){0}, &f->err);
    p.outcome = EXEC_DONE;
    assert_true(promql_eval(e, STR("sum(m)"), &f->params, &p.source, &f->q, &out, &f->err));
    assert_true(point(&out, 0) == 7 && point(&out, 1) == 7 && p.selected == 0);
    p.outcome = EXEC_DOUBT;
    assert_true(promql_eval(e, STR("sum(m)"), &f->params, &p.source, &f->q, &out, &f->err));
    assert_true(point(&out, 1) == point(&raw, 1) && point(&raw, 1) != 7);
    assert_int_equal(p.selected, 1);
    p.outcome = EXEC_FAILED;
    assert_false(promql_eval(e, STR("sum(m)"), &f->params, &p.source, &f->q, &out, &f->err));
    assert_string_equal(f->err.text, "it failed");
    assert_int_equal(p.executed, 3);
    f->params.delayed_name_removal = true; /* which servers do not know */
    assert_true(promql_eval(e, STR("sum(m)"), &f->params, &p.source, &f->q, &out, &f->err));
    assert_int_equal(p.planned, 3);
    promql_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(samples_are_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(equal_values_of_several_servers_are_in_order_of_labels, setup, teardown),
        cmocka_unit_test_setup_teardown(time_is_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(clients_may_leave, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_is_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(resets_cost_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(times_have_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(ranges_are_of_vectors, setup, teardown),
        cmocka_unit_test_setup_teardown(samples_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(leaves_are_selected_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(trees_are_not_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(names_go_at_once_or_at_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(fetched_parts_are_taken_as_they_are, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_of_a_cut_are_one_value, setup, teardown),
        cmocka_unit_test_setup_teardown(plans_are_executed_or_abandoned, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
