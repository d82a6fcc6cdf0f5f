// SPDX-License-Identifier: Apache-2.0
/* The API's JSON form of a histogram: {"count":"7","sum":"5","buckets":[[BOUNDS,"from","to","count"],...]}, with the
 * populated buckets in ascending order. */
#include "promql/promql.h"

#include "base/text/num.h"
#include "model/histogram/histogram_math.h"

static void add_quoted(struct buf *out, double v)
{
    buf_add_char(out, '"');
    buf_add_num(out, v);
    buf_add_char(out, '"');
}

/* Which bounds are inclusive: 0 the upper, 1 the lower, 2 none, 3 both. */
static int limits(const struct bucket *b)
{
    if (b->lower_in)
        return b->upper_in ? 3 : 1;
    return b->upper_in ? 0 : 2;
}

static void histogram_json_bucket(struct buf *out, const struct bucket *b)
{
    buf_printf(out, "[%d,", limits(b));
    add_quoted(out, b->lower);
    buf_add_char(out, ',');
    add_quoted(out, b->upper);
    buf_add_char(out, ',');
    add_quoted(out, b->count);
    buf_add_char(out, ']');
}

void promql_histogram_json(struct buf *out, const struct histogram *h)
{
    bool any = false;
    struct bucket_iter it = buckets_ascending(h);
    struct bucket b;
    buf_add_z(out, "{\"count\":");
    add_quoted(out, h->count);
    buf_add_z(out, ",\"sum\":");
    add_quoted(out, h->sum);
    while (bucket_next(&it, &b)) {
        if (b.count == 0)
            continue;
        buf_add_z(out, any ? "," : ",\"buckets\":[");
        histogram_json_bucket(out, &b);
        any = true;
    }
    buf_add_z(out, any ? "]}" : "}");
}
