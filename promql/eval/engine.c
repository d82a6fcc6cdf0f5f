// SPDX-License-Identifier: Apache-2.0
/* promql_eval: preprocesses the tree, selects all series in one call, evaluates, and builds the result. Errors at any
 * point jump back to here. */
#include "promql/eval/eval_internal.h"

#include "base/text/duration.h"

enum { LOOKBACK_MS = 5 * 60 * 1000, MAX_SAMPLES = 50 * 1000 * 1000 };

struct run { struct eval ev; const struct expr *expr; struct promql_result *out; size_t n_sets; /* of ev.sets */ };

static void release_sets(void *arg)
{
    struct run *r = arg;
    for (size_t i = 0; i < r->n_sets; i++)
        series_set_release(&r->ev.sets[i]);
}

static const struct select *query_selects(struct run *r, struct expr *tree)
{
    struct eval *ev = &r->ev;
    size_t n;
    r->n_sets = 0;
    const struct select *selects = prepare_selects(ev, tree, &n);
    ev->sets = ARENA_ARRAY(ev->arena, struct series_set, n);
    r->n_sets = n;
    return selects;
}

/* With what servers evaluate. NULL: nothing is pushed down, or it is in doubt. Names that are dropped late and counts
 * of samples by step are not theirs. */
static struct expr *query_fetch_planned(struct run *r, const struct expr *tree)
{
    struct eval *ev = &r->ev;
    const struct source_ops *ops = ev->source->ops;
    struct plan_question question = {.tree = tree, .text = ev->text, .start = ev->grid.start, .step = ev->grid.step,
                                     .n_steps = ev->grid.n, .lookback = ev->lookback,
                                     .subquery_step = ev->params->subquery_step};
    struct source_plan plan;
    if (ops->plan == NULL || ev->delayed_names || ev->per_step || !ops->plan(ev->source, ev->q, &question, &plan))
        return NULL;
    const struct select *selects = query_selects(r, plan.tree);
    enum exec_outcome outcome = ops->exec(ev->source, ev->q, &plan, selects, r->n_sets, ev->sets, ev->err);
    if (outcome == EXEC_FAILED)
        eval_stop(ev);
    if (outcome == EXEC_DONE)
        return plan.tree;
    release_sets(r);
    return NULL;
}

static void query_fetch_raw(struct run *r, struct expr *tree)
{
    struct eval *ev = &r->ev;
    const struct select *selects = query_selects(r, tree);
    if (r->n_sets > 0 && !ev->source->ops->select(ev->source, ev->q, selects, r->n_sets, ev->sets, ev->err))
        eval_stop(ev);
}

/* Returns the tree to be evaluated. */
static struct expr *query_fetch(struct run *r, struct expr *tree)
{
    eval_on_end(&r->ev, release_sets, r);
    struct expr *planned = query_fetch_planned(r, tree);
    if (planned == NULL)
        query_fetch_raw(r, tree);
    eval_check(&r->ev);
    return planned ? planned : tree;
}

static void engine_check_type(struct eval *ev, const struct expr *e)
{
    if (ev->params->range && e->type != VALUE_SCALAR && e->type != VALUE_VECTOR)
        eval_fail(ev, ERR_BAD_DATA, "invalid expression type \"%s\" for range query, must be Scalar or instant Vector",
                  value_type_name(e->type));
}

static bool engine_run(struct run *r)
{
    struct eval *ev = &r->ev;
    struct promql_stats *stats = &ev->stats;
    if (setjmp(ev->stop))
        return false;
    engine_check_type(ev, r->expr);
    if (ev->params->per_step_stats)
        ev->per_step = ARENA_ARRAY(ev->arena, uint64_t, ev->outer.n);
    int64_t start = clock_mono_ns();
    struct expr *tree = prepare_tree(ev, r->expr);
    int64_t prepared = clock_mono_ns();
    tree = query_fetch(r, tree);
    int64_t selected = clock_mono_ns();
    make_result(ev, tree, r->out);
    stats->prepare_ns = prepared - start;
    stats->select_ns = selected - prepared;
    stats->eval_ns = clock_mono_ns() - selected - stats->sort_ns;
    stats->per_step = ev->per_step;
    stats->n_steps = ev->per_step ? ev->outer.n : 0;
    r->out->stats = *stats;
    return true;
}

static void arena_full(struct arena *a, size_t wanted, void *arg)
{
    struct err err;
    (void)wanted;
    arena_full_error(a, a->max, &err);
    eval_fail(arg, err.kind, "%s", err.text);
}

static bool make_grid(const struct promql_params *p, struct grid *g, struct err *err)
{
    if (p->start > TIME_MAX || p->start < -TIME_MAX || p->end > TIME_MAX || p->end < -TIME_MAX)
        return err_set(err, ERR_BAD_DATA, "time out of range");
    if (!p->range) {
        *g = (struct grid){p->start, 1, 1};
        return true;
    }
    if (p->step <= 0)
        return err_set(err, ERR_BAD_DATA,
                       "zero or negative query resolution step widths are not accepted. Try a positive integer");
    uint64_t steps = p->end < p->start ? 0 : ((uint64_t)p->end - (uint64_t)p->start) / (uint64_t)p->step + 1;
    if (steps > INT32_MAX)
        return err_set(err, ERR_BAD_DATA, "query with %llu steps exceeds the limit", (unsigned long long)steps);
    *g = (struct grid){p->start, p->step, (uint32_t)steps};
    return true;
}

bool promql_eval(struct expr *e, struct str text, const struct promql_params *p, struct source *src,
                 struct query_ctx *q, struct promql_result *out, struct err *err)
{
    struct grid grid;
    struct arena *arena = q->arena, before = *arena;
    if (!make_grid(p, &grid, err))
        return false;
    *out = (struct promql_result){0};
    struct run r = {.expr = e, .out = out};
    r.ev = (struct eval){.q = q, .arena = arena, .source = src, .nodes = &eval_nodes, .params = p, .text = text,
                         .work = {.q = q, .where = "expression evaluation"}, .grid = grid, .outer = grid,
                         .lookback = p->lookback > 0 ? p->lookback : LOOKBACK_MS,
                         .max_samples = p->max_samples ? p->max_samples : MAX_SAMPLES,
                         .delayed_names = p->delayed_name_removal, .err = err};
    arena->on_full = arena_full;
    arena->on_full_arg = &r.ev;
    bool ok = engine_run(&r);
    for (struct eval_end *end = r.ev.ends; end; end = end->next)
        end->fn(end->arg);
    arena->on_full = before.on_full;
    arena->on_full_arg = before.on_full_arg;
    return ok;
}
