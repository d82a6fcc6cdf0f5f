// SPDX-License-Identifier: Apache-2.0
/* A target: its labels, URL and identity. Created by the main thread, which keeps one reference; the lane that scrapes
 * it has another, and snapshots have theirs. */
#ifndef SCRAPER_TARGET_H
#define SCRAPER_TARGET_H

#include "base/refs.h"
#include "scraper/jobs/job.h"
#include "scraper/page/scrape_cache.h"
#include "scraper/page/stale.h"

/* Text of an error. Immutable; any thread may take and drop references. */
struct target_error { struct refs refs; char text[]; };
struct target_error *target_error_new(const char *text); /* one reference */
struct target_error *target_error_ref(struct target_error *e); /* NULL is fine */
void target_error_unref(struct target_error *e);

/* State for the API: the lane's; other threads request a copy from the lane (snapshot.h). */
struct target_live {
    struct target_error *last_error; /* a reference; NULL = none */
    int64_t last_scrape;
    double last_duration;
    uint64_t scrapes, failures, last_samples, last_bytes;
    uint32_t series;                 /* that count for series_limit */
};

/* Labels before relabeling. Immutable; any thread may take and drop references. */
struct target_discovered { struct refs refs; struct labels labels; };
struct target_discovered *target_discovered_ref(struct target_discovered *d);
void target_discovered_unref(struct target_discovered *d);

/* How a target is scraped: as its job says or, as in vmagent, labels of the target. */
struct target_settings {
    int64_t interval, timeout;    /* ms */
    uint32_t sample_limit, label_limit, series_limit; /* 0: none */
    uint32_t body_max;            /* bytes; 32 bits because of the offsets in a page */
};
static inline bool target_settings_equal(const struct target_settings *a, const struct target_settings *b)
{
    return a->interval == b->interval && a->timeout == b->timeout && a->sample_limit == b->sample_limit &&
           a->label_limit == b->label_limit && a->series_limit == b->series_limit && a->body_max == b->body_max;
}

struct scrape_lane;
struct scrape;
struct metadata_list;
struct target {
    struct refs refs;
    /* Immutable. The strings follow the struct in one allocation. */
    uint64_t id;
    /* Inherited from the predecessor, if there is one (pool.c). source: sent with the target's batches, determines
     * their shard; place: offset in the interval as a fraction of 2^64. */
    uint64_t source, place;
    uint64_t key;                 /* hash of the labels that decide which members of a cluster own it */
    struct str job_name, url;     /* url: NUL-terminated */
    const char *unix_socket;      /* path that is connected to instead of the URL's host; NULL: none */
    struct target_labels labels;
    const char *mechanism;        /* "static", or as in struct sd_found */
    struct scrape_lane *lane;            /* NULL until the main thread has assigned one */
    /* Main thread; changes only under the scraper's mutex, under which other threads take references: */
    struct target_discovered *discovered;
    /* Main thread only: */
    const struct running_job *wanted; /* settings last sent to the lane; borrowed from the pool */
    struct target_settings wanted_settings;
    int64_t wanted_exceeded_limit;
    struct target_settings found; /* when it was discovered last */
    struct cluster_span wanted_span, found_span, wanted_lead, found_lead;
    bool moved;                   /* set before it is removed: another member scrapes it, its series go on */
    struct scraper_hold wanted_hold; /* the newest; from 0: none */
    unsigned uses;                /* how often the parts of its pool have it */
    size_t at;                    /* its place in the pool */
    /* Lane only: */
    struct list node;
    struct loop_timer timer;
    int64_t tick;                 /* the wall time that this scrape is for */
    int64_t last_tick;            /* of the last scrape that was begun; 0 = none */
    int64_t last_t;               /* last timestamp written */
    int64_t series_t;             /* the last one of its own series, without the automatic ones; 0: none */
    enum err_kind failing;        /* why the last scrape failed; ERR_NONE: it succeeded */
    int64_t failing_since;        /* wall time of the first failure in a row */
    bool failure_logged;
    bool timed_out;                    /* the last scrape timed out */
    struct running_job *job;
    struct template_group *templates;
    struct scrape_cache last;
    struct series_limit *series;  /* NULL: no limit was set yet */
    struct series_digest ended;   /* the series of the last scrape before the one that failed */
    struct scrape *scrape;        /* in progress; NULL = none */
    bool leaving;                 /* a change takes it away: no scrape begins any more */
    int64_t exceeded_limit;       /* the job's target_limit if it has more targets: every scrape fails; else 0 */
    struct target_settings settings;
    struct cluster_span span;     /* the times of its scrapes */
    struct cluster_span lead;     /* times of those that this process sends; others are kept (standby.h) */
    struct list kept;             /* of struct kept_scrape, oldest first */
    struct held_targets *hold; struct list held; /* it is held (handover.h); in hold.targets. NULL: it is not */
    int64_t held_from;            /* of the newest hold, which may have ended */
    int64_t sent_tick;            /* of the last scrape that this process has sent; 0: none */
    int64_t taken_at;             /* since when it sends the samples, until the first is sent; 0: none */
    int64_t prior_tick;           /* of the former owner's last scrape, likewise; 0: not known */
    struct list replay;           /* in lane.replays */
    struct target_live live;
    struct metadata_list *metadata;
    /* Set by the lane, read by any thread: */
    atomic_int health;            /* enum target_health */
};

enum target_result { TARGET_CREATED, TARGET_DROPPED, TARGET_NOT_OWNED /* another member's */, TARGET_INVALID };
/* meta: a label that has the value `source`; empty: none. */
struct target_source { struct str address; struct str_map labels; struct str meta, source; const char *mechanism; };
struct target_builder {  /* scratch memory; one per thread */
    struct labels_builder builder;
    struct arena scratch;
    struct labels discovered; /* of the last target built or dropped; valid until the next */
    uint64_t key;             /* likewise, see struct target */
};
/* Builds labels, relabels, builds the URL. INVALID: err is set. *out has one reference. */
struct target_environment {
    uint64_t seed;                   /* of the offsets of scrapes */
    const struct cluster_view *view; /* NULL: none */
    int64_t now;
};
enum target_result target_make(struct target_builder *m, const struct scrape_job *job, const struct target_environment *env,
                               const struct target_source *from, struct target **out, struct err *err);
void target_builder_free(struct target_builder *m);
/* The times at which this member of a cluster scrapes a target with this key, and sends its samples. */
struct cluster_span target_span_of(const struct scrape_job *job, const struct target_environment *env, uint64_t key);
struct cluster_span target_lead_of(const struct scrape_job *job, const struct target_environment *env, uint64_t key);

/* The target was discovered again as `again`, with equal labels after relabeling. Under the scraper's mutex. */
void target_take_discovered(struct target *t, struct target *again);

struct target *target_ref(struct target *t);
void target_unref(struct target *t); /* the lane must have released its part */

#endif
