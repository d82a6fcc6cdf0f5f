// SPDX-License-Identifier: Apache-2.0
/* Interface of the reader (gateway/background): which requests a group's servers need next, and their responses.
 *
 * The known time is one interval, which grows at both ends: forward to the present as long as the group is queried, and
 * backward to the earliest time that queries needed. Each reading covers one interval of all replicas. One thread at a
 * time per group.
 */
#ifndef GATEWAY_COVERAGE_COVERAGE_INTAKE_H
#define GATEWAY_COVERAGE_COVERAGE_INTAKE_H

#include "gateway/coverage/coverage.h"
#include "model/series.h"

enum coverage_work_kind {
    COVERAGE_REST,    /* nothing now; call again a second later */
    COVERAGE_SAMPLES, /* the samples of coverage_matcher within [from, to] */
    COVERAGE_HOURS,   /* scrapes per hour, of the hours that end after `from` and not after `to`: coverage_hours_expr */
    COVERAGE_NAME,    /* whether the series of the metric `name` come from targets: coverage_name_expr */
    COVERAGE_COUNTS,  /* the samples of the metric `name` within (from, to], per target: coverage_counts_expr */
};
struct coverage_work {
    enum coverage_work_kind kind;
    int64_t from, to;     /* Unix ms */
    bool past;            /* COVERAGE_SAMPLES: grows the known time backward */
    struct str name;      /* in the arena */
    struct str only;      /* COVERAGE_SAMPLES, when not empty: a regular expression on the label only_label */
    struct str only_label;
};
void coverage_next(struct coverage *c, struct arena *a, int64_t now, struct coverage_work *out);

enum coverage_reading_state {
    COVERAGE_READ,        /* complete */
    COVERAGE_UNREACHED,   /* the replica does not respond, and would not respond to a query */
    COVERAGE_FAILED,      /* it responds with an error: nothing is learned about the group */
};
struct coverage_reading { /* of one replica, in the group's order */
    enum coverage_reading_state state;
    bool shows_late;      /* VictoriaMetrics */
    /* COVERAGE_SAMPLES: series of `up` and scrape_samples_post_metric_relabeling, ascending in time.
     * COVERAGE_HOURS: the expression's values at the end of each hour. COVERAGE_COUNTS: its values. */
    const struct series *series; size_t n;
    uint64_t bytes;       /* approximate size of the response */
    /* COVERAGE_NAME: current series of the metric; those whose key no target has; those with another timestamp */
    double all, alone, other;
};
/* Responses to the work that coverage_next returned last. `a` is scratch memory. */
void coverage_take_samples(struct coverage *c, struct arena *a, const struct coverage_work *w,
                           const struct coverage_reading *readings, int64_t now);
void coverage_take_hours(struct coverage *c, struct arena *a, const struct coverage_work *w,
                         const struct coverage_reading *readings, int64_t now);
void coverage_take_name(struct coverage *c, const struct coverage_work *w, const struct coverage_reading *readings,
                        int64_t now);

/* fewer[]: the targets in which each replica was found to have lost samples. */
void coverage_take_counts(struct coverage *c, struct arena *a, const struct coverage_work *w,
                          const struct coverage_reading *readings, int64_t now, unsigned *fewer);

/* For COVERAGE_COUNTS: for each value of the labels coverage_by the number of samples (label __part__ is samples), of
 * series (series) and of scrapes with `up` 1 (scrapes). Evaluate it at the time `to` of the work. */
void coverage_counts_expr(const struct coverage *c, const struct coverage_work *w, struct buf *out);

/* For COVERAGE_NAME: an expression with at most three values, whose label __part__ is all, alone or other. Evaluate it
 * at the time `to` of the work. */
void coverage_name_expr(const struct coverage *c, struct str name, struct buf *out);

/* For COVERAGE_HOURS: for each target the number of scrapes with `up` 1 (label __part__ is up), and the extremes of
 * scrape_samples_post_metric_relabeling (minimum, maximum). Evaluate it at from + 1 h, from + 2 h ... to. */
extern const char coverage_hours_expr[];
enum { COVERAGE_HOUR_MS = 3600000 };

/* For pages and metrics. */
struct coverage_replica_status { unsigned targets, gaps, distrusted; double gap_seconds; bool unreached; };
struct coverage_target_status { struct labels labels; size_t replica; struct coverage_span last; }; /* its last gap */
struct coverage_status {
    struct str group;
    int64_t known_from, known_to; /* Unix ms; known_from > known_to: nothing is known */
    int64_t queried_at;           /* Unix ms; 0: never */
    uint64_t bytes;
    uint64_t readings, failed;    /* total, of samples and of origins of series */
    const char *trouble;          /* why nothing is known, or NULL */
    struct coverage_replica_status *replicas; size_t n;
    struct coverage_target_status *targets; size_t n_targets; /* those with gaps, at most most_targets */
    unsigned names, names_attributed;
};
/* `a` may be a query's arena; labels are valid as long as it is. */
void coverage_show(struct coverage *c, struct arena *a, size_t most_targets, struct coverage_status *out);

#endif
