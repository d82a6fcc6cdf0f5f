// SPDX-License-Identifier: Apache-2.0
/* A snapshot of the targets' state, for the API and pages. The state belongs to the lanes, so they make it:
 *
 * 1. A worker takes references to all targets and posts a request to each lane (snapshot_begin).
 * 2. Each lane copies the state of its targets into the snapshot, in slices of its loop. Errors and metadata are
 *    references: a lane allocates nothing.
 * 3. The worker waits until all lanes are done, or its deadline passes (snapshot_wait), and formats.
 * 4. It releases the snapshot (snapshot_end). References to metadata belong to the lanes and are posted back.
 *
 * A lane never waits for a worker: what both use are atomic counts, a semaphore, and tasks of loops. If the worker
 * stops waiting, the lanes stop copying, and the main thread frees the snapshot after the last of them.
 */
#ifndef SCRAPER_SNAPSHOT_H
#define SCRAPER_SNAPSHOT_H

#include "scraper/lane.h"
#include "scraper/page/cache_page.h"

struct target_state {               /* of one target */
    struct target *target;          /* a reference */
    struct target_discovered *discovered; /* likewise */
    uint64_t key;                   /* as when the snapshot was made */
    enum target_health health;
    int64_t interval, timeout;
    uint32_t series_limit;
    bool standby;
    struct target_live live;        /* its error: a reference */
    struct buf page; int64_t sent_tick; bool has_page; /* of snapshot_begin_pages */
    struct metadata_list *metadata; /* a reference, of the lane's store; NULL: none, or not requested */
};
struct snapshot_part {              /* of one lane */
    struct loop_task copy, release;
    struct target_snapshot *snapshot;
    struct scrape_lane *lane;
    uint32_t *targets; size_t n;    /* of the lane: indexes in snapshot.states */
    struct cache_page page;         /* the lane's: progress in one page, */
    const uint32_t *page_of;        /* and the ids of its cache */
    size_t at;                      /* the lane's: how many are copied, or have metadata to be released */
};
struct target_snapshot {
    struct refs refs;               /* one of the worker, one of each part while its lane may use it */
    struct semaphore copied;        /* posted once for each part */
    atomic_uint n_copied;
    atomic_bool abandoned;          /* lanes need not go on copying */
    bool complete;                  /* snapshot_wait has succeeded */
    bool with_metadata;
    atomic_llong page_room;         /* bytes of pages that may still be made */
    struct loop *main;              /* where it is freed, unless by the worker */
    struct loop_task free;
    struct budget *memory; size_t bytes; /* charged */
    struct target_state *states; size_t n; /* in the order of the pools */
    uint32_t *order;                /* what the parts' `targets` point into */
    unsigned n_parts;
    struct snapshot_part parts[];
};

struct snapshot_targets { /* of one pool */
    struct target *const *targets; size_t n;
};
/* References all targets, which must not change meanwhile (scraper.mutex). NULL: the memory is not available. */
struct target_snapshot *snapshot_new(const struct snapshot_targets *pools, size_t n_pools, struct scrape_lane *lanes,
                              unsigned n_lanes, struct loop *main, struct budget *memory, struct err *err) MUST_USE;
void snapshot_full_error(size_t n, struct err *err); /* that of n targets finds no memory */
/* Posts the requests. */
void snapshot_begin(struct target_snapshot *s, bool with_metadata);
/* Instead: of targets that have moved, pages that yield their scrape caches (page/cache_page.h). Begins no page once
 * there are max_bytes. */
void snapshot_begin_pages(struct target_snapshot *s, size_t max_bytes);
/* Whether the deadline has passed or the client has left. */
bool snapshot_read_ended(const struct scraper_read *read, struct err *err) MUST_USE;
bool snapshot_wait(struct target_snapshot *s, const struct scraper_read *read, struct err *err) MUST_USE;
/* Releases the worker's reference; nothing of the snapshot may be used afterwards. */
void snapshot_end(struct target_snapshot *s);

#endif
