// SPDX-License-Identifier: Apache-2.0
/* histogram_count(rate(x[5m])) looks at no bucket: below histogram_count, _sum and _avg histograms are read without
 * them, which spares all arithmetic on buckets. Whether a counter was reset shows in the buckets, too, so it is found
 * out first, from each sample to the next, and written into the hint.
 */
#include "promql/walk.h"

#include "model/histogram_math.h"

/* A stale marker in between changes nothing: what follows it is compared with what came before. */
void bare_histograms(struct eval *ev, struct hist_sample *hists, uint32_t n)
{
    const struct histogram *before = NULL;
    for (uint32_t i = 0; i < n; i++) {
        const struct histogram *h = hists[i].h;
        eval_charge(ev, CHARGE_HISTOGRAM);
        struct histogram *bare = histogram_hinted(ev->arena, h, h->hint);
        bool stale = histogram_is_stale(h);
        if (!stale && before && h->hint == RESET_UNKNOWN)
            bare->hint = histogram_was_reset(ev->arena, h, before) ? RESET_YES : RESET_NO;
        bare->zero_threshold = bare->zero_count = 0;
        bare->positive = bare->negative = (struct buckets){0};
        bare->custom = NULL;
        bare->n_custom = 0;
        before = stale ? before : h;
        hists[i].h = bare;
    }
}

bool bare_is_enough(enum function_id id)
{
    return id == FN_HISTOGRAM_COUNT || id == FN_HISTOGRAM_SUM || id == FN_HISTOGRAM_AVG;
}

bool bare_is_too_little(const struct expr *e)
{
    if (e->kind == EXPR_BINARY)
        return e->u.binary.op == OP_TRIM_UPPER || e->u.binary.op == OP_TRIM_LOWER;
    if (e->kind == EXPR_SUBQUERY) /* its steps are not next to each other: only whole histograms show their resets */
        return true;
    if (e->kind != EXPR_CALL)
        return false;
    enum function_id id = e->u.call.fn->id;
    return id == FN_HISTOGRAM_QUANTILE || id == FN_HISTOGRAM_QUANTILES || id == FN_HISTOGRAM_FRACTION;
}
