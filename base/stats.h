/* The program's own metrics. Two shapes:
 *
 * 1. Counters without labels that hot paths touch: declared once in a row of a module's X-macro table, kept in a slot per
 *    thread (no sharing, no atomics read-modify-write between threads), summed when read.
 * 2. Everything with labels or that is a state (queue bytes, targets up): a module registers a collector, which writes
 *    its families when /metrics is asked for. A collector runs in the thread that renders; it reads its module's
 *    data by atomics or under its own mutex, and must not block.
 *
 *   #define SCRAPE_STATS(X) X(scrapes, "vm_promscrape_scrapes_total", STATS_COUNTER, "Scrapes done")
 *   STATS_DECLARE(scrape_stats, SCRAPE_STATS)          in the header: the enum
 *   STATS_DEFINE(scrape_stats, SCRAPE_STATS)           in the .c: the table, registered at stats_register
 *   stats_add(&scrape_stats, scrape_stats_scrapes, 1);
 */
#ifndef BASE_STATS_H
#define BASE_STATS_H

#include "base/buf.h"

enum stats_kind { STATS_COUNTER, STATS_GAUGE };
struct stats_row { const char *name; enum stats_kind kind; const char *help; };

struct stats_group {
    const struct stats_row *rows;
    unsigned n;
    unsigned base; /* first slot; set by stats_register */
    bool registered;
};

#define STATS_ENUM_ROW_(id, name, kind, help)  STATS_ID_##id,
#define STATS_TABLE_ROW_(id, name, kind, help) {name, kind, help},
/* In a header:  enum scrape_stat { SCRAPE_STATS(STATS_ENUM) };  with  #define STATS_ENUM(id, ...) SCRAPE_STAT_##id,
 * In the .c  :  static const struct stats_row rows[] = { SCRAPE_STATS(STATS_ROW) }; */
#define STATS_ROW(id, name, kind, help) {name, kind, help},

void stats_register(struct stats_group *g);                     /* main thread, before other threads start */
void stats_add(const struct stats_group *g, unsigned id, double v);  /* any thread */
double stats_sum(const struct stats_group *g, unsigned id);

/* Writing exposition text. */
struct stats_out {
    struct buf *out;
    bool metadata; /* # HELP and # TYPE lines */
};
struct stats_label { const char *name; struct str value; };
void stats_family(struct stats_out *o, const char *name, enum stats_kind kind, const char *help);
void stats_value(struct stats_out *o, const char *name, const struct stats_label *labels, unsigned n, double v);

typedef void stats_collect_fn(struct stats_out *o, void *arg);
void stats_collector(stats_collect_fn *fn, void *arg);          /* adds; any thread */
void stats_collector_remove(stats_collect_fn *fn, void *arg);

/* Histograms with fixed bounds ("le" buckets), one slot set per thread like the counters. */
struct stats_histogram { const char *name, *help; const double *bounds; unsigned n_bounds; struct stats_histogram_cell *_cells; };
void stats_observe(struct stats_histogram *h, double v);
void stats_write_histogram(struct stats_out *o, struct stats_histogram *h);

/* All groups, collectors and the process_* and Go-compatible names that dashboards use. */
void stats_render(struct buf *out, bool metadata);

#endif
