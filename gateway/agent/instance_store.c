// SPDX-License-Identifier: Apache-2.0
#include "gateway/agent/instance_store.h"

#include "base/etcd/etcd_mirror.h"
#include "base/etcd/etcd_txn.h"
#include "base/json/json_write.h"
#include "base/map.h"
#include "base/os/thread.h"
#include "base/telemetry/log.h"

#include <stdio.h>

enum {
    STORE_CONFIRM_MS = 20000,
    STORE_BYTES_MAX = 256 << 20,
    CHANGE_ATTEMPTS = 10,       /* others may write at the same time */
    CHANGE_SEEN_MS = 5000,      /* for the copy to follow */
};

struct instance_store {
    struct instance_store_conf conf;
    struct str prefix;
    struct etcd_mirror *mirror;
    struct map docs;            /* by name -> struct instance_doc, a reference; also while a value is invalid */
    bool dirty;
    struct list changes;        /* the first one is under way */
    bool stopped;
    struct loop_task next;      /* begins the first change, when the one before has ended */
    struct etcd_request request;
    struct loop_timer seen_late;
    uint64_t awaited;           /* revision that the copy must reflect; 0: none */
    struct mutex lock;          /* guards the rest */
    struct instance_set *set;
    char error[256];
    uint64_t created, replaced, deleted;
};

static struct loop *store_loop(const struct instance_store *s) { return etcd_loop(s->conf.etcd); }

/* ---- the copy ---- */

static struct str store_name(const struct instance_store *s, const struct etcd_key *k)
{
    return str_skip(k->key, s->prefix.n);
}

static void store_replace(struct instance_store *s, struct str name, struct instance_doc *d)
{
    struct instance_doc *before = map_get(&s->docs, name);
    map_remove(&s->docs, name);
    if (d)
        map_set(&s->docs, d->name, d);
    instance_doc_unref(before);
    s->dirty = true;
}

/* An invalid value leaves the instance as it was. */
static void store_on_put(void *arg, const struct etcd_key *k)
{
    struct instance_store *s = arg;
    struct str name = store_name(s, k);
    struct err err;
    struct instance_doc *d = name.n > 0 && name.n <= INSTANCE_NAME_MAX
                                 ? instance_doc_new(name, k->value, k->mod_revision, &err)
                                 : (err_set(&err, ERR_BAD_DATA, "its name is empty or too long"), NULL);
    if (d)
        store_replace(s, name, d);
    else
        log_error("agent", "a key of etcd is no instance; ignored", LOG_STR("key", k->key), "err", err.text);
}

static void store_on_removed(void *arg, const struct etcd_key *k)
{
    struct instance_store *s = arg;
    store_replace(s, store_name(s, k), NULL);
}

static void store_publish(struct instance_store *s)
{
    struct instance_doc **docs = mem_zalloc((s->docs.n + 1) * sizeof *docs);
    size_t n = 0;
    for (struct map_entry *e = map_next(&s->docs, NULL); e; e = map_next(&s->docs, e))
        docs[n++] = e->value.p;
    struct instance_set *next = instance_set_new(docs, n, etcd_mirror_revision(s->mirror)), *before;
    mem_free(docs);
    mutex_lock(&s->lock);
    before = s->set;
    s->set = next;
    mutex_unlock(&s->lock);
    instance_set_unref(before);
}

static void change_go_on(struct instance_store *s);

static void store_on_settled(void *arg)
{
    struct instance_store *s = arg;
    if (s->mirror == NULL || !etcd_mirror_complete(s->mirror))
        return;
    bool changed = s->dirty || s->set == NULL;
    s->dirty = false;
    store_publish(s);
    if (changed)
        s->conf.changed(s->conf.arg);
    change_go_on(s);
}

static void store_on_state(void *arg)
{
    struct instance_store *s = arg;
    const char *error = s->mirror ? etcd_mirror_error(s->mirror) : NULL;
    mutex_lock(&s->lock);
    snprintf(s->error, sizeof s->error, "%s", error ? error : "");
    mutex_unlock(&s->lock);
}

/* ---- changes ---- */

static void change_begin(struct instance_store *s);

static void change_end(struct instance_store *s, enum instance_result result, const struct err *err)
{
    struct instance_change *c = CONTAINER(list_pop_front(&s->changes), struct instance_change, _node);
    loop_timer_stop(store_loop(s), &s->seen_late);
    s->awaited = 0;
    buf_free(&c->_value);
    mutex_lock(&s->lock);
    s->created += result == INSTANCE_CREATED;
    s->replaced += result == INSTANCE_REPLACED;
    s->deleted += result == INSTANCE_DELETED;
    mutex_unlock(&s->lock);
    c->done(c, result, err);
    if (!list_empty(&s->changes))
        loop_post(store_loop(s), &s->next);
}

static void change_fail(struct instance_store *s, const char *what)
{
    struct err err;
    err_set(&err, ERR_UNAVAILABLE, "%s", what);
    change_end(s, INSTANCE_FAILED, &err);
}

static struct instance_change *change_current(const struct instance_store *s)
{
    return list_empty(&s->changes) ? NULL : CONTAINER(s->changes.next, struct instance_change, _node);
}

/* Conditions: a put requires that no key is newer than the set that it was checked against, a removal that its own key
 * is not, and a restored key that it is absent. */
static void change_write(const struct instance_store *s, const struct instance_change *c, uint64_t revision,
                         struct json_writer *w)
{
    bool removes = c->remove && !c->_restores;
    struct buf key = {0};
    buf_add_str(&key, s->prefix);
    buf_add_str(&key, c->name);
    json_begin_object(w);
    etcd_put_condition(w, &(struct etcd_condition){
        .key = c->remove ? buf_str(&key) : s->prefix, .prefix = !c->remove, .target = ETCD_MOD_REVISION, .result = ETCD_LESS,
        .value = c->_restores ? 1 : revision + 1});
    etcd_begin_operation(w, "success", removes ? "request_delete_range" : "request_put", buf_str(&key));
    if (!removes)
        etcd_put_bytes(w, "value", buf_str(&c->_value));
    etcd_end_operation(w);
    json_end_object(w);
    buf_free(&key);
}

/* False: it has ended. */
static bool change_prepare(struct instance_store *s, struct instance_change *c)
{
    struct err err = {0};
    const struct instance_doc *d = instance_set_find(s->set, c->name);
    if (c->if_revision != 0 && (d == NULL || d->mod_revision != c->if_revision)) {
        err_set(&err, ERR_BAD_DATA, "configuration %.*s has changed: its revision is %llu, not %llu", STR_ARG(c->name),
                (unsigned long long)(d ? d->mod_revision : 0), (unsigned long long)c->if_revision);
        change_end(s, INSTANCE_CONFLICT, &err);
        return false;
    }
    if (c->remove && d == NULL) {
        err_set(&err, ERR_NOT_FOUND, "configuration %.*s does not exist", STR_ARG(c->name));
        change_end(s, INSTANCE_ABSENT, &err);
        return false;
    }
    buf_clear(&c->_value);
    c->_created = d == NULL;
    bool ok = c->remove ? !c->_restores || instance_encode(d->text, &c->_value) ||
              err_set(&err, ERR_INTERNAL, "no memory")
                        : c->check(c, s->set, &c->_value, &err);
    if (!ok)
        change_end(s, c->remove ? INSTANCE_FAILED : INSTANCE_REFUSED, &err);
    return ok;
}

static void change_on_written(struct etcd_request *r, const struct etcd_response *response);
static void change_await(struct instance_store *s, uint64_t revision);

static void change_on_next(struct loop_task *task) { change_begin(CONTAINER(task, struct instance_store, next)); }

static void change_begin(struct instance_store *s)
{
    struct instance_change *c = change_current(s);
    struct buf body = {0};
    struct json_writer w = {.out = &body};
    if (s->set == NULL) { /* the program has just started */
        change_await(s, 1);
        return;
    }
    if (!change_prepare(s, c))
        return;
    change_write(s, c, s->set->revision, &w);
    s->request.done = change_on_written;
    etcd_send(s->conf.etcd, &s->request, ETCD_TXN_PATH, buf_str(&body));
    buf_free(&body);
}

/* The copy has what the response is about: either the change itself, or that of another client. */
static void change_seen(struct instance_store *s, struct instance_change *c)
{
    if (c->revision == 0)
        change_begin(s);
    else
        change_end(s, c->remove ? INSTANCE_DELETED : c->_created ? INSTANCE_CREATED : INSTANCE_REPLACED, NULL);
}

static void change_go_on(struct instance_store *s)
{
    struct instance_change *c = change_current(s);
    if (c && s->awaited > 0 && s->set && s->set->revision >= s->awaited) {
        s->awaited = 0;
        loop_timer_stop(store_loop(s), &s->seen_late);
        change_seen(s, c);
    }
}

/* A change that was written is no failure, even if the copy does not show it yet. */
static void change_on_late(struct loop_timer *t)
{
    struct instance_store *s = CONTAINER(t, struct instance_store, seen_late);
    struct instance_change *c = change_current(s);
    struct err err;
    s->awaited = 0;
    if (c->revision > 0) {
        change_seen(s, c);
    } else if (s->set == NULL) {
        instance_store_error(s, &err);
        change_end(s, INSTANCE_FAILED, &err);
    } else {
        change_fail(s, "etcd does not show what other clients have changed; try again");
    }
}

static void change_await(struct instance_store *s, uint64_t revision)
{
    s->awaited = revision;
    loop_timer_in(store_loop(s), &s->seen_late, CHANGE_SEEN_MS);
    change_go_on(s);
}

/* Retries the change once the copy has caught up with etcd. The watch may be late, or not show the reason: a newer key
 * may be no instance. */
static void change_again(struct instance_store *s, struct instance_change *c, uint64_t revision)
{
    if (++c->_attempts >= CHANGE_ATTEMPTS) {
        change_fail(s, "other clients change the configurations at the same time; try again");
        return;
    }
    etcd_mirror_refresh(s->mirror);
    change_await(s, revision);
}

static bool change_removed_none(const struct json_value *response)
{
    const struct json_value *first = json_value_items(json_value_get(response, "responses"));
    return etcd_u64(json_value_get(first, "response_delete_range"), "deleted") == 0;
}

/* The key is there again, for the removal that follows. */
static void change_on_restored(struct instance_store *s, struct instance_change *c, uint64_t revision)
{
    c->_restores = false;
    c->if_revision = c->if_revision ? revision : 0;
    change_await(s, revision);
}

/* If etcd was emptied, members keep an instance whose key is missing. To remove it, the key is stored again first: only
 * then do the watches of all members report its removal. If another client has just removed it, the copy lacks it
 * soon. */
static void change_on_written(struct etcd_request *r, const struct etcd_response *response)
{
    struct instance_store *s = CONTAINER(r, struct instance_store, request);
    struct instance_change *c = change_current(s);
    if (response->doc == NULL) {
        change_end(s, INSTANCE_FAILED, &response->err);
        return;
    }
    const struct json_value *succeeded = json_value_get(response->doc, "succeeded");
    uint64_t revision = etcd_u64(json_value_get(response->doc, "header"), "revision");
    if (!succeeded || succeeded->kind != JSON_TRUE) {
        c->_restores = false;
        change_again(s, c, revision);
    } else if (c->_restores) {
        change_on_restored(s, c, revision);
    } else if (c->remove && change_removed_none(response->doc)) {
        c->_restores = true;
        change_again(s, c, revision);
    } else {
        c->revision = revision;
        change_await(s, revision);
    }
}

void instance_store_change(struct instance_store *s, struct instance_change *c)
{
    bool idle = list_empty(&s->changes);
    list_push_back(&s->changes, &c->_node);
    if (s->stopped)
        instance_store_stop(s);
    else if (idle)
        change_begin(s);
}

/* ---- life ---- */

struct instance_store *instance_store_new(const struct instance_store_conf *conf)
{
    struct instance_store *s = mem_zalloc(sizeof *s);
    s->conf = *conf;
    s->prefix = str_n(str_dup(conf->prefix), conf->prefix.n);
    list_init(&s->changes);
    mutex_init(&s->lock, RANK_LEAF);
    s->seen_late.run = change_on_late;
    s->next.run = change_on_next;
    s->mirror = etcd_mirror_new(conf->etcd, &(struct etcd_mirror_conf){
        .prefix = s->prefix, .confirm_ms = STORE_CONFIRM_MS, .wiped = ETCD_WIPED_KEEP, .max_bytes = STORE_BYTES_MAX,
        .put = store_on_put, .removed = store_on_removed, .settled = store_on_settled, .state = store_on_state,
        .arg = s});
    return s;
}

void instance_store_stop(struct instance_store *s)
{
    struct err err;
    if (s == NULL)
        return;
    s->stopped = true;
    etcd_cancel(&s->request);
    loop_timer_stop(store_loop(s), &s->seen_late);
    loop_unpost(store_loop(s), &s->next);
    err_set(&err, ERR_UNAVAILABLE, "the program is stopping");
    for (struct list *node; (node = list_pop_front(&s->changes)) != NULL;) {
        struct instance_change *c = CONTAINER(node, struct instance_change, _node);
        buf_free(&c->_value);
        c->done(c, INSTANCE_FAILED, &err);
    }
}

void instance_store_free(struct instance_store *s)
{
    if (s == NULL)
        return;
    instance_store_stop(s);
    etcd_mirror_free(s->mirror);
    etcd_free(s->conf.etcd);
    for (struct map_entry *e = map_next(&s->docs, NULL); e; e = map_next(&s->docs, e))
        instance_doc_unref(e->value.p);
    map_free(&s->docs);
    instance_set_unref(s->set);
    mutex_free(&s->lock);
    mem_free((char *)s->prefix.p);
    mem_free(s);
}

/* ---- any thread ---- */

struct instance_set *instance_store_set(struct instance_store *s)
{
    mutex_lock(&s->lock);
    struct instance_set *set = s->set ? instance_set_ref(s->set) : NULL;
    mutex_unlock(&s->lock);
    return set;
}

bool instance_store_complete(struct instance_store *s)
{
    mutex_lock(&s->lock);
    bool complete = s->set != NULL;
    mutex_unlock(&s->lock);
    return complete;
}

void instance_store_error(struct instance_store *s, struct err *err)
{
    mutex_lock(&s->lock);
    err_set(err, ERR_UNAVAILABLE, "the configurations were not read from etcd yet%s%s", s->error[0] ? ": " : "",
            s->error);
    mutex_unlock(&s->lock);
}

void instance_store_collect(struct instance_store *s, struct stats_out *o)
{
    mutex_lock(&s->lock);
    uint64_t created = s->created, replaced = s->replaced, deleted = s->deleted;
    size_t n = s->set ? s->set->n : 0;
    mutex_unlock(&s->lock);
    stats_single(o, "agent_metrics_ha_configs_created_total", STATS_COUNTER, "Stored instances that were created here",
                 (double)created);
    stats_single(o, "agent_metrics_ha_configs_updated_total", STATS_COUNTER, "Stored instances that were replaced here",
                 (double)replaced);
    stats_single(o, "agent_metrics_ha_configs_deleted_total", STATS_COUNTER, "Stored instances that were deleted here",
                 (double)deleted);
    stats_single(o, "sluice_agent_stored_instances", STATS_GAUGE, "Instances that are stored in etcd", (double)n);
}
