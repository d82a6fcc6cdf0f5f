// SPDX-License-Identifier: Apache-2.0
#include "gateway/coverage/coverage_internal.h"

static void show_replica(const struct coverage *c, const struct coverage_target *t, size_t r,
                         struct coverage_replica_status *out)
{
    const struct coverage_seen *seen = &t->seen[r];
    if (seen->run.to != COVERAGE_NEVER && seen->run.to + coverage_slack(c, t, r) >= c->known.to)
        out->targets++;
    for (uint32_t i = 0; i < seen->gaps.n; i++)
        out->gap_seconds += (double)(seen->gaps.items[i].to - seen->gaps.items[i].from + 1) / 1000;
    out->gaps += seen->gaps.n;
}

static void show_names(const struct coverage *c, struct coverage_status *out)
{
    for (struct map_entry *e = map_next(&c->names, NULL); e; e = map_next(&c->names, e)) {
        out->names++;
        out->names_attributed += ((struct coverage_name *)e->value.p)->origin == ORIGIN_TARGETS;
    }
}

/* The arena has no limit: it may allocate under the mutex. */
static void show_target(struct arena *a, const struct coverage_target *t, size_t r, struct coverage_status *out)
{
    const struct span_list *gaps = &t->seen[r].gaps;
    out->targets[out->n_targets++] = (struct coverage_target_status){
        .labels = labels_copy(a, t->labels), .replica = r, .last = gaps->items[gaps->n - 1]};
}

void coverage_show(struct coverage *c, struct arena *a, size_t most_targets, struct coverage_status *out)
{
    *out = (struct coverage_status){.group = arena_str(a, c->group), .n = c->n};
    out->replicas = ARENA_ARRAY(a, struct coverage_replica_status, c->n);
    out->targets = ARENA_ARRAY(a, struct coverage_target_status, most_targets);
    mutex_lock(&c->mutex);
    out->known_from = c->known.from;
    out->known_to = c->known.to;
    out->queried_at = c->queried_at;
    out->bytes = c->bytes + c->targets.cap * sizeof(struct map_entry);
    out->trouble = c->full_until > 0 ? "too many targets" : c->failed ? "the `up` series could not be read" : NULL;
    for (size_t r = 0; r < c->n; r++)
        out->replicas[r].unreached = c->unreached[r];
    for (struct map_entry *e = map_next(&c->targets, NULL); e; e = map_next(&c->targets, e))
        for (size_t r = 0; r < c->n; r++) {
            const struct coverage_target *t = e->value.p;
            show_replica(c, t, r, &out->replicas[r]);
            if (t->seen[r].gaps.n > 0 && out->n_targets < most_targets)
                show_target(a, t, r, out);
        }
    show_names(c, out);
    mutex_unlock(&c->mutex);
}
