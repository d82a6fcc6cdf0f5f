// SPDX-License-Identifier: Apache-2.0
/* The program's own metrics. There are three kinds:
 *
 * 1. Counters on hot paths: declared once in a row of a module's table, kept in a slot per thread (each thread writes
 *    only its own) and summed when read. A row's name may carry constant labels; rows of one family must be adjacent,
 *    and groups may share a family.
 *
 *      #define SCRAPE_STATS(X)                                                                       \
 *          X(SCRAPES, "vm_promscrape_scrapes_total", STATS_COUNTER, "Scrapes done")                  \
 *          X(SCRAPES_FAILED, "vm_promscrape_scrapes_failed_total", STATS_COUNTER, "Scrapes failed")
 *      enum scrape_stat { SCRAPE_STATS(STATS_ID) };
 *      struct stats_group scrape_stats = STATS_GROUP(SCRAPE_STATS);      at file scope in one .c
 *      stats_register(&scrape_stats);                                    once, before other threads start
 *      stats_add(&scrape_stats, SCRAPES, 1);
 *
 * 2. Histograms with fixed bounds ("le" buckets), also in slots.
 * 3. Metrics with variable labels, and states (queue bytes, targets up): a module registers a collector, which writes
 *    its families when /metrics is requested. It runs on the rendering thread, reads its module's data by atomics or
 *    under its own mutex, and must not block, register or remove anything.
 */
#ifndef BASE_TELEMETRY_STATS_H
#define BASE_TELEMETRY_STATS_H

#include "base/buf.h"

enum stats_kind { STATS_COUNTER, STATS_GAUGE, STATS_HISTOGRAM, STATS_SUMMARY }; /* SUMMARY: collectors only */
struct stats_row { const char *name; enum stats_kind kind; const char *help; };

struct stats_group {
    const struct stats_row *rows;
    unsigned n;
    unsigned _base; /* first slot; 0 = not registered */
    struct stats_group *_next;
};
#define STATS_ID(id, name, kind, help)  id,
#define STATS_ROW(id, name, kind, help) {name, kind, help},
#define STATS_ROWS_(TABLE)              (const struct stats_row[]){TABLE(STATS_ROW)}
#define STATS_GROUP(TABLE) \
    {.rows = STATS_ROWS_(TABLE), .n = sizeof(STATS_ROWS_(TABLE)) / sizeof(struct stats_row)}

enum { STATS_SLOTS = 1024 }; /* for all rows and buckets together; exceeding it ends the program at start */

/* main thread, before other threads start; a second call has no effect */
void stats_register(struct stats_group *g);
void stats_add(const struct stats_group *g, unsigned id, double v);   /* any thread; ignored when g is not registered */
double stats_sum(const struct stats_group *g, unsigned id);           /* any thread */

/* `bounds` ascend and exclude +Inf. NaN is not counted. */
struct stats_histogram {
    const char *name, *help;
    const double *bounds;
    unsigned n_bounds;
    unsigned _base; /* slots: one per bound, one for +Inf, the sum; 0 = not registered */
    struct stats_histogram *_next;
};
void stats_register_histogram(struct stats_histogram *h);             /* as stats_register */
void stats_observe(const struct stats_histogram *h, double v);        /* any thread; ignored when h is not registered */

/* Writing exposition text (0.0.4). A family's values follow its stats_family call. */
struct stats_out {
    struct buf *out;
    bool metadata; /* # HELP and # TYPE lines */
};
struct stats_label { const char *name; struct str value; };
void stats_family(struct stats_out *o, const char *name, enum stats_kind kind, const char *help);
void stats_value(struct stats_out *o, const char *name, const struct stats_label *labels, unsigned n, double v);
/* A family with one value without labels. */
void stats_single(struct stats_out *o, const char *name, enum stats_kind kind, const char *help, double v);

typedef void stats_collect_fn(struct stats_out *o, void *arg);
void stats_collector(stats_collect_fn *fn, void *arg);                /* adds; any thread */
void stats_collector_remove(stats_collect_fn *fn, void *arg);         /* fn does not run after this returns */

/* All groups, histograms and collectors, in the order of registration. */
void stats_render(struct buf *out, bool metadata);

#endif
