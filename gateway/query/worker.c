// SPDX-License-Identifier: Apache-2.0
/* The pool: one mutex guards the waiting line and the counts. Threads are started when there is work and nobody idle,
 * so that a program that is asked nothing has none.
 */
#include "gateway/query/worker.h"

#include "base/list.h"
#include "base/telemetry/log.h"
#include "base/telemetry/stats.h"
#include "base/os/thread.h"
#include "gateway/lane.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct job {
    struct list node;      /* of pool.line */
    struct loop_task task; /* back on the lane */
    struct http_request *request;
    http_handler *run;
    void (*done)(struct http_request *r);
};
/* What a large query leaves is kept for the next one for a moment, and given back when none comes. */
enum { SPARE_BLOCKS = 16, SPARE_MS = 1000, NICE = 10, TURN_POLL_MS = 50 };
struct member {
    struct worker worker;
    struct arena_spare spare; /* while it works */
    struct thread *thread;
};

static struct worker_pool {
    struct mutex mutex;
    struct cond work, turn;
    unsigned n_turns;
    struct worker_conf conf;
    struct member *members; unsigned n; /* started ones */
    struct list line;
    unsigned n_waiting, n_idle;
    struct arena_spare spare;
    bool untidy; /* there is something to give back */
    bool stopping;
} pool;

static _Thread_local struct worker *self;

struct worker *worker_self(void) { return self; }

struct client *worker_client(struct worker *w)
{
    if (w->client == NULL)
        w->client = client_new(w->loop, &(struct client_settings){.max_inflight = 256});
    return w->client;
}

static void worker_on_done(struct loop_task *task)
{
    struct job *job = CONTAINER(task, struct job, task);
    job->done(job->request);
    mem_free(job);
}

static struct arena_spare take_spare(void)
{
    struct arena_spare s = pool.spare;
    pool.spare = (struct arena_spare){0};
    s.most = SPARE_BLOCKS;
    return s;
}

static void tidy(void)
{
    struct arena_spare spare = take_spare();
    pool.untidy = false;
    mutex_unlock(&pool.mutex);
    arena_spare_free(&spare);
    mem_trim();
    mutex_lock(&pool.mutex);
}

/* What is spare comes with the turn. */
static struct job *next_job(struct member *m)
{
    mutex_lock(&pool.mutex);
    pool.n_idle++;
    while (list_empty(&pool.line) && !pool.stopping) {
        if (!pool.untidy)
            cond_wait(&pool.work, &pool.mutex);
        else if (!cond_wait_ms(&pool.work, &pool.mutex, SPARE_MS) && pool.untidy)
            tidy();
    }
    pool.n_idle--;
    struct list *node = list_pop_front(&pool.line);
    m->spare = (struct arena_spare){.most = SPARE_BLOCKS};
    pool.n_waiting -= node != NULL;
    mutex_unlock(&pool.mutex);
    return node ? CONTAINER(node, struct job, node) : NULL;
}

/* Those of one worker are enough. */
static void put_spare(struct member *m, bool large)
{
    mutex_lock(&pool.mutex);
    if (pool.spare.n == 0) {
        pool.spare = m->spare;
        m->spare = (struct arena_spare){0};
    }
    pool.untidy = pool.untidy || large;
    mutex_unlock(&pool.mutex);
    arena_spare_free(&m->spare);
}

/* What the work took from the arena ends with it: the answer is in `out`. */
static void worker_run_job(struct member *m, struct job *job)
{
    struct http_request *r = job->request;
    struct arena_mark mark = arena_mark(&r->arena);
    r->arena.spare = &m->spare;
    job->run(r);
    arena_release(&r->arena, mark);
    r->arena.spare = NULL;
    put_spare(m, r->arena.peak > (1 << 20));
    job->task.run = worker_on_done;
    loop_post(r->lane->loop, &job->task);
}

static void worker_run(void *arg)
{
    struct member *m = arg;
    struct worker *w = &m->worker;
    self = w;
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    for (struct job *job; (job = next_job(m)) != NULL;)
        worker_run_job(m, job);
    arena_spare_free(&m->spare);
    if (w->client)
        client_free(w->client);
    loop_free(w->loop);
}

/* One that cannot start is no harm as long as there are others: the query waits for them. */
static void start_member(void)
{
    struct member *m = &pool.members[pool.n];
    char name[32];
    snprintf(name, sizeof name, "query %u", pool.n);
    m->worker.id = pool.n;
    m->worker.loop = loop_new();
    m->thread = m->worker.loop ? thread_start(name, worker_run, m) : NULL;
    if (m->thread) {
        pool.n++;
        return;
    }
    log_warn("query", "cannot start a query worker; queries wait for the others or are refused", "err",
             strerror(errno));
    loop_free(m->worker.loop);
    m->worker.loop = NULL;
}

static void worker_collect(struct stats_out *o, void *arg UNUSED)
{
    mutex_lock(&pool.mutex);
    unsigned busy = pool.n - pool.n_idle, waiting = pool.n_waiting;
    mutex_unlock(&pool.mutex);
    stats_single(o, "prometheus_engine_queries", STATS_GAUGE, "Queries being answered or waiting", busy + waiting);
    stats_single(o, "prometheus_engine_queries_concurrent_max", STATS_GAUGE, "Queries that may be answered at once",
                 pool.conf.workers);
    stats_single(o, "sluice_query_waiting", STATS_GAUGE, "Queries that wait for a worker", waiting);
}

void workers_start(const struct worker_conf *c)
{
    pool = (struct worker_pool){.conf = *c, .members = mem_zalloc(c->workers * sizeof(struct member))};
    if (pool.conf.waiting == 0)
        pool.conf.waiting = 16 * c->workers;
    mutex_init(&pool.mutex, RANK_WORKERS);
    cond_init(&pool.work);
    cond_init(&pool.turn);
    list_init(&pool.line);
    stats_collector(worker_collect, NULL);
}

bool worker_submit(struct http_request *r, http_handler *run_it, void (*done)(struct http_request *r))
{
    mutex_lock(&pool.mutex);
    bool ok = !pool.stopping && pool.n_waiting < pool.conf.waiting;
    if (ok && pool.n_idle < pool.n_waiting + 1 && pool.n < pool.conf.workers)
        start_member();
    ok = ok && pool.n > 0;
    if (ok) {
        struct job *job = mem_zalloc(sizeof *job);
        job->request = r;
        job->run = run_it;
        job->done = done;
        list_push_back(&pool.line, &job->node);
        pool.n_waiting++;
        cond_signal(&pool.work);
    }
    mutex_unlock(&pool.mutex);
    return ok;
}

bool worker_withdraw(struct http_request *r)
{
    struct job *job = NULL;
    mutex_lock(&pool.mutex);
    for (struct list *n = pool.line.next; n != &pool.line && job == NULL; n = n->next)
        if (CONTAINER(n, struct job, node)->request == r)
            job = CONTAINER(n, struct job, node);
    if (job) {
        list_remove(&job->node);
        pool.n_waiting--;
    }
    mutex_unlock(&pool.mutex);
    mem_free(job);
    return job != NULL;
}

/* ---- turns ---- */

/* Queries that would run into the memory limit together may fit one after the other. */
static bool turn_must_wait(void)
{
    struct budget *b = pool.conf.memory;
    return pool.n_turns >= pool.conf.turns || (pool.n_turns > 0 && b && budget_left(b) < b->max / 4);
}

static struct member *self_member(struct worker *w) { return CONTAINER(w, struct member, worker); }

bool worker_turn_begin(struct worker *w, const struct query_ctx *q, struct err *err)
{
    bool ended = false;
    if (w == NULL || w->_has_turn || pool.conf.turns == 0)
        return true;
    mutex_lock(&pool.mutex);
    while (turn_must_wait() && !ended) {
        cond_wait_ms(&pool.turn, &pool.mutex, TURN_POLL_MS);
        ended = query_ended(q, "waiting for other queries", err);
    }
    w->_has_turn = !ended;
    pool.n_turns += w->_has_turn;
    if (w->_has_turn && self_member(w)->spare.n == 0)
        self_member(w)->spare = take_spare();
    mutex_unlock(&pool.mutex);
    return w->_has_turn;
}

void worker_turn_end(struct worker *w)
{
    if (w == NULL || !w->_has_turn)
        return;
    mutex_lock(&pool.mutex);
    pool.n_turns--;
    w->_has_turn = false;
    cond_signal(&pool.turn);
    mutex_unlock(&pool.mutex);
    put_spare(self_member(w), false); /* who waits needs none */
    self_member(w)->spare.most = SPARE_BLOCKS;
}

/* Those in line are done first: their clients wait, and they were told to end soon (http_server_cancel). */
void workers_stop(void)
{
    mutex_lock(&pool.mutex);
    pool.stopping = true;
    cond_broadcast(&pool.work);
    mutex_unlock(&pool.mutex);
    for (unsigned i = 0; i < pool.n; i++)
        thread_join(pool.members[i].thread);
}

void workers_free(void)
{
    stats_collector_remove(worker_collect, NULL);
    mem_free(pool.members);
    cond_free(&pool.work);
    cond_free(&pool.turn);
    mutex_free(&pool.mutex);
}
