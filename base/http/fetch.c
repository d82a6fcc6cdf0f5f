// SPDX-License-Identifier: Apache-2.0
/* A fetch is straight-line code: it runs a loop with a client until the response is complete. */
#include "base/http/fetch.h"

#include "base/http/client.h"
#include "base/os/watched_file.h"
#include "base/text/url.h"

#include <stdio.h>

struct text_fetch {
    const char *url;
    struct buf *out;
    struct err *err;
    int *status;            /* NULL: 200 is expected */
    bool ended, ok;
};

static bool text_fetch_fail(struct text_fetch *f, const char *why)
{
    struct buf shown = {0};
    url_redact(&shown, str_of(f->url));
    err_set(f->err, ERR_BAD_GATEWAY, "%s: %s", buf_z(&shown), why);
    buf_free(&shown);
    client_hide_secrets_in(NULL, str_of(f->url), f->err->text, sizeof f->err->text);
    return false;
}

static bool text_fetch_on_data(void *arg, const struct client_reply *reply, struct str piece, struct err *err UNUSED)
{
    struct text_fetch *f = arg;
    if (reply->status == 200 || f->status)
        buf_add_str(f->out, piece);
    return true;
}

static void text_fetch_on_done(void *arg, const struct client_reply *reply)
{
    struct text_fetch *f = arg;
    char status[32];
    f->ended = true;
    f->ok = reply->status == 200 || (f->status && reply->status > 0);
    if (f->status)
        *f->status = reply->status;
    if (reply->status == 0 && reply->err.kind == ERR_TOO_LARGE) { /* without the URL */
        text_fetch_fail(f, reply->err.text);
    } else if (reply->status == 0) {
        *f->err = reply->err;
        client_hide_secrets_in(NULL, str_of(f->url), f->err->text, sizeof f->err->text);
    } else if (!f->ok) {
        snprintf(status, sizeof status, "HTTP %d", reply->status);
        text_fetch_fail(f, status);
    }
}

static void text_fetch_run(struct text_fetch *f, struct loop *loop, const struct fetch_call *c)
{
    struct client *client = client_new(loop, &(struct client_settings){.max_inflight = 1});
    (void)client_send(client, &(struct client_request){
        .method = c->method, .url = c->url, .socket = c->socket, .profile = c->profile, .headers = c->headers,
        .n_headers = c->n_headers, .body = c->body, .timeout_ms = c->ms, .max_body = c->max, .accept_gzip = true,
        .data = text_fetch_on_data, .done = text_fetch_on_done, .arg = f});
    while (!f->ended)
        loop_turn(loop, -1);
    client_free(client);
}

bool fetch_call(const struct fetch_call *c, int *status, struct buf *out, struct err *err)
{
    struct text_fetch f = {.url = c->url, .out = out, .err = err, .status = status};
    struct url parsed;
    if (!url_parse(str_of(c->url), &parsed, err))
        return false;
    struct loop *loop = loop_new();
    if (loop == NULL)
        return text_fetch_fail(&f, "no descriptors left");
    text_fetch_run(&f, loop, c);
    loop_free(loop);
    return f.ok;
}

bool fetch_response(const char *url, size_t max, int64_t ms, int *status, struct buf *out, struct err *err)
{
    struct client_profile *profile = client_profile_new(&(struct client_profile_conf){.proxy_from_environment = true}, err);
    if (profile == NULL)
        return false;
    bool ok = fetch_call(&(struct fetch_call){.method = "GET", .url = url, .profile = profile, .max = max, .ms = ms},
                         status, out, err);
    client_profile_unref(profile);
    return ok;
}

bool fetch_text(const char *url, size_t max, int64_t ms, struct buf *out, struct err *err)
{
    return fetch_response(url, max, ms, NULL, out, err);
}

static bool fetch_watched(const char *url, size_t max, struct buf *out, struct err *err)
{
    return fetch_text(url, max, FETCH_MS, out, err);
}

void fetch_watched_files(void) { watched_file_set_fetch(fetch_watched); }
