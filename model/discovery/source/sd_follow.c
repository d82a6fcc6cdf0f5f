// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/source/sd_follow.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "model/discovery/source/sd_poll.h"

#include <string.h>

enum { FOLLOW_TIMEOUT_MS = 60000, FOLLOW_GRACE_MS = 15000, FOLLOW_RETRY_MIN_MS = 1000, FOLLOW_BLOCKING_MOST = 1000 };

static struct sd_follow *follow_of(const struct sd_source *s) { return (struct sd_follow *)(uintptr_t)s; }

static void followed_read(struct sd_followed *w);

static void follow_tell(struct sd_follow *f)
{
    f->has_news = true;
    f->env.news(f->env.arg);
}

/* ---- services ---- */

static void followed_on_due(struct loop_timer *t) { followed_read(CONTAINER(t, struct sd_followed, due)); }
static void followed_on_response(struct sd_request *r, const struct json_value *doc, struct err *err);

static void followed_init(struct sd_followed *w, struct sd_follow *f)
{
    *w = (struct sd_followed){.follow = f, .due.run = followed_on_due, .request.done = followed_on_response};
    sd_parts_init(&w->parts);
}

static void followed_stop(struct sd_followed *w)
{
    struct sd_follow *f = w->follow;
    loop_timer_stop(f->env.main, &w->due);
    sd_request_free(&w->request);
    f->n_failing -= w->failures > 0;
    w->failures = 0;
    w->index = 0;
    w->begun = false;
}

static void followed_free(struct sd_followed *w)
{
    struct sd_follow *f = w->follow;
    followed_stop(w);
    map_remove(&f->services, w->name);
    list_remove(&w->node);
    if (list_linked(&w->changed))
        list_remove(&w->changed);
    sd_parts_free(&w->parts);
    mem_free((char *)w->name.p);
    f->n_services--;
    f->n_read -= w->was_read;
    f->n_ended -= w->ended;
    mem_free(w);
}

static struct sd_followed *follow_add_service(struct sd_follow *f, struct str name)
{
    struct sd_followed *w = mem_alloc(sizeof *w);
    followed_init(w, f);
    w->name = (struct str){str_dup(name), name.n};
    map_set(&f->services, w->name, w);
    list_push_back(&f->order, &w->node);
    f->n_services++;
    return w;
}

void sd_follow_service(struct sd_follow *f, struct str name)
{
    struct sd_followed *w = map_get(&f->services, name);
    if (name.n == 0 || (w && w->mark == f->mark))
        return;
    if (f->n_listed >= FOLLOW_SERVICES_MOST) {
        f->too_many = true;
        return;
    }
    f->n_listed++;
    if (w == NULL)
        w = follow_add_service(f, name);
    w->mark = f->mark;
}

static void followed_set(struct sd_followed *w, struct sd_groups *groups)
{
    sd_parts_set(&w->parts, groups);
    if (sd_parts_changed(&w->parts) && !list_linked(&w->changed))
        list_push_back(&w->follow->changed, &w->changed);
}

/* The service has no instances any more; it is freed after the visit of that. */
static void followed_remove(struct sd_followed *w)
{
    if (w->removed)
        return;
    followed_stop(w);
    w->removed = true;
    if (w->parts.groups)
        followed_set(w, sd_groups_new());
    if (!sd_parts_changed(&w->parts))
        followed_free(w);
}

/* The last ones first: a request that is canceled begins the next one in the client's queue. */
static void follow_accept_list(struct sd_follow *f)
{
    for (struct list *n = f->order.prev, *prev; n != &f->order; n = prev) {
        struct sd_followed *w = CONTAINER(n, struct sd_followed, node);
        prev = n->prev;
        if (w->mark != f->mark)
            followed_remove(w);
    }
    for (struct list *n = f->order.next; n != &f->order; n = n->next) {
        struct sd_followed *w = CONTAINER(n, struct sd_followed, node);
        if (w->mark == f->mark && !w->begun)
            followed_read(w);
    }
}

/* Forgets the services that no earlier list had. */
static void follow_reject_list(struct sd_follow *f)
{
    for (struct list *n = f->order.next, *next; n != &f->order; n = next) {
        struct sd_followed *w = CONTAINER(n, struct sd_followed, node);
        next = n->next;
        if (!w->begun && !w->removed)
            followed_free(w);
    }
}

/* ---- requests ---- */

static int64_t follow_backoff(unsigned failures)
{
    int64_t longest = FOLLOW_RETRY_MIN_MS;
    for (unsigned i = 1; i < failures && longest < FOLLOW_RETRY_MS; i++)
        longest *= 2;
    return sd_jitter(longest > FOLLOW_RETRY_MS ? FOLLOW_RETRY_MS : longest);
}

static void followed_read(struct sd_followed *w)
{
    struct sd_follow *f = w->follow;
    struct buf url = {0};
    const char *headers[] = {f->header};
    bool is_self = w == &f->list && f->ops->self_url && f->ops->self_url(f, &url);
    bool blocks = !is_self && w->index > 0 && f->n_services < FOLLOW_BLOCKING_MOST;
    if (!is_self)
        f->ops->url(f, &url, w->name);
    if (blocks)
        buf_printf(&url, "%sindex=%llu&wait=%ds", url.p[url.n - 1] == '?' ? "" : "&", (unsigned long long)w->index,
                   FOLLOW_WAIT_S);
    w->began = loop_mono(f->env.main);
    w->begun = true;
    w->removed = false;
    sd_request_start(&w->request, &(struct sd_ask){
        .client = blocks ? f->env.blocking(f->env.arg) : f->env.client(f->env.arg), .profile = f->profile,
        .url = buf_str(&url),
        .headers = headers, .n_headers = f->header != NULL, .doubtful = !blocks && w != &f->list,
        .timeout_ms = blocks ? FOLLOW_WAIT_S * INT64_C(1000) + FOLLOW_GRACE_MS : FOLLOW_TIMEOUT_MS});
    buf_free(&url);
}

static void followed_clear_failures(struct sd_followed *w)
{
    struct sd_follow *f = w->follow;
    f->n_failing -= w->failures > 0;
    w->failures = 0;
    if (f->error == NULL || f->n_failing > 0)
        return;
    log_info("sd", "service discovery responds again", f->env.owner.kind, f->env.owner.name.p, "source", f->shown);
    mem_free(f->error);
    f->error = NULL;
    f->failing_since = 0;
}

static void followed_note_end(struct sd_followed *w, bool was_read)
{
    struct sd_follow *f = w->follow;
    bool is_service = w != &f->list;
    f->n_ended += is_service && !w->ended;
    f->n_read += is_service && was_read && !w->was_read;
    w->ended = true;
    w->was_read = w->was_read || was_read;
}

static void followed_failed(struct sd_followed *w, const char *why)
{
    struct sd_follow *f = w->follow;
    stats_add(&sd_stats, f->failures, 1);
    if (f->failing_since == 0)
        f->failing_since = loop_mono(f->env.main);
    if (f->error == NULL || strcmp(f->error, why) != 0) {
        log_warn("sd", "service discovery failed; keeping its previous targets and retrying", f->env.owner.kind,
                 f->env.owner.name.p, "source", f->shown, "err", why);
        mem_free(f->error);
        f->error = mem_strdup(why);
    }
    f->n_failing += w->failures++ == 0;
    followed_note_end(w, false);
    loop_timer_in(f->env.main, &w->due, follow_backoff(w->failures));
}

static void followed_succeeded(struct sd_followed *w)
{
    struct sd_follow *f = w->follow;
    int64_t next = w->began + f->interval - loop_mono(f->env.main);
    followed_clear_failures(w);
    followed_note_end(w, true);
    loop_timer_in(f->env.main, &w->due, next > 0 ? next : 0);
}

static bool follow_needs_self(struct sd_follow *f)
{
    struct buf url = {0};
    bool needs = f->ops->self_url && f->ops->self_url(f, &url);
    buf_free(&url);
    return needs;
}

static void follow_begin(struct sd_follow *f)
{
    if (!f->fixed || follow_needs_self(f)) {
        followed_read(&f->list);
        return;
    }
    for (struct list *n = f->order.next; n != &f->order; n = n->next)
        followed_read(CONTAINER(n, struct sd_followed, node));
}

static bool followed_take_services(struct sd_followed *w, const struct json_value *doc, struct err *err)
{
    struct sd_follow *f = w->follow;
    f->mark++;
    f->n_listed = 0;
    f->too_many = false;
    bool ok = f->ops->services(f, doc, err);
    if (ok && f->too_many)
        ok = err_set(err, ERR_TOO_LARGE, "%s: more than %d services", f->shown, FOLLOW_SERVICES_MOST);
    if (ok)
        follow_accept_list(f);
    else
        follow_reject_list(f);
    return ok;
}

static bool followed_take_instances(struct sd_followed *w, const struct json_value *doc, struct err *err)
{
    struct sd_follow *f = w->follow;
    struct sd_build build;
    sd_build_start(&build);
    f->ops->instances(f, &build, w->name, doc);
    if (sd_build_is_full(&build)) {
        sd_build_drop(&build);
        return err_set(err, ERR_TOO_LARGE, "%s: its targets and their labels need too much memory", f->shown);
    }
    followed_set(w, build.groups);
    return true;
}

/* Whether the list is as it was. */
static bool followed_is_unchanged(struct sd_followed *w, uint64_t index)
{
    bool same = w->was_read && index > 0 && index == w->index;
    w->index = index < w->index ? 0 : index;
    return same;
}

static void followed_on_response(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct sd_followed *w = CONTAINER(r, struct sd_followed, request);
    struct sd_follow *f = w->follow;
    struct err why = doc ? (struct err){0} : *err;
    bool is_list = w == &f->list, is_self = is_list && follow_needs_self(f), ok = doc != NULL;
    bool same = ok && !is_self && followed_is_unchanged(w, r->index), failed_before = w->failures > 0;
    if (ok && is_self)
        ok = f->ops->self(f, doc, &why);
    else if (ok && !same)
        ok = is_list ? followed_take_services(w, doc, &why) : followed_take_instances(w, doc, &why);
    sd_request_free(r);
    if (!ok) {
        w->index = 0;
        followed_failed(w, why.text);
    } else if (is_self) {
        followed_clear_failures(w);
        follow_begin(f);
    } else {
        followed_succeeded(w);
    }
    if (!same || failed_before)
        follow_tell(f);
}

/* ---- as a source ---- */

static bool follow_was_read(const struct sd_follow *f)
{
    return (f->fixed || f->list.was_read) && f->n_read == f->n_services;
}

static bool follow_has_ended(const struct sd_follow *f)
{
    return f->list.failures > 0 || ((f->fixed || f->list.ended) && f->n_ended == f->n_services);
}

static bool follow_has_changes(const struct sd_follow *f) { return !list_empty(&f->changed); }

static void follow_on_late(struct loop_timer *t)
{
    struct sd_follow *f = CONTAINER(t, struct sd_follow, late);
    f->late_passed = true;
    follow_tell(f);
}

static void follow_source_free(struct sd_source *s)
{
    struct sd_follow *f = follow_of(s);
    while (!list_empty(&f->order)) /* the last ones first, as above */
        followed_free(CONTAINER(f->order.prev, struct sd_followed, node));
    followed_stop(&f->list);
    loop_timer_stop(f->env.main, &f->late);
    sd_parts_free(&f->list.parts);
    map_free(&f->services);
    client_profile_unref(f->profile);
    mem_free((char *)f->env.owner.name.p);
    mem_free((char *)f->found.source.p);
    mem_free((char *)s->key.p);
    mem_free(f->shown);
    mem_free(f->error);
    f->ops->free(f);
}

static void follow_source_start(struct sd_source *s, struct dir_watch *dirs UNUSED)
{
    struct sd_follow *f = follow_of(s);
    if (f->started)
        return;
    f->started = true;
    loop_timer_in(f->env.main, &f->late, SD_POLL_LATE_MS);
    follow_begin(f);
}

static struct sd_source_state follow_source_state(const struct sd_source *s)
{
    const struct sd_follow *f = follow_of(s);
    bool ended = follow_has_ended(f), was_read = follow_was_read(f);
    return (struct sd_source_state){
        .reads = f->started && !ended && !f->late_passed,
        .awaited = f->started && !f->late_passed && (!ended || (was_read && !f->drained)),
        .was_read = was_read, .has_some = was_read || f->n_read > 0,
        .lost = !was_read && sd_failing_for_long(f->env.main, f->failing_since), .has_news = f->has_news};
}

static bool follow_source_take_news(struct sd_source *s)
{
    struct sd_follow *f = follow_of(s);
    bool changed = follow_has_changes(f);
    f->has_news = false;
    f->drained = f->drained || (!changed && follow_was_read(f));
    return changed;
}

/* After a visit, which begins with the first that has changed. */
static void follow_end_visit(struct sd_follow *f)
{
    while (!list_empty(&f->changed)) {
        struct sd_followed *w = CONTAINER(f->changed.next, struct sd_followed, changed);
        if (sd_parts_changed(&w->parts))
            break;
        list_remove(&w->changed);
        if (w->removed)
            followed_free(w);
    }
    f->drained = f->drained || (follow_was_read(f) && !follow_has_changes(f));
}

static void follow_source_visit(struct sd_source *s, struct map *seen UNUSED, sd_visit_fn *visit, void *arg)
{
    struct sd_follow *f = follow_of(s);
    struct sd_found_visit v = {&f->found, visit, arg};
    for (struct list *n = f->order.next; n != &f->order; n = n->next)
        sd_parts_visit(&CONTAINER(n, struct sd_followed, node)->parts, sd_found_visit_part, &v);
    follow_end_visit(f);
}

static void follow_source_visit_whole(struct sd_source *s, struct map *seen UNUSED, sd_visit_fn *visit, void *arg)
{
    struct sd_follow *f = follow_of(s);
    struct sd_found found = f->found;
    for (struct list *n = f->order.next; n != &f->order; n = n->next) {
        struct sd_followed *w = CONTAINER(n, struct sd_followed, node);
        sd_parts_settle(&w->parts);
        found.groups = w->parts.groups;
        visit(arg, &found);
    }
    follow_end_visit(f);
}

static void follow_source_visit_changed(struct sd_source *s, sd_visit_fn *visit, void *arg)
{
    struct sd_follow *f = follow_of(s);
    struct sd_found_visit v = {&f->found, visit, arg};
    int64_t until = loop_slice_end(f->env.main);
    for (struct list *n = f->changed.next; n != &f->changed; n = n->next) {
        sd_parts_visit_changed(&CONTAINER(n, struct sd_followed, changed)->parts, until, sd_found_visit_part, &v);
        if (clock_mono_ns() >= until)
            break;
    }
    follow_end_visit(f);
    if (follow_has_changes(f))
        follow_tell(f);
}

static bool follow_hangs(const struct sd_follow *f) { return f->late_passed && !follow_has_ended(f); }

static void follow_source_show(const struct sd_source *s, struct sd_status *out, struct map *seen UNUSED)
{
    out->unanswered += follow_of(s)->error != NULL || follow_hangs(follow_of(s));
}

static void follow_source_explain(const struct sd_source *s, struct buf *out)
{
    const struct sd_follow *f = follow_of(s);
    sd_explain_reads(out, f->shown, f->error, follow_hangs(f), follow_has_ended(f));
}

static const struct sd_source_ops follow_source_ops = {
    .free = follow_source_free, .start = follow_source_start, .state = follow_source_state,
    .take_news = follow_source_take_news, .visit = follow_source_visit, .visit_whole = follow_source_visit_whole,
    .visit_changed = follow_source_visit_changed, .show = follow_source_show, .explain = follow_source_explain};

void sd_follow_init(struct sd_follow *f, const struct sd_follow_ops *ops, const struct sd_source_env *env,
                    int64_t interval, enum sd_stat failures, struct client_profile *profile,
                    const struct sd_found *found, const char *shown, struct str key)
{
    *f = (struct sd_follow){.source = {.ops = &follow_source_ops, .key = {str_dup(key), key.n}}, .ops = ops,
                            .env = *env, .interval = interval, .failures = failures, .profile = profile,
                            .found = *found, .shown = mem_strdup(shown), .late.run = follow_on_late};
    f->env.owner.name = str_of(str_dup(env->owner.name));
    f->found.source = str_of(str_dup(found->source));
    f->source.reads = &f->found;
    list_init(&f->order);
    list_init(&f->changed);
    followed_init(&f->list, f);
}
