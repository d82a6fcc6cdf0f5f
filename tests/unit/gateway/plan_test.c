// SPDX-License-Identifier: Apache-2.0
/* Which parts of a query are sent to which server groups, as which text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "gateway/query/plan.h"
#include "promql/promql.h"

#include <stdio.h>

enum { MINUTE = 60000, HOUR = 60 * MINUTE };

/* Groups by layout: one without labels, one with, one whose label job is shown as task, or as both; two told apart by a
 * label, two that are not, two declared disjoint. */
enum layout { ONE, ONE_LABELED, RENAMED, COPIED, TWO, TWO_ALIKE, TWO_DISJOINT, LAYOUTS };
struct fixture_gaps { size_t group, server; struct plan_span span; const char *inst; /* NULL: of all targets */ };
static struct planning {
    struct arena arena;
    struct plan_group groups[2];
    size_t n_groups;
    struct grid grid;
    struct plan plan;
    const struct fixture_gaps *gaps; size_t n_gaps;
    bool divided;                  /* the group A by the values a and b of inst, and the rest */
    struct plan_span times[2];     /* of each group, that it has samples of; both 0: all */
    const char *why;
    bool lasting;                  /* no scrape ends the gaps */
    bool scraped;                  /* each series has a sample at each scrape of the target with its inst */
    bool lacks_functions[2];       /* of each group: its servers have no experimental functions */
    struct buf text;
} f;

static void set_label(struct plan_group *g, const char *name, const char *value)
{
    struct label l = {str_of(name), str_of(value)};
    g->labels = labels_from(&f.arena, &l, 1);
}

static void set_view(struct plan_group *g, bool drop)
{
    static const struct view_rule rules[] = {{VIEW_REPLACE, {"job", 3}, {"task", 4}}, {VIEW_LABELDROP, {"job", 3}, {0}}};
    struct label_view *v = ARENA_NEW(&f.arena, struct label_view);
    struct err err;
    assert_true(view_make(v, &f.arena, g->labels, rules, drop ? 2 : 1, &(struct str_list){0}, &err));
    g->view = v;
}

static void planning_begin(enum layout layout)
{
    f = (struct planning){.n_groups = layout >= TWO ? 2 : 1, .grid = {HOUR, MINUTE, 11}};
    arena_init(&f.arena, 0);
    for (size_t g = 0; g < f.n_groups; g++)
        f.groups[g] = (struct plan_group){.name = g ? STR("B") : STR("A"), .n_servers = 1, .subqueries = true,
                                          .disjoint = layout == TWO_DISJOINT};
    if (layout == ONE_LABELED || layout == TWO)
        set_label(&f.groups[0], "sg", "eu");
    if (layout == TWO)
        set_label(&f.groups[1], "sg", "us");
    if (layout == RENAMED || layout == COPIED)
        set_view(&f.groups[0], layout == RENAMED);
}

static void planning_end(void)
{
    buf_free(&f.text);
    arena_free(&f.arena);
}

static bool concerns_instance(const struct matcher *m, size_t n, const char *inst)
{
    for (size_t i = 0; inst && i < n; i++)
        if (str_is(m[i].name, "inst") && !matcher_value(&m[i], str_of(inst)))
            return false;
    return true;
}

static void gaps_of(void *arg, size_t group, const struct matcher *m, size_t n, int64_t from, int64_t to,
                    struct plan_gaps *out, struct plan_known *known)
{
    (void)arg;
    for (size_t s = 0; s < f.groups[group].n_servers; s++) {
        struct plan_span *spans = ARENA_ARRAY(&f.arena, struct plan_span, f.n_gaps);
        struct plan_span *lasting = ARENA_ARRAY(&f.arena, struct plan_span, f.n_gaps);
        struct plan_span *outdated = ARENA_ARRAY(&f.arena, struct plan_span, f.n_gaps);
        out[s] = (struct plan_gaps){.spans = spans, .outdated = outdated, .lasting = lasting};
        for (size_t i = 0; i < f.n_gaps; i++)
            if (f.gaps[i].group == group && f.gaps[i].server == s && f.gaps[i].span.to >= from &&
                f.gaps[i].span.from <= to && concerns_instance(m, n, f.gaps[i].inst)) {
                spans[out[s].n++] = f.gaps[i].span;
                outdated[out[s].n_outdated++] = f.gaps[i].span;
                if (f.lasting)
                    lasting[out[s].n_lasting++] = f.gaps[i].span;
            }
    }
    *known = (struct plan_known){f.why, f.scraped};
}

static bool divide(void *arg, size_t group, const struct plan_read *reads, size_t n, struct plan_division *out)
{
    static const struct str values[] = {{"a", 1}, {"b", 1}};
    (void)arg;
    assert_true(n > 0 && reads[0].from < reads[0].to);
    *out = (struct plan_division){STR("inst"), values, 2};
    return f.divided && group == 0;
}

static bool has_function(void *arg, size_t group, const struct function *fn)
{
    (void)arg;
    return !f.lacks_functions[group] && fn->id == FN_MAD_OVER_TIME;
}

static void free_regex(void *re) { regex_free(re); }

static bool match(void *arg, struct str label, const struct str *values, size_t n, bool negative, struct matcher *out)
{
    struct err err;
    struct buf text = {0};
    (void)arg;
    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "%s%.*s", i ? "|" : "", STR_ARG(values[i]));
    enum match_type type = n > 1 ? (negative ? MATCH_NRE : MATCH_RE) : negative ? MATCH_NE : MATCH_EQ;
    assert_true(matcher_init(out, &f.arena, type, label, buf_str(&text), &err));
    assert_true(out->re == NULL || arena_at_end(&f.arena, free_regex, out->re));
    buf_free(&text);
    return true;
}

static bool admits(void *arg, size_t group, const struct matcher *m, size_t n, int64_t from, int64_t to)
{
    const struct plan_span *t = &f.times[group];
    (void)arg, (void)m, (void)n;
    return t->to == 0 || (t->from <= to && t->to >= from);
}

/* The tree as promql_eval prepares it: this test has no @ start() and no durations to compute. */
static void plan_query(const char *query)
{
    struct err err = {0};
    struct expr *e = promql_parse(&f.arena, str_of(query), &(struct promql_syntax){0}, &err);
    if (e == NULL)
        fail_msg("%s: %s", query, err.text);
    struct plan_env env = {.groups = f.groups, .n_groups = f.n_groups, .admits = admits, .gaps = gaps_of,
                           .divide = divide, .match = match, .has_function = has_function};
    struct plan_question question = {.tree = e, .text = str_of(query), .start = f.grid.start, .step = f.grid.step,
                                     .n_steps = f.grid.n, .lookback = 5 * MINUTE, .subquery_step = 30000};
    plan_make(&f.arena, &question, &env, &f.plan);
    promql_free(e);
}

/* "A text; B text": the requests, + before those whose results are aggregated again; what is left of the tree is in
 * "reads": the selectors that are read here. */
static void count_raw(struct expr **e, void *text)
{
    if ((*e)->kind == EXPR_SELECTOR) {
        buf_printf(text, "%sraw ", f.text.n ? "; " : "");
        promql_print(text, *e);
    } else {
        expr_children(*e, count_raw, text);
    }
}

/* What the results show differently: constants; task=job, -job. */
static void add_view(const struct plan_request *r)
{
    bool relabeled = f.groups[r->group].view != NULL;
    const char *before = " -> {";
    for (size_t i = 0; i < r->view.n; i++) {
        const struct view_label *item = &r->view.items[i];
        if (item->from != VIEW_CONSTANT && !relabeled)
            continue;
        buf_printf(&f.text, "%s%s%.*s", before, item->from == VIEW_NOTHING ? "-" : "", STR_ARG(item->name));
        if (item->from != VIEW_NOTHING)
            buf_printf(&f.text, item->from == VIEW_CONSTANT ? "=\"%.*s\"" : "=%.*s", STR_ARG(item->of));
        before = ", ";
    }
    buf_add_z(&f.text, str_is(str_of(before), ", ") ? "}" : "");
}

static const char *planned(const char *query)
{
    plan_query(query);
    for (size_t i = 0; i < f.plan.n_requests; i++) {
        const struct plan_request *r = &f.plan.requests[i];
        const struct plan_piece *piece = &f.plan.pieces[r->piece];
        buf_printf(&f.text, "%s%s%.*s", f.text.n ? "; " : "", piece->aggregated ? "+" : "",
                   STR_ARG(f.groups[r->group].name));
        if (f.groups[r->group].n_servers > 1 || piece->steps.n != f.grid.n)
            buf_printf(&f.text, "%zu[%lld,%u]", r->server, (long long)(piece->steps.start - f.grid.start) / MINUTE,
                       piece->steps.n);
        buf_printf(&f.text, " %.*s", STR_ARG(r->text));
        add_view(r);
    }
    count_raw(&f.plan.tree, &f.text);
    return f.text.n ? buf_z(&f.text) : "nothing";
}

static const struct { enum layout layout; const char *query, *wanted; } cases[] = {
    /* one group: its value is the value */
    {ONE, "up", "A up"},
    {ONE, "sum by (a) (rate(x[5m])) / 2", "A sum by (a) (rate(x[5m])) / 2"},
    {ONE, "quantile(0.9, x)", "A quantile(0.9, x)"},
    {ONE, "histogram_quantile(0.9, sum by (le) (rate(b[5m])))", "A histogram_quantile(0.9, sum by (le) (rate(b[5m])))"},
    {ONE, "absent(x)", "A absent(x)"},
    {ONE, "histogram_fraction(0, 3, rate(b[5m]))", "A rate(b[5m])"},
    {ONE, "absent(x{a=\"1\",b=\"2\",a!=\"\"})", "A x{a!=\"\",a=\"1\",b=\"2\"}"},
    {ONE, "absent_over_time(x{a=~\".+\",a=\"1\"}[5m])", "raw x{a=\"1\",a=~\".+\"}"},
    {ONE, "a / on (x) group_left (y) b", "A a / on (x) group_left (y) b"},
    {ONE, "max_over_time(sum(x)[5m:])", "A max_over_time(sum(x)[5m:30s])"},
    {ONE, "avg(x)", "A avg(x)"},
    {ONE, "count_values(\"v\", x)", "A count_values(\"v\", x)"},
    /* the order of the result is made here */
    {ONE, "sort(x)", "A x"},
    {ONE, "-topk(2, x)", "A topk(2, x)"},
    /* made here, with parts from servers */
    {ONE, "scalar(sum(x)) + 1", "A sum(x)"},
    {ONE, "sum(x) or vector(0)", "A sum(x)"},
    {ONE, "x * hour()", "A x"},
    {ONE, "topk(scalar(k), x)", "A k; A x"},
    {ONE, "time() - x", "A time() - x"},
    {ONE, "limitk(2, x)", "A x"},
    {ONE, "sum(mad_over_time(x[5m]))", "A sum(mad_over_time(x[5m]))"},
    {ONE, "ts_of_max_over_time(x[5m])", "raw x"},
    {ONE, "x[5m]", "raw x"},
    {ONE, "ts_of_max_over_time(sum(x)[5m:1m])", "A0[-4,15] sum(x)"},
    {ONE, "info(x)", "raw x"},
    {ONE, "1 + 2", "nothing"},
    {ONE, "timestamp(x)", "A timestamp(x)"},
    {ONE, "timestamp(x @ 5 offset 1m)", "raw x @ 5.000 offset 1m"},
    {ONE, "start_timestamp(x)", "raw x"},
    /* labels of a group: matchers, grouping, matching */
    {ONE_LABELED, "x", "A x -> {sg=\"eu\"}"},
    {ONE_LABELED, "x{sg=\"eu\",a=\"1\"}", "A x{a=\"1\"} -> {sg=\"eu\"}"},
    {ONE_LABELED, "{sg=~\"e.\"}", "A {__name__!=\"\"} -> {sg=\"eu\"}"},
    {ONE_LABELED, "x{sg=\"us\"}", "raw x{sg=\"us\"}"},
    {ONE_LABELED, "sum by (sg, a) (x)", "A sum by (a) (x) -> {sg=\"eu\"}"},
    {ONE_LABELED, "sum by (a) (x)", "A sum by (a) (x)"},
    {ONE_LABELED, "sum without (a) (x)", "A sum without (a, sg) (x) -> {sg=\"eu\"}"},
    {ONE_LABELED, "sum without (sg) (x)", "A sum without (sg) (x)"},
    {ONE_LABELED, "absent(x)", "A x -> {sg=\"eu\"}"},
    {ONE_LABELED, "a / b", "A a / ignoring (sg) b -> {sg=\"eu\"}"},
    {ONE_LABELED, "a / on (sg, x) b", "A a / on (x) b -> {sg=\"eu\"}"},
    {ONE_LABELED, "a * on (x) group_left (sg) b", "A a -> {sg=\"eu\"}; A b -> {sg=\"eu\"}"},
    {ONE_LABELED, "sum(a) / b", "A sum(a); A b -> {sg=\"eu\"}"},
    {ONE_LABELED, "label_replace(x, \"y\", \"$1\", \"sg\", \"(.*)\")", "A x -> {sg=\"eu\"}"},
    {ONE_LABELED, "label_join(x, \"y\", \"-\", \"a\", \"b\")",
     "A label_join(x, \"y\", \"-\", \"a\", \"b\") -> {sg=\"eu\"}"},
    {ONE_LABELED, "count_values(\"sg\", x)", "A x -> {sg=\"eu\"}"},
    /* labels that the view renames: the servers get their own names, the results those that are shown */
    {RENAMED, "x{task=\"a\",job=\"\"}", "A x{job=\"a\"} -> {task=job, -job}"},
    {RENAMED, "x{job=\"a\"}", "raw x{job=\"a\"}"},
    {RENAMED, "sum by (task, a) (x)", "A sum by (job, a) (x) -> {task=job, -job}"},
    {RENAMED, "sum by (job) (x)", "A sum(x) -> {-task, -job}"},
    {RENAMED, "sum without (a) (x)", "A sum without (a, task) (x) -> {task=job, -job}"},
    {RENAMED, "sum without (task) (x)", "A sum without (task, job) (x) -> {-task, -job}"},
    {RENAMED, "sum without (job) (x)", "A sum without (task) (x) -> {task=job, -job}"},
    {RENAMED, "a / on (task) b", "A a / on (job) b -> {task=job, -job}"},
    {RENAMED, "a / ignoring (task) b", "A a / ignoring (task, job) b -> {-task, -job}"},
    {RENAMED, "a * on (x) group_left (task) b", "A a -> {task=job, -job}; A b -> {task=job, -job}"},
    {RENAMED, "label_replace(x, \"y\", \"\", \"task\", \"\")", "A x -> {task=job, -job}"},
    {RENAMED, "absent(x)", "A x -> {task=job, -job}"},
    {RENAMED, "sum(m / (2 * 3))", "A sum(m / (2 * 3)) -> {-task, -job}"},
    {COPIED, "x{task=\"a\"}", "A x{job=\"a\"} -> {task=job}"},
    {COPIED, "sum by (task) (x)", "A sum by (job) (x) -> {task=job, -job}"},
    {COPIED, "sum by (job) (x)", "A sum by (job) (x) -> {-task}"},
    {COPIED, "sum without (task) (x)", "A sum without (task) (x) -> {-task}"},
    {COPIED, "sum without (job) (x)", "A sum without (task) (x) -> {task=job, -job}"},
    {COPIED, "sum without (job, task) (x)", "A sum without (task, job) (x) -> {-task, -job}"},
    {COPIED, "max without (task) (sum without (job) (x))", "A sum without (task) (x) -> {task=job, -job}"},
    {COPIED, "sum without (task) (x) / ignoring (a) max without (task) (x)",
     "A sum without (task) (x) -> {-task}; A max without (task) (x) -> {-task}"},
    /* two groups: each series alone, aggregated again, or within a group */
    {TWO, "rate(x[5m])", "A rate(x[5m]) -> {sg=\"eu\"}; B rate(x[5m]) -> {sg=\"us\"}"},
    {TWO, "x{sg=\"us\"}", "B x -> {sg=\"us\"}"},
    {TWO, "quantile(0.5, x{sg=\"us\"})", "B quantile(0.5, x)"},
    {TWO, "sum(x)", "+A sum(x); +B sum(x)"},
    {TWO, "count(x) > 3", "+A count(x); +B count(x)"},
    {TWO, "max(mx) < 5", "+A max(mx); +B max(mx)"},
    {TWO, "min(mx) > 5", "+A min(mx); +B min(mx)"},
    {TWO, "10 - max(mx)", "+A max(mx); +B max(mx)"},
    {TWO, "topk(1, mx) < 5", "A topk(1, mx) -> {sg=\"eu\"}; B topk(1, mx) -> {sg=\"us\"}"},
    {TWO, "group by (a) (x)", "+A group by (a) (x); +B group by (a) (x)"},
    {TWO, "avg by (a) (x)", "+A label_replace(sum by (a) (x), \"__part__\", \"sum\", \"\", \"\") or "
                            "label_replace(count by (a) (x), \"__part__\", \"count\", \"\", \"\"); "
                            "+B label_replace(sum by (a) (x), \"__part__\", \"sum\", \"\", \"\") or "
                            "label_replace(count by (a) (x), \"__part__\", \"count\", \"\", \"\")"},
    {TWO, "avg by (__name__) (x)", "A x -> {sg=\"eu\"}; B x -> {sg=\"us\"}"},
    {TWO, "avg by (sg) (x)", "A avg(x) -> {sg=\"eu\"}; B avg(x) -> {sg=\"us\"}"},
    {TWO, "quantile(0.5, rate(x[5m]))", "A rate(x[5m]) -> {sg=\"eu\"}; B rate(x[5m]) -> {sg=\"us\"}"},
    {TWO, "quantile by (sg) (0.5, x)", "A quantile(0.5, x) -> {sg=\"eu\"}; B quantile(0.5, x) -> {sg=\"us\"}"},
    {TWO, "stddev without (a) (x)",
     "A stddev without (a, sg) (x) -> {sg=\"eu\"}; B stddev without (a, sg) (x) -> {sg=\"us\"}"},
    {TWO, "absent(only_a)", "A only_a -> {sg=\"eu\"}; B only_a -> {sg=\"us\"}"},
    {TWO, "sum(absent(only_a))", "A only_a -> {sg=\"eu\"}; B only_a -> {sg=\"us\"}"},
    {TWO, "sum(absent_over_time(only_a[5m]))", "raw only_a"},
    {TWO, "m * scalar(only_a)", "A only_a -> {sg=\"eu\"}; B only_a -> {sg=\"us\"}; A m -> {sg=\"eu\"}; "
                                "B m -> {sg=\"us\"}"},
    {TWO, "vector(scalar(only_a))", "A only_a -> {sg=\"eu\"}; B only_a -> {sg=\"us\"}"},
    {TWO, "sum by (y) (label_replace(m, \"y\", \"$1\", \"sg\", \"(.*)\"))",
     "A m -> {sg=\"eu\"}; B m -> {sg=\"us\"}"},
    {TWO, "count by (y) (label_join(m, \"y\", \"\", \"a\", \"sg\"))", "A m -> {sg=\"eu\"}; B m -> {sg=\"us\"}"},
    {TWO, "sum by (y) (label_replace(m, \"y\", \"$1\", \"a\", \"(.*)\"))",
     "+A sum by (y) (label_replace(m, \"y\", \"$1\", \"a\", \"(.*)\")); "
     "+B sum by (y) (label_replace(m, \"y\", \"$1\", \"a\", \"(.*)\"))"},
    {TWO, "count_values without (inst) (\"v\", m)",
     "A count_values without (inst, sg) (\"v\", m) -> {sg=\"eu\"}; "
     "B count_values without (inst, sg) (\"v\", m) -> {sg=\"us\"}"},
    {TWO, "count_values(\"v\", m offset 5m)", "A m offset 5m -> {sg=\"eu\"}; B m offset 5m -> {sg=\"us\"}"},
    {TWO, "count_values((\"v\"), m)", "A m -> {sg=\"eu\"}; B m -> {sg=\"us\"}"},
    {TWO, "sum_over_time(m[5m:1m] offset 2m)",
     "A sum_over_time(m[5m:1m] offset 2m) -> {sg=\"eu\"}; B sum_over_time(m[5m:1m] offset 2m) -> {sg=\"us\"}"},
    {TWO, "max_over_time(sum(m)[5m:1m] offset 20m)", "+A0[-24,15] sum(m); +B0[-24,15] sum(m)"},
    {TWO, "sum_over_time(sum(c)[5m:7s])", "+A0[-4,129] sum(c); +B0[-4,129] sum(c)"},
    {TWO, "spiky > 5", "A spiky > 5 -> {sg=\"eu\"}; B spiky > 5 -> {sg=\"us\"}"},
    {TWO, "sum(spiky > 5)", "+A sum(spiky > 5); +B sum(spiky > 5)"},
    {TWO, "a / b", "A a / ignoring (sg) b -> {sg=\"eu\"}; B a / ignoring (sg) b -> {sg=\"us\"}"},
    {TWO, "a and on (sg, x) b", "A a and on (x) b -> {sg=\"eu\"}; B a and on (x) b -> {sg=\"us\"}"},
    {TWO, "a / ignoring (x) b", "A a -> {sg=\"eu\"}; B a -> {sg=\"us\"}; A b -> {sg=\"eu\"}; B b -> {sg=\"us\"}"},
    {TWO, "a unless ignoring (x) b", "A a unless ignoring (x, sg) b -> {sg=\"eu\"}; "
                                     "B a unless ignoring (x, sg) b -> {sg=\"us\"}"},
    {TWO, "{x=\"1\"} / b", "A {x=\"1\"} -> {sg=\"eu\"}; B {x=\"1\"} -> {sg=\"us\"}; A b -> {sg=\"eu\"}; B b -> {sg=\"us\"}"},
    {TWO, "a / on (x) b", "A a -> {sg=\"eu\"}; B a -> {sg=\"us\"}; A b -> {sg=\"eu\"}; B b -> {sg=\"us\"}"},
    {TWO, "a{sg=\"eu\"} / on (x) b{sg=\"us\"}", "A a -> {sg=\"eu\"}; B b -> {sg=\"us\"}"},
    {TWO, "a{sg=\"eu\"} / on (x) b{sg=\"eu\"}", "A a / on (x) b"},
    {TWO, "histogram_quantile(0.9, rate(b[5m]))",
     "A histogram_quantile(0.9, rate(b[5m])) -> {sg=\"eu\"}; B histogram_quantile(0.9, rate(b[5m])) -> {sg=\"us\"}"},
    {TWO, "histogram_quantile(0.9, sum by (le) (rate(b[5m])))",
     "+A sum by (le) (rate(b[5m])); +B sum by (le) (rate(b[5m]))"},
    {TWO, "sum(x @ 60)", "+A sum(x @ 60.000); +B sum(x @ 60.000)"},
    /* two groups that may share series: nothing that drops labels or series, unless they are declared not to */
    {TWO_ALIKE, "sum(rate(x[5m])) > 2", "A rate(x[5m]); B rate(x[5m])"},
    {TWO_ALIKE, "2 * abs(x) > bool 5", "A 2 * abs(x) > bool 5; B 2 * abs(x) > bool 5"},
    {TWO_ALIKE, "sum(x > 5)", "A x; B x"},
    {TWO_ALIKE, "-(5 <= x)", "A x; B x"},
    {TWO_ALIKE, "topk(1, x)", "A x; B x"},
    {TWO_ALIKE, "a unless b", "A a; B a; A b; B b"},
    {TWO_ALIKE, "histogram_quantile(0.9, b)", "A b; B b"},
    {TWO_ALIKE, "label_replace(x, \"a\", \"\", \"b\", \".*\")", "A x; B x"},
    {TWO_ALIKE, "max_over_time(x[5m:1m])", "A max_over_time(x[5m:1m]); B max_over_time(x[5m:1m])"},
    {TWO_ALIKE, "rate({a=\"b\"}[5m])", "raw {a=\"b\"}"},
    {TWO_DISJOINT, "sum(rate(x[5m]))", "+A sum(rate(x[5m])); +B sum(rate(x[5m]))"},
    {TWO_DISJOINT, "rate({a=\"b\"}[5m])", "raw {a=\"b\"}"},
    {TWO_DISJOINT, "histogram_quantile(0.9, b)", "A b; B b"},
    {TWO_DISJOINT, "sum(label_replace(x, \"a\", \"\", \"b\", \".*\"))", "A x; B x"},
    {TWO_DISJOINT, "a / b", "A a; B a; A b; B b"},
};

static void queries_are_cut_where_they_distribute(void **state UNUSED)
{
    int wrong = 0;
    for (size_t i = 0; i < LEN(cases); i++) {
        planning_begin(cases[i].layout);
        const char *got = planned(cases[i].query);
        if (strcmp(got, cases[i].wanted) != 0) {
            print_error("%s\n  got    %s\n  wanted %s\n", cases[i].query, got, cases[i].wanted);
            wrong++;
        }
        planning_end();
    }
    assert_int_equal(wrong, 0);
}

static void experimental_functions_are_pushed_where_all_servers_have_them(void **state UNUSED)
{
    planning_begin(TWO);
    f.lacks_functions[1] = true;
    const char *got = planned("sum(mad_over_time(x[5m])) / sum(mad_over_time(x{sg=\"eu\"}[5m]))");
    assert_string_equal(got, "A sum(mad_over_time(x[5m])); raw x");
    const struct plan_request *r = &f.plan.requests[0];
    assert_int_equal(r->n_experimental, 1);
    assert_string_equal(r->experimental[0]->name, "mad_over_time");
    planning_end();
}

/* --- gaps --------------------------------------------------------------------------------------------------------- */

static void assert_planned(const char *query, const char *wanted)
{
    assert_string_equal(planned(query), wanted);
    planning_end();
}

static void newer_steps_are_evaluated_here(void **state UNUSED)
{
    static const struct fixture_gaps recent[] = {{0, 0, {HOUR + 4 * MINUTE, INT64_MAX}, NULL}};
    planning_begin(ONE);
    f.gaps = recent;
    f.n_gaps = 1;
    assert_planned("sum(rate(x[5m]))", "A0[0,4] sum(rate(x[5m])); raw x");
    planning_begin(ONE);
    f.gaps = recent;
    f.n_gaps = 1;
    assert_planned("sum(rate(x[5m] offset 2m))", "A0[0,6] sum(rate(x[5m] offset 2m)); raw x offset 2m");
    planning_begin(ONE);
    f.gaps = recent;
    f.n_gaps = 1;
    assert_planned("sum(rate(x[5m] offset 10m))", "A sum(rate(x[5m] offset 10m))");
    planning_begin(ONE);
    f.gaps = recent;
    f.n_gaps = 1;
    assert_planned("x @ 4000", "raw x @ 4000.000");
}

static enum plan_where where_decided(size_t i) { return f.plan.decisions[i].where; }

/* A step goes to the first server whose samples are complete over its window, of every selector. */
static void steps_go_where_they_are_complete(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {{0, 0, {HOUR + 60000, HOUR + 90000}, NULL}};
    planning_begin(ONE);
    f.groups[0].n_servers = 2;
    f.gaps = gaps;
    f.n_gaps = 1;
    assert_string_equal(planned("increase(x[2m])"),
                        "A0[0,1] increase(x[2m]); A1[1,3] increase(x[2m]); A0[4,7] increase(x[2m])");
    assert_int_equal(where_decided(0), PLAN_PUSHED);
    planning_end();
    static const struct fixture_gaps both[] = {
        {0, 0, {HOUR + 60000, HOUR + 90000}, NULL}, {0, 1, {HOUR + 120000, HOUR + 120000}, NULL}};
    planning_begin(ONE);
    f.groups[0].n_servers = 2;
    f.gaps = both;
    f.n_gaps = 2;
    assert_string_equal(planned("increase(x[2m])"),
                        "A0[0,1] increase(x[2m]); A1[1,1] increase(x[2m]); A0[4,7] increase(x[2m]); raw x");
    assert_int_equal(where_decided(0), PLAN_CUT);
    planning_end();
}

/* Both servers have a gap in every window, which is five minutes long; the second one has the newest scrapes of all steps
 * but the first. */
static void instant_selectors_read_the_newest_scrape(void **state UNUSED)
{
    static const struct str by[] = {{"job", 3}, {"inst", 4}};
    static const struct fixture_gaps gaps[] = {{0, 0, {0, HOUR + 11 * MINUTE}, NULL},
                                               {0, 1, {HOUR - 1, HOUR + 1}, NULL},
                                               {0, 1, {HOUR + 210000, HOUR + 230000}, NULL},
                                               {0, 1, {HOUR + 510000, HOUR + 530000}, NULL}};
#define NEWEST(x, up) "(" x " and (timestamp(" x ") == on (job, inst) group_left () max by (job, inst) (timestamp(" up "))))"
    static const struct { const char *query, *wanted; } newest[] = {
        {"sum(x{job=\"a\",y=\"1\"})", "A1[1,10] sum(" NEWEST("x{job=\"a\",y=\"1\"}", "{__name__=\"up\",job=\"a\"}") "); "
                                    "raw x{job=\"a\",y=\"1\"}"},
        {"abs(x) / 2", "A1[1,10] abs(" NEWEST("x", "{__name__=\"up\"}") ") / 2; raw x"},
        {"x offset 1m", "A1[0,1] x offset 1m; A1[2,9] " NEWEST("x offset 1m", "{__name__=\"up\"} offset 1m") "; raw x offset 1m"},
        {"rate(x[5m])", "raw x"},
        {"timestamp(x)", "raw x"},
        {"absent(x)", "raw x"},
        {"{job=\"a\"}", "raw {job=\"a\"}"},
        {"max_over_time(x[2m:1m])", "A1[3,1] max_over_time(" NEWEST("x", "{__name__=\"up\"}") "[2m:1m]); "
                                    "A1[6,3] max_over_time(" NEWEST("x", "{__name__=\"up\"}") "[2m:1m]); "
                                    "raw x; raw x; raw x"},
        {"x - rate(x[20s])", "A1[1,3] " NEWEST("x", "{__name__=\"up\"}") " - rate(x[20s]); "
                             "A1[5,4] " NEWEST("x", "{__name__=\"up\"}") " - rate(x[20s]); "
                             "A1[10,1] " NEWEST("x", "{__name__=\"up\"}") " - rate(x[20s]); "
                             "raw x; raw x; raw x; raw x; raw x; raw x"},
    };
    for (size_t i = 0; i < LEN(newest) * 2; i++) {
        planning_begin(ONE);
        f.groups[0].n_servers = 2;
        f.groups[0].target_labels = by;
        f.groups[0].n_target_labels = 2;
        f.gaps = gaps;
        f.n_gaps = LEN(gaps);
        f.scraped = i < LEN(newest);
        const char *got = planned(newest[i % LEN(newest)].query);
        if (f.scraped)
            assert_string_equal(got, newest[i].wanted);
        else
            assert_true(strstr(got, " and (timestamp(") == NULL);
        planning_end();
    }
}

/* After a gap that no scrape ends nothing is known until it is out of the window. */
static void gaps_that_last_are_in_the_window(void **state UNUSED)
{
    static const struct str by[] = {{"inst", 4}};
    static const struct fixture_gaps gaps[] = {{0, 0, {HOUR + MINUTE, HOUR + 2 * MINUTE}, NULL}};
    planning_begin(ONE);
    f.groups[0].n_servers = 2;
    f.groups[0].target_labels = by;
    f.groups[0].n_target_labels = 1;
    f.gaps = gaps;
    f.n_gaps = 1;
    f.scraped = f.lasting = true;
    assert_planned("x", "A0[0,1] x; A1[1,6] x; A0[7,4] x");
}

/* At 241 steps, 15 s apart, unless the samples are fetched as JSON. */
static void samples_are_read_where_they_are_less_than_values(void **state UNUSED)
{
    static const struct { const char *query; bool compact; uint32_t n; const char *wanted; } read[] = {
        {"rate(x[5m]) * 2", true, 241, "raw x"},
        {"rate(x[5m]) * 2", false, 241, "A rate(x[5m]) * 2"},
        {"rate(x[5m]) * 2", true, 60, "A rate(x[5m]) * 2"},
        {"rate(x[5h]) * 2", true, 241, "A rate(x[5h]) * 2"},
        {"x * 2", true, 241, "A x * 2"},
        {"x - x offset 1d", true, 241, "A x - x offset 1d"},
        {"sum(rate(x[5m]))", true, 241, "A sum(rate(x[5m]))"},
        {"rate(x[5m]) > 2", true, 241, "A rate(x[5m]) > 2"},
        {"rate(x[5m]) > bool 2", true, 241, "raw x"},
        {"rate(x[5m]) and on (a) y", true, 241, "A rate(x[5m]) and on (a) y"},
        {"rate(x[5m]) / rate(y[5m])", true, 241, "raw x; raw y"},
        {"histogram_quantile(0.9, rate(b[5m]))", true, 241, "A histogram_quantile(0.9, rate(b[5m]))"},
        {"stddev(rate(x[5m])) + scalar(stddev(rate(x[5m])))", true, 241, "A stddev(rate(x[5m])); A stddev(rate(x[5m]))"},
        {"max_over_time(rate(x[5m])[5m:1m])", true, 241, "raw x"},
    };
    for (size_t i = 0; i < LEN(read); i++) {
        planning_begin(ONE);
        f.grid = (struct grid){HOUR, 15000, read[i].n};
        f.groups[0].compact = read[i].compact;
        assert_planned(read[i].query, read[i].wanted);
    }
    /* Which of several replicas has a value is decided by step: only where it is one for all steps, samples are read. */
    for (int64_t gap = 0; gap < 2; gap++) {
        const struct fixture_gaps gaps[] = {{0, 0, {gap * (HOUR + 10 * MINUTE), HOUR + 11 * MINUTE}, NULL}};
        planning_begin(ONE);
        f.grid = (struct grid){HOUR, 15000, 241};
        f.groups[0].compact = true;
        f.groups[0].n_servers = 2;
        f.gaps = gaps;
        f.n_gaps = 1;
        assert_planned("rate(x[5m])", gap ? "A0[0,40] rate(x[5m]); A1[10,24] rate(x[5m]); A0[16,177] rate(x[5m])"
                                          : "A1[0,64] rate(x[5m]); A0[16,177] rate(x[5m])");
        planning_begin(ONE);
        f.grid = (struct grid){2 * HOUR, 15000, 241};
        f.groups[0].compact = true;
        f.groups[0].n_servers = 2;
        f.gaps = gaps;
        f.n_gaps = 1;
        assert_planned("rate(x[5m])", "raw x");
    }
}

/* The first server lacks what no step reads; the samples of all of it would be those of the second one. */
static void samples_between_steps_are_not_read(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {{0, 0, {HOUR + 5000, HOUR + 15000}, NULL}};
    static const struct { const char *query, *wanted; } read[] = {
        {"rate(x[20s])", "A0[0,241] rate(x[20s])"}, {"rate(x[40s])", "A0[0,1] rate(x[40s]); A1[0,1] rate(x[40s]); A0[1,239] rate(x[40s])"}};
    for (size_t i = 0; i < LEN(read); i++) {
        planning_begin(ONE);
        f.grid = (struct grid){HOUR, 40000, 241};
        f.groups[0].compact = true;
        f.groups[0].n_servers = 2;
        f.gaps = gaps;
        f.n_gaps = 1;
        assert_planned(read[i].query, read[i].wanted);
    }
}

/* Prometheus 2: windows are closed on both sides, and a part of the language is computed differently. */
static void prometheus_2_gets_what_it_computes_likewise(void **state UNUSED)
{
#define LAST(x) "(last_over_time(" x "[4m59s999ms]) and " x ")"
    static const struct { const char *query, *wanted; } old[] = {
        {"max_over_time(x[5m])", "A max_over_time(x[4m59s999ms])"},
        {"x{a=~\"b.\",c!~\"d\",e=\"f\"} * 5m", "A " LAST("x{a=~\"(?s:b.)\",c!~\"(?s:d)\",e=\"f\"}") " * 300"},
        {"max by (a) (abs(x offset 1m)) > bool 1", "A max by (a) (abs((last_over_time(x[4m59s999ms] offset 1m) and x offset 1m))) > bool 1"},
        {"sum(x)", "A " LAST("x")},
        {"avg(count_over_time(x[1m]))", "A count_over_time(x[59s999ms])"},
        {"rate(x[5m])", "raw x"},
        {"max(rate(x[5m]))", "raw x"},
        {"x atan2 3", "A " LAST("x")},
        {"max_over_time(deriv(x[1m])[5m:1m])", "A max_over_time(deriv(x[59s999ms])[4m59s999ms:1m])"},
        {"max_over_time(rate(x[1m])[5m:1m])", "raw x"},
        {"histogram_quantile(0.9, b)", "A " LAST("b")},
        {"label_replace(x, \"a\", \"\", \"b\", \"\")", "A " LAST("x")},
        {"absent(x)", "A " LAST("x")},
        {"timestamp(x)", "raw x"},
        {"present_over_time(x[1ms])", "raw x"},
        {"last_over_time({a=\"b\"}[1m])", "A last_over_time({a=\"b\"}[59s999ms])"},
        {"{a=\"b\"}", "raw {a=\"b\"}"},
        {"{\"x.y\"}", "raw {__name__=\"x.y\"}"},
        {"max(x{\"a.b\"=\"1\"})", "raw x{\"a.b\"=\"1\"}"},
        {"max by (\"a.b\") (x)", "A " LAST("x")},
        {"x / on (\"a.b\") y", "A " LAST("x") "; A " LAST("y")},
        {"topk(1, x) and on (a) (y != 2)", "A topk(1, " LAST("x") "); A " LAST("y") " != 2"},
    };
    for (size_t i = 0; i < LEN(old); i++) {
        planning_begin(ONE);
        f.groups[0].old = 1;
        assert_planned(old[i].query, old[i].wanted);
    }
    planning_begin(ONE);
    f.groups[0].old = f.groups[0].shortsighted = 1;
    assert_planned("max(x) + on () max(last_over_time(x[5m]))", "A max(last_over_time(x[4m59s999ms])); raw x");
}

/* The first server is Prometheus 2, the other one is newer and has a gap in the first half. */
static void what_prometheus_2_cannot_compute_goes_to_newer_servers(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {{0, 1, {0, HOUR + 5 * MINUTE}, NULL}, {0, 0, {HOUR + 9 * MINUTE, INT64_MAX}, NULL}};
    static const struct { const char *query, *wanted; } old[] = {
        {"max(increase(x[1m]))", "A1[6,5] max(increase(x[1m])); raw x"},
        {"max(irate(x[1m]))", "A0[0,9] max(irate(x[59s999ms])); A1[9,2] max(irate(x[1m]))"},
        {"sum(irate(x[1m]))", "A0[0,6] irate(x[59s999ms]); A1[6,5] sum(irate(x[1m]))"},
    };
    for (size_t i = 0; i < LEN(old); i++) {
        planning_begin(ONE);
        f.groups[0].n_servers = 2;
        f.groups[0].old = 1;
        f.gaps = gaps;
        f.n_gaps = LEN(gaps);
        assert_planned(old[i].query, old[i].wanted);
    }
    static const struct fixture_gaps never[] = {{1, 1, {INT64_MIN, INT64_MAX}, NULL}};
    planning_begin(TWO); /* rather than samples of one group */
    f.groups[1].n_servers = 2;
    f.groups[1].old = 1;
    f.gaps = never;
    f.n_gaps = 1;
    assert_planned("sum(irate(x[1m]))", "A irate(x[1m]) -> {sg=\"eu\"}; B0[0,11] irate(x[59s999ms]) -> {sg=\"us\"}");
    planning_begin(ONE); /* one is not sent what is written for the other */
    f.groups[0].n_servers = 3;
    f.groups[0].old = 5;
    plan_query("max(irate(x[1m]))");
    assert_int_equal(f.plan.n_requests, 1);
    assert_int_equal(f.plan.requests[0].others, 4);
    planning_end();
}

/* Only a server that has all of a request's steps may take its place. */
static void others_have_all_steps(void **state UNUSED)
{
    const struct fixture_gaps gaps[] = {{0, 0, {HOUR + 5 * MINUTE, HOUR + 5 * MINUTE}, NULL},
                                        {0, 2, {HOUR - 4 * MINUTE, HOUR - 4 * MINUTE}, NULL}};
    planning_begin(ONE);
    f.groups[0].n_servers = 4;
    f.gaps = gaps;
    f.n_gaps = LEN(gaps);
    plan_query("rate(m[1m])");
    assert_int_equal(f.plan.n_requests, 3); /* 0 before the gap, 1 around it, 0 after it */
    const uint64_t wanted[] = {0xe, 0xc, 0xe};
    for (size_t i = 0; i < LEN(wanted); i++)
        assert_int_equal(f.plan.requests[i].others, wanted[i]);
    planning_end();
    planning_begin(ONE);
    f.groups[0].n_servers = 3;
    f.gaps = gaps;
    f.n_gaps = LEN(gaps);
    plan_query("rate(m[5m])"); /* the first step lacks a sample at the last server */
    assert_int_equal(f.plan.requests[0].server, 0);
    assert_int_equal(f.plan.requests[0].others, 2);
    planning_end();
}

/* Server 0 never has target a, and server 1 never has b. The parts are to the planner what groups with labels are. */
static void a_group_is_divided_where_each_server_lacks_other_targets(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {
        {0, 0, {INT64_MIN, INT64_MAX}, "a"}, {0, 1, {INT64_MIN, INT64_MAX}, "b"}, {0, 1, {INT64_MIN, INT64_MAX}, ""}};
    static const struct { enum layout layout; const char *query, *wanted; } divided[] = {
        {ONE, "x", "A0[0,11] x{inst!=\"a\"}; A1[0,11] x{inst=\"a\"}"},
        {ONE, "x{inst=\"a\"}", "A1[0,11] x{inst=\"a\"}"},
        {ONE, "sum(rate(x[5m])) / 2",
         "+A0[0,11] sum(rate(x{inst!=\"a\"}[5m])); +A1[0,11] sum(rate(x{inst=\"a\"}[5m]))"},
        {ONE, "max by (inst) (x) > 3", "A0[0,11] max by (inst) (x{inst!=\"a\"}) > 3; A1[0,11] max by (inst) (x{inst=\"a\"}) > 3"},
        {ONE, "count without (y) (x)", "A0[0,11] count without (y) (x{inst!=\"a\"}); A1[0,11] count without (y) (x{inst=\"a\"})"},
        {ONE, "count without (inst) (x)",
         "+A0[0,11] count without (inst) (x{inst!=\"a\"}); +A1[0,11] count without (inst) (x{inst=\"a\"})"},
        {ONE, "quantile(0.5, x)", "A0[0,11] x{inst!=\"a\"}; A1[0,11] x{inst=\"a\"}"},
        {ONE, "topk(2, x)", "A0[0,11] topk(2, x{inst!=\"a\"}); A1[0,11] topk(2, x{inst=\"a\"})"},
        {ONE, "absent(x)", "A0[0,11] x{inst!=\"a\"}; A1[0,11] x{inst=\"a\"}"},
        {ONE, "x / on (inst) y", "A0[0,11] x{inst!=\"a\"}; A1[0,11] x{inst=\"a\"}; A0[0,11] y{inst!=\"a\"}; "
                                 "A1[0,11] y{inst=\"a\"}"},
        {ONE, "x / y", "A0[0,11] x{inst!=\"a\"} / y{inst!=\"a\"}; A1[0,11] x{inst=\"a\"} / y{inst=\"a\"}"},
        {ONE, "x and on (job) y", "A0[0,11] x{inst!=\"a\"}; A1[0,11] x{inst=\"a\"}; A0[0,11] y{inst!=\"a\"}; "
                                  "A1[0,11] y{inst=\"a\"}"},
        {ONE, "label_replace(x, \"inst\", \"\", \"job\", \"\")", "A0[0,11] x{inst!=\"a\"}; A1[0,11] x{inst=\"a\"}"},
        {ONE, "histogram_quantile(0.9, sum by (le, inst) (b))",
         "A0[0,11] histogram_quantile(0.9, sum by (le, inst) (b{inst!=\"a\"})); "
         "A1[0,11] histogram_quantile(0.9, sum by (le, inst) (b{inst=\"a\"}))"},
        {ONE, "histogram_quantile(0.9, sum by (le) (b))",
         "+A0[0,11] sum by (le) (b{inst!=\"a\"}); +A1[0,11] sum by (le) (b{inst=\"a\"})"},
        {ONE, "max_over_time(sum(x)[5m:1m])", "+A0[-4,15] sum(x{inst!=\"a\"}); +A1[-4,15] sum(x{inst=\"a\"})"},
        {ONE, "x[5m]", "raw x"},
        {TWO, "sum by (sg) (x)", "+A0[0,11] sum(x{inst!=\"a\"}) -> {sg=\"eu\"}; +A1[0,11] sum(x{inst=\"a\"}) -> {sg=\"eu\"}; "
                                 "+B sum(x) -> {sg=\"us\"}"},
        {TWO, "sum by (inst) (x)", "+A0[0,11] sum by (inst) (x{inst!=\"a\"}); +A1[0,11] sum by (inst) (x{inst=\"a\"}); "
                                   "+B sum by (inst) (x)"},
        {RENAMED, "sum(x)", "+A0[0,11] sum(x{inst!=\"a\"}) -> {-task, -job}; +A1[0,11] sum(x{inst=\"a\"}) -> {-task, -job}"},
    };
    for (size_t i = 0; i < LEN(divided); i++) {
        planning_begin(divided[i].layout);
        f.groups[0].n_servers = 2;
        f.gaps = gaps;
        f.n_gaps = LEN(gaps);
        f.divided = true;
        assert_planned(divided[i].query, divided[i].wanted);
    }
}

/* A label that the group shows under another name, or replaces, cannot tell the parts apart here. */
static void a_label_that_is_shown_differently_divides_nothing(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {
        {0, 0, {INT64_MIN, INT64_MAX}, "a"}, {0, 1, {INT64_MIN, INT64_MAX}, "b"}, {0, 1, {INT64_MIN, INT64_MAX}, ""}};
    planning_begin(ONE);
    set_label(&f.groups[0], "inst", "all");
    f.groups[0].n_servers = 2;
    f.gaps = gaps;
    f.n_gaps = LEN(gaps);
    f.divided = true;
    assert_planned("sum(x)", "raw x");
}

/* Both servers lack target a: it is evaluated here, and the rest is not. */
static void targets_without_a_server_are_evaluated_here(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {
        {0, 0, {INT64_MIN, INT64_MAX}, "a"}, {0, 1, {INT64_MIN, INT64_MAX}, "a"}, {0, 1, {INT64_MIN, INT64_MAX}, "b"}};
    static const struct { const char *query, *wanted, *tree; } mixed[] = {
        {"x{b=\"1\"} > 3", "A0[0,11] x{b=\"1\",inst!=\"a\"} > 3; raw x{b=\"1\",inst=\"a\"}",
         "(x{b=\"1\"} > 3 or (x{b=\"1\",inst=\"a\"} > 3))"},
        {"sum(rate(x[5m])) / 2", "+A0[0,11] sum(rate(x{inst!=\"a\"}[5m])); raw x{inst=\"a\"}",
         "sum((sum(sum(rate(x[5m]))) or "
         "(label_replace(sum(rate(x{inst=\"a\"}[5m])), \"__part__\", \"2\", \"\", \"\")))) / 2"},
        {"min without (inst) (x)", "+A0[0,11] min without (inst) (x{inst!=\"a\"}); raw x{inst=\"a\"}",
         "min without (inst, __part__) ((min without (inst) (min without (inst) (x)) or "
         "(label_replace(min without (inst) (x{inst=\"a\"}), \"__part__\", \"2\", \"\", \"\"))))"},
        {"max by (inst) (x)", "A0[0,11] max by (inst) (x{inst!=\"a\"}); raw x{inst=\"a\"}",
         "(max by (inst) (x) or (max by (inst) (x{inst=\"a\"})))"},
        {"topk(2, x)", "A0[0,11] topk(2, x{inst!=\"a\"}); raw x{inst=\"a\"}",
         "topk(2, (topk(2, x) or (topk(2, x{inst=\"a\"}))))"},
        {"count(x)", "+A0[0,11] count(x{inst!=\"a\"}); raw x{inst=\"a\"}",
         "sum((sum(count(x)) or "
         "(label_replace(count(x{inst=\"a\"}), \"__part__\", \"2\", \"\", \"\"))))"},
    };
    for (size_t i = 0; i < LEN(mixed); i++) {
        struct buf tree = {0};
        planning_begin(ONE);
        f.groups[0].n_servers = 2;
        f.gaps = gaps;
        f.n_gaps = LEN(gaps);
        f.divided = true;
        assert_string_equal(planned(mixed[i].query), mixed[i].wanted);
        promql_print(&tree, f.plan.tree);
        assert_string_equal(buf_z(&tree), mixed[i].tree);
        size_t cut = 0;
        while (cut < f.plan.n_decisions && where_decided(cut) != PLAN_CUT)
            cut++;
        assert_true(cut < f.plan.n_decisions);
        buf_free(&tree);
        planning_end();
    }
}

/* The first server lacks target a and the other one b from the fifth minute on; at the end both lack a. */
static void only_steps_without_a_server_are_divided(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {{0, 0, {HOUR + 5 * MINUTE, INT64_MAX}, "a"},
                                               {0, 1, {HOUR + 5 * MINUTE, INT64_MAX}, "b"},
                                               {0, 1, {HOUR + 9 * MINUTE, INT64_MAX}, "a"}};
    planning_begin(ONE);
    f.groups[0].n_servers = 2;
    f.gaps = gaps;
    f.n_gaps = LEN(gaps) - 1;
    f.divided = true;
    assert_planned("sum(increase(x[1m]))", "+A0[5,6] sum(increase(x{inst!=\"a\"}[1m])); "
                                           "+A1[5,6] sum(increase(x{inst=\"a\"}[1m])); A0[0,5] sum(increase(x[1m]))");
    planning_begin(ONE);
    f.groups[0].n_servers = 2;
    f.gaps = gaps;
    f.n_gaps = LEN(gaps);
    f.divided = true;
    assert_planned("sum(increase(x[1m]))", "+A0[5,4] sum(increase(x{inst!=\"a\"}[1m])); "
                                           "+A1[5,4] sum(increase(x{inst=\"a\"}[1m])); "
                                           "+A0[9,2] sum(increase(x{inst!=\"a\"}[1m])); A0[0,5] sum(increase(x[1m])); "
                                           "raw x{inst=\"a\"}");
}

/* Server 0 loses a at first and b later, server 1 the other way round: each has a server at each step, but not the same.
 * Both evaluate the two by target. */
static void targets_have_servers_of_their_own(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {{0, 0, {HOUR + 2 * MINUTE, HOUR + 4 * MINUTE}, "a"},
                                               {0, 1, {HOUR + 2 * MINUTE, HOUR + 4 * MINUTE}, "b"},
                                               {0, 1, {HOUR + 6 * MINUTE, HOUR + 8 * MINUTE}, "a"},
                                               {0, 0, {HOUR + 6 * MINUTE, HOUR + 8 * MINUTE}, "b"}};
    static const struct { const char *query, *wanted; } each[] = {
        {"sum by (job) (increase(x[1m]))",
         "+A0[0,11] sum by (job) (increase(x{inst!~\"a|b\"}[1m])); +A0[0,11] sum by (job, inst) (increase(x{inst=~\"a|b\"}[1m])); "
         "+A1[0,11] sum by (job, inst) (increase(x{inst=~\"a|b\"}[1m]))"},
        {"avg without (inst, y) (increase(x[1m]))",
         "+A0[0,11] label_replace(sum without (inst, y) (increase(x{inst!~\"a|b\"}[1m])), \"__part__\", \"sum\", \"\", \"\") or "
         "label_replace(count without (inst, y) (increase(x{inst!~\"a|b\"}[1m])), \"__part__\", \"count\", \"\", \"\"); "
         "+A0[0,11] label_replace(sum without (y) (increase(x{inst=~\"a|b\"}[1m])), \"__part__\", \"sum\", \"\", \"\") or "
         "label_replace(count without (y) (increase(x{inst=~\"a|b\"}[1m])), \"__part__\", \"count\", \"\", \"\"); "
         "+A1[0,11] label_replace(sum without (y) (increase(x{inst=~\"a|b\"}[1m])), \"__part__\", \"sum\", \"\", \"\") or "
         "label_replace(count without (y) (increase(x{inst=~\"a|b\"}[1m])), \"__part__\", \"count\", \"\", \"\")"},
        {"topk(2, increase(x[1m]))",
         "A0[0,11] topk(2, increase(x{inst!~\"a|b\"}[1m])); A0[0,11] topk by (inst) (2, increase(x{inst=~\"a|b\"}[1m])); "
         "A1[0,11] topk by (inst) (2, increase(x{inst=~\"a|b\"}[1m]))"},
        {"max by (inst) (increase(x[1m]))",
         "A0[0,11] max by (inst) (increase(x{inst!~\"a|b\"}[1m])); A0[0,11] max by (inst) (increase(x{inst=~\"a|b\"}[1m])); "
         "A1[0,11] max by (inst) (increase(x{inst=~\"a|b\"}[1m]))"},
        {"quantile(0.5, increase(x{inst=\"a\"}[1m]))",
         "A0[0,2] quantile(0.5, increase(x{inst=\"a\"}[1m])); A1[2,3] quantile(0.5, increase(x{inst=\"a\"}[1m])); "
         "A0[5,6] quantile(0.5, increase(x{inst=\"a\"}[1m]))"},
    };
    for (size_t i = 0; i < LEN(each); i++) {
        planning_begin(ONE);
        f.groups[0].n_servers = 2;
        f.gaps = gaps;
        f.n_gaps = LEN(gaps);
        f.divided = true;
        assert_string_equal(planned(each[i].query), each[i].wanted);
        for (size_t k = 0; k < f.plan.n_requests; k++) {
            const struct plan_cells *cells = f.plan.requests[k].cells;
            for (size_t step = 0; cells && step < 11; step++) {
                assert_int_equal(cells->servers[step], step >= 2 && step <= 4 ? 1 : 0);
                assert_int_equal(cells->servers[11 + step], step >= 6 && step <= 8 ? 1 : 0);
            }
        }
        planning_end();
    }
}

/* The steps are from 1 h to 1 h 10 m. A group that has none of the samples is not asked, and none of its labels matter. */
static void a_group_without_samples_at_that_time_is_not_asked(void **state UNUSED)
{
    static const struct { const char *query; int64_t until; const char *wanted; } times[] = {
        {"sum(x)", HOUR - 6 * MINUTE, "A sum(x)"},
        {"sum(x)", HOUR - 4 * MINUTE, "A x; B x"},
        {"sum(x offset 30m)", HOUR - 6 * MINUTE, "A x offset 30m; B x offset 30m"},
        {"sum(rate(x[5m]))", HOUR - 5 * MINUTE, "A sum(rate(x[5m]))"},
        {"sum(rate(x[20m]))", HOUR - 5 * MINUTE, "A rate(x[20m]); B rate(x[20m])"},
        {"max_over_time(sum(x)[5m:1m])", HOUR - 10 * MINUTE, "A max_over_time(sum(x)[5m:1m])"},
        {"max_over_time(sum(x)[5m:1m])", HOUR - 8 * MINUTE, "A0[-4,15] x; B0[-4,15] x"},
        {"x @ 100", HOUR - 10 * MINUTE, "B x @ 100.000"},
    };
    for (size_t i = 0; i < LEN(times); i++) {
        planning_begin(TWO_ALIKE);
        f.times[0] = (struct plan_span){strstr(times[i].query, "@") ? HOUR / 2 : 1, INT64_MAX};
        f.times[1] = (struct plan_span){0, times[i].until};
        assert_planned(times[i].query, times[i].wanted);
    }
}

/* Steps from 1 h to 1 h 10 m; A has samples until 1 h 4 m, B from there on, and no label distinguishes them. */
static void groups_of_different_times_take_their_steps(void **state UNUSED)
{
    static const struct { const char *query, *wanted; } times[] = {
        {"sum(rate(x[2m]))", "A0[0,5] sum(rate(x[2m])); B0[6,5] sum(rate(x[2m])); raw x"},
        {"sum(rate(x[2m] offset 2m))", "A0[0,7] sum(rate(x[2m] offset 2m)); B0[8,3] sum(rate(x[2m] offset 2m)); raw x offset 2m"},
        {"quantile(0.5, increase(x[1m])) > 1", "A0[0,5] quantile(0.5, increase(x[1m])) > 1; "
                                               "B0[5,6] quantile(0.5, increase(x[1m])) > 1"},
        {"absent_over_time(x[1m])", "A0[0,5] absent_over_time(x[1m]); B0[5,6] absent_over_time(x[1m])"},
        {"increase(x[1m]) / increase(y[2m])", "B0[5,1] increase(x[1m]); A0[0,5] increase(x[1m]) / increase(y[2m]); "
                                              "B0[6,5] increase(x[1m]) / increase(y[2m]); raw y"},
        {"sum(x @ 0)", "A sum(x @ 0.000)"},
        {"rate(x[20m])", "A0[0,5] rate(x[20m]); raw x"},
    };
    for (size_t i = 0; i < LEN(times); i++) {
        static const struct fixture_gaps outside[] = {
            {0, 0, {HOUR + 4 * MINUTE + 1, INT64_MAX}, NULL}, {1, 0, {INT64_MIN, HOUR + 4 * MINUTE}, NULL}};
        planning_begin(TWO_ALIKE);
        f.gaps = outside;
        f.n_gaps = LEN(outside);
        f.groups[0].limited = f.groups[1].limited = true;
        f.times[0] = f.groups[0].window = (struct plan_span){INT64_MIN, HOUR + 4 * MINUTE};
        f.times[1] = f.groups[1].window = (struct plan_span){HOUR + 4 * MINUTE + 1, INT64_MAX};
        assert_planned(times[i].query, times[i].wanted);
    }
}

/* The samples of a series that both have are united, even one that makes no rate alone. */
static void groups_whose_times_overlap_are_united(void **state UNUSED)
{
    for (unsigned limited = 0; limited < 4; limited++) {
        planning_begin(TWO_ALIKE);
        f.times[0] = f.times[1] = (struct plan_span){INT64_MIN, INT64_MAX};
        for (size_t g = 0; g < 2; g++)
            if (limited >> g & 1) {
                f.groups[g].limited = true;
                f.times[g] = f.groups[g].window = (struct plan_span){HOUR - 20 * MINUTE, HOUR + 20 * MINUTE};
            }
        assert_planned("increase(x[1m])", limited ? "raw x" : "A increase(x[1m]); B increase(x[1m])");
    }
}

static void a_server_that_aligns_ranges_gets_aligned_ones(void **state UNUSED)
{
    for (int shift = 0; shift < 2; shift++) {
        planning_begin(ONE);
        f.groups[0].aligned = true;
        f.grid.start += shift;
        assert_planned("sum(x)", shift ? "raw x" : "A sum(x)");
        planning_begin(ONE);
        f.groups[0].aligned = true;
        f.grid = (struct grid){HOUR + shift, MINUTE, 1};
        assert_planned("sum(x)", "A sum(x)");
    }
}

/* Of two groups one has no server for the first steps. It is evaluated here, if a label tells its series apart. */
static void a_group_without_a_server_is_evaluated_here(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {{1, 0, {0, HOUR + 90000}, NULL}};
    static const struct { enum layout layout; const char *query, *wanted, *tree; } here[] = {
        {TWO, "sum(increase(x[2m]))",
         "+A0[0,4] sum(increase(x[2m])); +A0[4,7] sum(increase(x[2m])); +B0[4,7] sum(increase(x[2m])); raw x{sg=\"us\"}",
         "sum((sum(sum(increase(x[2m]))) or "
         "(label_replace(sum(increase(x{sg=\"us\"}[2m])), \"__part__\", \"2\", \"\", \"\"))))"},
        {TWO, "increase(x{a=\"1\"}[2m]) > 1",
         "A0[0,4] increase(x{a=\"1\"}[2m]) > 1 -> {sg=\"eu\"}; A0[4,7] increase(x{a=\"1\"}[2m]) > 1 -> {sg=\"eu\"}; "
         "B0[4,7] increase(x{a=\"1\"}[2m]) > 1 -> {sg=\"us\"}; raw x{a=\"1\",sg=\"us\"}",
         "(increase(x{a=\"1\"}[2m]) > 1 or (increase(x{a=\"1\",sg=\"us\"}[2m]) > 1))"},
        {TWO, "quantile(0.5, increase(x[2m]))",
         "A0[0,4] increase(x[2m]) -> {sg=\"eu\"}; A0[4,7] increase(x[2m]) -> {sg=\"eu\"}; "
         "B0[4,7] increase(x[2m]) -> {sg=\"us\"}; raw x{sg=\"us\"}", NULL},
        {TWO_DISJOINT, "sum(increase(x[2m]))",
         "+A0[4,7] sum(increase(x[2m])); +B0[4,7] sum(increase(x[2m])); raw x", NULL},
        {TWO_ALIKE, "increase(x[2m])", "A0[4,7] increase(x[2m]); B0[4,7] increase(x[2m]); raw x", NULL},
    };
    for (size_t i = 0; i < LEN(here); i++) {
        struct buf tree = {0};
        planning_begin(here[i].layout);
        f.gaps = gaps;
        f.n_gaps = 1;
        assert_string_equal(planned(here[i].query), here[i].wanted);
        if (here[i].tree)
            promql_print(&tree, f.plan.tree->u.cut.parts[0].value);
        assert_true(here[i].tree == NULL || strcmp(buf_z(&tree), here[i].tree) == 0);
        buf_free(&tree);
        planning_end();
    }
}

/* absent() takes its labels from the selector, whatever is read instead. */
static void absent_sees_the_selector_of_the_query(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {{1, 0, {0, HOUR + 90000}, NULL}};
    struct buf text = {0};
    planning_begin(TWO);
    f.gaps = gaps;
    f.n_gaps = 1;
    plan_query("absent(x{a=\"1\"})");
    const struct expr *cut = f.plan.tree->u.call.args[0];
    assert_int_equal(cut->kind, EXPR_CUT);
    promql_print(&text, cut->u.cut.of);
    assert_string_equal(buf_z(&text), "x{a=\"1\"}");
    buf_free(&text);
    planning_end();
}

/* Both groups have two servers; neither of the first group has its target a. */
static void a_part_of_one_of_two_groups_is_evaluated_here(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {
        {0, 0, {INT64_MIN, INT64_MAX}, "a"}, {0, 1, {INT64_MIN, INT64_MAX}, "a"}, {0, 1, {INT64_MIN, INT64_MAX}, "b"}};
    planning_begin(TWO);
    f.groups[0].n_servers = f.groups[1].n_servers = 2;
    f.gaps = gaps;
    f.n_gaps = LEN(gaps);
    f.divided = true;
    assert_planned("sum(x)", "+A0[0,11] sum(x{inst!=\"a\"}); +B0[0,11] sum(x); raw x{inst=\"a\",sg=\"eu\"}");
}

static void too_many_gaps_are_not_worth_it(void **state UNUSED)
{
    struct fixture_gaps gaps[40];
    for (size_t i = 0; i < LEN(gaps); i++)
        gaps[i] = (struct fixture_gaps){0, 0, {HOUR + (int64_t)i * 4 * MINUTE, HOUR + (int64_t)i * 4 * MINUTE}, NULL};
    planning_begin(ONE);
    f.grid.n = 161;
    f.gaps = gaps;
    f.n_gaps = LEN(gaps);
    assert_planned("increase(x[1m])", "raw x");
}

/* Generated expressions may have tens of thousands of terms. */
static void long_chains_are_not_many_requests(void **state UNUSED)
{
    struct buf query = {0};
    planning_begin(ONE);
    buf_add_z(&query, "a0");
    for (int i = 1; i < 20000; i++)
        buf_printf(&query, " + a%d", i);
    int64_t begin = clock_mono_ms();
    plan_query(buf_z(&query));
    assert_int_equal(f.plan.n_requests, 0);
    assert_true(clock_mono_ms() - begin < 2000);
    planning_end();
    planning_begin(ONE);
    buf_clear(&query);
    buf_add_z(&query, "a0");
    for (int i = 1; i < 70; i++)
        buf_printf(&query, " + a%d", i);
    plan_query(buf_z(&query));
    assert_int_equal(f.plan.n_requests, 7); /* 64 terms, and 6 alone */
    planning_end();
    buf_free(&query);
}

static void refusals_have_reasons(void **state UNUSED)
{
    planning_begin(TWO);
    f.groups[1].refusal = "push_down is off";
    plan_query("sum(x)");
    assert_int_equal(f.plan.n_requests, 0);
    assert_string_equal(arena_z(&f.arena, f.plan.decisions[0].why), "server group \"B\": push_down is off");
    assert_int_equal(f.plan.decisions[0].where, PLAN_RAW);
    planning_end();
    planning_begin(ONE);
    f.groups[0].subqueries = false;
    assert_planned("sum(max_over_time(x[5m:1m]))", "A0[-4,15] x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_are_cut_where_they_distribute),
        cmocka_unit_test(experimental_functions_are_pushed_where_all_servers_have_them), cmocka_unit_test(newer_steps_are_evaluated_here),
        cmocka_unit_test(instant_selectors_read_the_newest_scrape),
        cmocka_unit_test(gaps_that_last_are_in_the_window),
        cmocka_unit_test(samples_are_read_where_they_are_less_than_values),
        cmocka_unit_test(samples_between_steps_are_not_read),
        cmocka_unit_test(prometheus_2_gets_what_it_computes_likewise),
        cmocka_unit_test(what_prometheus_2_cannot_compute_goes_to_newer_servers),
        cmocka_unit_test(others_have_all_steps),
        cmocka_unit_test(steps_go_where_they_are_complete),
        cmocka_unit_test(a_group_is_divided_where_each_server_lacks_other_targets),
        cmocka_unit_test(a_label_that_is_shown_differently_divides_nothing),
        cmocka_unit_test(targets_without_a_server_are_evaluated_here),
        cmocka_unit_test(only_steps_without_a_server_are_divided),
        cmocka_unit_test(targets_have_servers_of_their_own),
        cmocka_unit_test(a_group_without_samples_at_that_time_is_not_asked),
        cmocka_unit_test(groups_of_different_times_take_their_steps),
        cmocka_unit_test(groups_whose_times_overlap_are_united),
        cmocka_unit_test(a_server_that_aligns_ranges_gets_aligned_ones),
        cmocka_unit_test(a_group_without_a_server_is_evaluated_here),
        cmocka_unit_test(absent_sees_the_selector_of_the_query),
        cmocka_unit_test(a_part_of_one_of_two_groups_is_evaluated_here),
        cmocka_unit_test(too_many_gaps_are_not_worth_it),
        cmocka_unit_test(refusals_have_reasons),
        cmocka_unit_test(long_chains_are_not_many_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
