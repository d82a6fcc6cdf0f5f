/* Aggregations that make one series of a group. Groups are worked through one after the other, so that only one
 * group's intermediate results are held: a cell per step. Rows are added one by one, each from the first step to the
 * last; only histograms (and quantile) are gone through step by step. Either way the samples of a step are added in
 * the order of the rows.
 */
#include "promql/walk.h"

#include "base/num.h"
#include "model/histogram_math.h"
#include "promql/quote.h"

#include <math.h>
#include <stdlib.h>

struct cell {
    double n;          /* floats added */
    double sum, comp;  /* sum + comp is the total; min, max: sum; stddev: sum of squares, comp the mean */
    double mean;       /* avg, once the sum would overflow */
    bool running;      /* the mean is */
};
struct group {
    struct eval *ev;
    const struct expr *e;
    enum aggregate_op op;
    const struct row *rows;   /* of the input */
    const uint32_t *members;  /* which of them are in this group */
    size_t n;
    const double *param;
    struct cell *cells;
    double *scratch;          /* room for n values */
    struct row *out;
};
static const struct row *member(const struct group *g, size_t m) { return &g->rows[g->members[m]]; }

static void add_sum(struct cell *c, double x)
{
    if (c->n++ == 0)
        c->sum = x;
    else
        kahan_add(x, &c->sum, &c->comp);
}

/* Dividing the sum at the end is more precise than a running mean; but a sum that would overflow has to give way to
 * one. */
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

static void add_row(const struct group *g, const struct row *row)
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

/* --- histograms -------------------------------------------------------------------------------------------------- */

static bool has_histogram(const struct group *g, const struct row *row)
{
    for (uint32_t i = 0; row->h && i < g->ev->grid.n; i++)
        if (row->h[i])
            return true;
    return false;
}

static void note_ignored(const struct group *g)
{
    eval_info(g->ev, g->e->u.aggregate.inner, "ignored histogram in %s aggregation", aggregate_op_text(g->op));
}

static const struct histogram *combine(const struct group *g, uint32_t i, struct histogram_sum *acc)
{
    const struct expr *at = g->e->u.aggregate.inner;
    unsigned flags = 0;
    histogram_sum_start(acc, g->ev->arena);
    for (size_t m = 0; m < g->n; m++) {
        const struct histogram *h = row_hist(member(g, m), i);
        if (h == NULL)
            continue;
        if (g->op == AGG_SUM)
            histogram_sum_add(acc, h, &flags);
        else
            histogram_mean_add(acc, h, &flags);
        if (flags & HISTOGRAM_INCOMPATIBLE) {
            eval_warn(g->ev, at,
                      "vector contains a mix of histograms with exponential and custom buckets schemas "
                      "for metric name \"%.*s\"",
                      STR_ARG(labels_name(member(g, m)->labels)));
            return NULL;
        }
    }
    if (flags & HISTOGRAM_BOUNDS_RECONCILED)
        eval_info(g->ev, at, "mismatched custom buckets were reconciled during aggregation");
    if (flags & HISTOGRAM_HINT_COLLISION)
        eval_warn(g->ev, at, "conflicting counter resets during histogram aggregation");
    return g->op == AGG_SUM ? histogram_sum_total(acc, g->ev->arena) : histogram_sum_mean(acc, g->ev->arena);
}

static bool histogram_at(const struct group *g, uint32_t i)
{
    for (size_t m = 0; m < g->n; m++)
        if (row_hist(member(g, m), i))
            return true;
    return false;
}

static void combine_histograms(const struct group *g)
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
        const struct histogram *h = combine(g, i, &acc);
        if (h)
            row_set_hist(g->ev, g->out, i, h);
    }
}

static void aggregate_group(const struct group *g)
{
    bool any = false;
    memset(g->cells, 0, g->ev->grid.n * sizeof *g->cells);
    for (size_t m = 0; m < g->n; m++) {
        add_row(g, member(g, m));
        any = any || has_histogram(g, member(g, m));
    }
    for (uint32_t i = 0; i < g->ev->grid.n; i++)
        if (g->cells[i].n > 0)
            g->out->v[i] = cell_value(g->op, &g->cells[i]);
    if (any && (g->op == AGG_SUM || g->op == AGG_AVG))
        combine_histograms(g);
    else if (any && g->op != AGG_COUNT && g->op != AGG_GROUP)
        note_ignored(g);
}

/* --- quantile ---------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b) /* NaN first */
{
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y))
        return isnan(y) - isnan(x);
    return (x > y) - (x < y);
}

static double quantile_of(double q, double *v, size_t n)
{
    if (n == 0 || isnan(q))
        return normal_nan();
    if (q < 0 || q > 1)
        return q < 0 ? -INFINITY : INFINITY;
    qsort(v, n, sizeof *v, by_value);
    double rank = q * ((double)n - 1), low = floor(rank), weight = rank - low;
    size_t l = (size_t)low, u = l + 1 < n ? l + 1 : n - 1;
    return v[l] * (1 - weight) + v[u] * weight;
}

static void quantile_group(const struct group *g)
{
    bool ignored = false;
    for (uint32_t i = 0; i < g->ev->grid.n; i++) {
        size_t n = 0;
        for (size_t m = 0; m < g->n; m++) {
            const struct row *r = member(g, m);
            if (row_hist(r, i))
                ignored = true;
            else if (!is_absent(r->v[i]))
                g->scratch[n++] = r->v[i];
        }
        if (n > 0)
            g->out->v[i] = quantile_of(g->param[i], g->scratch, n);
    }
    if (ignored)
        note_ignored(g);
}

/* The smallest and the largest value out of bounds are named, and NaN. */
static void check_quantiles(struct eval *ev, const struct expr *e, const double *q)
{
    const char *text = "quantile value should be between 0 and 1, got %s";
    double least = q[0], most = q[0];
    bool nan = false;
    char number[NUM_MAX + 1];
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        nan = nan || isnan(q[i]);
        least = fmin(least, q[i]);
        most = fmax(most, q[i]);
    }
    if (nan)
        eval_warn(ev, e->u.aggregate.param, text, "NaN");
    if (most > 1) {
        number[num_format_go(number, most)] = 0;
        eval_warn(ev, e->u.aggregate.param, text, number);
    }
    if (least < 0) {
        number[num_format_go(number, least)] = 0;
        eval_warn(ev, e->u.aggregate.param, text, number);
    }
}

/* --- all together ------------------------------------------------------------------------------------------------ */

static void aggregate_groups(struct eval *ev, const struct expr *e, struct value *in, const double *param,
                             struct value *out)
{
    struct row_groups groups;
    struct grouping by = grouping_of(ev, e, STR_NONE);
    group_rows(ev, &by, in, &groups);
    struct group g = {.ev = ev, .e = e, .op = e->u.aggregate.op, .rows = in->rows, .param = param};
    g.cells = ARENA_ARRAY(ev->arena, struct cell, ev->grid.n);
    g.scratch = g.op == AGG_QUANTILE ? ARENA_ARRAY(ev->arena, double, in->n) : NULL;
    for (size_t i = 0; i < groups.n; i++) {
        g.members = groups.rows + groups.start[i];
        g.n = groups.start[i + 1] - groups.start[i];
        g.out = value_add_row(ev, out, groups.labels[i]);
        for (size_t m = 0; m < g.n; m++)
            g.out->drop_name |= member(&g, m)->drop_name;
        if (g.op == AGG_QUANTILE)
            quantile_group(&g);
        else
            aggregate_group(&g);
    }
    value_drop_empty(out, ev->grid.n);
}

static struct str count_values_label(struct eval *ev, const struct expr *param)
{
    if (label_name_valid(param->u.string))
        return param->u.string;
    struct buf name = {0};
    quote_text(&name, param->u.string);
    err_set(ev->err, ERR_EXEC, "invalid label name %.*s", STR_ARG(buf_str(&name)));
    buf_free(&name);
    eval_stop(ev);
}

void eval_aggregate(struct eval *ev, const struct expr *e, struct value *out)
{
    struct value in, param = {0};
    enum aggregate_op op = e->u.aggregate.op;
    if (e->u.aggregate.param)
        eval_expr(ev, e->u.aggregate.param, &param);
    struct str label = op == AGG_COUNT_VALUES ? count_values_label(ev, e->u.aggregate.param) : STR_NONE;
    eval_expr(ev, e->u.aggregate.inner, &in);
    if (op == AGG_QUANTILE)
        check_quantiles(ev, e, param.scalar);
    if (op == AGG_COUNT_VALUES)
        eval_count_values(ev, e, &in, label, out);
    else if (op == AGG_TOPK || op == AGG_BOTTOMK || op == AGG_LIMITK || op == AGG_LIMIT_RATIO)
        eval_pick(ev, e, &in, param.scalar, out);
    else
        aggregate_groups(ev, e, &in, param.scalar, out);
}
