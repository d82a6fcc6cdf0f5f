// SPDX-License-Identifier: Apache-2.0
/* The writer: takes batches through one sink per lane, cuts them into blocks, and delivers every block to every
 * destination of its stream, in order per series, through a queue on disk that loses nothing.
 *
 * Words. A destination is one remote_write entry. A stream is what destinations receive: a relabel chain, extra
 * labels and a number of shards; destinations that receive the same share one stream, and each of its blocks is built
 * and compressed once. A shard is a lane's (shard number modulo lanes) and has one request in flight.
 * Threads. Main, but for what says otherwise. A sink: its lane. One io thread per queue directory.
 * Files: writer.c (begin, stop, status), reload.c and retire.c (destinations come and go), orphans.c (queues of those
 * that have gone), topology.c (what a configuration became), remote_write_conf.c (its rows), destination.c (identity,
 * counters), lane.c (one lane's part of it all), sink.c (batches), stream.c (labels as they leave), pending.c (raw
 * bytes, not yet a block), block.c (immutable bytes, codecs), shard.c (order), destination_lane.c (a destination that
 * does not answer), sender.c (one POST), ack.c (is it safe yet?), queue.c (the io thread), queue_life.c (its beginning
 * and end), queue_intake.c (what lanes hand to it), queue_dir.c, queue_shard.c, segment.c and position.c (files and
 * their formats), stats.c, refill.c, recent/ (the store).
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
enum wire_protocol { PROTOCOL_AUTO /* zstd first, snappy once refused */, PROTOCOL_SNAPPY, PROTOCOL_ZSTD };
enum queue_full { FULL_DROP_OLDEST, FULL_PUSH_BACK };

struct destination_conf {             /* one remote_write entry */
    struct str name, url;
    int64_t remote_timeout;           /* ms, of one send */
    struct http_conf http;
    struct conf_items write_relabel_configs; /* struct relabel_rule */
    struct str_map extra_labels;      /* -remoteWrite.label: set last, override */
    struct queue_conf {               /* queue_config, with Prometheus' names where they have a meaning here */
        int64_t shards;               /* 8; -remoteWrite.queues */
        int64_t capacity, max_shards, min_shards, max_samples_per_send, batch_send_deadline, min_backoff, max_backoff;
        bool retry_on_http_429;       /* accepted: 429 is always tried again */
        int64_t sample_age_limit;     /* ms, 0 = none: older blocks are dropped and counted */
    } queue;
    int protocol;                     /* enum wire_protocol */
    int durability;                   /* enum durability */
    int on_full;                      /* enum queue_full */
    int64_t max_disk_bytes;           /* 0 = none */
    int64_t max_memory_bytes;         /* blocks in RAM */
    bool send_metadata;
};
extern const struct conf_section remote_write_section;

struct recent_conf {                  /* `recent:` */
    struct str like;                  /* the destination whose stream it keeps; empty = everything, no relabeling */
    int64_t budget;                   /* bytes, default 64 MiB */
    int64_t retention;                /* ms, default 2 h; 0 = no age limit, any age and order is taken */
};
extern const struct conf_section recent_section;

#define SECRET_URL "secret-url"       /* stands for a URL that is not shown */
struct writer;
struct writer_env {
    struct loop *main;
    struct loop *const *lanes; unsigned n_lanes;
    struct str queue_dir;             /* folder of all queues; made when it is not there */
    int64_t flush_interval;           /* ms; 0 = 1 s */
    struct str_map external_labels;   /* added when absent, before write_relabel_configs */
    bool show_urls;                   /* in metrics, pages and logs; else "1:secret-url" as vmagent does */
    bool (*interrupted)(void);        /* polled while queues are read: whether to give up; NULL = never */
};
struct writer_plan {                  /* what a configuration wants */
    const struct destination_conf *destinations; size_t n;
    const struct recent_conf *recent; /* NULL = off */
    struct str_map external_labels;
};
/* Opens the queue directory (locked: a second process is an error with a sentence) and starts nothing yet. */
struct writer *writer_new(const struct writer_env *env, struct err *err) MUST_USE;
/* Of a plan's destinations, is the i-th another one than those before it? They are known by name, or by URL without its
 * query: so is the directory of a queue. */
bool writer_check_destination(const struct destination_conf *all, size_t i, struct err *err) MUST_USE;
/* A new plan in two steps. prepare does all that can fail and changes nothing that is in force; commit cannot fail.
 * Between the two nothing else is prepared. The plan's memory must live until release is called, or until cancel.
 * Destinations whose identity (name or URL without query) stays keep their queue; queues of destinations that went
 * are drained no more and kept on disk. */
struct writer_change;
struct writer_change *writer_prepare(struct writer *w, const struct writer_plan *topology, struct err *err) MUST_USE;
void writer_commit(struct writer_change *c, void (*release)(void *arg), void *release_arg);
void writer_cancel(struct writer_change *c);
/* Main: posts the task to the main loop once the newest plan is in force on every lane, or the writer is stopped. */
void writer_await(struct writer *w, struct loop_task *task);
bool writer_ready(struct writer *w); /* any thread: the first plan is in force; before that a sink says busy */
bool writer_takes(struct writer *w); /* any thread: what is written to a sink goes somewhere, on every lane */
struct sink *writer_sink(struct writer *w, unsigned lane);
/* Seals open blocks, sends for at most grace_ms, writes the rest to disk, syncs; done on the main loop. Disks are
 * waited for no longer than 4 s; when one does not respond until then, the writer is abandoned: its threads may still
 * run, so that nothing of it, nor a lane's loop, may be freed, and the process must end. */
void writer_stop(struct writer *w, int64_t grace_ms, void (*done)(void *arg), void *arg);
bool writer_abandoned(const struct writer *w);
void writer_free(struct writer *w);

/* The recent store as a source, NULL when off. Any query worker; valid while the caller holds the reference. */
struct source *writer_recent(struct writer *w);
void writer_recent_unref(struct source *recent);
/* Over which time it is whole: [*from, now]. A window that begins earlier is not its to answer. */
int64_t writer_recent_from(struct source *recent);

struct destination_status {           /* a copy in the caller's arena */
    struct str name, url;             /* as metrics and logs name it; url redacted, SECRET_URL unless show_urls */
    unsigned shards;
    uint64_t pending_bytes, pending_blocks, dropped_blocks, dropped_samples, sent_samples, sent_bytes, retries;
    int64_t oldest_ms;                /* age of the oldest block waiting */
    struct str last_error; int64_t last_error_at, last_ok_at;
    bool zstd;
};
void writer_status(struct writer *w, struct arena *a, struct destination_status **out, size_t *n);

#endif
