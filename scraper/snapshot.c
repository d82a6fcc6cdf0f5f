// SPDX-License-Identifier: Apache-2.0
/* Snapshots of the targets' state: the lanes' part and the worker's part. */
#include "scraper/snapshot.h"

#include "base/text/duration.h"

enum {
    STATES_A_STEP = 64, /* each may miss the cache several times */
    LINES_A_STEP = 512, /* of a page */
    POLL_MS = 50,       /* how often a waiting worker checks whether its client has left */
};

/* ---- freeing; the worker or the main thread ---- */

static void snapshot_drop_references(struct target_snapshot *s)
{
    for (size_t i = 0; i < s->n; i++) {
        target_error_unref(s->states[i].live.last_error);
        if (s->states[i].target)
            target_unref(s->states[i].target);
        target_discovered_unref(s->states[i].discovered);
        buf_free(&s->states[i].page);
        s->states[i].live.last_error = NULL;
        s->states[i].target = NULL;
        s->states[i].discovered = NULL;
    }
}

static void snapshot_free(struct target_snapshot *s)
{
    snapshot_drop_references(s);
    budget_give(s->memory, s->bytes);
    semaphore_free(&s->copied);
    mem_free(s->order);
    mem_free(s->states);
    mem_free(s);
}

static void snapshot_free_on_main(struct loop_task *task) { snapshot_free(CONTAINER(task, struct target_snapshot, free)); }

/* ---- on a lane ---- */

/* The lane is done with its part. */
static void snapshot_part_leave(struct snapshot_part *p)
{
    struct target_snapshot *s = p->snapshot;
    if (refs_drop(&s->refs))
        loop_post(s->main, &s->free);
}

static void snapshot_copy_state(struct target_state *to, bool with_metadata)
{
    const struct target *t = to->target;
    to->health = (enum target_health)atomic_load_explicit(&t->health, memory_order_relaxed);
    to->interval = t->settings.interval;
    to->timeout = t->settings.timeout;
    to->series_limit = t->settings.series_limit;
    /* t->job is NULL: the target is new, or removed */
    to->standby = t->job && t->job->conf->cluster.standby && !standby_leads(t, loop_now(t->lane->loop));
    to->live = t->live;
    target_error_ref(to->live.last_error);
    if (with_metadata && t->metadata) {
        to->metadata = t->metadata;
        metadata_ref(to->metadata);
    }
}

static void snapshot_part_done(struct snapshot_part *p)
{
    struct target_snapshot *s = p->snapshot;
    atomic_fetch_add_explicit(&s->n_copied, 1, memory_order_release);
    semaphore_post(&s->copied);
    if (!s->with_metadata)
        snapshot_part_leave(p);
}

static void snapshot_copy_slice(struct loop_task *task)
{
    struct snapshot_part *p = CONTAINER(task, struct snapshot_part, copy);
    struct target_snapshot *s = p->snapshot;
    int64_t until = loop_slice_end(p->lane->loop);
    while (p->at < p->n && !atomic_load_explicit(&s->abandoned, memory_order_relaxed)) {
        for (size_t end = p->n - p->at < STATES_A_STEP ? p->n : p->at + STATES_A_STEP; p->at < end; p->at++)
            snapshot_copy_state(&s->states[p->targets[p->at]], s->with_metadata);
        if (p->at < p->n && clock_mono_ns() >= until) {
            loop_post(p->lane->loop, task);
            return;
        }
    }
    snapshot_part_done(p);
}

/* Some lines of the target's page; true while there are more. A cache that changes meanwhile is a newer owner's. */
static bool snapshot_page_some(struct snapshot_part *p, struct target_state *to)
{
    struct target *t = to->target;
    struct target_snapshot *s = p->snapshot;
    if (p->page.at == 0 && atomic_load_explicit(&s->page_room, memory_order_relaxed) <= 0)
        return false;
    if (p->page.at == 0) {
        p->page_of = t->last.ids;
        to->sent_tick = t->sent_tick;
    }
    to->has_page = t->last.ids == p->page_of;
    if (to->has_page && cache_page_some(&p->page, &t->last, &p->lane->interner, LINES_A_STEP, &to->page))
        return true;
    cache_page_end(&p->page);
    atomic_fetch_sub_explicit(&s->page_room, (long long)to->page.n, memory_order_relaxed);
    return false;
}

static void snapshot_page_slice(struct loop_task *task)
{
    struct snapshot_part *p = CONTAINER(task, struct snapshot_part, copy);
    struct target_snapshot *s = p->snapshot;
    int64_t until = loop_slice_end(p->lane->loop);
    while (p->at < p->n && !atomic_load_explicit(&s->abandoned, memory_order_relaxed)) {
        p->at += !snapshot_page_some(p, &s->states[p->targets[p->at]]);
        if (p->at < p->n && clock_mono_ns() >= until) {
            loop_post(p->lane->loop, task);
            return;
        }
    }
    cache_page_end(&p->page);
    snapshot_part_done(p);
}

/* Once the loop is stopping there may be no next turn. */
static void snapshot_release_slice(struct loop_task *task)
{
    struct snapshot_part *p = CONTAINER(task, struct snapshot_part, release);
    int64_t until = loop_slice_end(p->lane->loop);
    loop_unpost(p->lane->loop, &p->copy);
    while (p->at > 0) {
        for (int i = 0; i < STATES_A_STEP && p->at > 0; i++)
            scrape_lane_drop_metadata(p->lane, p->snapshot->states[p->targets[--p->at]].metadata);
        if (p->at > 0 && !p->lane->stopping && clock_mono_ns() >= until) {
            loop_post(p->lane->loop, task);
            return;
        }
    }
    snapshot_part_leave(p);
}

/* ---- on a worker ---- */

static size_t snapshot_count_targets(const struct snapshot_targets *pools, size_t n_pools)
{
    size_t n = 0;
    for (size_t i = 0; i < n_pools; i++)
        n += pools[i].n;
    return n;
}

static void snapshot_place_targets(struct target_snapshot *s, const struct snapshot_targets *pools, size_t n_pools)
{
    size_t n = 0;
    for (size_t i = 0; i < n_pools; i++)
        for (size_t k = 0; k < pools[i].n; k++, n++) {
            s->states[n].target = target_ref(pools[i].targets[k]);
            s->states[n].discovered = target_discovered_ref(pools[i].targets[k]->discovered);
            s->states[n].key = pools[i].targets[k]->key;
        }
}

/* Each part gets its share of `order`: counted first, then filled. parts[i] belongs to lanes[i]. */
static void snapshot_divide(struct target_snapshot *s, const struct scrape_lane *lanes)
{
    uint32_t *order = s->order;
    for (size_t i = 0; i < s->n; i++)
        s->parts[s->states[i].target->lane - lanes].n++;
    for (unsigned i = 0; i < s->n_parts; i++) {
        s->parts[i].targets = order;
        order += s->parts[i].n;
        s->parts[i].n = 0;
    }
    for (size_t i = 0; i < s->n; i++) {
        struct snapshot_part *p = &s->parts[s->states[i].target->lane - lanes];
        p->targets[p->n++] = (uint32_t)i;
    }
}

void snapshot_full_error(size_t n, struct err *err)
{
    enum { RETRY_SECONDS = 2 };
    err_set(err, ERR_UNAVAILABLE, "the state of %zu targets takes more than requests in flight leave of the memory that "
            "they may have together; try again later, or raise --memory.allowedBytes", n);
    err->retry_after = RETRY_SECONDS;
}

struct target_snapshot *snapshot_new(const struct snapshot_targets *pools, size_t n_pools, struct scrape_lane *lanes,
                              unsigned n_lanes, struct loop *main, struct budget *memory, struct err *err)
{
    size_t n = snapshot_count_targets(pools, n_pools);
    size_t head = sizeof(struct target_snapshot) + n_lanes * sizeof(struct snapshot_part);
    size_t bytes = head + n * (sizeof(struct target_state) + sizeof(uint32_t));
    if (!budget_take(memory, bytes)) {
        snapshot_full_error(n, err);
        return NULL;
    }
    struct target_snapshot *s = mem_zalloc(head);
    refs_init(&s->refs);
    semaphore_init(&s->copied);
    s->main = main;
    s->free.run = snapshot_free_on_main;
    s->memory = memory;
    s->bytes = bytes;
    s->states = mem_zalloc((n + 1) * sizeof *s->states);
    s->order = mem_alloc((n + 1) * sizeof *s->order);
    s->n = n;
    s->n_parts = n_lanes;
    for (unsigned i = 0; i < n_lanes; i++)
        s->parts[i] = (struct snapshot_part){.copy.run = snapshot_copy_slice, .release.run = snapshot_release_slice,
                                             .snapshot = s, .lane = &lanes[i]};
    snapshot_place_targets(s, pools, n_pools);
    snapshot_divide(s, lanes);
    return s;
}

void snapshot_begin(struct target_snapshot *s, bool with_metadata)
{
    s->with_metadata = with_metadata;
    for (unsigned i = 0; i < s->n_parts; i++)
        refs_take(&s->refs);
    for (unsigned i = 0; i < s->n_parts; i++)
        loop_post(s->parts[i].lane->loop, &s->parts[i].copy);
}

void snapshot_begin_pages(struct target_snapshot *s, size_t max_bytes)
{
    atomic_init(&s->page_room, (long long)max_bytes);
    for (unsigned i = 0; i < s->n_parts; i++)
        s->parts[i].copy.run = snapshot_page_slice;
    snapshot_begin(s, false);
}

bool snapshot_read_ended(const struct scraper_read *read, struct err *err)
{
    enum { RETRY_SECONDS = 5 };
    if (read->canceled && atomic_load_explicit(read->canceled, memory_order_relaxed))
        return !err_set(err, ERR_CANCELED, "the client disconnected while the state of targets was read");
    if (read->deadline_mono == 0 || clock_mono_ms() < read->deadline_mono)
        return false;
    err_set(err, ERR_UNAVAILABLE, "the state of all targets could not be read before the request's deadline "
            "(--query.timeout); try again later, or limit the request");
    err->retry_after = RETRY_SECONDS;
    return true;
}

bool snapshot_wait(struct target_snapshot *s, const struct scraper_read *read, struct err *err)
{
    for (unsigned got = 0; got < s->n_parts; ) {
        if (read->loop)
            loop_turn(read->loop, 0);
        if (semaphore_wait_ms(&s->copied, read->loop ? 0 : POLL_MS))
            got++;
        else if (snapshot_read_ended(read, err))
            return false;
    }
    /* what the lanes wrote is visible: their posts order it, and this makes it known to ThreadSanitizer */
    s->complete = atomic_load_explicit(&s->n_copied, memory_order_acquire) == s->n_parts;
    return true;
}

void snapshot_end(struct target_snapshot *s)
{
    atomic_store_explicit(&s->abandoned, true, memory_order_relaxed);
    if (s->complete)
        snapshot_drop_references(s);
    for (unsigned i = 0; s->with_metadata && i < s->n_parts; i++)
        loop_post(s->parts[i].lane->loop, &s->parts[i].release);
    if (refs_drop(&s->refs))
        snapshot_free(s);
}
