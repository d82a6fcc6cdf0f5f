// SPDX-License-Identifier: Apache-2.0
/* topk, bottomk, limitk, limit_ratio: select samples of a group at each step, unchanged. The result of an instant
 * query is ordered by rank, group by group.
 *
 * Ties are broken as in Prometheus: by a binary heap whose top is the next to be replaced, built like Go's
 * container/heap and sorted like Go's sort. The samples selected by limitk and limit_ratio pass through such a heap
 * too, only for its order.
 */
#include "promql/eval/eval_internal.h"

#include "base/pdqsort.h"
#include "base/text/num.h"

#include <math.h>

struct heap { struct eval *ev; uint32_t *items; size_t n; const struct row *rows; uint32_t step; bool smallest_wins; };

static double heap_value(const struct heap *h, uint32_t row) { return h->rows[row].v[h->step]; }

static bool topk_is_replaced(const struct heap *h, uint32_t a, uint32_t b)
{
    double x = heap_value(h, a), y = heap_value(h, b);
    return isnan(x) || (h->smallest_wins ? x > y : x < y);
}

static void swap_items(struct heap *h, size_t a, size_t b)
{
    uint32_t x = h->items[a];
    h->items[a] = h->items[b];
    h->items[b] = x;
}

static void heap_push(struct heap *h, uint32_t row)
{
    size_t j = h->n++;
    h->items[j] = row;
    while (j > 0 && topk_is_replaced(h, h->items[j], h->items[(j - 1) / 2])) {
        swap_items(h, j, (j - 1) / 2);
        j = (j - 1) / 2;
    }
}

static void heap_sink(struct heap *h)
{
    for (size_t i = 0, child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && topk_is_replaced(h, h->items[child + 1], h->items[child]))
            child++;
        if (!topk_is_replaced(h, h->items[child], h->items[i]))
            break;
        swap_items(h, i, child);
    }
}

static bool topk_precedes(const void *heap, uint32_t a, uint32_t b)
{
    eval_charge(((const struct heap *)heap)->ev, 8);
    return topk_is_replaced(heap, b, a);
}

struct topk {
    struct eval *ev;
    const struct expr *e;
    enum aggregate_op op;
    struct value *in;
    const double *param;
    const uint32_t *members; size_t n; /* the group */
    uint32_t *chosen;                  /* capacity for all rows */
    uint8_t *passes;                   /* per row, at the current step */
    bool ignored;                      /* a histogram was ignored */
};

static size_t rank_at(struct topk *p, uint32_t i, size_t k)
{
    struct heap h = {p->ev, p->chosen, 0, p->in->rows, i, p->op == AGG_BOTTOMK};
    for (size_t m = 0; m < p->n; m++) {
        uint32_t row = p->members[m];
        eval_charge(p->ev, 8);
        double v = p->in->rows[row].v[i];
        if (is_absent(v))
            continue;
        if (row_hist(&p->in->rows[row], i)) {
            p->ignored = true;
            continue;
        }
        if (h.n < k) {
            heap_push(&h, row);
            continue;
        }
        double top = heap_value(&h, h.items[0]);
        if ((h.smallest_wins ? top > v : top < v) || (isnan(top) && !isnan(v))) {
            h.items[0] = row;
            heap_sink(&h);
        }
    }
    if (p->ev->grid.n == 1)
        pdqsort(h.items, h.n, topk_precedes, &h);
    return h.n;
}

static size_t first_at(struct topk *p, uint32_t i, size_t k)
{
    struct heap h = {p->ev, p->chosen, 0, p->in->rows, i, false};
    eval_charge(p->ev, p->n);
    for (size_t m = 0; m < p->n && h.n < k; m++)
        if (!is_absent(p->in->rows[p->members[m]].v[i]))
            heap_push(&h, p->members[m]);
    return h.n;
}

/* Selects by the hash of the labels, so that the selection is stable, and those of r and r - 1 are disjoint. */
static size_t share_at(struct topk *p, uint32_t i, double r)
{
    struct heap h = {p->ev, p->chosen, 0, p->in->rows, i, false};
    for (size_t m = 0; m < p->n; m++) {
        const struct row *row = &p->in->rows[p->members[m]];
        if (is_absent(row->v[i]))
            continue;
        eval_charge(p->ev, CHARGE_LABELS);
        double place = (double)labels_hash_prometheus(row->labels) / 18446744073709551615.0;
        if (r >= 0 ? place < r : place >= 1 + r)
            heap_push(&h, p->members[m]);
    }
    return h.n;
}

static size_t topk_choose(struct topk *p, uint32_t i)
{
    double param = p->param[i];
    if (p->op == AGG_LIMIT_RATIO)
        return share_at(p, i, fmax(-1, fmin(1, param)));
    if (param < 1)
        return 0;
    size_t k = param < (double)p->in->n ? (size_t)param : p->in->n;
    return p->op == AGG_LIMITK ? first_at(p, i, k) : rank_at(p, i, k);
}

static void topk_step(struct topk *p, uint32_t i)
{
    size_t n = topk_choose(p, i);
    eval_charge(p->ev, p->n);
    for (size_t c = 0; c < n; c++)
        p->passes[p->chosen[c]] = 1;
    for (size_t m = 0; m < p->n; m++)
        if (!p->passes[p->members[m]])
            row_clear(&p->in->rows[p->members[m]], i);
    for (size_t c = 0; c < n; c++)
        p->passes[p->chosen[c]] = 0;
}

/* One step: the order of selection is the order of the result. */
static void topk_instant(struct topk *p, struct value *out)
{
    size_t n = topk_choose(p, 0);
    arena_grow(p->ev->arena, &out->rows, &out->_cap, out->n + n, sizeof *out->rows);
    for (size_t c = 0; c < n; c++)
        out->rows[out->n++] = p->in->rows[p->chosen[c]];
}

struct bounds { double least, most; bool nan; };

static struct bounds bounds_of(const double *v, uint32_t n)
{
    struct bounds b = {v[0], v[0], false};
    for (uint32_t i = 0; i < n; i++) {
        b.nan = b.nan || isnan(v[i]);
        b.least = fmin(b.least, v[i]);
        b.most = fmax(b.most, v[i]);
    }
    return b;
}

static void fail_with(struct eval *ev, const char *what, double v)
{
    char number[NUM_MAX + 1];
    number[num_format_go(number, v)] = 0;
    eval_fail(ev, ERR_EXEC, "Scalar value %s %s int64", number, what);
}

static void warn_ratio(struct eval *ev, const struct expr *e, double v, int limit)
{
    char number[NUM_MAX + 1];
    number[num_format_go(number, v)] = 0;
    eval_warn(ev, e->u.aggregate.param, "ratio value should be between -1 and 1, got %s, capping to %d", number, limit);
}

/* False: nothing is selected, whatever the data. */
static bool check_param(struct eval *ev, const struct expr *e, const double *param)
{
    const double past_int64 = 9223372036854775808.0;
    struct bounds b = bounds_of(param, ev->grid.n);
    bool ratio = e->u.aggregate.op == AGG_LIMIT_RATIO;
    if (b.nan)
        eval_fail(ev, ERR_EXEC, "%s is NaN", ratio ? "Ratio value" : "Parameter value");
    if (ratio) {
        if (b.most > 1)
            warn_ratio(ev, e, b.most, 1);
        if (b.least < -1)
            warn_ratio(ev, e, b.least, -1);
        return b.most != 0 || b.least != 0;
    }
    if (b.most < 1)
        return false;
    if (b.least <= -past_int64)
        fail_with(ev, "underflows", b.least);
    if (b.most >= past_int64)
        fail_with(ev, "overflows", b.most);
    return true;
}

void eval_topk(struct eval *ev, const struct expr *e, struct value *in, const double *param, struct value *out)
{
    if (!check_param(ev, e, param))
        return;
    struct row_groups groups;
    struct grouping by = grouping_of(ev, e, STR_NONE);
    group_rows(ev, &by, in, &groups);
    struct topk p = {.ev = ev, .e = e, .op = e->u.aggregate.op, .in = in, .param = param,
                     .chosen = ARENA_ARRAY(ev->arena, uint32_t, in->n),
                     .passes = ARENA_ARRAY(ev->arena, uint8_t, in->n)};
    for (size_t g = 0; g < groups.n; g++) {
        p.members = groups.rows + groups.start[g];
        p.n = groups.start[g + 1] - groups.start[g];
        if (ev->grid.n == 1)
            topk_instant(&p, out);
        else
            for (uint32_t i = 0; i < ev->grid.n; i++)
                topk_step(&p, i);
    }
    if (ev->grid.n > 1)
        *out = *in;
    value_drop_empty(out, ev->grid.n);
    if (p.ignored)
        eval_info(ev, e, "ignored histogram in %s aggregation", aggregate_op_text(p.op));
}
