// SPDX-License-Identifier: Apache-2.0
#include "gateway/access_log.h"

#include "base/json/json_write.h"
#include "base/os/line_file.h"
#include "base/text/duration.h"
#include "gateway/services/services.h"

#include <stdio.h>
#include <time.h>

enum { ACCESS_TEXT_BYTES = 4096 }; /* of a URI or header; longer ones are cut */

struct access_line {
    enum access_log_format format;
    struct buf out;
};

/* Quotes and control characters are escaped, so that a client cannot forge a line or a field. */
static void access_add_quoted(struct buf *out, struct str text)
{
    buf_add_char(out, '"');
    json_escape(out, str_first(text, ACCESS_TEXT_BYTES));
    buf_add_char(out, '"');
}

static struct str access_or_dash(struct str text) { return text.n > 0 ? text : STR("-"); }

static void access_add_uri(struct buf *out, const struct http_request *r)
{
    struct buf shown = {0};
    url_redact_address(&shown, str_first(r->uri, ACCESS_TEXT_BYTES));
    json_escape(out, buf_str(&shown));
    buf_free(&shown);
}

static void access_combined(struct buf *out, struct http_request *r)
{
    char when[64];
    time_t now = clock_wall_ms() / 1000;
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(when, sizeof when, "%d/%b/%Y:%H:%M:%S +0000", &tm);
    struct str host = access_or_dash(http_client_host(r)), method = access_or_dash(http_method_name(r->method));
    buf_printf(out, "%.*s - ", STR_ARG(host));
    json_escape(out, access_or_dash(r->login));
    buf_printf(out, " [%s] \"%.*s ", when, STR_ARG(method));
    access_add_uri(out, r);
    buf_printf(out, " HTTP/1.%c\" %d %zu ", r->http_1_0 ? '0' : '1', r->status, http_response_bytes(r));
    access_add_quoted(out, access_or_dash(http_header(r, "Referer")));
    buf_add_char(out, ' ');
    access_add_quoted(out, access_or_dash(http_header(r, "User-Agent")));
}

/* ---- fields ---- */

static void access_begin_field(struct access_line *l, const char *name)
{
    if (l->format == ACCESS_JSON)
        buf_printf(&l->out, "%s\"%s\":", l->out.n ? "," : "{", name);
    else
        buf_printf(&l->out, "%s%s=", l->out.n ? " " : "", name);
}

static void access_field(struct access_line *l, const char *name, struct str value)
{
    access_begin_field(l, name);
    access_add_quoted(&l->out, value);
}

static void access_number(struct access_line *l, const char *name, double value)
{
    access_begin_field(l, name);
    buf_printf(&l->out, "%.15g", value);
}

static void access_fields(struct access_line *l, struct http_request *r)
{
    struct buf text = {0};
    buf_add_rfc3339(&text, clock_wall_ms());
    access_field(l, "time", buf_str(&text));
    buf_free(&text);
    access_field(l, "client", http_client(r));
    access_field(l, "user", r->login);
    access_field(l, "method", access_or_dash(http_method_name(r->method)));
    access_begin_field(l, "uri");
    buf_add_char(&l->out, '"');
    access_add_uri(&l->out, r);
    buf_add_char(&l->out, '"');
    access_number(l, "status", r->status);
    access_number(l, "bytes", (double)http_response_bytes(r));
    access_number(l, "duration", (double)(clock_mono_ms() - r->started_mono) / 1e3);
    access_field(l, "referer", http_header(r, "Referer"));
    access_field(l, "user_agent", http_header(r, "User-Agent"));
    access_field(l, "query_id", str_of(r->query_id));
    access_field(l, "request_id", http_header(r, "X-Request-Id"));
    access_field(l, "traceparent", http_header(r, "traceparent"));
    if (l->format == ACCESS_JSON)
        buf_add_char(&l->out, '}');
}

void access_log_write(struct http_request *r)
{
    struct services *s = r->services;
    struct access_line l = {.format = (enum access_log_format)s->flags.access_log_format};
    if (s->access_log == NULL || !line_file_used(s->access_log))
        return;
    if (l.format == ACCESS_COMBINED)
        access_combined(&l.out, r);
    else
        access_fields(&l, r);
    buf_add_char(&l.out, '\n');
    line_file_put(s->access_log, buf_str(&l.out));
    buf_free(&l.out);
}
