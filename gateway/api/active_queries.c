// SPDX-License-Identifier: Apache-2.0
/* Queries that run, and their end by an operator. The fields are those of VictoriaMetrics, and `path`. */
#include "gateway/query/active.h"

#include "base/text/duration.h"
#include "gateway/api/api.h"
#include "gateway/services/services.h"

#include <stdio.h>

struct active_listing { struct json_writer json; int64_t now; };

static void active_show(void *arg, const struct active_query *q)
{
    struct active_listing *l = arg;
    struct json_writer *w = &l->json;
    char id[ACTIVE_ID_SIZE], duration[32];
    active_id_print(q->id, id);
    snprintf(duration, sizeof duration, "%.3fs", (double)(l->now - q->started_mono) / 1e3);
    json_begin_object(w);
    json_field_z(w, "duration", duration);
    json_field_z(w, "id", id);
    json_field_str(w, "remote_addr", q->client);
    json_field_str(w, "path", q->path);
    json_field_str(w, "query", q->query);
    json_field_i64(w, "start", q->start);
    json_field_i64(w, "end", q->end);
    json_field_i64(w, "step", q->step);
    json_end_object(w);
}

void api_active_queries(struct http_request *r)
{
    struct active_listing l = {.now = clock_mono_ms()};
    api_begin(r, &l.json);
    json_begin_array(&l.json);
    active_each(&r->services->active, active_show, &l);
    json_end_array(&l.json);
    api_end(&l.json);
}

void api_cancel_query(struct http_request *r)
{
    struct str text = form_get(&r->form, "id");
    struct err err;
    uint64_t id;
    if (!active_id_parse(text, &id))
        err_set(&err, ERR_BAD_DATA, "invalid parameter \"id\": \"%.*s\" is not the id of a query (hexadecimal, as in "
                "/api/v1/status/active_queries)", STR_ARG(str_first(text, 64)));
    else if (!active_cancel(&r->services->active, id))
        err_set(&err, ERR_NOT_FOUND, "no query with id %.*s is running", STR_ARG(text));
    else {
        r->status = 204;
        return;
    }
    http_error(r, &err);
}
