// SPDX-License-Identifier: Apache-2.0
/* info(v, {matchers}): adds labels of info series (target_info, unless __name__ is matched) to the series of v that
 * have the same instance and job.
 *
 * The second argument is not evaluated: its matchers select the info metrics and which of their labels are added
 * (those it names; all when it names none). A matcher that rejects the empty value requires that a series of v has a
 * matching info series. Info series are read with the offset and @ of the first selector in v. Info series come and
 * go, so the labels of a series of v may change from step to step; of two info series of one name the newer sample
 * wins.
 */
#include "promql/functions/functions_internal.h"

#include "promql/ast/tree.h"

#include <stdlib.h>

enum { IDENTIFYING = 2 };
static const struct str identifying[IDENTIFYING] = {{"instance", 8}, {"job", 3}};
static const struct str metric_name = {METRIC_NAME, sizeof METRIC_NAME - 1};

struct info_matchers { struct matcher *items; size_t n, cap; };

struct info {
    struct eval *ev;
    const struct expr *call;
    struct info_matchers names;     /* of the info metrics */
    struct info_matchers data;      /* of their labels */
    struct info_matchers made;      /* with a regex built here, freed at the end */
    struct value series;            /* the info series; values are the timestamps of their samples in seconds */
};

static void info_free_regexes(void *arg)
{
    struct info_matchers *made = arg;
    matchers_free(made->items, made->n);
    made->n = 0;
}

static void list_add(struct eval *ev, struct info_matchers *l, const struct matcher *m)
{
    arena_grow(ev->arena, &l->items, &l->cap, l->n + 1, sizeof *l->items);
    l->items[l->n++] = *m;
}

static struct matcher info_make_matcher(struct info *x, enum match_type type, struct str name, struct str value)
{
    struct info_matchers *l = &x->made;
    /* before creating it: appending must not fail */
    arena_grow(x->ev->arena, &l->items, &l->cap, l->n + 1, sizeof *l->items);
    if (!matcher_init(&l->items[l->n], x->ev->arena, type, name, value, x->ev->err))
        eval_stop(x->ev);
    return l->items[l->n++];
}

/* Only negative matchers on the name would match every metric: then the name must also end in _info. */
static void read_matchers(struct info *x)
{
    const struct expr *labels = x->call->u.call.n_args > 1 ? x->call->u.call.args[1] : NULL;
    bool positive = false;
    for (size_t i = 0; labels && i < labels->u.selector.n_matchers; i++) {
        const struct matcher *m = &labels->u.selector.matchers[i];
        bool name = str_eq(m->name, metric_name);
        positive |= name && (m->type == MATCH_EQ || m->type == MATCH_RE);
        list_add(x->ev, name ? &x->names : &x->data, m);
    }
    if (positive)
        return;
    struct matcher m = x->names.n > 0 ? info_make_matcher(x, MATCH_RE, metric_name, STR(".+_info"))
                                      : info_make_matcher(x, MATCH_EQ, metric_name, STR("target_info"));
    list_add(x->ev, &x->names, &m);
}

static bool accepts(const struct info_matchers *l, struct str value)
{
    for (size_t i = 0; i < l->n; i++)
        if (!matcher_value(&l->items[i], value))
            return false;
    return true;
}

/* An info series itself is left unchanged. */
static bool is_info(const struct info *x, const struct row *row)
{
    return accepts(&x->names, labels_name(row->labels));
}

/* --- fetching the info series ------------------------------------------------------------------------------------- */

/* name =~ "a|b|...": the values in the rows of v. False when they have none. */
static bool add_identity(struct info *x, const struct value *base, struct str name, struct info_matchers *out)
{
    struct buf *pattern = eval_buf(x->ev);
    struct str last = STR_NONE;
    for (size_t r = 0; r < base->n; r++) {
        struct str value = labels_get(base->rows[r].labels, name);
        if (value.n == 0 || str_eq(value, last) || is_info(x, &base->rows[r]))
            continue;
        if (pattern->n > 0)
            buf_add_char(pattern, '|');
        regex_quote(pattern, value);
        last = value;
    }
    if (pattern->n == 0)
        return false;
    struct matcher m = info_make_matcher(x, MATCH_RE, name, buf_str(pattern));
    list_add(x->ev, out, &m);
    return true;
}

struct shift_search { struct time_shift shift; bool found; };

/* The first selector in the tree, and the sum of its time shift and those of the enclosing subqueries. */
static void info_find_shift(struct expr **node, void *search)
{
    const struct expr *e = *node;
    struct shift_search *s = search;
    if (s->found)
        return;
    if (e->kind == EXPR_SELECTOR) {
        *s = (struct shift_search){e->u.selector.shift, true};
        return;
    }
    expr_children(e, info_find_shift, search);
    if (e->kind == EXPR_SUBQUERY && s->found && s->shift.at == AT_NONE) {
        int64_t offset = s->shift.offset + e->u.subquery.shift.offset;
        s->shift = e->u.subquery.shift;
        s->shift.offset = offset;
    }
}

static void fetch(struct info *x, const struct value *base)
{
    struct eval *ev = x->ev;
    struct info_matchers all = {0};
    bool any = false;
    for (size_t i = 0; i < IDENTIFYING; i++)
        any |= add_identity(x, base, identifying[i], &all);
    if (!any)
        return;
    for (size_t i = 0; i < x->data.n; i++)
        list_add(ev, &all, &x->data.items[i]);
    for (size_t i = 0; i < x->names.n; i++)
        list_add(ev, &all, &x->names.items[i]);
    struct expr *selector = ARENA_NEW(ev->arena, struct expr);
    *selector = (struct expr){.kind = EXPR_SELECTOR, .type = VALUE_VECTOR, .pos = x->call->pos, .end = x->call->end};
    struct shift_search search = {.found = false};
    info_find_shift(&x->call->u.call.args[0], &search);
    const struct time_shift *shift = &search.shift;
    selector->u.selector.shift = *shift;
    bool still = shift->at != AT_NONE;
    int64_t first = (still ? shift->at_time : ev->grid.start) - shift->offset,
            last = still ? first : grid_end(&ev->grid) - shift->offset;
    struct select select = {.kind = SELECT_INSTANT,
                            .matchers = all.items,
                            .n_matchers = all.n,
                            .t_min = first - ev->lookback + 1,
                            .t_max = last,
                            .start = first,
                            .end = last,
                            .step = ev->grid.step,
                            .window = ev->lookback,
                            .wants_origin = true,
                            .func = "info"};
    struct series_set *set = ARENA_NEW(ev->arena, struct series_set);
    eval_select(ev, &select, set);
    ev->nodes->instant(ev, selector, set, SAMPLE_INFO_TIME, &x->series);
}

/* --- joining ------------------------------------------------------------------------------------------------------ */

/* The info series for one row of v: all with its identity, adjacent per metric. */
struct info_candidates { struct row **rows; size_t n; };

static int compare_identity(struct labels a, struct labels b)
{
    int order = 0;
    for (size_t i = 0; order == 0 && i < IDENTIFYING; i++)
        order = str_cmp(labels_get(a, identifying[i]), labels_get(b, identifying[i]));
    return order;
}

static int by_identity(const void *x, const void *y)
{
    const struct row *a = *(struct row *const *)x, *b = *(struct row *const *)y;
    int order = compare_identity(a->labels, b->labels);
    if (order == 0)
        order = str_cmp(labels_name(a->labels), labels_name(b->labels));
    return order ? order : a < b ? -1 : a > b;
}

static struct info_candidates all_by_identity(struct info *x)
{
    struct info_candidates all = {.rows = ARENA_ARRAY(x->ev->arena, struct row *, x->series.n), .n = x->series.n};
    for (size_t r = 0; r < all.n; r++)
        all.rows[r] = &x->series.rows[r];
    if (all.n > 1)
        qsort(all.rows, all.n, sizeof *all.rows, by_identity);
    return all;
}

static struct info_candidates find_fitting(const struct info_candidates *all, struct labels labels)
{
    size_t low = 0, high = all->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (compare_identity(all->rows[mid]->labels, labels) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    struct info_candidates f = {.rows = all->rows + low};
    while (low + f.n < all->n && compare_identity(f.rows[f.n]->labels, labels) == 0)
        f.n++;
    return f;
}

static _Noreturn void info_fail_duplicate(struct info *x, const struct row *a, const struct row *b, double t)
{
    struct buf *text = eval_buf(x->ev);
    labels_print(text, a->labels);
    buf_printf(text, " @ %lld, new ", (long long)round(t * 1000));
    labels_print(text, b->labels);
    eval_fail(x->ev, ERR_EXEC, "found duplicate series for info metric: existing %.*s @ %lld", (int)text->n, text->p,
              (long long)round(t * 1000));
}

/* The info series of one name with the latest sample at step i: in chosen[], NULL for the others. */
static bool info_choose_rows(struct info *x, const struct info_candidates *f, uint32_t i, const struct row **chosen)
{
    bool any = false;
    for (size_t r = 0; r < f->n; r++) {
        chosen[r] = NULL;
        if (is_absent(f->rows[r]->v[i]))
            continue;
        chosen[r] = f->rows[r];
        any = true;
        for (size_t before = r;
             before-- > 0 && str_eq(labels_name(f->rows[before]->labels), labels_name(f->rows[r]->labels));) {
            if (chosen[before] == NULL)
                continue;
            if (chosen[before]->v[i] == f->rows[r]->v[i])
                info_fail_duplicate(x, chosen[before], f->rows[r], f->rows[r]->v[i]);
            chosen[chosen[before]->v[i] > f->rows[r]->v[i] ? r : before] = NULL;
            break;
        }
    }
    return any;
}

static bool is_wanted(const struct info *x, struct str name)
{
    bool named = x->data.n == 0;
    for (size_t i = 0; i < x->data.n; i++)
        named |= str_eq(x->data.items[i].name, name);
    return named && !str_eq(name, metric_name);
}

static struct labels info_add_labels(struct info *x, struct labels base, struct labels so_far, struct labels info)
{
    struct labels_iter it = labels_iter(info);
    struct label l;
    while (labels_next(&it, &l)) {
        if (!is_wanted(x, l.name) || labels_get(base, l.name).n > 0)
            continue;
        struct str other = labels_get(so_far, l.name);
        if (other.n > 0 && !str_eq(other, l.value))
            eval_fail(x->ev, ERR_EXEC, "conflicting label: %.*s", STR_ARG(l.name));
        so_far = labels_with(x->ev->arena, so_far, l.name, l.value);
    }
    return so_far;
}

/* Whether rows without a matching info series are kept. */
static bool info_ignores_buckets(const struct info *x)
{
    return accepts(&x->data, STR_NONE);
}

static struct row *info_add_row(struct info *x, struct value *out, size_t first, const struct row *base,
                                struct labels labels)
{
    for (size_t r = first; r < out->n; r++)
        if (labels_equal(out->rows[r].labels, labels))
            return &out->rows[r];
    struct row *row = value_add_row(x->ev, out, labels);
    row->drop_name = base->drop_name;
    return row;
}

static void copy_step(struct info *x, struct row *to, const struct row *from, uint32_t i)
{
    if (row_hist(from, i))
        row_set_hist(x->ev, to, i, from->h[i]);
    else
        row_set(to, i, from->v[i]);
}

static void enrich(struct info *x, const struct row *base, const struct info_candidates *f, struct value *out)
{
    size_t first = out->n;
    const struct row **now = ARENA_ARRAY(x->ev->arena, const struct row *, f->n),
                     **before = ARENA_ARRAY(x->ev->arena, const struct row *, f->n);
    struct labels labels = base->labels;
    for (uint32_t i = 0; i < x->ev->grid.n; i++) {
        if (is_absent(base->v[i]))
            continue;
        eval_charge(x->ev, 4 * (f->n + out->n - first));
        if (!info_choose_rows(x, f, i, now) && !info_ignores_buckets(x))
            continue;
        if (f->n > 0 && memcmp(now, before, f->n * sizeof(const struct row *)) != 0) {
            labels = base->labels;
            for (size_t r = 0; r < f->n; r++)
                if (now[r])
                    labels = info_add_labels(x, base->labels, labels, now[r]->labels);
            memcpy(before, now, f->n * sizeof(const struct row *));
        }
        copy_step(x, info_add_row(x, out, first, base, labels), base, i);
    }
}

static void info(struct eval *ev, const struct expr *call, struct value *out)
{
    struct value base = {.type = VALUE_VECTOR};
    struct info *x = ARENA_NEW(ev->arena, struct info);
    *x = (struct info){.ev = ev, .call = call, .series = {.type = VALUE_VECTOR}};
    eval_on_end(ev, info_free_regexes, &x->made);
    ev->nodes->expr(ev, call->u.call.args[0], &base);
    read_matchers(x);
    fetch(x, &base);
    struct info_candidates all = all_by_identity(x);
    for (size_t r = 0; r < base.n; r++) {
        eval_check(ev);
        if (is_info(x, &base.rows[r])) {
            struct row *row = value_add_row(ev, out, base.rows[r].labels);
            *row = base.rows[r];
            continue;
        }
        struct info_candidates f = find_fitting(&all, base.rows[r].labels);
        enrich(x, &base.rows[r], &f, out);
    }
}

const struct function_impl fn_info = {.walk = info, .sets_labels = true};
