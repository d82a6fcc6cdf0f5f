// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/source/sd_request.h"

#include "base/aws/aws_profile.h"
#include "base/hash.h"
#include "base/text/url.h"

enum { API_BODY_MAX = 32 << 20, API_TREE_MAX = SD_TREE_MAX, API_REFUSAL_MAX = 4 << 10 };

static void request_clear(struct sd_request *r)
{
    if (r->is_xml)
        xml_value_reader_free(&r->reader.xml);
    else
        json_value_reader_free(&r->reader.json);
    buf_free(&r->refusal);
    arena_free(&r->arena);
    mem_free(r->url);
    r->url = NULL;
}

static bool request_on_data(void *arg, const struct client_reply *reply, struct str piece, struct err *err)
{
    struct sd_request *r = arg;
    if (reply->status != 200) {
        buf_add_str(&r->refusal, str_first(piece, API_REFUSAL_MAX - r->refusal.n));
        return true;
    }
    bool ok = r->is_xml ? xml_value_reader_feed(&r->reader.xml, piece, err) : json_value_reader_feed(&r->reader.json, piece, err);
    return ok &&
           (!arena_over(&r->arena, API_TREE_MAX) || err_set(err, ERR_TOO_LARGE, "the response is too large"));
}

/* AWS and its kin say why: <Code>AuthFailure</Code><Message>...</Message>. */
static void request_refused(const struct sd_request *r, int status, struct err *err)
{
    struct arena a;
    arena_init(&a, 0);
    struct str text = buf_str(&r->refusal), code = r->is_xml ? aws_xml_text(&a, text, "Code") : STR_NONE;
    struct str message = r->is_xml ? aws_xml_text(&a, text, "Message") : STR_NONE;
    err_set(err, ERR_BAD_GATEWAY, "HTTP %d%s%.*s%s%.*s", status, code.n > 0 ? ": " : "", STR_ARG(code), message.n > 0 ? ": " : "",
            STR_ARG(message));
    arena_free(&a);
}

static const struct json_value *request_document(struct sd_request *r, const struct client_reply *reply, struct err *err)
{
    const struct json_value *doc = NULL;
    struct buf shown = {0};
    if (reply->status == 200) {
        doc = r->is_xml ? xml_value_reader_finish(&r->reader.xml, err) : json_value_reader_finish(&r->reader.json, err);
    } else if (reply->status == 0) {
        *err = reply->err; /* has the URL already */
        return NULL;
    } else {
        request_refused(r, reply->status, err);
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
    r->status = reply->status;
    r->index = reply->list_index;
    const struct json_value *doc = request_document(r, reply, &err);
    if (doc == NULL)
        client_hide_secrets_in(r->profile, str_of(r->url), err.text, sizeof err.text);
    r->done(r, doc, &err);
}

void sd_request_start(struct sd_request *r, const struct sd_ask *ask)
{
    char *url = str_dup(ask->url); /* it may be one of the last document */
    if (r->url)
        request_clear(r);
    arena_init(&r->arena, 0);
    r->is_xml = ask->is_xml;
    if (r->is_xml)
        xml_value_reader_init(&r->reader.xml, &r->arena);
    else
        json_value_reader_init(&r->reader.json, &r->arena);
    r->url = url;
    r->profile = ask->profile;
    r->call = client_send(ask->client, &(struct client_request){
        .method = ask->body.n > 0 ? "POST" : "GET", .body = ask->body, .url = r->url, .socket = ask->socket,
        .no_redirects = ask->socket != NULL, .profile = ask->profile, .headers = ask->headers,
        .n_headers = ask->n_headers, .doubtful = ask->doubtful,
        .slot = (uint32_t)hash_bytes(url, strlen(url)), .timeout_ms = ask->timeout_ms, .max_body = API_BODY_MAX,
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
