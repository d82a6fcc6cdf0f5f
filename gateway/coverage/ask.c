// SPDX-License-Identifier: Apache-2.0
/* Decides which replicas are complete for a query. The times for which a replica is not known to be complete are
 * collected as spans: unknown time, gaps of targets, and targets whose last scrape is overdue.
 */
#include "gateway/coverage/coverage_internal.h"

struct coverage_asking { /* of one replica */
    const struct coverage_query *q;
    int64_t to;           /* of the query, but not after now */
    bool scraped;         /* the selected series have samples at the times of their scrapes only */
    struct asking_spans { struct coverage_span *items; size_t n, cap; } all, outdated, lasting;
    unsigned n_targets;
};

static void asking_add_span(struct coverage_asking *ask, struct asking_spans *to, int64_t from, int64_t until)
{
    from = coverage_max(from, ask->q->from);
    until = coverage_min(until, ask->to);
    if (from > until)
        return;
    mem_grow(&to->items, &to->cap, to->n + 1, sizeof *to->items);
    to->items[to->n++] = (struct coverage_span){from, until};
}

/* Time in which no scrape of the replica is known. */
static void asking_add(struct coverage_asking *ask, int64_t from, int64_t to)
{
    asking_add_span(ask, &ask->all, from, to);
    asking_add_span(ask, &ask->outdated, from, to);
    asking_add_span(ask, &ask->lasting, from, to);
}

static void asking_add_gaps(struct coverage_asking *ask, struct asking_spans *to, const struct span_list *gaps)
{
    for (uint32_t i = spans_find(gaps, ask->q->from); i < gaps->n && gaps->items[i].from <= ask->to; i++)
        asking_add_span(ask, to, gaps->items[i].from, gaps->items[i].to);
}

static void asking_add_outside(struct coverage_asking *ask, struct coverage_span known)
{
    if (coverage_span_empty(known)) {
        asking_add(ask, ask->q->from, ask->to);
        return;
    }
    asking_add(ask, ask->q->from, known.from - 1);
    asking_add(ask, known.to + 1, ask->to);
}

static bool coverage_has_key(const struct coverage *c, struct str name)
{
    for (size_t i = 0; i < c->n_by; i++)
        if (str_eq(c->by[i], name))
            return true;
    return false;
}

bool coverage_concerns(const struct coverage *c, const struct coverage_target *t, const struct coverage_query *q)
{
    for (size_t i = 0; i < q->n_matchers; i++) {
        const struct matcher *m = &q->matchers[i];
        struct str value = labels_get(t->labels, m->name);
        if (coverage_has_key(c, m->name) && !matcher_value(m, value.p ? value : STR("")))
            return false;
    }
    return true;
}

bool coverage_target_lacks_scrapes(const struct coverage_target *t, size_t replica, int64_t from, int64_t to)
{
    const struct coverage_seen *seen = &t->seen[replica];
    uint32_t first = spans_find(&seen->gaps, from);
    return seen->due < to || (first < seen->gaps.n && seen->gaps.items[first].from <= to);
}

bool coverage_target_lacks(const struct coverage_target *t, size_t replica, int64_t from, int64_t to)
{
    return t->seen[replica].distrusted_until > 0 || coverage_target_lacks_scrapes(t, replica, from, to);
}

static void asking_add_target(struct coverage *c, const struct coverage_target *t, size_t r,
                              struct coverage_asking *ask, bool narrow)
{
    const struct coverage_seen *seen = &t->seen[r];
    if (!coverage_target_lacks(t, r, ask->q->from, ask->to) || (narrow && !coverage_concerns(c, t, ask->q)))
        return;
    ask->n_targets++;
    if (seen->distrusted_until > 0)
        asking_add(ask, ask->q->from, ask->to);
    asking_add_gaps(ask, &ask->all, ask->scraped ? &seen->missed : &seen->gaps);
    asking_add_gaps(ask, &ask->outdated, &seen->outdated);
    asking_add_gaps(ask, &ask->lasting, &seen->lasting);
    if (seen->due < ask->to)
        asking_add(ask, seen->overdue_from, ask->to);
}

/* Reads all targets only if some are overdue; otherwise those with gaps are sufficient. */
static void asking_collect(struct coverage *c, size_t r, struct coverage_asking *ask, bool narrow)
{
    bool stands = !c->resumed && ask->to <= c->known.to + 2 * c->period, overdue = c->due[r] < ask->to;
    struct coverage_span known = {c->known.from, stands ? coverage_max(c->known.to, ask->to) : c->known.to};
    asking_add_outside(ask, known);
    if (c->unreached[r])
        asking_add_outside(ask, c->settled);
    for (uint32_t i = spans_find(&c->barren, ask->q->from); i < c->barren.n && c->barren.items[i].from <= ask->to; i++)
        asking_add(ask, c->barren.items[i].from, c->barren.items[i].to);
    for (size_t i = 0; i < c->n_gappy && !overdue; i++)
        asking_add_target(c, c->gappy[i], r, ask, narrow);
    for (struct map_entry *e = overdue ? map_next(&c->targets, NULL) : NULL; e; e = map_next(&c->targets, e))
        asking_add_target(c, e->value.p, r, ask, narrow);
}

/* --- the metric --------------------------------------------------------------------------------------------------- */

static struct str query_metric(const struct coverage_query *q)
{
    for (size_t i = 0; i < q->n_matchers; i++)
        if (q->matchers[i].type == MATCH_EQ && str_is(q->matchers[i].name, METRIC_NAME))
            return q->matchers[i].value;
    return (struct str){0};
}

/* Why the selected series cannot be attributed to targets; NULL: they can. *beside: by their labels they can. */
static const char *query_origin(struct coverage *c, const struct coverage_query *q, uint64_t *lacking, bool *beside)
{
    struct str metric = query_metric(q);
    if (metric.n == 0)
        return "the selector names no metric";
    const struct coverage_name *n = coverage_name_asked(c, metric, q->now);
    if (n == NULL)
        return "too many metrics are queried";
    if (n->checked_at == 0 || q->now - n->checked_at > 2 * COVERAGE_NAME_MS)
        return "the targets of the metric's series are not known yet";
    *lacking = n->lacking;
    *beside = n->origin == ORIGIN_BESIDE;
    switch (n->origin) {
    case ORIGIN_TARGETS: return NULL;
    case ORIGIN_BESIDE:
    case ORIGIN_ELSEWHERE: return "the metric has series that are not scraped from a target";
    default: return "the targets of the metric's series could not be determined";
    }
}

/* *narrow: only the targets that the matchers select matter. *scraped: the series have the times of their scrapes. */
static const char *query_unknown(struct coverage *c, const struct coverage_query *q, uint64_t *lacking, bool *narrow,
                                 bool *scraped)
{
    bool beside = false;
    const char *why = query_origin(c, q, lacking, &beside);
    *scraped = why == NULL;
    *narrow = *scraped || (beside && c->trust_untargeted);
    if (c->n > COVERAGE_REPLICAS)
        return "the group has too many servers";
    if (c->full_until > 0)
        return "the group has too many targets";
    if (coverage_span_empty(c->known))
        return c->failed ? "the servers' `up` series could not be read"
                         : "the servers' `up` series have not been read yet";
    if (c->targets.n == 0)
        return "the servers have no `up` series";
    return c->trust_untargeted ? NULL : why;
}

bool coverage_attributes(struct coverage *c, const struct coverage_query *q)
{
    uint64_t lacking;
    bool narrow, scraped;
    return query_unknown(c, q, &lacking, &narrow, &scraped) == NULL && narrow;
}

/* --- the calls ---------------------------------------------------------------------------------------------------- */

static void coverage_note(struct coverage *c, int64_t from, int64_t now)
{
    c->queried_at = coverage_max(c->queried_at, now);
    c->wanted_from = coverage_min(c->wanted_from, from);
}

static unsigned asking_give(struct arena *a, struct asking_spans *from, const struct coverage_span **out)
{
    size_t n = spans_join(from->items, from->n);
    n = spans_limit(from->items, n, COVERAGE_SPANS);
    struct coverage_span *spans = ARENA_ARRAY(a, struct coverage_span, n);
    for (size_t i = 0; i < n; i++)
        spans[i] = from->items[i];
    *out = spans;
    mem_free(from->items);
    return (unsigned)n;
}

static void asking_end(struct arena *a, struct coverage_asking *ask, struct coverage_replica *out)
{
    out->n_spans = asking_give(a, &ask->all, &out->spans);
    out->n_outdated = asking_give(a, &ask->outdated, &out->outdated);
    out->n_lasting = asking_give(a, &ask->lasting, &out->lasting);
    out->n_targets = ask->n_targets;
}

bool coverage_ask(struct coverage *c, struct arena *a, const struct coverage_query *query, struct coverage_result *out)
{
    struct coverage_query clipped = *query, *q = &clipped; /* so that sums of times stay in range */
    q->from = coverage_max(q->from, COVERAGE_NEVER);
    q->to = coverage_min(q->to, -COVERAGE_NEVER);
    bool narrow = true, scraped = true, complete = true;
    uint64_t lacking = 0;
    *out = (struct coverage_result){.replicas = ARENA_ARRAY(a, struct coverage_replica, c->n), .n = c->n};
    if (c->n == 1)
        return true;
    /* A full arena leaves the query by longjmp, so nothing is allocated in it while the mutex is held, and what follows
     * until the lists are freed may exceed its limit: the next allocation notices. */
    struct coverage_asking *all = ARENA_ARRAY(a, struct coverage_asking, c->n);
    mutex_lock(&c->mutex);
    coverage_note(c, q->from, q->now);
    out->unknown = query_unknown(c, q, &lacking, &narrow, &scraped);
    for (size_t r = 0; r < c->n; r++) {
        bool nothing = out->unknown || q->from > q->now || lacking >> r & 1;
        all[r] = (struct coverage_asking){.q = q, .to = nothing ? q->to : coverage_min(q->to, q->now),
                                          .scraped = scraped};
        if (nothing)
            asking_add(&all[r], q->from, q->to);
        else
            asking_collect(c, r, &all[r], narrow);
    }
    mutex_unlock(&c->mutex);
    out->scraped = scraped && out->unknown == NULL;
    struct arena_limits limits = arena_suspend_limit(a);
    for (size_t r = 0; r < c->n; r++) {
        asking_end(a, &all[r], &out->replicas[r]);
        complete = complete && out->replicas[r].n_spans == 0;
    }
    arena_restore_limit(a, limits);
    return complete;
}
