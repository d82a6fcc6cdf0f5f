// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/source/sd_poll.h"

#include "base/hash.h"
#include "base/telemetry/log.h"

#include <string.h>

static struct sd_poll *poll_of(const struct sd_source *s) { return (struct sd_poll *)(uintptr_t)s; }

static void poll_begin(struct sd_poll *p)
{
    p->reading = true;
    p->hangs = false;
    loop_timer_in(p->env.main, &p->late, SD_POLL_LATE_MS);
    p->ops->begin(p);
}

static void poll_on_due(struct loop_timer *t)
{
    struct sd_poll *p = CONTAINER(t, struct sd_poll, due);
    if (!p->reading)
        poll_begin(p);
}

static void poll_on_late(struct loop_timer *t)
{
    struct sd_poll *p = CONTAINER(t, struct sd_poll, late);
    p->hangs = p->reading;
    p->has_news = p->drained = true; /* nobody waits for parts either */
    p->awaited = false;
    p->env.news(p->env.arg);
}

/* ---- the end of a read ---- */

int64_t sd_jitter(int64_t ms)
{
    static uint64_t drawn;
    drawn++;
    return ms / 2 + (int64_t)(hash_keyed(&drawn, sizeof drawn) % (uint64_t)(ms - ms / 2 + 1));
}

static void poll_end(struct sd_poll *p, int64_t next)
{
    if (p->drained || p->parts.groups == NULL)
        loop_timer_stop(p->env.main, &p->late);
    loop_timer_in(p->env.main, &p->due, next);
    p->reading = p->hangs = p->awaited = false;
    p->has_news = p->ended = true;
    p->env.news(p->env.arg);
}

void sd_poll_succeeded(struct sd_poll *p, struct sd_groups *groups)
{
    if (groups && groups->too_large) {
        sd_groups_unref(groups);
        sd_poll_failed(p, "its targets and their labels need too much memory");
        return;
    }
    if (p->error)
        log_info("sd", "service discovery responds again", p->env.owner.kind, p->env.owner.name.p, "source", p->shown);
    mem_free(p->error);
    p->error = NULL;
    p->failing_since = 0;
    if (groups) {
        sd_parts_set(&p->parts, groups);
        p->drained = p->drained || !sd_parts_changed(&p->parts);
    }
    poll_end(p, sd_jitter(p->interval));
}

void sd_poll_failed(struct sd_poll *p, const char *why)
{
    stats_add(&sd_stats, p->failures, 1);
    if (p->failing_since == 0)
        p->failing_since = loop_mono(p->env.main);
    if (p->error == NULL || strcmp(p->error, why) != 0) {
        log_warn("sd", "service discovery failed; keeping its previous targets and retrying",
                 p->env.owner.kind, p->env.owner.name.p, "source", p->shown, "err", why);
        mem_free(p->error);
        p->error = mem_strdup(why);
    }
    poll_end(p, sd_jitter(p->interval));
}

/* ---- as a source ---- */

static void poll_source_free(struct sd_source *s)
{
    struct sd_poll *p = poll_of(s);
    loop_timer_stop(p->env.main, &p->due);
    loop_timer_stop(p->env.main, &p->late);
    sd_parts_free(&p->parts);
    mem_free((char *)p->env.owner.name.p);
    mem_free((char *)p->found.source.p);
    mem_free((char *)s->key.p);
    mem_free(p->shown);
    mem_free(p->error);
    p->ops->free(p);
}

/* A source that continues over a reload is read when it is due. */
static void poll_source_start(struct sd_source *s, struct dir_watch *dirs UNUSED)
{
    struct sd_poll *p = poll_of(s);
    p->awaited = !p->ended && !p->hangs;
    if (!p->reading && !p->ended)
        poll_begin(p);
}

bool sd_failing_for_long(const struct loop *main, int64_t since)
{
    return since > 0 && loop_mono(main) - since >= SD_LOST_MS;
}

/* Until a first read has succeeded, the sources that it replaces remain in force. */
static struct sd_source_state poll_source_state(const struct sd_source *s)
{
    const struct sd_poll *p = poll_of(s);
    bool was_read = p->parts.groups != NULL;
    return (struct sd_source_state){.reads = p->reading && !p->hangs,
                                    .awaited = p->awaited || (was_read && !p->drained), .was_read = was_read, .has_some = was_read,
                                    .lost = !was_read && sd_failing_for_long(p->env.main, p->failing_since),
                                    .has_news = p->has_news};
}

static bool poll_source_take_news(struct sd_source *s)
{
    struct sd_poll *p = poll_of(s);
    p->has_news = false;
    return sd_parts_changed(&p->parts);
}

void sd_found_visit_part(void *arg, const void *part, struct sd_groups *groups)
{
    const struct sd_found_visit *v = arg;
    struct sd_found found = *v->found;
    found.part = part;
    found.groups = groups;
    v->visit(v->arg, &found);
}

static void poll_source_visit(struct sd_source *s, struct map *seen UNUSED, sd_visit_fn *visit, void *arg)
{
    struct sd_poll *p = poll_of(s);
    sd_parts_visit(&p->parts, sd_found_visit_part, &(struct sd_found_visit){&p->found, visit, arg});
    p->drained = p->parts.groups != NULL;
}

static void poll_source_visit_whole(struct sd_source *s, struct map *seen UNUSED, sd_visit_fn *visit, void *arg)
{
    struct sd_poll *p = poll_of(s);
    struct sd_found found = p->found;
    sd_parts_settle(&p->parts);
    p->drained = p->parts.groups != NULL;
    found.groups = p->parts.groups;
    visit(arg, &found);
}

/* As many as a turn of the main loop has time for. */
static void poll_source_visit_changed(struct sd_source *s, sd_visit_fn *visit, void *arg)
{
    struct sd_poll *p = poll_of(s);
    sd_parts_visit_changed(&p->parts, loop_slice_end(p->env.main), sd_found_visit_part,
                           &(struct sd_found_visit){&p->found, visit, arg});
    if (!sd_parts_changed(&p->parts)) {
        p->drained = p->parts.groups != NULL;
        return;
    }
    p->has_news = true;
    p->env.news(p->env.arg);
}

static void poll_source_show(const struct sd_source *s, struct sd_status *out, struct map *seen UNUSED)
{
    out->unanswered += poll_of(s)->error != NULL || poll_of(s)->hangs;
}

void sd_explain_reads(struct buf *out, const char *shown, const char *error, bool hangs, bool ended)
{
    const char *separator = out->n > 0 ? "; " : "";
    if (error)
        buf_printf(out, "%s%s", separator, error);
    else if (hangs)
        buf_printf(out, "%s%s does not respond", separator, shown);
    else if (!ended)
        buf_printf(out, "%s%s was not read yet", separator, shown);
}

static void poll_source_explain(const struct sd_source *s, struct buf *out)
{
    const struct sd_poll *p = poll_of(s);
    sd_explain_reads(out, p->shown, p->error, p->hangs, p->ended);
}

static const struct sd_source_ops poll_source_ops = {
    .free = poll_source_free, .start = poll_source_start, .state = poll_source_state,
    .take_news = poll_source_take_news, .visit = poll_source_visit, .visit_whole = poll_source_visit_whole,
    .visit_changed = poll_source_visit_changed, .show = poll_source_show,
    .explain = poll_source_explain};

void sd_poll_init(struct sd_poll *p, const struct sd_poll_ops *ops, const struct sd_source_env *env, int64_t interval,
                  enum sd_stat failures, const struct sd_found *found, const char *shown, struct str key)
{
    *p = (struct sd_poll){.source = {.ops = &poll_source_ops, .key = {str_dup(key), key.n}}, .ops = ops, .env = *env,
                          .interval = interval, .failures = failures, .found = *found, .shown = mem_strdup(shown),
                          .due.run = poll_on_due, .late.run = poll_on_late};
    sd_parts_init(&p->parts);
    p->source.reads = &p->found;
    p->env.owner.name = str_of(str_dup(env->owner.name));
    p->found.source = str_of(str_dup(found->source));
}
