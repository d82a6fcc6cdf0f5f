// SPDX-License-Identifier: Apache-2.0
/* The words of the notes that several functions share. */
#include "promql/functions/functions_internal.h"
#include "promql/ast/quote.h"

#include "base/text/num.h"

const char *fn_quoted(struct eval *ev, struct str s)
{
    struct buf *b = eval_buf(ev);
    quote_text(b, s);
    const char *z = arena_z(ev->arena, buf_str(b));
    buf_free(b);
    return z;
}

const char *fn_number(struct eval *ev, double v)
{
    char text[NUM_MAX];
    return arena_z(ev->arena, str_n(text, num_format_go(text, v)));
}

const char *fn_for_metric(struct eval *ev, struct labels l)
{
    struct str name = ev->delayed_names ? labels_name(l) : STR_NONE;
    return name.n == 0 ? "" : arena_printf(ev->arena, " for metric name %s%c", fn_quoted(ev, name), 0).p;
}

void fn_check_quantile(struct eval *ev, const struct expr *at, double q)
{
    if (!(q >= 0 && q <= 1))
        eval_warn(ev, at, "quantile value should be between 0 and 1, got %s", fn_number(ev, q));
}

/* Notes stand at the first argument, which is not always the range; those about a subquery at the query's beginning, as
 * in Prometheus, which has put a selector without a place there. */
static const struct expr *place(const struct range_input *in)
{
    static const struct expr beginning;
    const struct expr *first = in->call->u.call.args[0];
    return first->type != VALUE_MATRIX ? first : in->subquery ? &beginning : in->arg;
}

void fn_annotate(struct eval *ev, const struct range_input *in, unsigned notes)
{
    if (notes == 0)
        return;
    const struct expr *at = place(in);
    const char *name = fn_quoted(ev, labels_name(in->labels));
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
