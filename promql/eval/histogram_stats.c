// SPDX-License-Identifier: Apache-2.0
/* histogram_count(rate(x[5m])) looks at no bucket: below histogram_count, _sum and _avg histograms are read without
 * them, which spares all arithmetic on buckets. Whether a counter was reset shows in the buckets, too, so it is found
 * out first, from each sample to the next, and written into the hint.
 */
#include "promql/eval/eval_internal.h"

#include "model/histogram/histogram_math.h"

/* A stale marker in between changes nothing: what follows it is compared with what came before. */
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
    if (e->kind == EXPR_SUBQUERY) /* its steps are not next to each other: only whole histograms show their resets */
        return true;
    if (e->kind != EXPR_CALL)
        return false;
    return e->u.call.fn->attributes & FUNCTION_BUCKETS;
}
