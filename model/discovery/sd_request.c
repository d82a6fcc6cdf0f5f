// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/sd_request.h"

#include "base/hash.h"
#include "base/text/url.h"

enum { API_BODY_MAX = 32 << 20, API_TREE_MAX = 256 << 20 };

static void request_clear(struct sd_request *r)
{
    json_value_reader_free(&r->reader);
    arena_free(&r->arena);
    mem_free(r->url);
    r->url = NULL;
}

static bool request_on_data(void *arg, const struct client_reply *reply, struct str piece, struct err *err)
{
    struct sd_request *r = arg;
    if (reply->status != 200)
        return true;
    return json_value_reader_feed(&r->reader, piece, err) &&
           (!arena_over(&r->arena, API_TREE_MAX) || err_set(err, ERR_TOO_LARGE, "the response is too large"));
}

static const struct json_value *request_document(struct sd_request *r, const struct client_reply *reply, struct err *err)
{
    const struct json_value *doc = NULL;
    struct buf shown = {0};
    if (reply->status == 200) {
        doc = json_value_reader_finish(&r->reader, err);
    } else if (reply->status == 0) {
        *err = reply->err; /* has the URL already */
        return NULL;
    } else {
        err_set(err, ERR_BAD_GATEWAY, "HTTP %d", reply->status);
    }
    if (doc == NULL) {
        url_redact(&shown, str_of(r->url));
        err_wrap(err, "%s", buf_z(&shown));
        buf_free(&shown);
    }
    return doc;
}

static void request_on_done(void *arg, const struct client_reply *reply)
{
    struct sd_request *r = arg;
    struct err err;
    r->call = NULL;
    const struct json_value *doc = request_document(r, reply, &err);
    if (doc == NULL)
        client_hide_secrets_in(r->profile, str_of(r->url), err.text, sizeof err.text);
    r->done(r, doc, &err);
}

void sd_request_start(struct sd_request *r, const struct sd_ask *ask)
{
    if (r->url)
        request_clear(r);
    arena_init(&r->arena, 0);
    json_value_reader_init(&r->reader, &r->arena);
    r->url = str_dup(ask->url);
    r->profile = ask->profile;
    r->call = client_send(ask->client, &(struct client_request){
        .method = "GET", .url = r->url, .socket = ask->socket, .no_redirects = ask->socket != NULL, .profile = ask->profile, .headers = ask->headers, .n_headers = ask->n_headers,
        .slot = (uint32_t)hash_bytes(ask->url.p, ask->url.n), .timeout_ms = ask->timeout_ms, .max_body = API_BODY_MAX,
        .accept_gzip = true, .data = request_on_data, .done = request_on_done, .arg = r});
}

void sd_request_free(struct sd_request *r)
{
    if (r->call)
        client_cancel(r->call);
    if (r->url)
        request_clear(r);
    r->call = NULL;
}
