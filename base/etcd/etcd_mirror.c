// SPDX-License-Identifier: Apache-2.0
/* Lists, then watches (https://etcd.io/docs/v3.5/learning/api/).
 *
 * 1. The list is read page by page, all pages at the revision of the first. A key is in force when its page is read;
 *    which ones the list lacks is known at its end.
 * 2. The watch begins after the list's revision, a response without an end, a document a line; when it ends, the next one
 *    begins after the last revision seen. If etcd has compacted that away, 1.
 * 3. A connection can be dead without saying so: every CHECK_MS a request asks for the newest key of the prefix and for
 *    the number of keys. If they differ twice from the copy's, or another endpoint responds, 1. or the watch begins again.
 *
 * A failed request is repeated after MIRROR_RETRY_MS, up to MIRROR_RETRY_MOST_MS, half of it random, so that all members of
 * a cluster do not return at once, but within a time that the others can wait for.
 */
#include "base/etcd/etcd_mirror.h"

#include "base/hash.h"
#include "base/map.h"
#include "base/telemetry/log.h"

enum {
    PAGE_KEYS = 500,
    MIRROR_RETRY_MS = 500, MIRROR_RETRY_MOST_MS = 2000,
    CHECK_MS = 5000,
    WATCH_DOCUMENT_MAX = 64 << 20,
    CHECKS_BEFORE_LIST = 2,
};

struct etcd_mirror {
    struct etcd *etcd;
    struct etcd_mirror_conf conf;
    char *prefix;
    struct map keys;               /* struct etcd_key, each in one allocation with its bytes */
    size_t bytes;
    uint64_t revision, cluster;    /* of etcd; cluster 0: not known yet */
    bool complete, was_wiped;
    char *error;
    int64_t current_at;
    struct etcd_request list;
    uint64_t mark;                 /* of the list being read */
    uint64_t list_revision;        /* of its first page; 0: it is to be read */
    struct buf from;               /* the first key of the next page */
    struct client_call *watch;
    size_t watch_endpoint;
    struct arena arena;            /* of the watch's document */
    struct json_value_reader reader;
    bool watch_created, watch_refused, list_again;
    struct err watch_err;
    struct etcd_request check;
    unsigned differed;             /* checks in a row that differed */
    struct loop_timer retry, check_due, confirm;
    unsigned failures;
    uint64_t drawn;
};

static void mirror_list(struct etcd_mirror *m);
static void mirror_watch(struct etcd_mirror *m);

/* ---- keys ---- */

const struct etcd_key *etcd_mirror_get(const struct etcd_mirror *m, struct str key) { return map_get(&m->keys, key); }
size_t etcd_mirror_count(const struct etcd_mirror *m) { return m->keys.n; }
bool etcd_mirror_complete(const struct etcd_mirror *m) { return m->complete; }
uint64_t etcd_mirror_revision(const struct etcd_mirror *m) { return m->revision; }
const char *etcd_mirror_error(const struct etcd_mirror *m) { return m->error; }
int64_t etcd_mirror_current_at(const struct etcd_mirror *m) { return m->current_at; }

const struct etcd_key *etcd_mirror_next(const struct etcd_mirror *m, const struct etcd_key *k)
{
    struct map_entry *e = map_next(&m->keys, k ? map_find(&m->keys, k->key) : NULL);
    return e ? e->value.p : NULL;
}

static struct etcd_key *etcd_key_new(const struct json_value *kv, struct err *err)
{
    struct buf key = {0}, value = {0};
    struct etcd_key *k = NULL;
    if (!etcd_bytes(kv, "key", &key) || !etcd_bytes(kv, "value", &value)) {
        err_set(err, ERR_BAD_GATEWAY, "a key or value is not base64");
    } else {
        k = mem_zalloc(sizeof *k + key.n + value.n);
        char *at = (char *)(k + 1);
        memcpy(at, key.p ? key.p : "", key.n);
        memcpy(at + key.n, value.p ? value.p : "", value.n);
        *k = (struct etcd_key){
            .key = str_n(at, key.n), .value = str_n(at + key.n, value.n), .lease = etcd_u64(kv, "lease"),
            .create_revision = etcd_u64(kv, "create_revision"), .mod_revision = etcd_u64(kv, "mod_revision"),
            .version = etcd_u64(kv, "version")};
    }
    buf_free(&key);
    buf_free(&value);
    return k;
}

static bool mirror_put(struct etcd_mirror *m, const struct json_value *kv, struct err *err)
{
    bool added;
    struct etcd_key *k = etcd_key_new(kv, err);
    if (k == NULL)
        return false;
    size_t bytes = k->key.n + k->value.n;
    struct map_entry *e = map_find(&m->keys, k->key);
    struct etcd_key *before = e ? e->value.p : NULL;
    size_t freed = before ? before->key.n + before->value.n : 0;
    if (m->bytes - freed + bytes > m->conf.max_bytes) {
        mem_free(k);
        return err_set(err, ERR_TOO_LARGE, "the keys with the prefix %s have more than %zu MiB", m->prefix,
                       m->conf.max_bytes >> 20);
    }
    k->_mark = m->mark;
    e = map_add(&m->keys, k->key, &added);
    e->key = k->key;
    e->value.p = k;
    m->bytes += bytes - freed;
    if (before == NULL || before->mod_revision != k->mod_revision || before->lease != k->lease ||
        !str_eq(before->value, k->value))
        m->conf.put(m->conf.arg, k);
    mem_free(before);
    return true;
}

static void mirror_remove(struct etcd_mirror *m, struct etcd_key *k)
{
    map_remove(&m->keys, k->key);
    m->bytes -= k->key.n + k->value.n;
    m->conf.removed(m->conf.arg, k);
    mem_free(k);
}

static bool mirror_delete(struct etcd_mirror *m, const struct json_value *kv, struct err *err)
{
    struct buf key = {0};
    bool ok = etcd_bytes(kv, "key", &key) || err_set(err, ERR_BAD_GATEWAY, "a key is not base64");
    struct etcd_key *k = ok ? map_get(&m->keys, buf_str(&key)) : NULL;
    if (k)
        mirror_remove(m, k);
    buf_free(&key);
    return ok;
}

/* ---- state ---- */

static void mirror_is_current(struct etcd_mirror *m)
{
    m->current_at = loop_mono(etcd_loop(m->etcd));
    m->failures = 0;
    if (m->error == NULL)
        return;
    log_info("etcd", "etcd responds again", "etcd", etcd_name(m->etcd), "prefix", m->prefix);
    mem_free(m->error);
    m->error = NULL;
    m->conf.state(m->conf.arg);
}

static int64_t mirror_wait(struct etcd_mirror *m)
{
    unsigned doublings = m->failures < 6 ? m->failures : 6;
    int64_t wait = (int64_t)MIRROR_RETRY_MS << doublings;
    if (wait > MIRROR_RETRY_MOST_MS)
        wait = MIRROR_RETRY_MOST_MS;
    uint64_t parts[] = {m->drawn++, (uintptr_t)m};
    return wait / 2 + (int64_t)(hash_keyed(parts, sizeof parts) % (uint64_t)(wait / 2));
}

static void mirror_failed(struct etcd_mirror *m, const struct err *err)
{
    bool news = m->error == NULL || strcmp(m->error, err->text) != 0;
    int64_t wait = mirror_wait(m);
    m->failures++;
    loop_timer_in(etcd_loop(m->etcd), &m->retry, wait);
    if (!news)
        return;
    if (m->error == NULL)
        log_warn("etcd", "etcd does not respond; keeping what was read last, and retrying", "prefix", m->prefix, "err",
                 err->text);
    mem_free(m->error);
    m->error = mem_strdup(err->text);
    m->conf.state(m->conf.arg);
}

/* ---- the list ---- */

static bool mirror_read_header(struct etcd_mirror *m, const struct json_value *header, struct err *err)
{
    uint64_t cluster = etcd_u64(header, "cluster_id"), revision = etcd_u64(header, "revision");
    if (revision == 0)
        return err_set(err, ERR_BAD_GATEWAY, "%s: the list has no revision: it is none of etcd's", etcd_name(m->etcd));
    if (m->cluster != 0 && (cluster != m->cluster || revision < m->revision)) {
        log_warn("etcd", "etcd is another one, or was restored from an older state: keys that it lacks are kept for now",
                 "etcd", etcd_name(m->etcd), "prefix", m->prefix, LOG_U64("revision", revision),
                 LOG_U64("before", m->revision));
        m->was_wiped = true;
    }
    m->cluster = cluster;
    m->list_revision = revision;
    return true;
}

/* Those that the list lacks: the first time they are noted, later removed. */
static void mirror_sweep(struct etcd_mirror *m)
{
    struct loop *loop = etcd_loop(m->etcd);
    int64_t now = loop_mono(loop);
    struct etcd_key **gone = mem_alloc((m->keys.n + 1) * sizeof *gone);
    size_t n = 0, kept = 0;
    for (struct map_entry *e = map_next(&m->keys, NULL); e; e = map_next(&m->keys, e)) {
        struct etcd_key *k = e->value.p;
        if (k->_mark == m->mark)
            continue;
        if (k->_absent == 0)
            k->_absent = now;
        if (now - k->_absent >= m->conf.confirm_ms && !(m->was_wiped && m->conf.wiped == ETCD_WIPED_KEEP))
            gone[n++] = k;
        else
            kept++;
    }
    for (size_t i = 0; i < n; i++)
        mirror_remove(m, gone[i]);
    mem_free(gone);
    if (kept > 0)
        loop_timer_in(loop, &m->confirm, m->conf.confirm_ms);
    else
        m->was_wiped = false;
}

static void mirror_end_list(struct etcd_mirror *m)
{
    m->revision = m->list_revision;
    m->list_revision = 0;
    m->complete = true;
    m->differed = 0;
    mirror_sweep(m);
    mirror_is_current(m);
    mirror_watch(m);
    m->conf.settled(m->conf.arg);
}

static bool mirror_take_page(struct etcd_mirror *m, const struct json_value *doc, struct err *err)
{
    const struct json_value *last = NULL;
    if (m->list_revision == 0 && !mirror_read_header(m, json_value_get(doc, "header"), err))
        return false;
    for (const struct json_value *kv = json_value_items(json_value_get(doc, "kvs")); kv; kv = kv->next) {
        if (!mirror_put(m, kv, err))
            return false;
        last = kv;
    }
    buf_clear(&m->from);
    const struct json_value *more = json_value_get(doc, "more");
    if (last == NULL || more == NULL || more->kind != JSON_TRUE)
        return true;
    if (!etcd_bytes(last, "key", &m->from))
        return err_set(err, ERR_BAD_GATEWAY, "a key is not base64");
    buf_add_char(&m->from, 0); /* the next key in order */
    return true;
}

static void mirror_read_page(struct etcd_mirror *m);

static void mirror_list_done(struct etcd_request *r, const struct etcd_response *response)
{
    struct etcd_mirror *m = CONTAINER(r, struct etcd_mirror, list);
    struct err err = response->err;
    bool ok = response->doc && mirror_take_page(m, response->doc, &err);
    if (!ok) {
        m->list_revision = 0;
        m->list_again = true;
        mirror_failed(m, &err);
    } else if (m->from.n > 0) {
        mirror_read_page(m);
    } else {
        mirror_end_list(m);
    }
}

static void mirror_read_page(struct etcd_mirror *m)
{
    struct buf body = {0}, range = {0};
    struct json_writer w = {.out = &body};
    json_begin_object(&w);
    if (m->from.n > 0) {
        struct json_writer ignored = {.out = &range}; /* "key" differs, "range_end" is the prefix's */
        etcd_put_prefix(&ignored, str_of(m->prefix));
        etcd_put_bytes(&w, "key", buf_str(&m->from));
        json_raw(&w, str_skip(buf_str(&range), str_find(buf_str(&range), ',') + 1));
        json_field_u64(&w, "revision", m->list_revision);
    } else {
        etcd_put_prefix(&w, str_of(m->prefix));
    }
    json_field_i64(&w, "limit", PAGE_KEYS);
    json_end_object(&w);
    m->list.done = mirror_list_done;
    etcd_send(m->etcd, &m->list, "/v3/kv/range", buf_str(&body));
    buf_free(&body);
    buf_free(&range);
}

static void mirror_end_watch(struct etcd_mirror *m)
{
    if (m->watch == NULL)
        return;
    client_cancel(m->watch);
    m->watch = NULL;
    json_value_reader_free(&m->reader);
    arena_free(&m->arena);
}

static void mirror_list(struct etcd_mirror *m)
{
    mirror_end_watch(m);
    etcd_cancel(&m->list);
    loop_timer_stop(etcd_loop(m->etcd), &m->retry);
    loop_timer_stop(etcd_loop(m->etcd), &m->confirm);
    m->mark++;
    m->list_again = false;
    m->list_revision = 0;
    buf_clear(&m->from);
    mirror_read_page(m);
}

void etcd_mirror_refresh(struct etcd_mirror *m)
{
    if (!etcd_request_runs(&m->list))
        mirror_list(m);
}

/* ---- the watch ---- */

/* What the list is needed again for: revisions that were compacted, or are those of another etcd. */
static bool watch_canceled(struct etcd_mirror *m, const struct json_value *result, struct err *err)
{
    struct str reason = json_value_text(json_value_get(result, "cancel_reason"));
    m->list_again = true;
    if (etcd_u64(result, "compact_revision") == 0) /* for example "user name is empty" */
        etcd_forget_token(m->etcd);
    return err_set(err, ERR_BAD_GATEWAY, "etcd ended the watch: %.*s",
                   STR_ARG(reason.n > 0 ? reason : STR("its history was compacted")));
}

static bool mirror_watch_document(void *arg, const struct json_value *doc, struct err *err)
{
    struct etcd_mirror *m = arg;
    const struct json_value *result = json_value_get(doc, "result");
    const struct json_value *canceled = json_value_get(result, "canceled");
    if (result == NULL)
        return etcd_error(doc, err) != 0 && false;
    if (canceled && canceled->kind == JSON_TRUE)
        return watch_canceled(m, result, err);
    m->watch_created = true;
    uint64_t revision = etcd_u64(json_value_get(result, "header"), "revision");
    const struct json_value *events = json_value_items(json_value_get(result, "events"));
    for (const struct json_value *event = events; event; event = event->next) {
        const struct json_value *kv = json_value_get(event, "kv");
        bool gone = str_is(json_value_text(json_value_get(event, "type")), "DELETE");
        if (!(gone ? mirror_delete(m, kv, err) : mirror_put(m, kv, err)))
            return false;
    }
    mirror_is_current(m);
    if (events == NULL)
        return true;
    m->revision = revision > m->revision ? revision : m->revision;
    m->conf.settled(m->conf.arg);
    return true;
}

static bool mirror_watch_data(void *arg, const struct client_reply *reply UNUSED, struct str piece, struct err *err)
{
    struct etcd_mirror *m = arg;
    bool ok = json_value_reader_feed(&m->reader, piece, err) &&
              (!arena_over(&m->arena, WATCH_DOCUMENT_MAX) || err_set(err, ERR_TOO_LARGE, "a change is too large"));
    if (!ok)
        m->watch_err = *err;
    m->watch_refused = !ok;
    return ok;
}

static void mirror_watch_done(void *arg, const struct client_reply *reply)
{
    struct etcd_mirror *m = arg;
    struct err err = m->watch_refused ? m->watch_err : reply->err;
    bool lasted = m->watch_created && !m->watch_refused;
    m->watch = NULL;
    json_value_reader_free(&m->reader);
    arena_free(&m->arena);
    if (!lasted && !m->list_again && m->watch_endpoint == etcd_endpoint(m->etcd))
        etcd_next_endpoint(m->etcd);
    if (reply->status != 0 && reply->status != 200)
        err_set(&err, ERR_BAD_GATEWAY, "%s: the watch ended with HTTP %d", etcd_name(m->etcd), reply->status);
    else if (!m->watch_refused)
        err_set(&err, ERR_BAD_GATEWAY, "%s: the watch ended", etcd_name(m->etcd));
    mirror_failed(m, &err);
}

static void mirror_watch(struct etcd_mirror *m)
{
    struct etcd *e = m->etcd;
    struct buf url = {0}, body = {0};
    struct json_writer w = {.out = &body};
    const char *headers[] = {"Content-Type: application/json", etcd_authorization(e)};
    json_begin_object(&w);
    json_key(&w, "create_request");
    json_begin_object(&w);
    etcd_put_prefix(&w, str_of(m->prefix));
    json_field_u64(&w, "start_revision", m->revision + 1);
    json_end_object(&w);
    json_end_object(&w);
    etcd_url(e, "/v3/watch", &url);
    m->watch_created = m->watch_refused = m->list_again = false;
    m->watch_endpoint = etcd_endpoint(e);
    buf_clear(&m->from);
    buf_add_str(&m->from, buf_str(&body)); /* borrowed until the call ends */
    arena_init(&m->arena, 0);
    json_value_reader_init(&m->reader, &m->arena);
    m->reader.each = mirror_watch_document;
    m->reader.arg = m;
    m->reader.r.many = true;
    m->watch = client_send(etcd_client(e), &(struct client_request){
        .method = "POST", .url = buf_z(&url), .profile = etcd_profile(e), .headers = headers,
        .n_headers = headers[1] ? 2 : 1, .body = buf_str(&m->from), .data = mirror_watch_data, .done = mirror_watch_done,
        .arg = m});
    buf_free(&url);
    buf_free(&body);
}

/* ---- retries and checks ---- */

static void mirror_retry(struct loop_timer *t)
{
    struct etcd_mirror *m = CONTAINER(t, struct etcd_mirror, retry);
    if (m->complete && !m->list_again && m->list_revision == 0 && m->watch == NULL && m->revision > 0)
        mirror_watch(m);
    else
        mirror_list(m);
}

static void mirror_confirm(struct loop_timer *t) { etcd_mirror_refresh(CONTAINER(t, struct etcd_mirror, confirm)); }

static size_t keys_present(const struct etcd_mirror *m)
{
    size_t n = 0;
    for (struct map_entry *e = map_next(&m->keys, NULL); e; e = map_next(&m->keys, e))
        n += ((struct etcd_key *)e->value.p)->_absent == 0;
    return n;
}

static void mirror_check_done(struct etcd_request *r, const struct etcd_response *response)
{
    struct etcd_mirror *m = CONTAINER(r, struct etcd_mirror, check);
    loop_timer_in(etcd_loop(m->etcd), &m->check_due, CHECK_MS);
    if (m->watch == NULL) /* it has ended since: a list or a retry is under way */
        return;
    if (response->doc == NULL) { /* the watch would not say so */
        mirror_end_watch(m);
        mirror_failed(m, &response->err);
        return;
    }
    const struct json_value *newest = json_value_items(json_value_get(response->doc, "kvs"));
    bool differs = etcd_u64(newest, "mod_revision") > m->revision ||
                   etcd_u64(response->doc, "count") != keys_present(m) ||
                   etcd_u64(json_value_get(response->doc, "header"), "cluster_id") != m->cluster;
    m->differed = differs ? m->differed + 1 : 0;
    if (m->differed >= CHECKS_BEFORE_LIST) {
        mirror_list(m);
    } else if (m->watch_endpoint != etcd_endpoint(m->etcd)) {
        mirror_end_watch(m);
        mirror_watch(m);
    } else if (!differs) {
        mirror_is_current(m);
    }
}

static void mirror_check(struct loop_timer *t)
{
    struct etcd_mirror *m = CONTAINER(t, struct etcd_mirror, check_due);
    struct buf body = {0};
    struct json_writer w = {.out = &body};
    if (m->watch == NULL) {
        loop_timer_in(etcd_loop(m->etcd), t, CHECK_MS);
        return;
    }
    json_begin_object(&w);
    etcd_put_prefix(&w, str_of(m->prefix));
    json_field_i64(&w, "limit", 1);
    json_field_bool(&w, "keys_only", true);
    json_field_z(&w, "sort_order", "DESCEND");
    json_field_z(&w, "sort_target", "MOD");
    json_end_object(&w);
    m->check.done = mirror_check_done;
    etcd_send(m->etcd, &m->check, "/v3/kv/range", buf_str(&body));
    buf_free(&body);
}

/* ---- life ---- */

struct etcd_mirror *etcd_mirror_new(struct etcd *e, const struct etcd_mirror_conf *conf)
{
    struct etcd_mirror *m = mem_zalloc(sizeof *m);
    m->etcd = e;
    m->conf = *conf;
    m->prefix = str_dup(conf->prefix);
    m->retry.run = mirror_retry;
    m->check_due.run = mirror_check;
    m->confirm.run = mirror_confirm;
    loop_timer_in(etcd_loop(e), &m->check_due, CHECK_MS);
    mirror_list(m);
    return m;
}

void etcd_mirror_free(struct etcd_mirror *m)
{
    struct loop *loop = etcd_loop(m->etcd);
    mirror_end_watch(m);
    etcd_cancel(&m->list);
    etcd_cancel(&m->check);
    loop_timer_stop(loop, &m->retry);
    loop_timer_stop(loop, &m->check_due);
    loop_timer_stop(loop, &m->confirm);
    for (struct map_entry *e = map_next(&m->keys, NULL); e; e = map_next(&m->keys, e))
        mem_free(e->value.p);
    map_free(&m->keys);
    buf_free(&m->from);
    mem_free(m->error);
    mem_free(m->prefix);
    mem_free(m);
}
