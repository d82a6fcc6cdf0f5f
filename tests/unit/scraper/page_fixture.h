// SPDX-License-Identifier: Apache-2.0
/* Targets without a server: their pages are shown one after the other, and a sink records what is written. */
#ifndef TESTS_UNIT_SCRAPER_PAGE_FIXTURE_H
#define TESTS_UNIT_SCRAPER_PAGE_FIXTURE_H

#include "model/exposition/page_rewrite.h"
#include "scraper/page/page.h"

#include "recording_sink.h"

struct feed {
    struct arena arena;
    struct loop *loop;
    struct job_set *job_set;
    struct scrape_job job;
    struct running_job *run;
    struct interner interner;
    struct recorder sink;
    struct page page;
    enum exposition_format format; /* of the pages */
    struct series_limit *limit;    /* NULL: none */
    bool rewrites;                 /* pages are rewritten with these options: */
    struct page_rewrite_options options;
    struct page_rewrite rewritten;
    struct start_times starts;
    size_t part;                   /* pages arrive in parts of this many bytes, and are read so; 0: complete */
};
struct source { /* a target */
    struct target_labels labels;
    void *tables;
    struct template_group *templates;
    struct scrape_cache last;
    uint64_t id;
};

void feed_open(struct feed *f, const char *yaml); /* yaml: the job */
void feed_close(struct feed *f);                  /* after its sources */
struct source source_open(struct feed *f, const struct label *labels, size_t n);
struct source standard_source(struct feed *f);    /* job="j", instance="i:1" */
void source_close(struct feed *f, struct source *s);

/* A complete scrape at the time t; the sink has what it wrote, and nothing from before. False: the page is invalid. */
bool feed_show(struct feed *f, struct source *s, const char *text, int64_t t);
void feed_write(struct feed *f, int64_t t); /* its end, once the page is parsed */

/* BOTH: with everything kept, and with a budget of nothing, so that every text is cold; THRICE: also with pages that arrive
 * in parts. */
enum { FEED_KEPT, FEED_COLD, FEED_PARTS };
#define WITH(yaml)                                                        \
    struct feed f;                                                        \
    feed_open(&f, yaml);                                                  \
    f.interner.private_max = *state == (void *)FEED_COLD ? 0 : INTERN_PRIVATE_MAX; \
    f.part = *state == (void *)FEED_PARTS ? 11 : 0;                       \
    struct source s = standard_source(&f)
#define DONE              \
    source_close(&f, &s); \
    feed_close(&f)
#define BOTH(test) {#test, test, NULL, NULL, NULL}, {#test " (cold)", test, NULL, NULL, (void *)FEED_COLD}
#define THRICE(test) BOTH(test), {#test " (in parts)", test, NULL, NULL, (void *)FEED_PARTS}

#endif
