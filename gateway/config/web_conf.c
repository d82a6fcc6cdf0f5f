// SPDX-License-Identifier: Apache-2.0
#include "gateway/config/web_conf.h"

#include "base/text/num.h"
#include "gateway/http/http_auth.h"
#include "gateway/http/http_tls.h"

#define TLS_AT(field) offsetof(struct tls_server_conf, field)
#define WEB_AT(field) offsetof(struct web_conf, field)

static const char *const client_auth_types[] = {
    "NoClientCert", "RequestClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert",
    "RequireClientCert", NULL};
static const char *const tls_versions[] = {"TLS10", "TLS11", "TLS12", "TLS13", NULL};
_Static_assert(HTTP_CLIENT_VERIFY + 1 == REQUIRE_CLIENT_CERT && HTTP_TLS13 == 3, "names in the order of the enums");

/* As CONF_FILE, but that it cannot be read is an error, which is reported where it is read. */
static bool web_read_path(struct conf_context *c, const struct yaml *node, void *field, struct err *err)
{
    static const struct conf_row file = {.type = CONF_FILE, .name = "file"};
    struct err why;
    if (node->kind != YAML_SCALAR)
        return conf_err(node, err, "tls_server_config: expected a file name");
    return conf_scalar(c, &file, node->text, field, &why) || conf_err(node, err, "tls_server_config: %s", why.text);
}

static void web_print_path(struct buf *out, const void *field, unsigned indent UNUSED)
{
    buf_add_char(out, ' ');
    yaml_write_scalar(out, *(const struct str *)field);
    buf_add_char(out, '\n');
}

#define PATH(key, text) \
    {CONF_CUSTOM, #key, TLS_AT(key), .custom = web_read_path, .print = web_print_path, .form = "file", .help = text}

static const struct conf_row tls_server_rows[] = {
    PATH(cert_file, "Certificate of the server, with the certificates that sign it, in PEM form; reloaded when it changes"),
    PATH(key_file, "Key of the certificate, in PEM form, not encrypted; reloaded when it changes"),
    {CONF_STRING, "cert", TLS_AT(cert), .help = "The certificate itself instead of `cert_file`"},
    {CONF_SECRET, "key", TLS_AT(key), .help = "The key itself instead of `key_file`"},
    {CONF_ENUM, "client_auth_type", TLS_AT(client_auth_type), .preset = "NoClientCert", .names = client_auth_types,
     .help = "Whether clients need a certificate: `RequireAndVerifyClientCert` admits only those with one that "
             "`client_ca_file` signed; `VerifyClientCertIfGiven` also those without; `RequestClientCert` and "
             "`RequireAnyClientCert` verify nothing"},
    PATH(client_ca_file, "Certificates that sign those of clients; reloaded when it changes"),
    {CONF_STRING, "client_ca", TLS_AT(client_ca), .help = "The certificates themselves instead of `client_ca_file`"},
    {CONF_STRINGS, "client_allowed_sans", TLS_AT(client_allowed_sans),
     .help = "Subject alternative names (DNS, IP, e-mail, URI) of which a client's certificate must have one. Kinds of "
             "`client_auth_type` that verify nothing accept forged names"},
    {CONF_ENUM, "min_version", TLS_AT(min_version), .preset = "TLS12", .names = tls_versions,
     .help = "Minimum version: TLS10, TLS11, TLS12, TLS13"},
    {CONF_ENUM, "max_version", TLS_AT(max_version), .preset = "TLS13", .names = tls_versions,
     .help = "Maximum version"},
    {CONF_STRINGS, "cipher_suites", TLS_AT(cipher_suites),
     .help = "Cipher suites, by Go's names; also limits those of TLS 1.3 to the same ciphers. By default those with "
             "ECDHE and AES-GCM or ChaCha20"},
    {CONF_BOOL, "prefer_server_cipher_suites", TLS_AT(prefer_server_cipher_suites), .preset = "true",
     .help = "Select cipher suites in the server's order, not the client's"},
    {CONF_STRINGS, "curve_preferences", TLS_AT(curve_preferences),
     .help = "Curves: X25519, CurveP256, CurveP384, CurveP521. By default all, in this order"},
    {0}};

/* A section without any key is the same as none. */
static bool check_tls_server(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct tls_server_conf *t = value;
    bool ca = t->client_ca.n > 0 || t->client_ca_file.n > 0;
    bool verifies = t->client_auth_type == HTTP_CLIENT_VERIFY || t->client_auth_type == HTTP_CLIENT_VERIFY_IF_GIVEN;
    const struct yaml *type = yaml_get(node, "client_auth_type"), *sans = yaml_get(node, "client_allowed_sans");
    if (node->n == 0)
        return true;
    if (t->cert.n == 0 && t->cert_file.n == 0)
        return conf_err(node, err, "tls_server_config.cert_file: is required");
    if (t->key.n == 0 && t->key_file.n == 0)
        return conf_err(node, err, "tls_server_config.key_file: is required");
    if ((t->cert.n > 0 && t->cert_file.n > 0) || (t->key.n > 0 && t->key_file.n > 0) ||
        (t->client_ca.n > 0 && t->client_ca_file.n > 0))
        return conf_err(node, err, "tls_server_config: cert, key and client_ca exclude cert_file, key_file and "
                        "client_ca_file");
    if (ca && t->client_auth_type == HTTP_CLIENT_NONE)
        return conf_err(node, err, "tls_server_config.client_auth_type: is required with client_ca_file; set it to "
                        "RequireAndVerifyClientCert");
    if (verifies && !ca)
        return conf_err(type, err, "tls_server_config.client_auth_type: \"%s\" requires client_ca_file",
                        client_auth_types[t->client_auth_type]);
    if (sans && t->client_allowed_sans.n == 0)
        return conf_err(sans, err, "tls_server_config.client_allowed_sans: is empty: no certificate would be accepted; "
                        "remove it");
    if (sans && t->client_auth_type == HTTP_CLIENT_NONE)
        return conf_err(sans, err, "tls_server_config.client_allowed_sans: requires client_auth_type, without which no "
                        "certificate is requested; set it to RequireAndVerifyClientCert");
    return true;
}

const struct conf_section tls_server_section = {"tls_server_config", sizeof(struct tls_server_conf), tls_server_rows,
                                                check_tls_server, "TLS of listeners"};

static const struct conf_row http_server_rows[] = {
    {.type = CONF_IGNORED, .name = "http2", .help = "HTTP/1.1 is served, which clients of HTTP/2 fall back to"},
    {CONF_MAP, "headers", offsetof(struct http_server_file_conf, headers),
     .help = "Headers of all responses: Content-Security-Policy, X-Frame-Options (deny, sameorigin), "
             "X-Content-Type-Options (nosniff), X-XSS-Protection, Strict-Transport-Security. They replace sluice's; "
             "empty ones are not sent"},
    {0}};

static bool header_value_is(struct str value, const char *a, const char *b)
{
    return value.n == 0 || (a == NULL && b == NULL) || (a && str_is(value, a)) || (b && str_is(value, b));
}

static bool check_http_server(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    static const struct { const char *name, *a, *b; } allowed[] = {
        {"Content-Security-Policy", NULL, NULL}, {"X-Frame-Options", "deny", "sameorigin"},
        {"X-Content-Type-Options", "nosniff", NULL}, {"X-XSS-Protection", NULL, NULL},
        {"Strict-Transport-Security", NULL, NULL}};
    const struct str_map *map = &((struct http_server_file_conf *)value)->headers;
    const struct yaml *list = yaml_get(node, "headers");
    for (size_t i = 0; i < map->n; i++) {
        size_t k = 0;
        while (k < LEN(allowed) && !str_is(map->keys[i], allowed[k].name))
            k++;
        if (k == LEN(allowed))
            return conf_err(&list->keys[i], err, "http_server_config.headers: header \"%.*s\" cannot be set",
                            STR_ARG(map->keys[i]));
        if (!header_value_is(map->values[i], allowed[k].a, allowed[k].b))
            return conf_err(&list->items[i], err, "http_server_config.headers: %s: \"%.*s\" is not one of %s%s%s",
                            allowed[k].name, STR_ARG(map->values[i]), allowed[k].a, allowed[k].b ? ", " : "",
                            allowed[k].b ? allowed[k].b : "");
        for (size_t at = 0; at < map->values[i].n; at++)
            if ((unsigned char)map->values[i].p[at] < ' ' || map->values[i].p[at] == 0x7f)
                return conf_err(&list->items[i], err, "http_server_config.headers: %s: has a control character",
                                allowed[k].name);
    }
    return true;
}

static const struct conf_section http_server_section = {
    "http_server_config", sizeof(struct http_server_file_conf), http_server_rows, check_http_server,
    "HTTP of listeners"};

/* A duration of Go, such as 1m0.5s: those of other keys have milliseconds. */
static bool go_duration_parse(struct str s, double *ns)
{
    static const struct { const char *unit; double ns; } units[] = {
        {"ns", 1}, {"us", 1e3}, {"\xc2\xb5s", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
    for (*ns = 0; s.n > 0;) {
        size_t digits = 0, letters, k = 0;
        double number;
        while (digits < s.n && strchr("0123456789.", s.p[digits]))
            digits++;
        for (letters = digits; letters < s.n && !strchr("0123456789.", s.p[letters]);)
            letters++;
        while (k < LEN(units) && !str_is(str_n(s.p + digits, letters - digits), units[k].unit))
            k++;
        if (k == LEN(units) || !num_parse(str_first(s, digits), &number))
            return false;
        *ns += number * units[k].ns;
        s = str_skip(s, letters);
    }
    return true;
}

static bool read_rate_interval(struct conf_context *c UNUSED, const struct yaml *node, void *field, struct err *err)
{
    double ns = 0;
    bool ok = node->kind == YAML_SCALAR && node->text.n > 0 && str_find(node->text, 0) == node->text.n &&
              (str_is(node->text, "0") || go_duration_parse(node->text, &ns));
    if (!ok || !(ns < 86400e9))
        return conf_err(node, err, "rate_limit.interval: \"%.*s\" is not a duration of less than a day, such as 1s or 250us",
                        STR_ARG(node->text));
    *(int64_t *)field = (int64_t)ns;
    return true;
}

static void print_rate_interval(struct buf *out, const void *field, unsigned indent UNUSED)
{
    buf_printf(out, " %lldns\n", (long long)*(const int64_t *)field);
}

static const struct conf_row rate_limit_rows[] = {
    {CONF_CUSTOM, "interval", offsetof(struct rate_limit_conf, interval), .custom = read_rate_interval,
     .print = print_rate_interval, .form = "duration",
     .help = "Time between two requests, such as `1s` or `250us`; 0 = no limit (default)"},
    {CONF_INT, "burst", offsetof(struct rate_limit_conf, burst), .preset = "0", .min = 0, .max = 1000000,
     .help = "Requests that are served at once after a pause; at least 1 with `interval`"},
    {0}};

static bool check_rate_limit(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const int64_t longest = INT64_MAX / 4; /* ns; added to the time since the machine's start */
    const struct rate_limit_conf *r = value;
    if (r->interval > 0 && r->burst > longest / r->interval)
        return conf_err(node, err, "rate_limit.burst: %lld requests take more than 73 years with this interval",
                        (long long)r->burst);
    return r->interval == 0 || r->burst > 0 ||
           conf_err(node, err, "rate_limit.burst: must be at least 1, otherwise no request would be served");
}

static const struct conf_section rate_limit_section = {
    "rate_limit", sizeof(struct rate_limit_conf), rate_limit_rows, check_rate_limit, "Requests of a listen address"};

/* ---- classes of routes ---- */

const char *const route_class_names[] = {"query", "push", "admin", "page", "health"};
_Static_assert(LEN(route_class_names) == ROUTE_CLASSES && ROUTE_HEALTH == 4, "names in the order of the enum");

static const struct conf_row route_class_rows[] = {
    {CONF_STRINGS, "users", offsetof(struct route_class_conf, users),
     .help = "Names in `basic_auth_users` that may use it; others get 403. By default all"},
    {CONF_BOOL, "open", offsetof(struct route_class_conf, open), .preset = "false", .help = "It needs no user"},
    {0}};
static const struct conf_section route_class_section = {
    "route_class", sizeof(struct route_class_conf), route_class_rows, NULL, "Users of a class of endpoints"};

#define CLASS(class, text) \
    {CONF_OPTIONAL, #class, offsetof(struct route_classes_conf, of[ROUTE_##text]), .section = &route_class_section
static const struct conf_row route_classes_rows[] = {
    CLASS(query, QUERY), .help = "Endpoints that read samples"},
    CLASS(push, PUSH), .help = "Endpoints that write samples"},
    CLASS(admin, ADMIN), .help = "`/metrics`, status, `/-/reload` and `/-/quit`"},
    CLASS(page, PAGE), .help = "Web pages"},
    CLASS(health, HEALTH), .help = "Health checks"},
    {0}};
static const struct conf_section route_classes_section = {
    "route_classes", sizeof(struct route_classes_conf), route_classes_rows, NULL, "Who may use which endpoints"};

static bool names_user(const struct web_conf *w, struct str name)
{
    for (size_t i = 0; i < w->basic_auth_users.n; i++)
        if (str_eq(w->basic_auth_users.keys[i], name))
            return true;
    return false;
}

static bool check_route_classes(const struct web_conf *w, const struct yaml *node, struct err *err)
{
    for (size_t i = 0; i < ROUTE_CLASSES; i++) {
        const struct route_class_conf *c = w->route_classes.of[i];
        const struct yaml *at = yaml_get(yaml_get(node, "route_classes"), route_class_names[i]);
        if (c && (w->basic_auth_users.n == 0 || (c->open && c->users.n > 0)))
            return conf_err(at, err, "route_classes.%s: %s", route_class_names[i], w->basic_auth_users.n == 0
                            ? "requires basic_auth_users" : "open excludes users");
        for (size_t k = 0; c && k < c->users.n; k++)
            if (!names_user(w, c->users.items[k]))
                return conf_err(at, err, "route_classes.%s: \"%.*s\" is not in basic_auth_users", route_class_names[i],
                                STR_ARG(c->users.items[k]));
    }
    return true;
}

static bool check_web(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct web_conf *w = value;
    const struct yaml *users = yaml_get(node, "basic_auth_users");
    struct err why;
    for (size_t i = 0; i < w->basic_auth_users.n; i++)
        if (!http_user_hash_check(w->basic_auth_users.values[i], &why))
            return conf_err(&users->items[i], err, "basic_auth_users: %.*s: %s", STR_ARG(w->basic_auth_users.keys[i]),
                            why.text);
    return check_route_classes(w, node, err);
}

static const struct conf_row web_rows[] = {
    {CONF_OPTIONAL, "tls_server_config", WEB_AT(tls), .section = &tls_server_section,
     .help = "TLS; without it, HTTP is served"},
    {CONF_SECTION, "http_server_config", WEB_AT(http), .section = &http_server_section, .help = "HTTP"},
    {CONF_MAP, "basic_auth_users", WEB_AT(basic_auth_users),
     .help = "Users and the bcrypt hashes of their passwords (`htpasswd -nBC 10 \"\"`); without it, requests need no user"},
    {CONF_SECTION, "route_classes", WEB_AT(route_classes), .section = &route_classes_section,
     .help = "Which of the users may use which endpoints; by default each may use all"},
    {CONF_SECTION, "rate_limit", WEB_AT(rate_limit), .section = &rate_limit_section,
     .help = "Limit of the requests of each listen address; further ones get 429"},
    {0}};
const struct conf_section web_section = {"web configuration", sizeof(struct web_conf), web_rows, check_web,
                                         "The file of `--web.config.file`"};
