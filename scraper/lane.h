// SPDX-License-Identifier: Apache-2.0
/* What one lane scrapes: its targets, their texts, its client, the line of pages to be read. Touched by the lane's
 * thread only; the main thread speaks to it by lane_change. The mutex guards what readers of the API see of its targets
 * (target.live, target.metadata and the metadata store): the lane takes it once a scrape.
 */
#ifndef SCRAPER_LANE_H
#define SCRAPER_LANE_H

#include "base/os/thread.h"
#include "scraper/metadata.h"
#include "scraper/page.h"
#include "scraper/target.h"

struct scrape_lane {
    struct loop *loop;
    struct sink *sink;
    struct client *client;       /* NULL until there are targets */
    unsigned connections;        /* that the client was made for */
    unsigned max_inflight;
    const char *user_agent;
    struct list targets;
    size_t n_targets;
    struct interner interner;
    struct metadata_store metadata;
    struct mutex mutex;
    struct page page;
    struct marker_writer ended;  /* for targets that fail or go, whatever page is being read */
    struct list endings;         /* of large targets that failed or went: ending.c */
    struct list changes;         /* that came from the main thread; the first is being carried out */
    struct list waiting;         /* scrapes whose page has come; the first is being read once `reading` */
    bool reading;
    struct loop_task work;
    struct loop_timer remind;    /* metadata is sent again now and then: receivers forget it */
    int64_t wall_seen, mono_seen; /* at the last scrape: tells when the wall clock was set; 0 = none yet */
    struct buf spare;            /* the body of a finished scrape, for the next one */
};

void scrape_lane_init(struct scrape_lane *l, struct loop *loop, struct sink *sink, const char *user_agent,
                      unsigned max_inflight);
void scrape_lane_free(struct scrape_lane *l); /* after scrape_lane_stop */

/* What the main thread wants changed; carried out on the lane's thread, some milliseconds a turn, one message after the
 * other. The message is freed by the lane. References are handed over. */
struct target_change {
    struct target *target;
    struct job_run *job;
    int64_t interval, timeout;
    bool refused;
    struct target *predecessor; /* of one added: among `gone`, has the same labels and hands over its series; or NULL */
};
struct scrape_lane_change {
    struct loop_task task;
    struct scrape_lane *lane;
    struct target **gone; size_t n_gone, gone_cap;            /* end with stale markers */
    struct target_change *changed; size_t n_changed, changed_cap; /* new settings, old series */
    struct target_change *added; size_t n_added, added_cap;
    /* how far the lane is: */
    struct list node;
    enum change_step { CHANGE_BEGIN, CHANGE_LEAVE, CHANGE_TAKE_OVER, CHANGE_GONE, CHANGE_SETTINGS, CHANGE_ADD } step;
    size_t at;                                                /* of the step's targets */
};
struct scrape_lane_change *scrape_lane_change_new(struct scrape_lane *l);
void scrape_lane_change_post(struct scrape_lane_change *c);

void scrape_lane_stop(struct scrape_lane *l); /* on the lane's thread: cancels scrapes, forgets targets; no markers */

/* The first steps and the end of a scrape (scrape.c). */
void scrape_arm(struct target *t);               /* sets the timer to the next tick */
void scrape_cancel(struct target *t);
void scrape_work(struct scrape_lane *l);                /* reads pages that came, for about 2 ms */
const struct target *scrape_being_read(const struct scrape_lane *l); /* whose page was begun; NULL: none */
void scrape_finish_page(struct scrape_lane *l);  /* reads to its end the page that was begun */
void scrape_end_target(struct target *t);        /* stale markers for all it has */

#endif
