// SPDX-License-Identifier: Apache-2.0
/* Bodies are decompressed here and not by libcurl, which accepts a truncated compressed body as complete: samples
 * missing from a scrape response would then look as if they had disappeared.
 *
 * A small gzip body is collected and decompressed at once (a page of 1,000 series, level 6: 45 ns of CPU a sample
 * instead of 90). A large one is decompressed as it arrives, so that no piece of it keeps the loop busy for long.
 */
#include "base/http/client_body.h"

#include "base/compress.h"
#include "base/text/duration.h"
#include "base/text/num.h"

enum {
    DECOMPRESS_CHUNK = 512, /* compressed bytes: they expand to half a megabyte at most */
    PACKED_MAX = 128 << 10, UNPACKED_MAX = 1 << 20, /* of a small body */
    UNPACKED_KEPT = 256 << 10, /* for the next one */
};

/* ---- header fields ---- */

static void keep(char *to, size_t size, struct str *slice, struct str value)
{
    *slice = str_n(to, value.n < size ? value.n : size - 1);
    if (slice->n > 0)
        memcpy(to, value.p, slice->n);
}

enum { WRITTEN_LEAST = sizeof "x-prometheus-remote-write-" - 1 };

/* A value that is no number counts as none. */
static void body_take_written(struct client_reply *r, struct str name, struct str value)
{
    uint64_t n;
    bool samples = str_ieq(name, STR("samples-written")) || str_ieq(name, STR("histograms-written"));
    if ((!samples && !str_ieq(name, STR("exemplars-written"))) || !num_parse_u64(value, &n))
        return;
    r->has_written = true;
    if (samples)
        r->written += n;
}

/* With Age it is the time of an earlier response. */
static void body_take_date(struct client_reply *r, struct str name, struct str value)
{
    enum { FROM_A_CACHE = -1 };
    if (str_ieq(name, STR("age")))
        r->date = FROM_A_CACHE;
    else if (r->date == 0 && !http_date_parse(value, &r->date))
        r->date = 0;
}

void client_body_take_header(struct client_call *call, struct str name, struct str value)
{
    struct client_reply *r = &call->reply;
    if (str_ieq(name, STR("content-type")))
        keep(call->content_type, sizeof call->content_type, &r->content_type, value);
    else if (str_ieq(name, STR("content-encoding")))
        keep(call->content_encoding, sizeof call->content_encoding, &r->content_encoding, value);
    else if (str_ieq(name, STR("content-length")) && !num_parse_u64(value, &call->declared_body))
        call->declared_body = 0; /* the reader of the head refuses it */
    else if (str_ieq(name, STR("retry-after")))
        keep(call->retry_after, sizeof call->retry_after, &r->retry_after, value);
    else if (str_ieq(name, STR("location")))
        keep(call->location, sizeof call->location, &r->location, value);
    else if (str_ieq(name, STR("date")) || str_ieq(name, STR("age")))
        body_take_date(r, name, value);
    else if (str_ieq(name, STR("x-server-hostname")))
        r->server_hostname = true;
    else if ((str_ieq(name, STR("x-consul-index")) || str_ieq(name, STR("x-nomad-index"))) &&
             !num_parse_u64(value, &r->list_index))
        r->list_index = 0;
    else if (name.n > WRITTEN_LEAST && str_ieq(str_first(name, WRITTEN_LEAST), STR("x-prometheus-remote-write-")))
        body_take_written(r, str_skip(name, WRITTEN_LEAST), value);
}

void client_body_forget_head(struct client_call *call)
{
    struct client_reply *r = &call->reply;
    r->content_type = r->content_encoding = r->retry_after = r->location = STR_NONE;
    r->server_hostname = r->has_written = false;
    r->written = r->list_index = 0;
    r->date = 0;
    call->declared_body = 0;
}

/* ---- the body ---- */

/* A body that is declared to be too large, compressed or not, is not worth its bytes up to the limit. */
static bool call_accepts(struct client_call *call, size_t n)
{
    size_t max = call->req.max_body;
    if (max == 0 || (n <= max - call->body && call->declared_body <= max))
        return true;
    return err_set(&call->reply.err, ERR_TOO_LARGE, "response body exceeds %zu bytes", max);
}

static bool call_deliver(struct client_call *call, struct str piece)
{
    struct client_reply *r = &call->reply;
    if (!call_accepts(call, piece.n))
        return false;
    call->body += piece.n;
    if (call->req.data == NULL || piece.n == 0)
        return true;
    struct err err = {0};
    if (call->req.data(call->req.arg, r, piece, &err))
        return call->state != CALL_CANCELED;
    if (err.kind == ERR_NONE)
        err_set(&err, ERR_CANCELED, "response no longer needed");
    r->err = err;
    return false;
}

static bool call_deliver_compressed(struct client_call *call, struct str compressed)
{
    if (call->gunzip == NULL)
        call->gunzip = gunzip_new();
    for (size_t at = 0; at < compressed.n; at += DECOMPRESS_CHUNK) {
        struct str piece = str_first(str_skip(compressed, at), DECOMPRESS_CHUNK);
        struct err err;
        buf_clear(&call->decompressed);
        if (!gunzip_feed(call->gunzip, piece, SIZE_MAX / 2, &call->decompressed, &call->complete_body, &err)) {
            call->corrupted_body = true;
            return false;
        }
        if (!call_deliver(call, buf_str(&call->decompressed)))
            return false;
    }
    return true;
}

/* False: it is not that simple. */
static bool call_deliver_at_once(struct client_call *call, bool *ok)
{
    struct client_scratch *s = call->scratch;
    if (s->inflater == NULL)
        s->inflater = inflater_new();
    buf_clear(&s->unpacked);
    if (!inflater_gunzip(s->inflater, buf_str(&call->packed), UNPACKED_MAX, &s->unpacked))
        return false;
    *ok = call_deliver(call, buf_str(&s->unpacked));
    if (s->unpacked.cap > UNPACKED_KEPT)
        buf_free(&s->unpacked);
    return true;
}

static bool is_identity_encoding(struct str encoding) { return encoding.n == 0 || str_ieq(encoding, STR("identity")); }

static bool is_gzip(struct str encoding)
{
    return str_ieq(encoding, STR("gzip")) || str_ieq(encoding, STR("x-gzip"));
}

bool client_body_take(struct client_call *call, struct str piece)
{
    struct str encoding = call->reply.content_encoding;
    if (!call_accepts(call, 0))
        return false;
    if (!call->req.accept_gzip || is_identity_encoding(encoding))
        return call_deliver(call, piece);
    bool gzip = is_gzip(encoding);
    call->corrupted_body = !gzip && !str_ieq(encoding, STR("deflate"));
    if (call->corrupted_body)
        return false;
    if (gzip && call->gunzip == NULL && piece.n <= PACKED_MAX - call->packed.n) {
        buf_add_str(&call->packed, piece);
        return true;
    }
    if (call->packed.n > 0 && !call_deliver_compressed(call, buf_str(&call->packed)))
        return false;
    buf_free(&call->packed);
    return call_deliver_compressed(call, piece);
}

static bool call_deliver_packed(struct client_call *call)
{
    bool ok;
    return call_deliver_at_once(call, &ok) ? ok : call_deliver_compressed(call, buf_str(&call->packed));
}

bool client_body_end(struct client_call *call)
{
    call->delivering = true;
    bool ok = call->packed.n == 0 || call_deliver_packed(call);
    call->delivering = false;
    call->corrupted_body |= ok && call->gunzip && !call->complete_body;
    return ok && !call->corrupted_body;
}

void client_body_free(struct client_call *call)
{
    gunzip_free(call->gunzip);
    buf_free(&call->packed);
    buf_free(&call->decompressed);
}

void client_scratch_free(struct client_scratch *s)
{
    inflater_free(s->inflater);
    buf_free(&s->unpacked);
}
