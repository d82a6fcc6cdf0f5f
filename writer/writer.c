/* The writer as a whole: plans are made and retired here, on the main thread; the work is the lanes'.
 *
 * A reload: everything that can fail (profiles, new queue folders, new generations) is done first. Then every lane is told three
 * times, and each time main waits until all have answered: to adopt what is new, so that every lane has its part of it before another
 * lane sends it any; to switch, when it seals its piles into the old plan's destinations and goes on with the new plan; and that all
 * have switched, after which nobody writes to older generations. What the new plan does not name is closed. Destinations that stay
 * are changed in place, so that no sample lacks a queue for a moment. Reloads may follow each other faster than lanes answer.
 */
#include "writer/lane.h"
#include "writer/recent/recent.h"
#include "writer/refill.h"
#include "writer/stats.h"

#include "base/log.h"
#include "base/times.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CLOSE_MS = 2000 }; /* longest wait for a queue that is being closed */

struct writer {
    struct writer_env env;
    char *dir;
    int lock_fd;
    struct writer_lane *lanes;
    struct destination **destinations; size_t n, _cap; /* main's; the lock is for the pages */
    struct mutex lock;
    struct recent *recent;     /* the current one; under the lock */
    struct recent_conf recent_conf;
    struct plan *plan;         /* the newest; main's reference */
    unsigned answers;          /* of lanes, to plans that are coming into force, which are still to come */
    atomic_bool ready;
    struct list leaving;       /* struct leaving */
    void (*stopped)(void *arg); void *stopped_arg; /* set once stopping */
    unsigned lanes_stopping;
    int64_t grace;
};

/* --- the queue directory -------------------------------------------------------------------------------------------- */

static bool make_dirs(const char *path, struct err *err)
{
    char *copy = mem_strdup(path);
    bool ok = true;
    for (char *p = copy + 1; ok && *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        ok = mkdir(copy, 0750) == 0 || errno == EEXIST;
        *p = '/';
    }
    ok = ok && (mkdir(copy, 0750) == 0 || errno == EEXIST);
    if (!ok)
        err_set(err, ERR_INTERNAL, "queue directory %s cannot be made: %s; choose a place that can be written to with -remoteWrite.tmpDataPath or --storage.agent.path", path, strerror(errno));
    mem_free(copy);
    return ok;
}

static bool lock_dir(struct writer *w, struct err *err)
{
    if (w->lock_fd >= 0)
        return true;
    if (!make_dirs(w->dir, err))
        return false;
    char path[4096];
    snprintf(path, sizeof path, "%s/lock", w->dir);
    w->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (w->lock_fd < 0)
        return err_set(err, ERR_INTERNAL, "queue directory %s cannot be written to: %s", w->dir, strerror(errno));
    if (flock(w->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    close(w->lock_fd);
    w->lock_fd = -1;
    return err_set(err, ERR_INTERNAL, "queue directory %s is in use by another process; give this one a directory of its own", w->dir);
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

struct writer *writer_new(const struct writer_env *env, struct err *err UNUSED)
{
    struct writer *w = mem_zalloc(sizeof *w);
    w->env = *env;
    w->dir = str_dup(env->queue_dir);
    w->env.queue_dir = str_of(w->dir);
    w->lock_fd = -1;
    mutex_init(&w->lock);
    list_init(&w->leaving);
    w->lanes = mem_zalloc(env->n_lanes * sizeof *w->lanes);
    for (unsigned i = 0; i < env->n_lanes; i++)
        writer_lane_init(&w->lanes[i], i, env->n_lanes, env->lanes[i], w->lanes, env->flush_interval ? env->flush_interval : 1000);
    writer_stats_start(w);
    return w;
}

void writer_free(struct writer *w)
{
    writer_stats_stop(w);
    for (unsigned i = 0; i < w->env.n_lanes; i++)
        writer_lane_free(&w->lanes[i]);
    mem_free(w->lanes);
    mem_free(w->destinations);
    plan_unref(w->plan);
    if (w->recent)
        recent_unref(w->recent);
    if (w->lock_fd >= 0)
        close(w->lock_fd);
    mutex_free(&w->lock);
    mem_free(w->dir);
    mem_free(w);
}

struct sink *writer_sink(struct writer *w, unsigned lane) { return &w->lanes[lane].sink; }

/* --- destinations that go ------------------------------------------------------------------------------------------ */

/* A destination that went: its lanes have left, so its shards are nobody's. Each lane frees its part in a task of its own, behind
 * whatever another lane may have posted there before it left; then main closes the files. */
struct leaving {
    struct list node;
    struct loop_task closed;
    struct writer *writer;
    struct destination *dest; /* NULL once its files are closed */
    atomic_uint lanes;        /* that have not freed their part */
};
struct farewell { struct loop_task task; struct leaving *leaving; struct dest_lane *dl; };

static void run_closed(struct loop_task *task)
{
    struct leaving *x = CONTAINER(task, struct leaving, closed);
    struct writer *w = x->writer;
    if (x->dest)
        destination_close(x->dest);
    list_remove(&x->node);
    mem_free(x);
    if (w->stopped && w->lanes_stopping == 0 && list_empty(&w->leaving))
        w->stopped(w->stopped_arg);
}

static bool reads_under_way(const struct dest_lane *dl)
{
    for (size_t i = 0; i < dl->n; i++)
        if (dl->shards[i]->reading)
            return true;
    return false;
}

static void run_farewell(struct loop_task *task)
{
    struct farewell *f = CONTAINER(task, struct farewell, task);
    struct leaving *x = f->leaving;
    struct loop *main = x->writer->env.main;
    if (reads_under_way(f->dl)) { /* the io thread still writes into the shard */
        loop_post(f->dl->loop, &f->task);
        return;
    }
    dest_lane_free(f->dl);
    mem_free(f);
    if (atomic_fetch_sub(&x->lanes, 1) == 1)
        loop_post(main, &x->closed);
}

static void retire(struct writer *w, struct destination *d)
{
    struct leaving *x = mem_zalloc(sizeof *x);
    *x = (struct leaving){.closed.run = run_closed, .writer = w, .dest = d};
    atomic_init(&x->lanes, w->env.n_lanes);
    list_push_back(&w->leaving, &x->node);
    for (unsigned i = 0; i < w->env.n_lanes; i++) {
        struct farewell *f = mem_zalloc(sizeof *f);
        *f = (struct farewell){{.run = run_farewell}, x, d->per_lane[i]};
        loop_post(w->env.lanes[i], &f->task);
    }
}

/* A destination that left a moment ago and comes back: two must not have its files open. The lanes are quick, and wait for nobody. */
static bool wait_for_files(struct writer *w, const char *identity, struct err *err)
{
    for (struct list *n = w->leaving.next; n != &w->leaving; n = n->next) {
        struct leaving *x = CONTAINER(n, struct leaving, node);
        if (x->dest == NULL || strcmp(x->dest->identity, identity) != 0)
            continue;
        for (int ms = 0; atomic_load(&x->lanes) > 0; ms++) {
            if (ms == CLOSE_MS)
                return err_set(err, ERR_UNAVAILABLE, "remote_write: the queue %s is still being closed; reload again in a moment", identity);
            usleep(1000);
        }
        destination_close(x->dest);
        x->dest = NULL;
    }
    return true;
}

/* --- destinations that come ----------------------------------------------------------------------------------------- */

static struct destination *find(const struct writer *w, const char *identity)
{
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->destinations[i]->identity, identity) == 0)
            return w->destinations[i];
    return NULL;
}

static bool check_names(const struct writer_plan *plan, struct err *err)
{
    for (size_t i = 0; i < plan->n; i++)
        for (size_t k = 0; k < i; k++) {
            char *a = destination_identity(&plan->destinations[i]), *b = destination_identity(&plan->destinations[k]);
            bool same = strcmp(a, b) == 0;
            mem_free(a);
            mem_free(b);
            if (same)
                return err_set(err, ERR_BAD_DATA, "remote_write: two destinations are called \"%.*s\" (%.*s); give each a name of its own",
                               STR_ARG(plan->destinations[i].name), STR_ARG(plan->destinations[i].url));
        }
    return true;
}

struct draft { struct destination *dest; struct dest_settings *settings; bool fresh; };

static bool draft_destination(struct writer *w, const struct destination_conf *c, size_t at, struct draft *out, struct err *err)
{
    struct dest_settings settings;
    if (!destination_settings(c, &settings, err))
        return false;
    out->settings = mem_dup(&settings, sizeof settings);
    char *identity = destination_identity(c);
    out->dest = find(w, identity);
    bool closed = out->dest || wait_for_files(w, identity, err);
    mem_free(identity);
    out->fresh = out->dest == NULL;
    if (out->fresh) {
        out->dest = closed ? destination_open(c, at, &w->env, err) : NULL;
        for (unsigned i = 0; out->dest && i < w->env.n_lanes; i++)
            out->dest->per_lane[i] = dest_lane_new(out->dest, w->env.lanes[i]);
    }
    return out->dest != NULL;
}

static void drop_draft(struct draft *d)
{
    if (d->settings)
        dest_settings_free(d->settings);
    if (d->fresh && d->dest) {
        for (unsigned i = 0; i < d->dest->n_lanes; i++)
            dest_lane_free(d->dest->per_lane[i]);
        for (size_t g = 0; g < d->dest->n_generations; g++)
            for (unsigned i = 0; i < d->dest->generations[g]->n_shards; i++)
                shard_free(d->dest->generations[g]->shards[i]);
        destination_close(d->dest);
    }
}

static void place_destinations(struct writer *w, const struct draft *drafts, size_t n)
{
    mutex_lock(&w->lock);
    for (size_t i = 0; i < n; i++)
        destination_place(drafts[i].dest, i, w->env.show_urls);
    mutex_unlock(&w->lock);
}

/* --- switching ------------------------------------------------------------------------------------------------------ */

static void retire_gone(struct writer *w, const struct plan *p)
{
    mutex_lock(&w->lock);
    size_t kept = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (plan_has(p, w->destinations[i]))
            w->destinations[kept++] = w->destinations[i];
        else
            retire(w, w->destinations[i]);
    }
    w->n = kept;
    mutex_unlock(&w->lock);
}

/* To every lane, one after the other: adopt, once all have: switch, once all have: settle. */
struct plan_job {
    struct loop_task task;
    struct writer *writer;
    struct writer_lane *lane;
    struct plan *plan; /* a reference */
};

static void post_to_lanes(struct writer *w, struct plan *p, void (*run)(struct loop_task *task))
{
    for (unsigned i = 0; i < w->env.n_lanes; i++) {
        struct plan_job *j = mem_zalloc(sizeof *j);
        *j = (struct plan_job){{.run = run}, w, &w->lanes[i], plan_ref(p)};
        loop_post(w->env.lanes[i], &j->task);
    }
}

static void end_job(struct plan_job *j)
{
    plan_unref(j->plan);
    mem_free(j);
}

static void run_settle(struct loop_task *task)
{
    struct plan_job *j = CONTAINER(task, struct plan_job, task);
    writer_lane_settle(j->lane, j->plan);
    end_job(j);
}

static void run_switched(struct loop_task *task)
{
    struct plan_job *j = CONTAINER(task, struct plan_job, task);
    struct writer *w = j->writer;
    if (--w->answers == 0) { /* the last one to come is one to the newest plan */
        atomic_store(&w->ready, true);
        post_to_lanes(w, j->plan, run_settle);
        retire_gone(w, j->plan);
    }
    end_job(j);
}

static void run_switch(struct loop_task *task)
{
    struct plan_job *j = CONTAINER(task, struct plan_job, task);
    writer_lane_switch(j->lane, plan_ref(j->plan));
    j->task.run = run_switched;
    loop_post(j->writer->env.main, &j->task);
}

static void run_adopted(struct loop_task *task)
{
    struct plan_job *j = CONTAINER(task, struct plan_job, task);
    struct writer *w = j->writer;
    w->answers--;
    if (--j->plan->adopting == 0 && w->stopped == NULL)
        post_to_lanes(w, j->plan, run_switch);
    end_job(j);
}

static void run_adopt(struct loop_task *task)
{
    struct plan_job *j = CONTAINER(task, struct plan_job, task);
    writer_lane_adopt(j->lane, j->plan);
    j->task.run = run_adopted;
    loop_post(j->writer->env.main, &j->task);
}

static void put_in_force(struct writer *w, struct plan *p)
{
    plan_choose_generations(p);
    p->adopting = w->env.n_lanes;
    w->answers += 2 * w->env.n_lanes;
    post_to_lanes(w, p, run_adopt);
}

/* --- applying ------------------------------------------------------------------------------------------------------- */

/* What can no longer fail but for a full disk: limits, generations, settings for the next switch. */
static bool hand_settings(struct writer *w, const struct destination_conf *c, struct draft *d, struct err *err)
{
    struct queue_limits limits = destination_limits(c);
    queue_limit(d->dest->queue, &limits);
    if (!destination_reshard(d->dest, (unsigned)c->queue.shards, err))
        return false;
    for (unsigned i = 0; i < w->env.n_lanes; i++) {
        struct dest_settings *mine = mem_dup(d->settings, sizeof *mine);
        mine->url = mem_strdup(mine->url);
        mine->profile = client_profile_ref(mine->profile);
        struct dest_settings *unused = atomic_exchange(&d->dest->per_lane[i]->next_settings, mine);
        if (unused)
            dest_settings_free(unused);
    }
    return true;
}

static void keep_destination(struct writer *w, struct destination *d)
{
    mutex_lock(&w->lock);
    mem_grow(&w->destinations, &w->_cap, w->n + 1, sizeof *w->destinations);
    w->destinations[w->n++] = d;
    mutex_unlock(&w->lock);
}

static struct recent *recent_for(struct writer *w, const struct recent_conf *c)
{
    if (c == NULL)
        return NULL;
    bool same = w->recent && w->recent_conf.budget == c->budget && w->recent_conf.retention == c->retention;
    return same ? recent_ref(w->recent) : recent_new(c, w->env.n_lanes, loop_now(w->env.main));
}

/* A new store and a queue that was opened just now: what waits on disk can be answered at once. */
static void refill(struct writer *w, const struct writer_plan *from, const struct draft *drafts, struct recent *recent)
{
    for (size_t i = 0; recent && recent != w->recent && i < from->n; i++)
        if (drafts[i].fresh && from->recent->like.n > 0 && str_eq(from->destinations[i].name, from->recent->like))
            refill_recent(recent, from->recent, drafts[i].dest, loop_now(w->env.main));
}

/* A store that is kept holds what the old plan's stream was: with another chain it begins anew for who asks. */
static void check_chain(struct writer *w, const struct plan *p)
{
    const struct stream *a = plan_recent(w->plan), *b = plan_recent(p);
    if (a && b && a->recent == b->recent && !stream_same(a, b->rules, b->external, b->extra, b->shards))
        recent_set_from(b->recent, loop_now(w->env.main));
}

static void take_recent(struct writer *w, const struct recent_conf *c, struct recent *next)
{
    mutex_lock(&w->lock);
    struct recent *old = w->recent;
    w->recent = next;
    if (c)
        w->recent_conf = (struct recent_conf){.budget = c->budget, .retention = c->retention};
    mutex_unlock(&w->lock);
    if (old)
        recent_unref(old);
}

static struct plan *plan_of(const struct writer_plan *from, const struct draft *drafts, struct recent *recent, struct err *err)
{
    struct destination **dests = mem_alloc((from->n + 1) * sizeof *dests);
    for (size_t i = 0; i < from->n; i++)
        dests[i] = drafts[i].dest;
    struct plan *p = plan_new(from, dests, recent, err);
    mem_free(dests);
    return p;
}

bool writer_apply(struct writer *w, const struct writer_plan *from, void (*release)(void *arg), void *release_arg, struct err *err)
{
    if ((from->n > 0 && !lock_dir(w, err)) || !check_names(from, err))
        return false;
    struct draft *drafts = mem_zalloc((from->n + 1) * sizeof *drafts);
    bool ok = true;
    for (size_t i = 0; i < from->n && ok; i++)
        ok = draft_destination(w, &from->destinations[i], i, &drafts[i], err);
    struct recent *recent = ok ? recent_for(w, from->recent) : NULL;
    struct plan *p = ok ? plan_of(from, drafts, recent, err) : NULL;
    for (size_t i = 0; i < from->n && p && ok; i++)
        ok = hand_settings(w, &from->destinations[i], &drafts[i], err);
    if (p == NULL || !ok) {
        for (size_t i = 0; i < from->n; i++)
            drop_draft(&drafts[i]);
        mem_free(drafts);
        plan_unref(p);
        if (recent)
            recent_unref(recent);
        return false;
    }
    refill(w, from, drafts, recent);
    for (size_t i = 0; i < from->n; i++) {
        if (drafts[i].fresh)
            keep_destination(w, drafts[i].dest);
        dest_settings_free(drafts[i].settings);
    }
    place_destinations(w, drafts, from->n);
    mem_free(drafts);
    p->release = release;
    p->release_arg = release_arg;
    check_chain(w, p);
    take_recent(w, from->recent, recent);
    put_in_force(w, p);
    plan_unref(w->plan);
    w->plan = p;
    return true;
}

bool writer_ready(struct writer *w) { return atomic_load(&w->ready); }

/* --- stopping ------------------------------------------------------------------------------------------------------- */

struct stop_job { struct loop_task task; struct loop_timer poll; struct writer *writer; struct writer_lane *lane; int64_t until; };

static void run_lane_stopped(struct loop_task *task)
{
    struct stop_job *j = CONTAINER(task, struct stop_job, task);
    struct writer *w = j->writer;
    mem_free(j);
    if (--w->lanes_stopping > 0)
        return;
    plan_unref(w->plan);
    w->plan = NULL;
    retire_gone(w, NULL);
    if (list_empty(&w->leaving))
        w->stopped(w->stopped_arg);
}

/* Waits for the last answers, within the grace. */
static void poll_stop(struct loop_timer *timer)
{
    struct stop_job *j = CONTAINER(timer, struct stop_job, poll);
    struct writer_lane *l = j->lane;
    if (l->plan && !writer_lane_idle(l) && loop_mono(l->loop) < j->until) {
        loop_timer_in(l->loop, &j->poll, 10);
        return;
    }
    if (l->plan)
        writer_lane_stop(l);
    j->task.run = run_lane_stopped;
    loop_post(j->writer->env.main, &j->task);
}

static void run_stop(struct loop_task *task)
{
    struct stop_job *j = CONTAINER(task, struct stop_job, task);
    writer_lane_seal_all(j->lane);
    j->until = loop_mono(j->lane->loop) + j->writer->grace;
    j->poll.run = poll_stop;
    poll_stop(&j->poll);
}

void writer_stop(struct writer *w, int64_t grace_ms, void (*done)(void *arg), void *arg)
{
    w->stopped = done;
    w->stopped_arg = arg;
    w->grace = grace_ms;
    w->lanes_stopping = w->env.n_lanes;
    for (unsigned i = 0; i < w->env.n_lanes; i++) {
        struct stop_job *j = mem_zalloc(sizeof *j);
        j->task.run = run_stop;
        j->writer = w;
        j->lane = &w->lanes[i];
        loop_post(w->env.lanes[i], &j->task);
    }
}

/* --- what others see ------------------------------------------------------------------------------------------------ */

struct source *writer_recent(struct writer *w)
{
    mutex_lock(&w->lock);
    struct recent *r = w->recent ? recent_ref(w->recent) : NULL;
    mutex_unlock(&w->lock);
    return r ? recent_source(r) : NULL;
}

void writer_recent_unref(struct source *recent) { recent_unref(recent_of(recent)); }
int64_t writer_recent_from(struct source *recent) { return recent_from(recent_of(recent)); }

void writer_each_destination(struct writer *w, void (*visit)(struct destination *d, void *arg), void *arg)
{
    mutex_lock(&w->lock);
    for (size_t i = 0; i < w->n; i++)
        visit(w->destinations[i], arg);
    mutex_unlock(&w->lock);
}

static uint64_t read_counter(atomic_ullong *c) { return atomic_load_explicit(c, memory_order_relaxed); }

static void copy_status(struct destination *d, struct arena *a, struct destination_status *s)
{
    const struct queue_stats *q = queue_stats(d->queue);
    *s = (struct destination_status){
        .name = arena_str(a, str_of(d->name)), .url = arena_str(a, str_of(d->redacted_url)),
        .shards = destination_newest(d)->n_shards,
        .pending_bytes = queue_bytes(d->queue), .pending_blocks = read_counter(&d->pending_blocks),
        .dropped_blocks = read_counter(&d->dropped_blocks) + q->blocks_dropped, .dropped_samples = read_counter(&d->dropped_samples) + q->samples_dropped,
        .sent_samples = read_counter(&d->sent_samples), .sent_bytes = read_counter(&d->sent_bytes), .retries = read_counter(&d->retries),
        .last_ok_at = atomic_load(&d->last_ok), .zstd = atomic_load(&d->zstd)};
    int64_t since = destination_since(d), now = clock_wall_ms();
    s->oldest_ms = since > 0 && since < now ? now - since : 0;
    if (s->pending_blocks > 0 && read_counter(&d->pending_bytes) > s->pending_bytes)
        s->pending_bytes = read_counter(&d->pending_bytes);
    mutex_lock(&d->lock);
    s->last_error = arena_str(a, str_of(d->last_error));
    s->last_error_at = d->last_error_at;
    mutex_unlock(&d->lock);
}

void writer_status(struct writer *w, struct arena *a, struct destination_status **out, size_t *n)
{
    size_t budget = a->max;
    a->max = 0; /* an arena that is full may jump out of the caller, but not under a lock */
    mutex_lock(&w->lock);
    *n = w->n;
    *out = ARENA_ARRAY(a, struct destination_status, w->n);
    for (size_t i = 0; i < w->n; i++)
        copy_status(w->destinations[i], a, &(*out)[i]);
    mutex_unlock(&w->lock);
    a->max = budget;
}
