// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/replicas.h"

#include "base/map.h"
#include "base/text/duration.h"
#include "gateway/query/trace.h"
#include "gateway/upstream/stats.h"

enum { CHARGE_MERGE = 4 /* of a sample and replica, in units of model/query_work.h */ };

struct job_pairs { struct str job; struct evidence *seen; unsigned *streams; }; /* seen: n * n; streams: n */
struct rows { /* while they are collected */
    struct replicas *r;
    struct request_batch *batch;
    struct arena *arena;
    struct map by_labels, by_job;
};

static uint32_t *row_at(const struct replicas *r, size_t i) { return &r->cells[i * r->n]; }

static struct job_pairs *job_of(struct rows *t, struct labels labels)
{
    struct str job = labels_get(labels, STR("job"));
    bool added;
    if (job.p == NULL)
        job = STR("");
    struct map_entry *e = map_add(&t->by_job, job, &added);
    if (added) {
        struct job_pairs *pairs = e->value.p = ARENA_NEW(t->arena, struct job_pairs);
        pairs->job = job;
        pairs->seen = ARENA_ARRAY(t->arena, struct evidence, t->r->n * t->r->n);
        pairs->streams = ARENA_ARRAY(t->arena, unsigned, t->r->n);
    }
    return e->value.p;
}

static bool add_rows(struct rows *t, size_t column, struct err *err)
{
    struct replicas *r = t->r;
    const struct response *a = r->responses[column];
    for (size_t i = 0; i < a->n; i++) {
        struct labels labels = a->series[i].labels;
        bool added;
        struct map_entry *e = map_add(&t->by_labels, str_n(labels.p, labels.n), &added);
        if (added) {
            e->value.u = r->n_series++;
            size_t before = r->_cap;
            arena_grow(t->arena, &r->cells, &r->_cap, r->n_series * r->n, sizeof *r->cells);
            memset(&r->cells[before], 0, (r->_cap - before) * sizeof *r->cells);
            arena_grow(t->arena, &r->jobs, &r->_jobs_cap, r->n_series, sizeof *r->jobs);
            r->jobs[e->value.u] = job_of(t, labels);
        }
        row_at(r, e->value.u)[column] = (uint32_t)i + 1;
        if (!batch_charge(t->batch, QUERY_CHARGE_LABELS * 2, err))
            return false;
    }
    return true;
}

/* --- samples of a row --------------------------------------------------------------------------------------------- */

typedef struct series read_series(const struct response *a, size_t i, struct arena *to);

/* A series of each replica, NULL where it has none. In `scratch`. */
static const struct series **replicas_row(const struct replicas *r, size_t i, read_series *read, struct arena *scratch)
{
    const struct series **row = ARENA_ARRAY(scratch, const struct series *, r->n);
    struct series *all = ARENA_ARRAY(scratch, struct series, r->n);
    for (size_t k = 0; k < r->n; k++)
        if (row_at(r, i)[k] > 0) {
            all[k] = read(r->responses[k], row_at(r, i)[k] - 1, scratch);
            row[k] = &all[k];
        }
    return row;
}

static uint64_t row_samples(const struct replicas *r, size_t i)
{
    uint64_t sum = 0;
    for (size_t k = 0; k < r->n; k++) {
        uint32_t at = row_at(r, i)[k];
        const struct series *s = at > 0 ? &r->responses[k]->series[at - 1] : NULL;
        sum += s ? (uint64_t)s->n_samples + s->n_hists : 0;
    }
    return sum;
}

static bool compare_rows(struct rows *t, struct err *err)
{
    _Static_assert((int)CHUNK_SAMPLES > (int)COPIES_PER_SERIES, "copies_compare reads the newest samples only");
    struct replicas *r = t->r;
    struct arena *scratch = &r->_scratch;
    bool ok = true;
    for (size_t i = 0; ok && i < r->n_series; i++) {
        arena_reset(scratch);
        ok = batch_charge(t->batch, r->n * COPIES_PER_SERIES * 2, err);
        const struct series **row = ok ? replicas_row(r, i, response_newest, scratch) : NULL;
        for (size_t x = 0; ok && x < r->n; x++)
            for (size_t y = x + 1; row[x] && y < r->n; y++)
                if (row[y])
                    copies_compare(&r->jobs[i]->seen[x * r->n + y], row[x], row[y]);
    }
    return ok;
}

/* A configured buffer means that the servers scrape independently; the recent store never does. */
static bool hold_copies(const struct replicas *r, const struct job_pairs *job, size_t x, size_t y)
{
    const struct group *g = r->group;
    if (y < g->n_servers && !(g->rule.automatic && !g->rule.prefer_max))
        return false;
    struct copies_memory *memory = r->alone ? NULL : g->copies;
    return copies_decide(memory, x, y, job->job, job->seen[x * r->n + y], g->one_writer);
}

static void decide_streams(struct rows *t)
{
    for (struct map_entry *e = map_next(&t->by_job, NULL); e; e = map_next(&t->by_job, e)) {
        struct job_pairs *job = e->value.p;
        for (size_t y = 0; y < t->r->n; y++) {
            job->streams[y] = (unsigned)y;
            for (size_t x = 0; x < y; x++)
                if (t->r->responses[x] && t->r->responses[y] && hold_copies(t->r, job, x, y)) {
                    job->streams[y] = job->streams[x];
                    break;
                }
        }
    }
}

bool replicas_series(struct replicas *r, size_t i, struct arena *scratch, struct series *out, struct err *err)
{
    struct merge_job job = {.rule = &r->group->rule, .arena = scratch, .from = r->from, .to = r->to};
    const struct series **row, **present = ARENA_ARRAY(scratch, const struct series *, r->n);
    unsigned *streams = ARENA_ARRAY(scratch, unsigned, r->n);
    size_t n = 0;
    if (!query_charge(&r->work, 1 + row_samples(r, i) * r->n * CHARGE_MERGE, err))
        return false;
    row = replicas_row(r, i, response_series, scratch);
    for (size_t k = 0; k < r->n; k++)
        if (row[k]) {
            streams[n] = r->jobs[i]->streams[k];
            present[n++] = row[k];
        }
    *out = *present[0];
    if (n > 1)
        merge_replicas(&job, present, streams, n, out);
    if (!r->counted[i] && job.filled + job.disagreed > 0) {
        atomic_fetch_add(&r->group->traffic->filled, job.filled);
        atomic_fetch_add(&r->group->traffic->disagreed, job.disagreed);
    }
    r->counted[i] = 1;
    if (r->from < r->t_min)
        series_trim(out, r->t_min);
    return true;
}

struct labels replicas_labels(const struct replicas *r, size_t i)
{
    size_t k = 0;
    while (row_at(r, i)[k] == 0)
        k++;
    return r->responses[k]->series[row_at(r, i)[k] - 1].labels;
}

/* --- without a merge ---------------------------------------------------------------------------------------------- */

static void replicas_learn_pair(const struct group *g, struct arena *a, const struct series *const *series,
                                const size_t *n, size_t x, size_t y)
{
    struct map by_labels = {0}, by_job = {0};
    bool added;
    for (size_t i = 0; i < n[x]; i++)
        map_set(&by_labels, str_n(series[x][i].labels.p, series[x][i].labels.n), (void *)(uintptr_t)&series[x][i]);
    for (size_t i = 0; i < n[y]; i++) {
        struct labels labels = series[y][i].labels;
        const struct series *other = map_get(&by_labels, str_n(labels.p, labels.n));
        struct str job = labels_get(labels, STR("job"));
        if (other == NULL)
            continue;
        struct map_entry *e = map_add(&by_job, job.p ? job : STR(""), &added);
        if (added)
            e->value.p = ARENA_NEW(a, struct evidence);
        copies_compare(e->value.p, other, &series[y][i]);
    }
    for (struct map_entry *e = map_next(&by_job, NULL); e; e = map_next(&by_job, e))
        copies_decide(g->copies, x, y, e->key, *(struct evidence *)e->value.p, g->one_writer);
    map_free(&by_labels);
    map_free(&by_job);
}

void replicas_learn(const struct group *g, struct arena *a, const struct series *const *series, const size_t *n)
{
    for (size_t y = 0; y < g->n_servers; y++)
        for (size_t x = 0; x < y; x++)
            if (n[x] > 0 && n[y] > 0)
                replicas_learn_pair(g, a, series, n, x, y);
}

/* --- for explain -------------------------------------------------------------------------------------------------- */

static void merge_tell_fill(struct trace_source *s, int64_t t)
{
    s->filled_from = s->filled == 0 || t < s->filled_from ? t : s->filled_from;
    s->filled_to = s->filled == 0 || t > s->filled_to ? t : s->filled_to;
    s->filled++;
}

/* Finds the column that owns each float sample of the result: the first with the same time and value. */
static uint8_t *merge_owners(struct arena *scratch, const struct series **row, size_t n, const struct series *out)
{
    uint8_t *owners = ARENA_ARRAY(scratch, uint8_t, out->n_samples);
    for (size_t k = n; k-- > 0;) {
        uint32_t at = 0;
        for (uint32_t i = 0; row[k] && i < out->n_samples; i++) {
            while (at < row[k]->n_samples && row[k]->samples[at].t < out->samples[i].t)
                at++;
            if (at < row[k]->n_samples && memcmp(&row[k]->samples[at], &out->samples[i], sizeof *out->samples) == 0)
                owners[i] = (uint8_t)k;
        }
    }
    return owners;
}

static void merge_tell_row(struct arena *scratch, const struct series **row, size_t n, const struct series *out,
                           struct trace_source *all)
{
    enum { MOST_COLUMNS = 255 };
    uint64_t used[MOST_COLUMNS + 1] = {0};
    size_t base = 0;
    if (n > MOST_COLUMNS)
        return;
    const uint8_t *owners = merge_owners(scratch, row, n, out);
    for (uint32_t i = 0; i < out->n_samples; i++)
        used[owners[i]]++;
    for (size_t k = 0; k < n; k++) {
        all[k].used += used[k];
        base = used[k] > used[base] ? k : base;
    }
    for (uint32_t i = 0; i < out->n_samples; i++)
        if (owners[i] != base)
            merge_tell_fill(&all[owners[i]], out->samples[i].t);
}

static bool merge_tell(struct rows *t, struct err *err)
{
    struct replicas *r = t->r;
    struct trace_source *all = ARENA_ARRAY(t->arena, struct trace_source, r->n);
    struct trace_merge merge = {.group = r->group->name, .series = r->n_series};
    struct buf selector = {0};
    struct arena *scratch = &r->_scratch;
    bool ok = true;
    for (size_t i = 0; ok && i < r->n_series; i++) {
        struct series out;
        arena_reset(scratch);
        ok = replicas_series(r, i, scratch, &out, err) && batch_check(t->batch, err);
        merge.samples += ok ? (uint64_t)out.n_samples + out.n_hists : 0;
        if (ok)
            merge_tell_row(scratch, replicas_row(r, i, response_series, scratch), r->n, &out, all);
    }
    for (size_t k = 0; k < r->n; k++) {
        const struct response *from = r->responses[k];
        if (from == NULL)
            continue;
        all[k].server = k < r->group->n_servers ? r->group->servers[k]->shown : STR("recent store");
        all[k].series = from->n;
        for (size_t i = 0; i < from->n; i++)
            all[k].samples += from->series[i].n_samples + from->series[i].n_hists;
        all[merge.n++] = all[k];
    }
    merge.sources = all;
    matchers_print(&selector, r->sel->matchers, r->sel->n_matchers);
    merge.selector = buf_str(&selector);
    trace_merge(t->batch->q->trace, &merge);
    buf_free(&selector);
    return ok;
}

bool replicas_merge(struct replicas *r, struct request_batch *batch, struct err *err)
{
    struct rows t = {.r = r, .batch = batch, .arena = batch->q->arena};
    int64_t now = clock_wall_ms();
    bool ok = arena_child_init(&r->_scratch, t.arena);
    r->work = reading_work(batch->q);
    r->t_min = r->sel->t_min;
    r->to = r->sel->t_max < now ? r->sel->t_max : now;
    for (size_t i = 0; ok && i < r->n; i++)
        ok = r->responses[i] == NULL || add_rows(&t, i, err);
    ok = ok && compare_rows(&t, err);
    if (ok)
        decide_streams(&t);
    r->counted = ARENA_ARRAY(t.arena, uint8_t, r->n_series);
    ok = ok && (batch->q->trace == NULL || merge_tell(&t, err));
    arena_free(&r->_scratch);
    map_free(&t.by_labels);
    map_free(&t.by_job);
    return ok;
}

void series_trim(struct series *s, int64_t from)
{
    for (; s->n_samples > 0 && s->samples[0].t < from; s->n_samples--)
        s->samples++;
    for (; s->n_hists > 0 && s->hists[0].t < from; s->n_hists--)
        s->hists++;
}
