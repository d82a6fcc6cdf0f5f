// SPDX-License-Identifier: Apache-2.0
/* What a planner needs of the language, between promql_eval's preparation of a tree and its evaluation: the nodes, how
 * to walk and rewrite them, what each must see together (enum distribution), and at which points in time each is
 * evaluated. A planner is the `plan` of a source (model/source.h).
 */
#ifndef PROMQL_PLAN_H
#define PROMQL_PLAN_H

#include "promql/ast/functions.h"
#include "promql/ast/grid.h"
#include "promql/ast/tree.h"
#include "promql/promql.h"

#endif
