// SPDX-License-Identifier: Apache-2.0
/* The pool: one mutex guards queues and counters. Threads are started when there is work and no idle thread, so that a
 * program without queries has none, except one of class admin: metrics are served even if no thread or descriptor is
 * left.
 */
#include "gateway/query/worker.h"

#include "base/telemetry/log.h"
#include "base/telemetry/stats.h"
#include "base/text/duration.h"
#include "base/os/process.h"
#include "base/os/thread.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Memory of a large query is kept for the next one, and released if there is none for SPARE_MS. */
enum { SPARE_BLOCKS = 16, SPARE_MS = 1000, TURN_POLL_MS = 50, WAITING_PER_WORKER = 16 };
static const struct { const char *name; int nice; const char *remedy; } classes[WORKER_CLASSES] = {
    [WORKER_QUERY] = {"query", 10, "find slow queries and servers on /metrics, or raise --query.max-concurrency"},
    [WORKER_ADMIN] = {"admin", 5, "request pages and /metrics less often"},
    [WORKER_BACKGROUND] = {"background", 15, "none needed; the work is repeated later"},
    [WORKER_PUSH] = {"push", 0, "none needed; the sender retries"}};
struct member {
    struct worker worker;
    struct arena_spare spare; /* while it works */
    struct thread *thread;
};

struct workers {
    struct mutex mutex;
    struct cond turn;
    unsigned n_turns;
    struct worker_conf conf;
    struct worker_queue {
        struct cond work;
        struct member *members; unsigned n, most; /* running threads; their maximum number */
        struct list tasks;
        unsigned n_waiting, n_idle, most_waiting;
        unsigned n_refused; int64_t full_since; /* refused while it is full, monotonic ms; 0 and 0 otherwise */
    } queues[WORKER_CLASSES];
    struct arena_spare spare;
    bool untidy; /* there is memory to release */
    bool stopping;
};

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
    struct worker_task *t = CONTAINER(task, struct worker_task, _back);
    t->done(t);
}

static struct arena_spare take_spare(struct workers *p)
{
    struct arena_spare s = {.most = SPARE_BLOCKS};
    arena_spare_move(&p->spare, &s);
    return s;
}

static void tidy(struct workers *p)
{
    struct arena_spare spare = take_spare(p);
    p->untidy = false;
    mutex_unlock(&p->mutex);
    arena_spare_free(&spare);
    mem_trim();
    mutex_lock(&p->mutex);
}

/* One line when the queue becomes full, one when half of it is free again. */
static void worker_log_full(struct workers *p, enum worker_class class)
{
    struct worker_queue *q = &p->queues[class];
    if (q->n_refused++ > 0)
        return;
    q->full_since = clock_mono_ms();
    log_warn("query", "all workers are busy and the queue is full; refusing requests with 503", "class",
             classes[class].name, LOG_U64("running", q->n - q->n_idle), LOG_U64("waiting", q->n_waiting),
             "remedy", classes[class].remedy);
}

static void worker_log_free(struct workers *p, enum worker_class class)
{
    struct worker_queue *q = &p->queues[class];
    if (q->n_refused == 0 || q->n_waiting > q->most_waiting / 2)
        return;
    log_info("query", "workers accept requests again", "class", classes[class].name, LOG_U64("refused", q->n_refused),
             LOG_DURATION("after", clock_mono_ms() - q->full_since));
    q->n_refused = 0;
}

static struct worker_task *queue_pop(struct workers *p, enum worker_class class)
{
    struct worker_queue *q = &p->queues[class];
    struct list *node = list_pop_front(&q->tasks);
    struct worker_task *t = node ? CONTAINER(node, struct worker_task, _node) : NULL;
    if (t) {
        t->_waits = false;
        q->n_waiting--;
        worker_log_free(p, class);
    }
    return t;
}

/* Spare memory is assigned with the turn. */
static struct worker_task *next_task(struct member *m)
{
    struct workers *p = m->worker._pool;
    struct worker_queue *q = &p->queues[m->worker.class];
    mutex_lock(&p->mutex);
    q->n_idle++;
    while (list_empty(&q->tasks) && !p->stopping) {
        if (!p->untidy)
            cond_wait(&q->work, &p->mutex);
        else if (!cond_wait_ms(&q->work, &p->mutex, SPARE_MS) && p->untidy)
            tidy(p);
    }
    q->n_idle--;
    struct worker_task *t = queue_pop(p, m->worker.class);
    m->spare = (struct arena_spare){.most = SPARE_BLOCKS};
    mutex_unlock(&p->mutex);
    return t;
}

/* Keeps the spare memory for the next worker, as much as one may have. */
static void put_spare(struct member *m, bool large)
{
    struct workers *p = m->worker._pool;
    mutex_lock(&p->mutex);
    arena_spare_move(&m->spare, &p->spare);
    p->untidy = p->untidy || large;
    mutex_unlock(&p->mutex);
    arena_spare_free(&m->spare);
}

/* Releases the task's arena memory; the result is not in it. */
static void worker_run_task(struct member *m, struct worker_task *t)
{
    struct arena *a = t->arena;
    struct arena_mark mark = {0};
    if (a) {
        mark = arena_mark(a);
        a->spare = &m->spare;
    }
    t->run(t);
    if (a) {
        arena_release(a, mark);
        a->spare = NULL;
    }
    put_spare(m, a && a->peak > (1 << 20));
    t->_back.run = worker_on_done;
    loop_post(t->loop, &t->_back);
}

static void worker_run(void *arg)
{
    struct member *m = arg;
    struct worker *w = &m->worker;
    self = w;
    setpriority(PRIO_PROCESS, (id_t)gettid(), classes[w->class].nice);
    for (struct worker_task *t; (t = next_task(m)) != NULL;)
        worker_run_task(m, t);
    arena_spare_free(&m->spare);
    if (w->client)
        client_free(w->client);
    loop_free(w->loop);
}

/* If the thread cannot be started, tasks wait for other threads of the class. */
static void start_member(struct workers *p, enum worker_class class)
{
    struct worker_queue *q = &p->queues[class];
    struct member *m = &q->members[q->n];
    char name[32];
    snprintf(name, sizeof name, "%s %u", classes[class].name, q->n);
    m->worker._pool = p;
    m->worker.id = q->n;
    m->worker.class = class;
    bool fetches = class == WORKER_QUERY || class == WORKER_BACKGROUND;
    m->worker.loop = fetches ? loop_new() : NULL;
    m->thread = m->worker.loop || !fetches ? thread_start(name, worker_run, m) : NULL;
    if (m->thread) {
        q->n++;
        return;
    }
    log_warn("query", "cannot start worker thread; requests wait for other workers of the class or are refused; raise "
             "the limit of threads (ulimit -u, pids cgroup) or open files (ulimit -n)", "class", classes[class].name,
             "err", strerror(errno));
    loop_free(m->worker.loop);
    m->worker.loop = NULL;
}

/* A thread needs two descriptors, and more for its requests. */
static bool worker_descriptors_left(const struct workers *p)
{
    if (p->conf.max_fd == 0)
        return true;
    int fd = process_lowest_free_fd();
    return fd >= 0 && fd < p->conf.max_fd;
}

static void worker_collect(struct stats_out *o, void *arg)
{
    struct workers *p = arg;
    const struct worker_queue *q = &p->queues[WORKER_QUERY];
    mutex_lock(&p->mutex);
    unsigned busy = q->n - q->n_idle, waiting = q->n_waiting;
    mutex_unlock(&p->mutex);
    stats_single(o, "prometheus_engine_queries", STATS_GAUGE, "Queries running or waiting", busy + waiting);
    stats_single(o, "prometheus_engine_queries_concurrent_max", STATS_GAUGE, "Maximum number of concurrent queries",
                 q->most);
    stats_single(o, "sluice_query_waiting", STATS_GAUGE, "Queries waiting for a worker", waiting);
}

struct workers *workers_new(const struct worker_conf *c)
{
    struct workers *p = mem_zalloc(sizeof *p);
    p->conf = *c;
    p->spare.most = SPARE_BLOCKS;
    mutex_init(&p->mutex, RANK_WORKERS);
    cond_init(&p->turn);
    for (size_t i = 0; i < WORKER_CLASSES; i++) {
        struct worker_queue *q = &p->queues[i];
        q->most = c->workers[i];
        q->most_waiting = c->waiting ? c->waiting : WAITING_PER_WORKER * q->most;
        q->members = mem_zalloc(q->most * sizeof *q->members);
        cond_init(&q->work);
        list_init(&q->tasks);
    }
    if (p->queues[WORKER_ADMIN].most > 0)
        start_member(p, WORKER_ADMIN);
    stats_collector(worker_collect, p);
    return p;
}

bool worker_submit(struct workers *p, struct worker_task *t)
{
    struct worker_queue *q = &p->queues[t->class];
    mutex_lock(&p->mutex);
    bool full = q->n_waiting >= q->most_waiting, ok = !p->stopping && !full;
    if (full && !p->stopping)
        worker_log_full(p, t->class);
    if (ok && q->n_idle < q->n_waiting + 1 && q->n < q->most && (q->n == 0 || worker_descriptors_left(p)))
        start_member(p, t->class);
    ok = ok && q->n > 0;
    if (ok) {
        list_push_back(&q->tasks, &t->_node);
        t->_waits = true;
        q->n_waiting++;
        cond_signal(&q->work);
    }
    mutex_unlock(&p->mutex);
    return ok;
}

bool worker_withdraw(struct workers *p, struct worker_task *t)
{
    mutex_lock(&p->mutex);
    bool waits = t->_waits;
    if (waits) {
        list_remove(&t->_node);
        t->_waits = false;
        p->queues[t->class].n_waiting--;
        worker_log_free(p, t->class);
    }
    mutex_unlock(&p->mutex);
    return waits;
}

/* ---- turns ---- */

/* Queries that would exceed the memory limit together may succeed one after the other. */
static bool turn_must_wait(const struct workers *p)
{
    struct budget *b = p->conf.memory;
    return p->n_turns >= p->conf.turns || (p->n_turns > 0 && b && budget_left(b) < b->max / 4);
}

static struct member *self_member(struct worker *w) { return CONTAINER(w, struct member, worker); }

bool worker_turn_begin(struct worker *w, const struct query_ctx *q, struct err *err)
{
    struct workers *p = w ? w->_pool : NULL;
    bool ended = false;
    if (w == NULL || w->_has_turn || p->conf.turns == 0)
        return true;
    mutex_lock(&p->mutex);
    while (turn_must_wait(p) && !ended) {
        cond_wait_ms(&p->turn, &p->mutex, TURN_POLL_MS);
        ended = query_ended(q, "waiting for other queries", err);
    }
    w->_has_turn = !ended;
    p->n_turns += w->_has_turn;
    if (w->_has_turn && self_member(w)->spare.n == 0)
        self_member(w)->spare = take_spare(p);
    self_member(w)->spare.made = w->_has_turn;
    mutex_unlock(&p->mutex);
    return w->_has_turn;
}

void worker_take_spare(struct worker *w)
{
    struct member *m = self_member(w);
    if (m->spare.n > 0)
        return;
    mutex_lock(&w->_pool->mutex);
    m->spare = take_spare(w->_pool);
    mutex_unlock(&w->_pool->mutex);
}

void worker_turn_end(struct worker *w)
{
    if (w == NULL || !w->_has_turn)
        return;
    struct workers *p = w->_pool;
    mutex_lock(&p->mutex);
    p->n_turns--;
    w->_has_turn = false;
    cond_signal(&p->turn);
    mutex_unlock(&p->mutex);
    put_spare(self_member(w), false); /* who waits needs none */
    self_member(w)->spare = (struct arena_spare){.most = SPARE_BLOCKS};
}

/* Runs queued tasks first: their clients are waiting, and they have been canceled. */
void workers_stop(struct workers *p)
{
    mutex_lock(&p->mutex);
    p->stopping = true;
    for (size_t i = 0; i < WORKER_CLASSES; i++)
        cond_broadcast(&p->queues[i].work);
    mutex_unlock(&p->mutex);
    for (size_t i = 0; i < WORKER_CLASSES; i++)
        for (unsigned k = 0; k < p->queues[i].n; k++)
            thread_join(p->queues[i].members[k].thread);
}

void workers_free(struct workers *p)
{
    stats_collector_remove(worker_collect, p);
    for (size_t i = 0; i < WORKER_CLASSES; i++) {
        mem_free(p->queues[i].members);
        cond_free(&p->queues[i].work);
    }
    arena_spare_free(&p->spare);
    cond_free(&p->turn);
    mutex_free(&p->mutex);
    mem_free(p);
}
