// SPDX-License-Identifier: Apache-2.0
/* One lane's part of the scraper: its targets, templates, HTTP client and queue of responses to be parsed. Used by the
 * lane's thread only; the main thread posts scrape_lane_change, and workers post requests for the state of its targets
 * (snapshot.h). */
#ifndef SCRAPER_LANE_H
#define SCRAPER_LANE_H

#include "model/exposition/exposition_proto.h"
#include "model/exposition/page_rewrite.h"
#include "scraper/page/metadata.h"
#include "scraper/page/page.h"
#include "scraper/handover.h"
#include "scraper/standby.h"
#include "scraper/target.h"

struct scrape_lane {
    struct loop *loop;
    struct sink *sink;
    struct client *client;       /* NULL until there are targets */
    unsigned connections;        /* number that the client was created for */
    unsigned max_inflight, max_idle; /* requests, idle connections */
    const _Atomic int64_t *fence; /* of the scraper */
    const char *user_agent;
    struct list targets;
    struct list handed;          /* targets that have moved: their last pages may be requested (handover.h) */
    struct list holds;           /* of struct held_targets */
    struct list moved;           /* removed targets whose last scrapes are not complete; counted in n_targets */
    size_t n_targets;
    size_t slot_targets;         /* the number that the length of slots was chosen for */
    struct interner interner;
    int64_t since;               /* wall clock of its start, ms: earlier samples of series are unknown */
    struct metadata_store metadata;
    struct metadata_builder metadata_builder; /* of the current page; its store is NULL when it builds nothing */
    struct page page;
    struct proto_page converted; /* the text of a protobuf response */
    struct page_rewrite rewritten; /* of text responses, for jobs that convert their series */
    struct marker_writer stale;  /* for failing and removed targets, independent of the page being parsed */
    struct list endings;         /* large failed or removed targets whose series are being ended (ending.c) */
    struct list changes;         /* from the main thread; the first is being applied */
    struct standby standby;      /* scrapes kept for other members */
    struct list streams;         /* struct scrape_stream with text to read; the first is next (stream.h) */
    bool stream_next;            /* its step is before that of the page being parsed */
    struct list waiting;         /* scrapes with a complete response; the first is being parsed if `reading` */
    bool reading;
    bool page_ends;              /* the last page is to be ended by page_end before the next one starts */
    bool stopping;               /* no scrape begins any more */
    bool abandoned;              /* the time of the stop was up: not everything was ended and released */
    int64_t stop_by;             /* loop_mono; while stopping */
    struct loop_task work;
    struct loop_timer metadata_timer;    /* resends metadata periodically, since receivers may lose it */
    atomic_llong metadata_ms;            /* how often, 0: REMIND_MS; set by main */
    int64_t resent_at;                   /* loop_mono of its last start */
    struct loop_task resend;             /* a slice of it */
    bool resending;                      /* it is posted */
    struct map_walk resent;              /* progress in metadata.families */
    int64_t last_wall, last_mono; /* at the last scrape, to detect a changed wall clock; 0 = none yet */
    struct buf spare;            /* buffer of a finished response, for reuse */
};

void scrape_lane_init(struct scrape_lane *l, struct loop *loop, struct sink *sink, const char *user_agent,
                      unsigned max_inflight, unsigned max_idle, unsigned n_lanes);
void scrape_lane_free(struct scrape_lane *l); /* after scrape_lane_stop */

/* Changes requested by the main thread, applied on the lane's thread for some milliseconds a turn, one message after
 * the other. The lane frees the message. References are transferred. */
struct target_change {
    struct target *target;
    struct running_job *job;
    struct target_settings settings; int64_t exceeded_limit; /* as in struct target */
    struct cluster_span span, lead;
    struct scraper_hold hold;   /* from 0: none */
    struct target *predecessor; /* of an added target: one of `removed` with the same labels, whose series it inherits;
                                 * or NULL */
};
struct scrape_lane_change {
    struct loop_task task;
    struct scrape_lane *lane;
    struct target **removed; size_t n_removed, removed_cap; /* end with stale markers, unless they have moved */
    struct target_change *changed; size_t n_changed, changed_cap; /* new settings, same series */
    struct target_change *added; size_t n_added, added_cap;
    /* progress: */
    struct list node;
    enum change_step { CHANGE_BEGIN, CHANGE_LEAVE, CHANGE_TAKE_OVER, CHANGE_GONE, CHANGE_SETTINGS, CHANGE_ADD } step;
    size_t at;                                                /* index in the step's targets */
};
struct scrape_lane_change *scrape_lane_change_new(struct scrape_lane *l);
void scrape_lane_change_post(struct scrape_lane_change *c);

/* Drops a reference; what becomes unused is freed in slices. NULL is fine. */
void scrape_lane_drop_metadata(struct scrape_lane *l, struct metadata_list *list);

/* On the lane's thread: cancels scrapes and drops targets. Stale markers are those of changes under way, and with
 * end_series those of all targets. A slice of it: false while there is more to do. */
bool scrape_lane_stop(struct scrape_lane *l, int64_t max_ms, bool end_series);

/* Releases the lane's part of a target that has moved and was removed. */
void scrape_lane_forget_moved(struct target *t);

/* Start and end of a scrape (scrape.c), and work on its response (page_work.c). */
void scrape_arm(struct target *t);               /* sets the timer to the next tick */
bool scrape_overdue(const struct target *t);     /* its timer is due and has not run yet */
void scrape_begin_overdue(struct target *t);     /* begins its scrape if it is overdue */
void scrape_cancel(struct target *t);
void scrape_work(struct scrape_lane *l);         /* a slice of the lane's work */
bool scrape_finish_page(struct scrape_lane *l, int64_t until); /* false: the page being parsed needs more time */
/* the target whose page is being parsed; NULL: none */
const struct target *scrape_being_read(const struct scrape_lane *l);
void scrape_end_target(struct target *t);        /* stale markers for all series of the target */

#endif
