// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/replicas.h"

#include "base/map.h"
#include "base/text/duration.h"
#include "gateway/query/trace.h"
#include "gateway/upstream/stats.h"

enum { CHARGE_MERGE = 4 /* of a sample and replica, in units of model/query_work.h */ };

struct job_pairs { struct str job; struct evidence *seen; unsigned *streams; }; /* seen: n × n; streams: n */
struct rows {
    struct replicas *r;
    struct arena *arena;
    struct map by_labels, by_job;
    const struct series **cells; size_t n, cap; /* n × replicas */
    struct job_pairs **jobs; size_t jobs_cap;   /* of each row */
};

static const struct series **row_at(const struct rows *t, size_t i) { return &t->cells[i * t->r->n]; }

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
    const struct response *a = t->r->responses[column];
    for (size_t i = 0; i < a->n; i++) {
        const struct series *s = &a->series[i];
        bool added;
        struct map_entry *e = map_add(&t->by_labels, str_n(s->labels.p, s->labels.n), &added);
        if (added) {
            e->value.u = t->n++;
            size_t before = t->cap;
            arena_grow(t->arena, &t->cells, &t->cap, t->n * t->r->n, sizeof *t->cells);
            memset(&t->cells[before], 0, (t->cap - before) * sizeof *t->cells);
            arena_grow(t->arena, &t->jobs, &t->jobs_cap, t->n, sizeof *t->jobs);
            t->jobs[e->value.u] = job_of(t, s->labels);
        }
        row_at(t, e->value.u)[column] = s;
        if (!batch_charge(t->r->batch, QUERY_CHARGE_LABELS * 2, err))
            return false;
    }
    return true;
}

static uint64_t row_samples(const struct series *const *row, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += row[i] ? (uint64_t)row[i]->n_samples + row[i]->n_hists : 0;
    return sum;
}

static bool compare_rows(struct rows *t, struct err *err)
{
    size_t n = t->r->n;
    for (size_t i = 0; i < t->n; i++) {
        const struct series **row = row_at(t, i);
        if (!batch_charge(t->r->batch, n * row_samples(row, n), err))
            return false;
        for (size_t x = 0; x < n; x++)
            for (size_t y = x + 1; row[x] && y < n; y++)
                if (row[y])
                    copies_compare(&t->jobs[i]->seen[x * n + y], row[x], row[y]);
    }
    return true;
}

/* A configured buffer means that the servers scrape independently; the recent store never does. */
static bool hold_copies(const struct rows *t, const struct job_pairs *job, size_t x, size_t y)
{
    const struct group *g = t->r->group;
    if (y < g->n_servers && !(g->rule.automatic && !g->rule.prefer_max))
        return false;
    return copies_decide(g->copies, x, y, job->job, job->seen[x * t->r->n + y], g->one_writer);
}

static void decide_streams(struct rows *t)
{
    for (struct map_entry *e = map_next(&t->by_job, NULL); e; e = map_next(&t->by_job, e)) {
        struct job_pairs *job = e->value.p;
        for (size_t y = 0; y < t->r->n; y++) {
            job->streams[y] = (unsigned)y;
            for (size_t x = 0; x < y; x++)
                if (t->r->responses[x] && t->r->responses[y] && hold_copies(t, job, x, y)) {
                    job->streams[y] = job->streams[x];
                    break;
                }
        }
    }
}

static bool merge_rows(struct rows *t, struct response *out, struct err *err)
{
    struct replicas *r = t->r;
    int64_t now = clock_wall_ms();
    struct merge_job job = {.rule = &r->group->rule, .arena = t->arena, .from = r->from,
                            .to = r->sel->t_max < now ? r->sel->t_max : now};
    const struct series **present = ARENA_ARRAY(t->arena, const struct series *, r->n);
    unsigned *streams = ARENA_ARRAY(t->arena, unsigned, r->n);
    out->series = ARENA_ARRAY(t->arena, struct series, t->n);
    out->n = out->cap = t->n;
    for (size_t i = 0; i < t->n; i++) {
        size_t n = 0;
        for (size_t k = 0; k < r->n; k++)
            if (row_at(t, i)[k]) {
                streams[n] = t->jobs[i]->streams[k];
                present[n++] = row_at(t, i)[k];
            }
        out->series[i] = *present[0];
        if (!batch_charge(r->batch, 1 + (n > 1 ? n * row_samples(present, n) * CHARGE_MERGE : 0), err))
            return false;
        if (n > 1)
            merge_replicas(&job, present, streams, n, &out->series[i]);
    }
    atomic_fetch_add(&r->group->traffic->filled, job.filled);
    atomic_fetch_add(&r->group->traffic->disagreed, job.disagreed);
    return true;
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
static uint8_t *merge_owners(struct rows *t, const struct series **row, const struct series *out)
{
    uint8_t *owners = ARENA_ARRAY(t->arena, uint8_t, out->n_samples);
    for (size_t k = t->r->n; k-- > 0;) {
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

static void merge_tell_row(struct rows *t, const struct series **row, const struct series *out,
                           struct trace_source *all)
{
    enum { MOST_COLUMNS = 255 };
    uint64_t used[MOST_COLUMNS + 1] = {0};
    size_t base = 0;
    if (t->r->n > MOST_COLUMNS)
        return;
    const uint8_t *owners = merge_owners(t, row, out);
    for (uint32_t i = 0; i < out->n_samples; i++)
        used[owners[i]]++;
    for (size_t k = 0; k < t->r->n; k++) {
        all[k].used += used[k];
        base = used[k] > used[base] ? k : base;
    }
    for (uint32_t i = 0; i < out->n_samples; i++)
        if (owners[i] != base)
            merge_tell_fill(&all[owners[i]], out->samples[i].t);
}

static void merge_tell(struct rows *t, const struct response *out)
{
    struct replicas *r = t->r;
    struct trace_source *all = ARENA_ARRAY(t->arena, struct trace_source, r->n);
    struct trace_merge merge = {.group = r->group->name, .series = out->n};
    struct buf selector = {0};
    for (size_t i = 0; i < t->n; i++) {
        merge.samples += out->series[i].n_samples + out->series[i].n_hists;
        merge_tell_row(t, row_at(t, i), &out->series[i], all);
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
    trace_merge(r->batch->q->trace, &merge);
    buf_free(&selector);
}

bool replicas_merge(struct replicas *r, struct response *out, struct err *err)
{
    struct rows t = {.r = r, .arena = r->batch->q->arena};
    bool ok = true;
    *out = (struct response){.arena = t.arena, .view = &r->group->view, .notes = r->batch->q->notes};
    for (size_t i = 0; ok && i < r->n; i++)
        ok = r->responses[i] == NULL || add_rows(&t, i, err);
    ok = ok && compare_rows(&t, err);
    if (ok)
        decide_streams(&t);
    ok = ok && merge_rows(&t, out, err);
    if (ok && r->batch->q->trace)
        merge_tell(&t, out);
    map_free(&t.by_labels);
    map_free(&t.by_job);
    return ok;
}

/* A replica may have samples for a window in which the merged sequence has none. */
static bool replica_reaches(const struct series *s, int64_t from)
{
    for (uint32_t i = 0; i < s->n_replicas; i++) {
        const struct series_replica *r = &s->replicas[i];
        if ((r->n_samples > 0 && r->samples[r->n_samples - 1].t >= from) ||
            (r->n_hists > 0 && r->hists[r->n_hists - 1].t >= from))
            return true;
    }
    return false;
}

void replicas_trim(struct response *a, int64_t from)
{
    size_t kept = 0;
    for (size_t i = 0; i < a->n; i++) {
        struct series s = a->series[i];
        for (; s.n_samples > 0 && s.samples[0].t < from; s.n_samples--)
            s.samples++;
        for (; s.n_hists > 0 && s.hists[0].t < from; s.n_hists--)
            s.hists++;
        if (s.n_samples + s.n_hists > 0 || replica_reaches(&s, from))
            a->series[kept++] = s;
    }
    a->n = kept;
}
