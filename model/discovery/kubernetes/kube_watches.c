// SPDX-License-Identifier: Apache-2.0
/* Which watches there are, who shares them, and how long they live. */
#include "model/discovery/kubernetes/kube_watch_internal.h"

#include "base/text/url.h"

enum { LINGER_MS = 10000 };

/* ---- life ---- */

static void kube_watch_free(struct kube_watch *w)
{
    struct loop *main = w->owner->main;
    kube_watch_end(w);
    loop_timer_stop(main, &w->due);
    loop_timer_stop(main, &w->linger);
    for (struct map_entry *e = map_next(&w->objects, NULL); e; e = map_next(&w->objects, e))
        mem_free(e->value.p);
    map_free(&w->objects);
    client_profile_unref(w->profile);
    mem_free(w->key);
    mem_free(w->url);
    mem_free(w->shown);
    mem_free(w->version);
    mem_free(w->next);
    sd_pages_clear(&w->pages);
    mem_free(w->error);
    list_remove(&w->node);
    mem_free(w);
}

static void watch_on_linger(struct loop_timer *t) { kube_watch_free(CONTAINER(t, struct kube_watch, linger)); }

static void watch_add_selector(struct buf *url, const char *name, struct str selector)
{
    if (selector.n == 0)
        return;
    buf_printf(url, "%s=", name);
    url_encode(url, selector);
    buf_add_char(url, '&');
}

static void watch_url(struct buf *url, const struct kube_watch_conf *conf)
{
#define KUBE_PATH(id, name, group, namespaced) {name, group, namespaced},
    static const struct { const char *name, *group; bool namespaced; } paths[] = {KUBE_RESOURCES(KUBE_PATH)};
    buf_printf(url, "%.*s%s", STR_ARG(conf->server), paths[conf->resource].group);
    if (paths[conf->resource].namespaced && conf->namespace.n > 0) {
        buf_add_z(url, "/namespaces/");
        url_encode(url, conf->namespace);
    }
    buf_printf(url, "/%s?", paths[conf->resource].name);
    watch_add_selector(url, "labelSelector", conf->label);
    watch_add_selector(url, "fieldSelector", conf->field);
}

static struct kube_watch *kube_watch_new(struct kube_watches *all, const struct kube_watch_conf *conf, struct str key,
                                         struct str url)
{
    struct kube_watch *w = mem_zalloc(sizeof *w);
    struct buf shown = {0};
    w->owner = all;
    w->resource = conf->resource;
    w->profile = client_profile_ref(conf->profile);
    w->key = str_dup(key);
    w->url = str_dup(url);
    url_redact(&shown, str_first(url, url.n - 1));
    w->shown = mem_strdup(buf_z(&shown));
    kube_watch_init_timers(w);
    w->linger.run = watch_on_linger;
    list_init(&w->readers);
    list_push_back(&all->watches, &w->node);
    buf_free(&shown);
    return w;
}

void kube_watch_join(struct kube_watches *all, const struct kube_watch_conf *conf, struct kube_reader *r)
{
    struct buf key = {0}, url = {0};
    struct kube_watch *found = NULL;
    watch_url(&url, conf);
    buf_printf(&key, "%016llx %s", (unsigned long long)client_profile_hash(conf->profile), buf_z(&url));
    for (struct list *n = all->watches.next; n != &all->watches && found == NULL; n = n->next)
        if (str_is(buf_str(&key), CONTAINER(n, struct kube_watch, node)->key))
            found = CONTAINER(n, struct kube_watch, node);
    bool new = found == NULL;
    if (new)
        found = kube_watch_new(all, conf, buf_str(&key), buf_str(&url));
    loop_timer_stop(all->main, &found->linger);
    r->watch = found;
    list_push_back(&found->readers, &r->node);
    if (new)
        kube_watch_begin(found);
    buf_free(&key);
    buf_free(&url);
}

void kube_watch_leave(struct kube_reader *r)
{
    struct kube_watch *w = r->watch;
    list_remove(&r->node);
    r->watch = NULL;
    if (list_empty(&w->readers))
        loop_timer_in(w->owner->main, &w->linger, LINGER_MS);
}

struct kube_watches *kube_watches_new(struct loop *main)
{
    struct kube_watches *all = mem_zalloc(sizeof *all);
    all->main = main;
    list_init(&all->watches);
    return all;
}

void kube_watches_free(struct kube_watches *all)
{
    while (!list_empty(&all->watches))
        kube_watch_free(CONTAINER(all->watches.next, struct kube_watch, node));
    if (all->client)
        client_free(all->client);
    mem_free(all);
}

/* ---- reading ---- */

const struct kube_object *kube_watch_find(const struct kube_watch *w, struct str key) { return map_get(&w->objects, key); }

const struct map *kube_watch_objects(const struct kube_watch *w) { return &w->objects; }

bool kube_watch_synced(const struct kube_watch *w) { return w->synced; }

struct kube_watch_state kube_watch_state(const struct kube_watch *w)
{
    int64_t now = loop_mono(w->owner->main);
    return (struct kube_watch_state){
        .error = w->error, .shown = w->shown, .failing_ms = w->error ? now - w->failing_since : 0,
        .retry_ms = loop_timer_armed(&w->due) && w->due.due > now ? w->due.due - now : 0};
}
