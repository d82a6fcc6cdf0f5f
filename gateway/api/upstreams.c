// SPDX-License-Identifier: Apache-2.0
/* /api/v1/status/upstreams: the server groups, and what is known of each server. */
#include "gateway/api/query.h"

#include "base/text/duration.h"
#include "gateway/api/call.h"
#include "gateway/coverage/coverage_intake.h"
#include "gateway/query/render.h"
#include "gateway/upstream/source.h"

#include <stdio.h>

static void upstreams_put_time(struct json_writer *w, const char *key, int64_t ms)
{
    struct buf text = {0};
    if (ms <= 0)
        return;
    buf_add_rfc3339(&text, ms);
    json_field_str(w, key, buf_str(&text));
    buf_free(&text);
}

static void upstreams_put_version(struct json_writer *w, const struct server *s)
{
    unsigned v = server_version(s);
    char text[40];
    if (v <= SERVER_VERSION_NONE)
        return;
    snprintf(text, sizeof text, "%u.%u.%u", v >> 20, v >> 10 & 1023, v & 1023);
    json_field_z(w, "version", text);
}

static void upstreams_put_server(struct api_call *c, struct server *s, const struct coverage_status *coverage, size_t i)
{
    struct json_writer *w = &c->json;
    struct server_status status = {0};
    struct arena_limits limits = arena_suspend_limit(c->q->arena); /* texts are copied under a lock */
    server_show(s, c->q->arena, &status);
    arena_restore_limit(c->q->arena, limits);
    json_begin_object(w);
    json_field_str(w, "url", s->shown_url);
    json_field_z(w, "state", status.state);
    json_field_z(w, "breaker", status.breaker);
    json_field_z(w, "kind", status.kind);
    upstreams_put_version(w, s);
    json_field_str(w, "lastError", status.last_error);
    upstreams_put_time(w, "lastErrorAt", status.last_error_at);
    upstreams_put_time(w, "lastSuccessAt", status.last_ok_at);
    json_field_u64(w, "requests", status.requests);
    json_field_u64(w, "failures", status.failures);
    json_field_u64(w, "bytes", status.bytes);
    json_field_u64(w, "samples", status.samples);
    json_key(w, "seconds");
    json_double(w, status.seconds);
    if (i < coverage->n) {
        json_key(w, "coverage");
        json_begin_object(w);
        json_field_u64(w, "targets", coverage->replicas[i].targets);
        json_field_u64(w, "gaps", coverage->replicas[i].gaps);
        json_field_bool(w, "reachable", !coverage->replicas[i].unreached);
        json_end_object(w);
    }
    json_end_object(w);
}

static const char *upstreams_mode(enum read_mode mode)
{
    return mode == READ_MERGE ? "merge" : mode == READ_HEDGE ? "hedge" : "first";
}

static void upstreams_put_group(struct api_call *c, const struct group *g)
{
    struct json_writer *w = &c->json;
    struct coverage_status coverage;
    struct arena_limits limits = arena_suspend_limit(c->q->arena); /* likewise */
    coverage_show(g->coverage, c->q->arena, 0, &coverage);
    arena_restore_limit(c->q->arena, limits);
    json_begin_object(w);
    json_field_str(w, "group", g->name);
    json_key(w, "labels");
    render_labels(w, g->labels);
    json_field_z(w, "readMode", upstreams_mode(g->read_mode));
    json_field_bool(w, "required", g->failure == GROUP_REQUIRED);
    json_field_bool(w, "recent", g->recent);
    upstreams_put_time(w, "coveredFrom", coverage.known_from <= coverage.known_to ? coverage.known_from : 0);
    upstreams_put_time(w, "coveredTo", coverage.known_from <= coverage.known_to ? coverage.known_to : 0);
    json_key(w, "servers");
    json_begin_array(w);
    for (size_t i = 0; i < g->n_servers; i++)
        upstreams_put_server(c, g->servers[i], &coverage, i);
    json_end_array(w);
    json_end_object(w);
}

static bool api_upstreams_body(struct api_call *c)
{
    const struct group_list *groups = &upstream_of(c->source)->groups;
    json_begin_object(&c->json);
    json_key(&c->json, "groups");
    json_begin_array(&c->json);
    for (size_t i = 0; i < groups->n; i++) {
        if (!api_charge(c, QUERY_CHARGE_WRITE * (1 + groups->items[i].n_servers)))
            return false;
        upstreams_put_group(c, &groups->items[i]);
    }
    json_end_array(&c->json);
    json_end_object(&c->json);
    return true;
}

void api_status_upstreams(struct http_request *r) { api_respond(r, api_upstreams_body); }
