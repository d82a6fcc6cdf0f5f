// SPDX-License-Identifier: Apache-2.0
/* Automatic series of a scrape: `up` and its companions, written as one batch after the page. */
#include "scraper/report.h"

#include "scraper/scrape_stats.h"

/* The target's labels plus a metric name, inserted in sort order. */
static struct labels automatic_labels(struct buf *out, const struct target_labels *t, const char *name)
{
    struct labels_iter it = labels_iter(t->wire);
    struct label pair;
    uint32_t before = 0;
    while (labels_next(&it, &pair) && str_cmp(pair.name, STR(METRIC_NAME)) < 0)
        before++;
    buf_clear(out);
    buf_add(out, t->wire.p, t->at[before]);
    labels_append(out, STR(METRIC_NAME), str_of(name));
    buf_add(out, t->wire.p + t->at[before], t->wire.n - t->at[before]);
    return (struct labels){(uint8_t *)out->p, (uint32_t)out->n, t->wire.count + 1};
}

static const struct { const char *name; size_t offset; } automatic[] = {
    {"up", offsetof(struct scrape_report, up)},
    {"scrape_duration_seconds", offsetof(struct scrape_report, duration)},
    {"scrape_samples_scraped", offsetof(struct scrape_report, scraped)},
    {"scrape_samples_post_metric_relabeling", offsetof(struct scrape_report, post_relabeling)},
    {"scrape_series_added", offsetof(struct scrape_report, added)},
    {"scrape_timeout_seconds", offsetof(struct scrape_report, timeout)},
    {"scrape_response_size_bytes", offsetof(struct scrape_report, bytes)}};

static void report_write_value(struct target *t, const char *name, double v, int64_t time)
{
    struct scrape_lane *l = t->lane;
    struct sample s = {time, v};
    struct labels labels = automatic_labels(&l->page.labels, &t->labels, name);
    sink_series(l->sink, &(struct series_in){.labels = labels, .samples = &s, .n_samples = 1});
}

static bool report_begin(struct target *t)
{
    enum { ABOUT = 100 };
    struct sink_batch batch = {.source = t->source, .bytes = LEN(automatic) * (ABOUT + t->labels.wire.n)};
    bool ok = sink_begin(t->lane->sink, &batch) == SINK_OK;
    stats_add(&scrape_stats, SAMPLES_BUSY, ok ? 0 : LEN(automatic));
    return ok;
}

void report_write(struct target *t, const struct scrape_report *r, int64_t time)
{
    if (!report_begin(t))
        return;
    for (size_t i = 0; i < LEN(automatic); i++) {
        double v;
        memcpy(&v, (const char *)r + automatic[i].offset, sizeof v);
        report_write_value(t, automatic[i].name, v, time);
    }
    sink_commit(t->lane->sink, NULL, NULL);
}

void report_end(struct target *t, int64_t time)
{
    if (!report_begin(t))
        return;
    for (size_t i = 0; i < LEN(automatic); i++)
        report_write_value(t, automatic[i].name, stale_nan(), time);
    sink_commit(t->lane->sink, NULL, NULL);
    stats_add(&scrape_stats, STALE_MARKERS, LEN(automatic));
}

static void set_error(struct target_live *live, const struct err *err)
{
    target_error_unref(live->last_error);
    live->last_error = err ? target_error_new(err->text) : NULL;
}

void report_publish(struct target *t, const struct scrape_report *r, const struct err *err, int64_t time)
{
    struct target_live *live = &t->live;
    atomic_store_explicit(&t->health, err ? HEALTH_DOWN : HEALTH_UP, memory_order_relaxed);
    if (err || live->last_error)
        set_error(live, err);
    live->last_scrape = time;
    live->last_duration = r->duration;
    live->scrapes++;
    live->failures += err != NULL;
    live->last_samples = (uint64_t)r->scraped;
    live->last_bytes = (uint64_t)r->bytes;
}
