// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/selected.h"

#include "gateway/merge/merge.h"

struct selected {
    struct query_work work;
    const struct union_series *series; /* in the order of the set */
    struct group_query *const *parts;
    struct arena scratch;              /* of the series that was read last */
};

static bool selected_load(struct series_set *set, size_t i, struct series *out, struct err *err)
{
    struct selected *all = set->impl;
    const struct union_series *s = &all->series[i];
    arena_reset(&all->scratch);
    if (!group_query_series(all->parts[s->part], s->index, &all->scratch, out, err))
        return false;
    out->labels = s->labels;
    for (s = s->more; s; s = s->more) {
        struct series more;
        if (!group_query_series(all->parts[s->part], s->index, &all->scratch, &more, err) ||
            !query_charge(&all->work, (uint64_t)out->n_samples + more.n_samples, err))
            return false;
        merge_pieces(&all->scratch, out, &more);
    }
    return true;
}

static bool selected_fill(struct request_batch *batch, struct selected like, struct series_set *out, struct err *err)
{
    struct selected *all = ARENA_NEW(batch->q->arena, struct selected);
    *all = like;
    out->load = selected_load;
    out->impl = all;
    return arena_child_init(&all->scratch, batch->q->arena) && batch_check(batch, err);
}

bool selected_make(struct request_batch *batch, const struct group_union *all, struct group_query *const *parts,
                   struct series_set *out, struct err *err)
{
    *out = (struct series_set){.series = ARENA_ARRAY(batch->q->arena, struct series, all->n), .n = all->n};
    for (size_t i = 0; i < all->n; i++)
        out->series[i].labels = all->series[i].labels;
    return selected_fill(batch, (struct selected){.work = reading_work(batch->q), .series = all->series, .parts = parts},
                         out, err);
}

bool selected_share(struct request_batch *batch, const struct series_set *of, struct series_set *out, struct err *err)
{
    *out = *of;
    return selected_fill(batch, *(const struct selected *)of->impl, out, err);
}
