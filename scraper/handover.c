// SPDX-License-Identifier: Apache-2.0
#include "scraper/handover.h"

#include "base/text/duration.h"
#include "scraper/scrape_internal.h"
#include "scraper/scrape_stats.h"

#include <stdlib.h>

/* ---- held targets ---- */

static struct held_targets *holds_find(const struct scrape_lane *l, const struct scraper_hold *hold)
{
    for (struct list *n = l->holds.next; n != &l->holds; n = n->next) {
        struct held_targets *h = CONTAINER(n, struct held_targets, node);
        if (h->hold.from == hold->from && h->hold.by == hold->by)
            return h;
    }
    return NULL;
}

static struct held_targets *holds_get(struct scrape_lane *l, const struct scraper_hold *hold)
{
    struct held_targets *h = holds_find(l, hold);
    if (h)
        return h;
    h = mem_zalloc(sizeof *h);
    h->hold = *hold;
    list_init(&h->targets);
    list_push_back(&l->holds, &h->node);
    return h;
}

static void hold_leave(struct target *t)
{
    struct held_targets *h = t->hold;
    t->hold = NULL;
    list_remove(&t->held);
    if (!list_empty(&h->targets))
        return;
    list_remove(&h->node);
    mem_free(h);
}

void hold_forget(struct target *t)
{
    if (t->hold)
        hold_leave(t);
}

static void hold_release(struct target *t)
{
    hold_leave(t);
    standby_update(t);
}

void hold_set(struct target *t, struct scraper_hold hold)
{
    if (hold.from == t->held_from)
        return;
    if (t->hold)
        hold_release(t);
    t->held_from = hold.from;
    t->hold = holds_get(t->lane, &hold);
    list_push_back(&t->hold->targets, &t->held);
}

bool hold_covers(const struct target *t, int64_t tick) { return t->hold && tick >= t->hold->hold.from; }

int64_t holds_earliest(const struct scrape_lane *l)
{
    int64_t earliest = INT64_MAX;
    for (const struct list *n = l->holds.next; n != &l->holds; n = n->next) {
        int64_t from = CONTAINER(n, struct held_targets, node)->hold.from;
        earliest = from < earliest ? from : earliest;
    }
    return earliest;
}

/* Frees it. */
static void holds_release(struct held_targets *h)
{
    for (bool last = false; !last;) {
        struct target *t = CONTAINER(h->targets.next, struct target, held);
        last = t->held.next == t->held.prev;
        hold_release(t);
    }
}

void holds_release_all(struct scrape_lane *l)
{
    while (!list_empty(&l->holds))
        holds_release(CONTAINER(l->holds.next, struct held_targets, node));
}

void holds_expire(struct scrape_lane *l)
{
    int64_t now = loop_now(l->loop);
    for (struct list *n = l->holds.next, *next; n != &l->holds; n = next) {
        struct held_targets *h = CONTAINER(n, struct held_targets, node);
        next = n->next;
        if (now >= h->hold.from + HOLD_MS)
            holds_release(h);
    }
}

/* ---- messages from main ---- */

void handed_pages_unref(struct handed_pages *p)
{
    if (p == NULL || !refs_drop(&p->refs))
        return;
    buf_free(&p->body);
    mem_free(p->pages);
    mem_free(p);
}

int handed_page_compare(const void *a, const void *b)
{
    uint64_t x = ((const struct handed_page *)a)->id, y = ((const struct handed_page *)b)->id;
    return (x > y) - (x < y);
}

static void hold_take_pages(const struct held_targets *h, struct handed_pages *pages)
{
    for (struct list *n = h->targets.next; n != &h->targets; n = n->next) {
        struct target *t = CONTAINER(n, struct target, held);
        const struct handed_page *page = bsearch(&(struct handed_page){.id = t->id}, pages->pages, pages->n,
                                                 sizeof *pages->pages, handed_page_compare);
        if (page == NULL)
            continue;
        t->prior_tick = page->tick;
        if (page->text.n > 0 && t->last.n == 0)
            standby_add_page(t, pages, page, page->tick < h->hold.from ? page->tick : h->hold.from - 1);
    }
}

static void hold_message_run(struct loop_task *task)
{
    struct hold_message *m = CONTAINER(task, struct hold_message, task);
    struct held_targets *h = holds_find(m->lane, &m->hold);
    if (h && m->pages)
        hold_take_pages(h, m->pages);
    else if (h)
        holds_release(h);
    handed_pages_unref(m->pages);
    mem_free(m);
}

void hold_message_post(struct scrape_lane *l, const struct scraper_hold *hold, struct handed_pages *pages)
{
    struct hold_message *m = mem_zalloc(sizeof *m);
    if (pages)
        refs_take(&pages->refs);
    *m = (struct hold_message){.task.run = hold_message_run, .lane = l, .hold = *hold, .pages = pages};
    loop_post(l->loop, &m->task);
}

/* ---- the former owner ---- */

static void handed_expire(struct loop_timer *timer)
{
    scrape_lane_forget_moved(CONTAINER(timer, struct target, timer));
}

bool handed_keep(struct target *t)
{
    struct scrape_lane *l = t->lane;
    if (!t->job->conf->cluster.hands_over || !standby_cache_is_sent(t))
        return false;
    hold_forget(t);
    standby_forget(t);
    list_remove(&t->node);
    list_push_back(&l->handed, &t->node);
    t->timer.run = handed_expire;
    loop_timer_in(l->loop, &t->timer, HANDED_MS);
    return true;
}
