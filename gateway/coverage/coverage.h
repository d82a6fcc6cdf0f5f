// SPDX-License-Identifier: Apache-2.0
/* Decides which replicas of a server group are complete over a time window, so that one of them can be queried instead
 * of all.
 *
 * Coverage is evidence, never absence of evidence: whatever is not known to be complete is not complete, and the caller
 * merges raw samples instead.
 *
 * The evidence. A target is the label set of an `up` series; the targets are those that any replica of the group
 * shows. A scrape is good on a replica when its `up` is 1 and its `scrape_samples_post_metric_relabeling` exists
 * and is not below all of a sibling's values within 1.5 intervals of it. A replica has a gap in a target where its good
 * scrapes are more than 1.5 median intervals apart while scrapes of a sibling with `up` 1 follow one another, for
 * longer than 1.5 intervals (gaps.h). So these are gaps: missed scrapes, a replica that is down, that lags, or that
 * lacks half of the targets; `up` that is 0 on one side only; relabeling that drops series on one side only. These
 * are not: a target that is down everywhere, and the start or end of a target, which two scrapers see at different
 * times. Of replicas with copies of one stream, whose scrapes have equal times, each missing scrape is a gap.
 *
 * Which series belong to targets. Gaps of `up` say nothing about recording rules, pushes and federated series. A
 * selector is decided only when it names one metric (`__name__` with =) of which the servers have shown that each
 * series comes from a target: its labels `coverage_by` (job and instance by default) are those of an `up` series whose
 * last sample has the same timestamp, which only samples of one scrape have. A replica that has fewer series of
 * the metric than a sibling is not complete for it, whatever its targets say. This is requested in the background when
 * a metric is first queried, and again after COVERAGE_NAME_MS; meanwhile the result is "unknown". Only the present is
 * checked: that a metric had the same origin in the past is assumed. Metrics whose exporters set timestamps (cadvisor's)
 * are never attributed. With `trust_untargeted: true` every selector of the group is decided: series without a target
 * are then assumed to be complete wherever all targets are, and series that have the labels of a target, but other times
 * than its scrapes (timestamps of exporters, recording rules), wherever this target is.
 *
 * Targets are narrowed by the selector's matchers on the `coverage_by` labels, for which attributed series and their
 * targets have the same values: a gap of job="a" does not affect a selector with job="b".
 *
 * The newest samples. A replica counts as complete up to now while the last good scrape of each of its targets is
 * younger than 1.5 intervals, or than one interval and the time between two readings (COVERAGE_READ_MS); 30 s more for
 * VictoriaMetrics, which shows samples late. A replica that stops scraping is therefore noticed that much later.
 *
 * An unreachable replica provides no evidence, and would provide no samples to a merge either: the others are compared
 * without it until it is reachable again; then what was learned meanwhile is discarded and read again, with it.
 *
 * A group of one server needs no evidence: its response is the value of the group. It is always complete.
 *
 * Samples that a replica lost after its scrapes (rejected, deleted, lost on their way to it) are found by counting:
 * every COVERAGE_COUNT_MS the samples of one queried metric, those of ten minutes, are counted per target on all
 * replicas. A replica has a gap in these minutes if it has fewer samples than its scrapes and those of a sibling explain.
 * For COVERAGE_DISTRUST_MS it is not complete for this target at any time, and the gap is extended if another count shows
 * the same.
 *
 * Not detected: two replicas that each drop other series of a target, equally many; losses that no count has found yet.
 *
 * Threads. coverage_ask: any; it takes the mutex of the group for microseconds (at the end of a reading for
 * milliseconds, with tens of thousands of targets) and sends no request. The reader (gateway/background) requests what
 * is missing and passes on the responses (coverage_intake.h).
 *
 * Ownership. A struct coverage belongs to the registry, is reference counted by its users, and has its configuration as
 * its key: a reload that changes none of a group's servers keeps what is known. Replicas are numbered in the order of
 * group.servers.
 *
 * Memory. At most COVERAGE_BYTES per group, for targets, gaps and metric names. If they exceed it, the older half of
 * the known time is discarded; if less than an hour would be left, all of it is discarded, and coverage_ask reports
 * that there are too many targets.
 */
#ifndef GATEWAY_COVERAGE_COVERAGE_H
#define GATEWAY_COVERAGE_COVERAGE_H

#include "base/arena.h"
#include "base/conf/conf.h"
#include "model/labels.h"
#include "model/matcher.h"

enum {
    COVERAGE_BYTES = 16 << 20,      /* per group: about 33,000 targets on two replicas */
    COVERAGE_SPANS = 1024,          /* per result and replica */
    COVERAGE_READ_MS = 10000,       /* between two readings: at most this and half of the shortest interval; more
                                     * for large groups */
    COVERAGE_IDLE_MS = 600000,      /* a group that was not queried for this long is not read */
    COVERAGE_NAME_MS = 600000,      /* the origin of a metric is requested again, and its samples are counted */
    COVERAGE_COUNT_MS = 30000,      /* between two counts */
    COVERAGE_DISTRUST_MS = 3600000,
};
static const int64_t COVERAGE_PAST_MS = 31ll * 86400000; /* how far into the past readings extend for queries */

struct coverage_registry;
struct coverage_registry *coverage_registry_new(void);
void coverage_registry_free(struct coverage_registry *r); /* after all references are released */

struct coverage_conf {
    struct str group;               /* its name, for metrics and pages */
    struct labels labels;           /* that the group adds to series */
    const uint64_t *replicas; size_t n_replicas; /* server.key of each, in the group's order */
    struct str_list by;             /* coverage_by; at least one name */
    bool trust_untargeted;
};
struct coverage;
/* A reference to the coverage of the group with this configuration, which is copied. */
struct coverage *coverage_get(struct coverage_registry *r, const struct coverage_conf *conf);
void coverage_put(struct coverage_registry *r, struct coverage *c);

/* The labels `coverage_by`, n of them; unchanged for its lifetime. */
const struct str *coverage_labels(const struct coverage *c, size_t *n);

struct coverage_query {
    const struct matcher *matchers; size_t n_matchers; /* as they are sent to the group's servers (group_route) */
    int64_t from, to;               /* Unix ms, both included: every sample that can affect the result, so from the
                                     * first step minus offset, range and lookback to the last step minus offset */
    int64_t now;
};
struct coverage_span { int64_t from, to; }; /* Unix ms, both included, within the query's */
struct coverage_replica {
    /* Times for which the replica is not known to be complete, ascending, without overlap; none: it is complete over
     * [from, to]. A window may be evaluated on the replica alone if it overlaps none of them. */
    const struct coverage_span *spans; unsigned n_spans;
    /* Parts of them in which another replica may have a newer scrape, and those that no scrape of the replica is known to
     * end. At a time in no outdated span, and with no lasting one in the lookback before it, the replica has the newest
     * scrape of each target. */
    const struct coverage_span *outdated; unsigned n_outdated;
    const struct coverage_span *lasting; unsigned n_lasting;
    unsigned n_targets;             /* targets with a gap within [from, to] */
};
struct coverage_result {
    struct coverage_replica *replicas; size_t n; /* in the arena, by the group's order */
    bool scraped;                   /* all selected series come from targets: each has a sample at each scrape of its
                                     * target, or ended with a stale marker */
    const char *unknown;            /* why nothing is known, for explain, static text; NULL: something is known */
};
/* Never waits for a server. The group counts as queried: what is not known since `from` is read in the background.
 * True if all replicas are complete. */
bool coverage_ask(struct coverage *c, struct arena *a, const struct coverage_query *query, struct coverage_result *out);

/* Values of the label `label`, the last of coverage_by, ascending. */
enum { COVERAGE_VALUES = 128 };
struct coverage_division { struct str label; const struct str *values; size_t n; };
/* The targets of these queries in which some replica has a gap. False: there are none or too many, or series may not come
 * from targets. */
bool coverage_divide(struct coverage *c, struct arena *a, const struct coverage_query *queries, size_t n,
                     struct coverage_division *out);
static inline bool coverage_complete(const struct coverage_result *a, size_t replica)
{
    return a->replicas[replica].n_spans == 0;
}

#endif
