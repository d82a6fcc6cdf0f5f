// SPDX-License-Identifier: Apache-2.0
/* 1. Series are sorted by the labels that are shown, then by those that the server has, so that the result does not
 *    depend on their order in the response.
 * 2. Neighbours with equal labels at the server are parts of one series and concatenated.
 * 3. Neighbours with equal shown labels are replicas and merged as those of several servers are (merge.h): copies of one
 *    stream, recognized by their timestamps, sample by sample, others by filling gaps of the first.
 */
#include "gateway/upstream/decode/stored.h"

#include "base/text/duration.h"
#include "gateway/merge/copies.h"

enum { STORED_CHARGE = 8 /* of a merged sample, in units of model/query_work.h */ };

struct stored_series { struct labels own; struct series series; };

static int stored_compare(const void *a, const void *b)
{
    const struct stored_series *x = a, *y = b;
    int order = labels_cmp(x->series.labels, y->series.labels);
    return order ? order : labels_cmp(x->own, y->own);
}

/* Joins the parts of each of the server's series; *n becomes the number of series. */
static bool stored_join_parts(struct response *a, struct stored_series *all, size_t *n, struct err *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        struct stored_series *last = kept ? &all[kept - 1] : NULL;
        if (last == NULL || !labels_equal(last->own, all[i].own)) {
            all[kept++] = all[i];
            continue;
        }
        if (!response_apart(&last->series, &all[i].series))
            return response_clash(all[i].own, true, err);
        if (!query_charge(&a->work, last->series.n_samples + all[i].series.n_samples, err))
            return false;
        merge_pieces(a->arena, &last->series, &all[i].series);
    }
    *n = kept;
    return true;
}

static bool stored_are_copies(const struct series *x, const struct series *y)
{
    struct evidence seen = {0};
    copies_compare(&seen, x, y);
    uint32_t n = seen.equal + seen.apart;
    return n >= COPIES_MIN && (uint64_t)seen.equal * 100 >= (uint64_t)n * COPIES_PERCENT;
}

/* n > 1 replicas become one series. */
static bool stored_merge(struct response *a, struct merge_job *job, const struct stored_series *all, size_t n,
                         struct series *out, struct err *err)
{
    const struct series **replicas = ARENA_ARRAY(a->arena, const struct series *, n);
    unsigned *streams = ARENA_ARRAY(a->arena, unsigned, n);
    uint64_t samples = 0;
    for (size_t i = 0; i < n; i++)
        samples += (uint64_t)all[i].series.n_samples + all[i].series.n_hists;
    if (!query_charge(&a->work, n * (QUERY_CHARGE_LABELS + samples * STORED_CHARGE), err))
        return false;
    for (size_t i = 0; i < n; i++) {
        replicas[i] = &all[i].series;
        streams[i] = (unsigned)i;
        for (size_t k = 0; k < i && streams[i] == i; k++)
            if (stored_are_copies(replicas[k], replicas[i]))
                streams[i] = streams[k];
    }
    *out = all[0].series;
    merge_replicas(job, replicas, streams, n, out);
    return true;
}

static size_t stored_end(const struct stored_series *all, size_t n, size_t i)
{
    size_t end = i + 1;
    while (end < n && labels_equal(all[end].series.labels, all[i].series.labels))
        end++;
    return end;
}

bool stored_unite(struct response *a, struct err *err)
{
    int64_t now = clock_wall_ms();
    struct merge_job job = {.rule = a->rule, .arena = a->arena, .from = a->t_min,
                            .to = a->t_max < now ? a->t_max : now};
    struct stored_series *all = ARENA_ARRAY(a->arena, struct stored_series, a->n);
    size_t n = a->n, kept = 0;
    for (size_t i = 0; i < n; i++)
        all[i] = (struct stored_series){a->stored[i], a->series[i]};
    if (!query_sort(&a->work, a->arena, all, n, sizeof *all, stored_compare, err) ||
        !stored_join_parts(a, all, &n, err))
        return false;
    for (size_t i = 0, end; i < n; i = end) {
        end = stored_end(all, n, i);
        if (end == i + 1)
            a->series[kept++] = all[i].series;
        else if (!stored_merge(a, &job, &all[i], end - i, &a->series[kept++], err))
            return false;
    }
    a->n = kept;
    return true;
}
