// SPDX-License-Identifier: Apache-2.0
/* The targets of a job: builds them, compares them with the previous ones, and records the changes for each lane. */
#include "scraper/pool.h"

#include "base/telemetry/log.h"
#include "base/text/url.h"
#include "scraper/scrape_stats.h"


struct pool *pool_new(const struct scrape_job *conf, struct job_set *g, struct running_job *job, struct sd_manager *sd)
{
    struct pool *p = mem_zalloc(sizeof *p);
    p->discovery = discovery_new(sd, (struct sd_owner){"job", conf->job_name});
    pool_change(p, conf, g, job);
    return p;
}

void pool_change(struct pool *p, const struct scrape_job *conf, struct job_set *g, struct running_job *job)
{
    discovery_set(p->discovery, &conf->sd);
    p->conf = conf;
    running_job_unref(p->job);
    p->job = job;
    job_set_ref(g);
    if (p->job_set)
        job_set_unref(p->job_set);
    p->job_set = g;
}

static void clear_dropped(struct pool *p)
{
    for (size_t i = 0; i < p->n_dropped; i++) {
        mem_free((uint8_t *)p->dropped[i].discovered.p);
        mem_free(p->dropped[i].error);
    }
    p->n_dropped = p->dropped_total = p->invalid_total = 0;
}

void pool_show_discovery(struct pool *p, struct mutex *mutex)
{
    struct sd_status now = discovery_status(p->discovery), before;
    mutex_lock(mutex); /* other threads read it */
    before = p->sd_status;
    p->sd_status = now;
    mutex_unlock(mutex);
    sd_status_free(&before);
}

bool pool_take_news(struct pool *p, struct mutex *mutex)
{
    bool changed = false;
    if (!discovery_take_news(p->discovery, &changed))
        return false;
    pool_show_discovery(p, mutex);
    return changed;
}

void pool_free(struct pool *p)
{
    discovery_free(p->discovery);
    sd_status_free(&p->sd_status);
    for (size_t i = 0; i < p->n; i++)
        target_unref(p->targets[i]);
    mem_free(p->targets);
    clear_dropped(p);
    mem_free(p->dropped);
    running_job_unref(p->job);
    job_set_unref(p->job_set);
    mem_free(p);
}

/* ---- targets ---- */

struct found_targets {
    struct target **items; size_t n, cap;
    struct map ids;
    size_t duplicates;
    struct str first_invalid; struct err invalid_err; /* the first invalid address and its error */
    const struct target *first_duplicate;             /* one of items */
};

static void drop_target(struct pool *p, struct labels discovered, const char *error)
{
    *(error ? &p->invalid_total : &p->dropped_total) += 1;
    if (p->n_dropped == DROPPED_MAX)
        return;
    if (p->n_dropped == p->dropped_cap)
        mem_grow(&p->dropped, &p->dropped_cap, p->n_dropped + 1, sizeof *p->dropped);
    struct pool_dropped *d = &p->dropped[p->n_dropped++];
    *d = (struct pool_dropped){discovered, error ? mem_strdup(error) : NULL};
    d->discovered.p = mem_dup(discovered.p, discovered.n);
}

static struct str id_key(const struct target *t) { return str_n(&t->id, sizeof t->id); }

static void found_add(struct found_targets *f, struct target *t)
{
    bool added;
    struct map_entry *e = map_add(&f->ids, id_key(t), &added);
    if (!added) {
        if (f->duplicates++ == 0)
            f->first_duplicate = e->value.p;
        target_unref(t);
        return;
    }
    e->value.p = t;
    if (f->n == f->cap)
        mem_grow(&f->items, &f->cap, f->n + 1, sizeof *f->items);
    f->items[f->n++] = t;
}

/* Logs one line for all invalid targets of a job, and one for all duplicates: there may be thousands. */
static void log_found(const struct pool *p, const struct found_targets *f)
{
    struct str job = p->conf->job_name;
    struct buf shown = {0};
    if (p->invalid_total > 0) {
        url_redact_address(&shown, f->first_invalid);
        log_warn("scrape", "invalid target; not scraping it", LOG_STR("job", job), LOG_STR("address", buf_str(&shown)),
                 "err", f->invalid_err.text, LOG_U64("invalid_targets", p->invalid_total));
    }
    if (f->duplicates > 0 && !p->conf->suppress_duplicates) {
        buf_clear(&shown);
        url_redact(&shown, f->first_duplicate->url);
        log_warn("scrape", "duplicate target; scraping it once", LOG_STR("job", job),
                 LOG_STR("target", buf_str(&shown)), LOG_U64("duplicates", f->duplicates));
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

static void note_invalid(struct pool *p, struct found_targets *f, const struct target_builder *m, struct str address,
                         const struct err *err)
{
    if (p->invalid_total == 0) {
        f->first_invalid = address;
        f->invalid_err = *err;
    }
    p->invalid_ever++;
    drop_target(p, m->discovered, err->text);
}

static void make_group(struct pool *p, struct pool_sync *s, struct found_targets *f, const struct static_group *g,
                       struct target_source *from)
{
    from->labels = g->labels;
    for (size_t i = 0; i < g->targets.n; i++) {
        struct target *t;
        struct err err;
        from->address = g->targets.items[i];
        switch (target_make(s->builder, p->conf, s->seed, from, &t, &err)) {
        case TARGET_CREATED: found_add(f, t); break;
        case TARGET_DROPPED: drop_target(p, s->builder->discovered, NULL); break;
        case TARGET_INVALID: note_invalid(p, f, s->builder, from->address, &err);
        }
    }
}

static void find_all(struct pool *p, struct pool_sync *s, struct found_targets *f, const struct sd_listing *found)
{
    struct target_source from = {.mechanism = "static"};
    for (size_t i = 0; i < p->conf->static_configs.n; i++)
        make_group(p, s, f, (const struct static_group *)p->conf->static_configs.items + i, &from);
    for (size_t i = 0; i < found->n; i++) {
        const struct sd_groups *groups = found->items[i].groups;
        from.mechanism = found->items[i].mechanism;
        from.meta = found->items[i].meta;
        from.source = found->items[i].source;
        for (size_t g = 0; groups && g < groups->n; g++)
            make_group(p, s, f, &groups->items[g], &from);
    }
}

/* The same as log_found, for pool_check. */
static void warn_of_found(const struct pool *p, const struct found_targets *f, void (*warn)(void *arg, const char *text),
                          void *arg)
{
    struct buf line = {0};
    if (p->invalid_total > 0) {
        buf_printf(&line, "job \"%.*s\": invalid target ", STR_ARG(p->conf->job_name));
        url_redact_address(&line, f->first_invalid);
        buf_printf(&line, ": %s", f->invalid_err.text);
        if (p->invalid_total > 1)
            buf_printf(&line, " (and %zu more)", p->invalid_total - 1);
        buf_add_z(&line, "; it is not scraped");
        warn(arg, buf_z(&line));
    }
    if (f->duplicates > 0 && !p->conf->suppress_duplicates) {
        buf_clear(&line);
        buf_printf(&line, "job \"%.*s\": duplicate target ", STR_ARG(p->conf->job_name));
        url_redact(&line, f->first_duplicate->url);
        if (f->duplicates > 1)
            buf_printf(&line, " (and %zu more)", f->duplicates - 1);
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
    struct found_targets f = {0};
    struct sd_checked files;
    discovery_check(&files, &conf->sd, warn, arg);
    find_all(&p, &s, &f, &files.listing);
    warn_of_found(&p, &f, warn, arg);
    for (size_t i = 0; i < f.n; i++)
        target_unref(f.items[i]);
    mem_free(f.items);
    map_free(&f.ids);
    clear_dropped(&p);
    mem_free(p.dropped);
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

/* The target found again may have a new interval or settings; its labels and URL are equal. */
static void pool_note_kept(struct pool *p, struct pool_sync *s, struct target *t, struct target *again,
                           int64_t exceeded_limit)
{
    t->seen = true;
    target_take_discovered(t, again);
    if (t->wanted == p->job && t->wanted_interval == again->interval && t->wanted_timeout == again->timeout &&
        t->wanted_exceeded_limit == exceeded_limit)
        return;
    t->wanted = p->job;
    t->wanted_interval = again->interval;
    t->wanted_timeout = again->timeout;
    t->wanted_exceeded_limit = exceeded_limit;
    struct scrape_lane_change *c = change_of(s, t->lane);
    pool_note(&c->changed, &c->n_changed, &c->changed_cap,
         (struct target_change){t, p->job, again->interval, again->timeout, exceeded_limit, NULL});
}

/* A target is scraped by the lane that owns its shard: the writer's shard is id % shards, owned by lane shard % lanes.
 * With more lanes than shards all lanes scrape, and some hand samples over. Existing targets keep their lane, even if a
 * reload changes the number of shards. */
static size_t lane_of_target(const struct pool_sync *s, const struct target *t)
{
    return s->n_lanes <= s->shards ? t->id % s->shards % s->n_lanes : t->id % s->n_lanes;
}

/* On the predecessor's lane, if there is one, where the state of its series is. */
static void note_new(struct pool *p, struct pool_sync *s, struct target *t, struct target *predecessor,
                     int64_t exceeded_limit)
{
    t->seen = true;
    t->wanted = p->job;
    t->wanted_interval = t->interval;
    t->wanted_timeout = t->timeout;
    t->wanted_exceeded_limit = exceeded_limit;
    t->lane = predecessor ? predecessor->lane : &s->lanes[lane_of_target(s, t)];
    if (predecessor) {
        t->source = predecessor->source;
        t->place = predecessor->place;
    }
    struct scrape_lane_change *c = change_of(s, t->lane);
    pool_note(&c->added, &c->n_added, &c->added_cap,
         (struct target_change){t, p->job, t->interval, t->timeout, exceeded_limit, predecessor});
}

static struct str labels_key(const struct target *t) { return str_n(t->labels.wire.p, t->labels.wire.n); }

/* Pairs each removed target with one added target with equal labels: a reload changed its URL (params, path, scheme),
 * and its series continue. */
static void note_all_new(struct pool *p, struct pool_sync *s, const struct found_targets *f, int64_t exceeded_limit)
{
    struct map removed = {0};
    for (size_t i = 0; i < p->n; i++)
        if (!p->targets[i]->seen)
            map_set(&removed, labels_key(p->targets[i]), p->targets[i]);
    for (size_t i = 0; i < f->n; i++) {
        struct target *t = f->items[i];
        if (t->seen)
            continue;
        struct target *predecessor = map_get(&removed, labels_key(t));
        if (predecessor)
            map_set(&removed, labels_key(t), NULL);
        note_new(p, s, t, predecessor, exceeded_limit);
    }
    map_free(&removed);
}

/* Existing targets replace their newly built equals. */
static void pool_compare_targets(struct pool *p, struct pool_sync *s, struct found_targets *f, int64_t exceeded_limit)
{
    struct map before = {0};
    for (size_t i = 0; i < p->n; i++) {
        p->targets[i]->seen = false;
        map_set(&before, id_key(p->targets[i]), p->targets[i]);
    }
    for (size_t i = 0; i < f->n; i++) {
        struct target *old = map_get(&before, id_key(f->items[i]));
        if (old == NULL)
            continue;
        pool_note_kept(p, s, old, f->items[i], exceeded_limit);
        target_unref(f->items[i]);
        f->items[i] = old;
    }
    map_free(&before);
    note_all_new(p, s, f, exceeded_limit);
    for (size_t i = 0; i < p->n; i++)
        if (!p->targets[i]->seen)
            pool_note_removed(s, p->targets[i]);
}

void pool_sync(struct pool *p, struct pool_sync *s)
{
    struct found_targets f = {0};
    struct sd_listing found = discovery_list(p->discovery);
    size_t before = p->n;
    mutex_lock(s->mutex);
    clear_dropped(p);
    find_all(p, s, &f, &found);
    log_found(p, &f);
    int64_t limit = p->conf->target_limit, exceeded_limit = limit > 0 && f.n > (size_t)limit ? limit : 0;
    map_free(&f.ids);
    pool_compare_targets(p, s, &f, exceeded_limit);
    mem_free(p->targets);
    p->targets = f.items;
    p->n = f.n;
    mutex_unlock(s->mutex);
    sd_listing_free(&found);
    log_emptied(p, before);
    stats_add(&scrape_stats, P_TARGET_LIMIT, exceeded_limit > 0);
}

void pool_end(struct pool *p, struct pool_sync *s)
{
    for (size_t i = 0; i < p->n; i++)
        pool_note_removed(s, p->targets[i]);
    p->n = 0;
}
