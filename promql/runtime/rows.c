// SPDX-License-Identifier: Apache-2.0
/* Rows and their columns: allocation, names, merging, memory accounting. */
#include "promql/runtime/runtime.h"

#include "base/map.h"
#include "promql/ast/quote.h"

void column_clear(double *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        v[i] = absent_value();
}

double *eval_column(struct eval *ev)
{
    double *v = arena_alloc(ev->arena, ev->grid.n * sizeof *v);
    column_clear(v, ev->grid.n);
    return v;
}

struct row *value_add_row(struct eval *ev, struct value *v, struct labels labels)
{
    eval_charge(ev, CHARGE_LABELS + ev->grid.n);
    arena_grow(ev->arena, &v->rows, &v->_cap, v->n + 1, sizeof *v->rows);
    struct row *r = &v->rows[v->n++];
    *r = (struct row){.labels = labels, .v = eval_column(ev)};
    return r;
}

void row_need_hist(struct eval *ev, struct row *r)
{
    if (r->h == NULL)
        r->h = ARENA_ARRAY(ev->arena, const struct histogram *, ev->grid.n);
}

struct labels labels_without_name(struct arena *a, struct labels l)
{
    static const struct str names[] = {{METRIC_NAME, sizeof METRIC_NAME - 1}, {"__type__", 8}, {"__unit__", 8}};
    return labels_drop(a, l, names, LEN(names));
}

void row_drop_name(struct eval *ev, struct row *r)
{
    eval_charge(ev, CHARGE_LABELS);
    if (!ev->delayed_names)
        r->labels = labels_without_name(ev->arena, r->labels);
    r->drop_name = true;
}

struct str labels_quoted(struct eval *ev, struct labels l)
{
    struct buf *b = eval_buf(ev);
    struct labels_iter it = labels_iter(l);
    buf_add_char(b, '{');
    for (struct label pair; labels_next(&it, &pair);) {
        if (b->n > 1)
            buf_add_z(b, ", ");
        quote_label(b, pair.name);
        buf_add_char(b, '=');
        quote_text(b, pair.value);
    }
    buf_add_char(b, '}');
    struct str text = arena_str(ev->arena, buf_str(b));
    buf_free(b);
    return text;
}

static bool any_value(const struct row *r, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!is_absent(r->v[i]))
            return true;
    return false;
}

void value_drop_empty(struct value *v, uint32_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < v->n; i++)
        if (any_value(&v->rows[i], n))
            v->rows[kept++] = v->rows[i];
    v->n = kept;
}

static void merge_row(struct eval *ev, struct row *to, const struct row *from)
{
    eval_charge(ev, ev->grid.n);
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        if (is_absent(from->v[i]))
            continue;
        if (!is_absent(to->v[i]))
            eval_fail(ev, ERR_EXEC, "vector cannot contain metrics with the same labelset");
        if (row_hist(from, i))
            row_set_hist(ev, to, i, from->h[i]);
        else
            row_set(to, i, from->v[i]);
    }
}

static void rows_free_map(void *map) { map_free(map); }

void value_merge(struct eval *ev, struct value *v)
{
    if (v->n < 2)
        return;
    struct map *seen = ARENA_NEW(ev->arena, struct map);
    eval_on_end(ev, rows_free_map, seen);
    size_t kept = 0;
    for (size_t i = 0; i < v->n; i++) {
        bool added;
        eval_charge(ev, CHARGE_LABELS);
        struct map_entry *e = map_add(seen, str_n(v->rows[i].labels.p, v->rows[i].labels.n), &added);
        if (added) {
            e->value.u = kept;
            v->rows[kept++] = v->rows[i];
        } else {
            merge_row(ev, &v->rows[e->value.u], &v->rows[i]);
        }
    }
    v->n = kept;
    map_free(seen);
}

bool value_repeats_labels(struct eval *ev, const struct value *v)
{
    struct map *seen = ARENA_NEW(ev->arena, struct map);
    eval_on_end(ev, rows_free_map, seen);
    bool added = true;
    for (size_t i = 0; added && i < v->n; i++) {
        eval_charge(ev, CHARGE_LABELS);
        map_add(seen, str_n(v->rows[i].labels.p, v->rows[i].labels.n), &added);
    }
    map_free(seen);
    return !added;
}

uint64_t histogram_mem_estimate(const struct histogram *h)
{
    enum { FIXED = 168, TIME = 8, SAMPLE = 16 }; /* bytes, as counted by Prometheus */
    uint64_t spans = (uint64_t)h->positive.n_spans + h->negative.n_spans;
    uint64_t words = spans + h->positive.n_counts + h->negative.n_counts + h->n_custom;
    return (FIXED + TIME + 8 * words) / SAMPLE;
}

uint64_t row_mem_estimate(const struct row *row, uint32_t n)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += !is_absent(row->v[i]);
    for (uint32_t i = 0; row->h && i < n; i++)
        if (row->h[i])
            sum += histogram_mem_estimate(row->h[i]) - 1;
    return sum;
}

uint64_t value_mem_estimate(const struct value *v, const struct grid *g)
{
    uint64_t sum = v->type == VALUE_SCALAR ? g->n : 0;
    for (size_t r = 0; r < v->n; r++)
        sum += row_mem_estimate(&v->rows[r], g->n);
    return sum;
}
