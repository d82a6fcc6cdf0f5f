// SPDX-License-Identifier: Apache-2.0
/* Loads the configuration in these steps:
 *
 * 1. The file is parsed by the tables of keys (conf.h).
 * 2. Jobs: those of scrape_config_files are added, and all inherit from `global`.
 * 3. Destinations: those of -remoteWrite.* are appended to remote_write.
 * 4. Server groups of the three sections that may have them are concatenated.
 * 5. Who may use the listeners (access.h).
 * 6. References by name are checked (written_by, recent.like), then what can only be checked for the complete
 *    configuration (config_check.c).
 * 7. Instances of Grafana Agent that are stored in etcd are added (config_instances.c).
 *
 * A failed step does not end the load unless later ones depend on it, so that all errors are reported at once.
 */
#include "gateway/config/config.h"

#include "base/text/url.h"
#include "gateway/config/backups.h"
#include "gateway/config/config_file.h"
#include "gateway/config/config_instances.h"
#include "gateway/config/dialect.h"
#include "gateway/config/environment.h"

#include <stdio.h>
#include <stdlib.h>

static const size_t config_memory = (size_t)1 << 30;

bool config_step(struct loader *l, bool (*step)(struct loader *l, void *arg), void *arg)
{
    size_t before = conf_error_count(&l->conf);
    if (step(l, arg))
        return true;
    (void)!conf_errors_continue(&l->conf, before, l->err);
    return false;
}

/* ---- files ---- */

static void append_text(struct loader *l, struct str_list *list, size_t *cap, const char *text)
{
    arena_grow(l->conf.arena, &list->items, cap, list->n + 1, sizeof *list->items);
    if (*cap > list->n)
        list->items[list->n++] = str_of(arena_z(l->conf.arena, str_of(text)));
}

void config_warn(void *arg, const char *text)
{
    struct loader *l = arg;
    append_text(l, &l->config->warnings, &l->cap_warnings, text);
}

static void config_note_ignored(void *arg, const char *key)
{
    struct loader *l = arg;
    if (!str_list_has(&l->config->ignored, key))
        append_text(l, &l->config->ignored, &l->cap_ignored, key);
}

static void config_note_later(void *arg, const struct yaml *node, const char *key)
{
    struct loader *l = arg;
    size_t i = 0;
    while (i < l->n_later && !str_is(l->later[i].key, key))
        i++;
    if (i == l->n_later) {
        arena_grow(l->conf.arena, &l->later, &l->cap_later, i + 1, sizeof *l->later);
        if (l->cap_later == i)
            return;
        l->later[l->n_later++] = (struct later_key){.key = arena_str(l->conf.arena, str_of(key))};
    }
    struct later_key *k = &l->later[i];
    bool same = k->file && strcmp(k->file, node->file) == 0;
    k->places = same ? arena_printf(l->conf.arena, "%.*s, %u", STR_ARG(k->places), node->line)
                     : arena_printf(l->conf.arena, "%.*s%s%s:%u", STR_ARG(k->places), k->file ? ", " : "", node->file, node->line);
    k->file = node->file;
}

/* One warning for all, since the log limits how often a message repeats. */
static void config_warn_later(struct loader *l)
{
    struct buf text = {0};
    buf_add_z(&text, "not supported yet; their targets are not scraped: ");
    for (size_t i = 0; i < l->n_later; i++)
        buf_printf(&text, "%s%.*s (%.*s)", i > 0 ? ", " : "", STR_ARG(l->later[i].key), STR_ARG(l->later[i].places));
    if (l->n_later > 0)
        config_warn(l, buf_z(&text));
    buf_free(&text);
}

bool config_memory_error(struct loader *l)
{
    return err_set(l->err, ERR_LIMIT, "%s: the configuration exceeds the limit of 1 GiB of memory", l->conf.file);
}

bool config_grow(struct loader *l, void *items, size_t *cap, size_t n, size_t size)
{
    arena_grow(l->conf.arena, items, cap, n + 1, size);
    return *cap > n || config_memory_error(l);
}

bool config_join(struct loader *l, struct conf_items a, struct conf_items b, size_t size, struct conf_items *out)
{
    if (a.n == 0 || b.n == 0) {
        *out = a.n == 0 ? b : a;
        return true;
    }
    char *items = arena_array(l->conf.arena, a.n + b.n, size);
    if (items == NULL)
        return config_memory_error(l);
    memcpy(items, a.items, a.n * size);
    memcpy(items + a.n * size, b.items, b.n * size);
    *out = (struct conf_items){items, a.n + b.n};
    return true;
}

/* ---- destinations, groups, the recent store ---- */

static bool config_load_destinations(struct loader *l, void *arg UNUSED)
{
    const struct conf_items *all = &l->file.remote_write;
    if (!config_add_destinations(l) || l->broken)
        return false;
    for (size_t i = 0; i < all->n; i++) /* the file is shown as it is written */
        if (!config_append_destination(l, (const struct destination_conf *)all->items + i))
            return false;
    return backups_complete(l->config->destinations, all->n, yaml_get(l->document, "remote_write"), l->err);
}

bool config_has_destination(const struct config *c, struct str name)
{
    for (size_t i = 0; i < c->n_destinations; i++)
        if (str_eq(c->destinations[i].name, name))
            return true;
    return false;
}

static bool config_check_written_by(struct loader *l, struct conf_items groups, const struct yaml *list)
{
    for (size_t i = 0; i < groups.n; i++) {
        const struct str_list *by = &((struct server_group_conf *)groups.items)[i].written_by;
        for (size_t k = 0; k < by->n; k++)
            if (by->items[k].n > 0 && !config_has_destination(l->config, by->items[k]))
                return conf_err(yaml_get(&list->items[i], "written_by"), l->err, "server_group.written_by: there is no "
                                "remote_write entry named \"%.*s\"", STR_ARG(by->items[k]));
    }
    return true;
}

static bool config_load_groups(struct loader *l, void *arg UNUSED)
{
    struct config_file *f = &l->file;
    const size_t size = sizeof(struct server_group_conf);
    const struct yaml *promxy = yaml_get(l->document, "promxy"), *old = yaml_get(l->document, "promxy_server");
    if (!config_check_written_by(l, f->server_groups, yaml_get(l->document, "server_groups"))
        || !config_check_written_by(l, f->promxy.server_groups, yaml_get(promxy, "server_groups"))
        || !config_check_written_by(l, f->promxy_server.server_groups, old && old->kind == YAML_LIST ? old : yaml_get(old, "server_groups"))
        || !config_join(l, f->server_groups, f->promxy.server_groups, size, &f->server_groups)
        || !config_join(l, f->server_groups, f->promxy_server.server_groups, size, &f->server_groups))
        return false;
    f->promxy = (struct promxy_conf){0};
    l->config->groups = f->server_groups.items;
    l->config->n_groups = f->server_groups.n;
    return true;
}

static bool config_load_recent(struct loader *l, void *arg UNUSED)
{
    struct config *c = l->config;
    struct config_file *f = &l->file;
    if (f->recent && f->recent->like.n > 0 && !config_has_destination(c, f->recent->like))
        return conf_err(yaml_get(yaml_get(l->document, "recent"), "like"), l->err,
                        "recent.like: there is no remote_write entry named \"%.*s\"", STR_ARG(f->recent->like));
    if (f->recent == NULL && c->n_destinations == 0 && c->n_groups == 0 && c->scraping_service == NULL) {
        f->recent = ARENA_NEW(l->conf.arena, struct recent_conf);
        if (f->recent == NULL)
            return config_memory_error(l);
        if (!conf_defaults(&l->conf, &recent_section, f->recent, l->err))
            return false;
    }
    c->recent = f->recent;
    c->audit = f->audit;
    c->otlp = f->otlp;
    if (c->audit && (c->recent == NULL || c->recent->like.n == 0))
        return conf_err(yaml_get(l->document, "audit"), l->err, "audit: what was written is not known; set recent.like to "
                        "the remote_write entry that fills the server groups");
    c->sharding = f->sharding;
    c->pipeline = f->pipeline;
    return true;
}

/* ---- the load ---- */

static bool config_load_document(struct loader *l, void *arg UNUSED)
{
    if (l->flags->config_file.n == 0)
        return conf_defaults(&l->conf, &file_section, &l->file, l->err);
    struct buf text = {0};
    if (config_read_file(l, l->flags->config_file.p, &text))
        l->document = config_parse_yaml(l, l->flags->config_file.p, buf_str(&text));
    buf_free(&text);
    l->config->empty = l->document && l->document->kind == YAML_NULL;
    return l->document && conf_load(&l->conf, &file_section, l->document, &l->file, l->err) &&
           config_use_metrics(l);
}

/* URLs set by flags are shown by their position, as in logs and metrics: they may contain secrets. */
static void config_hide_flag_urls(const struct loader *l, struct conf_items *destinations)
{
    const struct str_list *urls = &l->flags->remote_write.url;
    size_t of_flags = 0, n = destinations->n;
    for (size_t i = 0; i < urls->n; i++)
        of_flags += urls->items[i].n > 0;
    struct destination_conf *copies = arena_array(l->conf.arena, n, sizeof *copies);
    if (l->flags->remote_write.show_url || of_flags == 0 || copies == NULL)
        return;
    memcpy(copies, destinations->items, n * sizeof *copies);
    for (size_t i = n - of_flags; i < n; i++)
        copies[i].url = arena_printf(l->conf.arena, "%zu:" SECRET_URL, i + 1);
    destinations->items = copies;
}

static bool access_read_file(void *arg, const char *path, struct buf *out, struct err *err)
{
    struct loader *l = arg;
    struct err *before = l->err;
    l->err = err;
    bool ok = config_read_watched(l, path, out);
    l->err = before;
    return ok;
}

static bool config_load_access(struct loader *l, void *arg UNUSED)
{
    l->config->tls_server = l->file.tls_server;
    l->config->tls_server_node = yaml_get(l->document, "tls_server_config");
    l->config->access = access_load(&(struct access_source){.flags = l->flags, .tls = l->config->tls_server,
                                                            .tls_node = l->config->tls_server_node,
                                                            .read = access_read_file, .arg = l,
                                                            .errors = l->conf.errors}, l->err);
    return l->config->access != NULL;
}

/* Prints the effective configuration, including inherited values. */
static void config_print_masked(struct loader *l)
{
    struct buf text = {0};
    struct config_file shown = l->file;
    config_hide_flag_urls(l, &shown.remote_write);
    conf_print(&text, &file_section, &shown, 0);
    l->config->masked = arena_str(l->conf.arena, buf_str(&text));
    buf_free(&text);
}

/* The shortest of those that get metadata; 0: none does. */
static int64_t metadata_interval(const struct config *c)
{
    int64_t least = 0;
    for (size_t i = 0; i < c->n_destinations; i++) {
        const struct destination_conf *d = &c->destinations[i];
        if (d->send_metadata && d->metadata_config.send && (least == 0 || d->metadata_config.send_interval < least))
            least = d->metadata_config.send_interval;
    }
    return least;
}

static bool config_load_all(struct loader *l)
{
    l->broken = !config_step(l, config_load_document, NULL);
    if (!l->broken) {
        config_set_globals(l);
        l->broken = !config_step(l, config_set_cluster, NULL);
    }
    bool jobs = config_step(l, config_load_jobs, NULL), destinations = config_step(l, config_load_destinations, NULL);
    bool instances = l->broken || !destinations || config_step(l, config_load_instances, NULL);
    bool access = config_step(l, config_load_access, NULL);
    if (l->broken)
        return false;
    l->n_own_jobs = l->config->n_jobs;
    l->n_own_destinations = l->config->n_destinations;
    if (destinations && l->reader)
        config_add_stored(l, l->reader->instances);
    if (l->config->n_destinations > 0)
        l->config->scrape.shards = (unsigned)l->config->destinations[0].queue.shards;
    l->config->scrape.metadata_ms = metadata_interval(l->config);
    config_warn_later(l);
    bool groups = destinations && config_step(l, config_load_groups, NULL) && config_step(l, config_load_recent, NULL);
    return config_check(l) && jobs && instances && groups && access;
}

static bool config_keep_file(struct loader *l, void *arg UNUSED)
{
    struct config_file *file = ARENA_NEW(l->conf.arena, struct config_file);
    if (file == NULL)
        return config_memory_error(l);
    *file = l->file;
    l->config->file = file;
    l->config->document = l->document;
    config_print_masked(l);
    return true;
}

struct config *config_load(const struct flags *f, struct conf_errors *errors, struct err *err)
{
    return config_load_with(NULL, f, errors, err);
}

struct config *config_load_with(struct config_reader *r, const struct flags *f, struct conf_errors *errors,
                                struct err *err)
{
    struct config *c = mem_zalloc(sizeof *c);
    struct conf_errors found = {0};
    refs_init(&c->refs);
    arena_init(&c->arena, config_memory);
    struct loader l = {.flags = f, .reader = r, .config = c, .err = err};
    l.conf = (struct conf_context){.arena = &c->arena, .file = "the configuration", .warn = config_warn, .warn_arg = &l,
                                   .loose_durations = dialects[f->dialect].loose_durations,
                                   .vmagent_relabeling = dialects[f->dialect].vmagent_relabeling,
                                   .lenient_keys = !f->strict_parse, .ignored = config_note_ignored, .later = config_note_later,
                                   .strict = f->strict,
                                   .accept_inert = &f->accept_inert, .errors = errors ? errors : &found};
    bool ok = config_load_all(&l) && config_step(&l, config_keep_file, NULL);
    if (c->scraping_service == NULL)
        config_forget_texts(c);
    if (!ok) {
        conf_errors_first(l.conf.errors, err);
        config_unref(c);
        c = NULL;
    }
    buf_free(&found.text);
    return c;
}

void config_diff(const struct config *a, const struct config *b, conf_difference *report, void *arg)
{
    conf_diff(&file_section, a->file, b->file, report, arg);
}

struct config *config_ref(struct config *c)
{
    refs_take(&c->refs);
    return c;
}

void config_unref(struct config *c)
{
    if (c == NULL || !refs_drop(&c->refs))
        return;
    access_set_unref(c->access);
    config_forget_texts(c);
    arena_free(&c->arena);
    mem_free(c);
}
