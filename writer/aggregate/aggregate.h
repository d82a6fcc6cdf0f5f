// SPDX-License-Identifier: Apache-2.0
/* Stream aggregation and deduplication: samples go in, and at the end of each interval the results come out.
 *
 * A `struct aggregate` is one lane's part of a set of rules. A series that a rule matches belongs to a group: the
 * labels that the result will have. Each group is owned by one lane, which a hash of its labels determines, so that a
 * result never has to be put together from parts; aggregate_find() reports which other lanes own groups of a series,
 * and the caller sends them the series as it came. Nothing on this path takes a lock.
 *
 * Which rules match a series, its labels after relabeling and its group are determined once and remembered by the hash
 * of its labels.
 *
 * Time. Results are written at multiples of the rule's interval by the wall clock, as vmagent does, or at intervals
 * from the start. Samples count for the interval in which they arrive; with enable_windows for the interval of their
 * timestamp, and the results are written later by the greatest delay that samples had. The state is kept twice, so that
 * a flush, which is done in slices, has exactly the samples that arrived before it began.
 *
 * Memory per rule: 24 bytes for each series, 16 more for counters (total, increase, rate), 16 more for rates (with
 * windows 40), 16 more with deduplication (with windows, or without outputs, 32); 40 bytes and the labels for each
 * group, and 8 to 32 for each output, twice. 12 bytes for each series that arrives, matched or not; with several rules
 * of which one has records of series, 12 more for each rule that matches it. Series of a single rule that has records
 * of them, and no relabeling, have only those on the lane of their group. The index of each table has 6 to 10 bytes
 * for each record.
 *
 * Functions are called on the lane's thread, except where stated. Labels and samples are borrowed for the call. */
#ifndef WRITER_AGGREGATE_AGGREGATE_H
#define WRITER_AGGREGATE_AGGREGATE_H

#include "model/series.h"
#include "writer/aggregate/aggregate_rule.h"

#include <stdatomic.h>

struct aggregate;
enum { AGGREGATE_MOST_LANES = 64 };

/* Of one rule on one lane. Written by the lane; any thread reads. */
enum { AGGREGATE_BOUNDS = 11 };
extern const double aggregate_bounds[AGGREGATE_BOUNDS]; /* of buckets, in seconds */
struct aggregate_histogram { atomic_ullong buckets[AGGREGATE_BOUNDS + 1], sum_ns; };
struct aggregate_counts {
    atomic_ullong matched, ignored_nan, ignored_old, counter_resets, dedup_dropped, output_samples, flush_timeouts,
        dedup_flush_timeouts;
    struct aggregate_histogram flush, dedup_flush, lag; /* lag: the largest of an interval */
    atomic_ullong series, groups, bytes; /* at the end of the last interval */
};
struct aggregate_results { /* receives what is written: labels are valid during the call */
    void (*write)(void *arg, struct labels labels, const struct sample *sample);
    void *arg;
};

/* Rules are borrowed, and so are the counts of each; counts NULL: its own. Lanes from AGGREGATE_MOST_LANES on own no
 * groups. now: Unix ms. */
struct aggregate *aggregate_new(const struct aggregate_rule *const *rules, struct aggregate_counts *const *counts,
                                size_t n, unsigned lane, unsigned n_lanes, int64_t now);
void aggregate_free(struct aggregate *a); /* NULL is fine */
/* Moves the state of rules that `a`, which is new, has likewise; others stay in `old`. If all are equal and in the same
 * order, what is decided about series moves, too. */
void aggregate_adopt(struct aggregate *a, struct aggregate *old);

/* What the rules make of a series. hash: hash_keyed() of the labels, at least 1; or 0, then it is set if it is needed:
 * for series of other lanes. */
struct aggregate_match {
    uint32_t route;   /* for aggregate_add_samples, until aggregate_flush is called; AGGREGATE_NO_ROUTE: no space */
    bool matched;     /* by a rule */
    bool own;         /* a group is of this lane */
    uint64_t others;  /* bits of the other lanes that must be sent the series and its samples (aggregate_push_sent) */
};
#define AGGREGATE_NO_ROUTE UINT32_MAX
struct aggregate_match aggregate_find(struct aggregate *a, struct labels labels, uint64_t *hash);
void aggregate_add_samples(struct aggregate *a, uint32_t route, const struct sample *samples, size_t n, int64_t now);
/* Samples from another lane, for the groups of this one. adopted: only those of rules whose state was adopted: the
 * other lane has the rules from before. */
void aggregate_push_sent(struct aggregate *a, struct labels labels, uint64_t hash, const struct sample *samples,
                         size_t n, int64_t now, bool adopted);

/* When aggregate_flush has something to do, Unix ms; not after now + 1 s while it is in the middle of something. */
int64_t aggregate_due(const struct aggregate *a);
bool aggregate_results_begin(const struct aggregate *a, int64_t now); /* results are due, and no flush has begun */
/* Writes the results that are due, until clock_mono_ns() is `end` (INT64_MAX: all). True: there is more, call again. */
bool aggregate_flush(struct aggregate *a, int64_t now, int64_t end, const struct aggregate_results *to);
/* At shutdown, or when the rules are removed: with flush_on_shutdown the results of the incomplete interval, and
 * samples that only wait for the end of their deduplication interval; until clock_mono_ns() is `end`. True: there is
 * more, call again. */
bool aggregate_finish(struct aggregate *a, int64_t now, int64_t end, const struct aggregate_results *to);

/* The state as bytes, which outlive the process: frames of at most about AGGREGATE_FRAME bytes, each with a checksum.
 * Groups are written before their series: what arrives meanwhile may be lost, but is never counted twice. */
enum { AGGREGATE_FRAME = 1 << 20, AGGREGATE_FRAME_HEAD = 16 };
enum aggregate_saving { AGGREGATE_SAVE_MORE, AGGREGATE_SAVE_DONE, AGGREGATE_SAVE_BROKEN /* a flush began: begin again */ };
/* whole: not only what has changed since the last saving, which must be in the bytes before. False: a flush is under
 * way, try again later. */
bool aggregate_save_begin(struct aggregate *a, bool whole);
/* Appends a frame with what can be written until clock_mono_ns() is `end`. */
enum aggregate_saving aggregate_save_some(struct aggregate *a, int64_t now, int64_t end, struct buf *out);
/* Takes from `bytes`, all frames of a whole saving and of those that follow it, what belongs to this lane's rules: an
 * interval that has ended since is written next, and the time since then does not count for staleness. Bytes that are
 * not of this form are ignored. Returns the number of series and groups. */
size_t aggregate_restore(struct aggregate *a, struct str bytes, int64_t now);
/* How many bytes follow a frame's first AGGREGATE_FRAME_HEAD; 0: it is no frame, or larger than any that is written. */
size_t aggregate_frame_size(const char *head);
/* True: the frame is as it was written. *last: it completes a saving. */
bool aggregate_frame_check(struct str frame, bool *last);

size_t aggregate_rule_count(const struct aggregate *a);
const struct aggregate_rule *aggregate_rule_at(const struct aggregate *a, size_t rule);
const struct aggregate_counts *aggregate_counts(const struct aggregate *a, size_t rule); /* any thread */

#endif
