// SPDX-License-Identifier: Apache-2.0
#include "gateway/background/audits.h"

#include "base/http/via.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "gateway/audit/audit.h"
#include "gateway/background/group_visitor.h"
#include "gateway/query/params.h"
#include "gateway/query/session.h"
#include "gateway/upstream/source.h"

/* A setup with the audits that use it; main's. */
struct audits_held { unsigned refs; struct audits_setup setup; };
/* The last audit of a group. */
struct audited_server { char *url; struct audit_count sum; bool failed; };
struct audited {
    char *group;
    int64_t due;                    /* mono ms; main's */
    int64_t at;                     /* Unix ms of the last one that was completed; 0 = none */
    uint64_t n_audits, n_failed;
    struct audited_server *servers; size_t n;
};
struct audits {
    struct group_visitor visitor;
    struct audits_held *held;       /* NULL: none yet */
    struct group_reading reading;
    /* of the running one */
    const struct upstream *upstream; /* the reading's; its own field is set once it has begun */
    const struct group *group;
    struct audits_held *used;
    struct query_session session;
    struct audit_result result;
    bool ok; struct err err;
    struct mutex lock;              /* guards the below, but `due` */
    struct audited **items; size_t n, _cap;
};

/* --- on a worker ---------------------------------------------------------------------------------------------------- */

static void audits_put_recent(void *recent) { writer_recent_unref(recent); }

static bool audits_work(void *arg)
{
    struct audits *a = arg;
    const struct audit_conf *c = a->used->setup.conf;
    struct query_ctx *q = &a->session.q;
    struct audit_question what = {.upstream = a->upstream, .group = a->group, .window = c->window, .max_targets = 1,
                                  .settings = &a->session.service, .end = clock_wall_ms() - c->delay};
    struct source *recent = writer_recent(a->used->setup.writer.writer);
    if (recent == NULL)
        return err_set(&a->err, ERR_UNAVAILABLE, "there is no recent store any more");
    a->session.end = audits_put_recent;
    a->session.end_arg = recent;
    what.start = what.end - c->since;
    what.written = recent;
    what.written_from = writer_recent_from(recent);
    what.fills = audit_fills(q->arena, a->group, &a->used->setup.writer);
    return param_selector(q->arena, c->match, &what.match, &what.n_match, &a->err) &&
           audit_run(q, &what, &a->result, &a->err);
}

static void audits_log(const struct audits *a, const struct audit_server *s, size_t i)
{
    struct buf example = {0};
    if (s->n > 0)
        labels_print(&example, s->targets[0].labels);
    if (s->failed)
        log_warn("audit", "cannot compare what was written with what a server returns", LOG_STR("group", a->group->name),
                 LOG_STR("server", a->group->servers[i]->shown), "err", s->err.text);
    else if (s->sum.missing > 0)
        log_warn("audit", "server lacks samples that were written", LOG_STR("group", a->group->name),
                 LOG_STR("server", a->group->servers[i]->shown), LOG_U64("written", s->sum.written),
                 LOG_U64("missing", s->sum.missing), LOG_U64("targets", s->n_differing), "example", buf_z(&example));
    buf_free(&example);
}

static void audits_run(struct worker_task *task)
{
    struct audits *a = CONTAINER(task, struct audits, reading.task);
    const struct audits_setup *s = &a->used->setup;
    struct worker *worker = worker_self();
    worker->via = via_line(&a->reading.arena, STR(""), a->visitor.id);
    query_session_begin(&a->session, &(struct query_session_conf){
        .service = &s->settings, .arena = &a->reading.arena, .memory = s->query_memory, .shared = s->memory,
        .deadline_mono = clock_mono_ms() + AUDIT_MS, .canceled = &a->visitor.stopping});
    a->result = (struct audit_result){0};
    a->ok = query_session_run(&a->session, audits_work, a, &a->err);
    for (size_t i = 0; a->ok && i < a->group->n_servers; i++)
        audits_log(a, &a->result.servers[i], i);
    query_session_end(&a->session);
    worker->via = NULL;
}

/* --- results; main -------------------------------------------------------------------------------------------------- */

static void audited_forget_servers(struct audited *g)
{
    for (size_t i = 0; i < g->n; i++)
        mem_free(g->servers[i].url);
    mem_free(g->servers);
    g->servers = NULL;
    g->n = 0;
}

static void audited_free(struct audited *g)
{
    audited_forget_servers(g);
    mem_free(g->group);
    mem_free(g);
}

static struct audited *audits_find(struct audits *a, struct str group)
{
    for (size_t i = 0; i < a->n; i++)
        if (str_is(group, a->items[i]->group))
            return a->items[i];
    return NULL;
}

/* Under the lock. A server that did not respond has the counts of before no more. */
static void audited_take(struct audited *g, const struct group *group, const struct audit_result *result)
{
    audited_forget_servers(g);
    g->servers = mem_zalloc((group->n_servers + 1) * sizeof *g->servers);
    for (size_t i = 0; i < group->n_servers; i++)
        g->servers[g->n++] = (struct audited_server){str_dup(group->servers[i]->shown), result->servers[i].sum,
                                                     result->servers[i].failed};
    g->at = clock_wall_ms();
}

static void audits_release(struct audits_held *h)
{
    if (h == NULL || !refs_drop_own(&h->refs))
        return;
    h->setup.release(h->setup.held);
    mem_free(h);
}

static void audits_done(struct worker_task *task)
{
    struct audits *a = CONTAINER(task, struct audits, reading.task);
    mutex_lock(&a->lock);
    struct audited *g = audits_find(a, a->group->name);
    if (g) {
        g->n_audits++;
        g->n_failed += !a->ok;
        if (a->ok)
            audited_take(g, a->group, &a->result);
    }
    mutex_unlock(&a->lock);
    if (!a->ok && !atomic_load(&a->visitor.stopping))
        log_warn("audit", "audit failed; retrying after audit.interval", LOG_STR("group", a->group->name), "err", a->err.text);
    group_reading_end(&a->reading);
    audits_release(a->used);
    a->used = NULL;
}

/* --- visits; main --------------------------------------------------------------------------------------------------- */

/* Shards of a group have parts of what was written. */
static bool audits_covers(const struct upstream *u, const struct group *g)
{
    for (size_t i = 0; i < u->groups.n; i++)
        if (&u->groups.items[i] != g && str_eq(u->groups.items[i].name, g->name))
            return false;
    return audit_knows(u, g) && g->n_servers > 0;
}

static void audits_visit(struct group_visitor *v, const struct group *g)
{
    struct audits *a = CONTAINER(v, struct audits, visitor);
    struct audited *known = audits_find(a, g->name);
    int64_t now = clock_mono_ms();
    if (known == NULL || now < known->due || !group_reading_idle(&a->reading))
        return;
    a->upstream = v->upstream;
    a->group = g;
    a->used = a->held;
    refs_take_own(&a->used->refs);
    arena_init(&a->reading.arena, 0);
    group_reading_begin(&a->reading, v, audits_run, audits_done);
    if (!group_reading_idle(&a->reading)) {
        known->due = now + a->held->setup.conf->interval;
        return;
    }
    audits_release(a->used);
    a->used = NULL;
}

static void audits_add_group(struct audits *a, const struct group *g, int64_t interval)
{
    struct audited *new = mem_zalloc(sizeof *new);
    new->group = str_dup(g->name);
    new->due = clock_mono_ms() + interval;
    mutex_lock(&a->lock);
    mem_grow(&a->items, &a->_cap, a->n + 1, sizeof(struct audited *));
    a->items[a->n++] = new;
    mutex_unlock(&a->lock);
}

static bool audits_has(const struct upstream *u, const char *group)
{
    for (size_t i = 0; i < u->groups.n; i++)
        if (str_is(u->groups.items[i].name, group) && audits_covers(u, &u->groups.items[i]))
            return true;
    return false;
}

/* Groups that remain keep their results. */
static void audits_set_groups(struct audits *a, const struct upstream *u, const struct audit_conf *conf)
{
    mutex_lock(&a->lock);
    size_t n = 0;
    for (size_t i = 0; i < a->n; i++)
        if (conf && audits_has(u, a->items[i]->group))
            a->items[n++] = a->items[i];
        else
            audited_free(a->items[i]);
    a->n = n;
    mutex_unlock(&a->lock);
    for (size_t i = 0; conf && i < u->groups.n; i++)
        if (audits_covers(u, &u->groups.items[i]) && audits_find(a, u->groups.items[i].name) == NULL)
            audits_add_group(a, &u->groups.items[i], conf->interval);
}

void audits_use(struct audits *a, struct upstream *u, const struct audits_setup *setup)
{
    audits_release(a->held);
    a->held = mem_dup(&(struct audits_held){1, *setup}, sizeof *a->held);
    audits_set_groups(a, u, setup->conf);
    group_visitor_use(&a->visitor, setup->workers, setup->memory, u, a->n > 0 ? GROUP_VISITOR_TICK_MS : -1);
}

struct audits *audits_new(struct loop *loop, const char *id)
{
    struct audits *a = mem_zalloc(sizeof *a);
    group_visitor_init(&a->visitor, loop, id, audits_visit);
    mutex_init(&a->lock, RANK_LEAF);
    return a;
}

void audits_stop(struct audits *a) { group_visitor_stop(&a->visitor); }

void audits_free(struct audits *a)
{
    group_reading_free(&a->reading);
    group_visitor_free(&a->visitor);
    audits_release(a->used);
    audits_release(a->held);
    for (size_t i = 0; i < a->n; i++)
        audited_free(a->items[i]);
    mem_free(a->items);
    mutex_free(&a->lock);
    mem_free(a);
}

/* --- metrics -------------------------------------------------------------------------------------------------------- */

static double audited_written(const struct audited_server *s) { return (double)s->sum.written; }
static double audited_returned(const struct audited_server *s) { return (double)s->sum.returned; }
static double audited_missing(const struct audited_server *s) { return (double)s->sum.missing; }
static double audited_extra(const struct audited_server *s) { return (double)s->sum.extra; }
static double audited_late(const struct audited_server *s) { return (double)s->sum.late; }
static double audited_up(const struct audited_server *s) { return !s->failed; }

static const struct audit_family {
    const char *name, *help;
    double (*value)(const struct audited_server *s);
} audit_families[] = {
    {"sluice_audit_up", "1 if the server responded to the last audit; else there are no counts", audited_up},
    {"sluice_audit_written_samples", "Samples that were written in the time of the last audit", audited_written},
    {"sluice_audit_returned_samples", "Samples that the server returned", audited_returned},
    {"sluice_audit_missing_samples", "Samples that were written and that the server does not return", audited_missing},
    {"sluice_audit_extra_samples", "Samples that the server returns and that were not written", audited_extra},
    {"sluice_audit_late_samples", "Samples that the server does not return, and that a queue may have", audited_late},
};

static void audits_write_family(const struct audits *a, const struct audit_family *f, struct stats_out *out)
{
    stats_family(out, f->name, STATS_GAUGE, f->help);
    for (size_t i = 0; i < a->n; i++)
        for (size_t k = 0; k < a->items[i]->n; k++) {
            const struct audited_server *s = &a->items[i]->servers[k];
            const struct stats_label labels[] = {{"group", str_of(a->items[i]->group)}, {"url", str_of(s->url)}};
            if (!s->failed || f->value == audited_up)
                stats_value(out, f->name, labels, LEN(labels), f->value(s));
        }
}

enum audit_group_value { AUDIT_RUNS, AUDIT_FAILURES, AUDIT_TIME };

static void audits_write_groups(const struct audits *a, enum audit_group_value which, const char *name, const char *help,
                                struct stats_out *out)
{
    stats_family(out, name, which == AUDIT_TIME ? STATS_GAUGE : STATS_COUNTER, help);
    for (size_t i = 0; i < a->n; i++) {
        const struct audited *g = a->items[i];
        const struct stats_label labels[] = {{"group", str_of(g->group)}};
        double value = which == AUDIT_RUNS ? (double)g->n_audits : which == AUDIT_FAILURES ? (double)g->n_failed
                                                                                          : (double)g->at / 1000;
        stats_value(out, name, labels, LEN(labels), value);
    }
}

void audits_collect(struct audits *a, struct stats_out *out)
{
    mutex_lock(&a->lock);
    for (size_t i = 0; i < LEN(audit_families); i++)
        audits_write_family(a, &audit_families[i], out);
    audits_write_groups(a, AUDIT_RUNS, "sluice_audits_total", "Audits in the background", out);
    audits_write_groups(a, AUDIT_FAILURES, "sluice_audits_failed_total", "Audits in the background that failed", out);
    audits_write_groups(a, AUDIT_TIME, "sluice_audit_timestamp_seconds", "Time of the last audit; 0 = there was none", out);
    mutex_unlock(&a->lock);
}
