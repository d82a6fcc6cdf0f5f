/* sort(), sort_by_label() and their descending sisters: the order of rows, which only the answer of an instant query
 * shows. */
#include "promql/functions/fn.h"

#include <stdlib.h>

/* A row on its way; equal ones keep the order they came in. */
struct sorted_row { struct row row; size_t came; const struct call *call; };

static int by_coming(const struct sorted_row *x, const struct sorted_row *y)
{
    return x->came < y->came ? -1 : x->came > y->came;
}

/* NaN is last in both directions; of several the later comes first, as an insertion sort leaves them to which NaN is less
 * than everything. */
static int by_value(const struct sorted_row *x, const struct sorted_row *y, int direction)
{
    double a = x->row.v[0], b = y->row.v[0];
    if (isnan(a) || isnan(b))
        return isnan(a) == isnan(b) ? by_coming(y, x) : isnan(a) ? 1 : -1;
    return a == b ? by_coming(x, y) : (a < b ? -1 : 1) * direction;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* The run of digits, or of anything else, at the front. */
static struct str cut_run(struct str *s)
{
    size_t n = 0;
    while (n < s->n && is_digit(s->p[n]) == is_digit(s->p[0]))
        n++;
    struct str run = str_first(*s, n);
    *s = str_skip(*s, n);
    return run;
}

static int compare_digits(struct str a, struct str b)
{
    while (a.n > 1 && a.p[0] == '0')
        a = str_skip(a, 1);
    while (b.n > 1 && b.p[0] == '0')
        b = str_skip(b, 1);
    return a.n != b.n ? (a.n < b.n ? -1 : 1) : str_cmp(a, b);
}

/* Numbers within a text count as numbers: node2 before node10. */
static int compare_natural(struct str a, struct str b)
{
    while (a.n > 0 && b.n > 0) {
        struct str x = cut_run(&a), y = cut_run(&b);
        int order = is_digit(x.p[0]) && is_digit(y.p[0]) ? compare_digits(x, y) : str_cmp(x, y);
        if (order != 0)
            return order;
    }
    return a.n > 0 ? 1 : b.n > 0 ? -1 : 0;
}

static int by_labels(const struct sorted_row *x, const struct sorted_row *y)
{
    for (size_t i = 1; i < x->call->n_args; i++) {
        struct str name = x->call->args[i].string;
        int order = compare_natural(labels_get(x->row.labels, name), labels_get(y->row.labels, name));
        if (order != 0)
            return order;
    }
    return labels_cmp(x->row.labels, y->row.labels);
}

static int value_rising(const void *x, const void *y) { return by_value(x, y, 1); }
static int value_falling(const void *x, const void *y) { return by_value(x, y, -1); }
static int labels_rising(const void *x, const void *y) { return by_labels(x, y); }
static int labels_falling(const void *x, const void *y) { return -by_labels(x, y); }

static void sort_rows(struct eval *ev, const struct call *c, struct value *out,
                      int (*compare)(const void *, const void *))
{
    struct sorted_row *sorted = ARENA_ARRAY(ev->arena, struct sorted_row, c->args[0].n);
    fn_take_rows(out, &c->args[0]);
    if (ev->grid.n > 1 || out->n < 2)
        return;
    for (size_t i = 0; i < out->n; i++)
        sorted[i] = (struct sorted_row){out->rows[i], i, c};
    qsort(sorted, out->n, sizeof *sorted, compare);
    for (size_t i = 0; i < out->n; i++)
        out->rows[i] = sorted[i].row;
}

static void drop_histograms(struct eval *ev, const struct call *c)
{
    for (size_t r = 0; r < c->args[0].n; r++)
        for (uint32_t i = 0; i < ev->grid.n; i++)
            if (row_hist(&c->args[0].rows[r], i))
                row_clear(&c->args[0].rows[r], i);
}

static void sort_by_value(struct eval *ev, const struct call *c, struct value *out,
                          int (*compare)(const void *, const void *))
{
    drop_histograms(ev, c);
    value_drop_empty(&c->args[0], ev->grid.n);
    sort_rows(ev, c, out, compare);
}

static void sort_up(struct eval *ev, const struct call *c, struct value *out)
{
    sort_by_value(ev, c, out, value_rising);
}

static void sort_down(struct eval *ev, const struct call *c, struct value *out)
{
    sort_by_value(ev, c, out, value_falling);
}

static void sort_label_up(struct eval *ev, const struct call *c, struct value *out)
{
    sort_rows(ev, c, out, labels_rising);
}

static void sort_label_down(struct eval *ev, const struct call *c, struct value *out)
{
    sort_rows(ev, c, out, labels_falling);
}

const struct function_impl fn_sort = {.rows = sort_up};
const struct function_impl fn_sort_desc = {.rows = sort_down};
const struct function_impl fn_sort_by_label = {.rows = sort_label_up};
const struct function_impl fn_sort_by_label_desc = {.rows = sort_label_down};
