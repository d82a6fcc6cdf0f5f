// SPDX-License-Identifier: Apache-2.0
/* The scraper: discovers targets, scrapes them at fixed offsets of the interval, and writes their samples to a sink,
 * with `up` and the other automatic series, stale markers, relabeling and limits as in Prometheus.
 *
 * Threads: scraper_* functions are called by the main thread, which also runs discovery; each target belongs to one
 * lane. scraper_targets and scraper_metadata are for workers: they request from the lanes the state of their targets
 * and wait for it (snapshot.h).
 *
 * Files: job.c (configuration), target.c (labels, URL, identity), pool.c (the targets of a job), schedule.c (times), lane.c (one lane), scrape.c and
 * report.c (one scrape), failures/, page.c (from text to samples), template.c (texts and labels shared by targets),
 * scrape_cache.c (a target's last scrape), stale.c, metadata.c, scraper.c (apply and stop), snapshot.c (copies of the
 * lanes' state), status.c (state for the API).
 *
 * Concurrency: a target has at most one scrape in progress. Scrapes of different targets do not wait for each other
 * until a third of the process's file descriptors is used by scrapes; then they queue, and targets whose last scrape
 * timed out get at most half of the slots. So hung targets delay only themselves.
 *
 * Limits: a response may have 16 MiB unless body_size_limit or the globals say otherwise. Texts used by a single target
 * are cached up to 4 MiB a lane (INTERN_PRIVATE_MAX); beyond that a series costs about 40 bytes and is parsed at every
 * scrape.
 */
#ifndef SCRAPER_SCRAPER_H
#define SCRAPER_SCRAPER_H

#include "base/http/http_conf.h"
#include "base/os/loop.h"
#include "model/cluster/cluster_view.h"
#include "model/discovery/ownership.h"
#include "model/relabel.h"
#include "model/sink.h"
#include "model/discovery/source/sd_conf.h"

#include <stdatomic.h>

enum { SCRAPE_BODY_MAX = 16 << 20 };

/* Differences between Prometheus and vmagent in parsing a response. */
struct page_rules {
    bool lax;                /* vmagent: names of any bytes, times in seconds or milliseconds (exposition_lax.c) */
    bool drops_reserved;     /* vmagent: metric_relabel_configs end with dropping labels that begin with __ */
    bool limit_counts_lines; /* vmagent: sample_limit includes duplicates */
    bool export_moves;       /* vmagent: renaming a to exported_a renames a scraped exported_a, too */
    bool reports_limits;     /* vmagent: scrape_samples_limit and scrape_labels_limit are written where they are set */
    bool text_only;          /* vmagent: a response is Prometheus' text format unless scrape_protocols is given */
    /* Prometheus 3: le of a histogram and quantile of a summary are normalized to "1.0" */
    bool spells_bounds;
};

struct scrape_cluster {               /* of scrapers that share the targets */
    struct ownership owner;
    struct str name;                  /* shifts the offsets, so that two clusters scrape at other times */
    struct label member;              /* added to every target's labels; empty: none */
    /* The members are those of scraper_set_view(), and `owner` is not used: */
    bool by_view;
    unsigned replicas;                /* members that scrape a target */
    bool hands_over;                  /* one member sends at a time, and targets that move are handed over (handover.h) */
    bool standby;                     /* the first one sends its scrapes, the others keep theirs for it (standby.h), */
    int64_t keep_ms;                  /* for this long, */
    uint64_t keep_bytes;              /* in at most this much memory */
    bool by_job;                      /* all targets of a job have the same owners: no label is hashed */
    struct str_list key_labels, other_labels; /* sorted: only these are hashed, if there are any; never these */
};
/* Whether members, or clusters, have to scrape the same target at different times. */
static inline bool scrape_cluster_active(const struct scrape_cluster *c) { return c->owner.members > 1 || c->name.n > 0; }

/* What pages and the API can show of targets. */
struct targets_kept {
    size_t dropped_max;                   /* dropped targets of all jobs together */
    bool without_discovered;              /* vmagent: neither labels before relabeling nor dropped targets */
};

/* How the start times of counters, histograms and summaries are sent. */
struct start_time_rules { bool sent /* with the samples */, zeros /* as samples of 0 */; };

struct scrape_globals {               /* defaults of scrape_configs, from `global:` */
    int64_t scrape_interval, scrape_timeout;
    /* usually added by the writer; they shift the offsets, so that two replicas differ */
    struct str_map external_labels;
    bool external_at_scrape;          /* vmagent: external_labels are added by the scraper, not by the writer (external.h) */
    int64_t sample_limit, label_limit, series_limit, body_size_limit;
    int64_t target_limit, label_name_length_limit, label_value_length_limit, keep_dropped_targets;
    struct str_list scrape_protocols; /* default depends on the dialect; empty: Prometheus' text format */
    bool protocols_given;             /* by the configuration */
    int metric_name_escaping_scheme;  /* enum escaping */
    int metric_name_validation_scheme; /* enum name_scheme */
    bool scrape_native_histograms, always_scrape_classic_histograms, convert_classic_histograms;
    struct start_time_rules start_times;
    bool type_and_unit_labels;        /* series get __type__ and __unit__ */
    bool honor_timestamps;            /* default depends on the dialect */
    bool broken_lines_fail;           /* Prometheus: an invalid line fails the scrape; vmagent: it is skipped and
                                       * counted */
    /* vmagent: `instance` is host:port of an address with scheme or path; the port is added */
    bool instance_is_host;
    bool loose_durations;             /* vmagent: those of labels may be 1.5h or seconds, and are printed as 1m0s */
    struct str scrape_failure_log_file;
    bool extra_scrape_metrics;
    bool track_timestamps_staleness;  /* default depends on the dialect */
    bool keep_params;                 /* Prometheus: `params` are sent even when their label is empty or removed */
    struct page_rules page;
    bool no_stale_markers, stream_parse;
    bool stale_on_shutdown;           /* scraper_stop writes stale markers */
    int64_t metadata_ms;              /* interval of resending unchanged metadata; 0: 10 minutes */
    bool suppress_errors;             /* failing scrapes are not logged */
    int64_t suppress_errors_delay;    /* ms: only targets that have been failing for longer are logged */
    bool suppress_duplicates;         /* duplicate targets are not logged */
    struct sd_intervals sd_intervals; /* defaults of refresh_interval */
    bool disable_compression, disable_keepalive; /* of all jobs */
    struct targets_kept targets_kept;
    const struct kube_attach *kube_attach; /* default of attach_metadata; lives as long as the jobs */
    int64_t scrape_slot;              /* ms, 0 = none, or CONF_AUTO */
    struct scrape_cluster cluster;
    unsigned shards;                  /* of the destinations, so that a target's lane can own its shard; 0 = 8 */
};

struct scrape_job {                   /* one scrape_configs entry, as configured */
    struct str job_name, metrics_path, scheme;
    int64_t scrape_interval, scrape_timeout;
    bool honor_labels, honor_timestamps, enable_compression, disable_compression, disable_keepalive;
    int64_t keep_dropped_targets;      /* scrape_job_finish: at most that of all jobs */
    struct targets_kept targets_kept; /* copied from the globals */
    struct multimap params;
    int64_t sample_limit, label_limit, label_name_length_limit, label_value_length_limit, target_limit, body_size_limit;
    int64_t series_limit;              /* 0 and less: none */
    bool track_timestamps_staleness, extra_scrape_metrics;
    int64_t native_histogram_bucket_limit; /* 0: none */
    double native_histogram_min_bucket_factor;
    struct str scrape_failure_log_file; /* empty: none */
    bool scrape_native_histograms, always_scrape_classic_histograms, convert_classic_histograms;
    struct start_time_rules start_times; /* copied from the globals */
    bool type_and_unit_labels;         /* likewise */
    struct str_list scrape_protocols;
    struct str fallback_scrape_protocol;
    int metric_name_escaping_scheme, metric_name_validation_scheme;
    struct http_conf http;
    struct conf_items relabel_configs, metric_relabel_configs; /* struct relabel_rule */
    struct conf_items static_configs;  /* struct static_group */
    struct sd_conf sd;
    int64_t scrape_offset;             /* -1 after scrape_job_finish: each target has its own */
    int64_t scrape_align_interval;
    bool no_stale_markers, stream_parse, suppress_errors, suppress_duplicates;
    int64_t suppress_errors_delay;
    int64_t scrape_slot;               /* copied from the globals, as are the next six */
    bool broken_lines_fail, instance_is_host, loose_durations, keep_params;
    struct page_rules page;
    struct str_map external_labels;    /* those that the scraper adds */
    struct scrape_cluster cluster;
    uint64_t route;                    /* of its samples (model/sink.h); not a key */
    uint64_t fingerprint;              /* of all settings that affect a running target; set by scrape_job_finish */
};
extern const struct conf_section scrape_job_section;

/* Applies the globals' defaults to a parsed job and checks it (timeout <= interval or, in the loose dialect, clamped).
 * `node` is the YAML node that the job was loaded from. */
bool scrape_job_finish(struct conf_context *c, const struct yaml *node, struct scrape_job *job,
                       const struct scrape_globals *g, struct err *err) MUST_USE;

struct scraper;
struct kube_watches;
struct scraper_env {
    struct loop *main;                 /* discovery runs here */
    struct kube_watches *kube;         /* model/discovery/discovery.h; outlives the scraper. NULL: its own */
    struct loop *const *lanes; unsigned n_lanes;
    struct sink *const *sinks;         /* sinks[i] belongs to lanes[i] */
    const char *user_agent;            /* NULL: "sluice/VERSION" */
    unsigned max_inflight;             /* concurrent scrapes per lane; 0: as many as file descriptors allow */
    int64_t stop_ms;                   /* for scraper_stop; 0: 2 s */
    /* On the main loop: a target moves here from view->members[from]. May be NULL. */
    void (*moves)(void *arg, const struct cluster_view *view, size_t from, int64_t time, uint64_t id);
    void *moves_arg;
};
struct scraper *scraper_new(const struct scraper_env *env); /* copies env; the loops and sinks remain the caller's */
/* Applies a new set of jobs. Everything is checked and built first; on false nothing has changed (and release is not
 * called). Targets with unchanged settings and labels keep their timers, series and connections; targets with changed
 * settings keep their series; removed ones end with stale markers. The jobs and everything they point to must live
 * until release is called: on the main loop, when no target uses them any more, which is after a later apply or during
 * scraper_free.
 */
bool scraper_apply(struct scraper *s, const struct scrape_job *jobs, size_t n, const struct scrape_globals *g,
                   void (*release)(void *arg), void *release_arg, struct err *err) MUST_USE;
/* The members of the cluster are others, or plan to leave: for jobs whose cluster.by_view is set, which scrape nothing
 * before. A target that another member scrapes from some time on is scraped until then, and its series do not end here;
 * one that is new here is scraped from that time on. Takes a reference. Main thread. */
void scraper_set_view(struct scraper *s, struct cluster_view *view);
/* A target moves to this member at a time from another one: where its last page is, and when that member's samples are
 * acknowledged. Its scrapes are kept until scraper_release, HOLD_MS at most. */
struct scraper_hold { int64_t from; uint64_t by; }; /* Unix ms; hash_bytes of the other member's id */
/* Pages of the last scrapes before targets moved: "ID TICK LENGTH\n", and as many bytes of text, for each. TICK: the
 * time of the last scrape, Unix ms, 0: none. */
struct scraper_read;
enum { HANDED_PAGES_MAX = 1000 }; /* of a request */
/* Any thread: appends the pages of targets that moved away, in any order, until there are `max` bytes. */
struct scraper_wishes { const uint64_t *ids; size_t n; };
bool scraper_handed_pages(struct scraper *s, const struct scraper_read *read, const struct scraper_wishes *wishes,
                          size_t max, struct buf *out, struct err *err) MUST_USE;
/* Any thread: the targets that have moved away and whose pages the members that scrape them now have not requested yet. */
size_t scraper_not_handed(struct scraper *s);
/* Takes the bytes from `body`; `answered` is called for each page. False: they are not what scraper_handed_pages writes.
 * Main thread. */
bool scraper_take_pages(struct scraper *s, const struct scraper_hold *hold, struct buf *body,
                        void (*answered)(void *arg, uint64_t id), void *arg, struct err *err) MUST_USE;
/* The scrapes that were kept since are sent. Main thread. */
void scraper_release(struct scraper *s, const struct scraper_hold *hold);
/* Jobs whose cluster.by_view is set scrape until then, loop_mono; before the first call without an end. Any thread. */
void scraper_set_fence(struct scraper *s, int64_t until_mono);
/* Unix ms: all earlier scrapes that this member sends, of jobs with cluster.by_view, are committed to the sinks.
 * INT64_MAX: there are none. Any thread. */
int64_t scraper_complete(const struct scraper *s);
/* Reads the target files and builds the targets of jobs, for --check-config: `warn` gets, a line each, what discovery
 * would log about files, invalid targets and duplicates. Needs no scraper. */
void scraper_check(const struct scrape_job *jobs, size_t n, void (*warn)(void *arg, const char *text), void *arg);
/* Stops scraping: scrapes in progress are cancelled. `done` runs on the main loop when no lane is scraping; after that
 * no code of the scraper runs on the lanes. No stale markers are written: a restart does not end a series; unless the
 * globals say stale_on_shutdown. Targets that were removed before end with theirs, and a page that is being processed is
 * completed, as far as 2 s suffice. */
void scraper_stop(struct scraper *s, void (*done)(void *arg), void *arg);
/* After `done`: they did not suffice. scraper_free releases the rest, which may take long; a process that exits may
 * leave that to the system. */
bool scraper_abandoned(const struct scraper *s);
void scraper_free(struct scraper *s); /* after `done` of scraper_stop */

enum target_health { HEALTH_UNKNOWN, HEALTH_UP, HEALTH_DOWN, HEALTH_INVALID }; /* INVALID: on /targets only */
const char *target_health_name(enum target_health h); /* "up", "down", "unknown" as in Prometheus' API; "invalid" */
struct target_status {                 /* a copy in the caller's arena */
    struct str job, url;
    struct labels discovered, labels;  /* before and after relabeling */
    enum target_health health;
    struct str last_error;
    int64_t last_scrape;               /* Unix ms, 0 = never */
    double last_duration;              /* seconds */
    int64_t interval, timeout;
    uint64_t scrapes, failures, last_samples, last_bytes;
    uint32_t series, series_limit;     /* limit 0: none, and they are not counted */
    bool standby;                      /* its scrapes are kept; another member sends its samples */
    uint64_t id;                       /* stable across restarts: hash of job, url and labels */
    uint64_t owner_key;                /* what decides which members of a cluster own it (cluster_view_owners) */
};
/* error: why the target is invalid, or whose it is; empty: dropped by relabel_configs. elsewhere: another member of the
 * cluster owns it. */
struct dropped_target {
    struct str job;
    struct labels discovered;
    bool invalid, elsewhere;
    struct str error;
    uint64_t owner_key;                /* if elsewhere, as above */
};
struct pool_status {
    struct str job;
    size_t dropped, invalid, elsewhere; /* the last are part of the first */
    struct str missing;                /* file patterns without a match */
};
struct scraper_targets {
    struct target_status *active; size_t n_active;  /* sorted by job, url, labels */
    struct dropped_target *dropped; size_t n_dropped; /* at most targets_kept.dropped_max */
    struct pool_status *pools; size_t n_pools; /* all jobs, including empty ones */
};
/* How a worker reads the state of targets. */
struct scraper_read {
    struct budget *memory;             /* charged with the snapshot while it is read; NULL = unlimited */
    int64_t deadline_mono;             /* clock_mono_ms; 0 = none */
    const atomic_bool *canceled;       /* may be NULL */
    struct loop *loop;                 /* run while waiting, if the caller's thread is also that of a lane; else NULL */
};
size_t scraper_pools(struct scraper *s, struct arena *a, struct pool_status **out); /* of all jobs; any thread */
/* On a worker. False: memory or the deadline is exceeded, or the request was canceled. */
bool scraper_targets(struct scraper *s, const struct scraper_read *read, struct arena *a, struct scraper_targets *out,
                     struct err *err) MUST_USE;

/* Requests the target as a scrape does, and appends its response of at most TARGET_RESPONSE_MAX bytes, and of what the job
 * allows. On a worker, which waits for it at most until deadline_mono (0: none) and for the job's timeout. */
enum { TARGET_RESPONSE_MAX = 64 << 20 };
bool scraper_fetch_target(struct scraper *s, uint64_t id, int64_t deadline_mono, struct buf *out, struct err *err) MUST_USE;

/* HELP, TYPE and UNIT of active targets; metric empty = all. `visit` is called for each, in the order of the targets, and
 * may return false to end: the result is then false too. Its arguments are valid during the call, from which it must
 * return (no longjmp). */
struct target_metadata { struct labels target; struct metadata metadata; };
struct metadata_visit {
    struct str metric;
    bool distinct;                     /* targets that expose the same are visited once */
    bool (*visit)(void *arg, const struct target_metadata *m, struct err *err);
    void *arg;
};
bool scraper_metadata(struct scraper *s, const struct scraper_read *read, const struct metadata_visit *v,
                      struct err *err) MUST_USE;

/* Every job has completed its first discovery, but for target files whose file system does not respond. */
bool scraper_ready(struct scraper *s);
/* Posts the task to the main loop when the target files have been read once since the last apply, or their file systems
 * have not responded for 5 s (at once if they are known to hang), or the scraper stops. */
void scraper_await_files(struct scraper *s, struct loop_task *task);
size_t scraper_target_count(struct scraper *s); /* of all jobs; any thread */

#endif
