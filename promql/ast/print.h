// SPDX-License-Identifier: Apache-2.0
/* Parts of the printer that print.c and pretty.c share. */
#ifndef PROMQL_AST_PRINT_H
#define PROMQL_AST_PRINT_H

#include "promql/ast/ast.h"
#include "promql/promql.h"

void print_number(struct buf *out, double v);                      /* without an exponent, as Go's 'f' */
void print_aggregate_head(struct buf *out, const struct expr *e);  /* sum by (a) */
bool print_is_infinite_base(const struct expr *binary);            /* Inf ^ x: the base is printed without a sign */
void print_operator(struct buf *out, const struct expr *e);        /* == bool on (a) group_left () */
void print_subquery_suffix(struct buf *out, const struct expr *e); /* [5m:1m] offset 1h */

#endif
