// SPDX-License-Identifier: Apache-2.0
/* The implementation of each function. start(), end(), range() and step() are replaced by numbers before evaluation,
 * so they have none. */
#include "promql/functions/functions_internal.h"

static void grid_function_rows(struct eval *ev, const struct call *c, struct value *out)
{
    (void)out;
    eval_fail(ev, ERR_INTERNAL, "%s() must be replaced before evaluation", c->expr->u.call.fn->name);
}
const struct function_impl grid_function = {.rows = grid_function_rows};

static const struct function_impl *const impls[N_FUNCTIONS] = {
#define FUNCTION(id, name, impl, ...) [FN_##id] = &impl,
#include "promql/ast/functions.def"
#undef FUNCTION
};

const struct function_impl *function_impl(enum function_id id) { return impls[id]; }
