// SPDX-License-Identifier: Apache-2.0
/* Lists, then watches (https://kubernetes.io/docs/reference/using-api/api-concepts/).
 *
 * 1. The list is read page by page. The first page may be any state that the server has in its cache (resourceVersion=0);
 *    after "410 Gone" it must be the newest. An object is in force as soon as it is read; those that a complete list does
 *    not have are removed at its end, so that a list that fails half-way loses nothing.
 * 2. The watch begins at the list's resourceVersion: a response without an end, of one JSON document a line. Each has a
 *    newer version, from which the next watch begins when this one ends; bookmarks bring versions when nothing changes.
 * 3. "410 Gone", as the status or as an event, means that the version is too old: 1. Likewise a version that is newer than
 *    all that the server has: it was restored from a backup.
 *
 * A failed request is repeated after a time that doubles from RETRY_MS to RETRY_MOST_MS, half of it random, and not before
 * the server's Retry-After. A watch that ends, also with its connection, is continued at once; one that was short after a
 * pause, and without an event it has failed.
 */
#include "model/discovery/kubernetes/kube_watch_internal.h"

#include "base/hash.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "base/text/url.h"
#include "model/discovery/groups/sd_stats.h"

enum {
    WATCHES_AT_ONCE = 1024,
    PAGE_OBJECTS = 500,
    RETRY_MS = 1000, RETRY_MOST_MS = 30000, RETRY_AFTER_MOST_MS = 300000,
    WATCH_S = 300,               /* a watch lasts from this to twice as long */
    SHORT_WATCH_MS = 1000,       /* one that ends earlier is not continued at once */
    LIST_IDLE_MS = 65000,        /* without a byte: an API server gives up after 60 s */
    WATCH_IDLE_MS = 180000,      /* bookmarks come about once a minute */
    STATUS_MAX = 4096,           /* bytes of the body of an error */
};

/* ---- objects ---- */

static void notify_changed(struct kube_watch *w, struct str key, const struct kube_object *now)
{
    for (struct list *n = w->readers.next; n != &w->readers; n = n->next) {
        struct kube_reader *r = CONTAINER(n, struct kube_reader, node);
        r->changed(r, key, now);
    }
}

static void notify_state(struct kube_watch *w)
{
    for (struct list *n = w->readers.next, *next; n != &w->readers; n = next) {
        next = n->next;
        struct kube_reader *r = CONTAINER(n, struct kube_reader, node);
        r->state(r);
    }
}

static void watch_drop_object(struct kube_watch *w, struct kube_object *o)
{
    map_remove(&w->objects, o->key);
    w->bytes -= kube_object_bytes(o);
    notify_changed(w, o->key, NULL);
    mem_free(o);
}

static bool watch_keep_object(struct kube_watch *w, struct kube_object *o, struct err *err)
{
    bool added;
    o->mark = w->mark;
    struct map_entry *e = map_add(&w->objects, o->key, &added);
    struct kube_object *before = added ? NULL : e->value.p;
    if (before && kube_object_equal(before, o)) {
        before->mark = w->mark;
        mem_free(o);
        return true;
    }
    size_t bytes = kube_object_bytes(o), freed = before ? kube_object_bytes(before) : 0;
    if (w->bytes - freed + bytes > KUBE_OBJECTS_MAX) {
        if (added)
            map_remove(&w->objects, o->key);
        mem_free(o);
        w->too_large = true;
        return err_set(err, ERR_TOO_LARGE, "its objects take more than %zu MiB", KUBE_OBJECTS_MAX >> 20);
    }
    e->key = o->key;
    e->value.p = o;
    w->bytes += bytes - freed;
    notify_changed(w, o->key, o);
    mem_free(before);
    return true;
}

static bool watch_take_object(struct kube_watch *w, const struct json_value *v, struct err *err)
{
    struct kube_object *o = kube_object_new(w->resource, v);
    return o == NULL || watch_keep_object(w, o, err);
}

static void watch_remove_object(struct kube_watch *w, const struct json_value *v)
{
    struct kube_object *o = kube_object_new(w->resource, v), *kept = o ? map_get(&w->objects, o->key) : NULL;
    mem_free(o);
    if (kept)
        watch_drop_object(w, kept);
}

/* Those that the complete list does not have. */
static void watch_sweep(struct kube_watch *w)
{
    struct kube_object **old = mem_alloc((w->objects.n + 1) * sizeof *old);
    size_t n = 0;
    for (struct map_entry *e = map_next(&w->objects, NULL); e; e = map_next(&w->objects, e))
        if (((struct kube_object *)e->value.p)->mark != w->mark)
            old[n++] = e->value.p;
    for (size_t i = 0; i < n; i++)
        watch_drop_object(w, old[i]);
    mem_free(old);
}

/* ---- versions ---- */

static void watch_set_text(char **to, struct str text)
{
    mem_free(*to);
    *to = text.n > 0 ? str_dup(text) : NULL;
}

static void watch_forget_version(struct kube_watch *w)
{
    watch_set_text(&w->version, STR_NONE);
    watch_set_text(&w->next, STR_NONE);
    w->newest = true;
}

/* ---- the response ---- */

static void watch_succeeded(struct kube_watch *w)
{
    bool news = w->error != NULL;
    if (news)
        log_info("sd", "the Kubernetes API responds again", "url", w->shown);
    mem_free(w->error);
    w->error = NULL;
    w->failures = 0;
    if (news)
        notify_state(w);
}

/* A watch may have nothing to say for long. */
static void watch_on_head(void *arg, const struct client_reply *reply)
{
    struct kube_watch *w = arg;
    w->accepted = reply->status == 200;
    if (w->accepted && w->watches)
        loop_timer_in(w->owner->main, &w->settled, SHORT_WATCH_MS);
}

static void watch_on_settled(struct loop_timer *t) { watch_succeeded(CONTAINER(t, struct kube_watch, settled)); }

static bool watch_on_item(void *arg, const struct json_value *item, struct err *err)
{
    return watch_take_object(arg, item, err);
}

static bool status_is_too_new(const struct json_value *status)
{
    for (const struct json_value *c = json_value_items(kube_at(status, "details", "causes", NULL)); c; c = c->next)
        if (str_is(json_value_text(json_value_get(c, "reason")), "ResourceVersionTooLarge"))
            return true;
    return false;
}

/* An error that the server sends instead of a change. */
static bool watch_on_error(struct kube_watch *w, const struct json_value *status, struct err *err)
{
    double code = json_value_number(json_value_get(status, "code"));
    struct str reason = json_value_text(json_value_get(status, "reason"));
    w->gone = code == 410 || str_is(reason, "Gone") || str_is(reason, "Expired") || status_is_too_new(status);
    return err_set(err, ERR_BAD_GATEWAY, "%.*s", STR_ARG(json_value_text(json_value_get(status, "message"))));
}

static bool watch_on_event(void *arg, const struct json_value *event, struct err *err)
{
    struct kube_watch *w = arg;
    struct str type = json_value_text(json_value_get(event, "type"));
    const struct json_value *object = json_value_get(event, "object");
    bool ok = true;
    if (str_is(type, "ERROR"))
        return watch_on_error(w, object, err);
    if (str_is(type, "ADDED") || str_is(type, "MODIFIED"))
        ok = watch_take_object(w, object, err);
    else if (str_is(type, "DELETED"))
        watch_remove_object(w, object);
    else if (!str_is(type, "BOOKMARK"))
        return err_set(err, ERR_BAD_GATEWAY, "unknown type of event \"%.*s\"", STR_ARG(type));
    struct str version = json_value_scalar(kube_at(object, "metadata", "resourceVersion", NULL));
    if (ok && version.n > 0)
        watch_set_text(&w->version, version);
    if (ok && w->events++ == 0)
        watch_succeeded(w);
    return ok;
}

static bool watch_on_data(void *arg, const struct client_reply *reply, struct str piece, struct err *err)
{
    struct kube_watch *w = arg;
    loop_timer_in(w->owner->main, &w->idle, w->watches ? WATCH_IDLE_MS : LIST_IDLE_MS);
    if (reply->status != 200) {
        buf_add_str(&w->status, str_first(piece, STATUS_MAX - w->status.n));
        return true;
    }
    bool ok = json_value_reader_feed(&w->reader, piece, err) &&
              (!arena_over(&w->arena, KUBE_OBJECT_MAX) ||
               err_set(err, ERR_TOO_LARGE, "an object takes more than %d MiB", KUBE_OBJECT_MAX >> 20));
    w->refused = !ok;
    return ok || err_wrap(err, "%s", w->shown);
}

/* ---- the end of a request ---- */

static void watch_clear_request(struct kube_watch *w)
{
    w->call = NULL;
    json_value_reader_free(&w->reader);
    arena_free(&w->arena);
    buf_free(&w->status);
    w->status = (struct buf){0};
    loop_timer_stop(w->owner->main, &w->idle);
    loop_timer_stop(w->owner->main, &w->settled);
}

/* At least half of `ms`. */
static int64_t watch_jitter(struct kube_watch *w, int64_t ms)
{
    uint64_t drawn = hash_keyed(&w->owner->drawn, sizeof w->owner->drawn);
    w->owner->drawn++;
    return ms / 2 + (int64_t)(drawn % (uint64_t)(ms / 2 + 1));
}

/* But for numbers, such as times. */
static bool same_words(const char *a, const char *b)
{
    for (;; a++, b++) {
        a += strspn(a, "0123456789");
        b += strspn(b, "0123456789");
        if (*a != *b)
            return false;
        if (*a == 0)
            return true;
    }
}

static void watch_failed(struct kube_watch *w, const char *why, int64_t at_least)
{
    struct loop *main = w->owner->main;
    bool news = w->error == NULL || !same_words(w->error, why);
    int64_t wait = RETRY_MOST_MS;
    if (w->failures < 5)
        wait = (int64_t)RETRY_MS << w->failures;
    wait = watch_jitter(w, wait < RETRY_MOST_MS ? wait : RETRY_MOST_MS);
    wait = wait > at_least ? wait : at_least;
    if (w->failures++ == 0)
        w->failing_since = loop_mono(main);
    stats_add(&sd_stats, SD_KUBERNETES_FAILURES, 1);
    loop_timer_in(main, &w->due, wait);
    if (!news)
        return;
    log_warn("sd", "request to the Kubernetes API failed; keeping the previous targets and retrying", "url", w->shown,
             "err", why, LOG_I64("retry_in_ms", wait));
    mem_free(w->error);
    w->error = mem_strdup(why);
    notify_state(w);
}

/* "HTTP 403: pods is forbidden: ..." */
static void watch_read_status(struct kube_watch *w, int status, struct err *err)
{
    struct arena a;
    struct json_value_reader reader;
    struct err why = {0};
    arena_init(&a, 0);
    json_value_reader_init(&reader, &a);
    const struct json_value *doc =
        json_value_reader_feed(&reader, buf_str(&w->status), &why) ? json_value_reader_finish(&reader, &why) : NULL;
    struct str message = json_value_text(json_value_get(doc, "message"));
    w->gone = status == 410 || status_is_too_new(doc);
    err_set(err, ERR_BAD_GATEWAY, "HTTP %d%s%.*s", status, message.n > 0 ? ": " : "", STR_ARG(message));
    json_value_reader_free(&reader);
    arena_free(&a);
}

static bool watch_end_page(struct kube_watch *w, struct err *err)
{
    const struct json_value *doc = json_value_reader_finish(&w->reader, err);
    if (doc == NULL)
        return false;
    struct str version = json_value_scalar(kube_at(doc, "metadata", "resourceVersion", NULL));
    const struct json_value *items = json_value_get(doc, "items");
    if (version.n == 0 || items == NULL || (items->kind != JSON_ARRAY && items->kind != JSON_NULL))
        return err_set(err, ERR_BAD_GATEWAY, "the response has no metadata.resourceVersion, or no items: it is no list");
    struct str next = json_value_scalar(kube_at(doc, "metadata", "continue", NULL));
    bool goes_on = next.n > 0 && sd_pages_next(&w->pages, next, w->shown, err);
    watch_set_text(&w->next, goes_on ? next : STR_NONE);
    if (next.n > 0)
        return goes_on;
    watch_set_text(&w->version, version);
    w->newest = false;
    w->listed = loop_mono(w->owner->main);
    watch_sweep(w);
    return true;
}

static void watch_end_list(struct kube_watch *w)
{
    bool first = w->version && !w->synced;
    if (w->version)
        w->synced = true;
    watch_clear_request(w);
    watch_succeeded(w);
    kube_watch_begin(w);
    if (first)
        notify_state(w);
}

/* Whether `then` is less than SHORT_WATCH_MS ago. */
static bool watch_just_now(const struct kube_watch *w, int64_t then) { return loop_mono(w->owner->main) - then < SHORT_WATCH_MS; }

/* A watch that has begun ends in time, or when its connection does: it is continued. */
static bool watch_may_continue(const struct kube_watch *w)
{
    return w->watches && w->accepted && !w->refused && (w->events > 0 || !watch_just_now(w, w->began));
}

static void watch_continue(struct kube_watch *w)
{
    bool was_short = watch_just_now(w, w->began);
    watch_clear_request(w);
    if (was_short)
        loop_timer_in(w->owner->main, &w->due, SHORT_WATCH_MS);
    else
        kube_watch_begin(w);
}

/* The version is too old, or too new. */
static void watch_start_over(struct kube_watch *w)
{
    bool again = w->newest || watch_just_now(w, w->listed); /* that of the list itself: not at once */
    watch_clear_request(w);
    watch_forget_version(w);
    if (again)
        watch_failed(w, "the API server expires lists while they are read, or at once", 0);
    else
        kube_watch_begin(w);
}

static int64_t watch_retry_after(const struct kube_watch *w, const struct client_reply *reply)
{
    int64_t wait;
    if (reply->retry_after.n == 0 || !retry_after_parse(reply->retry_after, loop_now(w->owner->main), &wait) || wait < 0)
        return 0;
    return wait < RETRY_AFTER_MOST_MS ? wait : RETRY_AFTER_MOST_MS;
}

/* Without the parameters that differ from request to request. */
static void watch_shorten_url(const struct kube_watch *w, struct err *err)
{
    struct buf text = {0};
    size_t at = str_find_str(str_of(err->text), str_of(w->shown)), end = at + strlen(w->shown);
    if (end > strlen(err->text))
        return;
    buf_add(&text, err->text, end);
    const char *rest = err->text + end;
    buf_add_z(&text, rest + strcspn(rest, ": "));
    err_set(err, err->kind, "%s", buf_z(&text));
    buf_free(&text);
}

static void watch_on_done(void *arg, const struct client_reply *reply)
{
    struct kube_watch *w = arg;
    struct err err = {0};
    if (reply->status != 0 && reply->status != 200)
        watch_read_status(w, reply->status, &err);
    if (w->gone) {
        watch_start_over(w);
        return;
    }
    if (reply->status == 200 && !w->watches && watch_end_page(w, &err)) {
        watch_end_list(w);
        return;
    }
    if (watch_may_continue(w)) {
        watch_continue(w);
        return;
    }
    if (reply->status == 200 && w->watches) {
        err_set(&err, ERR_BAD_GATEWAY, "%s: the watch ended at once", w->shown);
    } else if (reply->status == 0) {
        err = reply->err;
        watch_shorten_url(w, &err);
    } else {
        err_wrap(&err, "%s", w->shown);
    }
    if (w->too_large) /* what is kept may be incomplete */
        watch_forget_version(w);
    client_hide_secrets_in(w->profile, str_of(w->url), err.text, sizeof err.text);
    int64_t wait = watch_retry_after(w, reply);
    watch_clear_request(w);
    watch_failed(w, err.text, wait);
}

/* ---- requests ---- */

static void watch_add_parameters(struct kube_watch *w, struct buf *url)
{
    if (w->watches) {
        buf_printf(url, "watch=1&allowWatchBookmarks=true&timeoutSeconds=%d&resourceVersion=",
                   (int)(watch_jitter(w, 2 * WATCH_S * INT64_C(1000)) / 1000));
        url_encode(url, str_of(w->version));
        return;
    }
    buf_printf(url, "limit=%d", PAGE_OBJECTS);
    if (w->next) {
        buf_add_z(url, "&continue=");
        url_encode(url, str_of(w->next));
    } else if (!w->newest) {
        buf_add_z(url, "&resourceVersion=0");
    }
}

void kube_watch_begin(struct kube_watch *w)
{
    struct kube_watches *all = w->owner;
    struct buf url = {0};
    static const char *const headers[] = {"Accept: application/json"};
    loop_timer_stop(all->main, &w->due);
    w->watches = w->version != NULL;
    w->gone = w->too_large = w->accepted = w->refused = false;
    w->events = 0;
    w->began = loop_mono(all->main);
    if (!w->watches && w->next == NULL) {
        w->mark++;
        sd_pages_clear(&w->pages);
    }
    buf_add_z(&url, w->url);
    watch_add_parameters(w, &url);
    arena_init(&w->arena, 0);
    json_value_reader_init(&w->reader, &w->arena);
    w->reader.skip = "managedFields";
    w->reader.arg = w;
    w->reader.each = w->watches ? watch_on_event : watch_on_item;
    w->reader.items = w->watches ? NULL : "items";
    w->reader.r.many = w->watches;
    if (all->client == NULL)
        all->client = client_new(all->main, &(struct client_settings){.max_inflight = WATCHES_AT_ONCE});
    w->call = client_send(all->client, &(struct client_request){
        .method = "GET", .url = buf_z(&url), .profile = w->profile, .headers = headers, .n_headers = LEN(headers),
        .slot = (uint32_t)hash_bytes(w->key, strlen(w->key)), .accept_gzip = !w->watches, .head = watch_on_head, .data = watch_on_data,
        .done = watch_on_done, .arg = w});
    loop_timer_in(all->main, &w->idle, w->watches ? WATCH_IDLE_MS : LIST_IDLE_MS);
    buf_free(&url);
}

static void watch_on_due(struct loop_timer *t) { kube_watch_begin(CONTAINER(t, struct kube_watch, due)); }

/* A connection that is dead without saying so. A watch continues where it was. */
static void watch_on_idle(struct loop_timer *t)
{
    struct kube_watch *w = CONTAINER(t, struct kube_watch, idle);
    struct buf why = {0};
    kube_watch_end(w);
    if (w->watches) {
        kube_watch_begin(w);
        return;
    }
    buf_printf(&why, "%s: no response for %d s", w->shown, LIST_IDLE_MS / 1000);
    watch_failed(w, buf_z(&why), 0);
    buf_free(&why);
}

void kube_watch_end(struct kube_watch *w)
{
    if (w->call == NULL)
        return;
    client_cancel(w->call);
    watch_clear_request(w);
}

void kube_watch_init_timers(struct kube_watch *w)
{
    w->due.run = watch_on_due;
    w->idle.run = watch_on_idle;
    w->settled.run = watch_on_settled;
}
