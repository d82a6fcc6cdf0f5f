// SPDX-License-Identifier: Apache-2.0
/* Planned hand-over of targets between the members of a cluster, at a time T: earlier scrapes are the former owner's.
 *
 * The new owner *holds* the target from T on: its scrapes are kept (standby.h), not sent, until the former owner's samples
 * are acknowledged, HOLD_MS at most, so that series arrive in order. Meanwhile it takes the page of the former owner's last
 * scrape, which fills the scrape cache: series that the target does not expose any more end then.
 *
 * The former owner keeps the scrape cache of a target that has moved for HANDED_MS, and makes a page of it on request
 * (snapshot.h). Main's list of these targets is in struct scraper.
 *
 * On the lane's thread, unless stated otherwise.
 */
#ifndef SCRAPER_HANDOVER_H
#define SCRAPER_HANDOVER_H

#include "base/list.h"
#include "base/os/loop.h"
#include "base/refs.h"
#include "scraper/scraper.h"

enum { HOLD_MS = 30000, HANDED_MS = 45000 };
struct scrape;
struct scrape_lane;
struct target;

/* ---- the new owner ---- */

/* Targets of a lane that are held for the same reason. */
struct held_targets {
    struct list node;            /* in lane.holds */
    struct scraper_hold hold;
    struct list targets;         /* by target.held */
};
void hold_set(struct target *t, struct scraper_hold hold); /* unless it was held for the same reason before */
void hold_forget(struct target *t);                        /* the lane gives the target up */
bool hold_covers(const struct target *t, int64_t tick);    /* its scrape of that time is kept */
int64_t holds_earliest(const struct scrape_lane *l);       /* of which a scrape may be held; INT64_MAX: none */
void holds_expire(struct scrape_lane *l);                  /* releases those that are due */
void holds_release_all(struct scrape_lane *l);

/* Pages from the former owner; their texts are in the body. Immutable, shared by lanes. */
struct handed_page { uint64_t id; int64_t tick; struct str text; };
struct handed_pages {
    struct refs refs;
    struct buf body;
    struct handed_page *pages; size_t n; /* sorted by id */
};
int handed_page_compare(const void *a, const void *b); /* by id */
void handed_pages_unref(struct handed_pages *p);       /* any thread */

/* From main: the pages of held targets; NULL: they are released. */
struct hold_message {
    struct loop_task task;
    struct scrape_lane *lane;
    struct scraper_hold hold;
    struct handed_pages *pages;  /* a reference */
};
void hold_message_post(struct scrape_lane *l, const struct scraper_hold *hold, struct handed_pages *pages); /* main */

/* ---- the former owner ---- */

/* A target that has moved, and whose last scrape is complete: whether its cache is kept; it is forgotten later. */
bool handed_keep(struct target *t);

#endif
