// SPDX-License-Identifier: Apache-2.0
/* A scrape in progress: scrape.c sends the request and publishes the result, page_work.c works on the page. */
#ifndef SCRAPER_SCRAPE_INTERNAL_H
#define SCRAPER_SCRAPE_INTERNAL_H

#include "base/http/client.h"
#include "model/exposition/scrape_protocols.h"
#include "scraper/lane.h"
#include "scraper/report.h"

struct scrape {
    struct target *target;
    struct client_call *call;  /* NULL when the response is complete */
    struct list node;          /* in lane.waiting, when the response is complete */
    struct buf body;
    struct scrape_stream *stream; /* NULL: the response is to be complete before it is read (stream.h) */
    enum scrape_format format; /* of the body */
    int64_t start_ns;
    int64_t queued;            /* loop_mono ms at which it was passed to the client */
    int64_t t;                 /* timestamp of its samples */
    enum scrape_step {
        STEP_CONVERT, STEP_PARSE, STEP_COMPARE, STEP_LIMIT, STEP_WRITE, STEP_MARK, STEP_METADATA, STEP_UPDATE,
        STEP_KEEP, STEP_UNPACK, STEP_FAIL
    } step;
    int64_t tick;              /* the time for which it was due */
    /* standby.c: */
    struct list leading;
    bool replay, mute;         /* replay: it was kept; mute: it only fills the cache */
    bool handed;               /* its page is the former owner's (page/cache_page.h) */
    int64_t duration_ns;       /* of a replay */
    char *failure; enum err_kind failure_kind; /* why it failed, until its turn; NULL: it did not */
    struct buf packed;         /* of a replay: the response in frames */
    size_t unpacked;           /* bytes of body that are kept, or of packed that are unpacked */
};

struct page *scrape_page(const struct scrape *s);       /* that it is read by */
struct series_limit *scrape_series_limit(struct target *t); /* with the limit in force; NULL: none */
bool scrape_within_limit(const struct target *t, struct page_result *r); /* of samples; false: r->err is set */
void scrape_rewrite_options(const struct scrape *s, struct page_rewrite_options *options);
/* A scrape that queued for a slot is timestamped when it was sent, not when it was due. */
void scrape_shift_start(struct scrape *s, const struct client_reply *r);

/* Both write the automatic series, publish the state for the API, free the scrape and arm the target's next one. */
void scrape_publish(struct scrape *s, struct scrape_report *r, const struct err *err); /* err NULL: it succeeded */
/* Ends the target's series. p: of a page that was read, or NULL. */
void scrape_fail(struct scrape *s, const struct page_result *p, const struct err *err);
void scrape_kept(struct scrape *s); /* instead of both: nothing is written */
bool scrape_failure(const struct scrape *s, struct err *err); /* sets err if it has failed */

#endif
