// SPDX-License-Identifier: Apache-2.0
#include "gateway/coverage/coverage_internal.h"

static void show_replica(const struct coverage *c, const struct coverage_target *t, size_t r,
                         struct coverage_replica_status *out)
{
    const struct coverage_seen *seen = &t->seen[r];
    int64_t last = seen->latest.alive.run.to;
    if (last != COVERAGE_NEVER && last + coverage_slack(c, t, r) >= c->known.to)
        out->targets++;
    out->distrusted += seen->distrusted_until > 0;
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

/* A full arena leaves the query by longjmp, which must not happen while the mutex is held: labels are copied to `text`
 * first. */
struct shown_target { size_t at; struct labels labels; size_t replica; struct coverage_span last; };
struct shown_targets { struct buf text; struct shown_target *items; size_t n, cap; };

static void show_target(struct shown_targets *shown, const struct coverage_target *t, size_t r)
{
    const struct span_list *gaps = &t->seen[r].gaps;
    mem_grow(&shown->items, &shown->cap, shown->n + 1, sizeof *shown->items);
    shown->items[shown->n++] = (struct shown_target){shown->text.n, t->labels, r, gaps->items[gaps->n - 1]};
    buf_add(&shown->text, t->labels.p, t->labels.n);
}

static void show_targets(struct coverage *c, size_t most, struct shown_targets *shown, struct coverage_status *out)
{
    for (struct map_entry *e = map_next(&c->targets, NULL); e; e = map_next(&c->targets, e))
        for (size_t r = 0; r < c->n; r++) {
            const struct coverage_target *t = e->value.p;
            show_replica(c, t, r, &out->replicas[r]);
            if (t->seen[r].gaps.n > 0 && shown->n < most)
                show_target(shown, t, r);
        }
}

static void shown_targets_free(void *arg)
{
    struct shown_targets *shown = arg;
    buf_free(&shown->text);
    mem_free(shown->items);
}

static void coverage_show_targets(struct arena *a, const struct shown_targets *shown, struct coverage_status *out)
{
    out->targets = ARENA_ARRAY(a, struct coverage_target_status, shown->n);
    for (; out->n_targets < shown->n; out->n_targets++) {
        const struct shown_target *t = &shown->items[out->n_targets];
        struct labels labels = {(const uint8_t *)shown->text.p + t->at, t->labels.n, t->labels.count};
        out->targets[out->n_targets] = (struct coverage_target_status){labels, t->replica, t->last};
    }
}

void coverage_show(struct coverage *c, struct arena *a, size_t most_targets, struct coverage_status *out)
{
    struct shown_targets *shown = ARENA_NEW(a, struct shown_targets);
    *out = (struct coverage_status){.group = arena_str(a, c->group), .n = c->n};
    out->replicas = ARENA_ARRAY(a, struct coverage_replica_status, c->n);
    if (!arena_at_end(a, shown_targets_free, shown))
        return;
    mutex_lock(&c->mutex);
    out->known_from = c->known.from;
    out->known_to = c->known.to;
    out->queried_at = c->queried_at;
    out->bytes = c->bytes + c->targets.cap * sizeof(struct map_entry);
    out->readings = c->readings;
    out->failed = c->readings_failed;
    out->trouble = c->full_until > 0 ? "too many targets" : c->failed ? "the `up` series could not be read" : NULL;
    for (size_t r = 0; r < c->n; r++)
        out->replicas[r].unreached = c->unreached[r];
    show_targets(c, most_targets, shown, out);
    show_names(c, out);
    mutex_unlock(&c->mutex);
    coverage_show_targets(a, shown, out);
}
