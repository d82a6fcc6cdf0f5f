// SPDX-License-Identifier: Apache-2.0
/* Applies configurations, follows discovery, stops. Main thread. */
#include "scraper/scraper_internal.h"

#include "base/hash.h"
#include "scraper/scrape_stats.h"

#include <sys/resource.h>

enum { STOP_MS = 2000 };
/* Percent of the descriptors. A new connection may need two; the rest is for everything else. The lanes have about
 * equal numbers of targets, and one that has more idle connections than it may keep would close each before its use. */
enum { SCRAPES_SHARE = 16, IDLE_SHARE = 66, FILES_A_LANE_MIN = 16 };

static void scraper_on_news(void *arg);
static void scraper_view_due(struct loop_timer *t);
static void scraper_build_due(struct loop_task *t);

static void flush_failure_logs(struct loop_timer *t)
{
    struct scraper *s = CONTAINER(t, struct scraper, flush);
    for (size_t i = 0; i < s->n_pools; i++)
        failure_log_flush(&s->pools[i]->job->failures, loop_mono(s->env.main));
    loop_timer_in(s->env.main, t, FAILURE_LOG_FLUSH_MS);
}

static unsigned scraper_files_a_lane(unsigned n_lanes, unsigned share)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return FILES_A_LANE_MIN;
    rlim_t max = files.rlim_cur / 100 * share / n_lanes;
    return max < FILES_A_LANE_MIN ? FILES_A_LANE_MIN : max > INT32_MAX ? INT32_MAX : (unsigned)max;
}

struct scraper *scraper_new(const struct scraper_env *env)
{
    unsigned max_inflight = env->max_inflight ? env->max_inflight : scraper_files_a_lane(env->n_lanes, SCRAPES_SHARE);
    unsigned max_idle = scraper_files_a_lane(env->n_lanes, IDLE_SHARE);
    struct scraper *s = mem_zalloc(sizeof *s);
    s->env = *env;
    s->lanes = mem_zalloc(env->n_lanes * sizeof *s->lanes);
    for (unsigned i = 0; i < env->n_lanes; i++)
        scrape_lane_init(&s->lanes[i], env->lanes[i], env->sinks[i], env->user_agent, max_inflight,
                         max_idle, env->n_lanes);
    atomic_init(&s->fence, INT64_MAX);
    for (unsigned i = 0; i < env->n_lanes; i++)
        s->lanes[i].fence = &s->fence;
    mutex_init(&s->mutex, RANK_SCRAPER);
    moved_init(&s->moved, env->main, &s->mutex);
    stats_kept_init(&s->kept, 1);
    s->sd = sd_manager_new(&(struct sd_manager_env){.main = env->main, .kube = env->kube, .news = scraper_on_news, .arg = s});
    s->flush.run = flush_failure_logs;
    s->view_due.run = scraper_view_due;
    s->build_due.run = scraper_build_due;
    loop_timer_in(env->main, &s->flush, FAILURE_LOG_FLUSH_MS);
    scrape_stats_register();
    stats_collector(scraper_collect, s);
    return s;
}

/* ---- sending changes to the lanes ---- */

static struct pool_sync sync_start(struct scraper *s)
{
    return (struct pool_sync){.mutex = &s->mutex, .lanes = s->lanes, .n_lanes = s->env.n_lanes, .shards = s->shards,
                              .builder = &s->builder, .seed = s->seed, .view = s->view, .now = loop_now(s->env.main),
                              .moved = &s->moved,
                              .changes = mem_zalloc(s->env.n_lanes * sizeof(struct scrape_lane_change *))};
}

static void scraper_announce_arrivals(struct scraper *s)
{
    struct moved_targets *m = &s->moved;
    for (size_t i = 0; i < m->n_arrivals && s->env.moves; i++)
        s->env.moves(s->env.moves_arg, s->view, m->arrivals[i].from, m->arrivals[i].time, m->arrivals[i].id);
    m->n_arrivals = 0;
}

static void sync_send(struct scraper *s, struct pool_sync *sync)
{
    for (unsigned i = 0; i < sync->n_lanes; i++)
        if (sync->changes[i])
            scrape_lane_change_post(sync->changes[i]);
    mem_free(sync->changes);
    scraper_announce_arrivals(s);
}

/* ---- discovery ---- */

static void scraper_on_news(void *arg)
{
    struct scraper *s = arg;
    struct pool_sync sync = sync_start(s);
    for (size_t i = 0; i < s->n_pools; i++) {
        enum sd_change change = pool_take_news(s->pools[i], &s->mutex);
        if (change != SD_UNCHANGED)
            pool_sync(s->pools[i], &sync, change);
    }
    sync_send(s, &sync);
}

/* ---- the cluster ---- */

/* A slice. */
static void scraper_build_due(struct loop_task *t)
{
    struct scraper *s = CONTAINER(t, struct scraper, build_due);
    struct pool_sync sync = sync_start(s);
    int64_t until = loop_slice_end(s->env.main);
    bool complete = true;
    for (size_t i = 0; i < s->n_pools; i++)
        complete = pool_build_due(s->pools[i], &sync, until) && complete;
    sync_send(s, &sync);
    if (!complete)
        loop_post(s->env.main, t);
}

static void scraper_follow_view(struct scraper *s)
{
    struct loop *main = s->env.main;
    struct pool_sync sync = sync_start(s);
    for (size_t i = 0; i < s->n_pools; i++)
        if (s->pools[i]->conf->cluster.by_view)
            pool_follow_view(s->pools[i], &sync);
    sync_send(s, &sync);
    loop_post(main, &s->build_due);
    int64_t now = loop_now(main), next = cluster_view_next_change(s->view, now);
    if (next == INT64_MAX)
        loop_timer_stop(main, &s->view_due);
    else
        loop_timer_in(main, &s->view_due, next - now + 1);
}

static void scraper_view_due(struct loop_timer *t) { scraper_follow_view(CONTAINER(t, struct scraper, view_due)); }

void scraper_set_view(struct scraper *s, struct cluster_view *view)
{
    struct cluster_view *before = s->view;
    mutex_lock(&s->mutex);
    s->view = cluster_view_ref(view);
    mutex_unlock(&s->mutex);
    cluster_view_unref(before);
    if (s->stopping == NULL)
        scraper_follow_view(s);
}

void scraper_set_fence(struct scraper *s, int64_t until_mono)
{
    atomic_store_explicit(&s->fence, until_mono, memory_order_relaxed);
}

int64_t scraper_complete(const struct scraper *s)
{
    int64_t complete = INT64_MAX;
    for (unsigned i = 0; i < s->env.n_lanes; i++) {
        int64_t of_lane = standby_complete(&s->lanes[i].standby);
        complete = of_lane < complete ? of_lane : complete;
    }
    return complete;
}

void scraper_await_files(struct scraper *s, struct loop_task *task) { sd_manager_await(s->sd, task); }

/* ---- apply ---- */

static struct pool *find_pool(const struct scraper *s, struct str name)
{
    for (size_t i = 0; i < s->n_pools; i++)
        if (str_eq(s->pools[i]->conf->job_name, name))
            return s->pools[i];
    return NULL;
}

static bool named_before(const struct scrape_job *jobs, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (str_eq(jobs[k].job_name, jobs[i].job_name))
            return true;
    return false;
}

/* Creates one running_job per job, or reuses the previous one if nothing that affects a running target has changed. */
static bool make_runs(struct scraper *s, const struct scrape_job *jobs, size_t n, struct job_set *g,
                      struct running_job **runs, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (named_before(jobs, i))
            return conf_duplicate(NULL, "scrape_configs", "job_name", jobs[i].job_name, err);
        struct pool *before = find_pool(s, jobs[i].job_name);
        bool same = before && before->job->conf->fingerprint == jobs[i].fingerprint;
        runs[i] = same ? running_job_ref(before->job) : running_job_new(g, &jobs[i], err);
        if (runs[i] == NULL)
            return false;
        struct line_file *file = failure_files_want(&s->failure_files, jobs[i].scrape_failure_log_file);
        if (!same) /* the fingerprint has the path */
            runs[i]->failure_file = file;
    }
    return true;
}

static uint64_t seed_of(const struct str_map *labels)
{
    uint64_t seed = 0;
    for (size_t i = 0; i < labels->n; i++) {
        struct str name = labels->keys[i], value = labels->values[i];
        seed += hash_bytes(name.p, name.n) * 31 + hash_bytes(value.p, value.n);
    }
    return seed;
}

static struct pool *take_pool(struct scraper *s, struct str name)
{
    for (size_t i = 0; i < s->n_pools; i++) {
        struct pool *p = s->pools[i];
        if (!str_eq(p->conf->job_name, name))
            continue;
        s->pools[i] = s->pools[--s->n_pools];
        return p;
    }
    return NULL;
}

static struct pool *scraper_add_pool(struct scraper *s, const struct scrape_job *conf, struct job_set *g,
                                     struct running_job *run)
{
    struct pool *p = pool_new(conf, g, run, s->sd);
    double invalid_ever;
    stats_kept_take(&s->kept, conf->job_name, &invalid_ever);
    p->invalid_ever = (uint64_t)invalid_ever;
    return p;
}

static void scraper_end_pool(struct scraper *s, struct pool *p, struct pool_sync *sync)
{
    double invalid_ever = (double)p->invalid_ever;
    stats_keep(&s->kept, p->conf->job_name, &invalid_ever);
    pool_end(p, sync);
    pool_free(p);
}

/* Reuses existing pools in the new order, creates new ones and removes the rest. changed: of which jobs. */
static void exchange_pools(struct scraper *s, const struct scrape_job *jobs, size_t n, struct job_set *g,
                           struct running_job **runs, struct pool_sync *sync, bool *changed)
{
    struct pool **pools = mem_zalloc((n + 1) * sizeof *pools);
    for (size_t i = 0; i < n; i++) {
        struct pool *p = take_pool(s, jobs[i].job_name);
        changed[i] = p == NULL || pool_change(p, &jobs[i], g, runs[i]);
        pools[i] = p ? p : scraper_add_pool(s, &jobs[i], g, runs[i]);
    }
    for (size_t i = 0; i < s->n_pools; i++)
        scraper_end_pool(s, s->pools[i], sync);
    mem_free(s->pools);
    s->pools = pools;
    s->n_pools = n;
}

static void scraper_install_jobs(struct scraper *s, const struct scrape_job *jobs, size_t n, struct job_set *g,
                                 struct running_job **runs, bool reseeded)
{
    struct pool_sync sync = sync_start(s);
    bool *changed = mem_zalloc((n + 1) * sizeof *changed);
    mutex_lock(&s->mutex);
    exchange_pools(s, jobs, n, g, runs, &sync, changed);
    mutex_unlock(&s->mutex);
    for (size_t i = 0; i < n; i++) {
        if (!changed[i] && !reseeded)
            continue;
        pool_show_discovery(s->pools[i], &s->mutex);
        pool_sync(s->pools[i], &sync, SD_ALL);
    }
    mem_free(changed);
    sync_send(s, &sync);
    sd_manager_start(s->sd);
}

bool scraper_apply(struct scraper *s, const struct scrape_job *jobs, size_t n, const struct scrape_globals *g,
                   void (*release)(void *arg), void *release_arg, struct err *err)
{
    struct job_set *job_set = job_set_new(s->env.main);
    struct running_job **runs = mem_zalloc((n + 1) * sizeof *runs);
    failure_files_begin(&s->failure_files);
    bool ok = make_runs(s, jobs, n, job_set, runs, err);
    if (ok) {
        failure_files_open(&s->failure_files);
        job_set->release = release;
        job_set->arg = release_arg;
        uint64_t seed = seed_of(&g->external_labels);
        bool reseeded = seed != s->seed;
        s->seed = seed;
        s->shards = g->shards > 0 ? g->shards : 8;
        s->stale_on_shutdown = g->stale_on_shutdown;
        for (unsigned i = 0; i < s->env.n_lanes; i++)
            atomic_store(&s->lanes[i].metadata_ms, g->metadata_ms);
        scraper_install_jobs(s, jobs, n, job_set, runs, reseeded);
    }
    for (size_t i = 0; !ok && i < n; i++)
        running_job_unref(runs[i]);
    mem_free(runs);
    job_set_unref(job_set);
    return ok;
}

void scraper_check(const struct scrape_job *jobs, size_t n, void (*warn)(void *arg, const char *text), void *arg)
{
    struct target_builder builder = {0};
    for (size_t i = 0; i < n; i++)
        pool_check(&jobs[i], &builder, warn, arg);
    target_builder_free(&builder);
}

bool scraper_ready(struct scraper *s) { return sd_manager_ready(s->sd); }

/* ---- stop ---- */

static void lane_stopped(struct loop_task *task)
{
    struct stopping *st = CONTAINER(task, struct stopping, task);
    struct scraper *s = st->scraper;
    if (++s->stopped == s->env.n_lanes && s->stop_done)
        s->stop_done(s->stop_arg);
}

/* Everything that the lane had posted to itself before it stopped has run. */
static void lane_drained(struct loop_task *task)
{
    struct stopping *st = CONTAINER(task, struct stopping, task);
    task->run = lane_stopped;
    loop_post(st->scraper->env.main, task);
}

static void stop_lane(struct loop_task *task)
{
    struct stopping *st = CONTAINER(task, struct stopping, task);
    const struct scraper *s = st->scraper;
    if (scrape_lane_stop(st->lane, s->env.stop_ms > 0 ? s->env.stop_ms : STOP_MS, s->stale_on_shutdown))
        task->run = lane_drained;
    loop_post(st->lane->loop, task);
}

void scraper_stop(struct scraper *s, void (*done)(void *arg), void *arg)
{
    sd_manager_stop(s->sd); /* lanes that have stopped accept no targets */
    loop_timer_stop(s->env.main, &s->flush);
    loop_timer_stop(s->env.main, &s->view_due);
    loop_unpost(s->env.main, &s->build_due);
    loop_timer_stop(s->env.main, &s->moved.due);
    s->stop_done = done;
    s->stop_arg = arg;
    s->stopping = mem_zalloc(s->env.n_lanes * sizeof *s->stopping);
    for (unsigned i = 0; i < s->env.n_lanes; i++) {
        s->stopping[i] = (struct stopping){.task.run = stop_lane, .scraper = s, .lane = &s->lanes[i]};
        loop_post(s->lanes[i].loop, &s->stopping[i].task);
    }
}

bool scraper_abandoned(const struct scraper *s)
{
    bool abandoned = false;
    for (unsigned i = 0; i < s->env.n_lanes; i++)
        abandoned = abandoned || s->lanes[i].abandoned;
    return abandoned;
}

void scraper_free(struct scraper *s)
{
    stats_collector_remove(scraper_collect, s);
    for (size_t i = 0; i < s->n_pools; i++) {
        s->pools[i]->job_set->synchronous = s->pools[i]->job->job_set->synchronous = true;
        pool_free(s->pools[i]);
    }
    sd_manager_free(s->sd);
    moved_free(&s->moved);
    cluster_view_unref(s->view);
    for (unsigned i = 0; i < s->env.n_lanes; i++)
        scrape_lane_free(&s->lanes[i]);
    failure_files_free(&s->failure_files);
    target_builder_free(&s->builder);
    stats_kept_free(&s->kept);
    mutex_free(&s->mutex);
    mem_free(s->pools);
    mem_free(s->stopping);
    mem_free(s->lanes);
    mem_free(s);
}
