// SPDX-License-Identifier: Apache-2.0
/* Applies a new configuration; on the main thread, with the lanes doing the work.
 *
 * writer_prepare does everything that can fail (profiles, new queue directories, new generations) without changing the
 * topology in use; writer_cancel undoes it. writer_commit cannot fail. It rolls the new topology out in phases; a phase
 * begins when all lanes have finished the one before:
 *
 * 1. ADOPTING: every lane seals its pending blocks, in slices, and adopts its new shards and settings, before another
 *    lane can send it samples for them.
 * 2. SWITCHING: every lane seals what has become pending since, for the old topology's destinations, and uses the new
 *    topology.
 * 3. IN_FORCE: every lane learns that no lane writes to older generations any more (writer_lane_settle), and
 *    destinations that the new topology does not have are retired.
 *
 * Destinations that remain are changed in place, so that samples always have a queue. Reloads may overlap: phase 3 runs
 * once, for the newest topology, when all rollouts have finished.
 */
#include "base/telemetry/log.h"
#include "base/text/url.h"
#include "writer/failover.h"
#include "writer/refill.h"
#include "writer/writer_internal.h"

/* --- prepare ------------------------------------------------------------------------------------------------------ */

struct draft { /* the new settings of one destination */
    const struct destination_conf *conf;
    struct destination *dest;
    bool is_new;            /* opened by this change, not yet in use */
    bool named;             /* gets its name by this change */
    struct dest_settings *settings;
    const struct queue_generation *grown; /* created by this change; NULL = the number of shards is unchanged */
};
struct writer_change {
    struct writer *w;
    struct writer_plan from; /* its arrays are the caller's */
    struct draft *drafts; size_t n;
    struct recent *recent; /* a reference */
    struct topology *topology;
};

bool writer_same_destination(const struct destination_conf *a, const struct destination_conf *b)
{
    char *one = destination_identity(a), *other = destination_identity(b);
    bool same = strcmp(one, other) == 0;
    mem_free(one);
    mem_free(other);
    return same;
}

bool writer_check_destination(const struct destination_conf *all, size_t i, struct err *err)
{
    const struct destination_conf *c = &all[i];
    size_t k = 0;
    while (k < i && !writer_same_destination(c, &all[k]))
        k++;
    if (k == i)
        return true;
    if (c->name.n > 0)
        return conf_duplicate(NULL, "remote_write", "name", c->name, err);
    struct buf url = {0};
    url_redact(&url, c->url);
    err_set(err, ERR_BAD_DATA, "remote_write: duplicate url %s (query strings are ignored); set a unique name "
            "for each entry, or remove one", buf_z(&url));
    buf_free(&url);
    return false;
}

static bool check_names(const struct writer_plan *topology, struct err *err)
{
    for (size_t i = 0; i < topology->n; i++)
        if (!writer_check_destination(topology->destinations, i, err))
            return false;
    return true;
}

static struct destination *writer_find_destination(const struct writer *w, const char *identity)
{
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->destinations[i]->identity, identity) == 0)
            return w->destinations[i];
    return NULL;
}

static struct destination *writer_new_destination(struct writer *w, const struct destination_conf *c, size_t at,
                                                  struct queue *queue)
{
    struct destination *d = destination_new(c, at, &w->env, queue);
    for (unsigned i = 0; i < w->env.n_lanes; i++)
        d->per_lane[i] = destination_lane_new(d, i, w->env.lanes[i]);
    return d;
}

/* All new queues are opened side by side. */
static bool begin_new_queues(struct writer *w, const struct writer_plan *from, struct err *err)
{
    bool ok = true;
    for (size_t i = 0; i < from->n && ok; i++) {
        char *identity = destination_identity(&from->destinations[i]);
        ok = writer_find_destination(w, identity)
             || (retire_wait(w, identity, err) && late_begin(w, &from->destinations[i], identity, err));
        mem_free(identity);
    }
    return ok;
}

/* True with dest NULL: its queue hangs. */
static bool draft_new_destination(struct writer *w, const char *identity, size_t at, struct draft *out, struct err *err)
{
    struct queue *queue;
    enum queue_opened opened = w->queue_lock ? late_take(w, identity, &queue, err) : QUEUE_HANGS;
    if (opened == QUEUE_OPEN)
        out->dest = writer_new_destination(w, out->conf, at, queue);
    return opened != QUEUE_FAILED;
}

static bool draft_destination(struct writer *w, const struct destination_conf *c, size_t at, struct draft *out,
                              struct err *err)
{
    out->conf = c;
    out->settings = destination_settings(c, err);
    if (out->settings == NULL)
        return false;
    char *identity = destination_identity(c);
    out->dest = writer_find_destination(w, identity);
    out->is_new = out->dest == NULL;
    bool ok = !out->is_new || draft_new_destination(w, identity, at, out, err);
    mem_free(identity);
    return ok && (out->dest == NULL || destination_grow(out->dest, (unsigned)c->queue.shards, &out->grown, err));
}

static void discard_draft(struct draft *d)
{
    if (d->settings)
        dest_settings_free(d->settings);
    if (d->grown) {
        queue_shrink(d->dest->queue);
        drain_end_request(&d->dest->drain);
    }
    if (!d->is_new || d->dest == NULL)
        return;
    for (unsigned i = 0; i < d->dest->n_lanes; i++)
        destination_lane_free(d->dest->per_lane[i]);
    for (size_t g = 0; g < d->dest->n_generations; g++)
        for (unsigned i = 0; i < d->dest->generations[g]->n_shards; i++)
            shard_free(d->dest->generations[g]->shards[i]);
    destination_close(d->dest);
}

static struct recent *recent_for(struct writer *w, const struct recent_conf *c)
{
    if (c == NULL)
        return NULL;
    bool stays = w->recent && (w->recent_conf.retention == 0) == (c->retention == 0);
    return stays ? recent_ref(w->recent) : recent_new(c, w->env.n_lanes, loop_now(w->env.main));
}

/* NULL: the destination is no backup, or the queue of its primary hangs. */
static struct destination *change_primary(const struct writer_change *c, const struct destination_conf *of)
{
    for (size_t i = 0; i < c->n; i++)
        if (of->backup_of.n > 0 && str_eq(c->drafts[i].conf->name, of->backup_of))
            return c->drafts[i].dest;
    return NULL;
}

static struct topology *topology_for_change(const struct writer_change *c, struct err *err)
{
    struct destination **dests = mem_alloc((c->n + 1) * sizeof *dests);
    struct backup_pair **pairs = mem_alloc((c->n + 1) * sizeof *pairs);
    for (size_t i = 0; i < c->n; i++) {
        struct destination *primary = change_primary(c, c->drafts[i].conf);
        dests[i] = c->drafts[i].dest;
        pairs[i] = primary && dests[i] ? failover_pair(c->w, primary, dests[i]) : NULL;
    }
    struct topology *p = topology_new(&c->from, c->w->topology, dests, pairs, c->recent, err);
    for (size_t i = 0; i < c->n; i++)
        backup_pair_unref(pairs[i]);
    mem_free(pairs);
    mem_free(dests);
    return p;
}

static bool open_queues(struct writer *w, const struct writer_plan *from, struct err *err)
{
    enum queue_opened locked = from->n > 0 ? late_lock(w, err) : QUEUE_OPEN;
    return locked == QUEUE_HANGS || (locked == QUEUE_OPEN && begin_new_queues(w, from, err));
}

struct writer_change *writer_prepare(struct writer *w, const struct writer_plan *from, struct err *err)
{
    if (!check_names(from, err) || !open_queues(w, from, err)) {
        late_sweep(w);
        return NULL;
    }
    struct writer_change *c = mem_dup(&(struct writer_change){.w = w, .from = *from, .n = from->n}, sizeof *c);
    c->from.show_urls = w->env.show_urls;
    c->from.state_dir = w->queue_lock ? w->dir : NULL;
    c->from.state_left = w->topology == NULL;
    c->from.flush_interval = w->lanes[0].flush_most;
    c->drafts = mem_zalloc((c->n + 1) * sizeof *c->drafts);
    bool ok = true;
    for (size_t i = 0; i < c->n && ok; i++)
        ok = draft_destination(w, &from->destinations[i], i, &c->drafts[i], err);
    if (ok) {
        c->recent = recent_for(w, from->recent);
        c->topology = topology_for_change(c, err);
    }
    if (c->topology)
        return c;
    writer_cancel(c);
    return NULL;
}

static void free_change(struct writer_change *c)
{
    mem_free(c->drafts);
    mem_free(c);
}

void writer_cancel(struct writer_change *c)
{
    topology_unref(c->topology);
    for (size_t i = 0; i < c->n; i++)
        discard_draft(&c->drafts[i]);
    if (c->recent)
        recent_unref(c->recent);
    late_sweep(c->w);
    free_change(c);
}

/* --- rollout ------------------------------------------------------------------------------------------------------ */

void writer_run_awaiting(struct writer *w)
{
    for (size_t i = 0; i < w->n_awaiting; i++)
        loop_post(w->env.main, w->awaiting[i]);
    w->n_awaiting = 0;
}

void writer_await(struct writer *w, struct loop_task *task)
{
    mem_grow(&w->awaiting, &w->_cap_awaiting, w->n_awaiting + 1, sizeof *w->awaiting);
    w->awaiting[w->n_awaiting++] = task;
    if (w->rollouts == 0 || w->stopped)
        writer_run_awaiting(w);
}

static bool writer_name_shown(const struct writer *w, const char *name)
{
    for (size_t i = 0; i < w->n; i++)
        if (!w->destinations[i]->leaving && strcmp(w->destinations[i]->name, name) == 0)
            return true;
    return false;
}

void writer_retire_unused(struct writer *w, const struct topology *p)
{
    mutex_lock(&w->lock);
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (topology_has(p, w->destinations[i])) {
            w->destinations[n++] = w->destinations[i];
            continue;
        }
        if (!writer_name_shown(w, w->destinations[i]->name)) /* again: it delivered until its lanes left */
            writer_stats_keep(w, w->destinations[i], w->destinations[i]->name);
        retire_add(w, w->destinations[i]);
    }
    w->n = n;
    mutex_unlock(&w->lock);
}

/* One phase of a rollout on one lane; posted to the lane, then back to main. */
struct rollout_job {
    struct loop_task task;
    struct list node;          /* in the lane's `adoptions` until it has adopted the topology */
    struct writer *writer;
    struct writer_lane *lane;
    struct topology *topology; /* a reference */
};

static void rollout_post(struct writer *w, struct topology *p, void (*run)(struct loop_task *task))
{
    p->lanes_pending = w->env.n_lanes;
    for (unsigned i = 0; i < w->env.n_lanes; i++) {
        struct rollout_job *j = mem_zalloc(sizeof *j);
        *j = (struct rollout_job){.task.run = run, .writer = w, .lane = &w->lanes[i], .topology = topology_ref(p)};
        loop_post(w->env.lanes[i], &j->task);
    }
}

static void rollout_free_job(struct rollout_job *j)
{
    topology_unref(j->topology);
    mem_free(j);
}

static void rollout_advance(struct writer *w, struct topology *p);

static void rollout_lane_finished(struct loop_task *task)
{
    struct rollout_job *j = CONTAINER(task, struct rollout_job, task);
    if (--j->topology->lanes_pending == 0)
        rollout_advance(j->writer, j->topology);
    rollout_free_job(j);
}

static void rollout_report(struct rollout_job *j)
{
    j->task.run = rollout_lane_finished;
    loop_post(j->writer->env.main, &j->task);
}

/* Pending blocks are sealed in slices, so that few are left for writer_lane_switch, which must seal them at once. Jobs of
 * later rollouts wait in the order in which they came: only the first is posted. */
static void run_adopt(struct loop_task *task)
{
    struct rollout_job *j = CONTAINER(task, struct rollout_job, task);
    struct writer_lane *l = j->lane;
    if (!list_linked(&j->node))
        list_push_back(&l->adoptions, &j->node);
    if (l->adoptions.next != &j->node)
        return;
    if (!writer_lane_seal_some(l)) {
        loop_post(l->loop, task);
        return;
    }
    list_remove(&j->node);
    if (!list_empty(&l->adoptions))
        loop_post(l->loop, &CONTAINER(l->adoptions.next, struct rollout_job, node)->task);
    writer_lane_adopt(l, j->topology);
    rollout_report(j);
}

static void run_switch(struct loop_task *task)
{
    struct rollout_job *j = CONTAINER(task, struct rollout_job, task);
    writer_lane_switch(j->lane, topology_ref(j->topology));
    rollout_report(j);
}

static void run_settle(struct loop_task *task)
{
    struct rollout_job *j = CONTAINER(task, struct rollout_job, task);
    writer_lane_settle(j->lane, j->topology);
    rollout_free_job(j);
}

/* Rollouts that overlap finish in order, since tasks do: the last one to finish is that of the newest topology. */
static void rollout_finish(struct writer *w, struct topology *p)
{
    if (--w->rollouts > 0)
        return;
    atomic_store(&w->has_streams, p->n_streams > 0);
    atomic_store(&w->ready, true);
    rollout_post(w, p, run_settle);
    writer_retire_unused(w, p);
    if (w->stopped == NULL)
        orphans_find(w);
    writer_run_awaiting(w);
}

/* All lanes have finished the topology's phase; the only place that changes it. */
static void rollout_advance(struct writer *w, struct topology *p)
{
    switch (p->phase) {
    case TOPOLOGY_PREPARED:
        p->phase = TOPOLOGY_ADOPTING;
        w->rollouts++;
        rollout_post(w, p, run_adopt);
        break;
    case TOPOLOGY_ADOPTING:
        if (w->stopped) /* the lanes stop with the topology that they have */
            break;
        p->phase = TOPOLOGY_SWITCHING;
        rollout_post(w, p, run_switch);
        break;
    case TOPOLOGY_SWITCHING:
        p->phase = TOPOLOGY_IN_FORCE;
        rollout_finish(w, p);
        break;
    case TOPOLOGY_IN_FORCE: break;
    }
}

/* What /metrics shows. */
static void writer_show_limits(struct writer *w, const struct topology *p)
{
    struct series_limits *now = NULL;
    struct ha_elections *elections = NULL;
    for (size_t i = 0; i < p->global.n; i++) {
        now = now ? now : series_limits_of(p->global.stages[i]);
        elections = elections ? elections : ha_elections_of(p->global.stages[i]);
    }
    mutex_lock(&w->lock);
    struct ha_elections *old = w->elections;
    w->elections = elections;
    struct series_limits *before = w->limits;
    w->limits = now;
    mutex_unlock(&w->lock);
    series_limits_unref(before);
    ha_elections_unref(old);
}

static void writer_install_topology(struct writer *w, struct topology *p)
{
    writer_show_limits(w, p);
    writer_stats_show_aggregation(w, p);
    topology_choose_generations(p);
    p->number = w->topology ? w->topology->number + 1 : 1;
    rollout_advance(w, p);
    topology_unref(w->topology);
    w->topology = p;
}

/* --- commit ------------------------------------------------------------------------------------------------------- */

static void add_destination(struct writer *w, struct destination *d)
{
    mutex_lock(&w->lock);
    mem_grow(&w->destinations, &w->_cap, w->n + 1, sizeof *w->destinations);
    w->destinations[w->n++] = d;
    mutex_unlock(&w->lock);
}

/* Applies limits at once; hands the generation and the settings to the lanes. */
static void commit_draft(struct writer *w, struct draft *d)
{
    if (d->dest == NULL) { /* its queue hangs */
        dest_settings_free(d->settings);
        return;
    }
    struct queue_limits limits = destination_limits(d->conf);
    queue_limit(d->dest->queue, &limits);
    if (d->grown)
        destination_add_generation(d->dest, d->grown);
    for (unsigned i = 0; i < w->env.n_lanes; i++)
        destination_lane_set_next(d->dest->per_lane[i], dest_settings_copy(d->settings));
    dest_settings_free(d->settings);
    if (d->is_new) {
        d->dest->leaving = true; /* not shown before it has its name */
        add_destination(w, d->dest);
    }
}

static bool change_has(const struct writer_change *c, const struct destination *d)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->drafts[i].dest == d)
            return true;
    return false;
}

static void hide_leaving(const struct writer_change *c)
{
    for (size_t i = 0; i < c->w->n; i++) {
        struct destination *d = c->w->destinations[i];
        if (!d->leaving && !change_has(c, d)) {
            d->leaving = true;
            writer_stats_keep(c->w, d, d->name);
        }
    }
}

/* Names move between destinations, and counters belong to names: first the counters of each name are saved. */
static void name_destinations(const struct writer_change *c)
{
    mutex_lock(&c->w->lock);
    hide_leaving(c);
    for (size_t i = 0; i < c->n; i++) {
        struct draft *d = &c->drafts[i];
        if (d->dest == NULL)
            continue;
        const char *before = d->dest->name;
        destination_set_name(d->dest, d->conf, i, c->w->env.show_urls);
        d->named = d->is_new || d->dest->leaving || d->dest->name != before;
        if (d->named && !d->is_new && !d->dest->leaving)
            writer_stats_keep(c->w, d->dest, before);
    }
    for (size_t i = 0; i < c->n; i++)
        if (c->drafts[i].named) {
            writer_stats_carry(c->w, c->drafts[i].dest, c->drafts[i].is_new);
            c->drafts[i].dest->leaving = false;
        }
    mutex_unlock(&c->w->lock);
}

/* Fills a new store from a newly opened queue: undelivered samples can be queried at once. */
static void refill_new_store(const struct writer_change *c)
{
    const struct recent_conf *conf = c->from.recent;
    for (size_t i = 0; c->recent && c->recent != c->w->recent && i < c->n; i++)
        if (c->drafts[i].is_new && c->drafts[i].dest && conf->like.n > 0 && str_eq(c->drafts[i].conf->name, conf->like))
            refill_recent(c->recent, conf, c->drafts[i].dest, loop_now(c->w->env.main),
                          c->w->env.interrupted);
}

/* A store that is reused holds the old topology's stream: with a different relabel chain it is complete from now on
 * only. */
static void writer_reload_check_chain(struct writer *w, const struct topology *p)
{
    const struct stream *a = topology_recent(w->topology), *b = topology_recent(p);
    if (a && b && a->recent == b->recent && !stream_same(a, b))
        recent_set_from(b->recent, loop_now(w->env.main));
}

static void writer_use_recent(struct writer *w, const struct recent_conf *c, struct recent *next)
{
    mutex_lock(&w->lock);
    struct recent *old = w->recent;
    if (old && old != next)
        writer_stats_keep_recent(w, old);
    w->recent = next;
    if (c && next == old)
        recent_resize(next, c);
    if (c)
        w->recent_conf = (struct recent_conf){.budget = c->budget, .retention = c->retention};
    mutex_unlock(&w->lock);
    if (old)
        recent_unref(old);
}

static unsigned count_late(const struct writer_change *c)
{
    unsigned n = 0;
    for (size_t i = 0; i < c->n; i++)
        n += c->drafts[i].dest == NULL;
    return n;
}

/* Destinations whose relabeling rules are not read; logs which begin or cease to be. */
static unsigned note_unread_rules(const struct writer_change *c)
{
    unsigned n = 0;
    for (size_t i = 0; i < c->n; i++) {
        struct destination *d = c->drafts[i].dest;
        struct str file = c->drafts[i].conf->unread_rules;
        n += file.n > 0;
        if (d == NULL || d->without_rules == (file.n > 0))
            continue;
        d->without_rules = file.n > 0;
        if (file.n > 0)
            log_error("remote_write", "file of relabeling rules does not respond; the destination gets no samples, and "
                      "pushes are refused, until it does", "name", d->name, LOG_STR("file", file));
        else
            log_info("remote_write", "relabeling rules are read; the destination gets samples", "name", d->name);
    }
    return n;
}

void writer_commit(struct writer_change *c, void (*release)(void *arg), void *release_arg)
{
    struct writer *w = c->w;
    refill_new_store(c);
    for (size_t i = 0; i < c->n; i++)
        commit_draft(w, &c->drafts[i]);
    name_destinations(c);
    for (size_t i = 0; i < c->n; i++)
        if (c->drafts[i].is_new && c->drafts[i].dest)
            destination_log_backlog(c->drafts[i].dest);
    c->topology->release = release;
    c->topology->release_arg = release_arg;
    writer_reload_check_chain(w, c->topology);
    writer_use_recent(w, c->from.recent, c->recent);
    writer_install_topology(w, c->topology);
    failover_use(w, c->topology, &c->from);
    atomic_store(&w->n_late, count_late(c));
    atomic_store(&w->n_without_rules, note_unread_rules(c));
    late_sweep(w);
    free_change(c);
}
