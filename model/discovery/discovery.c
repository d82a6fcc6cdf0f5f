// SPDX-License-Identifier: Apache-2.0
/* The sources of one job or group.
 *
 * A reload keeps the sources whose settings have not changed, with their targets. Removed sources that have targets are
 * retired: they are still read, and their targets remain in force, until all new sources have been read once, so that a
 * job whose new files hang keeps its targets. The wait for a part that has failed for SD_LOST_MS and was never read (a
 * service that Consul refuses to list, one name of many) ends, unless nothing at all was read, or nothing of the server
 * that the retired source read.
 */
#include "model/discovery/discovery_internal.h"

#include "base/telemetry/log.h"
#include "base/text/url.h"

#include <string.h>

/* News of a source wait for the others, unless these hang, or have been reading ever since. */
enum { NEWS_MS = 1000 };

/* ---- sources ---- */

static void sources_add(struct sd_sources *list, struct sd_source *s)
{
    if (list->n == list->cap)
        mem_grow(&list->items, &list->cap, list->n + 1, sizeof *list->items);
    list->items[list->n++] = s;
}

static struct sd_source *sources_take(struct sd_sources *list, struct str key)
{
    for (size_t i = 0; i < list->n; i++) {
        struct sd_source *s = list->items[i];
        if (s == NULL || !str_eq(s->key, key))
            continue;
        list->items[i] = NULL;
        return s;
    }
    return NULL;
}

static void sources_free(struct sd_sources *list)
{
    for (size_t i = 0; i < list->n; i++)
        list->items[i]->ops->free(list->items[i]);
    mem_free(list->items);
    *list = (struct sd_sources){0};
}

/* Or the same source of the previous configuration. */
static void discovery_add_source(struct discovery *d, struct sd_sources *before, struct sd_source *s)
{
    struct sd_source *same = sources_take(before, s->key);
    if (same)
        s->ops->free(s);
    sources_add(&d->sources, same ? same : s);
}

static void discovery_failed(const struct discovery *d, const char *kind, const struct err *err)
{
    log_error("sd", "cannot read service discovery; its targets are missing", d->owner.kind, d->owner.name.p, "kind", kind,
              "err", err->text);
}

static void discovery_set_files(struct discovery *d, struct sd_sources *before, const struct file_sd *sd)
{
    struct buf scratch = {0};
    struct sd_source_env env = sd_manager_source_env(d->manager, d->owner);
    struct err err;
    for (size_t i = 0; i < sd->files.n; i++) {
        struct str pattern = sd->files.items[i];
        bool url = url_is_http(pattern);
        struct sd_source *s = url ? http_source_of_file(&env, pattern, sd->refresh_interval, &err)
                                  : sources_take(before, files_source_key(&scratch, pattern));
        if (url && s)
            discovery_add_source(d, before, s);
        else if (url)
            discovery_failed(d, "file_sd_configs", &err);
        else
            sources_add(&d->sources, s ? s : files_source_new(&env, pattern));
    }
    if (d->file_interval == 0 || sd->refresh_interval < d->file_interval)
        d->file_interval = sd->refresh_interval;
    buf_free(&scratch);
}

static void discovery_set_servers(struct discovery *d, struct sd_sources *before, const struct sd_conf *conf)
{
    struct err err;
    struct sd_server_conf one;
    struct sd_source_env env = sd_manager_source_env(d->manager, d->owner);
    for (size_t at = 0; sd_conf_next_server(conf, &at, &one); ) {
        struct sd_source *s = sd_server_makers[one.kind](&env, one.server, &err);
        if (s)
            discovery_add_source(d, before, s);
        else
            discovery_failed(d, one.key, &err);
    }
}

static void discovery_set_names(struct discovery *d, struct sd_sources *before, const struct dns_sd *sd)
{
    struct sd_source_env env = sd_manager_source_env(d->manager, d->owner);
    for (size_t i = 0; i < sd->names.n; i++)
        discovery_add_source(d, before, dns_source_new(&env, sd, sd->names.items[i]));
}

/* One without targets has none to keep in force: reloads while a server is down must not add up its sources. */
static void discovery_retire(struct discovery *d, struct sd_source *s)
{
    if (s->ops->state(s).has_some)
        sources_add(&d->retired, s);
    else
        s->ops->free(s);
}

void discovery_set(struct discovery *d, const struct sd_conf *conf)
{
    struct sd_sources before = d->sources;
    int64_t file_interval = d->file_interval;
    d->sources = (struct sd_sources){0};
    d->file_interval = 0;
    for (size_t i = 0; i < conf->file_sd_configs.n; i++)
        discovery_set_files(d, &before, (const struct file_sd *)conf->file_sd_configs.items + i);
    discovery_set_servers(d, &before, conf);
    for (size_t i = 0; i < conf->dns_sd_configs.n; i++)
        discovery_set_names(d, &before, (const struct dns_sd *)conf->dns_sd_configs.items + i);
    for (size_t i = 0; i < before.n; i++)
        if (before.items[i])
            discovery_retire(d, before.items[i]);
    mem_free(before.items);
    d->shared = true; /* not known yet */
    if (d->retired.n == 0)
        return;
    if (d->file_interval == 0)
        d->file_interval = file_interval;
    loop_timer_in(sd_manager_loop(d->manager), &d->retire, SD_LOST_MS);
}

static void discovery_on_retire(struct loop_timer *t)
{
    struct discovery *d = CONTAINER(t, struct discovery, retire);
    if (d->retired.n == 0)
        return;
    d->retire_due = true;
    loop_timer_in(sd_manager_loop(d->manager), &d->retire, SD_LOST_MS);
    sd_manager_tell_news(d->manager);
}

struct discovery *discovery_new(struct sd_manager *m, struct sd_owner owner)
{
    struct discovery *d = mem_zalloc(sizeof *d);
    d->manager = m;
    d->owner = (struct sd_owner){owner.kind, str_of(str_dup(owner.name))};
    d->retire.run = discovery_on_retire;
    sd_manager_add(m, d);
    return d;
}

void discovery_free(struct discovery *d)
{
    list_remove(&d->node);
    loop_timer_stop(sd_manager_loop(d->manager), &d->retire);
    sources_free(&d->retired);
    sources_free(&d->sources);
    mem_free((char *)d->owner.name.p);
    mem_free(d);
}

void discovery_start(struct discovery *d, struct dir_watch *dirs)
{
    for (size_t i = 0; i < d->sources.n; i++)
        d->sources.items[i]->ops->start(d->sources.items[i], dirs);
}

static void sources_poll(const struct sd_sources *list, struct dir_watch *dirs)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->items[i]->ops->poll)
            list->items[i]->ops->poll(list->items[i], dirs);
}

void discovery_poll(struct discovery *d, struct dir_watch *dirs)
{
    sources_poll(&d->sources, dirs);
    sources_poll(&d->retired, dirs);
}

static struct sd_source_state discovery_state(const struct discovery *d)
{
    struct sd_source_state all = {.was_read = true};
    for (size_t i = 0; i < d->sources.n; i++) {
        struct sd_source_state s = d->sources.items[i]->ops->state(d->sources.items[i]);
        all.reads = all.reads || s.reads;
        all.awaited = all.awaited || s.awaited;
        all.was_read = all.was_read && s.was_read;
        all.has_news = all.has_news || s.has_news;
    }
    for (size_t i = 0; i < d->retired.n; i++)
        all.has_news = all.has_news || d->retired.items[i]->ops->state(d->retired.items[i]).has_news;
    return all;
}

bool discovery_awaited(const struct discovery *d) { return discovery_state(d).awaited; }
bool discovery_was_read(const struct discovery *d) { return discovery_state(d).was_read; }

/* ---- the targets in force ---- */

void discovery_visit(struct discovery *d, sd_visit_fn *visit, void *arg)
{
    struct map seen = {0};
    for (size_t i = 0; i < d->sources.n; i++)
        d->sources.items[i]->ops->visit(d->sources.items[i], &seen, visit, arg);
    for (size_t i = 0; i < d->retired.n; i++)
        d->retired.items[i]->ops->visit(d->retired.items[i], &seen, visit, arg);
    map_free(&seen);
}

static void sources_visit_changed(const struct sd_sources *list, sd_visit_fn *visit, void *arg)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->items[i]->ops->visit_changed)
            list->items[i]->ops->visit_changed(list->items[i], visit, arg);
}

void discovery_visit_changed(struct discovery *d, sd_visit_fn *visit, void *arg)
{
    sources_visit_changed(&d->sources, visit, arg);
    sources_visit_changed(&d->retired, visit, arg);
}

static void listing_add(void *arg, const struct sd_found *found)
{
    struct sd_listing *l = arg;
    l->items = mem_realloc(l->items, (l->n + 1) * sizeof *l->items);
    l->items[l->n++] = *found;
    sd_groups_ref(found->groups);
}

static void sources_list(const struct sd_sources *list, struct map *seen, struct sd_listing *out)
{
    for (size_t i = 0; i < list->n; i++) {
        struct sd_source *s = list->items[i];
        if (s->ops->visit_whole)
            s->ops->visit_whole(s, seen, listing_add, out);
        else
            s->ops->visit(s, seen, listing_add, out);
    }
}

struct sd_listing discovery_list(struct discovery *d)
{
    struct sd_listing l = {0};
    struct map seen = {0};
    sources_list(&d->sources, &seen, &l);
    sources_list(&d->retired, &seen, &l);
    map_free(&seen);
    return l;
}

void sd_listing_free(struct sd_listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        sd_groups_unref(l->items[i].groups);
    mem_free(l->items);
    *l = (struct sd_listing){0};
}

static size_t count_patterns(const struct sd_conf *conf)
{
    size_t n = 0;
    for (size_t i = 0; i < conf->file_sd_configs.n; i++)
        n += ((const struct file_sd *)conf->file_sd_configs.items)[i].files.n;
    return n;
}

void discovery_check(struct sd_checked *c, const struct sd_conf *conf, void (*warn)(void *arg, const char *text),
                     void *arg)
{
    struct map seen = {0};
    *c = (struct sd_checked){.patterns = mem_zalloc((count_patterns(conf) + 1) * sizeof *c->patterns)};
    for (size_t i = 0; i < conf->file_sd_configs.n; i++) {
        const struct str_list *patterns = &((const struct file_sd *)conf->file_sd_configs.items)[i].files;
        for (size_t k = 0; k < patterns->n; k++) {
            if (url_is_http(patterns->items[k])) /* not requested */
                continue;
            struct file_discovery *d = &c->patterns[c->n++];
            *d = (struct file_discovery){.pattern = str_of(str_dup(patterns->items[k])), .failed = warn, .arg = arg};
            file_discovery_refresh(d);
            files_source_visit(&d->files, &seen, listing_add, &c->listing);
        }
    }
    map_free(&seen);
}

void sd_checked_free(struct sd_checked *c)
{
    for (size_t i = 0; i < c->n; i++) {
        sd_files_free(&c->patterns[i].files);
        mem_free((char *)c->patterns[i].pattern.p);
    }
    mem_free(c->patterns);
    sd_listing_free(&c->listing);
}

/* ---- status and news ---- */

void discovery_explain(const struct discovery *d, struct buf *out)
{
    for (size_t i = 0; i < d->sources.n; i++)
        d->sources.items[i]->ops->explain(d->sources.items[i], out);
}

struct sd_status discovery_status(const struct discovery *d)
{
    struct sd_status s = {0};
    struct map seen = {0};
    for (size_t i = 0; i < d->sources.n; i++)
        d->sources.items[i]->ops->show(d->sources.items[i], &s, &seen);
    map_free(&seen);
    return s;
}

void sd_status_free(struct sd_status *s)
{
    for (size_t i = 0; i < s->n; i++)
        mem_free(s->items[i].path);
    mem_free(s->items);
    mem_free(s->missing);
}

/* Whether this one still has the only targets of what it has read. */
static bool source_is_needed(const struct discovery *d, const struct sd_source *retired)
{
    const struct sd_found *was = retired->reads;
    for (size_t i = 0; was && i < d->sources.n; i++) {
        const struct sd_source *s = d->sources.items[i];
        if (s->reads && strcmp(s->reads->mechanism, was->mechanism) == 0 && str_eq(s->reads->source, was->source) &&
            !s->ops->state(s).has_some)
            return true;
    }
    return false;
}

/* Whether the sources have replaced all that are retired, as far as they ever will. */
static bool discovery_is_settled(const struct discovery *d)
{
    bool any = d->sources.n == 0;
    for (size_t i = 0; i < d->sources.n; i++) {
        struct sd_source_state s = d->sources.items[i]->ops->state(d->sources.items[i]);
        if (!s.was_read && !s.lost)
            return false;
        any = any || s.has_some;
    }
    return any;
}

/* True: some have gone. */
static bool release_retired(struct discovery *d)
{
    bool settled = d->retired.n > 0 && discovery_is_settled(d);
    size_t n = 0, before = d->retired.n;
    for (size_t i = 0; settled && i < before; i++) {
        struct sd_source *s = d->retired.items[i];
        if (source_is_needed(d, s))
            d->retired.items[n++] = s;
        else
            s->ops->free(s);
    }
    if (settled)
        d->retired.n = n;
    return d->retired.n < before;
}

static enum sd_change sources_take_news(const struct sd_sources *list)
{
    enum sd_change change = SD_UNCHANGED;
    for (size_t i = 0; i < list->n; i++) {
        struct sd_source *s = list->items[i];
        bool changed = s->ops->take_news(s);
        enum sd_change one = !changed ? SD_UNCHANGED : s->ops->visit_changed ? SD_PARTS : SD_ALL;
        change = one > change ? one : change;
    }
    return change;
}

/* Whether a file matches two patterns: then it is visited with the first one, and not by parts. */
static bool sources_share(const struct discovery *d)
{
    const struct sd_sources *lists[] = {&d->sources, &d->retired};
    struct map seen = {0};
    size_t claiming = 0;
    bool shared = false;
    for (size_t k = 0; k < LEN(lists); k++)
        for (size_t i = 0; i < lists[k]->n; i++)
            claiming += lists[k]->items[i]->ops->claim != NULL;
    for (size_t k = 0; k < LEN(lists) && claiming > 1; k++)
        for (size_t i = 0; i < lists[k]->n; i++) {
            const struct sd_source *s = lists[k]->items[i];
            shared = shared || (s->ops->claim && !s->ops->claim(s, &seen));
        }
    map_free(&seen);
    return shared;
}

static enum sd_change take_changes(struct discovery *d)
{
    enum sd_change change = sources_take_news(&d->sources), of_retired = sources_take_news(&d->retired);
    bool shared = sources_share(d), was_shared = d->shared;
    change = change > of_retired ? change : of_retired;
    d->shared = shared;
    if (release_retired(d) || (change == SD_PARTS && (shared || was_shared)))
        return SD_ALL;
    return change;
}

bool discovery_take_news(struct discovery *d, enum sd_change *change)
{
    struct sd_source_state state = discovery_state(d);
    int64_t now = sd_manager_now(d->manager);
    if (!state.has_news && !d->retire_due)
        return false;
    if (d->news_at == 0)
        d->news_at = now;
    if (state.reads && now - d->news_at < NEWS_MS)
        return false;
    d->news_at = 0;
    d->retire_due = false;
    *change = take_changes(d);
    return true;
}
