// SPDX-License-Identifier: Apache-2.0
/* Automatic series of a scrape: `up` and its companions, written as one batch after the page. */
#include "scraper/report.h"

#include "scraper/jobs/external.h"
#include "scraper/scrape_stats.h"

/* Labels plus a metric name, inserted in sort order. */
static struct labels automatic_labels(struct buf *out, struct labels base, const char *name)
{
    struct labels_iter it = labels_iter(base);
    struct label pair;
    const uint8_t *at = it.p;
    while (labels_next(&it, &pair) && str_cmp(pair.name, STR(METRIC_NAME)) < 0)
        at = it.p;
    size_t before = base.n > 0 ? (size_t)(at - base.p) : 0;
    buf_clear(out);
    buf_add(out, base.p, before);
    labels_append(out, STR(METRIC_NAME), str_of(name));
    buf_add(out, base.p + before, base.n - before);
    return (struct labels){(uint8_t *)out->p, (uint32_t)out->n, base.count + 1};
}

enum automatic_when { REPORT_ALWAYS, REPORT_SAMPLE_LIMIT, REPORT_LABEL_LIMIT, REPORT_SERIES_LIMIT, REPORT_EXTRA };
static const struct { const char *name; size_t offset; enum automatic_when when; } automatic[] = {
    {"up", offsetof(struct scrape_report, up), REPORT_ALWAYS},
    {"scrape_duration_seconds", offsetof(struct scrape_report, duration), REPORT_ALWAYS},
    {"scrape_samples_scraped", offsetof(struct scrape_report, scraped), REPORT_ALWAYS},
    {"scrape_samples_post_metric_relabeling", offsetof(struct scrape_report, post_relabeling), REPORT_ALWAYS},
    {"scrape_series_added", offsetof(struct scrape_report, added), REPORT_ALWAYS},
    {"scrape_timeout_seconds", offsetof(struct scrape_report, timeout), REPORT_ALWAYS},
    {"scrape_response_size_bytes", offsetof(struct scrape_report, bytes), REPORT_ALWAYS},
    {"scrape_samples_limit", offsetof(struct scrape_report, sample_limit), REPORT_SAMPLE_LIMIT},
    {"scrape_labels_limit", offsetof(struct scrape_report, label_limit), REPORT_LABEL_LIMIT},
    {"scrape_series_current", offsetof(struct scrape_report, series), REPORT_SERIES_LIMIT},
    {"scrape_series_limit", offsetof(struct scrape_report, series_limit), REPORT_SERIES_LIMIT},
    {"scrape_series_limit_samples_dropped", offsetof(struct scrape_report, over_series_limit), REPORT_SERIES_LIMIT},
    {"scrape_sample_limit", offsetof(struct scrape_report, sample_limit), REPORT_EXTRA},
    {"scrape_body_size_bytes", offsetof(struct scrape_report, body_size), REPORT_EXTRA}};

static bool automatic_wanted(const struct target *t, enum automatic_when when)
{
    bool limits = t->job->conf->page.reports_limits;
    switch (when) {
    case REPORT_ALWAYS: return true;
    case REPORT_SAMPLE_LIMIT: return limits && t->settings.sample_limit > 0;
    case REPORT_EXTRA: return t->job->conf->extra_scrape_metrics;
    case REPORT_SERIES_LIMIT: return t->settings.series_limit > 0;
    case REPORT_LABEL_LIMIT: return limits && t->settings.label_limit > 0;
    }
    return false;
}

/* Those of the target, with external labels if the scraper adds them; valid until the interner derives other labels. */
static struct labels report_own_labels(struct target *t)
{
    struct interner *in = &t->lane->interner;
    if (t->job->conf->external_labels.n == 0)
        return t->labels.wire;
    interner_clear_scratch(in);
    builder_start(&in->builder, t->labels.wire);
    external_labels_add(&in->builder, t->job->conf);
    return builder_labels(&in->builder, &in->scratch);
}

/* r: NULL for stale markers. Returns the number of series. */
static size_t report_series(struct target *t, const struct scrape_report *r, int64_t time)
{
    struct scrape_lane *l = t->lane;
    struct labels base = report_own_labels(t);
    enum { ABOUT = 100 };
    struct sink_batch batch = {.source = t->source, .route = t->job->conf->route,
                               .bytes = LEN(automatic) * (ABOUT + base.n)};
    bool ok = sink_begin(l->sink, &batch) == SINK_OK;
    size_t n = 0;
    for (size_t i = 0; i < LEN(automatic); i++) {
        struct sample s = {time, stale_nan()};
        if (!automatic_wanted(t, automatic[i].when))
            continue;
        n++;
        if (!ok)
            continue;
        if (r)
            memcpy(&s.v, (const char *)r + automatic[i].offset, sizeof s.v);
        struct labels labels = automatic_labels(&l->page.labels, base, automatic[i].name);
        sink_series(l->sink, &(struct series_in){.labels = labels, .samples = &s, .n_samples = 1});
    }
    if (ok)
        sink_commit(l->sink, NULL, NULL);
    else
        stats_add(&scrape_stats, SAMPLES_BUSY, (double)n);
    return ok ? n : 0;
}

void report_write(struct target *t, const struct scrape_report *r, int64_t time) { report_series(t, r, time); }

void report_end(struct target *t, int64_t time)
{
    stats_add(&scrape_stats, STALE_MARKERS, (double)report_series(t, NULL, time));
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
    live->series = (uint32_t)r->series;
}
