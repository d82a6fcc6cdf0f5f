// SPDX-License-Identifier: Apache-2.0
/* Reads histograms without their buckets where only counts are needed.
 *
 * Below histogram_count, _sum and _avg no bucket is needed: histogram_count(rate(x[5m])) saves all arithmetic on
 * buckets. Counter resets are visible in the buckets too, so they are detected first, from each sample to the next,
 * and stored in the hints.
 */
#include "promql/eval/eval_internal.h"

#include "model/histogram/histogram_math.h"

/* A stale marker in between changes nothing: the sample after it is compared with the sample before it. */
void histograms_drop_buckets(struct eval *ev, struct hist_sample *hists, uint32_t n)
{
    const struct histogram *before = NULL;
    for (uint32_t i = 0; i < n; i++) {
        const struct histogram *h = hists[i].h;
        eval_charge(ev, CHARGE_HISTOGRAM);
        struct histogram *stripped = histogram_hinted(ev->arena, h, h->hint);
        bool stale = histogram_is_stale(h);
        if (!stale && before && h->hint == RESET_UNKNOWN)
            stripped->hint = histogram_was_reset(ev->arena, h, before) ? RESET_YES : RESET_NO;
        stripped->zero_threshold = stripped->zero_count = 0;
        stripped->positive = stripped->negative = (struct buckets){0};
        stripped->custom = NULL;
        stripped->n_custom = 0;
        before = stale ? before : h;
        hists[i].h = stripped;
    }
}

bool expr_needs_buckets(const struct expr *e)
{
    if (e->kind == EXPR_BINARY)
        return e->u.binary.op == OP_TRIM_UPPER || e->u.binary.op == OP_TRIM_LOWER;
    if (e->kind == EXPR_SUBQUERY) /* steps are not adjacent samples: only complete histograms reveal resets */
        return true;
    if (e->kind != EXPR_CALL)
        return false;
    return e->u.call.fn->attributes & FUNCTION_BUCKETS;
}
