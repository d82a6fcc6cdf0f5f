// SPDX-License-Identifier: Apache-2.0
#include "gateway/api/query_log.h"

#include "base/os/line_file.h"
#include "base/text/duration.h"
#include "gateway/query/render.h"
#include "gateway/services/services.h"

/* Always with three digits of a second, as Prometheus writes it. */
static void query_log_time(struct json_writer *w, const char *key, int64_t ms)
{
    struct buf text = {0};
    int64_t part = (ms % 1000 + 1000) % 1000;
    buf_add_rfc3339(&text, ms - part);
    text.n -= text.n > 0; /* Z */
    buf_printf(&text, ".%03dZ", (int)part);
    json_field_z(w, key, buf_z(&text));
    buf_free(&text);
}

static void query_log_params(struct json_writer *w, const struct query_params *p)
{
    json_key(w, "params");
    json_begin_object(w);
    query_log_time(w, "end", p->range ? p->end : p->start);
    json_field_str(w, "query", p->text);
    query_log_time(w, "start", p->start);
    json_field_i64(w, "step", p->range ? p->step / 1000 : 0); /* whole seconds, as Prometheus writes it */
    json_end_object(w);
}

static void query_log_request(struct json_writer *w, struct http_request *r)
{
    json_key(w, "httpRequest");
    json_begin_object(w);
    json_field_str(w, "clientIP", http_client_host(r));
    json_field_str(w, "method", http_method_name(r->method));
    json_field_str(w, "path", r->path);
    json_end_object(w);
}

static void query_log_header(struct json_writer *w, const char *key, struct http_request *r, const char *name)
{
    struct str value = http_header(r, name);
    if (value.n > 0)
        json_field_str(w, key, str_first(value, 512));
}

void query_log_write(struct api_call *c, const struct query_params *params, const struct promql_stats *stats,
                     int64_t queued_ns)
{
    struct line_file *file = c->r->services->query_log;
    struct buf line = {0};
    struct json_writer w = {.out = &line};
    if (file == NULL || !line_file_used(file))
        return;
    json_begin_object(&w);
    query_log_time(&w, "time", clock_wall_ms());
    json_field_z(&w, "level", "INFO");
    json_field_z(&w, "msg", "promql query logged");
    query_log_params(&w, params);
    if (stats)
        render_stats(&w, stats, queued_ns, (struct render_grid){params->start, params->step});
    else
        json_field_z(&w, "error", c->err.text);
    query_log_request(&w, c->r);
    json_field_z(&w, "queryID", c->r->query_id);
    query_log_header(&w, "requestID", c->r, "X-Request-Id");
    query_log_header(&w, "traceparent", c->r, "traceparent");
    json_end_object(&w);
    buf_add_char(&line, '\n');
    line_file_put(file, buf_str(&line));
    buf_free(&line);
}
