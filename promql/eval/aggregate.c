// SPDX-License-Identifier: Apache-2.0
/* Aggregations that return one series per group.
 *
 * Groups are processed in sequence, so only one group has intermediate results: one cell per step. Rows are added one
 * at a time, each over all steps; only histograms are processed step by step. Either way the samples of a step are
 * added in the order of the rows.
 *
 * Where the argument allows it, a row is computed when it is added (lazy_rows.c), so only one column exists at a
 * time.
 */
#include "promql/eval/eval_internal.h"

#include "model/histogram/histogram_math.h"

#include <math.h>

struct cell {
    double n;          /* floats added */
    double sum, comp;  /* sum + comp is the total; min, max: sum; stddev: sum of squares, comp the mean */
    double mean;       /* avg, after switching to a running mean */
    bool running;      /* avg uses the running mean */
};
#define NO_ROW UINT32_MAX
struct aggregate_group {
    struct eval *ev;
    const struct expr *e;
    enum aggregate_op op;
    struct row *rows;         /* of the input */
    struct lazy_rows *lazy;   /* computes the rows; NULL: they exist already */
    const uint32_t *members;  /* indexes of the rows in this group */
    size_t n;
    struct cell *cells;
    const struct row **hists; /* members with histograms, in order */
    size_t n_hists;
    uint32_t first;           /* the first member with values */
    struct row *out;
};
static struct row *aggregate_member(const struct aggregate_group *g, size_t m) { return &g->rows[g->members[m]]; }

static void add_sum(struct cell *c, double x)
{
    if (c->n++ == 0)
        c->sum = x;
    else
        kahan_add(x, &c->sum, &c->comp);
}

/* Dividing the sum at the end is more precise than a running mean; a sum that would overflow is replaced by one. */
static void add_average(struct cell *c, double x)
{
    if (c->n++ == 0) {
        c->sum = x;
        return;
    }
    if (!c->running) {
        double sum = c->sum, comp = c->comp;
        kahan_add(x, &sum, &comp);
        if (!isinf(sum)) {
            c->sum = sum;
            c->comp = comp;
            return;
        }
        c->running = true;
        c->mean = c->sum / (c->n - 1);
        c->comp /= c->n - 1;
    }
    double q = (c->n - 1) / c->n;
    c->mean *= q;
    c->comp *= q;
    kahan_add(x / c->n, &c->mean, &c->comp);
}

static void add_min(struct cell *c, double x)
{
    if (c->n++ == 0 || c->sum > x || isnan(c->sum))
        c->sum = x;
}

static void add_max(struct cell *c, double x)
{
    if (c->n++ == 0 || c->sum < x || isnan(c->sum))
        c->sum = x;
}

static void add_deviation(struct cell *c, double x) /* Welford */
{
    if (c->n++ == 0) {
        c->sum = isfinite(x) ? 0 : normal_nan();
        c->comp = x;
        return;
    }
    double delta = x - c->comp;
    c->comp += delta / c->n;
    c->sum += delta * (x - c->comp);
}

static double cell_value(enum aggregate_op op, const struct cell *c)
{
    switch (op) {
    case AGG_SUM: return c->sum + c->comp;
    case AGG_AVG: return c->running ? c->mean + c->comp : c->sum / c->n + c->comp / c->n;
    case AGG_COUNT: return c->n;
    case AGG_GROUP: return 1;
    case AGG_STDVAR: return c->sum / c->n;
    case AGG_STDDEV: return sqrt(c->sum / c->n);
    default: return c->sum; /* min, max */
    }
}

static void aggregate_add_row(const struct aggregate_group *g, const struct row *row)
{
    const double *v = row->v;
    bool skip_hists = row->h && g->op != AGG_COUNT && g->op != AGG_GROUP;
#define EACH(add)                                                                                                     \
    for (uint32_t i = 0; i < g->ev->grid.n; i++)                                                                      \
        if (!is_absent(v[i]) && !(skip_hists && row->h[i]))                                                           \
            add;                                                                                                      \
    break
    switch (g->op) {
    case AGG_SUM: EACH(add_sum(&g->cells[i], v[i]));
    case AGG_AVG: EACH(add_average(&g->cells[i], v[i]));
    case AGG_MIN: EACH(add_min(&g->cells[i], v[i]));
    case AGG_MAX: EACH(add_max(&g->cells[i], v[i]));
    case AGG_STDDEV:
    case AGG_STDVAR: EACH(add_deviation(&g->cells[i], v[i]));
    default: EACH(g->cells[i].n++); /* count, group */
    }
#undef EACH
}

/* --- histograms --------------------------------------------------------------------------------------------------- */

static bool has_histogram(const struct aggregate_group *g, const struct row *row)
{
    for (uint32_t i = 0; row->h && i < g->ev->grid.n; i++)
        if (row->h[i])
            return true;
    return false;
}

static void aggregate_note_ignored(const struct aggregate_group *g)
{
    eval_info(g->ev, g->e->u.aggregate.inner, "ignored histogram in %s aggregation", aggregate_op_text(g->op));
}

static const struct histogram *aggregate_histograms(const struct aggregate_group *g, uint32_t i,
                                                    struct histogram_sum *acc)
{
    const struct expr *at = g->e->u.aggregate.inner;
    unsigned flags = 0;
    histogram_sum_start(acc, g->ev->arena);
    for (size_t m = 0; m < g->n_hists; m++) {
        const struct histogram *h = g->hists[m]->h[i];
        if (h == NULL)
            continue;
        eval_charge(g->ev, CHARGE_HISTOGRAM);
        if (g->op == AGG_SUM)
            histogram_sum_add(acc, h, &flags);
        else
            histogram_mean_add(acc, h, &flags);
        if (flags & HISTOGRAM_INCOMPATIBLE) {
            eval_warn(g->ev, at,
                      "vector contains a mix of histograms with exponential and custom buckets schemas "
                      "for metric name %s", eval_quoted(g->ev, labels_name(g->hists[m]->labels)));
            return NULL;
        }
    }
    if (flags & HISTOGRAM_BOUNDS_RECONCILED)
        eval_info(g->ev, at, "mismatched custom buckets were reconciled during aggregation");
    if (flags & HISTOGRAM_HINT_COLLISION)
        eval_warn(g->ev, at, "conflicting counter resets during histogram aggregation");
    return g->op == AGG_SUM ? histogram_sum_total(acc, g->ev->arena) : histogram_sum_mean(acc, g->ev->arena);
}

static bool histogram_at(const struct aggregate_group *g, uint32_t i)
{
    for (size_t m = 0; m < g->n_hists; m++)
        if (g->hists[m]->h[i])
            return true;
    return false;
}

static void combine_histograms(const struct aggregate_group *g)
{
    struct histogram_sum acc = {0};
    for (uint32_t i = 0; i < g->ev->grid.n; i++) {
        if (!histogram_at(g, i))
            continue;
        if (g->cells[i].n > 0) {
            eval_warn(g->ev, g->e->u.aggregate.inner, "encountered a mix of histograms and floats for aggregation");
            row_clear(g->out, i);
            continue;
        }
        const struct histogram *h = aggregate_histograms(g, i, &acc);
        if (h)
            row_set_hist(g->ev, g->out, i, h);
    }
}

static void add_member(struct aggregate_group *g, size_t m)
{
    struct row *row = aggregate_member(g, m);
    eval_charge(g->ev, g->ev->grid.n);
    if (g->lazy && !lazy_row(g->ev, g->lazy, g->members[m], row))
        return;
    if (g->members[m] < g->first)
        g->first = g->members[m];
    aggregate_add_row(g, row);
    g->out->drop_name |= row->drop_name;
    if (has_histogram(g, row))
        g->hists[g->n_hists++] = row;
}

static void aggregate_group(struct aggregate_group *g)
{
    memset(g->cells, 0, g->ev->grid.n * sizeof *g->cells);
    g->n_hists = 0;
    g->first = NO_ROW;
    for (size_t m = 0; m < g->n; m++)
        add_member(g, m);
    for (uint32_t i = 0; i < g->ev->grid.n; i++)
        if (g->cells[i].n > 0)
            g->out->v[i] = cell_value(g->op, &g->cells[i]);
    if (g->n_hists > 0 && (g->op == AGG_SUM || g->op == AGG_AVG))
        combine_histograms(g);
    else if (g->n_hists > 0 && g->op != AGG_COUNT && g->op != AGG_GROUP)
        aggregate_note_ignored(g);
}

/* --- groups and operators ----------------------------------------------------------------------------------------- */

static void start_groups(struct eval *ev, const struct expr *e, const struct value *in, struct aggregate_group *g)
{
    *g = (struct aggregate_group){.ev = ev, .e = e, .op = e->u.aggregate.op, .rows = in->rows};
    g->cells = ARENA_ARRAY(ev->arena, struct cell, ev->grid.n);
    g->hists = ARENA_ARRAY(ev->arena, const struct row *, in->n);
}

/* Groups are in the order of their first rows with values. Lazy rows are known to have values only when computed:
 * begins[row] is the number of the group that begins with the row, plus one. */
static void order_groups(struct eval *ev, const uint32_t *begins, size_t n_rows, struct value *out)
{
    struct row *ordered = ARENA_ARRAY(ev->arena, struct row, out->n);
    size_t n = 0;
    for (size_t r = 0; r < n_rows; r++)
        if (begins[r] > 0)
            ordered[n++] = out->rows[begins[r] - 1];
    out->rows = ordered;
    out->n = out->_cap = n;
}

static void aggregate_groups(struct aggregate_group *g, const struct value *in, struct value *out)
{
    struct eval *ev = g->ev;
    struct row_groups groups;
    struct grouping by = grouping_of(ev, g->e, STR_NONE);
    uint32_t *begins = g->lazy ? ARENA_ARRAY(ev->arena, uint32_t, in->n) : NULL;
    group_rows(ev, &by, in, &groups);
    for (size_t i = 0; i < groups.n; i++) {
        g->members = groups.rows + groups.start[i];
        g->n = groups.start[i + 1] - groups.start[i];
        g->out = value_add_row(ev, out, groups.labels[i]);
        aggregate_group(g);
        if (begins && g->first != NO_ROW)
            begins[g->first] = (uint32_t)i + 1;
    }
    if (begins)
        order_groups(ev, begins, in->n, out);
    value_drop_empty(out, ev->grid.n);
}

static struct str count_values_label(struct eval *ev, const struct expr *param)
{
    if (!label_name_valid(param->u.string))
        eval_fail(ev, ERR_EXEC, "invalid label name %s", eval_quoted(ev, param->u.string));
    return param->u.string;
}

/* The aggregations that need all rows of a step at once. */
static void aggregate_at_once(struct eval *ev, const struct expr *e, const double *param, struct value *out)
{
    struct value in;
    struct str label = {0};
    enum aggregate_op op = e->u.aggregate.op;
    if (op == AGG_COUNT_VALUES)
        label = count_values_label(ev, e->u.aggregate.param);
    eval_expr(ev, e->u.aggregate.inner, &in);
    if (op == AGG_COUNT_VALUES)
        eval_count_values(ev, e, &in, label, out);
    else if (op == AGG_QUANTILE)
        eval_quantile(ev, e, &in, param, out);
    else
        eval_topk(ev, e, &in, param, out);
}

static void aggregate_row_by_row(struct eval *ev, const struct expr *e, struct value *out)
{
    struct value in;
    struct aggregate_group g;
    struct lazy_rows *lazy = lazy_rows_begin(ev, e->u.aggregate.inner, &in);
    if (lazy == NULL)
        eval_expr(ev, e->u.aggregate.inner, &in);
    start_groups(ev, e, &in, &g);
    g.lazy = lazy;
    aggregate_groups(&g, &in, out);
}

void eval_aggregate(struct eval *ev, const struct expr *e, struct value *out)
{
    struct value param = {0};
    if (e->u.aggregate.param == NULL) {
        aggregate_row_by_row(ev, e, out);
        return;
    }
    eval_expr(ev, e->u.aggregate.param, &param);
    aggregate_at_once(ev, e, param.scalar, out);
}
