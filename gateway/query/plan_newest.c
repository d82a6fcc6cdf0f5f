// SPDX-License-Identifier: Apache-2.0
/* Instant selectors over the newest scrape.
 *
 * An instant selector reads a window as long as the lookback, but its value is that of one scrape: while a target is
 * scraped, each of its series has a sample at each scrape, or ended with a stale marker at one. So a server that has the
 * newest scrape of each target can evaluate x even if it has lost earlier ones, with one exception: a series that ended
 * while it lost samples has no stale marker there, and would live on until the lookback ends. It has no sample at the
 * newest scrape, by which the server tells it from the others:
 *
 *     x and timestamp(x) == on (job, instance) group_left () max by (job, instance) (timestamp(up))
 *
 * The labels in on() are `coverage_by` of the group. This is for metrics of which it is known that all series come from
 * targets, and for nothing that reads more than the value of the selector: ranges, timestamp(), absent().
 */
#include "gateway/query/plan_internal.h"

static bool call_reads_selector(const struct function *fn)
{
    return fn->id == FN_TIMESTAMP || fn->id == FN_START_TIMESTAMP || fn->distribution == DISTRIBUTES_MATCHERS;
}

bool plan_reads_selectors(const struct expr *e)
{
    return e->kind == EXPR_MATRIX || (e->kind == EXPR_CALL && call_reads_selector(e->u.call.fn));
}

bool plan_newest_possible(const struct expr *selector)
{
    const struct time_shift *shift = &selector->u.selector.shift;
    /* Of timestamp() servers may lose an offset beside @. */
    return plan_metric_of(selector).n > 0 && (shift->at == AT_NONE || shift->offset == 0);
}

struct newest_text { struct arena *arena; const struct str *by; size_t n_by; };

static struct expr *newest_node(struct newest_text *t, struct expr node)
{
    struct expr *e = ARENA_NEW(t->arena, struct expr);
    *e = node;
    return e;
}

static bool newest_by(const struct newest_text *t, struct str name)
{
    for (size_t i = 0; i < t->n_by; i++)
        if (str_eq(t->by[i], name))
            return true;
    return false;
}

/* `up` of the targets that the selector's matchers leave. */
static struct expr *newest_up(struct newest_text *t, const struct expr *selector)
{
    size_t n = selector->u.selector.n_matchers, kept = 0;
    struct matcher *m = ARENA_ARRAY(t->arena, struct matcher, n + 1);
    m[kept++] = (struct matcher){.type = MATCH_EQ, .name = STR(METRIC_NAME), .value = STR("up")};
    for (size_t i = 0; i < n; i++)
        if (newest_by(t, selector->u.selector.matchers[i].name))
            m[kept++] = selector->u.selector.matchers[i];
    struct expr *up = newest_node(t, *selector);
    up->u.selector.name = STR_NONE;
    up->u.selector.matchers = m;
    up->u.selector.n_matchers = kept;
    return up;
}

static struct expr *newest_timestamp(struct newest_text *t, struct expr *selector)
{
    struct expr **args = ARENA_ARRAY(t->arena, struct expr *, 1);
    args[0] = selector;
    return newest_node(t, (struct expr){.kind = EXPR_CALL, .type = VALUE_VECTOR,
                                        .u.call = {function_find(STR("timestamp")), args, 1}});
}

static struct expr *newest_operation(struct newest_text *t, enum binary_op op, struct expr *left, struct expr *right,
                                     struct matching by)
{
    struct matching *m = ARENA_NEW(t->arena, struct matching);
    *m = by;
    return newest_node(t, (struct expr){.kind = EXPR_BINARY, .type = VALUE_VECTOR,
                                        .u.binary = {.op = op, .left = left, .right = right, .matching = m}});
}

struct expr *plan_newest(struct arena *a, struct expr *selector, const struct str *by, size_t n_by)
{
    struct newest_text t = {a, by, n_by};
    struct expr *latest = newest_timestamp(&t, newest_up(&t, selector));
    struct expr *of_targets = newest_node(&t, (struct expr){
        .kind = EXPR_AGGREGATE, .type = VALUE_VECTOR,
        .u.aggregate = {.op = AGG_MAX, .inner = latest, .labels = by, .n_labels = n_by}});
    struct expr *same = newest_operation(&t, OP_EQ, newest_timestamp(&t, newest_node(&t, *selector)), of_targets,
                                         (struct matching){.card = CARD_MANY_TO_ONE, .on = true, .labels = by, .n_labels = n_by});
    struct expr *both = newest_operation(&t, OP_AND, selector, newest_node(&t, (struct expr){
        .kind = EXPR_PAREN, .type = VALUE_VECTOR, .u.paren.inner = same}), (struct matching){.card = CARD_MANY_TO_MANY});
    return newest_node(&t, (struct expr){.kind = EXPR_PAREN, .type = VALUE_VECTOR, .u.paren.inner = both});
}
