// SPDX-License-Identifier: Apache-2.0
/* One lane's state of a rule, for the files of this directory only.
 *
 * A series of a rule has a record (aggregate_input) if something has to be known of each series: counters,
 * deduplication, count_series. A group has a record (aggregate_output_group) with words for what the rule's outputs
 * need, once for each window; the offsets are the same for all groups of the rule (aggregate_layout). */
#ifndef WRITER_AGGREGATE_AGGREGATE_INTERNAL_H
#define WRITER_AGGREGATE_AGGREGATE_INTERNAL_H

#include "writer/aggregate/aggregate.h"
#include "writer/aggregate/aggregate_table.h"
#include "writer/aggregate/value_set.h"

union aggregate_word { double d; uint64_t u; int64_t i; struct value_set *values; struct value_sample *sample; struct vmrange_counts *buckets; };

/* Positions of words in a window, and after the windows; 0 = not kept (word 0 of a window is the number of samples). */
struct aggregate_layout {
    uint8_t window_words, windows, words; /* windows: 1 with deduplication, else 2; words: of all of it */
    uint8_t sum, min, max, last, last_t, mean, squares, increase, increase_known, series, values, sample, buckets;
    /* from the end of the windows on */
    uint8_t total, total_known, sum_total, buckets_total, rate, rate_n;
    uint16_t counter, rates, dedup, input_size; /* bytes in an input's record; 0 = not kept */
    bool rates_twice, dedup_twice; /* both windows may be in use, not only while one ends */
    bool inputs; /* there are records of inputs */
};

enum { /* bits of flags; those of a window are shifted by it */
    INPUT_KNOWN = 1,    /* has a last value */
    INPUT_SEEN = 2,     /* << window: counted by count_series */
    INPUT_RATED = 8,    /* << window: has an accepted sample for the rate */
    INPUT_PENDING = 32, /* << window: has a sample that waits for the end of the deduplication interval */
    INPUT_DEAD = 128,   /* cannot be found any more; exists until no route leads to it */
    INPUT_CHANGED = 256 /* since it was saved */
};
struct aggregate_input {
    uint64_t id;
    uint32_t group, flags;
    int64_t deadline;          /* Unix ms: without samples until then it is forgotten */
};
struct aggregate_counter { double value; int64_t t; }; /* of the last sample */
struct aggregate_rates {
    int64_t before;            /* time of the last sample of the intervals before */
    double increase[2];        /* of a window, or without rates_twice [1], of that which INPUT_RATED tells */
    int64_t t[2];              /* likewise: of the last sample; without rates_twice it is that of the counter */
};
struct aggregate_pending { double value; int64_t t; }; /* [2], or without dedup_twice [1], likewise */

enum {
    GROUP_LIVE = 1,
    GROUP_CHANGED = 2, /* since it was saved */
    GROUP_SAVED = 4,   /* at least once */
    GROUP_DEAD = INPUT_DEAD
};
struct aggregate_output_group {
    uint64_t id;
    uint32_t inputs, flags;    /* number of its inputs */
    int64_t deadline;
    uint8_t *labels; uint32_t n, count; /* of struct labels */
    union aggregate_word words[];
};

enum aggregate_phase { AGGREGATE_IDLE, AGGREGATE_DEDUP, AGGREGATE_INPUTS, AGGREGATE_GROUPS };
struct aggregate_part {
    const struct aggregate_rule *rule;
    struct aggregate_layout layout;
    struct aggregate_table inputs, groups;
    struct aggregate_counts *counts;
    bool adopted;                 /* its state is that of an equal rule of the configuration before */
    bool restored;                /* its times are those of the process before */
    /* What the file that is being restored has: from these numbers on. */
    struct { bool rule; uint32_t groups, inputs; } from;
    int64_t ignore_first_until;   /* Unix s: first samples of counters do not count before */
    /* times, Unix ms */
    int64_t least, most;          /* the current interval of what is received: of deduplication, or of aggregation */
    int64_t flush_at;             /* end of the aggregation interval */
    int64_t delay, lag;           /* with windows: how much later than `most`, -1 = not yet decided; largest delay of samples */
    uint64_t label_bytes;         /* of groups */
    uint64_t skip;                /* intervals whose results are not written */
    unsigned window;              /* that receives samples; the other one is of the next interval, or being flushed */
    enum aggregate_phase phase;
    uint32_t cursor;              /* number of the next record in this phase */
    int64_t flush_time, dedup_time; /* of the results that are being written; end of the interval being deduplicated */
    int64_t flush_ns;             /* CPU time spent so far */
    bool flush_due;               /* results follow this deduplication */
    /* lists of dead records: of those that died since the sweep began, and of those that it releases; the next one is in
     * `group` and `inputs` */
    uint32_t dead_inputs, dead_groups, swept_inputs, swept_groups;
};

/* What is known of a series that arrives: found by the keyed hash of its labels. There is one for each series, so it is
 * small; to: see aggregate_routes.c. */
struct aggregate_route { uint32_t hash[2], to; };
struct aggregate_link { uint32_t next; uint32_t at; uint16_t rule; uint16_t owner; }; /* at: input, or without inputs the group */
struct aggregate_shared_links { uint64_t id; uint32_t first, uses; }; /* id: hash of the links */
struct aggregate {
    unsigned lane, n_lanes;
    struct aggregate_part *parts; size_t n_parts;
    struct aggregate_table routes, shared;
    /* A series of the only rule, which does not relabel, is found by the hash of its labels among the inputs: it has no
     * route if it is this lane's. */
    bool direct;
    struct aggregate_near { uint32_t route, input; } near, near_sent; /* expected next: series come in the same order */
    struct aggregate_link *links; size_t n_links, _cap_links;
    uint32_t free_link;
    bool dead; /* routes may lead to dead records */
    uint8_t sweep; uint32_t sweep_at; bool sweeping; /* over the routes: removes those that lead to nothing, or are not used */
    int64_t swept, sweep_counted; /* Unix ms: end of the last one; when `sweep`, which dates the use of routes, was advanced */
    struct { bool active, whole; size_t part; bool inputs; uint32_t at; } save; /* the next record (aggregate_save.c) */
    struct { size_t part; unsigned flushes; } finish; /* of aggregate_finish: the part, and its flushes so far */
    struct aggregate_counts *own_counts; /* NULL: they are the caller's */
    struct labels_builder builder;
    struct arena scratch;
    struct buf out, text;
};

static inline void aggregate_input_changed(struct aggregate_part *p, struct aggregate_input *in, uint32_t at)
{
    in->flags |= INPUT_CHANGED;
    table_touch(&p->inputs, at);
}
static inline void aggregate_group_changed(struct aggregate_part *p, struct aggregate_output_group *g, uint32_t at)
{
    g->flags |= GROUP_CHANGED;
    table_touch(&p->groups, at);
}

/* aggregate_layout.c */
void aggregate_layout_init(struct aggregate_layout *l, const struct aggregate_rule *r);
static inline union aggregate_word *aggregate_window(const struct aggregate_part *p, struct aggregate_output_group *g, unsigned window)
{
    return g->words + (p->layout.windows == 1 ? 0 : window) * p->layout.window_words;
}
void aggregate_group_clear_window(const struct aggregate_part *p, union aggregate_word *w);
void aggregate_group_clear(const struct aggregate_part *p, struct aggregate_output_group *g); /* as if it were new */

/* aggregate_routes.c */
/* near: what is expected, and then what follows it. */
struct aggregate_match aggregate_find_near(struct aggregate *a, struct labels labels, uint64_t *hash,
                                           struct aggregate_near *near);
void aggregate_routes_init(struct aggregate *a);
void aggregate_routes_free(struct aggregate *a);
void aggregate_routes_forget(struct aggregate *a); /* all; dead records are released */
void aggregate_routes_adopt(struct aggregate *a, struct aggregate *old);
/* adopted: as in aggregate_push_sent. */
void aggregate_receive_route(struct aggregate *a, uint32_t route, const struct sample *samples, size_t n, int64_t now,
                             bool adopted);
void aggregate_note_dead(struct aggregate *a);
bool aggregate_sweep_some(struct aggregate *a, int64_t now, int64_t end); /* true: there is more */
void aggregate_group_free(struct aggregate_part *p, uint32_t group);

uint32_t aggregate_group_find(struct aggregate_part *p, struct labels labels, uint64_t id); /* or makes it */
static inline unsigned aggregate_owner(const struct aggregate *a, uint64_t group) { return (unsigned)(group >> 40) % a->n_lanes; }

/* aggregate_add.c */
/* A sample of one of the group's series: in = NULL without records of inputs. */
struct aggregate_arrival { int64_t now, deadline; unsigned window; };
void aggregate_add(struct aggregate_part *p, struct aggregate_output_group *g, struct aggregate_input *in, struct sample s,
                   const struct aggregate_arrival *how);
/* Ends the window for the input: adds its rate to the group, or the sample that deduplication has kept. */
void aggregate_end_rate(struct aggregate_part *p, struct aggregate_input *in, unsigned window);
void aggregate_end_kept(struct aggregate_part *p, struct aggregate_input *in, unsigned window, int64_t now);
static inline struct aggregate_pending *aggregate_kept(const struct aggregate_part *p, struct aggregate_input *in,
                                                       unsigned window)
{
    return (struct aggregate_pending *)((char *)in + p->layout.dedup) + (p->layout.dedup_twice ? window : 0);
}
void aggregate_receive(struct aggregate_part *p, uint32_t at, const struct sample *samples, size_t n, int64_t now);

/* aggregate_flush.c */
void aggregate_parts_start(struct aggregate *a, int64_t now);

/* aggregate_results.c: writes the results of a group in a window; at the time of the flush. */
void aggregate_write_results(struct aggregate *a, struct aggregate_part *p, struct aggregate_output_group *g, unsigned window,
                             const struct aggregate_results *to);

void aggregate_observe(struct aggregate_histogram *h, int64_t ns); /* only the lane writes it */
static inline void aggregate_count(atomic_ullong *counter, uint64_t n) /* only the lane writes it */
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

#endif
