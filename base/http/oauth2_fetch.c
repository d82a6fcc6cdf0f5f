// SPDX-License-Identifier: Apache-2.0
/* A fetch is straight-line code: it runs a loop with a client until the response is complete. As Go's library, it sends
 * the credentials as basic authentication first, and if the server refuses that, in the form; what the server accepted is
 * tried first from then on. */
#include "base/http/oauth2_fetch.h"

#include "base/json/json_tree.h"
#include "base/text/base64.h"
#include "base/text/secrets.h"
#include "base/text/url.h"

#include <stdio.h>
#include <stdlib.h>

enum { FETCH_TURN_MS = 100 /* how soon a dropped fetch ends */, TOKEN_RESPONSE_MAX = 1 << 20 };

/* ---- the response ---- */

static void token_fetch_fail(struct token_fetch *f, const char *why)
{
    err_set(&f->err, ERR_BAD_GATEWAY, "oauth2: cannot get a token from %s: %s", f->source->shown, why);
}

/* {"error": "invalid_client", "error_description": "..."} */
static void token_fetch_fail_status(struct token_fetch *f, int status, const struct json_tree *root)
{
    struct buf why = {0};
    struct str error = json_tree_str(json_tree_get(root, "error"));
    struct str more = json_tree_str(json_tree_get(root, "error_description"));
    buf_printf(&why, "HTTP %d%s%.*s%s%.*s", status, error.n > 0 ? ": " : "", STR_ARG(error), more.n > 0 ? ": " : "",
               STR_ARG(more));
    token_fetch_fail(f, buf_z(&why));
    buf_free(&why);
}

/* A number of seconds, or a string with one; others, and 0, mean that the token does not expire. */
static int64_t token_lifetime(const struct json_tree *expires_in)
{
    double seconds = 0;
    if (!json_tree_number(expires_in, &seconds) && json_tree_str(expires_in).n > 0)
        seconds = strtod(json_tree_str(expires_in).p, NULL);
    return seconds > 0 && seconds < 1e9 ? (int64_t)(seconds * 1000) : INT64_MAX;
}

static const char *token_type(struct str type)
{
    return type.n == 0 || str_ieq(type, STR("bearer")) ? "Bearer" : str_ieq(type, STR("mac")) ? "MAC"
           : str_ieq(type, STR("basic")) ? "Basic" : type.p;
}

static void token_fetch_take_token(struct token_fetch *f, const struct json_tree *root)
{
    struct str token = json_tree_str(json_tree_get(root, "access_token"));
    struct str type = json_tree_str(json_tree_get(root, "token_type"));
    struct buf line = {0};
    struct err err;
    if (token.n == 0) {
        token_fetch_fail(f, "the response has no access_token");
    } else if (!oauth2_check_text("access_token", token.p, &err) || !oauth2_check_text("token_type", type.p, &err)) {
        token_fetch_fail(f, "a control character is in the token");
    } else {
        buf_printf(&line, "%s %.*s", token_type(type), STR_ARG(token));
        f->token = mem_strdup(buf_z(&line));
        f->lifetime = token_lifetime(json_tree_get(root, "expires_in"));
    }
    buf_free(&line);
}

static void token_fetch_on_done(void *arg, const struct client_reply *reply)
{
    struct token_fetch *f = arg;
    struct err err;
    f->ended = true;
    if (reply->status == 0) {
        token_fetch_fail(f, reply->err.text);
        return;
    }
    f->refused = true;
    struct json_tree *root = json_tree_parse(buf_str(&f->body), &err);
    if (reply->status / 100 != 2)
        token_fetch_fail_status(f, reply->status, root);
    else if (root == NULL)
        token_fetch_fail(f, "the response is not JSON");
    else
        token_fetch_take_token(f, root);
    json_tree_free(root);
}

/* The client limits the body. */
static bool token_fetch_on_data(void *arg, const struct client_reply *reply UNUSED, struct str piece,
                                struct err *err UNUSED)
{
    buf_add_str(&((struct token_fetch *)arg)->body, piece);
    return true;
}

/* ---- the request ---- */

/* Names and secrets are percent-encoded before they are joined (RFC 6749 2.3.1). */
static void token_fetch_add_login(const struct token_fetch *f, struct buf *line)
{
    struct buf login = {0};
    url_encode(&login, str_of(f->source->client_id));
    buf_add_char(&login, ':');
    url_encode(&login, f->secret);
    buf_add_z(line, "Authorization: Basic ");
    base64_add(line, buf_str(&login));
    buf_free(&login);
}

static void token_fetch_attempt(struct token_fetch *f, struct client *client, bool secret_in_form)
{
    struct oauth2 *o = f->source;
    struct buf form = {0}, line = {0};
    buf_add_z(&form, o->form);
    if (secret_in_form) {
        form_add(&form, "client_id", str_of(o->client_id));
        form_add(&form, "client_secret", f->secret);
    } else {
        token_fetch_add_login(f, &line);
    }
    const char *headers[] = {"Content-Type: application/x-www-form-urlencoded", "Accept: application/json", buf_z(&line)};
    buf_clear(&f->body);
    f->ended = f->refused = false;
    (void)client_send(client, &(struct client_request){
        .method = "POST", .url = o->token_url, .profile = o->profile, .headers = headers,
        .n_headers = secret_in_form ? 2 : 3, .body = buf_str(&form), .timeout_ms = TOKEN_FETCH_MS, .max_body = TOKEN_RESPONSE_MAX,
        .accept_gzip = true, .data = token_fetch_on_data, .done = token_fetch_on_done, .arg = f});
    while (!f->ended && file_work_goes_on(&o->work))
        loop_turn(f->loop, FETCH_TURN_MS);
    if (!f->ended)
        token_fetch_fail(f, "it is not used any more");
    buf_free(&form);
    buf_free(&line);
}

static bool token_fetch_take_secret(struct token_fetch *f)
{
    struct oauth2 *o = f->source;
    struct err err;
    f->secret = str_of(o->secret ? o->secret : "");
    if (o->secret_file == NULL)
        return true;
    f->secret_text = watched_file_text(o->secret_file, &err);
    if (f->secret_text == NULL) {
        err_set(&f->err, ERR_UNAVAILABLE, "oauth2: client_secret_file: %s", err.text);
        return false;
    }
    f->secret = str_n(f->secret_text->text, f->secret_text->n);
    return true;
}

static void token_fetch_hide_secrets(struct token_fetch *f)
{
    struct secrets list = {0};
    struct buf shown = {0};
    secrets_add(&list, f->secret);
    secrets_add_login(&list, str_of(f->source->client_id), f->secret);
    secrets_add_url(&list, str_of(f->source->token_url));
    secrets_hide(&list, str_of(f->err.text), &shown);
    snprintf(f->err.text, sizeof f->err.text, "%s", buf_z(&shown));
    buf_free(&shown);
    secrets_free(&list);
}

void token_fetch_run(struct token_fetch *f)
{
    struct oauth2 *o = f->source;
    if (!token_fetch_take_secret(f))
        return;
    if ((f->loop = loop_new()) == NULL) {
        token_fetch_fail(f, "no descriptors left");
        return;
    }
    struct client *client = client_new(f->loop, &(struct client_settings){.max_inflight = 1});
    token_fetch_attempt(f, client, o->secret_in_form);
    if (f->token == NULL && f->refused) { /* as long as no fetch has succeeded, either may be wanted */
        token_fetch_attempt(f, client, !o->secret_in_form);
        o->secret_in_form = f->token ? !o->secret_in_form : o->secret_in_form;
    }
    client_free(client);
    loop_free(f->loop);
    if (f->token == NULL)
        token_fetch_hide_secrets(f);
}
