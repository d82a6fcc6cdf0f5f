// SPDX-License-Identifier: Apache-2.0
/* Annotations shared by several functions. */
#include "promql/functions/functions_internal.h"

/* Annotations have the position of the first argument, which is not always the range vector; those about a subquery
 * have the position of the query's start, as in Prometheus, whose subquery selector has no position. */
static const struct expr *annotated_argument(const struct range_input *in)
{
    static const struct expr beginning;
    const struct expr *first = in->call->u.call.args[0];
    return first->type != VALUE_MATRIX ? first : in->subquery ? &beginning : in->arg;
}

void fn_annotate(struct eval *ev, const struct range_input *in, unsigned notes)
{
    if (notes == 0)
        return;
    const struct expr *at = annotated_argument(in);
    const char *name = eval_quoted(ev, labels_name(in->labels));
    if (notes & NOTE_MIXED)
        eval_warn(ev, at, "encountered a mix of histograms and floats for metric name %s", name);
    if (notes & NOTE_IGNORED)
        eval_info(ev, at, "ignored histograms in a range containing both floats and histograms for metric name %s",
                  name);
    if (notes & NOTE_NOT_COUNTER)
        eval_warn(ev, at, "this native histogram metric is not a counter: %s", name);
    if (notes & NOTE_NOT_GAUGE)
        eval_warn(ev, at, "this native histogram metric is not a gauge: %s", name);
    if (notes & NOTE_SCHEMAS)
        eval_warn(ev, at,
                  "vector contains a mix of histograms with exponential and custom buckets schemas for metric name %s",
                  name);
    if (notes & NOTE_BOUNDS_ADD)
        eval_info(ev, at, "mismatched custom buckets were reconciled during addition");
    if (notes & NOTE_BOUNDS_SUB)
        eval_info(ev, at, "mismatched custom buckets were reconciled during subtraction");
    if (notes & NOTE_BOUNDS_AGG)
        eval_info(ev, at, "mismatched custom buckets were reconciled during aggregation");
    if (notes & NOTE_HINTS_AGG)
        eval_warn(ev, at, "conflicting counter resets during histogram aggregation");
    if (notes & NOTE_ODD_NAME)
        eval_info(ev, at, "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: %s",
                  name);
}
