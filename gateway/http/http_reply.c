// SPDX-License-Identifier: Apache-2.0
/* Responses: texts, errors, headers, compression, CORS. */
#include "gateway/http/http_connection.h"

#include "base/compress.h"
#include "base/json/json_write.h"
#include "base/text/duration.h"
#include "base/text/num.h"

#include <string.h>

enum { MIN_COMPRESSED_BYTES = 1024 };

void http_text(struct http_request *r, int status, const char *text)
{
    r->status = status;
    r->content_type = "text/plain; charset=utf-8";
    buf_clear(&r->headers);
    buf_clear(&r->out);
    buf_add_z(&r->out, text);
}

/* Stored as name, NUL, value, NUL. */
void http_header_add(struct http_request *r, const char *name, struct str value)
{
    if (r->streaming) /* they have been sent */
        return;
    for (size_t i = 0; i < value.n; i++)
        if ((unsigned char)value.p[i] < ' ' || value.p[i] == 0x7f)
            return;
    buf_add(&r->headers, name, strlen(name) + 1);
    buf_add_str(&r->headers, value);
    buf_add_char(&r->headers, 0);
}

void http_retry_after(struct http_request *r, int seconds)
{
    char text[NUM_MAX];
    if (seconds > 0)
        http_header_add(r, "Retry-After", str_n(text, num_format_i64(text, seconds)));
}

void http_error(struct http_request *r, const struct err *e)
{
    r->status = err_http_status(e->kind);
    r->content_type = "application/json";
    buf_clear(&r->headers);
    http_retry_after(r, e->retry_after);
    buf_clear(&r->out);
    struct json_writer w = {.out = &r->out};
    json_begin_object(&w);
    json_field_z(&w, "status", "error");
    json_field_z(&w, "errorType", err_type(e->kind));
    json_key(&w, "error");
    json_html_str(&w, str_of(e->text));
    json_end_object(&w);
}

void http_error_text(struct http_request *r, const struct err *e)
{
    http_text(r, err_http_status(e->kind), e->text);
    http_retry_after(r, e->retry_after);
    buf_add_char(&r->out, '\n');
}

/* As in Prometheus, the first "gzip" decides, unless its weight is 0. */
bool http_accepts_gzip(struct http_request *r)
{
    struct str rest = http_header(r, "Accept-Encoding"), item, name;
    if (r->_connection->conf->no_compression)
        return false;
    while (str_cut(&rest, ',', &item)) {
        struct str weight = item;
        if (!str_cut(&weight, ';', &name) || !str_ieq(str_trim(name), STR("gzip")))
            continue;
        struct str q = str_trim(weight);
        return !str_is(q, "q=0") && !str_is(q, "q=0.0") && !str_is(q, "q=0.00") && !str_is(q, "q=0.000");
    }
    return false;
}

/* A client that has left needs no response, and one that waits beyond its deadline no smaller one. */
static bool compress_in_time(void *arg)
{
    struct http_request *r = arg;
    return !atomic_load_explicit(&r->canceled, memory_order_relaxed) &&
           (r->deadline_mono == 0 || clock_mono_ms() < r->deadline_mono);
}

bool http_stream_compress(struct http_request *r, bool last)
{
    struct http_stream *s = r->_connection->stream;
    struct buf compressed = {0};
    bool ok = gzip_writer_add(s->gzip, &compressed, buf_str(&r->out), last, compress_in_time, r);
    buf_clear(&r->out);
    if (ok)
        buf_add_str(&r->out, buf_str(&compressed));
    buf_free(&compressed);
    return ok;
}

void http_compress(struct http_request *r)
{
    if (r->streaming && r->compressed && !r->stream_failed && !http_stream_compress(r, true))
        r->stream_failed = true;
    if (r->compressed || r->identity || r->out.n < MIN_COMPRESSED_BYTES || !http_accepts_gzip(r))
        return;
    struct buf compressed = {0};
    if (!compress_gzip(&compressed, buf_str(&r->out), HTTP_GZIP_LEVEL, compress_in_time, r)) {
        buf_free(&compressed);
        return;
    }
    buf_charge_anyway(&compressed, r->out.budget);
    r->uncompressed = r->out;
    r->out = compressed;
    r->compressed = true;
}

const char *http_allow_origin(const struct regex *allowed, const char *origin)
{
    if (origin == NULL || allowed == NULL || !regex_match(allowed, str_of(origin)))
        return NULL;
    return str_is(regex_pattern(allowed), ".*") ? "*" : origin;
}
