// SPDX-License-Identifier: Apache-2.0
#include "writer/late.h"

#include "base/telemetry/log.h"
#include "writer/writer_internal.h"

struct late_queue {
    struct list node;
    char *identity;
    struct queue *queue;
    bool hangs;
};

static struct late_queue *late_find(struct writer *w, const char *identity)
{
    for (struct list *n = w->late.queues.next; n != &w->late.queues; n = n->next) {
        struct late_queue *l = CONTAINER(n, struct late_queue, node);
        if (strcmp(l->identity, identity) == 0)
            return l;
    }
    return NULL;
}

static void late_forget(struct late_queue *l)
{
    list_remove(&l->node);
    mem_free(l->identity);
    mem_free(l);
}

static void late_on_opened(struct loop_task *task)
{
    struct writer *w = CONTAINER(task, struct writer, late.opened);
    if (w->stopped == NULL && w->env.apply_again)
        w->env.apply_again(w->env.apply_again_arg);
}

void late_init(struct writer *w)
{
    list_init(&w->late.queues);
    w->late.opened.run = late_on_opened;
}

enum queue_opened late_lock(struct writer *w, struct err *err)
{
    if (w->queue_lock)
        return QUEUE_OPEN;
    bool begun = w->late.lock != NULL; /* by an earlier change, which has waited already */
    if (!begun && (w->late.lock = queue_lock_begin(w->dir, err)) == NULL)
        return QUEUE_FAILED;
    enum queue_opened opened = queue_lock_end(w->late.lock, begun ? 0 : QUEUE_HANG_MS, w->env.interrupted,
                                              &w->queue_lock, err);
    if (opened != QUEUE_HANGS) {
        w->late.lock = NULL;
        atomic_store(&w->unclean, opened == QUEUE_OPEN && queue_lock_was_running(w->queue_lock));
        if (atomic_load(&w->unclean))
            log_warn("remote_write", "the last run did not stop cleanly; samples younger than the flush interval at its "
                     "end may be missing, and blocks in flight are sent again", "dir", w->dir);
        return opened;
    }
    if (!begun)
        log_error("remote_write", "queue directory does not respond; scraping without destinations and refusing pushes "
                  "until it does", "dir", w->dir);
    queue_lock_notify(w->late.lock, w->env.main, &w->late.opened);
    return QUEUE_HANGS;
}

bool late_begin(struct writer *w, const struct destination_conf *c, const char *identity, struct err *err)
{
    if (late_find(w, identity))
        return true;
    struct buf path = {0}, vmagent = {0};
    buf_printf(&path, "%s/%s", w->dir, identity);
    buf_printf(&vmagent, "%s/" VMAGENT_QUEUES, w->dir);
    struct queue_options o = {.dir = buf_z(&path), .shards = (unsigned)c->queue.shards,
                              .limits = destination_limits(c), .lock = w->queue_lock,
                              .vmagent = {buf_z(&vmagent), vmagent_queue_hash(c->url)}};
    (void)vmagent_queue_name(identity, &o.vmagent.hash);
    struct queue *q = queue_open_begin(&o, err);
    buf_free(&path);
    buf_free(&vmagent);
    if (q == NULL)
        return false;
    struct late_queue *l = mem_zalloc(sizeof *l);
    l->identity = mem_strdup(identity);
    l->queue = q;
    list_push_back(&w->late.queues, &l->node);
    return true;
}

enum queue_opened late_take(struct writer *w, const char *identity, struct queue **q, struct err *err)
{
    struct late_queue *l = late_find(w, identity);
    enum queue_opened opened = queue_open_end(l->queue, l->hangs ? 0 : QUEUE_HANG_MS, w->env.interrupted, err);
    if (opened == QUEUE_HANGS) {
        if (!l->hangs)
            log_error("remote_write", "disk of a queue does not respond; the destination gets no samples, and pushes are "
                      "refused, until it does", "dir", identity);
        l->hangs = true;
        return opened;
    }
    if (opened == QUEUE_OPEN && l->hangs)
        log_info("remote_write", "disk of a queue responds; the destination is in use", "dir", identity);
    *q = opened == QUEUE_OPEN ? l->queue : NULL;
    late_forget(l);
    return opened;
}

void late_sweep(struct writer *w)
{
    for (struct list *n = w->late.queues.next, *next; n != &w->late.queues; n = next) {
        struct late_queue *l = CONTAINER(n, struct late_queue, node);
        next = n->next;
        if (queue_open_hangs(l->queue)) {
            queue_open_notify(l->queue, w->env.main, &w->late.opened);
            continue;
        }
        queue_open_cancel(l->queue);
        late_forget(l);
    }
}

void late_free(struct writer *w)
{
    while (!list_empty(&w->late.queues)) {
        struct late_queue *l = CONTAINER(w->late.queues.next, struct late_queue, node);
        queue_open_cancel(l->queue);
        late_forget(l);
    }
    if (w->late.lock)
        queue_lock_cancel(w->late.lock);
    loop_unpost(w->env.main, &w->late.opened);
}
