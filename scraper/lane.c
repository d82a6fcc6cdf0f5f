// SPDX-License-Identifier: Apache-2.0
/* Targets of a lane: adding, changing and removing them, the HTTP client, and periodic metadata. */
#include "scraper/lane.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "base/text/url.h"
#include "scraper/ending.h"
#include "scraper/scrape_stats.h"

enum { REMIND_MS = 10 * 60 * 1000, REMIND_LOOK_MS = 10000, RESENT_FAMILIES = 500, RESENT_BYTES = 50000 };

static void lane_forget_moved(struct scrape_lane *l);

static void scrape_lane_run_work(struct loop_task *task)
{
    struct scrape_lane *l = CONTAINER(task, struct scrape_lane, work);
    scrape_work(l);
    lane_forget_moved(l);
}

/* Sends a family to the destinations of its route, unless they are busy. *about is the open batch; bytes 0: there is
 * none. */
static void resend_family(struct scrape_lane *l, const struct scrape_family *f, struct sink_batch *about)
{
    if (about->bytes == 0 || about->route != f->route) {
        if (about->bytes > 0)
            sink_commit(l->sink, NULL, NULL);
        *about = (struct sink_batch){.source = about->source, .route = f->route, .bytes = RESENT_BYTES};
        if (sink_begin(l->sink, about) == SINK_BUSY) {
            about->bytes = 0;
            return;
        }
    }
    sink_metadata(l->sink, &f->metadata);
}

/* Sends all metadata families of the lane's targets once, some each turn. Any target's shard will do: their order among
 * blocks is irrelevant. */
static void resend_metadata(struct loop_task *task)
{
    struct scrape_lane *l = CONTAINER(task, struct scrape_lane, resend);
    l->resending = false;
    if (list_empty(&l->targets) || l->metadata.families.n == 0)
        return;
    const struct target *any = CONTAINER(l->targets.next, struct target, node);
    struct sink_batch about = {.source = any->source};
    struct map_entry *e = NULL;
    for (int i = 0; i < RESENT_FAMILIES && (e = map_walk_next(&l->metadata.families, &l->resent)); i++)
        resend_family(l, e->value.p, &about);
    if (about.bytes > 0)
        sink_commit(l->sink, NULL, NULL);
    l->resending = e != NULL;
    if (e)
        loop_post(l->loop, task);
}

/* An interval that a reload makes shorter is seen within REMIND_LOOK_MS. */
static int64_t metadata_interval_ms(struct scrape_lane *l)
{
    int64_t set = atomic_load_explicit(&l->metadata_ms, memory_order_relaxed);
    return set > 0 ? set : REMIND_MS;
}

static void metadata_timer_start(struct scrape_lane *l)
{
    int64_t interval = metadata_interval_ms(l);
    loop_timer_in(l->loop, &l->metadata_timer, interval < REMIND_LOOK_MS ? interval : REMIND_LOOK_MS);
}

static void metadata_timer(struct loop_timer *timer)
{
    struct scrape_lane *l = CONTAINER(timer, struct scrape_lane, metadata_timer);
    int64_t now = loop_mono(l->loop);
    metadata_timer_start(l);
    if (now - l->resent_at < metadata_interval_ms(l) || l->resending)
        return;
    l->resent_at = now;
    l->resending = true;
    l->resent = (struct map_walk){0};
    loop_post(l->loop, &l->resend);
}

void scrape_lane_init(struct scrape_lane *l, struct loop *loop, struct sink *sink, const char *user_agent,
                      unsigned max_inflight, unsigned max_idle, unsigned n_lanes)
{
    *l = (struct scrape_lane){.loop = loop, .sink = sink, .user_agent = user_agent, .max_inflight = max_inflight,
                              .max_idle = max_idle};
    l->work.run = scrape_lane_run_work;
    l->metadata_timer.run = metadata_timer;
    l->resend.run = resend_metadata;
    list_init(&l->targets);
    list_init(&l->moved);
    list_init(&l->handed);
    list_init(&l->holds);
    list_init(&l->waiting);
    list_init(&l->streams);
    standby_init(&l->standby, n_lanes);
    list_init(&l->endings);
    list_init(&l->changes);
    interner_init(&l->interner);
    proto_page_init(&l->converted);
    page_rewrite_init(&l->rewritten);
    l->since = loop_now(loop);
    page_init(&l->page, &l->interner, sink);
    marker_writer_init(&l->stale, &l->interner, sink);
}

/* ---- targets ---- */

void scrape_lane_drop_metadata(struct scrape_lane *l, struct metadata_list *list)
{
    metadata_unref(&l->metadata, list);
    if (l->metadata.unused)
        loop_post(l->loop, &l->work);
}

/* Releases the lane's part of the target. */
static void scrape_lane_forget_target(struct scrape_lane *l, struct target *t)
{
    scrape_cancel(t);
    loop_timer_stop(l->loop, &t->timer);
    hold_forget(t);
    standby_forget(t);
    scrape_cache_clear(&t->last, &l->interner);
    template_group_unref(&l->interner, t->templates);
    running_job_unref(t->job);
    t->templates = NULL;
    t->job = NULL;
    scrape_lane_drop_metadata(l, t->metadata);
    t->metadata = NULL;
    list_remove(&t->node);
    l->n_targets--;
    stats_add(&scrape_stats, SCRAPERS_STOPPED, 1);
    target_unref(t);
}

static void set_lead(struct target *t, struct cluster_span lead)
{
    if (lead.from != t->lead.from && lead.from > t->lane->since && lead.from < INT64_MAX)
        t->taken_at = lead.from;
    t->lead = lead;
}

/* Transfers the job's reference to the target. */
static void set_job(struct scrape_lane *l, const struct target_change *a)
{
    struct target *t = a->target;
    struct template_group *c = template_group_get(&l->interner, a->job, &t->labels, a->settings.label_limit);
    template_group_unref(&l->interner, t->templates);
    running_job_unref(t->job);
    t->templates = c;
    t->job = a->job;
    t->exceeded_limit = a->exceeded_limit;
    t->settings = a->settings;
    t->span = a->span;
    set_lead(t, a->lead);
    hold_set(t, a->hold);
    standby_update(t);
}

static void scrape_lane_add_target(struct scrape_lane *l, const struct target_change *a)
{
    list_push_back(&l->targets, &a->target->node);
    l->n_targets++;
    set_job(l, a);
    stats_add(&scrape_stats, SCRAPERS_STARTED, 1);
    scrape_arm(a->target);
}

static void scrape_lane_apply(struct scrape_lane *l, const struct target_change *c)
{
    set_job(l, c);
    if (c->target->scrape == NULL && !scrape_overdue(c->target))
        scrape_arm(c->target);
    target_unref(c->target);
}

/* The client's number of multi handles follows the number of targets; it is replaced only while no request is in
 * progress. */
static void lane_resize_client(struct scrape_lane *l, size_t n_targets)
{
    enum { LEAST = 100 };
    unsigned wanted = n_targets < LEAST ? LEAST : (unsigned)n_targets;
    if (n_targets == 0 ||
        (l->client && (wanted <= 2 * l->connections || client_inflight(l->client) + client_waiting(l->client) > 0)))
        return;
    if (l->client)
        client_free(l->client);
    if (l->resent_at == 0) {
        l->resent_at = loop_mono(l->loop);
        metadata_timer_start(l);
    }
    l->connections = wanted;
    l->client = client_new(l->loop, &(struct client_settings){.max_inflight = l->max_inflight, .connections = wanted,
                                                            .max_idle = l->max_idle, .user_agent = l->user_agent});
}

/* The length of slots follows the number of targets, but a few more or less move no target to another time. */
static void lane_resize_slots(struct scrape_lane *l, size_t n_targets)
{
    if (n_targets > 2 * l->slot_targets || n_targets < l->slot_targets / 2)
        l->slot_targets = n_targets;
}

/* The series continue under a new URL: series missing in its first scrape end then, none before. */
static void target_inherit(struct target *t, struct target *from)
{
    t->last = from->last;
    t->last_t = from->last_t;
    t->series_t = from->series_t;
    t->series = from->series;
    t->ended = from->ended;
    from->series = NULL;
    t->failing = from->failing;
    t->failing_since = from->failing_since;
    t->failure_logged = from->failure_logged;
    from->last = (struct scrape_cache){0};
    from->last_t = 0;
}

static void lane_resize_for(struct scrape_lane *l, size_t n_targets)
{
    lane_resize_client(l, n_targets);
    lane_resize_slots(l, n_targets);
}

/* A half parsed page points into its target: it is parsed to its end first, in the usual slices. */
static void change_leave(struct scrape_lane *l, struct target *t)
{
    if (t->moved)
        scrape_begin_overdue(t);
    t->leaving = true;
    loop_timer_stop(l->loop, &t->timer);
    if (scrape_being_read(l) != t && !t->moved)
        scrape_cancel(t);
}

void scrape_lane_forget_moved(struct target *t)
{
    scrape_lane_forget_target(t->lane, t);
    target_unref(t);
}

/* No other member sends what this one has scraped as the first owner. */
static bool moved_is_unfinished(const struct target *t)
{
    return t->moved && ((t->scrape && standby_leads(t, t->tick)) || (!t->lane->stopping && standby_owes(t)));
}

static void change_gone(struct scrape_lane *l, struct target *t)
{
    if (moved_is_unfinished(t)) {
        list_remove(&t->node);
        list_push_back(&l->moved, &t->node);
        return;
    }
    if (!t->moved)
        scrape_end_target(t);
    scrape_cancel(t); /* ends a connection that is in use */
    if (l->client)
        client_leave_server(l->client, t->url.p, (uint32_t)t->id);
    if (!t->moved || l->stopping || !handed_keep(t))
        scrape_lane_forget_moved(t);
}

static void lane_forget_moved(struct scrape_lane *l)
{
    for (struct list *n = l->moved.next, *next; n != &l->moved; n = next) {
        struct target *t = CONTAINER(n, struct target, node);
        next = n->next;
        if (t->scrape == NULL && !moved_is_unfinished(t))
            change_gone(l, t);
    }
}

/* Number of targets of the step. */
static size_t change_targets(const struct scrape_lane_change *c)
{
    switch (c->step) {
    case CHANGE_BEGIN: break;
    case CHANGE_LEAVE: case CHANGE_GONE: return c->n_removed;
    case CHANGE_TAKE_OVER: case CHANGE_ADD: return c->n_added;
    case CHANGE_SETTINGS: return c->n_changed;
    }
    return 0;
}

static void change_target(struct scrape_lane *l, struct scrape_lane_change *c, size_t i)
{
    switch (c->step) {
    case CHANGE_BEGIN: break;
    case CHANGE_LEAVE: change_leave(l, c->removed[i]); break;
    case CHANGE_TAKE_OVER:
        if (c->added[i].predecessor)
            target_inherit(c->added[i].target, c->added[i].predecessor);
        break;
    case CHANGE_GONE: change_gone(l, c->removed[i]); break;
    case CHANGE_SETTINGS: scrape_lane_apply(l, &c->changed[i]); break;
    case CHANGE_ADD: scrape_lane_add_target(l, &c->added[i]); break;
    }
}

/* False: the time is up, or the page of a target to be removed must be parsed to its end first. */
static bool change_work(struct scrape_lane *l, struct scrape_lane_change *c, int64_t until)
{
    if (c->step == CHANGE_BEGIN) /* the first new target may be due before the last is added */
        lane_resize_for(l, l->n_targets + c->n_added);
    for (;;) {
        size_t n = change_targets(c);
        while (c->at < n) {
            change_target(l, c, c->at++);
            if (clock_mono_ns() >= until)
                return false;
        }
        const struct target *read = scrape_being_read(l);
        if (c->step == CHANGE_LEAVE && read && read->leaving)
            return false;
        if (c->step == CHANGE_ADD)
            return true;
        c->step++;
        c->at = 0;
    }
}

static void change_free(struct scrape_lane_change *c)
{
    loop_unpost(c->lane->loop, &c->task); /* the change behind it may have been applied already */
    list_remove(&c->node);
    mem_free(c->removed);
    mem_free(c->changed);
    mem_free(c->added);
    mem_free(c);
}

/* Applies changes until the time is up, and then continues in the next turn; true when none is left. */
static bool carry_out_changes(struct scrape_lane *l, int64_t until)
{
    while (!list_empty(&l->changes)) {
        struct scrape_lane_change *c = CONTAINER(l->changes.next, struct scrape_lane_change, node);
        if (!change_work(l, c, until)) {
            loop_post(l->loop, &c->task);
            return false;
        }
        lane_resize_for(l, l->n_targets);
        change_free(c);
    }
    return true;
}

static void on_change(struct loop_task *task)
{
    struct scrape_lane_change *c = CONTAINER(task, struct scrape_lane_change, task);
    if (!list_linked(&c->node))
        list_push_back(&c->lane->changes, &c->node);
    carry_out_changes(c->lane, loop_slice_end(c->lane->loop));
}

struct scrape_lane_change *scrape_lane_change_new(struct scrape_lane *l)
{
    struct scrape_lane_change *c = mem_zalloc(sizeof *c);
    c->lane = l;
    c->task.run = on_change;
    return c;
}

void scrape_lane_change_post(struct scrape_lane_change *c) { loop_post(c->lane->loop, &c->task); }

/* True when all are gone. */
static bool drop_targets(struct scrape_lane *l, bool end_series, int64_t until)
{
    enum { LINES = 1024 };
    while (!list_empty(&l->moved)) {
        struct target *t = CONTAINER(l->moved.next, struct target, node);
        scrape_cancel(t);
        change_gone(l, t);
    }
    while (!list_empty(&l->handed))
        scrape_lane_forget_moved(CONTAINER(l->handed.next, struct target, node));
    while (!list_empty(&l->targets)) {
        struct target *t = CONTAINER(l->targets.next, struct target, node);
        if (end_series) /* nothing is left in its cache: it is dropped at once */
            scrape_end_target(t);
        if (!scrape_cache_clear_some(&t->last, &l->interner, LINES))
            scrape_lane_forget_target(l, t);
        if (clock_mono_ns() >= until)
            return list_empty(&l->targets);
    }
    return true;
}

static void lane_cancel_scrapes(struct scrape_lane *l, const struct list *targets)
{
    for (struct list *node = targets->next; node != targets; node = node->next) {
        struct target *t = CONTAINER(node, struct target, node);
        loop_timer_stop(l->loop, &t->timer);
        scrape_cancel(t);
    }
}

/* The time is up: the rest is neither written nor released. */
static void lane_abandon(struct scrape_lane *l)
{
    size_t series = endings_series(l);
    l->abandoned = true;
    if (series > 0)
        log_warn("scrape", "stopping before all stale markers are written; their series "
                 "end by the lookback of queries", LOG_U64("series", series));
    if (l->reading) {
        struct buf url = {0};
        url_redact(&url, scrape_being_read(l)->url);
        log_warn("scrape", "stopping while a scrape is processed; samples of it may be missing", "target", buf_z(&url));
        buf_free(&url);
    }
    lane_cancel_scrapes(l, &l->targets);
    lane_cancel_scrapes(l, &l->moved);
}

/* What lane_abandon has left. */
static void lane_release_abandoned(struct scrape_lane *l)
{
    l->page_ends = l->page_ends || l->reading;
    l->reading = false;
    while (l->page_ends)
        l->page_ends = page_end(&l->page, SIZE_MAX);
    carry_out_changes(l, INT64_MAX);
    endings_work(l, INT64_MAX);
    drop_targets(l, false, INT64_MAX);
    loop_timer_stop(l->loop, &l->metadata_timer);
    standby_stop(l);
    if (l->client)
        client_free(l->client);
}

static bool lane_end_work(struct scrape_lane *l, bool end_series, int64_t until)
{
    if (!scrape_finish_page(l, until) || !carry_out_changes(l, until) || !endings_work(l, until) ||
        !drop_targets(l, end_series, until) || !endings_work(l, until))
        return false;
    while (mem_release_some(&l->interner.release))
        if (clock_mono_ns() >= until)
            return false;
    return true;
}

bool scrape_lane_stop(struct scrape_lane *l, int64_t max_ms, bool end_series)
{
    if (!l->stopping)
        l->stop_by = loop_mono(l->loop) + max_ms;
    l->stopping = true;
    bool late = loop_mono(l->loop) >= l->stop_by;
    if (late)
        lane_abandon(l);
    else if (!lane_end_work(l, end_series, loop_slice_end(l->loop)))
        return false;
    for (struct list *node = l->changes.next; node != &l->changes; node = node->next)
        loop_unpost(l->loop, &CONTAINER(node, struct scrape_lane_change, node)->task);
    loop_unpost(l->loop, &l->work);
    loop_unpost(l->loop, &l->resend);
    loop_timer_stop(l->loop, &l->metadata_timer);
    if (!l->abandoned)
        standby_stop(l);
    else
        loop_timer_stop(l->loop, &l->standby.timer);
    if (l->client)
        client_free(l->client);
    l->client = NULL;
    return true;
}

void scrape_lane_free(struct scrape_lane *l)
{
    if (l->abandoned)
        lane_release_abandoned(l);
    proto_page_free(&l->converted);
    page_rewrite_free(&l->rewritten);
    page_free(&l->page);
    marker_writer_free(&l->stale);
    interner_free(&l->interner);
    metadata_free(&l->metadata);
    buf_free(&l->spare);
}
