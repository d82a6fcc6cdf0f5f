// SPDX-License-Identifier: Apache-2.0
/* Bodies are decompressed here and not by libcurl, which accepts a truncated compressed body as complete: samples
 * missing from a scrape response would then look as if they had disappeared.
 */
#include "base/http/client_body.h"

#include "base/compress.h"

enum { DECOMPRESS_CHUNK = 512 }; /* compressed bytes: they expand to half a megabyte at most */

/* ---- header fields ---- */

static void keep(char *to, size_t size, struct str *slice, struct str value)
{
    *slice = str_n(to, value.n < size ? value.n : size - 1);
    if (slice->n > 0)
        memcpy(to, value.p, slice->n);
}

void client_body_take_header(struct client_call *call, struct str name, struct str value)
{
    struct client_reply *r = &call->reply;
    if (str_ieq(name, STR("content-type")))
        keep(call->content_type, sizeof call->content_type, &r->content_type, value);
    else if (str_ieq(name, STR("content-encoding")))
        keep(call->content_encoding, sizeof call->content_encoding, &r->content_encoding, value);
    else if (str_ieq(name, STR("retry-after")))
        keep(call->retry_after, sizeof call->retry_after, &r->retry_after, value);
    else if (str_ieq(name, STR("location")))
        keep(call->location, sizeof call->location, &r->location, value);
}

void client_body_forget_head(struct client_call *call)
{
    struct client_reply *r = &call->reply;
    r->content_type = r->content_encoding = r->retry_after = r->location = STR_NONE;
}

/* ---- the body ---- */

static bool call_deliver(struct client_call *call, struct str piece)
{
    struct client_reply *r = &call->reply;
    if (call->req.max_body && piece.n > call->req.max_body - call->body)
        return err_set(&r->err, ERR_TOO_LARGE, "response body exceeds %zu bytes", call->req.max_body);
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

static bool is_identity_encoding(struct str encoding) { return encoding.n == 0 || str_ieq(encoding, STR("identity")); }

static bool is_gzip(struct str encoding)
{
    return str_ieq(encoding, STR("gzip")) || str_ieq(encoding, STR("x-gzip")) || str_ieq(encoding, STR("deflate"));
}

bool client_body_take(struct client_call *call, struct str piece)
{
    struct str encoding = call->reply.content_encoding;
    if (!call->req.accept_gzip || is_identity_encoding(encoding))
        return call_deliver(call, piece);
    call->corrupted_body = !is_gzip(encoding);
    return !call->corrupted_body && call_deliver_compressed(call, piece);
}

bool client_body_end(struct client_call *call)
{
    call->corrupted_body |= call->gunzip && !call->complete_body;
    return !call->corrupted_body;
}

void client_body_free(struct client_call *call)
{
    gunzip_free(call->gunzip);
    buf_free(&call->decompressed);
}
