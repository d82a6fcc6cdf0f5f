// SPDX-License-Identifier: Apache-2.0
/* count_values("label", v): one series for each distinct value. */
#include "promql/eval/eval_internal.h"

#include "base/map.h"
#include "base/text/num.h"
#include "model/histogram/histogram_math.h"

struct count_values {
    struct eval *ev;
    struct grouping by;
    struct str label;
    struct map *known;  /* labels -> row of out */
    struct value *out;
    struct buf text;
};

static void add_number(struct buf *b, double v)
{
    char number[NUM_MAX];
    buf_add(b, number, num_format_go(number, v));
}

static void count_values_bucket_text(struct buf *b, const struct bucket *k)
{
    buf_add_z(b, ", ");
    buf_add_char(b, k->lower_in ? '[' : '(');
    add_number(b, k->lower);
    buf_add_char(b, ',');
    add_number(b, k->upper);
    buf_add_char(b, k->upper_in ? ']' : ')');
    buf_add_char(b, ':');
    add_number(b, k->count);
}

static void add_buckets(struct buf *b, struct bucket_iter it)
{
    for (struct bucket k; bucket_next(&it, &k);)
        if (k.count != 0)
            count_values_bucket_text(b, &k);
}

/* {count:5, sum:2.5, [-0.001,0.001]:1, (1,2]:4}: buckets untrimmed, even where the zero bucket overlaps them. */
static void print_histogram(struct buf *b, const struct histogram *h)
{
    struct histogram below = *h;
    struct bucket zero = histogram_zero_bucket(h);
    below.positive = (struct buckets){0};
    below.zero_count = below.zero_threshold = 0;
    buf_add_z(b, "{count:");
    add_number(b, h->count);
    buf_add_z(b, ", sum:");
    add_number(b, h->sum);
    add_buckets(b, buckets_ascending(&below));
    if (zero.count != 0)
        count_values_bucket_text(b, &zero);
    add_buckets(b, buckets_positive(h));
    buf_add_char(b, '}');
}

static void print_value(struct count_values *c, const struct row *row, uint32_t i)
{
    buf_clear(&c->text);
    if (row_hist(row, i)) {
        print_histogram(&c->text, row->h[i]);
    } else if (buf_reserve(&c->text, NUM_PLAIN_MAX)) {
        c->text.n = num_format_plain(c->text.p, row->v[i]);
    }
}

static struct row *row_for(struct count_values *c, struct labels from)
{
    struct arena *a = c->ev->arena;
    struct labels l = grouping_labels(c->ev, &c->by, labels_with(a, from, c->label, buf_str(&c->text)));
    bool added;
    struct map_entry *e = map_add(c->known, str_n(l.p, l.n), &added);
    if (added) {
        e->value.u = c->out->n;
        value_add_row(c->ev, c->out, l);
    }
    return &c->out->rows[e->value.u];
}

static void count_values_row(struct count_values *c, const struct row *row)
{
    struct row *to = NULL;
    double last = absent_value();
    for (uint32_t i = 0; i < c->ev->grid.n; i++) {
        if (is_absent(row->v[i]))
            continue;
        /* Repeated values skip formatting and lookup. */
        bool same = to && !row_hist(row, i) && double_bits(row->v[i]) == double_bits(last);
        eval_charge(c->ev, same ? 1 : CHARGE_TEXT + 2 * CHARGE_LABELS);
        if (!same) {
            print_value(c, row, i);
            to = row_for(c, row->labels);
        }
        last = row_hist(row, i) ? absent_value() : row->v[i];
        to->v[i] = is_absent(to->v[i]) ? 1 : to->v[i] + 1;
    }
}

static void free_counting(void *arg)
{
    struct count_values *c = arg;
    map_free(c->known);
    buf_free(&c->text);
}

void eval_count_values(struct eval *ev, const struct expr *e, struct value *in, struct str label, struct value *out)
{
    struct count_values *c = ARENA_NEW(ev->arena, struct count_values);
    *c = (struct count_values){.ev = ev, .by = grouping_of(ev, e, label), .label = label, .out = out};
    c->known = ARENA_NEW(ev->arena, struct map);
    eval_on_end(ev, free_counting, c);
    for (size_t r = 0; r < in->n; r++)
        count_values_row(c, &in->rows[r]);
    free_counting(c);
}
