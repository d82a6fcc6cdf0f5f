// SPDX-License-Identifier: Apache-2.0
/* As Go's library, a fetch sends the credentials as basic authentication first, and if the server refuses that, in the
 * form; what the server accepted is tried first from then on. */
#include "base/http/oauth2.h"

#include "base/json/json_tree.h"
#include "base/text/base64.h"
#include "base/text/secrets.h"
#include "base/text/url.h"

#include <stdio.h>
#include <stdlib.h>

struct oauth2 { /* the state of a source */
    enum client_oauth2_style style;
    char *client_id, *token_url, *form, *shown, *header; /* shown: token_url without secrets */
    struct client_profile *profile; /* of requests for tokens */
    atomic_bool secret_in_form;     /* the server wants the credentials there */
};

/* ---- settings ---- */

static void settings_add(struct buf *out, const char *text)
{
    buf_add_z(out, text ? text : "");
    buf_add_char(out, '\n'); /* values have none, see oauth2_check */
}

void oauth2_settings(const struct client_oauth2 *c, struct buf *out)
{
    const struct client_profile_conf *h = &c->http;
    const char *texts[] = {c->client_id, c->client_secret, c->client_secret_file, c->token_url, h->ca, h->ca_file,
                           h->cert, h->cert_file, h->key, h->key_file, h->server_name, h->min_version, h->max_version,
                           h->proxy_url, h->no_proxy, c->header};
    for (size_t i = 0; i < LEN(texts); i++)
        settings_add(out, texts[i]);
    buf_printf(out, "%d%d%d %zu ", (int)c->style, h->insecure_skip_verify, h->proxy_from_environment, c->n_scopes);
    for (size_t i = 0; i < c->n_scopes; i++)
        settings_add(out, c->scopes[i]);
    for (size_t i = 0; i < c->n_params; i++) {
        settings_add(out, c->params[i].name);
        settings_add(out, c->params[i].value);
    }
    for (size_t i = 0; i < h->n_headers; i++)
        settings_add(out, h->headers[i]);
}

static bool oauth2_check_text(const char *key, const char *text, struct err *err)
{
    for (; text && *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return err_set(err, ERR_BAD_DATA, "oauth2: %s: a line break or another control character is in it", key);
    return true;
}

bool oauth2_check(const struct client_oauth2 *c, struct err *err)
{
    struct url url;
    struct err why;
    if (!url_parse(str_of(c->token_url), &url, &why))
        return err_set(err, ERR_BAD_DATA, "oauth2: token_url: %s", why.text);
    if (!client_profile_check(&c->http, &why))
        return err_set(err, ERR_BAD_DATA, "oauth2: %s", why.text);
    for (size_t i = 0; i < c->n_scopes; i++)
        if (!oauth2_check_text("scopes", c->scopes[i], err))
            return false;
    for (size_t i = 0; i < c->n_params; i++)
        if (!oauth2_check_text("endpoint_params", c->params[i].name, err) ||
            !oauth2_check_text("endpoint_params", c->params[i].value, err))
            return false;
    return oauth2_check_text("client_id", c->client_id, err) && oauth2_check_text("client_secret", c->client_secret, err);
}

/* endpoint_params may replace the other parameters. */
static bool oauth2_has_param(const struct client_oauth2 *c, const char *name)
{
    for (size_t i = 0; i < c->n_params; i++)
        if (strcmp(c->params[i].name, name) == 0)
            return true;
    return false;
}

static char *oauth2_make_form(const struct client_oauth2 *c)
{
    struct buf form = {0}, scopes = {0};
    for (size_t i = 0; i < c->n_scopes; i++)
        buf_printf(&scopes, "%s%s", i ? " " : "", c->scopes[i]);
    if (!oauth2_has_param(c, "grant_type"))
        form_add(&form, "grant_type", STR("client_credentials"));
    if (c->n_scopes > 0 && !oauth2_has_param(c, "scope"))
        form_add(&form, "scope", buf_str(&scopes));
    for (size_t i = 0; i < c->n_params; i++)
        form_add(&form, c->params[i].name, str_of(c->params[i].value));
    char *text = mem_strdup(buf_z(&form));
    buf_free(&form);
    buf_free(&scopes);
    return text;
}

/* ---- the response ---- */

static void oauth2_fail(struct token_fetch *f, const char *why)
{
    const struct oauth2 *o = f->state;
    token_fetch_fail(f, ERR_BAD_GATEWAY, "cannot get a token from %s: %s", o->shown, why);
}

/* {"error": "invalid_client", "error_description": "..."} */
static void oauth2_fail_status(struct token_fetch *f, int status, const struct json_tree *root)
{
    struct buf why = {0};
    struct str error = json_tree_str(json_tree_get(root, "error"));
    struct str more = json_tree_str(json_tree_get(root, "error_description"));
    buf_printf(&why, "HTTP %d%s%.*s%s%.*s", status, error.n > 0 ? ": " : "", STR_ARG(error), more.n > 0 ? ": " : "",
               STR_ARG(more));
    oauth2_fail(f, buf_z(&why));
    buf_free(&why);
}

/* A number of seconds, or a string with one; others, and 0, mean that the token does not expire. */
static int64_t oauth2_lifetime(const struct json_tree *expires_in)
{
    double seconds = 0;
    if (!json_tree_number(expires_in, &seconds) && json_tree_str(expires_in).n > 0)
        seconds = strtod(json_tree_str(expires_in).p, NULL);
    return seconds > 0 && seconds < 1e9 ? (int64_t)(seconds * 1000) : INT64_MAX;
}

static const char *oauth2_type(struct str type)
{
    return type.n == 0 || str_ieq(type, STR("bearer")) ? "Bearer" : str_ieq(type, STR("mac")) ? "MAC"
           : str_ieq(type, STR("basic")) ? "Basic" : type.p;
}

static void oauth2_take_token(struct token_fetch *f, const struct json_tree *root)
{
    struct str token = json_tree_str(json_tree_get(root, "access_token"));
    struct str type = json_tree_str(json_tree_get(root, "token_type"));
    struct buf line = {0};
    struct err err;
    if (token.n == 0) {
        oauth2_fail(f, "the response has no access_token");
    } else if (!oauth2_check_text("access_token", token.p, &err) || !oauth2_check_text("token_type", type.p, &err)) {
        oauth2_fail(f, "a control character is in the token");
    } else {
        buf_printf(&line, "%s %.*s", oauth2_type(type), STR_ARG(token));
        f->token = mem_strdup(buf_z(&line));
        f->lifetime = oauth2_lifetime(json_tree_get(root, "expires_in"));
    }
    buf_free(&line);
}

/* Whether the server responded. */
static bool oauth2_take_response(struct token_fetch *f, const struct token_response *r)
{
    struct err err;
    if (r->status == 0) {
        oauth2_fail(f, r->err.text);
        return false;
    }
    struct json_tree *root = json_tree_parse(buf_str(&r->body), &err);
    if (r->status / 100 != 2)
        oauth2_fail_status(f, r->status, root);
    else if (root == NULL)
        oauth2_fail(f, "the response is not JSON");
    else
        oauth2_take_token(f, root);
    json_tree_free(root);
    return true;
}

/* ---- the request ---- */

/* Names and secrets are percent-encoded before they are joined (RFC 6749 2.3.1). */
static void oauth2_add_login(const struct token_fetch *f, struct buf *line)
{
    const struct oauth2 *o = f->state;
    struct buf login = {0};
    url_encode(&login, str_of(o->client_id));
    buf_add_char(&login, ':');
    url_encode(&login, f->secret);
    buf_add_z(line, "Authorization: Basic ");
    base64_add(line, buf_str(&login));
    buf_free(&login);
}

/* Whether the server responded. */
static bool oauth2_attempt(struct token_fetch *f, bool secret_in_form)
{
    const struct oauth2 *o = f->state;
    struct token_response response;
    struct buf form = {0}, line = {0};
    buf_add_z(&form, o->form);
    if (secret_in_form) {
        form_add(&form, "client_id", str_of(o->client_id));
        form_add(&form, "client_secret", f->secret);
    } else {
        oauth2_add_login(f, &line);
    }
    const char *headers[] = {"Content-Type: application/x-www-form-urlencoded", "Accept: application/json", buf_z(&line)};
    token_fetch_send(f, (struct client_request){.method = "POST", .url = o->token_url, .profile = o->profile,
                                                .headers = headers, .n_headers = secret_in_form ? 2 : 3,
                                                .body = buf_str(&form), .accept_gzip = true}, &response);
    bool responded = oauth2_take_response(f, &response);
    buf_free(&response.body);
    buf_free(&form);
    buf_free(&line);
    return responded;
}

/* A token that the environment has, such as that of a Kubernetes service account, is exchanged. */
static void oauth2_exchange(struct token_fetch *f)
{
    const struct oauth2 *o = f->state;
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", "Accept: application/json"};
    struct token_response response;
    struct buf form = {0};
    buf_add_z(&form, o->form);
    form_add(&form, "client_id", str_of(o->client_id));
    form_add(&form, "client_assertion_type", STR("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
    form_add(&form, "client_assertion", f->secret);
    token_fetch_send(f, (struct client_request){.method = "POST", .url = o->token_url, .profile = o->profile,
                                                .headers = headers, .n_headers = LEN(headers), .body = buf_str(&form),
                                                .accept_gzip = true}, &response);
    (void)oauth2_take_response(f, &response);
    buf_free(&response.body);
    buf_free(&form);
}

static void oauth2_ask_machine(struct token_fetch *f)
{
    const struct oauth2 *o = f->state;
    const char *header = o->header;
    struct token_response response;
    token_fetch_send(f, (struct client_request){.method = "GET", .url = o->token_url, .profile = o->profile,
                                                .headers = &header, .n_headers = 1, .no_redirects = true}, &response);
    (void)oauth2_take_response(f, &response);
    buf_free(&response.body);
}

static void oauth2_fetch(struct token_fetch *f)
{
    struct oauth2 *o = (struct oauth2 *)f->state;
    if (o->style == OAUTH2_AZURE_SECRET)
        (void)oauth2_attempt(f, true);
    else if (o->style == OAUTH2_AZURE_TOKEN)
        oauth2_exchange(f);
    else if (o->style == OAUTH2_AZURE_MACHINE)
        oauth2_ask_machine(f);
    if (o->style != OAUTH2_SECRET)
        return;
    bool in_form = atomic_load(&o->secret_in_form);
    /* as long as no fetch has succeeded, either may be wanted */
    if (oauth2_attempt(f, in_form) && f->token == NULL && oauth2_attempt(f, !in_form) && f->token)
        atomic_store(&o->secret_in_form, !in_form);
}

/* ---- life ---- */

static void oauth2_secrets(const void *state, struct str secret, const char *token, struct secrets *list)
{
    const struct oauth2 *o = state;
    secrets_add(list, secret);
    secrets_add_login(list, str_of(o->client_id), secret);
    secrets_add_url(list, str_of(o->token_url));
    if (token)
        secrets_add(list, str_of(strchr(token, ' ') + 1));
}

static void oauth2_free(void *state)
{
    struct oauth2 *o = state;
    char *texts[] = {o->client_id, o->token_url, o->form, o->shown, o->header};
    for (size_t i = 0; i < LEN(texts); i++)
        mem_free(texts[i]);
    client_profile_unref(o->profile);
    mem_free(o);
}

struct token_source *oauth2_get(const struct client_oauth2 *conf, struct err *err)
{
    static const struct token_source_kind kind = {.name = "oauth2", .server = "oauth2 token_url",
                                           .secret_key = "client_secret_file", .fetch = oauth2_fetch,
                                           .secrets = oauth2_secrets, .free = oauth2_free};
    static const struct token_source_kind azure = {.name = "azuread", .server = "source of Azure tokens",
                                                   .secret_key = "token_file_path", .fetch = oauth2_fetch,
                                                   .secrets = oauth2_secrets, .free = oauth2_free};
    if (!oauth2_check(conf, err))
        return NULL;
    struct client_profile *profile = client_profile_new(&conf->http, err);
    if (profile == NULL)
        return NULL;
    struct oauth2 *o = mem_zalloc(sizeof *o);
    struct token_settings made = {.kind = conf->style == OAUTH2_SECRET ? &kind : &azure, .state = o, .longest_ms = 3 * TOKEN_FETCH_MS};
    struct buf shown = {0}, settings = {0};
    url_redact(&shown, str_of(conf->token_url));
    oauth2_settings(conf, &settings);
    o->profile = profile;
    o->style = conf->style;
    o->header = conf->header ? mem_strdup(conf->header) : NULL;
    o->client_id = mem_strdup(conf->client_id ? conf->client_id : "");
    o->token_url = mem_strdup(conf->token_url);
    o->shown = mem_strdup(buf_z(&shown));
    o->form = oauth2_make_form(conf);
    made.settings = mem_strdup(buf_z(&settings));
    if (conf->client_secret_file && *conf->client_secret_file)
        made.secret_file = watched_file_new(conf->client_secret_file, WATCHED_LINE);
    else
        made.secret = mem_strdup(conf->client_secret ? conf->client_secret : "");
    buf_free(&shown);
    buf_free(&settings);
    return token_source_get(&made);
}
