// SPDX-License-Identifier: Apache-2.0
/* The targets of a job: builds them, compares them with the previous ones, and records the changes for each lane.
 *
 * A sync makes the targets of some parts of the discovery again, or of all. It
 *
 * 1. takes the targets from these parts (`uses`), which stay in the pool for now,
 * 2. builds them again: one that is in the pool already is kept, others are added,
 * 3. removes those that no part uses any more, and pairs them with added ones that continue their series.
 */
#include "scraper/pool_internal.h"

#include "base/hash.h"
#include "base/telemetry/log.h"
#include "base/text/url.h"
#include "scraper/scrape_stats.h"

static void pool_use(struct pool *p, const struct scrape_job *conf, struct job_set *g, struct running_job *job)
{
    p->conf = conf;
    running_job_unref(p->job);
    p->job = job;
    job_set_ref(g);
    if (p->job_set)
        job_set_unref(p->job_set);
    p->job_set = g;
}

struct pool *pool_new(const struct scrape_job *conf, struct job_set *g, struct running_job *job, struct sd_manager *sd)
{
    struct pool *p = mem_zalloc(sizeof *p);
    p->discovery = discovery_new(sd, (struct sd_owner){"job", conf->job_name});
    discovery_set(p->discovery, &conf->sd);
    pool_use(p, conf, g, job);
    return p;
}

bool pool_change(struct pool *p, const struct scrape_job *conf, struct job_set *g, struct running_job *job)
{
    bool same = p->job == job && scrape_job_targets_equal(p->conf, conf);
    if (!same)
        discovery_set(p->discovery, &conf->sd);
    pool_use(p, conf, g, job);
    return !same;
}

/* ---- life and news ---- */

void pool_show_discovery(struct pool *p, struct mutex *mutex)
{
    struct sd_status now = discovery_status(p->discovery), before;
    mutex_lock(mutex); /* other threads read it */
    before = p->sd_status;
    p->sd_status = now;
    mutex_unlock(mutex);
    sd_status_free(&before);
}

enum sd_change pool_take_news(struct pool *p, struct mutex *mutex)
{
    enum sd_change change;
    if (!discovery_take_news(p->discovery, &change))
        return SD_UNCHANGED;
    pool_show_discovery(p, mutex);
    return change;
}

static void pool_clear(struct pool *p)
{
    for (size_t i = 0; i < p->n; i++)
        target_unref(p->targets[i]);
    mem_free(p->targets);
    map_free(&p->ids);
    pool_clear_parts(p);
    mem_free(p->dropped);
}

void pool_free(struct pool *p)
{
    discovery_free(p->discovery);
    sd_status_free(&p->sd_status);
    pool_clear(p);
    running_job_unref(p->job);
    job_set_unref(p->job_set);
    mem_free(p);
}

/* ---- targets ---- */

void target_refs_add(struct target_refs *l, struct target *t)
{
    if (l->n == l->cap)
        mem_grow(&l->items, &l->cap, l->n + 1, sizeof *l->items);
    l->items[l->n++] = t;
}

static struct str id_key(const struct target *t) { return str_n(&t->id, sizeof t->id); }

static void pool_add_target(struct pool *p, struct target *t)
{
    if (p->n == p->cap)
        mem_grow(&p->targets, &p->cap, p->n + 1, sizeof *p->targets);
    t->at = p->n;
    p->targets[p->n++] = t;
}

/* Leaves its reference to the caller. */
static void pool_take_target(struct pool *p, struct target *t)
{
    map_remove(&p->ids, id_key(t));
    p->targets[t->at] = p->targets[--p->n];
    p->targets[t->at]->at = t->at;
    t->at = SIZE_MAX;
}

void pool_batch_release(struct pool_batch *b, struct pool_part *part)
{
    for (size_t i = 0; i < part->targets.n; i++) {
        part->targets.items[i]->uses--;
        target_refs_add(&b->released, part->targets.items[i]);
    }
    part->targets.n = 0;
}

static void part_use(struct pool_part *part, struct target *t)
{
    t->uses++;
    target_refs_add(&part->targets, t);
}

void pool_batch_keep(struct pool_batch *b, struct pool_part *part, struct target *t)
{
    if (t->uses == 0)
        target_refs_add(&b->kept, t);
    part_use(part, t);
}

/* `t`: what was built now. It takes the place of one that is equal. Returns the one that is used. */
static struct target *batch_add(struct pool_batch *b, struct pool_part *part, struct target *t)
{
    bool added;
    struct map_entry *e = map_add(&b->pool->ids, id_key(t), &added);
    struct target *use = added ? t : e->value.p;
    if (added) {
        e->value.p = t;
        pool_add_target(b->pool, t);
        target_refs_add(&b->added, t);
    } else if (use->uses > 0) {
        if (b->duplicates++ == 0)
            b->first_duplicate = use;
    } else {
        use->found = t->settings;
        use->found_span = t->span;
        use->found_lead = t->lead;
        use->key = t->key; /* labels that are no part of the id, and ownership_labels, may have changed */
        target_take_discovered(use, t);
        target_refs_add(&b->kept, use);
    }
    if (!added)
        target_unref(t);
    part_use(part, use);
    return use;
}

/* Logs one line for all invalid targets of a job, and one for all duplicates: there may be thousands. */
static void log_found(const struct pool_batch *b)
{
    const struct pool *p = b->pool;
    struct str job = p->conf->job_name;
    struct buf shown = {0};
    if (b->invalid > 0)
        log_warn("scrape", "invalid target; not scraping it", LOG_STR("job", job),
                 LOG_STR("address", buf_str(&b->first_invalid)), "err", b->invalid_err.text,
                 LOG_U64("invalid_targets", p->invalid_total));
    if (b->duplicates > 0 && !p->conf->suppress_duplicates) {
        url_redact(&shown, b->first_duplicate->url);
        log_warn("scrape", "duplicate target; scraping it once", LOG_STR("job", job),
                 LOG_STR("target", buf_str(&shown)), LOG_U64("duplicates", b->duplicates));
    }
    buf_free(&shown);
}

/* A job without targets causes no scrape errors, so it is logged. */
static void log_emptied(struct pool *p, size_t before)
{
    if (p->was_emptied ? p->n == 0 : p->n > 0 || before == 0)
        return;
    struct str job = p->conf->job_name;
    p->was_emptied = p->n == 0;
    if (p->was_emptied)
        log_warn("scrape", "job has no targets any more; check its discovery and relabel_configs", LOG_STR("job", job),
                 LOG_U64("before", before));
    else
        log_info("scrape", "job has targets again", LOG_STR("job", job), LOG_U64("targets", p->n));
}

static void note_invalid(struct pool_batch *b, struct pool_part *part, struct str address, const struct err *err,
                         size_t found_at)
{
    if (b->invalid++ == 0) {
        url_redact_address(&b->first_invalid, address);
        b->invalid_err = *err;
    }
    b->pool->invalid_ever++;
    pool_drop(b->pool, part, b->sync->builder->discovered, true, err->text, found_at);
}

void pool_batch_make(struct pool_batch *b, struct pool_part *part, const struct target_source *from,
                     struct pool_found *f)
{
    struct target *t = NULL;
    struct err err;
    struct target_builder *m = b->sync->builder;
    struct target_environment env = pool_environment(b->sync);
    enum target_result made = target_make(m, b->pool->conf, &env, from, &t, &err);
    size_t found_at = f ? (size_t)(f - part->found) + 1 : 0;
    if (made == TARGET_CREATED)
        t = batch_add(b, part, t);
    else if (made == TARGET_DROPPED)
        pool_drop(b->pool, part, m->discovered, false, NULL, 0);
    else if (made == TARGET_INVALID)
        note_invalid(b, part, from->address, &err, found_at);
    else
        pool_drop(b->pool, part, m->discovered, false, f ? NULL : "scraped by another member (-promscrape.cluster.*)",
                  found_at);
    if (f == NULL)
        return;
    f->key = m->key;
    f->target = t;
    f->invalid = made == TARGET_INVALID;
    f->never = made == TARGET_DROPPED;
}

/* source: its index in the part; index: that of the group in it. */
static void make_group(struct pool_batch *b, struct pool_part *part, const struct static_group *g,
                       struct target_source *from, size_t source, size_t index)
{
    from->labels = g->labels;
    for (size_t i = 0; i < g->targets.n; i++) {
        struct pool_found *f = NULL;
        from->address = g->targets.items[i];
        if (b->pool->conf->cluster.by_view)
            f = pool_part_add_found(part, &(struct pool_found){
                .source = (uint32_t)source, .group = (uint32_t)index, .at = (uint32_t)i});
        pool_batch_make(b, part, from, f);
        if (f && f->never)
            part->n_found--;
    }
}

static void make_found(void *batch, const struct sd_found *found)
{
    struct pool_batch *b = batch;
    struct pool_part *part = pool_get_part(b->pool, found->part);
    struct target_source from = {.mechanism = found->mechanism, .meta = found->meta, .source = found->source};
    size_t source = b->pool->conf->cluster.by_view ? pool_part_add_source(part, found) : 0;
    for (size_t i = 0; found->groups && i < found->groups->n; i++)
        make_group(b, part, &found->groups->items[i], &from, source, i);
}

static void make_static(struct pool_batch *b)
{
    const struct conf_items *groups = &b->pool->conf->static_configs;
    struct sd_found found = {.mechanism = "static"};
    struct target_source from = {.mechanism = found.mechanism};
    if (groups->n == 0)
        return;
    struct pool_part *part = pool_get_part(b->pool, NULL);
    size_t source = b->pool->conf->cluster.by_view ? pool_part_add_source(part, &found) : 0;
    for (size_t i = 0; i < groups->n; i++)
        make_group(b, part, (const struct static_group *)groups->items + i, &from, source, i);
}

/* One part that has changed. */
static void make_changed(void *batch, const struct sd_found *found)
{
    struct pool_batch *b = batch;
    struct pool_part *part = pool_get_part(b->pool, found->part);
    pool_batch_release(b, part);
    pool_part_clear(b->pool, part);
    make_found(b, found);
    if (part->targets.n == 0 && part->dropped == 0 && part->invalid == 0)
        pool_part_remove(b->pool, part);
}

static void make_all(struct pool_batch *b)
{
    struct pool *p = b->pool;
    for (struct map_entry *e = map_next(&p->parts, NULL); e; e = map_next(&p->parts, e))
        pool_batch_release(b, e->value.p);
    pool_clear_parts(p);
    make_static(b);
    discovery_visit(p->discovery, make_found, b);
}

/* The same as log_found, for pool_check. */
static void warn_of_found(const struct pool_batch *b, void (*warn)(void *arg, const char *text), void *arg)
{
    const struct pool *p = b->pool;
    struct buf line = {0};
    if (p->invalid_total > 0) {
        buf_printf(&line, "job \"%.*s\": invalid target ", STR_ARG(p->conf->job_name));
        buf_add_str(&line, buf_str(&b->first_invalid));
        buf_printf(&line, ": %s", b->invalid_err.text);
        if (p->invalid_total > 1)
            buf_printf(&line, " (and %zu more)", p->invalid_total - 1);
        buf_add_z(&line, "; it is not scraped");
        warn(arg, buf_z(&line));
    }
    if (b->duplicates > 0 && !p->conf->suppress_duplicates) {
        buf_clear(&line);
        buf_printf(&line, "job \"%.*s\": duplicate target ", STR_ARG(p->conf->job_name));
        url_redact(&line, b->first_duplicate->url);
        if (b->duplicates > 1)
            buf_printf(&line, " (and %zu more)", b->duplicates - 1);
        buf_add_z(&line, "; it is scraped once");
        warn(arg, buf_z(&line));
    }
    buf_free(&line);
}

void pool_check(const struct scrape_job *conf, struct target_builder *builder, void (*warn)(void *arg, const char *text),
                void *arg)
{
    struct pool p = {.conf = conf};
    struct pool_sync s = {.builder = builder};
    struct pool_batch b = {.pool = &p, .sync = &s};
    struct sd_checked files;
    discovery_check(&files, &conf->sd, warn, arg);
    make_static(&b);
    for (size_t i = 0; i < files.listing.n; i++)
        make_found(&b, &files.listing.items[i]);
    warn_of_found(&b, warn, arg);
    pool_clear(&p);
    pool_batch_end(&b);
    sd_checked_free(&files);
}

/* ---- changes for the lanes ---- */

static struct scrape_lane_change *change_of(struct pool_sync *s, struct scrape_lane *l)
{
    struct scrape_lane_change **c = &s->changes[l - s->lanes];
    if (*c == NULL)
        *c = scrape_lane_change_new(l);
    return *c;
}

static void pool_note_removed(struct pool_sync *s, struct target *t)
{
    struct scrape_lane_change *c = change_of(s, t->lane);
    if (c->n_removed == c->removed_cap)
        mem_grow(&c->removed, &c->removed_cap, c->n_removed + 1, sizeof *c->removed);
    c->removed[c->n_removed++] = t; /* transfers the pool's reference */
}

static void pool_note(struct target_change **items, size_t *n, size_t *cap, struct target_change what)
{
    target_ref(what.target);
    running_job_ref(what.job);
    if (*n == *cap)
        mem_grow(items, cap, *n + 1, sizeof **items);
    (*items)[(*n)++] = what;
}

/* Whether another member, which announces that it leaves or that this one joins, sent the target's samples before. */
static void pool_find_hold(const struct pool *p, struct pool_sync *s, struct target *t)
{
    int64_t from = t->wanted_lead.from;
    struct cluster_move m;
    if (!p->conf->cluster.hands_over || s->view == NULL || from == INT64_MIN || from >= t->wanted_lead.until ||
        from + HOLD_MS <= s->now || t->wanted_hold.from == from ||
        !cluster_view_move(s->view, t->key, from, p->conf->cluster.replicas, &m) || m.to != s->view->self)
        return;
    struct str id = s->view->members[m.from].id;
    t->wanted_hold = (struct scraper_hold){from, hash_bytes(id.p, id.n)};
    moved_arrives(s->moved, &(struct target_arrival){m.from, from, t->id});
    stats_add(&scrape_stats, CLUSTER_TAKEN, 1);
}

/* The next owner may request its last page. To be called before wanted_lead changes. */
static void pool_note_moved(const struct pool *p, struct pool_sync *s, struct target *t)
{
    struct cluster_span led = t->wanted_lead;
    struct cluster_move m;
    int64_t at = led.until < s->now ? led.until : s->now;
    if (p->conf->cluster.hands_over && s->view && led.from < led.until && led.from <= at &&
        cluster_view_move(s->view, t->key, at, p->conf->cluster.replicas, &m) && m.from == s->view->self)
        moved_add(s->moved, t);
}

/* A target that is kept may have a new interval or settings; its labels and URL are equal. */
static void pool_note_kept(struct pool *p, struct pool_sync *s, struct target *t)
{
    if (t->wanted == p->job && target_settings_equal(&t->wanted_settings, &t->found) &&
        t->wanted_exceeded_limit == p->exceeded_limit && cluster_span_equal(t->wanted_span, t->found_span) &&
        cluster_span_equal(t->wanted_lead, t->found_lead))
        return;
    if (t->wanted_lead.until <= s->now)
        pool_note_moved(p, s, t);
    t->wanted_span = t->found_span;
    t->wanted_lead = t->found_lead;
    t->wanted = p->job;
    t->wanted_settings = t->found;
    t->wanted_exceeded_limit = p->exceeded_limit;
    pool_find_hold(p, s, t);
    struct scrape_lane_change *c = change_of(s, t->lane);
    pool_note(&c->changed, &c->n_changed, &c->changed_cap,
         (struct target_change){t, p->job, t->wanted_settings, p->exceeded_limit, t->wanted_span, t->wanted_lead,
                                t->wanted_hold, NULL});
}

/* A target is scraped by the lane that owns its shard: the writer's shard is id % shards, owned by lane shard % lanes.
 * With more lanes than shards all lanes scrape, and some hand samples over. Existing targets keep their lane, even if a
 * reload changes the number of shards. */
static size_t lane_of_target(const struct pool_sync *s, const struct target *t)
{
    return s->n_lanes <= s->shards ? t->id % s->shards % s->n_lanes : t->id % s->n_lanes;
}

/* On the predecessor's lane, if there is one, where the state of its series is. */
static void note_new(struct pool *p, struct pool_sync *s, struct target *t, struct target *predecessor)
{
    t->wanted = p->job;
    t->wanted_settings = t->found = t->settings;
    t->wanted_span = t->found_span = t->span;
    t->wanted_lead = t->found_lead = t->lead;
    t->wanted_exceeded_limit = p->exceeded_limit;
    pool_find_hold(p, s, t);
    t->lane = predecessor ? predecessor->lane : &s->lanes[lane_of_target(s, t)];
    if (predecessor) {
        t->source = predecessor->source;
        if (!p->conf->cluster.by_view) /* the other members know nothing of it */
            t->place = predecessor->place;
    }
    struct scrape_lane_change *c = change_of(s, t->lane);
    pool_note(&c->added, &c->n_added, &c->added_cap,
         (struct target_change){t, p->job, t->settings, p->exceeded_limit, t->span, t->lead, t->wanted_hold,
                                predecessor});
}

static struct str labels_key(const struct target *t) { return str_n(t->labels.wire.p, t->labels.wire.n); }

/* Pairs each removed target with one added target with equal labels: a reload changed its URL (params, path, scheme),
 * and its series continue. */
static void note_all_new(struct pool_batch *b, const struct target_refs *removed)
{
    struct map by_labels = {0};
    for (size_t i = 0; i < removed->n; i++)
        map_set(&by_labels, labels_key(removed->items[i]), removed->items[i]);
    for (size_t i = 0; i < b->added.n; i++) {
        struct target *t = b->added.items[i], *predecessor = map_get(&by_labels, labels_key(t));
        if (predecessor) {
            predecessor->moved = false; /* its series continue here, whoever owned it, and its scrape ends now */
            map_set(&by_labels, labels_key(t), NULL);
        }
        note_new(b->pool, b->sync, t, predecessor);
    }
    map_free(&by_labels);
}

/* Whether the series of a target that this member does not find any more, or does not own, continue elsewhere, now or
 * later. If other owners keep scrapes for the first one, the first one ends the series. */
static bool target_has_moved(const struct pool_batch *b, const struct target *t)
{
    const struct pool_sync *s = b->sync;
    const struct scrape_cluster *c = &b->pool->conf->cluster;
    unsigned senders = c->standby ? 1 : c->replicas;
    return c->by_view && s->view && cluster_view_rank(s->view, t->key, s->now, c->replicas) >= senders;
}

/* Those that no part uses any more. */
static struct target_refs take_removed(struct pool_batch *b)
{
    struct target_refs removed = {0};
    for (size_t i = 0; i < b->released.n; i++) {
        struct target *t = b->released.items[i];
        if (t->uses > 0 || t->at == SIZE_MAX)
            continue;
        pool_take_target(b->pool, t);
        t->moved = target_has_moved(b, t);
        if (t->moved)
            pool_note_moved(b->pool, b->sync, t);
        stats_add(&scrape_stats, CLUSTER_MOVED, t->moved);
        target_refs_add(&removed, t);
    }
    return removed;
}

void pool_batch_note_changes(struct pool_batch *b)
{
    struct pool *p = b->pool;
    struct target_refs removed = take_removed(b);
    int64_t limit = p->conf->target_limit, exceeded = limit > 0 && p->n > (size_t)limit ? limit : 0;
    bool all = exceeded != p->exceeded_limit;
    p->exceeded_limit = exceeded;
    note_all_new(b, &removed);
    for (size_t i = 0; !all && i < b->kept.n; i++)
        pool_note_kept(p, b->sync, b->kept.items[i]);
    for (size_t i = 0; all && i < p->n; i++)
        pool_note_kept(p, b->sync, p->targets[i]);
    for (size_t i = 0; i < removed.n; i++)
        pool_note_removed(b->sync, removed.items[i]);
    mem_free(removed.items);
}

void pool_batch_end(struct pool_batch *b)
{
    mem_free(b->released.items);
    mem_free(b->added.items);
    mem_free(b->kept.items);
    buf_free(&b->first_invalid);
}

void pool_sync(struct pool *p, struct pool_sync *s, enum sd_change change)
{
    struct pool_batch b = {.pool = p, .sync = s};
    size_t before = p->n;
    if (change == SD_UNCHANGED)
        return;
    mutex_lock(s->mutex);
    if (change == SD_ALL)
        make_all(&b);
    else
        discovery_visit_changed(p->discovery, make_changed, &b);
    log_found(&b);
    pool_batch_note_changes(&b);
    mutex_unlock(s->mutex);
    pool_batch_end(&b);
    log_emptied(p, before);
    stats_add(&scrape_stats, P_TARGET_LIMIT, p->exceeded_limit > 0);
}

void pool_end(struct pool *p, struct pool_sync *s)
{
    for (size_t i = 0; i < p->n; i++)
        pool_note_removed(s, p->targets[i]);
    p->n = 0;
}
