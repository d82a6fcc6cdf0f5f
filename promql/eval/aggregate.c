// SPDX-License-Identifier: Apache-2.0
/* Aggregations that return one series per group.
 *
 * A group has one cell per step. Rows are added one at a time, each over all steps; only histograms are processed step
 * by step. Either way the samples of a step are added in the order of the rows.
 *
 * Where the argument allows it, a row is computed when it is added (lazy_rows.c), so only one column exists at a
 * time. Series are read fastest in their order, so rows are added in theirs, whatever their groups, if the cells of all
 * groups fit into the CPU's cache. Otherwise one group is processed after the other, and only one has cells.
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
enum { CELLS_TOGETHER = 256 * 1024 /* bytes of the cells of all groups */ };
struct aggregate_call {
    struct eval *ev;
    const struct expr *e;
    enum aggregate_op op;
    struct row *rows;         /* of the input */
    struct lazy_rows *lazy;   /* computes the rows; NULL: they exist already */
};
struct aggregate_group {
    const struct aggregate_call *a;
    struct cell *cells;
    const struct row **hists; /* members with histograms, in order; has space for all members */
    size_t n_hists;
    uint32_t first;           /* the first member with values */
    bool drop_name;
    struct row *out;          /* set when all members are added */
};

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
    enum aggregate_op op = g->a->op;
    uint32_t n = g->a->ev->grid.n;
    bool skip_hists = row->h && op != AGG_COUNT && op != AGG_GROUP;
#define EACH(add)                                                                                                     \
    for (uint32_t i = 0; i < n; i++)                                                                                  \
        if (!is_absent(v[i]) && !(skip_hists && row->h[i]))                                                           \
            add;                                                                                                      \
    break
    switch (op) {
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
    for (uint32_t i = 0; row->h && i < g->a->ev->grid.n; i++)
        if (row->h[i])
            return true;
    return false;
}

static void aggregate_note_ignored(const struct aggregate_group *g)
{
    eval_info(g->a->ev, g->a->e->u.aggregate.inner, "ignored histogram in %s aggregation", aggregate_op_text(g->a->op));
}

static const struct histogram *aggregate_histograms(const struct aggregate_group *g, uint32_t i,
                                                    struct histogram_sum *acc)
{
    const struct expr *at = g->a->e->u.aggregate.inner;
    unsigned flags = 0;
    histogram_sum_start(acc, g->a->ev->arena);
    for (size_t m = 0; m < g->n_hists; m++) {
        const struct histogram *h = g->hists[m]->h[i];
        if (h == NULL)
            continue;
        eval_charge(g->a->ev, CHARGE_HISTOGRAM);
        if (g->a->op == AGG_SUM)
            histogram_sum_add(acc, h, &flags);
        else
            histogram_mean_add(acc, h, &flags);
        if (flags & HISTOGRAM_INCOMPATIBLE) {
            eval_warn(g->a->ev, at,
                      "vector contains a mix of histograms with exponential and custom buckets schemas "
                      "for metric name %s", eval_quoted(g->a->ev, labels_name(g->hists[m]->labels)));
            return NULL;
        }
    }
    if (flags & HISTOGRAM_BOUNDS_RECONCILED)
        eval_info(g->a->ev, at, "mismatched custom buckets were reconciled during aggregation");
    if (flags & HISTOGRAM_HINT_COLLISION)
        eval_warn(g->a->ev, at, "conflicting counter resets during histogram aggregation");
    return g->a->op == AGG_SUM ? histogram_sum_total(acc, g->a->ev->arena) : histogram_sum_mean(acc, g->a->ev->arena);
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
    for (uint32_t i = 0; i < g->a->ev->grid.n; i++) {
        if (!histogram_at(g, i))
            continue;
        if (g->cells[i].n > 0) {
            eval_warn(g->a->ev, g->a->e->u.aggregate.inner,
                      "encountered a mix of histograms and floats for aggregation");
            row_clear(g->out, i);
            continue;
        }
        const struct histogram *h = aggregate_histograms(g, i, &acc);
        if (h)
            row_set_hist(g->a->ev, g->out, i, h);
    }
}

static void add_member(struct aggregate_group *g, uint32_t r)
{
    const struct aggregate_call *a = g->a;
    struct row *row = &a->rows[r];
    eval_charge(a->ev, a->ev->grid.n);
    if (a->lazy && !lazy_row(a->ev, a->lazy, r, row))
        return;
    if (r < g->first)
        g->first = r;
    aggregate_add_row(g, row);
    g->drop_name |= row->drop_name;
    if (has_histogram(g, row))
        g->hists[g->n_hists++] = row;
}

static void finish_group(struct aggregate_group *g, struct row *out)
{
    const struct aggregate_call *a = g->a;
    g->out = out;
    out->drop_name |= g->drop_name;
    for (uint32_t i = 0; i < a->ev->grid.n; i++)
        if (g->cells[i].n > 0)
            out->v[i] = cell_value(a->op, &g->cells[i]);
    if (g->n_hists > 0 && (a->op == AGG_SUM || a->op == AGG_AVG))
        combine_histograms(g);
    else if (g->n_hists > 0 && a->op != AGG_COUNT && a->op != AGG_GROUP)
        aggregate_note_ignored(g);
}

/* --- groups and operators ----------------------------------------------------------------------------------------- */

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

static bool cells_fit_together(const struct eval *ev, size_t n_groups)
{
    size_t most = CELLS_TOGETHER / sizeof(struct cell);
    return n_groups <= most && n_groups * ev->grid.n <= most;
}

struct aggregate_groups { /* being processed: all, or one after the other */
    const struct aggregate_call *a;
    const struct row_groups *rows;
    struct aggregate_group *items; size_t n;
    struct cell *cells;
    const struct row **hists; /* in the places of their rows in rows->rows */
};

static void begin_groups(struct aggregate_groups *s, size_t from)
{
    size_t steps = s->a->ev->grid.n;
    memset(s->cells, 0, s->n * steps * sizeof *s->cells);
    for (size_t i = 0; i < s->n; i++)
        s->items[i] = (struct aggregate_group){.a = s->a, .cells = s->cells + i * steps, .first = NO_ROW,
                                               .hists = s->hists + s->rows->start[from + i]};
}

static void add_members(struct aggregate_groups *s, size_t from)
{
    const struct row_groups *rows = s->rows;
    if (s->n == rows->n)
        for (uint32_t r = 0; r < rows->n_rows; r++)
            add_member(&s->items[rows->of[r]], r);
    else
        for (uint32_t i = rows->start[from]; i < rows->start[from + 1]; i++)
            add_member(s->items, rows->rows[i]);
}

static void aggregate_groups(const struct aggregate_call *a, const struct value *in, struct value *out)
{
    struct eval *ev = a->ev;
    struct row_groups rows;
    struct grouping by = grouping_of(ev, a->e, STR_NONE);
    uint32_t *begins = a->lazy ? ARENA_ARRAY(ev->arena, uint32_t, in->n) : NULL;
    group_rows(ev, &by, in, &rows);
    struct aggregate_groups s = {.a = a, .rows = &rows, .n = cells_fit_together(ev, rows.n) ? rows.n : 1};
    s.items = ARENA_ARRAY(ev->arena, struct aggregate_group, s.n);
    s.cells = ARENA_ARRAY(ev->arena, struct cell, s.n * ev->grid.n);
    s.hists = ARENA_ARRAY(ev->arena, const struct row *, in->n);
    for (size_t from = 0; from < rows.n; from += s.n) {
        begin_groups(&s, from);
        add_members(&s, from);
        for (size_t i = 0; i < s.n; i++) {
            finish_group(&s.items[i], value_add_row(ev, out, rows.labels[from + i]));
            if (begins && s.items[i].first != NO_ROW)
                begins[s.items[i].first] = (uint32_t)(from + i) + 1;
        }
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
    struct lazy_rows *lazy = lazy_rows_begin(ev, e->u.aggregate.inner, &in);
    if (lazy == NULL)
        eval_expr(ev, e->u.aggregate.inner, &in);
    struct aggregate_call a = {.ev = ev, .e = e, .op = e->u.aggregate.op, .rows = in.rows, .lazy = lazy};
    aggregate_groups(&a, &in, out);
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
