// SPDX-License-Identifier: Apache-2.0
#include "promql/ast/tree.h"

static void chain_children(struct expr *e, void (*visit)(struct expr **child, void *arg), void *arg)
{
    struct expr *b = binary_chain_start(e);
    visit(&b->u.binary.left, arg);
    for (;; b = b->u.binary.next) {
        visit(&b->u.binary.right, arg);
        if (b == e)
            break;
    }
}

void expr_children(const struct expr *from, void (*visit)(struct expr **child, void *arg), void *arg)
{
    struct expr *e = (struct expr *)from;
    switch (e->kind) {
    case EXPR_MATRIX: visit(&e->u.matrix.selector, arg); break;
    case EXPR_SUBQUERY: visit(&e->u.subquery.inner, arg); break;
    case EXPR_PAREN: visit(&e->u.paren.inner, arg); break;
    case EXPR_STEP_INVARIANT: visit(&e->u.invariant.inner, arg); break;
    case EXPR_UNARY: visit(&e->u.unary.inner, arg); break;
    case EXPR_BINARY: chain_children(e, visit, arg); break;
    case EXPR_AGGREGATE:
        visit(&e->u.aggregate.inner, arg);
        if (e->u.aggregate.param)
            visit(&e->u.aggregate.param, arg);
        break;
    case EXPR_CALL:
        for (size_t i = 0; i < e->u.call.n_args; i++)
            visit(&e->u.call.args[i], arg);
        break;
    case EXPR_CUT:
        for (size_t i = 0; i < e->u.cut.n; i++)
            visit(&e->u.cut.parts[i].value, arg);
        break;
    case EXPR_NUMBER: case EXPR_STRING: case EXPR_SELECTOR: case EXPR_FETCHED: break;
    }
}

/* --- copies ------------------------------------------------------------------------------------------------------- */

static struct expr *tree_copy_node(const struct expr_rewriter *r, const struct expr *from)
{
    struct expr *e = arena_alloc(r->arena, sizeof *e);
    *e = *from;
    return e;
}

static struct expr *tree_leave(const struct expr_rewriter *r, struct expr *copy)
{
    return r->leave ? r->leave(copy, r->arg) : copy;
}

static struct expr *tree_rewrite_chain(const struct expr_rewriter *r, const struct expr *from)
{
    const struct expr *b = binary_chain_start(from);
    struct expr *left = expr_rewrite(r, b->u.binary.left);
    for (;; b = b->u.binary.next) {
        struct expr *e = tree_copy_node(r, b);
        e->u.binary.left = left;
        if (r->enter)
            r->enter(e, r->arg);
        e->u.binary.right = expr_rewrite(r, b->u.binary.right);
        e = tree_leave(r, e);
        if (e->kind == EXPR_BINARY && e->u.binary.left->kind == EXPR_BINARY)
            e->u.binary.left->u.binary.next = e;
        if (b == from)
            return e;
        left = e;
    }
}

/* The arrays that hold children: the copy gets its own. */
static void tree_own_arrays(const struct expr_rewriter *r, struct expr *e)
{
    if (e->kind == EXPR_CALL) {
        struct expr **args = ARENA_ARRAY(r->arena, struct expr *, e->u.call.n_args);
        for (size_t i = 0; i < e->u.call.n_args; i++)
            args[i] = e->u.call.args[i];
        e->u.call.args = args;
    } else if (e->kind == EXPR_CUT) {
        struct expr_part *parts = ARENA_ARRAY(r->arena, struct expr_part, e->u.cut.n);
        for (size_t i = 0; i < e->u.cut.n; i++)
            parts[i] = e->u.cut.parts[i];
        e->u.cut.parts = parts;
    }
}

static void tree_rewrite_child(struct expr **child, void *r) { *child = expr_rewrite(r, *child); }

struct expr *expr_rewrite(const struct expr_rewriter *r, const struct expr *from)
{
    if (from == NULL)
        return NULL;
    if (from->kind == EXPR_BINARY)
        return tree_rewrite_chain(r, from);
    struct expr *e = tree_copy_node(r, from);
    if (r->enter == NULL || r->enter(e, r->arg)) {
        tree_own_arrays(r, e);
        expr_children(e, tree_rewrite_child, (void *)r);
    }
    return tree_leave(r, e);
}
