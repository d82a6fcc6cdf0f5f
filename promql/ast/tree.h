// SPDX-License-Identifier: Apache-2.0
/* Walks through a tree of any shape, and copies of it with changes: what every other walker needs to know about the
 * kinds of nodes. Neither recurses along a chain of operations. Pure; any thread.
 */
#ifndef PROMQL_AST_TREE_H
#define PROMQL_AST_TREE_H

#include "promql/ast/ast.h"

/* Calls `visit` for each child of e, in the order of the text (an aggregation's parameter last). The children of a
 * chain of operations are its operands: the first left side and all right sides; the operations themselves are not
 * visited. `visit` may store another child in its place. */
void expr_children(const struct expr *e, void (*visit)(struct expr **child, void *arg), void *arg);

/* Copies a tree into the arena. `enter` is called with the copy of a node before its children are copied, and may
 * change it; false: its children are shared with the original, not copied. `leave` is called when they are, and returns
 * the node that takes its place. Either may be NULL. Operations of a chain get both calls, the first operation first;
 * their `enter` comes after their left side is complete, and its result is ignored. */
struct expr_rewriter {
    struct arena *arena;
    bool (*enter)(struct expr *copy, void *arg);
    struct expr *(*leave)(struct expr *copy, void *arg);
    void *arg;
};
struct expr *expr_rewrite(const struct expr_rewriter *r, const struct expr *e); /* NULL of NULL */

#endif
