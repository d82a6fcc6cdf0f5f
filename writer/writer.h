// SPDX-License-Identifier: Apache-2.0
/* The writer: accepts batches through one sink per lane, cuts them into blocks, and delivers every block to every
 * destination of its stream, in order per series, through a persistent queue.
 *
 * Terms
 * - Destination: one remote_write entry.
 * - Backup: a destination that sends while another one, its primary, does not accept samples (failover.h).
 * - Stage: what is done to series on their way: relabeling, labels (pipeline/stage.h).
 * - Stream: a chain of stages and a number of shards. Destinations with the same settings share a stream, and each of its
 *   blocks is built and compressed once.
 * - Shard: owned by one lane (shard number modulo lanes), with one request in flight.
 * - Topology: the streams and destinations of one configuration.
 *
 * Threads: functions are called on the main thread unless stated otherwise; a sink on its lane. Each queue directory
 * has an io thread.
 *
 * Files
 * - writer.c (start, stop, status), reload.c (a new configuration), retire.c (removed destinations), orphans.c (their
 *   queue directories), failover.c, failover_windows.c and failover_file.c (backups), offline.c (queues without a writer),
 *   topology.c, stages.c (what a configuration does to series), lane.c (one lane's part), flow.c (series through the
 *   stages), sink.c (batches), stats.c, refill.c
 * - pipeline/: stage.h (stages), chain.c, label_stage.c (relabeling), sharding.c (series over destinations), pending.c
 *   (bytes not yet in a block)
 * - send/: destination.c, destination_lane.c (retries), shard.c (order), sender.c (one request), response.c, bisect.c
 *   (rejected blocks), form.c (message and codec), places.c (addresses of a host), drain.c (order after an outage), backup.c (the blocks of a backup), outage.c (log lines), remote_write_conf.c (configuration rows)
 * - queue/: block.c, ack.c, queue.c (the io thread), queue_life.c (open and close), queue_intake.c (jobs of the lanes),
 *   queue_dir.c, queue_shard.c, segment.c and position.c (files and formats), vmagent_queue.c and vmagent_chunk.c (those of
 *   vmagent), queue_files.c (reading without opening)
 * - recent/: the store of recent samples
 */
#ifndef WRITER_WRITER_H
#define WRITER_WRITER_H

#include "base/http/http_conf.h"
#include "base/os/loop.h"
#include "base/telemetry/stats.h"
#include "model/relabel.h"
#include "model/sink.h"
#include "model/source.h"

enum durability { DURABILITY_MEMORY, DURABILITY_SPILL, DURABILITY_ALWAYS };
enum wire_protocol { PROTOCOL_AUTO /* zstd first, snappy once it is rejected */, PROTOCOL_SNAPPY, PROTOCOL_ZSTD };
enum write_message { WRITE_MESSAGE_1, WRITE_MESSAGE_2 }; /* remote write 1.0, 2.0 */
enum queue_full { FULL_DROP_OLDEST, FULL_PUSH_BACK };

struct limits_conf {                  /* `limits:`; 0 = none (pipeline/limits.h) */
    int64_t max_labels, max_label_name_length, max_label_value_length;
    int64_t max_hourly_series, max_daily_series; /* -1: they are counted only */
};
extern const struct conf_section limits_section;
struct aggregate_conf {               /* `stream_aggregation:` (aggregate/) */
    struct conf_items rules;          /* struct aggregate_rule */
    struct str rules_file;            /* further rules are read from it by whoever loads the configuration */
    bool keep_input;                  /* samples that a rule matches are sent, too */
    bool drop_input;                  /* those that no rule matches are not sent */
    int64_t dedup_interval;           /* ms; 0 = off */
    struct str_list drop_input_labels; /* ascending, without duplicates */
    bool ignore_old_samples, enable_windows; int64_t ignore_first_intervals; /* of rules without such keys */
    struct str path;                  /* not a key: the file that the rules are from, in metrics */
};
extern const struct conf_section aggregate_section;
/* Sets drop_input_labels to these names in any order. False: the arena is full. */
bool aggregate_set_drop_labels(struct arena *a, struct aggregate_conf *conf, struct str_list names) MUST_USE;
/* Adds the rules of a file, whose document is a list of them, and which the other settings apply to. */
bool aggregate_load_file(struct conf_context *c, const struct yaml *document, struct aggregate_conf *conf,
                         struct err *err) MUST_USE;

struct destination_conf {             /* one remote_write entry */
    struct str name, url;
    int64_t remote_timeout;           /* ms, of one request */
    struct http_conf http;
    struct conf_items write_relabel_configs; /* struct relabel_rule */
    struct str_map extra_labels;      /* -remoteWrite.label: set last, overrides */
    struct limits_conf limits;        /* after the rules */
    struct aggregate_conf *aggregate; /* after the limits; NULL: nothing is aggregated */
    int64_t significant_figures, round_digits; /* of values; 0 and 100: values are not rounded */
    struct str unread_rules;          /* a file of relabeling rules that does not respond; empty: all are read.
                                       * Otherwise the destination gets no new samples */
    struct queue_conf {               /* queue_config, with Prometheus' names where they apply */
        int64_t shards;               /* default 8; -remoteWrite.queues; within the next two */
        int64_t min_shards, max_shards; /* Prometheus' */
        int64_t batch_send_deadline;  /* ms; the least of all destinations bounds the flush interval; 0 = no bound */
        int64_t min_backoff, max_backoff;
        int64_t sample_age_limit;     /* ms; older blocks are dropped and counted; 0 = unlimited */
        int64_t max_samples;          /* of a block; default 10,000 */
        int64_t max_block_bytes;      /* before compression; default 8 MiB */
        bool retry_on_http_429;       /* default true; false: dropped as after other 4xx */
    } queue;
    int protocol;                     /* enum wire_protocol */
    int protobuf_message;             /* enum write_message */
    bool round_robin_dns;             /* as if the host of the URL began with dns+ (send/places.h) */
    int durability;                   /* enum durability */
    int on_full;                      /* enum queue_full */
    int64_t max_disk_bytes;           /* 0 = unlimited */
    int64_t max_quarantine_bytes;     /* of rejected samples on disk; 0 = none are kept */
    int64_t max_memory_bytes;         /* of blocks in memory */
    bool send_metadata, send_exemplars, send_native_histograms;
    struct metadata_conf { bool send; int64_t send_interval; } metadata_config; /* send: and with send_metadata */
    int64_t rate_limit;               /* bytes a second; 0 = unlimited */
    int drain;                        /* enum drain_order */
    int64_t drain_rate;               /* bytes a second of a backlog; 0 = unlimited */
    struct str backup_of;             /* name of the destination that this is the backup of (failover.h); empty: none. Its
                                       * stream's settings are those of that one */
    int64_t failover_after, failover_hold; /* ms */
    uint64_t route;                   /* not a key: the batches that it gets (model/sink.h); 0: those without a route */
    struct str queue_name;            /* not a key: the queue's directory; empty: as the name or URL determines. One of
                                       * vmagent, N_HASH, is taken over first */
};
extern const struct conf_section remote_write_section;

enum shard_hash { SHARD_HASH_VMAGENT, SHARD_HASH_RENDEZVOUS };
struct sharding_conf {                /* `shard:` (pipeline/sharding.h) */
    int hash;                         /* enum shard_hash */
    struct str_list labels, ignore_labels; /* hashed, or not; at most one of them is set */
    int64_t replicas;
};
extern const struct conf_section sharding_section;

struct ha_conf {                      /* `ha_dedup:` (pipeline/ha.h); ms */
    struct str cluster_label, replica_label;
    int64_t failover_timeout, update_timeout, max_clusters;
};
struct pipeline_conf {                /* `pipeline:` of all series, before they are distributed (stages.h) */
    struct ha_conf *ha_dedup;          /* NULL: replicas are not told apart */
    struct conf_items relabel_configs; /* struct relabel_rule */
    struct limits_conf limits;
    struct aggregate_conf *aggregate;  /* NULL: nothing is aggregated */
};
extern const struct conf_section pipeline_section;

struct recent_conf {                  /* `recent:` */
    struct str like;                  /* the destination whose stream is stored; empty = everything, without
                                       * relabeling */
    int64_t budget;                   /* bytes, default 64 MiB */
    int64_t retention;                /* ms, default 2 h; 0 = no age limit, samples of any age and order are accepted */
};
extern const struct conf_section recent_section;

#define SECRET_URL "secret-url"       /* shown in place of a URL */
struct writer;
struct writer_env {
    struct loop *main;
    struct loop *const *lanes; unsigned n_lanes;
    struct str queue_dir;             /* directory of all queues; created if it does not exist */
    int64_t flush_interval;           /* ms; 0 = 1 s */
    struct str_map external_labels;   /* added when absent, before write_relabel_configs */
    bool show_urls;                   /* in metrics, pages and logs; otherwise "1:secret-url" as in vmagent */
    const char *id;                   /* of this process, sent with requests (base/http/via.h); NULL = none is sent */
    bool ignore_orphans;              /* queues of no destination are not looked for */
    bool (*interrupted)(void);        /* polled while queues are read; true aborts; NULL = never */
    /* Main: apply the configuration again: a queue directory that hung when it was applied responds, or a destination
     * begins a new generation (send/drain.h). NULL = neither happens until the next change. */
    void (*apply_again)(void *arg); void *apply_again_arg;
};
struct writer_plan {                  /* the settings of a new configuration */
    const struct destination_conf *destinations; size_t n;
    const struct recent_conf *recent; /* NULL = off */
    const struct sharding_conf *sharding; /* NULL = each destination gets all series */
    const struct pipeline_conf *pipeline; /* NULL = nothing is done to series in common */
    struct str_map external_labels;
    /* set by writer_prepare */
    bool show_urls;                   /* as in writer_env */
    const char *state_dir;            /* of the queues, where stages keep state over a restart; NULL: there is none */
    bool state_left;                  /* by the process before: it is the first configuration */
    int64_t flush_interval;           /* ms */
};
/* Creates the writer; starts nothing and opens no file. */
struct writer *writer_new(const struct writer_env *env);
/* Checks the i-th destination against those before it: names must be unique, and without a name URLs without their
 * query, since they identify the queue's directory. */
bool writer_check_destination(const struct destination_conf *all, size_t i, struct err *err) MUST_USE;
/* Whether both have the same identity, by which a reload keeps the queue: the name, or the URL without its query. */
bool writer_same_destination(const struct destination_conf *a, const struct destination_conf *b);
/* Name of the destination at `position` of its configuration in metrics, pages and logs; free with mem_free. */
char *writer_destination_name(const struct destination_conf *c, size_t position, bool show_urls);
/* Applies a new configuration in two steps. prepare does everything that can fail and does not change the configuration
 * in use; commit cannot fail. Only one change may be prepared at a time. The plan's memory must live until `release` is
 * called, or until cancel. Destinations whose identity (name, or URL without query) is unchanged keep their queue. The
 * queues of removed destinations are closed and remain on disk, unsent. A new destination whose queue directory hangs
 * is not used yet (writer/late.h).
 */
struct writer_change;
struct writer_change *writer_prepare(struct writer *w, const struct writer_plan *topology, struct err *err) MUST_USE;
void writer_commit(struct writer_change *c, void (*release)(void *arg), void *release_arg);
void writer_cancel(struct writer_change *c);
/* Main: posts the task to the main loop once the newest configuration is in force on every lane, or the writer is
 * stopped. */
void writer_await(struct writer *w, struct loop_task *task);
bool writer_ready(struct writer *w); /* any thread: the first configuration is in force; before that sinks are busy */
/* Any thread: destinations of the configuration that are not used because their queue directories hang. */
unsigned writer_late(struct writer *w);
bool writer_unclean(struct writer *w); /* any thread: the last run of this queue directory did not stop cleanly */
/* Any thread: those that get no new samples because files of their relabeling rules hang. */
unsigned writer_without_rules(struct writer *w);
bool writer_has_streams(struct writer *w); /* any thread: samples written to a sink have a receiver, on every lane */
struct sink *writer_sink(struct writer *w, unsigned lane);
/* Seals pending blocks, sends for at most grace_ms, writes the rest to disk, syncs, and calls `done` on the main loop.
 * Waits for disks at most 4 s; if one does not respond by then, the writer is abandoned: its threads may still be
 * running, so neither the writer nor a lane's loop may be freed, and the process must exit. */
void writer_stop(struct writer *w, int64_t grace_ms, void (*done)(void *arg), void *arg);
bool writer_abandoned(const struct writer *w);
void writer_free(struct writer *w);

/* The recent store as a source, NULL when off. Any query worker; valid while the caller holds the reference. */
struct source *writer_recent(struct writer *w);
void writer_recent_unref(struct source *recent);
/* The store is complete over [*from, now]; it is no source for a window that begins earlier. */
int64_t writer_recent_from(struct source *recent);
/* Calls `visit` for each series, under a lock: it must be short, and may allocate in the query's arena. False: the query
 * must end. */
struct recent_size {
    struct labels labels;             /* valid during the call */
    uint32_t chunks;
    int64_t oldest, newest;           /* Unix ms, of its samples */
};
bool writer_recent_sizes(struct source *recent, struct query_ctx *q,
                         void (*visit)(void *arg, const struct recent_size *size), void *arg,
                         struct err *err) MUST_USE;

/* Any thread: Unix ms; what was committed to the sinks before is acknowledged by all destinations but backups, or
 * dropped. */
int64_t writer_delivered(struct writer *w);

struct destination_status {           /* a copy in the caller's arena */
    struct str name, url;             /* as shown in metrics and logs; url redacted, SECRET_URL unless show_urls */
    unsigned shards;
    uint64_t pending_bytes, pending_blocks, dropped_blocks, dropped_samples, sent_samples, sent_bytes, retries;
    int64_t oldest_ms;                /* age of the oldest pending block, ms */
    uint64_t free_bytes;              /* of the queue's file system; UINT64_MAX = unknown */
    double seconds_until_full;        /* of the queue; +Inf while it does not grow */
    bool newest_first;                /* new samples are sent before a backlog */
    struct str last_error; int64_t last_error_at, last_ok_at;
    bool zstd;
    struct str backup_of;             /* its primary's name; empty: it is no backup */
    bool backup_sends; int64_t backup_since; /* it sends since, Unix ms */
    unsigned backup_windows; int64_t backup_window_ms; /* times that it has samples of */
};
void writer_status(struct writer *w, struct arena *a, struct destination_status **out, size_t *n);

/* Any thread: a backup (backup_of) has samples of some times only. */
struct written {
    bool backup;                      /* the destination of this name is a backup; else the rest is not set */
    bool some, all;                   /* it may have samples of [from, to]; it has been sent all of them */
};
struct written writer_written(struct writer *w, struct str name, int64_t from, int64_t to);

/* Where `shard` with labels places series: immutable, any thread, reference counted (placement.c). NULL: series are not
 * distributed, or not by listed labels. */
struct placement;
struct placement *writer_placement_new(const struct writer_plan *plan); /* borrows nothing */
struct placement *writer_placement_ref(struct placement *p);
void writer_placement_unref(struct placement *p);
bool writer_placement_equal(const struct placement *a, const struct placement *b);
struct str_list writer_placement_labels(const struct placement *p); /* that decide, ascending */
/* The bit of a destination; 0: its series may have other such labels than those that decided, or there is none. */
uint64_t writer_placement_bit(const struct placement *p, struct str destination);
/* Bits of the destinations that get the series with these values, one for each label that decides; empty: without it. */
uint64_t writer_placement_of(const struct placement *p, const struct str *values);

/* Queues on disk without a writer, for the command line (offline.c). Reading changes nothing, and a running program may
 * use the directory meanwhile. */
struct queue_report {
    const char *name;                 /* of its directory; vmagent's: persistent-queue/N_HASH */
    bool foreign;                     /* of vmagent: without `contents` samples and times are unknown */
    unsigned generations, shards, files;
    uint64_t blocks, samples, bytes;  /* undelivered */
    uint64_t delivered_blocks, corrupted_bytes;
    int64_t oldest, newest;           /* Unix ms, of undelivered samples; 0 = none or unknown */
};
/* In the order of their names; name: only this one, NULL = all. contents: reads and checks bodies, too. False: an
 * error, or there is no queue of that name. */
bool writer_queues_read(struct str dir, const char *name, bool contents,
                        void (*visit)(void *arg, const struct queue_report *r), void *arg, struct err *err) MUST_USE;
struct queue_series {                 /* valid during the visit */
    struct labels labels;
    const struct sample *samples; size_t n_samples;
    const struct str *hists; size_t n_hists; /* prometheus.Histogram messages */
};
/* Visits the series of all blocks in order; delivered: also of blocks that are delivered. */
bool writer_queue_dump(struct str dir, const char *name, bool delivered,
                       void (*visit)(void *arg, const struct queue_series *s), void *arg, struct err *err) MUST_USE;
/* Deletes a queue. False: it is in use by another process, there is no such queue, or an error. */
bool writer_queue_drop(struct str dir, const char *name, struct err *err) MUST_USE;
/* Beside a running sluice that does not use the queue: moves it to a directory `aside` of its own, which can be used as a
 * queue directory. If none runs, `aside` is empty. False: the queue is in use, or an error. put_back: undoes it, and
 * deletes `aside` if the queue is not there any more. recover: the same for a process that was killed. */
bool writer_queue_take_aside(struct str dir, const char *name, struct buf *aside, struct err *err) MUST_USE;
bool writer_queue_put_back(struct str dir, const char *name, const char *aside, struct err *err) MUST_USE;
bool writer_queue_recover(struct str dir, const char *name, struct err *err) MUST_USE;

#endif
