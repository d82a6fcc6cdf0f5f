// SPDX-License-Identifier: Apache-2.0
/* Compares the items of the two configurations by name: a line for each kind of item that differs, then a line with the
 * totals. Values are compared with their secrets; the log has names only. */
#include "gateway/services/reload_log.h"

#include "base/telemetry/log.h"

enum { MAX_NAMES = 20 }; /* per list; the others are counted */

struct name_list { struct buf text; size_t n; };
struct item_changes { struct name_list added, removed, changed; };

static void name_list_add(struct name_list *l, struct str name)
{
    if (l->n++ < MAX_NAMES)
        buf_printf(&l->text, "%s%.*s", l->n > 1 ? ", " : "", STR_ARG(name));
}

static const char *name_list_text(struct name_list *l)
{
    if (l->n > MAX_NAMES)
        buf_printf(&l->text, " and %zu more", l->n - MAX_NAMES);
    return buf_z(&l->text);
}

static void report_item_changes(struct reload_report *r, const char *msg, const struct item_changes *c)
{
    const struct { const char *what; const struct name_list *names; } lists[] = {
        {"added", &c->added}, {"removed", &c->removed}, {"changed", &c->changed}};
    struct buf line = {0};
    buf_add_z(&line, msg);
    for (size_t i = 0; i < LEN(lists); i++)
        if (lists[i].names->n > 0)
            buf_printf(&line, "%s %s %.*s", line.n == strlen(msg) ? ":" : ";", lists[i].what,
                       STR_ARG(buf_str(&lists[i].names->text)));
    reload_report_add(r, RELOAD_INFO, buf_str(&line));
    buf_free(&line);
}

/* True if there was a change. */
static bool log_item_changes(const char *msg, struct item_changes *c, struct reload_report *r)
{
    bool any = c->added.n + c->removed.n + c->changed.n > 0;
    if (any) {
        log_info("config", msg, "added", name_list_text(&c->added), "removed", name_list_text(&c->removed), "changed",
                 name_list_text(&c->changed));
        report_item_changes(r, msg, c);
    }
    buf_free(&c->added.text);
    buf_free(&c->removed.text);
    buf_free(&c->changed.text);
    return any;
}

/* ---- jobs ---- */

static const struct scrape_job *config_find_job(const struct config *c, struct str name)
{
    for (size_t i = 0; c && i < c->n_jobs; i++)
        if (str_eq(c->jobs[i].job_name, name))
            return &c->jobs[i];
    return NULL;
}

static bool log_job_changes(const struct config *before, const struct config *now, struct reload_report *r)
{
    struct item_changes c = {0};
    for (size_t i = 0; i < now->n_jobs; i++) {
        const struct scrape_job *job = &now->jobs[i], *old = config_find_job(before, job->job_name);
        if (old == NULL)
            name_list_add(&c.added, job->job_name);
        else if (old->fingerprint != job->fingerprint || !conf_equal(&scrape_job_section, old, job))
            name_list_add(&c.changed, job->job_name);
    }
    for (size_t i = 0; before && i < before->n_jobs; i++)
        if (config_find_job(now, before->jobs[i].job_name) == NULL)
            name_list_add(&c.removed, before->jobs[i].job_name);
    return log_item_changes("scrape jobs changed", &c, r);
}

/* ---- destinations ---- */

static const struct destination_conf *config_find_destination(const struct config *c, const struct destination_conf *d)
{
    for (size_t i = 0; c && i < c->n_destinations; i++)
        if (writer_same_destination(&c->destinations[i], d))
            return &c->destinations[i];
    return NULL;
}

static void add_destination_name(const struct services *s, struct name_list *l, const struct config *c, size_t i)
{
    char *name = writer_destination_name(&c->destinations[i], i, s->flags.remote_write.show_url);
    name_list_add(l, str_of(name));
    mem_free(name);
}

static bool log_destination_changes(const struct services *s, const struct config *before, const struct config *now,
                                    struct reload_report *r)
{
    struct item_changes c = {0};
    for (size_t i = 0; i < now->n_destinations; i++) {
        const struct destination_conf *d = &now->destinations[i], *old = config_find_destination(before, d);
        if (old == NULL)
            add_destination_name(s, &c.added, now, i);
        else if (!conf_equal(&remote_write_section, old, d))
            add_destination_name(s, &c.changed, now, i);
    }
    for (size_t i = 0; before && i < before->n_destinations; i++)
        if (config_find_destination(now, &before->destinations[i]) == NULL)
            add_destination_name(s, &c.removed, before, i);
    return log_item_changes("remote write destinations changed", &c, r);
}

/* ---- server groups ---- */

/* Groups without a name are matched by position. */
static const struct server_group_conf *config_find_group(const struct config *c, struct str name, size_t position)
{
    for (size_t i = 0; c && i < c->n_groups; i++)
        if (name.n > 0 ? str_eq(c->groups[i].name, name) : i == position && c->groups[i].name.n == 0)
            return &c->groups[i];
    return NULL;
}

static bool log_group_changes(const struct config *before, const struct config *now, struct reload_report *r)
{
    struct item_changes c = {0};
    struct buf scratch = {0};
    for (size_t i = 0; i < now->n_groups; i++) {
        const struct server_group_conf *g = &now->groups[i], *old = config_find_group(before, g->name, i);
        if (old == NULL)
            name_list_add(&c.added, server_group_name(&now->groups[i], i, &scratch));
        else if (!conf_equal(&server_group_section, old, g))
            name_list_add(&c.changed, server_group_name(&now->groups[i], i, &scratch));
    }
    for (size_t i = 0; before && i < before->n_groups; i++)
        if (config_find_group(now, before->groups[i].name, i) == NULL)
            name_list_add(&c.removed, server_group_name(&before->groups[i], i, &scratch));
    buf_free(&scratch);
    return log_item_changes("server groups changed", &c, r);
}

/* ---- other sections ---- */

static bool log_section_changes(const struct config *before, const struct config *now, struct reload_report *r)
{
    bool global = before && !conf_equal(&global_section, &before->global, &now->global);
    bool recent = before && (before->recent && now->recent ? !conf_equal(&recent_section, before->recent, now->recent)
                                                           : before->recent != now->recent);
    bool shard = before && (before->sharding && now->sharding
                                ? !conf_equal(&sharding_section, before->sharding, now->sharding)
                                : before->sharding != now->sharding);
    bool pipeline = before && !conf_equal(&pipeline_section, &before->pipeline, &now->pipeline);
    bool audit = before && (before->audit && now->audit ? !conf_equal(&audit_section, before->audit, now->audit)
                                                         : before->audit != now->audit);
    struct buf which = {0};
    if (global)
        buf_add_z(&which, "global");
    if (recent)
        buf_add_z(&which, which.n > 0 ? ", recent" : "recent");
    if (shard)
        buf_add_z(&which, which.n > 0 ? ", shard" : "shard");
    if (pipeline)
        buf_add_z(&which, which.n > 0 ? ", pipeline" : "pipeline");
    if (audit)
        buf_add_z(&which, which.n > 0 ? ", audit" : "audit");
    bool any = which.n > 0;
    if (any) {
        struct buf line = {0};
        log_info("config", "sections changed", "changed", buf_z(&which));
        buf_printf(&line, "sections changed: %s", buf_z(&which));
        reload_report_add(r, RELOAD_INFO, buf_str(&line));
        buf_free(&line);
    }
    buf_free(&which);
    return any;
}

void reload_log(const struct services *s, const struct config *before, const struct config *now, struct reload_report *r)
{
    bool any = log_section_changes(before, now, r);
    any = log_job_changes(before, now, r) || any;
    any = log_destination_changes(s, before, now, r) || any;
    any = log_group_changes(before, now, r) || any;
    if (!any)
        reload_report_add(r, RELOAD_INFO, STR("nothing changed"));
    log_info("config", any ? "configuration reloaded" : "configuration reloaded; nothing changed",
             LOG_U64("jobs", now->n_jobs), LOG_U64("targets", scraper_target_count(s->scraper)),
             LOG_U64("destinations", now->n_destinations), LOG_U64("server_groups", now->n_groups),
             LOG_BOOL("recent", now->recent != NULL));
}
