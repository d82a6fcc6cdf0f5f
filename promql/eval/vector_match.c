// SPDX-License-Identifier: Apache-2.0
/* Arithmetic and comparison between two vectors.
 *
 * At each step a group has at most one sample on the "one" side, or the query fails; the other side is "many" (in
 * one-to-one matching it must not have two samples at a step either). Each row of the many side is processed once,
 * over all steps, against the row that the one side has at that step: usually the same row at all steps, so that the
 * labels of the result are computed once.
 *
 *   many row --(group)--> one side: a single row, or `row_at[i]`, the row present at step i
 *      \-> target: the row of the result with these labels in this group
 */
#include "promql/eval/eval_internal.h"

#include "base/map.h"

enum { ROW_NONE = -1, ROW_FILL = -2 }; /* instead of a row index of the one side */

struct one_side {
    uint32_t n_rows;
    int32_t row;         /* when n_rows is 1 */
    int32_t *row_at;     /* with several rows: per step, a row or ROW_NONE */
    uint8_t *matched;    /* with a fill value for the many side: steps at which the group was matched */
};
/* taken: steps at which a filter was evaluated, whether it passed or not; NULL: see the row */
struct match_target { size_t row; uint8_t *taken; };
struct duplicate { uint32_t step; size_t first, second; bool found; };

struct join {
    struct eval *ev;
    const struct expr *e;
    const struct matching *m;
    struct value *many, *one, *out;
    const uint32_t *many_group, *one_group;
    struct match_groups groups;
    struct names names;  /* of on() or ignoring() */
    struct one_side *sides;
    uint8_t *active;     /* per step: both sides have a value or a fill value, and no error occurred before */
    struct duplicate duplicate; /* on the one side, the earliest */
    uint8_t *notes;      /* per step: the last enum element_note */
    struct map *known;   /* group number and labels -> index of targets */
    struct match_target *targets; size_t n_targets, cap_targets;
    bool swapped;        /* the one side is the left one */
    bool filters;        /* a comparison without bool */
};

static int32_t match_row_at(const struct join *j, const struct one_side *s, uint32_t i)
{
    if (s->n_rows == 0)
        return ROW_NONE;
    if (s->row_at)
        return s->row_at[i];
    return is_absent(j->one->rows[s->row].v[i]) ? ROW_NONE : s->row;
}

/* --- the one side ------------------------------------------------------------------------------------------------- */

static uint8_t *any_present(struct eval *ev, const struct value *side)
{
    uint8_t *any = ARENA_ARRAY(ev->arena, uint8_t, ev->grid.n);
    for (size_t r = 0; r < side->n; r++) {
        eval_charge(ev, ev->grid.n);
        for (uint32_t i = 0; i < ev->grid.n; i++)
            any[i] |= !is_absent(side->rows[r].v[i]);
    }
    return any;
}

static void find_active(struct join *j)
{
    const uint8_t *many = any_present(j->ev, j->many), *one = any_present(j->ev, j->one);
    bool fills = j->m->fill_left || j->m->fill_right;
    j->active = ARENA_ARRAY(j->ev->arena, uint8_t, j->ev->grid.n);
    for (uint32_t i = 0; i < j->ev->grid.n; i++)
        j->active[i] = fills ? many[i] | one[i] : many[i] & one[i];
}

static void add_to_side(struct join *j, struct one_side *s, size_t r)
{
    struct duplicate *dup = &j->duplicate;
    const double *v = j->one->rows[r].v;
    eval_charge(j->ev, 1);
    if (s->n_rows++ == 0) {
        s->row = (int32_t)r;
        return;
    }
    if (s->row_at == NULL) {
        int32_t *row_at = arena_alloc(j->ev->arena, j->ev->grid.n * sizeof *row_at);
        for (uint32_t i = 0; i < j->ev->grid.n; i++)
            row_at[i] = is_absent(j->one->rows[s->row].v[i]) ? ROW_NONE : s->row;
        s->row_at = row_at;
    }
    eval_charge(j->ev, j->ev->grid.n);
    for (uint32_t i = 0; i < j->ev->grid.n; i++) {
        if (is_absent(v[i]))
            continue;
        if (s->row_at[i] != ROW_NONE && j->active[i] && (!dup->found || i < dup->step))
            *dup = (struct duplicate){i, (size_t)s->row_at[i], r, true};
        s->row_at[i] = (int32_t)r;
    }
}

static void match_fail_duplicate(struct join *j)
{
    const struct duplicate *d = &j->duplicate;
    struct str group = labels_quoted(j->ev, j->groups.labels[j->one_group[d->first]]);
    struct str x = labels_quoted(j->ev, j->one->rows[d->first].labels);
    struct str y = labels_quoted(j->ev, j->one->rows[d->second].labels);
    bool ordered = str_cmp(x, y) <= 0;
    eval_fail(j->ev, ERR_EXEC,
              "found duplicate series for the match group %.*s on the %s hand-side of the operation: [%.*s, %.*s]"
              ";many-to-many matching not allowed: matching labels must be unique on one side",
              STR_ARG(group), j->swapped ? "left" : "right", STR_ARG(ordered ? x : y), STR_ARG(ordered ? y : x));
}

/* The query fails with the earliest step's error: after a duplicate only earlier steps are matched. */
static void match_build_one_side(struct join *j)
{
    j->sides = ARENA_ARRAY(j->ev->arena, struct one_side, j->groups.n);
    for (size_t r = 0; r < j->one->n; r++)
        add_to_side(j, &j->sides[j->one_group[r]], r);
    if (j->duplicate.found)
        memset(j->active + j->duplicate.step, 0, j->ev->grid.n - j->duplicate.step);
}

/* --- the result --------------------------------------------------------------------------------------------------- */

static struct labels result_labels(const struct join *j, struct labels many, struct labels one)
{
    struct arena *a = j->ev->arena;
    enum binary_op op = j->e->u.binary.op;
    if (binary_changes_meaning(op) || (j->e->u.binary.is_bool && !j->ev->delayed_names))
        many = labels_without_name(a, many);
    if (j->m->card == CARD_ONE_TO_ONE && j->m->on)
        many = labels_keep(a, many, j->names.items, j->names.n);
    else if (j->m->card == CARD_ONE_TO_ONE)
        many = labels_drop(a, many, j->names.items, j->names.n);
    for (size_t i = 0; i < j->m->n_include; i++)
        many = labels_with(a, many, j->m->include[i], labels_get(one, j->m->include[i]));
    return many;
}

static size_t target_of(struct join *j, uint32_t group, struct labels many, struct labels one)
{
    struct arena *a = j->ev->arena;
    eval_charge(j->ev, 2 * CHARGE_LABELS);
    struct labels l = result_labels(j, many, one);
    char *key = arena_bytes(a, sizeof group + l.n);
    memcpy(key, &group, sizeof group);
    if (l.n > 0)
        memcpy(key + sizeof group, l.p, l.n);
    bool added;
    struct map_entry *e = map_add(j->known, str_n(key, sizeof group + l.n), &added);
    if (added) {
        e->value.u = j->n_targets;
        arena_grow(a, &j->targets, &j->cap_targets, j->n_targets + 1, sizeof *j->targets);
        struct match_target t = {.row = j->out->n, .taken = j->filters ? ARENA_ARRAY(a, uint8_t, j->ev->grid.n) : NULL};
        value_add_row(j->ev, j->out, l)->drop_name = j->e->u.binary.is_bool;
        j->targets[j->n_targets++] = t;
    }
    return e->value.u;
}

static void fail_multiple(const struct join *j)
{
    const char *wanted = j->m->card == CARD_ONE_TO_ONE
                             ? "many-to-one matching must be explicit (group_left/group_right)"
                             : "grouping labels must ensure unique matches";
    eval_fail(j->ev, ERR_EXEC, "multiple matches for labels: %s", wanted);
}

struct match_side { double v; const struct histogram *h; };

/* Evaluates one pair at one step. */
static void match_put_pair(struct join *j, const struct match_target *t, uint32_t group, uint32_t i,
                           struct match_side many, struct match_side one)
{
    struct element x;
    struct row *row = &j->out->rows[t->row];
    eval_charge(j->ev, 4);
    struct match_side l = j->swapped ? one : many, r = j->swapped ? many : one;
    bool ok = binary_element(j->ev, j->e->u.binary.op, l.v, l.h, r.v, r.h, &x);
    if (x.note != ELEMENT_OK)
        j->notes[i] = (uint8_t)x.note;
    if (!ok)
        return;
    if (t->taken ? t->taken[i] : !is_absent(row->v[i]))
        fail_multiple(j);
    if (t->taken)
        t->taken[i] = 1;
    if (j->sides[group].matched)
        j->sides[group].matched[i] = 1;
    if (j->e->u.binary.is_bool)
        row_set(row, i, x.keep);
    else if (x.keep && x.h)
        row_set_hist(j->ev, row, i, x.h);
    else if (x.keep)
        row_set(row, i, x.v);
}

/* Two rows of floats with + - * /, into a row without values. */
static bool match_put_columns(struct join *j, const struct match_target *t, const struct row *many,
                              const struct row *one)
{
    const double *l = j->swapped ? one->v : many->v, *r = j->swapped ? many->v : one->v;
    double *out = j->out->rows[t->row].v;
    if (many->h || one->h)
        return false;
#define EACH(expression)                                                                                              \
    for (uint32_t i = 0; i < j->ev->grid.n; i++) {                                                                    \
        double x = (expression);                                                                                      \
        out[i] = is_absent(l[i]) || is_absent(r[i]) ? out[i] : x;                                                     \
    }                                                                                                                 \
    return true
    switch (j->e->u.binary.op) {
    case OP_ADD: EACH(l[i] + r[i]);
    case OP_SUB: EACH(l[i] - r[i]);
    case OP_MUL: EACH(l[i] * r[i]);
    case OP_DIV: EACH(l[i] / r[i]);
    default: return false;
    }
#undef EACH
}

static struct match_side match_one_value(const struct join *j, int32_t row, uint32_t i)
{
    if (row == ROW_FILL)
        return (struct match_side){j->m->fill_right_value, NULL};
    return (struct match_side){j->one->rows[row].v[i], row_hist(&j->one->rows[row], i)};
}

static void join_row(struct join *j, size_t r)
{
    const struct row *many = &j->many->rows[r];
    uint32_t group = j->many_group[r];
    const struct one_side *side = &j->sides[group];
    eval_charge(j->ev, j->ev->grid.n);
    if (side->n_rows == 0 && !j->m->fill_right)
        return;
    if (side->n_rows == 1 && !j->m->fill_right && !j->m->fill_left) {
        size_t before = j->n_targets, t = target_of(j, group, many->labels, j->one->rows[side->row].labels);
        if (t == before && match_put_columns(j, &j->targets[t], many, &j->one->rows[side->row]))
            return;
    }
    int32_t last = ROW_NONE;
    size_t t = 0;
    for (uint32_t i = 0; i < j->ev->grid.n; i++) {
        if (is_absent(many->v[i]) || !j->active[i])
            continue;
        int32_t row = match_row_at(j, side, i);
        if (row == ROW_NONE && j->m->fill_right)
            row = ROW_FILL;
        if (row == ROW_NONE)
            continue;
        if (row != last)
            t = target_of(j, group, many->labels, row == ROW_FILL ? j->groups.labels[group] : j->one->rows[row].labels);
        last = row;
        match_put_pair(j, &j->targets[t], group, i, (struct match_side){many->v[i], row_hist(many, i)},
                       match_one_value(j, row, i));
    }
}

/* Samples of the one side without a match, with the fill value for the many side. */
static void match_fill_many(struct join *j, size_t r)
{
    const struct row *one = &j->one->rows[r];
    uint32_t group = j->one_group[r];
    size_t t = SIZE_MAX;
    eval_charge(j->ev, j->ev->grid.n);
    for (uint32_t i = 0; i < j->ev->grid.n; i++) {
        if (is_absent(one->v[i]) || !j->active[i] || j->sides[group].matched[i])
            continue;
        if (t == SIZE_MAX)
            t = target_of(j, group, j->groups.labels[group], one->labels);
        match_put_pair(j, &j->targets[t], group, i, (struct match_side){j->m->fill_left_value, NULL},
                       (struct match_side){one->v[i], row_hist(one, i)});
    }
}

static void match_annotate(const struct join *j)
{
    unsigned notes = 0;
    for (uint32_t i = 0; i < j->ev->grid.n; i++)
        notes |= 1u << j->notes[i];
    binary_annotate(j->ev, j->e, notes);
}

static void match_free_map(void *map) { map_free(map); }

void eval_join(struct eval *ev, const struct expr *e, struct value *left, struct value *right, struct value *out)
{
    const struct matching *m = e->u.binary.matching;
    struct join j = {.ev = ev, .e = e, .m = m, .out = out, .swapped = m->card == CARD_ONE_TO_MANY,
                     .filters = binary_is_comparison(e->u.binary.op) && !e->u.binary.is_bool,
                     .known = ARENA_NEW(ev->arena, struct map)};
    eval_on_end(ev, match_free_map, j.known);
    match_groups(ev, m, left, right, &j.groups);
    j.names = names_sorted(ev, m->labels, m->n_labels, STR_NONE);
    j.many = j.swapped ? right : left;
    j.one = j.swapped ? left : right;
    j.many_group = j.swapped ? j.groups.right : j.groups.left;
    j.one_group = j.swapped ? j.groups.left : j.groups.right;
    j.notes = ARENA_ARRAY(ev->arena, uint8_t, ev->grid.n);
    find_active(&j);
    match_build_one_side(&j);
    for (size_t g = 0; m->fill_left && g < j.groups.n; g++)
        j.sides[g].matched = ARENA_ARRAY(ev->arena, uint8_t, ev->grid.n);
    for (size_t r = 0; r < j.many->n; r++)
        join_row(&j, r);
    for (size_t r = 0; m->fill_left && r < j.one->n; r++)
        match_fill_many(&j, r);
    if (j.duplicate.found)
        match_fail_duplicate(&j);
    match_annotate(&j);
    map_free(j.known);
    value_drop_empty(out, ev->grid.n);
}
