// SPDX-License-Identifier: Apache-2.0
/* Metrics of destinations, queues and the recent store: one table row per family, read from counters at each scrape. */
#include "writer/stats.h"

#include "base/text/num.h"
#include "base/text/duration.h"
#include "writer/pipeline/aggregate_stage.h"
#include "writer/failover.h"
#include "writer/writer_internal.h"

#include <math.h>
#include <stdio.h>

struct stats_group writer_stats = STATS_GROUP(WRITER_STATS);

/* Each family is written for all destinations before the next one begins, as the exposition format demands. */
struct stats_family {
    const char *name;
    enum stats_kind kind;
    const char *help;
    double (*value)(struct destination *d);
    enum { BY_URL, BY_QUEUE, BY_PATH_AND_URL } labels; /* {url}, {name,path}, {path,url}: as in vmagent */
};

static double writer_stats_load(const atomic_ullong *c)
{
    return (double)atomic_load_explicit(c, memory_order_relaxed);
}

#define QUEUE(field)  writer_stats_load(&queue_stats(d->queue)->field)
static double sent_blocks(struct destination *d) { return writer_stats_load(&d->sent_blocks); }
static double writer_stats_sent_bytes(struct destination *d) { return writer_stats_load(&d->sent_bytes); }
static double sent_samples(struct destination *d) { return writer_stats_load(&d->sent_samples); }
static double destination_retries(struct destination *d) { return writer_stats_load(&d->retries); }
static double destination_errors(struct destination *d) { return writer_stats_load(&d->errors); }
static double dropped_blocks(struct destination *d)
{
    return writer_stats_load(&d->dropped_blocks) + QUEUE(blocks_dropped);
}
static double dropped_samples(struct destination *d) { return (double)destination_dropped(d); }
static double partly_stored(struct destination *d) { return writer_stats_load(&d->partly_stored_blocks); }
static double unconfirmed_samples(struct destination *d) { return writer_stats_load(&d->unconfirmed_samples); }
static double send_seconds(struct destination *d) { return writer_stats_load(&d->send_ns) / 1e9; }
static double writer_stats_written_bytes(struct destination *d) { return writer_stats_load(&d->written_bytes); }
static double relabel_dropped(struct destination *d)
{
    return writer_stats_load(&d->stages.n[STAGE_RELABEL][STAGE_DROPPED]);
}
static double memory_bytes(struct destination *d) { return writer_stats_load(&d->pending_bytes); }
/* Blocks on disk count once, even if a copy is in memory. */
static double pending_bytes(struct destination *d)
{
    double queued = (double)(queue_bytes(d->queue) + queue_unwritten_bytes(d->queue)), memory = memory_bytes(d);
    return queued > memory ? queued : memory;
}
static double oldest_seconds(struct destination *d)
{
    int64_t since = destination_oldest_pending(d), now = clock_wall_ms();
    return since > 0 && since < now ? (double)(now - since) / 1000 : 0;
}
static double memory_blocks(struct destination *d) { return writer_stats_load(&d->pending_blocks); }
static double destination_shards(struct destination *d) { return destination_newest(d)->n_shards; }
static double destination_zstd(struct destination *d) { return atomic_load(&d->zstd); }
static double destination_version(struct destination *d) { return atomic_load(&d->write_2) ? 2 : 1; }
static double destination_newest_first(struct destination *d) { return atomic_load(&d->drain.newest_first); }
static double queue_pending(struct destination *d) { return (double)queue_bytes(d->queue); }
static double queue_bytes_dropped(struct destination *d) { return QUEUE(bytes_dropped); }
static double queue_free(struct destination *d)
{
    uint64_t free = queue_free_bytes(d->queue);
    return free == UINT64_MAX ? NAN : (double)free;
}
static double queue_until_full(struct destination *d) { return queue_seconds_until_full(d->queue); }
static double queue_unwritten(struct destination *d) { return (double)queue_unwritten_bytes(d->queue); }
static double queue_dropped(struct destination *d) { return QUEUE(blocks_dropped); }
static double queue_written(struct destination *d) { return QUEUE(bytes_written); }
static double queue_read_bytes(struct destination *d) { return QUEUE(bytes_read); }
static double queue_write_seconds(struct destination *d) { return QUEUE(write_ns) / 1e9; }
static double queue_read_seconds(struct destination *d) { return QUEUE(read_ns) / 1e9; }
static double quarantine_bytes(struct destination *d)
{
    return writer_stats_load(&queue_quarantine(d->queue)->bytes);
}
static double quarantine_samples(struct destination *d)
{
    return writer_stats_load(&queue_quarantine(d->queue)->samples_kept);
}
static double quarantine_lost(struct destination *d) { return writer_stats_load(&queue_quarantine(d->queue)->samples_lost); }
static double queue_bad(struct destination *d) { return QUEUE(bad_records); }
static double queue_errors(struct destination *d) { return QUEUE(write_errors); }
static double queue_sync_seconds(struct destination *d) { return QUEUE(sync_ns) / 1e9; }
static double queue_syncs(struct destination *d) { return QUEUE(syncs); }

static const struct stats_family families[] = {
    {"vmagent_remotewrite_blocks_sent_total", STATS_COUNTER, "Blocks accepted by the destination", sent_blocks, BY_URL},
    {"vmagent_remotewrite_bytes_sent_total", STATS_COUNTER, "Compressed bytes of blocks accepted by the destination",
     writer_stats_sent_bytes, BY_URL},
    {"vmagent_remotewrite_block_size_rows_sum", STATS_COUNTER,
     "Samples accepted by the destination", sent_samples, BY_URL},
    {"vmagent_remotewrite_retries_count_total", STATS_COUNTER, "Retried requests", destination_retries, BY_URL},
    {"vmagent_remotewrite_errors_total", STATS_COUNTER, "Failed requests that are retried", destination_errors, BY_URL},
    {"vmagent_remotewrite_packets_dropped_total", STATS_COUNTER,
     "Blocks dropped: rejected permanently, older than sample_age_limit, or evicted because the queue was full",
     dropped_blocks, BY_URL},
    {"vmagent_remotewrite_samples_dropped_total", STATS_COUNTER, "Samples in dropped blocks", dropped_samples, BY_URL},
    {"vmagent_remotewrite_send_duration_seconds_total", STATS_COUNTER, "Time spent in requests", send_seconds, BY_URL},
    {"vmagent_remotewrite_conn_bytes_written_total", STATS_COUNTER,
     "Bytes of requests written to connections, including headers, before TLS", writer_stats_written_bytes, BY_URL},
    {"vmagent_remotewrite_relabel_metrics_dropped_total", STATS_COUNTER,
     "Samples dropped by write_relabel_configs", relabel_dropped, BY_URL},
    {"vmagent_remotewrite_pending_data_bytes", STATS_GAUGE,
     "Bytes of undelivered blocks in memory and on disk", pending_bytes, BY_PATH_AND_URL},
    {"sluice_remotewrite_memory_bytes", STATS_GAUGE, "Bytes of pending blocks in memory", memory_bytes, BY_URL},
    {"sluice_remotewrite_oldest_pending_seconds", STATS_GAUGE,
     "Age of the oldest pending block in memory; 0 when there is none", oldest_seconds, BY_URL},
    {"vmagent_remotewrite_pending_inmemory_blocks", STATS_GAUGE, "Pending blocks in memory", memory_blocks,
     BY_PATH_AND_URL},
    {"vmagent_remotewrite_queues", STATS_GAUGE, "Shards of the destination", destination_shards, BY_URL},
    {"sluice_remotewrite_blocks_partly_stored_total", STATS_COUNTER,
     "Blocks of which the destination rejected some samples and stored the rest", partly_stored, BY_URL},
    {"sluice_remotewrite_zstd", STATS_GAUGE, "1 while blocks are sent with zstd, 0 with snappy", destination_zstd,
     BY_URL},
    {"sluice_remotewrite_version", STATS_GAUGE, "Version of remote write that blocks are sent with: 1 or 2", destination_version,
     BY_URL},
    {"sluice_remotewrite_samples_unconfirmed_total", STATS_COUNTER,
     "Samples in blocks of remote write 2.0 that the destination accepted without counting them as written",
     unconfirmed_samples, BY_URL},
    {"sluice_remotewrite_newest_first", STATS_GAUGE,
     "1 if new samples are sent before a backlog, 0 if the backlog is sent first", destination_newest_first, BY_URL},
    {"vm_persistentqueue_bytes_pending", STATS_GAUGE, "Bytes of undelivered blocks on disk", queue_pending,
     BY_QUEUE},
    {"vm_persistentqueue_blocks_dropped_total", STATS_COUNTER,
     "Blocks dropped because disk and memory were full, or lost with deleted files", queue_dropped, BY_QUEUE},
    {"vm_persistentqueue_bytes_dropped_total", STATS_COUNTER, "Bytes of blocks dropped or lost by the queue",
     queue_bytes_dropped, BY_QUEUE},
    {"vm_persistentqueue_free_disk_space_bytes", STATS_GAUGE,
     "Free space of the queue's file system", queue_free, BY_QUEUE},
    {"sluice_queue_seconds_until_full", STATS_GAUGE,
     "Time until the queue is full at the rate of the last five minutes; +Inf while it does not grow",
     queue_until_full, BY_QUEUE},
    {"sluice_queue_unwritten_bytes", STATS_GAUGE,
     "Bytes of blocks that are not delivered and not yet on disk", queue_unwritten, BY_QUEUE},
    {"vm_persistentqueue_bytes_written_total", STATS_COUNTER, "Bytes written to disk", queue_written, BY_QUEUE},
    {"vm_persistentqueue_bytes_read_total", STATS_COUNTER, "Bytes read back from disk", queue_read_bytes, BY_QUEUE},
    {"vm_persistentqueue_write_duration_seconds_total", STATS_COUNTER, "Time spent writing", queue_write_seconds,
     BY_QUEUE},
    {"vm_persistentqueue_read_duration_seconds_total", STATS_COUNTER, "Time spent reading", queue_read_seconds,
     BY_QUEUE},
    {"sluice_queue_quarantine_bytes", STATS_GAUGE, "Bytes of rejected samples that are kept on disk", quarantine_bytes,
     BY_QUEUE},
    {"sluice_queue_quarantine_samples_total", STATS_COUNTER, "Rejected samples written to the quarantine",
     quarantine_samples, BY_QUEUE},
    {"sluice_queue_quarantine_samples_lost_total", STATS_COUNTER,
     "Rejected samples that could not be written to the quarantine, or were deleted over its limit", quarantine_lost,
     BY_QUEUE},
    {"sluice_queue_bad_records_total", STATS_COUNTER,
     "Corrupted records skipped in queue files", queue_bad, BY_QUEUE},
    {"sluice_queue_write_errors_total", STATS_COUNTER, "Failed disk writes, which are retried", queue_errors,
     BY_QUEUE},
    {"sluice_queue_syncs_total", STATS_COUNTER, "fdatasync calls", queue_syncs, BY_QUEUE},
    {"vm_filestream_fsync_calls_total", STATS_COUNTER, "fdatasync calls", queue_syncs, BY_QUEUE},
    {"vm_filestream_fsync_duration_seconds_total", STATS_COUNTER, "Time spent in fdatasync", queue_sync_seconds,
     BY_QUEUE},
};

/* ---- over reloads ---- */

enum { STAGE_COUNTERS = STAGE_KINDS_N * STAGE_RESULTS, STAGES_AT = LEN(families) + DROP_REASONS };
enum { CARRIED = STAGES_AT + STAGE_COUNTERS, KEPT = CARRIED + 2 * DESTINATION_STATUSES };

static double dropped_for(struct destination *d, int reason)
{
    return writer_stats_load(&d->dropped_samples[reason]) + (reason == DROPPED_NO_SPACE ? QUEUE(samples_dropped) : 0);
}

/* What the destination itself counted; at: of families, then of the reasons for which samples were dropped, then of its
 * stages. */
static double counted_value(struct destination *d, size_t at)
{
    if (at >= STAGES_AT)
        return writer_stats_load(&d->stages.n[(at - STAGES_AT) / STAGE_RESULTS][(at - STAGES_AT) % STAGE_RESULTS]);
    return at < LEN(families) ? families[at].value(d) : dropped_for(d, (int)(at - LEN(families)));
}

static double shown_value(struct destination *d, size_t at)
{
    bool counter = at >= LEN(families) || families[at].kind == STATS_COUNTER;
    return counted_value(d, at) + (counter && d->carried ? d->carried[at] : 0);
}

void writer_stats_keep(struct writer *w, struct destination *d, const char *name)
{
    double values[KEPT] = {0};
    for (size_t i = 0; i < CARRIED; i++)
        values[i] = shown_value(d, i);
    for (size_t i = 0, n = atomic_load(&d->n_statuses); i < n; i++) {
        values[CARRIED + 2 * i] = atomic_load(&d->statuses[i].status);
        values[CARRIED + 2 * i + 1] = (double)atomic_load(&d->statuses[i].n);
    }
    stats_keep(&w->kept, str_of(name), values);
}

/* A sum that is rounded down would go backwards. */
static double carried_value(double shown, double counted)
{
    double carried = shown - counted;
    while (counted + carried < shown)
        carried = nextafter(carried, INFINITY);
    return carried;
}

void writer_stats_carry(struct writer *w, struct destination *d, bool fresh)
{
    double values[KEPT];
    stats_kept_take(&w->kept, str_of(d->name), values);
    if (d->carried == NULL)
        d->carried = mem_zalloc(CARRIED * sizeof *d->carried);
    for (size_t i = 0; i < CARRIED; i++)
        d->carried[i] = fresh ? values[i] : carried_value(values[i], counted_value(d, i));
    mutex_lock(&d->lock);
    const double *status = values + CARRIED;
    size_t n = 0;
    for (; n < DESTINATION_STATUSES && status[1] > 0; n++, status += 2) {
        atomic_store(&d->statuses[n].status, (int)status[0]);
        atomic_store(&d->statuses[n].n, (uint64_t)status[1]);
    }
    atomic_store(&d->n_statuses, n);
    mutex_unlock(&d->lock);
}

/* ---- rendering ---- */

struct stats_visit { struct stats_out *out; const struct stats_family *family; };

static void writer_stats_write_value(struct destination *d, void *arg)
{
    struct stats_visit *v = arg;
    const struct stats_label url[] = {{"url", str_of(d->name)}};
    const struct stats_label queue[] = {{"name", str_of(d->name)}, {"path", str_of(d->identity)}};
    const struct stats_label both[] = {{"path", str_of(d->identity)}, {"url", str_of(d->name)}};
    const struct stats_label *const labels[] = {[BY_URL] = url, [BY_QUEUE] = queue, [BY_PATH_AND_URL] = both};
    stats_value(v->out, v->family->name, labels[v->family->labels], v->family->labels == BY_URL ? 1 : 2,
                shown_value(d, (size_t)(v->family - families)));
}

static void write_statuses(struct destination *d, void *arg)
{
    struct stats_visit *v = arg;
    for (size_t i = 0, n = atomic_load_explicit(&d->n_statuses, memory_order_acquire); i < n; i++) {
        char code[24] = "2XX";
        int status = atomic_load_explicit(&d->statuses[i].status, memory_order_relaxed);
        if (status != 200)
            code[num_format_i64(code, status)] = 0;
        const struct stats_label labels[] = {{"url", str_of(d->name)}, {"status_code", str_of(code)}};
        stats_value(v->out, "vmagent_remotewrite_requests_total", labels, 2, (double)atomic_load_explicit(&d->statuses[i].n, memory_order_relaxed));
    }
}

static void write_dropped(struct destination *d, void *arg)
{
    static const char *const names[] = {"rejected", "too_large", "too_old", "no_space"};
    _Static_assert(LEN(names) == DROP_REASONS, "a name for each reason");
    struct stats_visit *v = arg;
    for (int i = 0; i < DROP_REASONS; i++) {
        const struct stats_label labels[] = {{"url", str_of(d->name)}, {"reason", str_of(names[i])}};
        stats_value(v->out, "sluice_remotewrite_samples_dropped_total", labels, 2,
                    shown_value(d, LEN(families) + (size_t)i));
    }
}

static const char *const stage_results[] = {"passed", "dropped", "absorbed", "emitted"};
_Static_assert(LEN(stage_results) == STAGE_RESULTS, "a name for each result");

/* d: NULL for the stages before all destinations. Stages without samples are not shown. */
static void write_stage_counters(struct stats_out *out, const struct destination *d, const double *values)
{
    for (int kind = 0; kind < STAGE_KINDS_N; kind++) {
        double sum = 0;
        for (int i = 0; i < STAGE_RESULTS; i++)
            sum += values[kind * STAGE_RESULTS + i];
        for (int i = 0; i < STAGE_RESULTS && sum > 0; i++) {
            const struct stats_label labels[] = {{"stage", str_of(stage_kind_name((enum stage_kind)kind))},
                                                 {"result", str_of(stage_results[i])},
                                                 {"url", d ? str_of(d->name) : STR_NONE}};
            stats_value(out, "sluice_pipeline_samples_total", labels, 3, values[kind * STAGE_RESULTS + i]);
        }
    }
}

static void write_destination_stages(struct destination *d, void *arg)
{
    double values[STAGE_COUNTERS];
    for (size_t i = 0; i < STAGE_COUNTERS; i++)
        values[i] = shown_value(d, STAGES_AT + i);
    write_stage_counters(((struct stats_visit *)arg)->out, d, values);
}

static void write_stages(struct writer *w, struct stats_out *out)
{
    double values[STAGE_COUNTERS];
    for (size_t i = 0; i < STAGE_COUNTERS; i++)
        values[i] = writer_stats_load(&w->stages.n[i / STAGE_RESULTS][i % STAGE_RESULTS]);
    stats_family(out, "sluice_pipeline_samples_total", STATS_COUNTER,
                 "Samples by stage of the pipeline and by what became of them there; url: of a destination's own "
                 "stage");
    write_stage_counters(out, NULL, values);
    writer_each_destination(w, write_destination_stages, &(struct stats_visit){out, NULL});
}

struct recent_family { const char *name; enum stats_kind kind; const char *help; size_t at; };
#define RECENT(name, kind, field, help) {name, kind, help, offsetof(struct recent_stats, field)}
static const struct recent_family recent_families[RECENT_COUNTERS] = {
    RECENT("sluice_recent_series", STATS_GAUGE, series, "Series in the recent store"),
    RECENT("sluice_recent_samples", STATS_GAUGE, samples, "Samples in the recent store"),
    RECENT("sluice_recent_chunk_bytes", STATS_GAUGE, chunk_bytes, "Bytes of compressed samples"),
    RECENT("sluice_recent_index_bytes", STATS_GAUGE, index_bytes, "Bytes of labels and index"),
    RECENT("sluice_recent_evicted_samples_total", STATS_COUNTER, evicted_samples,
           "Samples evicted for space or age"),
    RECENT("sluice_recent_evicted_series_total", STATS_COUNTER, evicted_series, "Series evicted"),
    RECENT("sluice_recent_rejected_samples_total", STATS_COUNTER, rejected_samples,
           "Samples rejected: too old or too far in the future"),
};

void writer_stats_keep_recent(struct writer *w, struct recent *r)
{
    struct recent_stats s;
    recent_stats(r, &s);
    for (size_t i = 0; i < LEN(recent_families); i++)
        if (recent_families[i].kind == STATS_COUNTER)
            w->recent_carried[i] += (double)*(const uint64_t *)((const char *)&s + recent_families[i].at);
}

static void write_recent(struct writer *w, struct stats_out *out)
{
    double carried[RECENT_COUNTERS];
    mutex_lock(&w->lock);
    struct recent *r = w->recent ? recent_ref(w->recent) : NULL;
    memcpy(carried, w->recent_carried, sizeof carried);
    mutex_unlock(&w->lock);
    if (r == NULL)
        return;
    struct recent_stats s;
    recent_stats(r, &s);
    recent_unref(r);
    for (size_t i = 0; i < LEN(recent_families); i++) {
        const struct recent_family *f = &recent_families[i];
        double counted = (double)*(const uint64_t *)((const char *)&s + f->at);
        stats_single(out, f->name, f->kind, f->help, counted + carried[i]);
    }
}

static void write_series_limits(struct writer *w, struct stats_out *out)
{
    static const struct { const char *max, *current; } names[SERIES_PERIODS] = {
        {"vmagent_hourly_series_limit_max_series", "vmagent_hourly_series_limit_current_series"},
        {"vmagent_daily_series_limit_max_series", "vmagent_daily_series_limit_current_series"}};
    mutex_lock(&w->lock);
    for (int i = 0; w->limits && i < SERIES_PERIODS; i++) {
        uint64_t max, current;
        if (!series_limits_read(w->limits, (enum series_period)i, &max, &current))
            continue;
        stats_single(out, names[i].max, STATS_GAUGE, "Maximum number of series in this period", (double)max);
        stats_single(out, names[i].current, STATS_GAUGE, "Different series since the period began", (double)current);
    }
    mutex_unlock(&w->lock);
}

struct ha_visit { struct stats_out *out; int family; };
static const struct { const char *name; enum stats_kind kind; const char *help; } ha_families[] = {
    {"sluice_ha_elected_replica_changes_total", STATS_COUNTER, "Elections of a replica of the cluster"},
    {"sluice_ha_elected_replica_timestamp_seconds", STATS_GAUGE, "Arrival of the elected replica's last sample"},
    {"sluice_ha_deduped_samples_total", STATS_COUNTER, "Samples of replicas that are not elected, dropped"}};

static void write_ha_value(const struct ha_election_view *v, void *arg)
{
    const struct ha_visit *visit = arg;
    const double values[] = {(double)v->changes, (double)v->seen_ms / 1000, (double)v->dropped};
    const struct stats_label label = {"cluster", v->cluster};
    stats_value(visit->out, ha_families[visit->family].name, &label, 1, values[visit->family]);
}

static void write_elections(struct writer *w, struct stats_out *out)
{
    mutex_lock(&w->lock);
    for (int i = 0; i < (int)LEN(ha_families); i++) {
        stats_family(out, ha_families[i].name, ha_families[i].kind, ha_families[i].help);
        if (w->elections)
            ha_elections_each(w->elections, write_ha_value, &(struct ha_visit){out, i});
    }
    mutex_unlock(&w->lock);
}

/* ---- aggregation ---- */

static void reports_add(struct aggregate_report **reports, size_t *n, const struct chain *c)
{
    for (size_t i = 0; i < c->n; i++) {
        struct aggregate_report *r = aggregate_stage_report(c->stages[i]);
        if (r)
            reports[(*n)++] = r;
    }
}

void writer_stats_show_aggregation(struct writer *w, const struct topology *p)
{
    struct aggregate_report **reports = p ? mem_zalloc((p->n_streams + 1) * sizeof *reports) : NULL;
    size_t n = 0;
    if (p)
        reports_add(reports, &n, &p->global);
    for (size_t i = 0; p && i < p->n_streams; i++)
        reports_add(reports, &n, &p->streams[i].chain);
    mutex_lock(&w->lock);
    struct aggregate_report **before = w->reports;
    size_t n_before = w->n_reports;
    w->reports = reports;
    w->n_reports = n;
    mutex_unlock(&w->lock);
    for (size_t i = 0; i < n_before; i++)
        aggregate_report_unref(before[i]);
    mem_free(before);
}

/* The text of thousands of rules is made without the lock, which a failover and a reload wait for. */
static void write_aggregation(struct writer *w, struct stats_out *out)
{
    mutex_lock(&w->lock);
    size_t n = w->n_reports;
    struct aggregate_report **reports = mem_zalloc((n + 1) * sizeof *reports);
    for (size_t i = 0; i < n; i++)
        reports[i] = aggregate_report_ref(w->reports[i]);
    mutex_unlock(&w->lock);
    aggregate_reports_collect(reports, n, out);
    for (size_t i = 0; i < n; i++)
        aggregate_report_unref(reports[i]);
    mem_free(reports);
}

static void writer_collect(struct stats_out *out, void *arg)
{
    struct writer *w = arg;
    for (size_t i = 0; i < LEN(families); i++) {
        stats_family(out, families[i].name, families[i].kind, families[i].help);
        writer_each_destination(w, writer_stats_write_value, &(struct stats_visit){out, &families[i]});
    }
    stats_family(out, "vmagent_remotewrite_requests_total", STATS_COUNTER,
                 "Requests by response status; status_code 0: no response");
    writer_each_destination(w, write_statuses, &(struct stats_visit){out, NULL});
    stats_family(out, "sluice_remotewrite_samples_dropped_total", STATS_COUNTER, "Samples dropped, by reason");
    writer_each_destination(w, write_dropped, &(struct stats_visit){out, NULL});
    write_stages(w, out);
    stats_single(out, "sluice_queues_hung", STATS_GAUGE,
                 "Destinations that are not in use because their queue directories do not respond", writer_late(w));
    stats_single(out, "vm_app_prev_shutdown_unclean", STATS_GAUGE,
                 "1 if the last run with this queue directory did not stop cleanly", atomic_load(&w->unclean));
    stats_single(out, "vmagent_remotewrite_global_relabel_metrics_dropped_total", STATS_COUNTER,
                 "Samples dropped by the relabeling of all destinations",
                 writer_stats_load(&w->stages.n[STAGE_RELABEL][STAGE_DROPPED]));
    write_series_limits(w, out);
    write_elections(w, out);
    write_aggregation(w, out);
    orphans_collect(w, out);
    failover_collect(w, out);
    write_recent(w, out);
}

void writer_stats_start(struct writer *w)
{
    stats_kept_init(&w->kept, KEPT);
    stats_register(&writer_stats);
    stats_register(&limit_stats);
    recent_register_stats();
    stats_collector(writer_collect, w);
}

void writer_stats_stop(struct writer *w)
{
    stats_collector_remove(writer_collect, w);
    stats_kept_free(&w->kept);
}
