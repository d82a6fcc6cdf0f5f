// SPDX-License-Identifier: Apache-2.0
/* Rows and checks of HTTP client settings, and the client profile made from them. */
#include "base/http/http_conf.h"

#include "base/buf.h"
#include "base/text/url.h"

/* ---- the sections ---- */

static bool one_of(const struct yaml *node, const char *name, struct str value, const char *file, struct str path,
                   struct err *err)
{
    if (value.n > 0 && path.n > 0)
        return conf_err(node, err, "%s and %s are both set; keep one of them", name, file);
    return true;
}

static bool check_basic_auth(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct basic_auth_conf *b = value;
    return one_of(node, "basic_auth: username", b->username, "username_file", b->username_file, err)
           && one_of(node, "basic_auth: password", b->password, "password_file", b->password_file, err);
}

static bool check_authorization(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct authorization_conf *a = value;
    if (str_ieq(str_trim(a->type), STR("basic")))
        return conf_err(node, err, "authorization: type \"basic\": use basic_auth");
    return one_of(node, "authorization: credentials", a->credentials, "credentials_file", a->credentials_file, err);
}

static bool check_tls(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct tls_conf *t = value;
    bool cert = t->cert.n > 0 || t->cert_file.n > 0, key = t->key.n > 0 || t->key_file.n > 0;
    if (cert != key)
        return conf_err(node, err,
                        "tls_config: a client certificate requires both cert_file (or cert) and key_file (or key)");
    return one_of(node, "tls_config: ca", t->ca, "ca_file", t->ca_file, err)
           && one_of(node, "tls_config: cert", t->cert, "cert_file", t->cert_file, err)
           && one_of(node, "tls_config: key", t->key, "key_file", t->key_file, err);
}

#define ROW(kind, type, field, words) {kind, #field, offsetof(struct type, field), .help = words}

static const struct conf_row basic_auth_rows[] = {
    ROW(CONF_STRING, basic_auth_conf, username, "User name"),
    ROW(CONF_FILE, basic_auth_conf, username_file, "File with the user name, re-read each second"),
    ROW(CONF_SECRET, basic_auth_conf, password, "Password"),
    ROW(CONF_FILE, basic_auth_conf, password_file, "File with the password, re-read each second"),
    {0}};
const struct conf_section basic_auth_section = {"basic_auth", sizeof(struct basic_auth_conf), basic_auth_rows,
                                                .check = check_basic_auth, .help = "User name and password"};

static const struct conf_row authorization_rows[] = {
    {CONF_STRING, "type", offsetof(struct authorization_conf, type), .preset = "Bearer",
     .help = "Authentication scheme"},
    ROW(CONF_SECRET, authorization_conf, credentials, "Credentials after the scheme"),
    ROW(CONF_FILE, authorization_conf, credentials_file, "File with the credentials, re-read each second"),
    {0}};
const struct conf_section authorization_section = {"authorization", sizeof(struct authorization_conf),
                                                   authorization_rows, .check = check_authorization,
                                                   .help = "The Authorization header"};

static const struct conf_row tls_rows[] = {
    ROW(CONF_STRING, tls_conf, ca, "Trusted certificate authorities, PEM text"),
    ROW(CONF_FILE, tls_conf, ca_file, "PEM file of the trusted certificate authorities, re-read each second; the "
        "system's by default"),
    ROW(CONF_STRING, tls_conf, cert, "PEM text of the client certificate"),
    ROW(CONF_FILE, tls_conf, cert_file, "PEM file of the client certificate, re-read each second"),
    ROW(CONF_SECRET, tls_conf, key, "PEM text of the certificate's key"),
    ROW(CONF_FILE, tls_conf, key_file, "PEM file of the certificate's key, re-read each second"),
    ROW(CONF_STRING, tls_conf, server_name, "Server name for SNI and verification instead of the URL's host"),
    ROW(CONF_STRING, tls_conf, min_version, "Minimum version: TLS10, TLS11, TLS12 (default), TLS13"),
    ROW(CONF_STRING, tls_conf, max_version, "Maximum version; the highest that both sides support by default"),
    ROW(CONF_BOOL, tls_conf, insecure_skip_verify, "Do not verify the certificate"),
    {0}};
const struct conf_section tls_section = {"tls_config", sizeof(struct tls_conf), tls_rows, .check = check_tls,
                                         .help = "TLS of the connection"};

static const char *const grant_types[] = {"client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer", NULL};
static const char *const signature_algorithms[] = {"RS256", "RS384", "RS512", NULL};
enum { GRANT_JWT = 1 };

static bool check_oauth2(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct oauth2_conf *o = value;
    if (o->grant_type == GRANT_JWT && o->client_certificate_key.n + o->client_certificate_key_file.n == 0)
        return conf_err(node, err, "oauth2: grant_type %s requires client_certificate_key or client_certificate_key_file",
                        grant_types[GRANT_JWT]);
    if (!one_of(node, "oauth2: client_certificate_key", o->client_certificate_key, "client_certificate_key_file",
                o->client_certificate_key_file, err))
        return false;
    return one_of(node, "oauth2: client_secret", o->client_secret, "client_secret_file", o->client_secret_file, err);
}

static const struct conf_row oauth2_rows[] = {
    {CONF_STRING, "client_id", offsetof(struct oauth2_conf, client_id), .required = true, .help = "Client"},
    ROW(CONF_SECRET, oauth2_conf, client_secret, "Secret of the client"),
    ROW(CONF_FILE, oauth2_conf, client_secret_file, "File with the secret, re-read each second"),
    {CONF_URL, "token_url", offsetof(struct oauth2_conf, token_url), .required = true,
     .help = "URL that tokens are requested from"},
    {CONF_ENUM, "grant_type", offsetof(struct oauth2_conf, grant_type), .preset = "client_credentials", .names = grant_types,
     .help = "How the client proves who it is: by its secret, or by an assertion that its RSA key signs (RFC 7523)"},
    ROW(CONF_SECRET, oauth2_conf, client_certificate_key, "RSA key of assertions, PEM text"),
    ROW(CONF_FILE, oauth2_conf, client_certificate_key_file, "PEM file with the RSA key of assertions, re-read each second"),
    ROW(CONF_STRING, oauth2_conf, client_certificate_key_id, "`kid` of assertions"),
    {CONF_ENUM, "signature_algorithm", offsetof(struct oauth2_conf, signature_algorithm), .preset = "RS256",
     .names = signature_algorithms, .help = "Signature of assertions"},
    ROW(CONF_STRING, oauth2_conf, iss, "Issuer of assertions; by default client_id"),
    ROW(CONF_STRING, oauth2_conf, audience, "Audience of assertions; by default token_url"),
    ROW(CONF_MAP, oauth2_conf, claims, "Further claims of assertions, as texts"),
    ROW(CONF_STRINGS, oauth2_conf, scopes, "Scopes of the token"),
    ROW(CONF_MAP, oauth2_conf, endpoint_params, "Further parameters of the request for a token"),
    {CONF_SECTION, "tls_config", offsetof(struct oauth2_conf, tls), .section = &tls_section,
     .help = "TLS of the connection to token_url"},
    {CONF_URL, "proxy_url", offsetof(struct oauth2_conf, proxy_url), .help = "http, https or socks5 proxy to token_url"},
    {CONF_STRING, "no_proxy", offsetof(struct oauth2_conf, no_proxy),
     .help = "Hosts reached without the proxy, comma separated"},
    {CONF_BOOL, "proxy_from_environment", offsetof(struct oauth2_conf, proxy_from_environment),
     .help = "Take the proxy from HTTP_PROXY and friends"},
    {0}};
const struct conf_section oauth2_section = {"oauth2", sizeof(struct oauth2_conf), oauth2_rows, .check = check_oauth2,
                                            .help = "Tokens of OAuth 2.0 by client credentials, requested when they are "
                                                    "needed and shared by all users of the same settings"};

static const struct conf_row sigv4_rows[] = {
    ROW(CONF_STRING, sigv4_conf, region, "Region; by default of the environment, the profile or the machine"),
    ROW(CONF_STRING, sigv4_conf, access_key, "Access key; by default of the environment, the profile or the machine"),
    ROW(CONF_SECRET, sigv4_conf, secret_key, "Secret of the access key"),
    ROW(CONF_STRING, sigv4_conf, profile, "Profile of `~/.aws/credentials` and `~/.aws/config`"),
    ROW(CONF_STRING, sigv4_conf, role_arn, "Role to assume"),
    ROW(CONF_STRING, sigv4_conf, external_id, "External ID for assuming the role"),
    ROW(CONF_BOOL, sigv4_conf, use_fips_sts_endpoint, "Use the FIPS endpoint of STS"),
    {CONF_STRING, "service_name", offsetof(struct sigv4_conf, service_name), .alias = "service", .preset = "aps",
     .help = "Service that signatures are for"},
    ROW(CONF_URL, sigv4_conf, sts_endpoint, "URL of STS, instead of the region's"),
    {0}};
const struct conf_section sigv4_section = {"sigv4", sizeof(struct sigv4_conf), sigv4_rows,
                                           .help = "Signatures of AWS, for Amazon Managed Service for Prometheus"};

/* ---- http_headers ---- */

struct header_values { struct str_list values, secrets, files; };
static const struct conf_row header_rows[] = {
    ROW(CONF_STRINGS, header_values, values, "Values"),
    ROW(CONF_STRINGS, header_values, secrets, "Values that are not shown"),
    ROW(CONF_FILES, header_values, files, "Files with a value each, re-read each second"),
    {0}};
static const struct conf_section header_section = {"http_headers", sizeof(struct header_values), header_rows,
                                                   .help = "Values of a header"};

struct header_caps { size_t keys, values; };
static bool add_header_values(struct conf_context *c, struct str_map *map, struct header_caps *caps, struct str name,
                              const struct str_list *list, struct err *err)
{
    for (size_t i = 0; i < list->n; i++) {
        arena_grow(c->arena, &map->keys, &caps->keys, map->n + 1, sizeof *map->keys);
        arena_grow(c->arena, &map->values, &caps->values, map->n + 1, sizeof *map->values);
        if (caps->keys <= map->n || caps->values <= map->n)
            return err_set(err, ERR_LIMIT, "%s: the configuration exceeds its memory limit", c->file);
        map->keys[map->n] = name;
        map->values[map->n++] = list->items[i];
    }
    return true;
}

bool http_headers_custom(struct conf_context *c, const struct yaml *node, void *field, struct err *err)
{
    struct http_headers *headers = field;
    struct header_caps values = {0}, files = {0};
    *headers = (struct http_headers){0};
    if (node->kind != YAML_MAP)
        return node->kind == YAML_NULL || conf_err(node, err, "http_headers: expected a mapping of names");
    for (size_t i = 0; i < node->n; i++) {
        struct header_values h;
        struct str name = node->keys[i].text;
        if (!conf_load(c, &header_section, &node->items[i], &h, err)
            || !add_header_values(c, &headers->values, &values, name, &h.values, err)
            || !add_header_values(c, &headers->values, &values, name, &h.secrets, err)
            || !add_header_values(c, &headers->files, &files, name, &h.files, err))
            return false;
    }
    return true;
}

static struct str header_name(const struct http_headers *h, size_t i)
{
    return i < h->values.n ? h->values.keys[i] : h->files.keys[i - h->values.n];
}

/* Values are masked like those of `headers`: they are usually API keys. */
static void print_header(struct buf *out, const struct http_headers *h, struct str name)
{
    const char *separator = "";
    struct buf shown = {0};
    buf_add_z(out, ": {secrets: [");
    for (size_t i = 0; i < h->values.n; i++)
        if (str_eq(h->values.keys[i], name)) {
            buf_printf(out, "%s<secret>", separator);
            separator = ", ";
        }
    buf_add_z(out, "], files: [");
    separator = "";
    for (size_t i = 0; i < h->files.n; i++)
        if (str_eq(h->files.keys[i], name)) {
            buf_add_z(out, separator);
            url_redact_path(&shown, h->files.values[i]);
            yaml_write_scalar(out, buf_str(&shown));
            buf_free(&shown);
            separator = ", ";
        }
    buf_add_z(out, "]}\n");
}

void http_headers_print(struct buf *out, const void *field, unsigned indent)
{
    const struct http_headers *h = field;
    size_t n = h->values.n + h->files.n;
    buf_add_z(out, n > 0 ? "\n" : " {}\n");
    for (size_t i = 0; i < n; i++) {
        size_t first = 0;
        while (!str_eq(header_name(h, first), header_name(h, i)))
            first++;
        if (first < i)
            continue;
        buf_printf(out, "%*s", (int)indent, "");
        yaml_write_scalar(out, header_name(h, i));
        print_header(out, h, header_name(h, i));
    }
}

bool http_headers_equal(const void *a, const void *b)
{
    const struct http_headers *x = a, *y = b;
    return str_map_equal(&x->values, &y->values) && str_map_equal(&x->files, &y->files);
}

/* ---- proxy_connect_header ---- */

/* A list of values, or one. */
static bool proxy_header_values(struct conf_context *c, const struct yaml *node, struct str_list *values, struct err *err)
{
    size_t n = node->kind == YAML_LIST ? node->n : 1;
    *values = (struct str_list){ARENA_ARRAY(c->arena, struct str, n + 1), 0};
    for (size_t i = 0; i < n && node->kind != YAML_NULL; i++) {
        const struct yaml *value = node->kind == YAML_LIST ? &node->items[i] : node;
        if (value->kind != YAML_SCALAR)
            return conf_err(value, err, "proxy_connect_header: expected a list of values");
        if (str_find(value->text, 0) < value->text.n)
            return conf_err(value, err, "proxy_connect_header: it contains a NUL byte");
        values->items[values->n++] = str_of(arena_z(c->arena, value->text));
    }
    return true;
}

bool proxy_headers_custom(struct conf_context *c, const struct yaml *node, void *field, struct err *err)
{
    struct str_map *headers = field;
    struct header_caps caps = {0};
    *headers = (struct str_map){0};
    if (node->kind != YAML_MAP)
        return node->kind == YAML_NULL || conf_err(node, err, "proxy_connect_header: expected a mapping of names");
    for (size_t i = 0; i < node->n; i++) {
        struct str_list values;
        if (!proxy_header_values(c, &node->items[i], &values, err)
            || !add_header_values(c, headers, &caps, node->keys[i].text, &values, err))
            return false;
    }
    return true;
}

void proxy_headers_print(struct buf *out, const void *field, unsigned indent)
{
    const struct str_map *h = field;
    buf_add_z(out, h->n > 0 ? "\n" : " {}\n");
    for (size_t i = 0; i < h->n; i++) {
        bool more = i > 0 && str_eq(h->keys[i], h->keys[i - 1]), last = i + 1 == h->n || !str_eq(h->keys[i], h->keys[i + 1]);
        if (!more) {
            buf_printf(out, "%*s", (int)indent, "");
            yaml_write_scalar(out, h->keys[i]);
        }
        buf_printf(out, "%s<secret>%s", more ? ", " : ": [", last ? "]\n" : "");
    }
}

bool proxy_headers_equal(const void *a, const void *b) { return str_map_equal(a, b); }

/* ---- the complete configuration ---- */

static bool check_proxy_conf(const struct yaml *node, const struct proxy_conf *p, struct err *err)
{
    int kinds = (p->basic_auth != NULL) + (p->authorization != NULL) + (p->bearer_token.n > 0) +
                (p->bearer_token_file.n > 0);
    if (kinds > 1)
        return conf_err(node, err, "several of proxy_basic_auth, proxy_authorization, proxy_bearer_token and "
                                   "proxy_bearer_token_file are set; keep one kind of credentials");
    return p->tls.server_name.n == 0 ||
           conf_err(yaml_get(node, "proxy_tls_config"), err,
                    "proxy_tls_config: server_name is not supported; the name in proxy_url is verified");
}

bool http_conf_check(const struct yaml *node, const struct http_conf *h, struct err *err)
{
    const char *set_keys[8];
    unsigned n = 0;
    if (h->basic_auth)
        set_keys[n++] = "basic_auth";
    if (h->authorization)
        set_keys[n++] = "authorization";
    if (h->oauth2)
        set_keys[n++] = "oauth2";
    if (h->sigv4)
        set_keys[n++] = "sigv4";
    if (h->azuread)
        set_keys[n++] = "azuread";
    if (h->google_iam)
        set_keys[n++] = "google_iam";
    if (h->bearer_token.n > 0)
        set_keys[n++] = "bearer_token";
    if (h->bearer_token_file.n > 0)
        set_keys[n++] = "bearer_token_file";
    if (n > 1)
        return conf_err(node, err, "%s and %s are both set; keep one kind of credentials", set_keys[0],
                        set_keys[1]);
    return check_proxy_conf(node, &h->proxy, err);
}

static void set_credentials(struct client_profile_conf *p, const struct basic_auth_conf *basic,
                            const struct authorization_conf *authorization, struct str token, struct str token_file)
{
    if (basic) {
        p->username = basic->username.p;
        p->username_file = basic->username_file.p;
        p->password = basic->password.p;
        p->password_file = basic->password_file.p;
    }
    p->credentials = token.p;
    p->credentials_file = token_file.p;
    if (authorization) {
        p->auth_type = authorization->type.p;
        p->credentials = authorization->credentials.p;
        p->credentials_file = authorization->credentials_file.p;
    }
}

static void set_tls(struct client_profile_conf *p, const struct tls_conf *t)
{
    p->ca = t->ca.p;
    p->ca_file = t->ca_file.p;
    p->cert = t->cert.p;
    p->cert_file = t->cert_file.p;
    p->key = t->key.p;
    p->key_file = t->key_file.p;
    p->server_name = t->server_name.p;
    p->min_version = t->min_version.p;
    p->max_version = t->max_version.p;
    p->insecure_skip_verify = t->insecure_skip_verify;
}

struct oauth2_texts { const char **scopes; struct client_oauth2_param *params, *claims; };

static struct client_oauth2_param *oauth2_params(const struct str_map *map)
{
    struct client_oauth2_param *params = mem_zalloc((map->n + 1) * sizeof *params);
    for (size_t i = 0; i < map->n; i++)
        params[i] = (struct client_oauth2_param){map->keys[i].p, map->values[i].p};
    return params;
}

static void set_assertion(struct client_oauth2 *to, struct oauth2_texts *texts, const struct oauth2_conf *o)
{
    texts->claims = oauth2_params(&o->claims);
    to->style = OAUTH2_JWT;
    to->client_secret = o->client_certificate_key.p;
    to->client_secret_file = o->client_certificate_key_file.p;
    to->assertion = (struct client_assertion){.issuer = o->iss.n > 0 ? o->iss.p : NULL,
                                              .audience = o->audience.n > 0 ? o->audience.p : NULL,
                                              .key_id = o->client_certificate_key_id.p,
                                              .bits = 256 + 128 * (unsigned)o->signature_algorithm,
                                              .claims = texts->claims, .n_claims = o->claims.n};
}

static void set_oauth2(struct client_oauth2 *to, struct oauth2_texts *texts, const struct oauth2_conf *o)
{
    texts->scopes = mem_zalloc((o->scopes.n + 1) * sizeof *texts->scopes);
    texts->params = oauth2_params(&o->endpoint_params);
    for (size_t i = 0; i < o->scopes.n; i++)
        texts->scopes[i] = o->scopes.items[i].p;
    *to = (struct client_oauth2){
        .client_id = o->client_id.p, .client_secret = o->client_secret.p, .client_secret_file = o->client_secret_file.p,
        .token_url = o->token_url.p, .scopes = texts->scopes, .n_scopes = o->scopes.n, .params = texts->params,
        .n_params = o->endpoint_params.n,
        .http = {.proxy_url = o->proxy_url.p, .no_proxy = o->no_proxy.p,
                 .proxy_from_environment = o->proxy_from_environment}};
    set_tls(&to->http, &o->tls);
    if (o->grant_type == GRANT_JWT)
        set_assertion(to, texts, o);
}

static void set_sigv4(struct client_sigv4 *to, const struct sigv4_conf *s)
{
    *to = (struct client_sigv4){s->region.p, s->access_key.p, s->secret_key.p, s->profile.p, s->role_arn.p,
                                s->external_id.p, s->service_name.p, s->sts_endpoint.p, s->use_fips_sts_endpoint};
}

static void set_lines(char **lines, const struct str_map *headers)
{
    for (size_t i = 0; i < headers->n; i++) {
        struct buf line = {0};
        buf_printf(&line, "%.*s: %.*s", STR_ARG(headers->keys[i]), STR_ARG(headers->values[i]));
        lines[i] = str_dup(buf_str(&line));
        buf_free(&line);
    }
}

static void free_lines(char **lines, size_t n)
{
    while (n > 0)
        mem_free(lines[--n]);
    mem_free(lines);
}

static bool has_proxy_conf(const struct proxy_conf *p)
{
    const struct tls_conf *t = &p->tls;
    return p->basic_auth || p->authorization || p->bearer_token.n > 0 || p->bearer_token_file.n > 0 ||
           p->headers.n > 0 || t->insecure_skip_verify || t->ca.n > 0 || t->ca_file.n > 0 || t->cert.n > 0 ||
           t->cert_file.n > 0 || t->key.n > 0 || t->key_file.n > 0 || t->min_version.n > 0 || t->max_version.n > 0;
}

/* Calls use() with what a profile is made of. */
static bool with_profile_conf(const struct http_conf *h, bool (*use)(const struct client_profile_conf *c, void *arg,
                                                                     struct err *err), void *arg, struct err *err)
{
    struct client_profile_conf p = {.proxy_url = h->proxy_url.p,
                                    .no_proxy = h->no_proxy.p,
                                    .proxy_from_environment = h->proxy_from_environment,
                                    .no_follow_redirects = !h->follow_redirects};
    set_credentials(&p, h->basic_auth, h->authorization, h->bearer_token, h->bearer_token_file);
    set_tls(&p, &h->tls);
    struct client_profile_conf proxy = {.n_headers = h->proxy.headers.n};
    char **to_proxy = mem_zalloc((h->proxy.headers.n + 1) * sizeof *to_proxy);
    for (size_t i = 0; i < h->proxy.headers.n; i++)
        to_proxy[i] = str_dup(h->proxy.headers.items[i]);
    proxy.headers = (const char *const *)to_proxy;
    set_credentials(&proxy, h->proxy.basic_auth, h->proxy.authorization, h->proxy.bearer_token,
                    h->proxy.bearer_token_file);
    set_tls(&proxy, &h->proxy.tls);
    p.proxy = has_proxy_conf(&h->proxy) ? &proxy : NULL;
    struct client_oauth2 oauth2;
    struct oauth2_texts texts = {0};
    if (h->oauth2) {
        set_oauth2(&oauth2, &texts, h->oauth2);
        p.oauth2 = &oauth2;
    }
    struct arena texts_of_tokens;
    arena_init(&texts_of_tokens, 0);
    if (h->azuread) {
        azuread_conf_oauth2(h->azuread, &oauth2, &texts_of_tokens);
        p.oauth2 = &oauth2;
    }
    if (h->google_iam) {
        google_iam_conf_oauth2(h->google_iam, &oauth2, &texts_of_tokens);
        p.oauth2 = &oauth2;
    }
    struct client_sigv4 sigv4;
    if (h->sigv4) {
        set_sigv4(&sigv4, h->sigv4);
        p.sigv4 = &sigv4;
    }
    size_t n = 0;
    const struct str_map *values = &h->http_headers.values, *files = &h->http_headers.files;
    char **lines = mem_zalloc((h->headers.n + values->n) * sizeof *lines);
    struct client_header_file *paths = mem_zalloc(files->n * sizeof *paths);
    for (size_t i = 0; i < h->headers.n; i++)
        lines[n++] = str_dup(h->headers.items[i]);
    set_lines(lines + n, values);
    n += values->n;
    char **proxy_lines = mem_zalloc((h->proxy_connect_header.n + 1) * sizeof *proxy_lines);
    set_lines(proxy_lines, &h->proxy_connect_header);
    p.proxy_headers = (const char *const *)proxy_lines;
    p.n_proxy_headers = h->proxy_connect_header.n;
    for (size_t i = 0; i < files->n; i++)
        paths[i] = (struct client_header_file){files->keys[i].p, files->values[i].p};
    p.headers = (const char *const *)lines;
    p.n_headers = n;
    p.header_files = paths;
    p.n_header_files = files->n;
    bool ok = use(&p, arg, err);
    free_lines(lines, n);
    free_lines(to_proxy, h->proxy.headers.n);
    free_lines(proxy_lines, h->proxy_connect_header.n);
    mem_free(paths);
    arena_free(&texts_of_tokens);
    mem_free(texts.scopes);
    mem_free(texts.params);
    mem_free(texts.claims);
    return ok;
}

static bool profile_conf_make(const struct client_profile_conf *c, void *arg, struct err *err)
{
    struct client_profile **profile = arg;
    return (*profile = client_profile_new(c, err)) != NULL;
}

struct client_profile *http_conf_profile(const struct http_conf *h, struct err *err)
{
    struct client_profile *profile = NULL;
    return with_profile_conf(h, profile_conf_make, &profile, err) ? profile : NULL;
}

static bool profile_conf_check(const struct client_profile_conf *c, void *arg UNUSED, struct err *err)
{
    return client_profile_check(c, err);
}

bool http_conf_check_profile(const struct http_conf *h, struct err *err)
{
    return with_profile_conf(h, profile_conf_check, NULL, err);
}
