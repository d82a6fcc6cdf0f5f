// SPDX-License-Identifier: Apache-2.0
/* A new plan comes into force; on the main thread, with the work done by the lanes.
 *
 * writer_prepare does everything that can fail (profiles, new queue folders, new generations) beside what is in
 * force, and writer_cancel takes it away again. writer_commit cannot fail: every lane is told three times, and each
 * time main waits until all have answered: to adopt what is new, so that every lane has its part of it before another
 * lane sends it any; to switch, when it seals its piles into the old plan's destinations and goes on with the new
 * plan; and that all have switched, after which nobody writes to older generations. What the new plan does not name
 * is closed. Destinations that stay are changed in place, so that no sample lacks a queue for a moment. Reloads may
 * follow each other faster than lanes answer.
 */
#include "base/text/url.h"
#include "writer/refill.h"
#include "writer/writer_internal.h"

/* --- preparing ---------------------------------------------------------------------------------------------------- */

struct draft { /* what becomes of one destination */
    const struct destination_conf *conf;
    struct destination *dest;
    bool fresh;            /* opened just now: nobody has it yet */
    struct dest_settings *settings;
    const struct queue_generation *grown; /* made just now, for another number of shards; NULL = the number stays */
};
struct writer_change {
    struct writer *w;
    struct writer_plan from; /* its arrays are the caller's */
    struct draft *drafts; size_t n;
    struct recent *recent; /* a reference */
    struct topology *topology;
};

static bool same_identity(const struct destination_conf *a, const struct destination_conf *b)
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
    while (k < i && !same_identity(c, &all[k]))
        k++;
    if (k == i)
        return true;
    if (c->name.n > 0)
        return err_set(err, ERR_BAD_DATA, "remote_write: the name \"%.*s\" is used twice; names must be unique",
                       STR_ARG(c->name));
    struct buf url = {0};
    url_redact(&url, c->url);
    err_set(err, ERR_BAD_DATA, "remote_write: the URL %s is given twice (queries do not count); give each entry a name "
            "of its own, or remove one", buf_z(&url));
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

static struct destination *open_new(struct writer *w, const struct destination_conf *c, size_t at, struct err *err)
{
    struct destination *d = destination_open(c, at, &w->env, w->queue_lock, err);
    for (unsigned i = 0; d && i < w->env.n_lanes; i++)
        d->per_lane[i] = destination_lane_new(d, w->env.lanes[i]);
    return d;
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
    out->fresh = out->dest == NULL;
    if (out->fresh && retire_wait(w, identity, err))
        out->dest = open_new(w, c, at, err);
    mem_free(identity);
    return out->dest && destination_grow(out->dest, (unsigned)c->queue.shards, &out->grown, err);
}

static void drop_draft(struct draft *d)
{
    if (d->settings)
        dest_settings_free(d->settings);
    if (d->grown)
        queue_shrink(d->dest->queue);
    if (!d->fresh || d->dest == NULL)
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

static struct topology *topology_for_change(const struct writer_change *c, struct err *err)
{
    struct destination **dests = mem_alloc((c->n + 1) * sizeof *dests);
    for (size_t i = 0; i < c->n; i++)
        dests[i] = c->drafts[i].dest;
    struct topology *p = topology_new(&c->from, dests, c->recent, err);
    mem_free(dests);
    return p;
}

static bool lock_queues(struct writer *w, struct err *err)
{
    if (w->queue_lock == NULL)
        w->queue_lock = queue_lock_new(w->dir, err);
    return w->queue_lock != NULL;
}

struct writer_change *writer_prepare(struct writer *w, const struct writer_plan *from, struct err *err)
{
    if ((from->n > 0 && !lock_queues(w, err)) || !check_names(from, err))
        return NULL;
    struct writer_change *c = mem_dup(&(struct writer_change){.w = w, .from = *from, .n = from->n}, sizeof *c);
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
        drop_draft(&c->drafts[i]);
    if (c->recent)
        recent_unref(c->recent);
    free_change(c);
}

/* --- the lanes follow --------------------------------------------------------------------------------------------- */

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
    if (w->answers == 0 || w->stopped)
        writer_run_awaiting(w);
}

void writer_retire_gone(struct writer *w, const struct topology *p)
{
    mutex_lock(&w->lock);
    size_t kept = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (topology_has(p, w->destinations[i]))
            w->destinations[kept++] = w->destinations[i];
        else
            retire_add(w, w->destinations[i]);
    }
    w->n = kept;
    mutex_unlock(&w->lock);
}

/* To every lane, one after the other: adopt, once all have: switch, once all have: settle. */
struct plan_job {
    struct loop_task task;
    struct writer *writer;
    struct writer_lane *lane;
    struct topology *topology; /* a reference */
};

static void post_to_lanes(struct writer *w, struct topology *p, void (*run)(struct loop_task *task))
{
    for (unsigned i = 0; i < w->env.n_lanes; i++) {
        struct plan_job *j = mem_zalloc(sizeof *j);
        *j = (struct plan_job){{.run = run}, w, &w->lanes[i], topology_ref(p)};
        loop_post(w->env.lanes[i], &j->task);
    }
}

static void end_job(struct plan_job *j)
{
    topology_unref(j->topology);
    mem_free(j);
}

static void run_settle(struct loop_task *task)
{
    struct plan_job *j = CONTAINER(task, struct plan_job, task);
    writer_lane_settle(j->lane, j->topology);
    end_job(j);
}

static void run_switched(struct loop_task *task)
{
    struct plan_job *j = CONTAINER(task, struct plan_job, task);
    struct writer *w = j->writer;
    if (--w->answers == 0) { /* the last one to come is one to the newest plan */
        atomic_store(&w->takes, j->topology->n_streams > 0);
        atomic_store(&w->ready, true);
        post_to_lanes(w, j->topology, run_settle);
        writer_retire_gone(w, j->topology);
        if (w->stopped == NULL)
            orphans_find(w);
        writer_run_awaiting(w);
    }
    end_job(j);
}

static void run_switch(struct loop_task *task)
{
    struct plan_job *j = CONTAINER(task, struct plan_job, task);
    writer_lane_switch(j->lane, topology_ref(j->topology));
    j->task.run = run_switched;
    loop_post(j->writer->env.main, &j->task);
}

static void run_adopted(struct loop_task *task)
{
    struct plan_job *j = CONTAINER(task, struct plan_job, task);
    struct writer *w = j->writer;
    w->answers--;
    if (--j->topology->adopting == 0 && w->stopped == NULL)
        post_to_lanes(w, j->topology, run_switch);
    end_job(j);
}

static void run_adopt(struct loop_task *task)
{
    struct plan_job *j = CONTAINER(task, struct plan_job, task);
    writer_lane_adopt(j->lane, j->topology);
    j->task.run = run_adopted;
    loop_post(j->writer->env.main, &j->task);
}

static void writer_install_topology(struct writer *w, struct topology *p)
{
    topology_choose_generations(p);
    p->adopting = w->env.n_lanes;
    w->answers += 2 * w->env.n_lanes;
    post_to_lanes(w, p, run_adopt);
    topology_unref(w->topology);
    w->topology = p;
}

/* --- committing --------------------------------------------------------------------------------------------------- */

static void keep_destination(struct writer *w, struct destination *d)
{
    mutex_lock(&w->lock);
    mem_grow(&w->destinations, &w->_cap, w->n + 1, sizeof *w->destinations);
    w->destinations[w->n++] = d;
    mutex_unlock(&w->lock);
}

/* Limits now, a generation and settings for the lanes to adopt. */
static void commit_draft(struct writer *w, struct draft *d)
{
    struct queue_limits limits = destination_limits(d->conf);
    queue_limit(d->dest->queue, &limits);
    if (d->grown)
        destination_add_generation(d->dest, d->grown);
    for (unsigned i = 0; i < w->env.n_lanes; i++)
        destination_lane_push(d->dest->per_lane[i], dest_settings_copy(d->settings));
    dest_settings_free(d->settings);
    if (d->fresh)
        keep_destination(w, d->dest);
}

static void place_destinations(const struct writer_change *c)
{
    mutex_lock(&c->w->lock);
    for (size_t i = 0; i < c->n; i++)
        destination_place(c->drafts[i].dest, c->drafts[i].conf, i, c->w->env.show_urls);
    mutex_unlock(&c->w->lock);
}

/* A new store and a queue that was opened just now: what waits on disk can be answered at once. */
static void refill(const struct writer_change *c)
{
    const struct recent_conf *conf = c->from.recent;
    for (size_t i = 0; c->recent && c->recent != c->w->recent && i < c->n; i++)
        if (c->drafts[i].fresh && conf->like.n > 0 && str_eq(c->drafts[i].conf->name, conf->like))
            refill_recent(c->recent, conf, c->drafts[i].dest, loop_now(c->w->env.main));
}

/* A store that is kept holds what the old plan's stream was: with another chain it begins anew for who asks. */
static void writer_reload_check_chain(struct writer *w, const struct topology *p)
{
    const struct stream *a = topology_recent(w->topology), *b = topology_recent(p);
    if (a && b && a->recent == b->recent && !stream_same(a, b->rules, b->external, b->extra, b->shards))
        recent_set_from(b->recent, loop_now(w->env.main));
}

static void writer_use_recent(struct writer *w, const struct recent_conf *c, struct recent *next)
{
    mutex_lock(&w->lock);
    struct recent *old = w->recent;
    w->recent = next;
    if (c && next == old)
        recent_resize(next, c);
    if (c)
        w->recent_conf = (struct recent_conf){.budget = c->budget, .retention = c->retention};
    mutex_unlock(&w->lock);
    if (old)
        recent_unref(old);
}

void writer_commit(struct writer_change *c, void (*release)(void *arg), void *release_arg)
{
    struct writer *w = c->w;
    refill(c);
    for (size_t i = 0; i < c->n; i++)
        commit_draft(w, &c->drafts[i]);
    place_destinations(c);
    c->topology->release = release;
    c->topology->release_arg = release_arg;
    writer_reload_check_chain(w, c->topology);
    writer_use_recent(w, c->from.recent, c->recent);
    writer_install_topology(w, c->topology);
    free_change(c);
}
