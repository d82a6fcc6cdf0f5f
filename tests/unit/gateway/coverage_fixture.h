// SPDX-License-Identifier: Apache-2.0
/* A world of scrapers and targets with a clock that the tests set, read as the reader reads servers. */
#ifndef TESTS_UNIT_GATEWAY_COVERAGE_FIXTURE_H
#define TESTS_UNIT_GATEWAY_COVERAGE_FIXTURE_H

#include "gateway/coverage/coverage_intake.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { S = 1000, MIN = 60 * S, HOUR = 60 * MIN, MOST_JOBS = 16, MOST_CUTS = 16, REPLICAS = 3 };
#define T0 INT64_C(1699999200000) /* a full hour */

struct scraper_cut { int64_t from, to; enum { CUT_MISSED, CUT_DOWN, CUT_FEWER } how; }; /* of a scraper's scrapes */
struct world_scraper { /* of one target on one replica */
    const char *job, *instance, *more;
    int64_t interval, offset, from, to;
    double kept, fewer;
    bool uncounted;
    int64_t lost_from, lost_to; /* samples of m, although the scrapes are there */
    struct scraper_cut cuts[MOST_CUTS]; size_t n_cuts;
};
struct world {
    struct arena arena;
    struct coverage_registry *registry;
    struct coverage *coverage;
    int64_t now;
    struct {
        struct world_scraper jobs[MOST_JOBS]; size_t n;
        enum coverage_reading_state state;
        int64_t lag;
        double all, alone, other;
    } replicas[REPLICAS];
    size_t n;
    unsigned readings, names_read, counts_read;
    uint64_t samples;
    int64_t reading_takes; /* ms */
};

void world_begin(struct world *w, size_t n, bool trust); /* trust: trust_untargeted */
/* Two replicas whose jobs[0] scrapes the same target every 15 s, in the second one 7 s later. */
void world_begin_pair(struct world *w, bool trust);
void world_end(struct world *w);
/* A scraper of replica r, since T0 - 2 d, `offset` after multiples of the interval. */
struct world_scraper *world_add(struct world *w, size_t r, const char *job, const char *instance, int64_t interval,
                                int64_t offset);
void scraper_cut(struct world_scraper *s, int64_t from, int64_t to, int how);
/* What the scraper has written of `up` and of the number of series, as far as the work reads it. */
void scraper_series(struct world *w, size_t r, const struct world_scraper *s, const struct coverage_work *work,
                    struct series *up, struct series *kept);

void world_read(struct world *w, const struct coverage_work *work);
void world_settle(struct world *w);                    /* everything that is due now */
void world_run(struct world *w, int64_t ms);           /* the reader looks every second */
void world_run_queried(struct world *w, int64_t ms);   /* somebody queries every second, too */
void world_ask(struct world *w, int64_t from);         /* queried once, so that everything since `from` is known */

extern const struct matcher world_metric; /* m */
/* Seconds after T0 in which replica r is not complete for the metric m, or for the matchers; valid until world_end. */
const char *world_gaps(struct world *w, size_t r, int64_t from, int64_t to);
/* The parts of them in which another replica has a newer scrape. */
const char *world_outdated(struct world *w, size_t r, int64_t from, int64_t to);
/* The parts of them that no good scrape is known to end. */
const char *world_lasting_gaps(struct world *w, size_t r, int64_t from, int64_t to);
const char *world_gaps_of(struct world *w, size_t r, const struct matcher *m, size_t n, int64_t from, int64_t to);

#endif
