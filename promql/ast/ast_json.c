// SPDX-License-Identifier: Apache-2.0
/* Writes the tree as /api/v1/parse_query returns it. Keys are in byte order, as in a map printed by Go. */
#include "base/json/json_write.h"
#include "promql/ast/functions.h"
#include "promql/ast/print.h"

static void write_expr(struct json_writer *w, const struct expr *e);

static void key_text(struct json_writer *w, const char *key, struct str text)
{
    json_key(w, key);
    json_html_str(w, text);
}

static void key_expr(struct json_writer *w, const char *key, const struct expr *e)
{
    json_key(w, key);
    if (e)
        write_expr(w, e);
    else
        json_put_null(w);
}

static void key_strings(struct json_writer *w, const char *key, const struct str *items, size_t n)
{
    json_key(w, key);
    json_begin_array(w);
    for (size_t i = 0; i < n; i++)
        json_html_str(w, items[i]);
    json_end_array(w);
}

static void key_value(struct json_writer *w, double v)
{
    struct buf text = {0};
    print_number(&text, v);
    key_text(w, "val", buf_str(&text));
    buf_free(&text);
}

/* --- durations ---------------------------------------------------------------------------------------------------- */

static const char *duration_op(const struct duration_expr *d)
{
    switch (d->kind) {
    case DUR_SUB: case DUR_NEG: return "-";
    case DUR_MUL: return "*";
    case DUR_DIV: return "/";
    case DUR_MOD: return "%";
    case DUR_POW: return "^";
    case DUR_STEP: return "step";
    case DUR_RANGE: return "range";
    case DUR_MIN: return "min_of";
    case DUR_MAX: return "max_of";
    default: return "+";
    }
}

static void key_duration(struct json_writer *w, const char *key, const struct duration_expr *d);

static void write_operator(struct json_writer *w, const char *op, const struct duration_expr *right, bool wrapped)
{
    key_text(w, "op", str_of(op));
    key_duration(w, "rhs", right);
    key_text(w, "type", STR("durationExpr"));
    json_field_bool(w, "wrapped", wrapped);
}

static void write_operation(struct json_writer *w, const struct duration_expr *left, const char *op,
                            const struct duration_expr *right, bool wrapped)
{
    key_duration(w, "lhs", left);
    write_operator(w, op, right, wrapped);
}

static void write_duration_chain(struct json_writer *w, const struct duration_expr *d, bool wrapped)
{
    const struct duration_expr *b = d;
    for (; duration_is_binary(b->left); b = b->left) {
        json_key(w, "lhs");
        json_begin_object(w);
    }
    key_duration(w, "lhs", b->left);
    for (; b != d; b = b->next) {
        write_operator(w, duration_op(b), b->right, false);
        json_end_object(w);
    }
    write_operator(w, duration_op(d), d->right, wrapped);
}

/* Parentheses are a flag of their contents; around a number they become a unary plus. */
static void write_duration(struct json_writer *w, const struct duration_expr *d)
{
    bool wrapped = d->kind == DUR_PAREN;
    if (wrapped && d->left->kind != DUR_NUMBER)
        d = d->left;
    struct duration_expr unsigned_d = *d;
    unsigned_d.plus = false;
    json_begin_object(w);
    if (d->kind == DUR_NUMBER) {
        json_field_bool(w, "duration", d->as_duration);
        key_text(w, "type", STR("numberLiteral"));
        key_value(w, d->seconds);
    } else if (d->kind == DUR_NEG || d->kind == DUR_PAREN) {
        write_operation(w, NULL, duration_op(d), d->left, wrapped);
    } else if (duration_is_binary(d)) {
        write_duration_chain(w, d, wrapped);
    } else if (d->plus) {
        write_operation(w, NULL, "+", &unsigned_d, wrapped);
    } else {
        write_operation(w, d->left, duration_op(d), d->right, wrapped);
    }
    json_end_object(w);
}

static void key_duration(struct json_writer *w, const char *key, const struct duration_expr *d)
{
    json_key(w, key);
    if (d)
        write_duration(w, d);
    else
        json_put_null(w);
}

static void write_offset(struct json_writer *w, const struct time_shift *s)
{
    json_field_i64(w, "offset", s->offset);
    key_duration(w, "offsetExpr", s->offset_expr);
}

static void write_at(struct json_writer *w, const struct time_shift *s)
{
    json_key(w, "startOrEnd");
    if (s->at == AT_START || s->at == AT_END)
        json_z(w, s->at == AT_START ? "start" : "end");
    else
        json_put_null(w);
}

static void write_timestamp(struct json_writer *w, const struct time_shift *s)
{
    json_key(w, "timestamp");
    if (s->at == AT_TIME)
        json_i64(w, s->at_time);
    else
        json_put_null(w);
}

/* --- nodes -------------------------------------------------------------------------------------------------------- */

static void write_matchers(struct json_writer *w, const struct expr *e)
{
    json_key(w, "matchers");
    json_begin_array(w);
    for (size_t i = 0; i < e->u.selector.n_matchers; i++) {
        const struct matcher *m = &e->u.selector.matchers[i];
        json_begin_object(w);
        key_text(w, "name", m->name);
        key_text(w, "type", str_of(match_type_text(m->type)));
        key_text(w, "value", m->value);
        json_end_object(w);
    }
    json_end_array(w);
}

/* A vector selector, or the matrix selector around it. */
static void write_selector(struct json_writer *w, const struct expr *e, const struct expr *matrix)
{
    json_field_bool(w, "anchored", e->u.selector.anchored);
    write_matchers(w, e);
    key_text(w, "name", e->u.selector.name);
    write_offset(w, &e->u.selector.shift);
    if (matrix) {
        json_field_i64(w, "range", matrix->u.matrix.range);
        key_duration(w, "rangeExpr", matrix->u.matrix.range_expr);
    }
    json_field_bool(w, "smoothed", e->u.selector.smoothed);
    write_at(w, &e->u.selector.shift);
    write_timestamp(w, &e->u.selector.shift);
    key_text(w, "type", matrix ? STR("matrixSelector") : STR("vectorSelector"));
}

static void write_subquery(struct json_writer *w, const struct expr *e)
{
    key_expr(w, "expr", e->u.subquery.inner);
    write_offset(w, &e->u.subquery.shift);
    json_field_i64(w, "range", e->u.subquery.range);
    key_duration(w, "rangeExpr", e->u.subquery.range_expr);
    write_at(w, &e->u.subquery.shift);
    json_field_i64(w, "step", e->u.subquery.step);
    key_duration(w, "stepExpr", e->u.subquery.step_expr);
    write_timestamp(w, &e->u.subquery.shift);
    key_text(w, "type", STR("subquery"));
}

static void write_fill(struct json_writer *w, const char *key, bool set, double v)
{
    json_key(w, key);
    if (set)
        json_double(w, v);
    else
        json_put_null(w);
}

static void write_matching(struct json_writer *w, const struct matching *m)
{
    static const char *const cards[] = {
        [CARD_ONE_TO_ONE] = "one-to-one", [CARD_MANY_TO_ONE] = "many-to-one", [CARD_ONE_TO_MANY] = "one-to-many",
        [CARD_MANY_TO_MANY] = "many-to-many",
    };
    json_key(w, "matching");
    if (m == NULL) {
        json_put_null(w);
        return;
    }
    json_begin_object(w);
    key_text(w, "card", str_of(cards[m->card]));
    json_key(w, "fillValues");
    json_begin_object(w);
    write_fill(w, "lhs", m->fill_left, m->fill_left_value);
    write_fill(w, "rhs", m->fill_right, m->fill_right_value);
    json_end_object(w);
    key_strings(w, "include", m->include, m->n_include);
    key_strings(w, "labels", m->labels, m->n_labels);
    json_field_bool(w, "on", m->on);
    json_end_object(w);
}

/* The members of e; those of the other operations of its chain are nested in "lhs". */
static void write_chain(struct json_writer *w, const struct expr *e)
{
    const struct expr *b = e;
    json_field_bool(w, "bool", b->u.binary.is_bool);
    for (; b->u.binary.left->kind == EXPR_BINARY; json_field_bool(w, "bool", b->u.binary.is_bool)) {
        b = b->u.binary.left;
        json_key(w, "lhs");
        json_begin_object(w);
    }
    key_expr(w, "lhs", b->u.binary.left);
    for (;; b = b->u.binary.next) {
        write_matching(w, b->u.binary.matching);
        key_text(w, "op", str_of(binary_op_text(b->u.binary.op)));
        key_expr(w, "rhs", b->u.binary.right);
        key_text(w, "type", STR("binaryExpr"));
        if (b == e)
            break;
        json_end_object(w);
    }
}

static const char *type_word(enum value_type t)
{
    return t == VALUE_VECTOR ? "vector" : t == VALUE_MATRIX ? "matrix" : value_type_name(t);
}

static void write_call(struct json_writer *w, const struct expr *e)
{
    const struct function *fn = e->u.call.fn;
    json_key(w, "args");
    json_begin_array(w);
    for (size_t i = 0; i < e->u.call.n_args; i++)
        write_expr(w, e->u.call.args[i]);
    json_end_array(w);
    json_key(w, "func");
    json_begin_object(w);
    json_key(w, "argTypes");
    json_begin_array(w);
    for (int i = 0; i < fn->n_args; i++)
        json_z(w, type_word(fn->args[i]));
    json_end_array(w);
    key_text(w, "name", str_of(fn->name));
    key_text(w, "returnType", str_of(type_word(fn->returns)));
    json_field_i64(w, "variadic", fn->variadic);
    json_end_object(w);
    key_text(w, "type", STR("call"));
}

static void write_aggregate(struct json_writer *w, const struct expr *e)
{
    key_expr(w, "expr", e->u.aggregate.inner);
    key_strings(w, "grouping", e->u.aggregate.labels, e->u.aggregate.n_labels);
    key_text(w, "op", str_of(aggregate_op_text(e->u.aggregate.op)));
    key_expr(w, "param", e->u.aggregate.param);
    key_text(w, "type", STR("aggregation"));
    json_field_bool(w, "without", e->u.aggregate.without);
}

static void write_members(struct json_writer *w, const struct expr *e)
{
    switch (e->kind) {
    case EXPR_NUMBER:
        key_text(w, "type", STR("numberLiteral"));
        key_value(w, e->u.number.v);
        break;
    case EXPR_STRING:
        key_text(w, "type", STR("stringLiteral"));
        key_text(w, "val", e->u.string);
        break;
    case EXPR_PAREN:
        key_expr(w, "expr", e->u.paren.inner);
        key_text(w, "type", STR("parenExpr"));
        break;
    case EXPR_UNARY:
        key_expr(w, "expr", e->u.unary.inner);
        key_text(w, "op", e->u.unary.minus ? STR("-") : STR("+"));
        key_text(w, "type", STR("unaryExpr"));
        break;
    case EXPR_BINARY: write_chain(w, e); break;
    case EXPR_AGGREGATE: write_aggregate(w, e); break;
    case EXPR_CALL: write_call(w, e); break;
    case EXPR_SELECTOR: write_selector(w, e, NULL); break;
    case EXPR_MATRIX: write_selector(w, e->u.matrix.selector, e); break;
    case EXPR_SUBQUERY: write_subquery(w, e); break;
    case EXPR_STEP_INVARIANT: case EXPR_FETCHED: case EXPR_CUT: break; /* never in a parsed tree */
    }
}

static void write_expr(struct json_writer *w, const struct expr *e)
{
    json_begin_object(w);
    write_members(w, e);
    json_end_object(w);
}

void promql_json(struct buf *out, const struct expr *e) { write_expr(&(struct json_writer){.out = out}, e); }
