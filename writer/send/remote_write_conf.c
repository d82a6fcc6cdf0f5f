// SPDX-License-Identifier: Apache-2.0
/* remote_write: configuration rows. Prometheus' keys without a meaning here are accepted, so that its files load. */
#include "writer/writer.h"

#include "base/text/url.h"

enum { MOST_SHARDS = 256 };
#define ROW(field) offsetof(struct destination_conf, field)
#define QUEUE(field) offsetof(struct queue_conf, field)
static const char *const protocols[] = {"auto", "snappy", "zstd", NULL};
static const char *const messages[] = {"prometheus.WriteRequest", "io.prometheus.write.v2.Request", NULL};
static const char *const durabilities[] = {"memory", "spill", "always", NULL};
static const char *const drain_orders[] = {"auto", "in_order", "newest_first", NULL};
static const char *const full_policies[] = {"drop_oldest", "push_back", NULL};

static const struct conf_row queue_rows[] = {
    {CONF_INT, "shards", QUEUE(shards), .preset = "8", .min = 1, .max = MOST_SHARDS,
     .help = "Number of shards, each with one request in flight; kept across restarts; a series is always sent by the "
             "same shard"},
    {CONF_DURATION, "min_backoff", QUEUE(min_backoff), .preset = "30ms", .min = 1, .max = 3600000,
     .help = "Initial retry backoff"},
    {CONF_DURATION, "max_backoff", QUEUE(max_backoff), .preset = "5s", .min = 1, .max = 3600000,
     .help = "Maximum retry backoff"},
    {CONF_DURATION, "sample_age_limit", QUEUE(sample_age_limit), .preset = "0s",
     .help = "Maximum age of a pending block's newest sample; older blocks are dropped; 0 = unlimited"},
    {CONF_INT, "max_samples_per_send", QUEUE(max_samples), .preset = "10000", .min = 1, .max = 1000000,
     .help = "Maximum number of samples of a block, which is sent in one request"},
    {CONF_SIZE, "max_block_bytes", QUEUE(max_block_bytes), .preset = "8MiB", .min = 1, .max = 64 << 20,
     .help = "Maximum size of a block before compression; a sample that is larger is dropped"},
    {CONF_BOOL, "retry_on_http_429", QUEUE(retry_on_http_429), .preset = "true",
     .help = "Retry after 429; `false`, Prometheus' default, drops the samples"},
    {CONF_IGNORED, "capacity", 0, .help = "A shard has no buffer that may be full: pending blocks of all shards take "
     "`max_memory_bytes`, and the disk"},
    {CONF_INT, "max_shards", QUEUE(max_shards), .preset = "50", .min = 1, .max = 1000000,
     .help = "Maximum of `shards`, whose number does not change with the load"},
    {CONF_INT, "min_shards", QUEUE(min_shards), .preset = "1", .min = 1, .max = 1000000,
     .help = "Minimum of `shards`, up to 256"},
    {CONF_DURATION, "batch_send_deadline", QUEUE(batch_send_deadline), .preset = "5s", .min = 1, .max = 3600000,
     .help = "Maximum time a sample waits for others; the minimum of all destinations and of the flag `remoteWrite.flushInterval` "
             "applies to all"},
    {0}};
static const struct conf_section queue_section = {"queue_config", sizeof(struct queue_conf), queue_rows, NULL,
                                                  "How a destination's queue is sent"};

static const struct conf_row metadata_rows[] = {
    {.type = CONF_BOOL, .name = "send", .offset = offsetof(struct metadata_conf, send), .preset = "true",
     .help = "Send metadata; `send_metadata` must be `true`, too"},
    {.type = CONF_DURATION, .name = "send_interval", .offset = offsetof(struct metadata_conf, send_interval),
     .preset = "10m", .min = 1000, .max = 86400000,
     .help = "Scraped metadata is sent when it is new, and again after this time; the minimum of all destinations "
             "applies to all"},
    {.type = CONF_IGNORED, .name = "max_samples_per_send", .help = "Metadata is part of blocks of samples, which "
     "`max_samples_per_send` of `queue_config` limits"},
    {0}};
static const struct conf_section metadata_section = {"metadata_config", sizeof(struct metadata_conf), metadata_rows,
                                                     NULL, "Metadata, by Prometheus' keys"};

static const struct conf_row rows[] = {
    {CONF_URL, "url", ROW(url), .required = true, .help = "Remote write URL. With `dns+` before its host, requests go to all addresses of "
     "that name, with `srv+` to all hosts and ports of its SRV records, each to the one with the fewest in flight"},
    {CONF_STRING, "name", ROW(name), .help = "Name in logs, metrics, `written_by` and `recent.like`; must be unique"},
    {CONF_DURATION, "remote_timeout", ROW(remote_timeout), .preset = "30s", .min = 1, .max = 3600000,
     .help = "Request timeout"},
    {CONF_SECTIONS, "write_relabel_configs", ROW(write_relabel_configs), .section = &relabel_section,
     .help = "Relabeling rules applied to every series before it is sent"},
    {CONF_SECTION, "queue_config", ROW(queue), .section = &queue_section,
     .help = "Shards, limits of blocks, retry backoff and age limit"},
    {CONF_ENUM, "protocol", ROW(protocol), .preset = "auto", .names = protocols,
     .help = "Compression: `auto` tries zstd and falls back to snappy when the receiver rejects it; with remote write 2.0 "
             "it is snappy"},
    {CONF_ENUM, "protobuf_message", ROW(protobuf_message), .preset = "prometheus.WriteRequest", .names = messages,
     .help = "Message: remote write 1.0, or 2.0 (`io.prometheus.write.v2.Request`), which falls back to 1.0 for an hour when "
             "the receiver does not accept it"},
    {CONF_ENUM, "durability", ROW(durability), .preset = "spill", .names = durabilities,
     .help = "When a push is acknowledged: `memory` before the block is written, `spill` after the write, `always` "
             "after fdatasync"},
    {CONF_ENUM, "on_full", ROW(on_full), .preset = "drop_oldest", .names = full_policies,
     .help = "Action when disk and memory are full: drop the oldest blocks, or refuse pushes with 429"},
    {CONF_ENUM, "drain", ROW(drain), .preset = "auto", .names = drain_orders,
     .help = "After an outage: `in_order` sends the backlog before new samples, `newest_first` beside them, which the "
             "receiver must accept (`out_of_order_time_window` of Prometheus and Mimir); `auto` is `newest_first` for "
             "VictoriaMetrics"},
    {CONF_SIZE, "drain_rate_limit", ROW(drain_rate), .preset = "0",
     .help = "Maximum bytes per second, compressed, of blocks that were pending for more than 5s; 0 = unlimited; with "
             "`in_order` it must exceed the rate of new samples"},
    {CONF_SIZE, "rate_limit", ROW(rate_limit), .preset = "0",
     .help = "Maximum bytes per second, compressed, of all blocks; 0 = unlimited; blocks wait in the queue"},
    {CONF_STRING, "backup_of", ROW(backup_of),
     .help = "Name of another entry, whose backup this one is (that may be a backup, too): it is sent samples only "
             "while that one does not accept them, and takes its relabeling, `limits`, `extra_labels`, rounding, "
             "shards, limits of blocks, `protobuf_message` and `send_` keys from it"},
    {CONF_DURATION, "failover_after", ROW(failover_after), .preset = "30s", .min = 1, .max = 86400000,
     .help = "Of a backup: how long the oldest block of its primary is pending before the backup sends"},
    {CONF_DURATION, "failover_hold", ROW(failover_hold), .preset = "5m", .min = 1, .max = 86400000,
     .help = "Of a backup: how long no block of its primary may have been pending for `failover_after` before the backup "
             "stops sending"},
    {CONF_SIZE, "max_disk_bytes", ROW(max_disk_bytes), .preset = "0",
     .help = "Maximum size of the queue on disk; 0 = unlimited"},
    {CONF_SIZE, "max_quarantine_bytes", ROW(max_quarantine_bytes), .preset = "16MiB",
     .help = "Maximum size of rejected samples that are kept on disk (unless durability is `memory`); over it the oldest "
             "are deleted; 0 = none are kept"},
    {CONF_SIZE, "max_memory_bytes", ROW(max_memory_bytes), .preset = "16MiB",
     .help = "Maximum size of pending blocks in memory"},
    {CONF_MAP, "extra_labels", ROW(extra_labels), .help = "Labels set on every series after relabeling"},
    {CONF_SECTION, "limits", ROW(limits), .section = &limits_section,
     .help = "Limits of the series of this destination, after `write_relabel_configs`"},
    {CONF_OPTIONAL, "stream_aggregation", ROW(aggregate), .section = &aggregate_section,
     .help = "[Aggregation and deduplication](stream-aggregation.md) of this destination's samples, after `limits`; "
             "off by default"},
    {CONF_INT, "significant_figures", ROW(significant_figures), .preset = "0", .min = 0, .max = 1000,
     .help = "Round values to this number of significant figures; 0, and from 18 on: no rounding"},
    {CONF_INT, "round_digits", ROW(round_digits), .preset = "100", .min = -1000, .max = 1000,
     .help = "Round values to this number of digits behind the decimal point, before it if negative; from 100 on: no rounding"},
    {CONF_BOOL, "send_metadata", ROW(send_metadata), .preset = "true", .help = "Send metadata (HELP, TYPE, UNIT)"},
    {CONF_BOOL, "send_exemplars", ROW(send_exemplars), .preset = "true", .help = "Send exemplars"},
    {CONF_BOOL, "send_native_histograms", ROW(send_native_histograms), .preset = "true",
     .help = "Send native histograms"},
    {CONF_SECTION, "metadata_config", ROW(metadata_config), .section = &metadata_section, .help = "Metadata"},
    {CONF_BOOL, "round_robin_dns", ROW(round_robin_dns), .preset = "false",
     .help = "Distribute requests over all addresses of the URL's host, as with `dns+` before it"},
    HTTP_CONF_ROWS(struct destination_conf, http),
    {.type = CONF_OPTIONAL, .name = "google_iam", .offset = ROW(http.google_iam), .section = &google_iam_section,
     .help = "Token of Google"},
    {0}};

static bool remote_write_conf_check(struct conf_context *c UNUSED, const struct yaml *node, void *value,
                                    struct err *err)
{
    struct destination_conf *d = value;
    struct url url;
    struct err bad;
    if (!url_parse(d->url, &url, &bad))
        return conf_err(node, err, "remote_write: url: %s", bad.text);
    if (d->queue.min_shards > d->queue.max_shards)
        return conf_err(node, err, "remote_write: queue_config: min_shards is larger than max_shards");
    if (d->queue.shards < d->queue.min_shards)
        d->queue.shards = d->queue.min_shards < MOST_SHARDS ? d->queue.min_shards : MOST_SHARDS;
    if (d->queue.shards > d->queue.max_shards)
        d->queue.shards = d->queue.max_shards;
    if (d->queue.min_backoff > d->queue.max_backoff)
        return conf_err(node, err, "remote_write: queue_config: min_backoff is longer than max_backoff");
    return http_conf_check(node, &d->http, err);
}

const struct conf_section remote_write_section = {"remote_write", sizeof(struct destination_conf), rows,
                                                  remote_write_conf_check,
                                                  "One destination that everything is sent to"};
