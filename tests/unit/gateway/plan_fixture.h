// SPDX-License-Identifier: Apache-2.0
/* A planner over groups of one of a few layouts, whose gaps and times a test sets, and its plan as text. */
#ifndef TESTS_UNIT_GATEWAY_PLAN_FIXTURE_H
#define TESTS_UNIT_GATEWAY_PLAN_FIXTURE_H

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

static inline void set_label(struct plan_group *g, const char *name, const char *value)
{
    struct label l = {str_of(name), str_of(value)};
    g->labels = labels_from(&f.arena, &l, 1);
}

static inline void set_view(struct plan_group *g, bool drop)
{
    static const struct view_rule rules[] = {{VIEW_REPLACE, {"job", 3}, {"task", 4}}, {VIEW_LABELDROP, {"job", 3}, {0}}};
    struct label_view *v = ARENA_NEW(&f.arena, struct label_view);
    struct err err;
    assert_true(view_make(v, &f.arena, g->labels, rules, drop ? 2 : 1, &(struct str_list){0}, &err));
    g->view = v;
}

static inline void planning_begin(enum layout layout)
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

static inline void planning_end(void)
{
    buf_free(&f.text);
    arena_free(&f.arena);
}

static inline bool concerns_instance(const struct matcher *m, size_t n, const char *inst)
{
    for (size_t i = 0; inst && i < n; i++)
        if (str_is(m[i].name, "inst") && !matcher_value(&m[i], str_of(inst)))
            return false;
    return true;
}

static inline void gaps_of(void *arg, size_t group, const struct matcher *m, size_t n, int64_t from, int64_t to,
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

static inline bool divide(void *arg, size_t group, const struct plan_read *reads, size_t n, struct plan_division *out)
{
    static const struct str values[] = {{"a", 1}, {"b", 1}};
    (void)arg;
    assert_true(n > 0 && reads[0].from < reads[0].to);
    *out = (struct plan_division){STR("inst"), values, 2};
    return f.divided && group == 0;
}

static inline bool has_function(void *arg, size_t group, const struct function *fn)
{
    (void)arg;
    return !f.lacks_functions[group] && fn->id == FN_MAD_OVER_TIME;
}

static inline void free_regex(void *re) { regex_free(re); }

static inline bool match(void *arg, struct str label, const struct str *values, size_t n, bool negative,
                         struct matcher *out)
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

static inline bool admits(void *arg, size_t group, const struct matcher *m, size_t n, int64_t from, int64_t to)
{
    const struct plan_span *t = &f.times[group];
    (void)arg, (void)m, (void)n;
    return t->to == 0 || (t->from <= to && t->to >= from);
}

/* The tree as promql_eval prepares it: this test has no @ start() and no durations to compute. */
static inline void plan_query(const char *query)
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
static inline void count_raw(struct expr **e, void *text)
{
    if ((*e)->kind == EXPR_SELECTOR) {
        buf_printf(text, "%sraw ", f.text.n ? "; " : "");
        promql_print(text, *e);
    } else {
        expr_children(*e, count_raw, text);
    }
}

/* What the results show differently: constants; task=job, -job. */
static inline void add_view(const struct plan_request *r)
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

static inline const char *planned(const char *query)
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

static inline void assert_planned(const char *query, const char *wanted)
{
    assert_string_equal(planned(query), wanted);
    planning_end();
}

static inline enum plan_where where_decided(size_t i) { return f.plan.decisions[i].where; }

#endif
