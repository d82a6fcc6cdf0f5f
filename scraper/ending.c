// SPDX-License-Identifier: Apache-2.0
/* Ending series in slices: the queue `endings` of the lane, and one ending at a time on the lane's marker writer. */
#include "scraper/ending.h"

#include "base/text/duration.h"
#include "scraper/lane.h"
#include "scraper/scrape_stats.h"

enum {
    AT_ONCE = 500, /* series */
    LINES = 128,   /* per step; each may touch a page of a new table */
};

struct ending {
    struct list node;         /* of lane.endings */
    struct target *target;    /* a reference: the markers have its labels */
    struct scrape_cache last; /* the series to end */
    struct scrape_cache also; /* more of them; series that both have end once */
    int64_t t;
    bool begun;
};

static void ending_count(const struct marker_writer *w)
{
    if (w->markers)
        stats_add(&scrape_stats, STALE_MARKERS, (double)w->markers);
    if (w->busy)
        stats_add(&scrape_stats, SAMPLES_BUSY, (double)w->busy);
}

static void end_at_once(struct scrape_lane *l, struct target *target, int64_t t)
{
    markers_end_all(&l->stale, target->source, &target->labels, &target->last, target->series, t);
    if (l->stale.ended.n > 0)
        target->ended = l->stale.ended;
    ending_count(&l->stale);
}

void ending_add(struct target *target, int64_t t)
{
    struct scrape_lane *l = target->lane;
    if (target->last.n > 0)
        target->series_t = t;
    if (target->last.n <= AT_ONCE && list_empty(&l->endings)) {
        end_at_once(l, target, t);
        return;
    }
    struct ending *e = mem_zalloc(sizeof *e);
    *e = (struct ending){.target = target_ref(target), .last = target->last, .t = t};
    target->last = (struct scrape_cache){0};
    list_push_back(&l->endings, &e->node);
    loop_post(l->loop, &l->work);
}

void ending_add_stream(struct target *target, struct scrape_cache *written, bool last, int64_t t)
{
    struct scrape_lane *l = target->lane;
    struct ending *e = mem_zalloc(sizeof *e);
    *e = (struct ending){.target = target_ref(target), .last = *written, .t = t};
    *written = (struct scrape_cache){0};
    target->series_t = t;
    if (last) {
        e->also = target->last;
        target->last = (struct scrape_cache){0};
    }
    list_push_back(&l->endings, &e->node);
    loop_post(l->loop, &l->work);
}

/* False: finished and freed. */
static bool ending_step(struct scrape_lane *l, struct ending *e)
{
    if (!e->begun)
        markers_end_begin(&l->stale, e->target->source, &e->target->labels, &e->last, e->target->series);
    e->begun = true;
    if (markers_end_some(&l->stale, e->t, LINES))
        return true;
    if (e->also.templates) {
        e->last = e->also;
        e->also = (struct scrape_cache){0};
        markers_end_also(&l->stale, &e->last);
        return true;
    }
    ending_count(&l->stale);
    e->target->ended = l->stale.ended;
    marker_writer_end(&l->stale);
    list_remove(&e->node);
    target_unref(e->target);
    mem_free(e);
    return false;
}

bool endings_work(struct scrape_lane *l, int64_t until)
{
    while (!list_empty(&l->endings))
        while (ending_step(l, CONTAINER(l->endings.next, struct ending, node)))
            if (clock_mono_ns() >= until)
                return false;
    return true;
}

size_t endings_series(const struct scrape_lane *l)
{
    size_t n = 0;
    for (const struct list *node = l->endings.next; node != &l->endings; node = node->next)
        n += CONTAINER(node, struct ending, node)->last.n + CONTAINER(node, struct ending, node)->also.n;
    return n;
}
