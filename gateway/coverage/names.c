// SPDX-License-Identifier: Apache-2.0
/* Origins of series: for each queried metric, the last responses of the servers. */
#include "gateway/coverage/coverage_internal.h"

enum { RETRY_MS = 60000, RETRY_SOON_MS = 2000, RETRY_LATE_MS = 300000, PERCENT = 99, OVERHEAD = 64 };

static void coverage_name_free(struct coverage *c, struct coverage_name *n)
{
    c->bytes -= sizeof *n + n->name.n + OVERHEAD;
    mem_free((char *)n->name.p);
    mem_free(n);
}

void coverage_names_free(struct coverage *c)
{
    for (struct map_entry *e = map_next(&c->names, NULL); e; e = map_next(&c->names, e))
        coverage_name_free(c, e->value.p);
    map_free(&c->names);
}

/* Frees the least recently queried name. False: all were queried within COVERAGE_IDLE_MS. */
static bool coverage_names_evict(struct coverage *c, int64_t now)
{
    struct coverage_name *oldest = NULL;
    for (struct map_entry *e = map_next(&c->names, NULL); e; e = map_next(&c->names, e)) {
        struct coverage_name *n = e->value.p;
        oldest = oldest == NULL || n->asked_at < oldest->asked_at ? n : oldest;
    }
    if (oldest == NULL || now - oldest->asked_at < COVERAGE_IDLE_MS)
        return false;
    map_remove(&c->names, oldest->name);
    coverage_name_free(c, oldest);
    return true;
}

/* The entry of a queried metric, created if there is none. NULL: there are too many. */
struct coverage_name *coverage_name_asked(struct coverage *c, struct str name, int64_t now)
{
    struct coverage_name *n = map_get(&c->names, name);
    if (n == NULL) {
        if (name.n == 0 || name.n > COVERAGE_NAME_LENGTH ||
            (c->names.n >= COVERAGE_NAMES && !coverage_names_evict(c, now)))
            return NULL;
        n = mem_zalloc(sizeof *n);
        n->name = (struct str){str_dup(name), name.n};
        n->first_at = now;
        map_set(&c->names, n->name, n);
        c->bytes += sizeof *n + name.n + OVERHEAD;
    }
    n->asked_at = now;
    return n;
}

struct coverage_name *coverage_name_due(struct coverage *c, int64_t now)
{
    for (struct map_entry *e = map_next(&c->names, NULL); e; e = map_next(&c->names, e)) {
        struct coverage_name *n = e->value.p;
        if (n->due <= now && now - n->asked_at < COVERAGE_IDLE_MS)
            return n;
    }
    return NULL;
}

/* timestamp() of a selector is the time of its last sample: all samples of a scrape have that of its `up`. Series whose
 * key several `up` series have are compared with the one that was scraped last. */
void coverage_name_expr(const struct coverage *c, struct str name, struct buf *out)
{
    struct buf by = {0}, metric = {0};
    labels_print_name(&metric, name);
    bool quoted = metric.p[0] == '"';
    for (size_t i = 0; i < c->n_by; i++) {
        buf_add_z(&by, i ? "," : "");
        labels_print_name(&by, c->by[i]);
    }
    struct buf series = {0};
    buf_printf(&series, quoted ? "timestamp({%s})" : "timestamp(%s)", buf_z(&metric));
    const char *metric_at = buf_z(&series), *key = buf_z(&by);
    static const char part[] = "label_replace(count(%s),\"__part__\",\"%s\",\"\",\"\")";
    struct buf alone = {0}, other = {0};
    buf_printf(&alone, "%s unless on(%s) timestamp(up)", metric_at, key);
    buf_printf(&other, "%s != on(%s) group_left() max by(%s)(timestamp(up))", metric_at, key, key);
    buf_printf(out, part, metric_at, "all");
    buf_add_z(out, " or ");
    buf_printf(out, part, buf_z(&alone), "alone");
    buf_add_z(out, " or ");
    buf_printf(out, part, buf_z(&other), "other");
    buf_free(&alone);
    buf_free(&other);
    buf_free(&series);
    buf_free(&metric);
    buf_free(&by);
}

static enum coverage_origin coverage_origin_of(const struct coverage_reading *r)
{
    if (r->state == COVERAGE_FAILED)
        return ORIGIN_UNKNOWN;
    if (r->state != COVERAGE_READ)
        return ORIGIN_TARGETS; /* it cannot be reached */
    return r->alone > 0 ? ORIGIN_ELSEWHERE : r->other > 0 ? ORIGIN_BESIDE : ORIGIN_TARGETS;
}

/* All series of each reachable replica must come from targets. A replica lacks series if it has fewer than a sibling; a
 * percent is tolerated, since the replicas scrape at different times. */
static void coverage_name_decide(struct coverage *c, struct coverage_name *n, const struct coverage_reading *readings)
{
    double most = 0;
    n->origin = ORIGIN_TARGETS;
    n->lacking = 0;
    for (size_t i = 0; i < c->n; i++) {
        const struct coverage_reading *r = &readings[i];
        enum coverage_origin origin = coverage_origin_of(r);
        if (origin != ORIGIN_TARGETS)
            n->origin = origin;
        if (r->state == COVERAGE_READ && r->all > most)
            most = r->all;
        if (n->origin == ORIGIN_UNKNOWN || n->origin == ORIGIN_ELSEWHERE)
            return;
    }
    if (most == 0)
        n->origin = ORIGIN_UNKNOWN;
    for (size_t i = 0; i < c->n; i++)
        if (readings[i].state == COVERAGE_READ && readings[i].all * 100 < most * PERCENT)
            n->lacking |= 1ull << i;
}

/* A metric that targets have just started to expose is known soon, on every replica: their first scrapes are up to an
 * interval apart. What stays without series, or lacks some, is requested less and less often. */
static int64_t coverage_name_pause(struct coverage_name *n, int64_t now)
{
    bool lacks = (n->origin == ORIGIN_TARGETS || n->origin == ORIGIN_BESIDE) && n->lacking != 0;
    n->lacking_since = !lacks ? 0 : n->lacking_since ? n->lacking_since : now;
    if (lacks)
        return coverage_clamp(now - n->lacking_since, RETRY_SOON_MS, RETRY_MS);
    if (n->origin == ORIGIN_UNKNOWN)
        return coverage_clamp(now - n->first_at, RETRY_SOON_MS, RETRY_LATE_MS);
    return COVERAGE_NAME_MS;
}

void coverage_take_name(struct coverage *c, const struct coverage_work *w, const struct coverage_reading *readings,
                        int64_t now)
{
    mutex_lock(&c->mutex);
    struct coverage_name *n = map_get(&c->names, w->name);
    c->readings++;
    bool failed = coverage_count_readings(c, readings, COVERAGE_FAILED) > 0;
    c->readings_failed += failed;
    if (n) {
        coverage_name_decide(c, n, readings);
        n->checked_at = now;
        n->due = now + (failed ? RETRY_MS : coverage_name_pause(n, now));
    }
    mutex_unlock(&c->mutex);
}
