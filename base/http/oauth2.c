// SPDX-License-Identifier: Apache-2.0
/* As Go's library, a fetch sends the credentials as basic authentication first, and if the server refuses that, in the
 * form; what the server accepted is tried first from then on. */
#include "base/http/oauth2.h"

#include "base/json/json_tree.h"
#include "base/jwt/jwt.h"
#include "base/jwt/jwt_certificate.h"
#include "base/os/file_read.h"
#include "base/text/base64.h"
#include "base/text/duration.h"
#include "base/text/secrets.h"
#include "base/text/url.h"

#include <stdio.h>
#include <stdlib.h>

struct oauth2 { /* the state of a source */
    enum client_oauth2_style style;
    char *assertion;      /* the beginning of its claims; with JWT */
    char *key_id, *scope; /* scopes, separated by blanks */
    unsigned bits;
    char *key_file, *password; /* of a certificate; NULL: none */
    bool with_chain;
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
    const struct client_assertion *a = &c->assertion;
    const char *more[] = {a->issuer, a->audience, a->key_id};
    for (size_t i = 0; i < LEN(more); i++)
        settings_add(out, more[i]);
    settings_add(out, c->certificate.key_file);
    settings_add(out, c->certificate.password);
    buf_printf(out, "%u %d ", a->bits, c->certificate.with_chain);
    for (size_t i = 0; i < a->n_claims; i++) {
        settings_add(out, a->claims[i].name);
        settings_add(out, a->claims[i].value);
    }
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
    return oauth2_check_text("client_id", c->client_id, err)
           && (c->style == OAUTH2_JWT /* a PEM text */ || oauth2_check_text("client_secret", c->client_secret, err));
}

/* endpoint_params may replace the other parameters. */
static bool oauth2_has_param(const struct client_oauth2 *c, const char *name)
{
    for (size_t i = 0; i < c->n_params; i++)
        if (strcmp(c->params[i].name, name) == 0)
            return true;
    return false;
}

static char *oauth2_scope(const struct client_oauth2 *c)
{
    struct buf scopes = {0};
    for (size_t i = 0; i < c->n_scopes; i++)
        buf_printf(&scopes, "%s%s", i ? " " : "", c->scopes[i]);
    char *text = mem_strdup(buf_z(&scopes));
    buf_free(&scopes);
    return text;
}

static char *oauth2_make_form(const struct client_oauth2 *c)
{
    struct buf form = {0};
    char *scope = oauth2_scope(c);
    if (!oauth2_has_param(c, "grant_type"))
        form_add(&form, "grant_type", STR("client_credentials"));
    if (c->n_scopes > 0 && !oauth2_has_param(c, "scope"))
        form_add(&form, "scope", str_of(scope));
    for (size_t i = 0; i < c->n_params; i++)
        form_add(&form, c->params[i].name, str_of(c->params[i].value));
    char *text = mem_strdup(buf_z(&form));
    buf_free(&form);
    mem_free(scope);
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

static void oauth2_post(struct token_fetch *f, const char *url, const struct buf *form)
{
    const struct oauth2 *o = f->state;
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", "Accept: application/json"};
    struct token_response response;
    token_fetch_send(f, (struct client_request){.method = "POST", .url = url, .profile = o->profile, .headers = headers,
                                                .n_headers = LEN(headers), .body = buf_str(form), .accept_gzip = true},
                     &response);
    (void)oauth2_take_response(f, &response);
    buf_free(&response.body);
}

/* Exchanges a token that identifies the client: that of a Kubernetes service account, for example, or an assertion that
 * is signed here. */
static void oauth2_exchange(struct token_fetch *f, struct str assertion)
{
    const struct oauth2 *o = f->state;
    struct buf form = {0};
    buf_add_z(&form, o->form);
    form_add(&form, "client_id", str_of(o->client_id));
    form_add(&form, "client_assertion_type", STR("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
    form_add(&form, "client_assertion", assertion);
    oauth2_post(f, o->token_url, &form);
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

/* ---- assertions ---- */

enum { ASSERTION_S = 600, KEY_FILE_MAX = 1 << 20 };

/* Claims that the settings determine; the claims of the configuration replace others of the same name. */
static void oauth2_add_claim(struct buf *claims, const struct client_oauth2 *c, const char *name, struct str value)
{
    for (size_t i = 0; i < c->assertion.n_claims; i++)
        if (strcmp(c->assertion.claims[i].name, name) == 0)
            return;
    jwt_add_text(claims, name, value);
}

static char *oauth2_make_claims(const struct client_oauth2 *c, const char *scope)
{
    const struct client_assertion *a = &c->assertion;
    const char *id = c->client_id ? c->client_id : "";
    struct buf claims = {0};
    jwt_begin(&claims);
    oauth2_add_claim(&claims, c, "iss", str_of(a->issuer ? a->issuer : id));
    oauth2_add_claim(&claims, c, "sub", str_of(id));
    oauth2_add_claim(&claims, c, "aud", str_of(a->audience ? a->audience : c->token_url));
    if (*scope)
        oauth2_add_claim(&claims, c, "scope", str_of(scope));
    for (size_t i = 0; i < a->n_claims; i++)
        jwt_add_text(&claims, a->claims[i].name, str_of(a->claims[i].value));
    char *text = mem_strdup(buf_z(&claims));
    buf_free(&claims);
    return text;
}

/* claims: begun, without times. */
static void oauth2_send_assertion(struct token_fetch *f, const char *url, const struct jwt_key *key, struct buf *claims)
{
    struct buf form = {0}, token = {0};
    struct err err;
    int64_t now = clock_wall_ms() / 1000;
    jwt_add_number(claims, "iat", now);
    jwt_add_number(claims, "exp", now + ASSERTION_S);
    jwt_add_random(claims, "jti");
    jwt_end(claims);
    if (jwt_sign(key, buf_str(claims), &token, &err)) {
        form_add(&form, "grant_type", STR("urn:ietf:params:oauth:grant-type:jwt-bearer"));
        form_add(&form, "assertion", buf_str(&token));
        oauth2_post(f, url, &form);
    } else {
        oauth2_fail(f, err.text);
    }
    buf_free(&form);
    buf_free(&token);
}

static void oauth2_assert(struct token_fetch *f)
{
    const struct oauth2 *o = f->state;
    struct buf claims = {0};
    buf_add_z(&claims, o->assertion);
    oauth2_send_assertion(f, o->token_url, &(struct jwt_key){f->secret, o->key_id, o->bits}, &claims);
    buf_free(&claims);
}

/* Signs the claims that Microsoft Entra ID requires; reads the key file for each token. */
static void oauth2_assert_by_certificate(struct token_fetch *f)
{
    const struct oauth2 *o = f->state;
    struct buf claims = {0}, token = {0}, key = {0};
    struct err err;
    int64_t now = clock_wall_ms() / 1000;
    bool ok = o->key_file == NULL || file_read(o->key_file, KEY_FILE_MAX, &key, &err);
    if (!ok) {
        token_fetch_fail(f, ERR_UNAVAILABLE, "certificate_key_path: %s", err.text);
    } else {
        jwt_begin(&claims);
        jwt_add_text(&claims, "aud", str_of(o->token_url));
        jwt_add_text(&claims, "iss", str_of(o->client_id));
        jwt_add_text(&claims, "sub", str_of(o->client_id));
        jwt_add_number(&claims, "nbf", now);
        jwt_add_number(&claims, "exp", now + ASSERTION_S);
        jwt_add_random(&claims, "jti");
        jwt_end(&claims);
        const struct jwt_certificate c = {f->secret, buf_str(&key), o->password, o->with_chain};
        if (jwt_sign_by_certificate(&c, buf_str(&claims), &token, &err))
            oauth2_exchange(f, buf_str(&token));
        else
            token_fetch_fail(f, ERR_BAD_DATA, "certificate_path: %s", err.text);
    }
    buf_free(&claims);
    buf_free(&token);
    buf_free(&key);
}

/* ---- the files of Google ---- */

static struct str google_text(const struct json_tree *file, const char *key)
{
    return json_tree_str(json_tree_get(file, key));
}

/* The key of a service account. */
static void oauth2_ask_google(struct token_fetch *f, const struct json_tree *file, const char *url)
{
    const struct oauth2 *o = f->state;
    struct buf claims = {0};
    jwt_begin(&claims);
    jwt_add_text(&claims, "iss", google_text(file, "client_email"));
    jwt_add_text(&claims, "aud", str_of(url));
    jwt_add_text(&claims, "scope", str_of(o->scope));
    oauth2_send_assertion(f, url, &(struct jwt_key){google_text(file, "private_key"), google_text(file, "private_key_id").p, 256},
                          &claims);
    buf_free(&claims);
}

/* What a user has logged in with. */
static void oauth2_refresh_google(struct token_fetch *f, const struct json_tree *file, const char *url)
{
    static const char *const keys[] = {"client_id", "client_secret", "refresh_token"};
    struct buf form = {0};
    form_add(&form, "grant_type", STR("refresh_token"));
    for (size_t i = 0; i < LEN(keys); i++)
        form_add(&form, keys[i], google_text(file, keys[i]));
    oauth2_post(f, url, &form);
    buf_free(&form);
}

static void oauth2_read_google(struct token_fetch *f)
{
    const struct oauth2 *o = f->state;
    struct err err;
    struct json_tree *file = json_tree_parse(f->secret, &err);
    struct str type = google_text(file, "type"), url = google_text(file, "token_uri");
    const char *to = url.n > 0 ? url.p : o->token_url;
    if (file == NULL)
        token_fetch_fail(f, ERR_BAD_DATA, "credentials_file: not JSON");
    else if (str_is(type, "service_account"))
        oauth2_ask_google(f, file, to);
    else if (str_is(type, "authorized_user"))
        oauth2_refresh_google(f, file, to);
    else
        token_fetch_fail(f, ERR_BAD_DATA, "credentials_file: type \"%.*s\" is not service_account or authorized_user",
                         STR_ARG(type));
    json_tree_free(file);
}

static void oauth2_fetch(struct token_fetch *f)
{
    struct oauth2 *o = (struct oauth2 *)f->state;
    if (o->style == OAUTH2_AZURE_SECRET)
        (void)oauth2_attempt(f, true);
    else if (o->style == OAUTH2_AZURE_TOKEN)
        oauth2_exchange(f, f->secret);
    else if (o->style == OAUTH2_AZURE_CERTIFICATE)
        oauth2_assert_by_certificate(f);
    else if (o->style == OAUTH2_AZURE_MACHINE || o->style == OAUTH2_GOOGLE_MACHINE)
        oauth2_ask_machine(f);
    else if (o->style == OAUTH2_JWT)
        oauth2_assert(f);
    else if (o->style == OAUTH2_GOOGLE_FILE)
        oauth2_read_google(f);
    if (o->style != OAUTH2_SECRET)
        return;
    bool in_form = atomic_load(&o->secret_in_form);
    /* as long as no fetch has succeeded, either may be wanted */
    if (oauth2_attempt(f, in_form) && f->token == NULL && oauth2_attempt(f, !in_form) && f->token)
        atomic_store(&o->secret_in_form, !in_form);
}

/* ---- life ---- */

/* What requests for tokens have of the file. */
static void google_file_secrets(struct str text, struct secrets *list)
{
    struct err err;
    struct json_tree *file = json_tree_parse(text, &err);
    secrets_add(list, google_text(file, "client_secret"));
    secrets_add(list, google_text(file, "refresh_token"));
    json_tree_free(file);
}

static void oauth2_secrets(const void *state, struct str secret, const char *token, struct secrets *list)
{
    const struct oauth2 *o = state;
    secrets_add(list, secret);
    secrets_add_login(list, str_of(o->client_id), secret);
    secrets_add_url(list, str_of(o->token_url));
    if (o->password)
        secrets_add(list, str_of(o->password));
    if (o->style == OAUTH2_GOOGLE_FILE)
        google_file_secrets(secret, list);
    if (token)
        secrets_add(list, str_of(strchr(token, ' ') + 1));
}

static void oauth2_free(void *state)
{
    struct oauth2 *o = state;
    char *texts[] = {o->client_id, o->token_url, o->form, o->shown, o->header, o->assertion, o->key_id, o->scope,
                     o->key_file, o->password};
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
    static const struct token_source_kind certificate = {.name = "azuread", .server = "source of Azure tokens",
                                                         .secret_key = "certificate_path", .fetch = oauth2_fetch,
                                                         .secrets = oauth2_secrets, .free = oauth2_free};
    static const struct token_source_kind signed_kind = {.name = "oauth2", .server = "oauth2 token_url",
                                                         .secret_key = "client_certificate_key_file", .fetch = oauth2_fetch,
                                                         .secrets = oauth2_secrets, .free = oauth2_free};
    static const struct token_source_kind google = {.name = "google_iam", .server = "source of Google's tokens",
                                                    .secret_key = "credentials_file", .fetch = oauth2_fetch,
                                                    .secrets = oauth2_secrets, .free = oauth2_free};
    static const struct token_source_kind *const kinds[] = {
        [OAUTH2_SECRET] = &kind, [OAUTH2_AZURE_SECRET] = &azure, [OAUTH2_AZURE_TOKEN] = &azure,
        [OAUTH2_AZURE_MACHINE] = &azure, [OAUTH2_AZURE_CERTIFICATE] = &certificate, [OAUTH2_JWT] = &signed_kind,
        [OAUTH2_GOOGLE_FILE] = &google, [OAUTH2_GOOGLE_MACHINE] = &google};
    if (!oauth2_check(conf, err))
        return NULL;
    struct client_profile *profile = client_profile_new(&conf->http, err);
    if (profile == NULL)
        return NULL;
    struct oauth2 *o = mem_zalloc(sizeof *o);
    struct token_settings made = {.kind = kinds[conf->style], .state = o, .longest_ms = 3 * TOKEN_FETCH_MS};
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
    o->scope = oauth2_scope(conf);
    o->assertion = conf->style == OAUTH2_JWT ? oauth2_make_claims(conf, o->scope) : NULL;
    o->key_id = mem_strdup(conf->assertion.key_id ? conf->assertion.key_id : "");
    o->bits = conf->assertion.bits;
    o->key_file = conf->certificate.key_file ? mem_strdup(conf->certificate.key_file) : NULL;
    o->password = conf->certificate.password ? mem_strdup(conf->certificate.password) : NULL;
    o->with_chain = conf->certificate.with_chain;
    made.settings = mem_strdup(buf_z(&settings));
    bool whole = conf->style == OAUTH2_JWT || conf->style == OAUTH2_GOOGLE_FILE ||
                 conf->style == OAUTH2_AZURE_CERTIFICATE;
    if (conf->client_secret_file && *conf->client_secret_file)
        made.secret_file = watched_file_new(conf->client_secret_file, whole ? WATCHED_BYTES : WATCHED_LINE);
    else
        made.secret = mem_strdup(conf->client_secret ? conf->client_secret : "");
    buf_free(&shown);
    buf_free(&settings);
    return token_source_get(&made);
}
