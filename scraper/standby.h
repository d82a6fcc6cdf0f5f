// SPDX-License-Identifier: Apache-2.0
/* Scrapes kept for another member of the cluster: with replica_mode `standby` the first owner of a target sends its
 * scrapes, and the others keep theirs for some time, in case the first owner crashes.
 *
 * 1. A scrape of a time that this member does not lead is not parsed: its response is compressed, 64 KiB a step, and
 *    appended to target.kept.
 * 2. When the lead covers kept scrapes, because the first owner is gone, they are replayed: read as if they arrived
 *    now, with their times, before any newer page of the target. The lead begins after the last scrape that the former
 *    owner sent. That scrape is replayed too, but only fills the scrape cache, so that series that have vanished since
 *    then end.
 *
 * When a target moves here as planned, its scrapes are kept, too, until the former owner's samples are acknowledged
 * (handover.h), and the page of the former owner's last scrape is replayed to fill the scrape cache.
 *
 * Memory: scrapes older than scrape_cluster.keep_ms are dropped when a newer one is kept, and the oldest ones of the
 * lane when there are more than keep_bytes; targets that are held are released before.
 *
 * When does a member of a cluster know that its own scrapes are committed? A timer of the lane, which runs after all
 * scrapes that were due earlier, publishes the time up to which all led scrapes are complete (standby_complete). A
 * response that arrives while the member is fenced is kept, and not complete: it is replayed when the member may scrape
 * again. The time does not advance while there are scrapes to replay.
 *
 * All functions on the lane's thread, unless stated otherwise.
 */
#ifndef SCRAPER_STANDBY_H
#define SCRAPER_STANDBY_H

#include "base/buf.h"
#include "base/list.h"
#include "base/os/loop.h"

#include <stdatomic.h>

enum { STANDBY_TIMER_MS = 200 };
struct handed_page;
struct handed_pages;
struct scrape;
struct scrape_lane;
struct target;
struct standby {
    unsigned n_lanes;            /* that share keep_bytes */
    struct list kept;            /* of all targets, oldest first */
    uint64_t bytes;              /* of them */
    struct list replays;         /* targets with scrapes to replay */
    struct scrape *replaying;
    struct buf frames;           /* of the response that is being kept */
    struct list leading;         /* scrapes in progress that this member leads, oldest first */
    int64_t missed;              /* the first time since the fence that was not scraped; 0: none */
    struct loop_timer timer;     /* armed once a target belongs to a cluster */
    _Atomic int64_t complete;    /* Unix ms */
};
void standby_init(struct standby *s, unsigned n_lanes);
void standby_stop(struct scrape_lane *l);
/* Any thread: Unix ms; all earlier scrapes that this member leads are committed. INT64_MAX: there are none. */
int64_t standby_complete(const struct standby *s);

/* Whether this member sends its scrapes of that time. */
bool standby_leads(const struct target *t, int64_t tick);
void standby_begun(struct scrape *s);                /* the request is sent */
void standby_missed(struct target *t, int64_t tick); /* it is not: the member is fenced */
void standby_ended(struct scrape *s);                /* committed, kept or cancelled */
/* The target, its settings or its lead are new. */
void standby_update(struct target *t);
void standby_forget(struct target *t);               /* drops what is kept */
bool standby_owes(const struct target *t);           /* a scrape is replayed, or held one is to be sent */

/* Whether the scrape cache is that of a recent scrape that this member has sent, and kept for its next owner. */
bool standby_cache_is_sent(const struct target *t);
/* Replays a page of the last scrape by the former owner, as one of `tick`: it only fills the cache. */
void standby_add_page(struct target *t, struct handed_pages *pages, const struct handed_page *page, int64_t tick);

/* Whether a waiting response is kept, by standby_keep_some, which returns true while there is more to do. */
bool standby_keeps(const struct scrape *s);
bool standby_keep_some(struct scrape *s);
/* Replays kept scrapes of the target before this one. */
void standby_replay_before(const struct scrape *s);
/* The next scrape to replay; call standby_unpack_some while it returns true. NULL: none. */
struct scrape *standby_next_replay(struct scrape_lane *l);
bool standby_unpack_some(struct scrape *s, bool *ok);
void standby_replayed(struct scrape *s);

#endif
