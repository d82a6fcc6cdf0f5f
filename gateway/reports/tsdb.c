// SPDX-License-Identifier: Apache-2.0
#include "gateway/reports/tsdb.h"

#include "gateway/upstream/source.h"
#include "writer/writer.h"

enum { TSDB_PAIR_BYTES = 2 /* with its texts, what Prometheus counts for a label of a series */ };

static const char *const tsdb_keys[TSDB_LISTS] = {
    [TSDB_SERIES_BY_METRIC] = "seriesCountByMetricName", [TSDB_VALUES_BY_LABEL] = "labelValueCountByLabelName",
    [TSDB_BYTES_BY_LABEL] = "memoryInBytesByLabelName", [TSDB_SERIES_BY_PAIR] = "seriesCountByLabelValuePair",
};

static void tsdb_status_init(struct tsdb_status *s, struct arena *a)
{
    *s = (struct tsdb_status){0};
    for (size_t i = 0; i < TSDB_LISTS; i++)
        s->lists[i] = report_map(a);
}

/* Keys live in the arena. */
static void tsdb_count(struct map *list, struct arena *a, struct str name, uint64_t n, bool *first)
{
    struct map_entry *e = map_find(list, name);
    *first = e == NULL;
    if (e == NULL)
        e = map_add(list, arena_str(a, name), first);
    e->value.u += n;
}

/* ---- combining ---- */

static void tsdb_combine_times(struct tsdb_status *to, const struct tsdb_status *from)
{
    if (!from->timed)
        return;
    to->oldest = to->timed && to->oldest < from->oldest ? to->oldest : from->oldest;
    to->newest = to->timed && to->newest > from->newest ? to->newest : from->newest;
    to->timed = true;
}

static bool tsdb_combine_lists(struct tsdb_status *to, const struct tsdb_status *from, bool add,
                               struct query_work *work, struct err *err)
{
    bool added;
    for (size_t i = 0; i < TSDB_LISTS; i++)
        for (struct map_entry *e = map_next(from->lists[i], NULL); e; e = map_next(from->lists[i], e)) {
            struct map_entry *have = map_add(to->lists[i], e->key, &added);
            if (!query_charge(work, QUERY_CHARGE_LABELS, err))
                return false;
            if (add)
                have->value.u += e->value.u;
            else if (e->value.u > have->value.u)
                have->value.u = e->value.u;
        }
    return true;
}

static double tsdb_larger(double a, double b) { return a > b ? a : b; }

/* Another replica: the larger number counts. */
static bool tsdb_add_replica(struct tsdb_status *to, const struct tsdb_status *r, struct query_work *work,
                             struct err *err)
{
    to->series = tsdb_larger(to->series, r->series);
    to->label_pairs = tsdb_larger(to->label_pairs, r->label_pairs);
    to->chunks = tsdb_larger(to->chunks, r->chunks);
    tsdb_combine_times(to, r);
    return tsdb_combine_lists(to, r, false, work, err);
}

static bool tsdb_add_group(struct tsdb_status *to, const struct tsdb_status *g, struct query_work *work,
                           struct err *err)
{
    to->series += g->series;
    to->label_pairs += g->label_pairs;
    to->chunks += g->chunks;
    tsdb_combine_times(to, g);
    return tsdb_combine_lists(to, g, true, work, err);
}

/* ---- a server's report ---- */

/* The number of a member; VictoriaMetrics has another name for some. */
static double tsdb_number(const struct json_value *data, const char *key, const char *of_victoria)
{
    const struct json_value *head = json_value_get(json_value_get(data, "headStats"), key);
    double n = json_value_number(head ? head : json_value_get(data, of_victoria));
    return n > 0 && n < 1e18 ? n : 0;
}

/* An empty TSDB reports times at the ends of what 64 bits hold. */
static void tsdb_read_times(const struct json_value *data, struct tsdb_status *out)
{
    const struct json_value *head = json_value_get(data, "headStats");
    double oldest = json_value_number(json_value_get(head, "minTime"));
    double newest = json_value_number(json_value_get(head, "maxTime"));
    out->timed = head && oldest > -9e15 && oldest < 9e15 && newest > -9e15 && newest < 9e15;
    if (out->timed) {
        out->oldest = (int64_t)oldest;
        out->newest = (int64_t)newest;
    }
}

static bool tsdb_read(const struct json_value *data, struct arena *a, struct tsdb_status *out, struct query_work *work,
                      struct err *err)
{
    tsdb_status_init(out, a);
    out->series = tsdb_number(data, "numSeries", "totalSeries");
    out->label_pairs = tsdb_number(data, "numLabelPairs", "totalLabelValuePairs");
    out->chunks = tsdb_number(data, "chunkCount", "");
    tsdb_read_times(data, out);
    for (size_t i = 0; i < TSDB_LISTS; i++)
        for (const struct json_value *v = json_value_items(json_value_get(data, tsdb_keys[i])); v; v = v->next) {
            double n = json_value_number(json_value_get(v, "value"));
            bool first;
            if (!query_charge(work, QUERY_CHARGE_LABELS, err))
                return false;
            if (n > 0 && n < 1e18)
                tsdb_count(out->lists[i], a, json_value_text(json_value_get(v, "name")), (uint64_t)n, &first);
        }
    return true;
}

/* ---- the recent store ---- */

struct tsdb_own { struct tsdb_status *status; struct arena *arena; struct buf pair; };

static void tsdb_count_series(void *arg, const struct recent_size *size)
{
    struct tsdb_own *own = arg;
    struct tsdb_status *s = own->status;
    struct labels_iter it = labels_iter(size->labels);
    struct label l;
    bool first;
    s->series++;
    s->chunks += size->chunks;
    if (size->newest > INT64_MIN)
        tsdb_combine_times(s, &(struct tsdb_status){.timed = true, .oldest = size->oldest, .newest = size->newest});
    tsdb_count(s->lists[TSDB_SERIES_BY_METRIC], own->arena, labels_name(size->labels), 1, &first);
    while (labels_next(&it, &l)) {
        buf_clear(&own->pair);
        buf_add_str(&own->pair, l.name);
        buf_add_char(&own->pair, '=');
        buf_add_str(&own->pair, l.value);
        tsdb_count(s->lists[TSDB_BYTES_BY_LABEL], own->arena, l.name, l.name.n + l.value.n + TSDB_PAIR_BYTES, &first);
        tsdb_count(s->lists[TSDB_SERIES_BY_PAIR], own->arena, buf_str(&own->pair), 1, &first);
        s->label_pairs += first;
        if (first)
            tsdb_count(s->lists[TSDB_VALUES_BY_LABEL], own->arena, l.name, 1, &first);
    }
}

static bool tsdb_read_own(struct source *recent, struct query_ctx *q, struct tsdb_status *out, struct err *err)
{
    struct tsdb_own own = {.status = out, .arena = q->arena};
    bool ok = writer_recent_sizes(recent, q, tsdb_count_series, &own, err);
    buf_free(&own.pair);
    return ok;
}

/* ---- all of them ---- */

static bool tsdb_merge_groups(const struct report_set *set, const struct tsdb_status *own, struct tsdb_status *out,
                              struct query_work *work, struct err *err)
{
    bool own_counted = own == NULL;
    for (size_t i = 0; i < set->n;) {
        const struct group *g = set->items[i].group;
        struct tsdb_status group, server;
        tsdb_status_init(&group, set->q->arena);
        for (; i < set->n && set->items[i].group == g; i++)
            if (!tsdb_read(set->items[i].data, set->q->arena, &server, work, err) ||
                !tsdb_add_replica(&group, &server, work, err))
                return false;
        if (g->recent && own && !tsdb_add_replica(&group, own, work, err))
            return false;
        own_counted = own_counted || g->recent;
        if (!tsdb_add_group(out, &group, work, err))
            return false;
    }
    return own_counted || tsdb_add_group(out, own, work, err);
}

bool tsdb_status_merge(const struct report_set *set, struct source *source, struct tsdb_status *out,
                       struct query_work *work, struct err *err)
{
    struct upstream *u = upstream_of(source);
    struct arena *a = set->q->arena;
    struct tsdb_status own;
    struct arena_limits limits = arena_suspend_limit(a); /* the recent store must be released */
    struct recent_link recent = source_use_recent(u);
    bool ok = true;
    tsdb_status_init(out, a);
    tsdb_status_init(&own, a);
    if (recent.source)
        ok = tsdb_read_own(recent.source, set->q, &own, err);
    source_put_recent(u, recent);
    arena_restore_limit(a, limits);
    if (ok && arena_over(a, limits.max)) {
        arena_full_error(a, limits.max, err);
        ok = false;
    }
    return ok && tsdb_merge_groups(set, recent.source ? &own : NULL, out, work, err);
}

/* ---- output ---- */

struct tsdb_entry { struct str name; uint64_t n; };

/* The largest first; equal ones by name. */
static int tsdb_entry_compare(const void *a, const void *b)
{
    const struct tsdb_entry *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : str_cmp(x->name, y->name);
}

static bool tsdb_write_list(struct json_writer *w, const char *key, const struct map *list, size_t limit,
                            struct query_work *work, struct arena *a, struct err *err)
{
    struct tsdb_entry *items = ARENA_ARRAY(a, struct tsdb_entry, list->n);
    size_t n = 0;
    for (struct map_entry *e = map_next(list, NULL); e; e = map_next(list, e))
        items[n++] = (struct tsdb_entry){e->key, e->value.u};
    if (!query_sort(work, a, items, n, sizeof *items, tsdb_entry_compare, err))
        return false;
    json_key(w, key);
    json_begin_array(w);
    for (size_t i = 0; i < n && i < limit; i++) {
        json_begin_object(w);
        json_field_str(w, "name", items[i].name);
        json_field_u64(w, "value", items[i].n);
        json_end_object(w);
    }
    json_end_array(w);
    return true;
}

bool tsdb_status_write(struct json_writer *w, const struct tsdb_status *s, size_t limit, struct query_work *work,
                       struct arena *a, struct err *err)
{
    json_begin_object(w);
    json_key(w, "headStats");
    json_begin_object(w);
    json_field_u64(w, "numSeries", (uint64_t)s->series);
    json_field_u64(w, "numLabelPairs", (uint64_t)s->label_pairs);
    json_field_u64(w, "chunkCount", (uint64_t)s->chunks);
    json_field_i64(w, "minTime", s->timed ? s->oldest : INT64_MAX);
    json_field_i64(w, "maxTime", s->timed ? s->newest : INT64_MIN);
    json_end_object(w);
    for (size_t i = 0; i < TSDB_LISTS; i++)
        if (!tsdb_write_list(w, tsdb_keys[i], s->lists[i], limit, work, a, err))
            return false;
    json_end_object(w);
    return true;
}
