// SPDX-License-Identifier: Apache-2.0
/* Starts, watches and awaits the sources of all discoveries of an owner. */
#include "model/discovery/discovery_internal.h"

#include "base/http/resolver.h"
#include "model/discovery/files/file_watch.h"

#include <stdatomic.h>

enum { HTTP_READS_AT_ONCE = 16, HTTP_WAITS_AT_ONCE = 4096 };

struct sd_waiter { struct list node; struct loop_task *task; };

struct sd_manager {
    struct sd_manager_env env;
    struct list discoveries;
    struct file_watch file_watch;
    struct client *client, *blocking; /* of sources that are read by HTTP; NULL: not needed yet */
    struct kube_watches *own_watches; /* NULL: not needed, or the environment's are used */
    struct loop_task news;
    bool awaits;            /* reads of the last start have not ended */
    bool stopped;
    atomic_bool ready;
    struct list awaiting;   /* of struct sd_waiter */
};

/* ---- news ---- */

static void sd_manager_end_waiting(struct sd_manager *m)
{
    for (struct list *node; (node = list_pop_front(&m->awaiting)) != NULL;) {
        struct sd_waiter *w = CONTAINER(node, struct sd_waiter, node);
        loop_post(m->env.main, w->task);
        mem_free(w);
    }
}

static void sd_manager_check_awaited(struct sd_manager *m)
{
    for (struct list *node = m->discoveries.next; node != &m->discoveries; node = node->next)
        if (discovery_awaited(CONTAINER(node, struct discovery, node)))
            return;
    m->awaits = false;
    atomic_store(&m->ready, true);
    sd_manager_end_waiting(m);
}

static void sd_manager_on_news(struct loop_task *task)
{
    struct sd_manager *m = CONTAINER(task, struct sd_manager, news);
    if (m->stopped)
        return;
    m->env.news(m->env.arg);
    if (m->awaits)
        sd_manager_check_awaited(m);
}

static void sd_manager_post_news(void *arg)
{
    struct sd_manager *m = arg;
    loop_post(m->env.main, &m->news);
}

static struct client *sd_manager_client(void *arg)
{
    struct sd_manager *m = arg;
    if (m->client == NULL)
        m->client = client_new(m->env.main, &(struct client_settings){.max_inflight = HTTP_READS_AT_ONCE});
    return m->client;
}

static struct client *sd_manager_blocking(void *arg)
{
    struct sd_manager *m = arg;
    if (m->blocking == NULL)
        m->blocking = client_new(m->env.main, &(struct client_settings){.max_inflight = HTTP_WAITS_AT_ONCE});
    return m->blocking;
}

static struct kube_watches *sd_manager_kube(void *arg)
{
    struct sd_manager *m = arg;
    if (m->env.kube)
        return m->env.kube;
    if (m->own_watches == NULL)
        m->own_watches = kube_watches_new(m->env.main);
    return m->own_watches;
}

struct sd_source_env sd_manager_source_env(struct sd_manager *m, struct sd_owner owner)
{
    return (struct sd_source_env){.main = m->env.main, .news = sd_manager_post_news, .client = sd_manager_client,
                                  .blocking = sd_manager_blocking, .kube = sd_manager_kube, .arg = m, .owner = owner};
}

void sd_manager_tell_news(struct sd_manager *m) { sd_manager_post_news(m); }
struct loop *sd_manager_loop(const struct sd_manager *m) { return m->env.main; }
int64_t sd_manager_now(const struct sd_manager *m) { return loop_mono(m->env.main); }

/* ---- reading ---- */

static void poll_target_files(struct file_watch *w)
{
    struct sd_manager *m = CONTAINER(w, struct sd_manager, file_watch);
    for (struct list *node = m->discoveries.next; node != &m->discoveries; node = node->next)
        discovery_poll(CONTAINER(node, struct discovery, node), m->file_watch.dirs);
}

static int64_t shortest_file_interval(const struct sd_manager *m)
{
    int64_t shortest = 0;
    for (struct list *node = m->discoveries.next; node != &m->discoveries; node = node->next) {
        int64_t interval = CONTAINER(node, struct discovery, node)->file_interval;
        if (interval > 0 && (shortest == 0 || interval < shortest))
            shortest = interval;
    }
    return shortest;
}

void sd_manager_start(struct sd_manager *m)
{
    file_watch_set(&m->file_watch, shortest_file_interval(m));
    for (struct list *node = m->discoveries.next; node != &m->discoveries; node = node->next)
        discovery_start(CONTAINER(node, struct discovery, node), m->file_watch.dirs);
    m->awaits = true;
    sd_manager_check_awaited(m);
}

void sd_manager_await(struct sd_manager *m, struct loop_task *task)
{
    if (!m->awaits) {
        loop_post(m->env.main, task);
        return;
    }
    struct sd_waiter *w = mem_zalloc(sizeof *w);
    w->task = task;
    list_push_back(&m->awaiting, &w->node);
}

bool sd_manager_ready(const struct sd_manager *m) { return atomic_load(&m->ready); }

/* ---- life ---- */

void sd_manager_add(struct sd_manager *m, struct discovery *d) { list_push_back(&m->discoveries, &d->node); }

struct sd_manager *sd_manager_new(const struct sd_manager_env *env)
{
    struct sd_manager *m = mem_zalloc(sizeof *m);
    m->env = *env;
    m->news.run = sd_manager_on_news;
    list_init(&m->discoveries);
    list_init(&m->awaiting);
    file_watch_init(&m->file_watch, env->main, poll_target_files);
    resolver_retain(); /* registers its metrics, which a source that is made under the scraper's lock must not do */
    return m;
}

void sd_manager_stop(struct sd_manager *m)
{
    file_watch_stop(&m->file_watch);
    m->stopped = true;
    m->awaits = false;
    sd_manager_end_waiting(m);
}

void sd_manager_free(struct sd_manager *m)
{
    sd_manager_stop(m);
    loop_unpost(m->env.main, &m->news);
    if (m->client)
        client_free(m->client);
    if (m->blocking)
        client_free(m->blocking);
    if (m->own_watches)
        kube_watches_free(m->own_watches);
    resolver_release();
    mem_free(m);
}
