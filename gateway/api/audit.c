// SPDX-License-Identifier: Apache-2.0
/* /api/v1/status/audit: what was written compared with what each server of a group returns (gateway/audit/audit.h). */
#include "gateway/audit/audit.h"

#include "base/text/duration.h"
#include "gateway/api/call.h"
#include "gateway/api/query.h"
#include "gateway/query/params.h"
#include "gateway/query/render.h"
#include "gateway/services/services.h"
#include "gateway/upstream/source.h"

enum {
    SINCE_MS = 3600000, WINDOW_MS = 300000,
    DELAY_MS = 30000,       /* VictoriaMetrics shows samples so late (-search.latencyOffset) */
    AUDIT_TARGETS = 20, WINDOWS_MOST = 2000
};

struct audit_call {
    struct api_call *c;
    struct audit_question what;
    int64_t since;
};

/* --- the question --------------------------------------------------------------------------------------------------- */

static const struct group *audit_find_group(const struct audit_call *call, struct err *err)
{
    const struct group_list *groups = &upstream_of(call->c->source)->groups;
    struct str name = form_get(&call->c->r->form, "group");
    const struct group *found = NULL;
    for (size_t i = 0; i < groups->n; i++) {
        if (!str_eq(groups->items[i].name, name))
            continue;
        if (found) {
            err_set(err, ERR_BAD_DATA, "invalid parameter \"group\": the servers of \"%.*s\" have different labels, so that "
                    "each has a part of what was written", STR_ARG(name));
            return NULL;
        }
        found = &groups->items[i];
    }
    if (found == NULL)
        err_set(err, ERR_BAD_DATA, "invalid parameter \"group\": there is no server group named \"%.*s\"", STR_ARG(name));
    else if (!audit_knows(upstream_of(call->c->source), found))
        err_set(err, ERR_BAD_DATA, "invalid parameter \"group\": what was written to \"%.*s\" is not known; name the "
                "destination that fills it in written_by of the group and in recent.like", STR_ARG(name));
    else
        return found;
    return NULL;
}

static bool audit_read_selector(struct audit_call *call, struct err *err)
{
    struct selector_params selectors;
    if (!param_selectors(call->c->q->arena, &call->c->r->form, &selectors, err))
        return false;
    if (selectors.n > 1)
        return err_set(err, ERR_BAD_DATA, "invalid parameter \"match[]\": one selector is expected");
    if (selectors.n == 1) {
        call->what.match = selectors.sets[0];
        call->what.n_match = selectors.sizes[0];
        return true;
    }
    return param_selector(call->c->q->arena, STR("{__name__!=\"\"}"), &call->what.match, &call->what.n_match, err);
}

static bool audit_read_times(struct audit_call *call, struct err *err)
{
    const struct form *f = &call->c->r->form;
    struct audit_question *w = &call->what;
    size_t targets;
    int64_t delay;
    if (!param_duration(f, "since", SINCE_MS, &call->since, err) || !param_duration(f, "window", WINDOW_MS, &w->window, err)
        || !param_duration(f, "delay", DELAY_MS, &delay, err) || !param_limit(f, &targets, err))
        return false;
    w->max_targets = targets > 0 ? targets : AUDIT_TARGETS;
    w->end = clock_wall_ms() - delay;
    w->start = w->end - call->since;
    if (call->since / w->window > WINDOWS_MOST)
        return err_set(err, ERR_BAD_DATA, "invalid parameter \"window\": more than %d windows; make it longer", WINDOWS_MOST);
    return true;
}

/* --- the result ----------------------------------------------------------------------------------------------------- */

static void put_audit_count(struct json_writer *w, const struct audit_count *c)
{
    json_field_u64(w, "written", c->written);
    json_field_u64(w, "returned", c->returned);
    json_field_u64(w, "missing", c->missing);
    json_field_u64(w, "extra", c->extra);
    json_field_u64(w, "late", c->late);
}

static void put_audit_time(struct json_writer *w, const char *key, int64_t ms)
{
    json_key(w, key);
    json_ms(w, ms);
}

static void put_audit_targets(struct json_writer *w, const struct audit_server *s)
{
    json_key(w, "targets");
    json_begin_array(w);
    for (size_t i = 0; i < s->n; i++) {
        json_begin_object(w);
        json_key(w, "labels");
        render_labels(w, s->targets[i].labels);
        put_audit_count(w, &s->targets[i].count);
        put_audit_time(w, "firstWindowEnd", s->targets[i].first);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_audit_server(const struct audit_call *call, const struct audit_server *s, size_t i)
{
    struct json_writer *w = &call->c->json;
    json_begin_object(w);
    json_field_str(w, "url", call->what.group->servers[i]->shown_url);
    if (call->what.fills[i].by)
        json_field_str(w, "destination", call->what.fills[i].by->name);
    if (s->failed)
        json_field_z(w, "error", s->err.text);
    put_audit_count(w, &s->sum);
    json_field_u64(w, "comparedTargets", s->n_targets);
    json_field_u64(w, "differingTargets", s->n_differing);
    put_audit_targets(w, s);
    json_end_object(w);
}

static bool audit_answer(struct audit_call *call)
{
    struct api_call *c = call->c;
    struct json_writer *w = &c->json;
    struct audit_result result;
    const struct config *conf = c->r->config;
    call->what.fills = audit_fills(c->q->arena, call->what.group,
                                   &(struct audit_writer){c->r->services->writer, conf->destinations, conf->n_destinations});
    if (!audit_run(c->q, &call->what, &result, &c->err))
        return false;
    api_reply_begin(c);
    json_begin_object(w);
    json_field_str(w, "group", call->what.group->name);
    put_audit_time(w, "start", result.start);
    put_audit_time(w, "end", result.end);
    put_audit_time(w, "window", call->what.window);
    json_key(w, "servers");
    json_begin_array(w);
    for (size_t i = 0; i < call->what.group->n_servers; i++)
        put_audit_server(call, &result.servers[i], i);
    json_end_array(w);
    json_end_object(w);
    return api_reply_end(c);
}

static void audit_put_recent(void *arg) { writer_recent_unref(arg); }

static bool audit_body(struct api_call *c)
{
    struct audit_call call = {.c = c};
    call.what.group = audit_find_group(&call, &c->err);
    if (call.what.group == NULL || !audit_read_selector(&call, &c->err) || !audit_read_times(&call, &c->err))
        return false;
    struct source *recent = writer_recent(c->r->services->writer);
    if (recent == NULL)
        return err_set(&c->err, ERR_UNAVAILABLE, "the recent store was removed meanwhile");
    c->session->end = audit_put_recent;
    c->session->end_arg = recent;
    call.what.upstream = upstream_of(c->source);
    call.what.settings = &c->session->service;
    call.what.written = recent;
    call.what.written_from = writer_recent_from(recent);
    return audit_answer(&call);
}

void api_status_audit(struct http_request *r) { api_respond(r, audit_body); }
