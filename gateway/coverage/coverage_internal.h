// SPDX-License-Identifier: Apache-2.0
#ifndef GATEWAY_COVERAGE_COVERAGE_INTERNAL_H
#define GATEWAY_COVERAGE_COVERAGE_INTERNAL_H

#include "base/map.h"
#include "base/os/thread.h"
#include "gateway/coverage/coverage_intake.h"
#include "gateway/coverage/gaps.h"
#include "gateway/coverage/spans.h"

enum { COVERAGE_REPLICAS = 64, COVERAGE_NAMES = 2048, COVERAGE_NAME_LENGTH = 256 };

struct coverage_seen {         /* one target on one replica */
    struct target_latest latest; /* runs (gaps.h) */
    int64_t interval;          /* ms; 0 = unknown */
    /* As of the last reading: when the next scrape is overdue, and since when the replica is incomplete if it is.
     * INT64_MAX: no scrape is expected. */
    int64_t due, overdue_from;
    bool ended;                /* its latest sample is a stale marker */
    int64_t distrusted_until;  /* a count has found fewer samples than its scrapes explain; 0 = no */
    unsigned odd;              /* consecutive readings with a longer interval */
    union {
        struct {
            struct span_list gaps;     /* within the known time */
            struct span_list outdated; /* parts of them in which a sibling has a newer scrape */
            struct span_list lasting;  /* parts of them that no good scrape of the replica is known to end */
            struct span_list missed;   /* parts of them whose samples of scrapes may be missing */
        };
        struct span_list lists[4];     /* all of these */
    };
};
struct coverage_target {
    struct labels labels;      /* of `up` without the metric name; owned */
    int64_t seen_at;           /* the latest sample on any replica */
    struct coverage_seen seen[];
};

enum coverage_origin {
    ORIGIN_UNKNOWN, ORIGIN_TARGETS,
    ORIGIN_BESIDE,             /* each series has the labels of a target, and some have other times than its scrapes */
    ORIGIN_ELSEWHERE
};
struct coverage_name {         /* a queried metric */
    struct str name;           /* owned; key of the map */
    enum coverage_origin origin;
    uint64_t lacking;          /* bits: replicas with fewer series of it than a sibling */
    int64_t lacking_since;     /* Unix ms; 0: none was lacking series at the last check */
    int64_t first_at, asked_at, checked_at, counted_at, due; /* Unix ms */
};

struct coverage {
    struct buf key;            /* in the registry */
    unsigned users;            /* references; under the registry's mutex */
    struct str group;
    size_t n;                  /* replicas */
    struct str *by; size_t n_by;
    bool trust_untargeted;

    struct mutex mutex;        /* protects what follows */
    struct map targets;        /* struct coverage_target, by label bytes */
    struct map names;          /* struct coverage_name */
    struct coverage_target **gappy; size_t n_gappy, cap_gappy; /* targets that have gaps, as of the last reading */
    int64_t *due;              /* by replica: the earliest `due` of its targets */
    size_t bytes;              /* approximate memory of targets, gaps and names */
    int64_t full_until;        /* too many targets: nothing is read until then; 0 = no */
    bool failed;               /* the last reading failed */
    unsigned halved;           /* number of times the first reading failed */
    bool resumed;              /* runs were discarded: the next reading forward finds them again */
    struct coverage_span known;    /* from > to: nothing */
    struct coverage_span settled;  /* the part of it that all replicas were read for; from > to: none */
    struct span_list barren;   /* parts of it in which no target was alive on any replica: no evidence */
    bool *unreached, *shows_late;  /* by replica, at the last reading */
    int64_t longest, shortest; /* scrape intervals of live targets, ms; 0 = unknown */
    int64_t period;            /* ms between two readings */
    int64_t hourly;            /* samples per hour; 0 = unknown */
    int64_t queried_at, wanted_from; /* Unix ms */
    uint64_t readings, readings_failed;
    int64_t oldest;            /* nothing before it is read, since it exceeded the memory */
    /* Targets that scrapes per hour could not decide, as a regular expression on the last label of `by`, and the time
     * for which only their samples must be read. */
    struct buf suspects;
    struct coverage_span suspected;
    int64_t raw_to;            /* the past since then is read as samples, not hours; INT64_MAX: none */
    int64_t next_at, next_past_at; /* when to read forward and backward next */
    int64_t next_count_at;
};

static const struct coverage_span COVERAGE_NOTHING = {1, 0};
static inline bool coverage_span_empty(struct coverage_span s) { return s.from > s.to; }
static inline int64_t coverage_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t coverage_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t coverage_clamp(int64_t ms, int64_t least, int64_t most)
{
    return coverage_max(least, coverage_min(ms, most));
}
/* Key of a target's labels in the map. */
static inline struct str coverage_label_key(struct labels l)
{
    return l.n ? (struct str){(const char *)l.p, l.n} : STR("");
}
static inline void coverage_forget_run(struct coverage_seen *seen)
{
    seen->latest = COVERAGE_NO_RUNS;
    seen->due = INT64_MAX;
}
/* Time after the last good scrape during which a target still counts as scraped, ms. */
int64_t coverage_slack(const struct coverage *c, const struct coverage_target *t, size_t replica);
/* Discards what is known outside of `keep`, and the latest runs; the mutex is held. */
void coverage_forget(struct coverage *c, struct coverage_span keep);
void coverage_free_target(struct coverage *c, struct coverage_target *t);

/* intake.c */
unsigned coverage_count_readings(const struct coverage *c, const struct coverage_reading *readings,
                                 enum coverage_reading_state state);
/* The mutex is held. */
bool coverage_refuse(struct coverage *c, const struct coverage_work *w, const struct coverage_reading *readings,
                     int64_t now); /* true: the reading must not be used */
/* The known time now begins at `from`. barren: no target was alive between `from` and its previous beginning. */
void coverage_extend_past(struct coverage *c, const struct coverage_reading *readings, int64_t from, bool barren);
void coverage_end_past(struct coverage *c, int64_t now); /* after the last of them */
/* coverage.c; the mutex is held. */
struct coverage_target *coverage_add_target(struct coverage *c, struct labels labels);
void coverage_add_span(struct coverage *c, struct span_list *to, struct coverage_span span); /* of a coverage_seen */
void coverage_cut_gaps(struct coverage_seen *seen, struct coverage_span keep);
/* keep.c; the mutex is held. */
void coverage_sweep(struct coverage *c);               /* frees ended targets without gaps */
void coverage_limit(struct coverage *c, int64_t now);  /* discards what exceeds COVERAGE_BYTES */
void coverage_index(struct coverage *c);               /* prepares what queries read; after all other changes */

/* ask.c; the mutex is held. */
/* Whether the target can have series that the query selects, if they all come from targets. */
bool coverage_concerns(const struct coverage *c, const struct coverage_target *t, const struct coverage_query *q);
/* Whether the replica has a gap in the target within [from, to], or its next scrape is overdue. */
bool coverage_target_lacks_scrapes(const struct coverage_target *t, size_t replica, int64_t from, int64_t to);
/* The same, or a count has shown lately that it loses samples. */
bool coverage_target_lacks(const struct coverage_target *t, size_t replica, int64_t from, int64_t to);
/* Whether it is known that all series that the query selects come from targets, or trusted that those are as complete
 * that have their labels. */
bool coverage_attributes(struct coverage *c, const struct coverage_query *q);

/* names.c; the mutex is held. */
struct coverage_name *coverage_name_asked(struct coverage *c, struct str name, int64_t now);
struct coverage_name *coverage_name_due(struct coverage *c, int64_t now);
/* counts.c; the mutex is held. NULL: none. */
struct coverage_name *coverage_count_due(struct coverage *c, int64_t now, struct coverage_work *w);
void coverage_names_free(struct coverage *c);

#endif
