// SPDX-License-Identifier: Apache-2.0
/* A profile is immutable. Its files (credentials, header values, certificates) are watched: a request uses the content
 * read last, and reads no file itself.
 *
 * curl has no option for the name in the TLS handshake. For server_name of tls_config the URL's host is replaced by
 * that name, which is then sent and verified; CONNECT_TO directs the connection to the real host, which Host: contains.
 */
#include "base/http/client_profile.h"

#include "base/hash.h"
#include "base/http/aws_credentials.h"
#include "base/http/oauth2.h"
#include "base/http/tls_versions.h"
#include "base/os/watched_file.h"
#include "base/refs.h"
#include "base/text/base64.h"
#include "base/text/duration.h"
#include "base/text/secrets.h"
#include "base/text/url.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { MOST_REDIRECTS = 10 };

struct profile_value { /* configured, or the content of a file, or none */
    char *text;
    struct watched_file *file;
};

struct header_file { char *name; struct profile_value value; };

struct client_profile {
    struct refs refs;
    struct profile_value username, password, credentials;
    char *auth_type;
    struct profile_value ca, cert, key;
    char *server_name, *proxy_url, *no_proxy;
    bool insecure_skip_verify, proxy_from_environment, no_follow_redirects;
    struct tls_versions versions;
    char **headers;
    size_t n_headers;
    struct header_file *header_files;
    size_t n_header_files;
    struct token_source *token; /* NULL: none */
    char *sigv4_service;        /* the token has keys of AWS, which sign requests to this service; NULL: it is sent */
    char **proxy_headers;
    size_t n_proxy_headers;
    struct client_profile *proxy; /* for the connection to the proxy; NULL: nothing */
    const char *login_header;   /* "Authorization", or of a `proxy` "Proxy-Authorization" */
    uint64_t hash; /* of all settings */
};

/* ---- making ---- */

static char *profile_copy_text(const char *s) { return s && *s ? mem_strdup(s) : NULL; }

/* The proxy resolves the names, as Prometheus and vmagent have it: libcurl's other two would do it here, and block. */
static char *copy_proxy(const char *url)
{
    static const struct { const char *scheme, *remote; } known[] = {{"socks5://", "socks5h://"},
                                                                    {"socks4://", "socks4a://"}};
    for (size_t i = 0; url && i < LEN(known); i++)
        if (strncasecmp(url, known[i].scheme, strlen(known[i].scheme)) == 0) {
            struct buf changed = {0};
            buf_printf(&changed, "%s%s", known[i].remote, url + strlen(known[i].scheme));
            char *text = mem_strdup(buf_z(&changed));
            buf_free(&changed);
            return text;
        }
    return profile_copy_text(url);
}

bool client_profile_check(const struct client_profile_conf *c, struct err *err)
{
    struct tls_versions versions;
    return tls_versions_parse(c->min_version, c->max_version, &versions, err) && client_lines_check(c, err) &&
           (c->proxy == NULL || client_profile_check(c->proxy, err) || err_wrap(err, "proxy")) &&
           (c->oauth2 == NULL || oauth2_check(c->oauth2, err)) &&
           (c->sigv4 == NULL || aws_credentials_check(c->sigv4, err));
}

static struct profile_value profile_value_new(const char *text, const char *file, enum watched_kind kind)
{
    if (file && *file)
        return (struct profile_value){.file = watched_file_new(file, kind)};
    return (struct profile_value){.text = profile_copy_text(text)};
}

static void profile_value_free(struct profile_value *v)
{
    mem_free(v->text);
    watched_file_free(v->file);
}

static void profile_add_setting(struct buf *all, const char *text)
{
    buf_add_z(all, text ? text : "");
    buf_add_char(all, '\0');
}

static uint64_t profile_hash_settings(const struct client_profile_conf *c)
{
    struct buf all = {0};
    const char *texts[] = {c->username, c->username_file, c->password, c->password_file, c->auth_type, c->credentials,
                           c->credentials_file, c->ca, c->ca_file, c->cert, c->cert_file, c->key, c->key_file,
                           c->server_name, c->min_version, c->max_version, c->proxy_url, c->no_proxy};
    for (size_t i = 0; i < LEN(texts); i++)
        profile_add_setting(&all, texts[i]);
    buf_printf(&all, "%d%d%d %zu ", c->insecure_skip_verify, c->proxy_from_environment, c->no_follow_redirects,
               c->n_headers);
    for (size_t i = 0; i < c->n_headers; i++)
        profile_add_setting(&all, c->headers[i]);
    for (size_t i = 0; i < c->n_header_files; i++) {
        profile_add_setting(&all, c->header_files[i].name);
        profile_add_setting(&all, c->header_files[i].path);
    }
    for (size_t i = 0; i < c->n_proxy_headers; i++)
        profile_add_setting(&all, c->proxy_headers[i]);
    if (c->proxy)
        buf_printf(&all, " %llu ", (unsigned long long)profile_hash_settings(c->proxy));
    if (c->oauth2)
        oauth2_settings(c->oauth2, &all);
    if (c->sigv4) {
        profile_add_setting(&all, c->sigv4->service);
        aws_credentials_settings(c->sigv4, &all);
    }
    uint64_t hash = hash_bytes(all.p, all.n);
    buf_free(&all);
    return hash;
}

/* As libcurl, which accepts proxies without a scheme. */
static bool proxy_has_login(const char *url)
{
    const char *scheme_end = url ? strstr(url, "://") : NULL, *authority = scheme_end ? scheme_end + 3 : url;
    const char *at = url ? memchr(authority, '@', strcspn(authority, "/?#")) : NULL;
    return at && at > authority;
}

/* False with err. *proxy: NULL if nothing is set. */
static bool profile_make_proxy(const struct client_profile_conf *c, struct client_profile **proxy, struct err *err)
{
    *proxy = NULL;
    if (c->proxy == NULL)
        return true;
    struct client_profile_conf own = *c->proxy;
    if (proxy_has_login(c->proxy_url))
        own.username = own.username_file = own.password = own.password_file = own.credentials =
            own.credentials_file = NULL;
    *proxy = client_profile_new(&own, err);
    if (*proxy)
        (*proxy)->login_header = "Proxy-Authorization";
    return *proxy != NULL || err_wrap(err, "proxy");
}

struct client_profile *client_profile_new(const struct client_profile_conf *c, struct err *err)
{
    struct tls_versions versions;
    struct token_source *token = NULL;
    struct client_profile *proxy = NULL;
    if (!tls_versions_parse(c->min_version, c->max_version, &versions, err) || !client_lines_check(c, err) ||
        !profile_make_proxy(c, &proxy, err) || (c->oauth2 && (token = oauth2_get(c->oauth2, err)) == NULL) ||
        (c->sigv4 && (token = aws_credentials_get(c->sigv4, err)) == NULL)) {
        client_profile_unref(proxy);
        return NULL;
    }
    struct client_profile *p = mem_zalloc(sizeof *p);
    refs_init(&p->refs);
    p->token = token;
    p->proxy = proxy;
    p->login_header = "Authorization";
    if (c->sigv4)
        p->sigv4_service = mem_strdup(c->sigv4->service && *c->sigv4->service ? c->sigv4->service : "aps");
    p->hash = profile_hash_settings(c);
    p->username = profile_value_new(c->username, c->username_file, WATCHED_LINE);
    p->password = profile_value_new(c->password, c->password_file, WATCHED_LINE);
    p->credentials = profile_value_new(c->credentials, c->credentials_file, WATCHED_LINE);
    p->auth_type = mem_strdup(c->auth_type && *c->auth_type ? c->auth_type : "Bearer");
    p->ca = profile_value_new(c->ca, c->ca_file, WATCHED_BYTES);
    p->cert = profile_value_new(c->cert, c->cert_file, WATCHED_BYTES);
    p->key = profile_value_new(c->key, c->key_file, WATCHED_BYTES);
    p->server_name = profile_copy_text(c->server_name);
    p->proxy_url = copy_proxy(c->proxy_url);
    p->no_proxy = profile_copy_text(c->no_proxy);
    p->insecure_skip_verify = c->insecure_skip_verify;
    p->proxy_from_environment = c->proxy_from_environment;
    p->no_follow_redirects = c->no_follow_redirects;
    p->versions = versions;
    p->headers = mem_zalloc(c->n_headers * sizeof *p->headers);
    for (; p->n_headers < c->n_headers; p->n_headers++)
        p->headers[p->n_headers] = mem_strdup(c->headers[p->n_headers]);
    p->proxy_headers = mem_zalloc(c->n_proxy_headers * sizeof *p->proxy_headers);
    for (; p->n_proxy_headers < c->n_proxy_headers; p->n_proxy_headers++)
        p->proxy_headers[p->n_proxy_headers] = mem_strdup(c->proxy_headers[p->n_proxy_headers]);
    p->header_files = mem_zalloc(c->n_header_files * sizeof *p->header_files);
    for (; p->n_header_files < c->n_header_files; p->n_header_files++) {
        const struct client_header_file *from = &c->header_files[p->n_header_files];
        p->header_files[p->n_header_files] = (struct header_file){
            mem_strdup(from->name), profile_value_new(NULL, from->path, WATCHED_LINE)};
    }
    return p;
}

struct client_profile *client_profile_ref(struct client_profile *p)
{
    if (p)
        refs_take(&p->refs);
    return p;
}

bool client_profile_sends(const struct client_profile *p, struct str name)
{
    bool sends = (p->username.text || p->username.file || p->credentials.text || p->credentials.file || p->token) &&
                 str_ieq(name, STR("Authorization"));
    for (size_t i = 0; i < p->n_headers; i++) {
        struct str line = str_of(p->headers[i]);
        sends = sends || str_ieq(name, str_first(line, str_find(line, ':')));
    }
    for (size_t i = 0; i < p->n_header_files; i++)
        sends = sends || str_ieq(name, str_of(p->header_files[i].name));
    return sends;
}

uint64_t client_profile_hash(const struct client_profile *p) { return p->hash; }

void client_profile_unref(struct client_profile *p)
{
    if (p == NULL || !refs_drop(&p->refs))
        return;
    struct profile_value *values[] = {&p->username, &p->password, &p->credentials, &p->ca, &p->cert, &p->key};
    for (size_t i = 0; i < LEN(values); i++)
        profile_value_free(values[i]);
    char *texts[] = {p->auth_type, p->server_name, p->proxy_url, p->no_proxy, p->sigv4_service};
    for (size_t i = 0; i < LEN(texts); i++)
        mem_free(texts[i]);
    for (size_t i = 0; i < p->n_headers; i++)
        mem_free(p->headers[i]);
    mem_free(p->headers);
    for (size_t i = 0; i < p->n_header_files; i++) {
        mem_free(p->header_files[i].name);
        profile_value_free(&p->header_files[i].value);
    }
    mem_free(p->header_files);
    for (size_t i = 0; i < p->n_proxy_headers; i++)
        mem_free(p->proxy_headers[i]);
    mem_free(p->proxy_headers);
    client_profile_unref(p->proxy);
    token_source_unref(p->token);
    mem_free(p);
}

/* ---- secrets ---- */

struct value_now { /* of a request: what a value is at its start */
    struct str text; /* p is NULL when there is none */
    struct file_text *held; /* keeps it */
};

static bool profile_value_take(const struct profile_value *v, struct value_now *now, struct err *err)
{
    *now = (struct value_now){.text = {v->text, v->text ? strlen(v->text) : 0}};
    if (v->file == NULL)
        return true;
    if ((now->held = watched_file_text(v->file, err)) == NULL)
        return false;
    now->text = str_n(now->held->text, now->held->n);
    return true;
}

static void value_now_release(struct value_now *now)
{
    file_text_unref(now->held);
    now->held = NULL;
}

/* "Name:" without a value makes curl omit the header; with a semicolon it sends it empty. */
static bool format_header_file(const struct header_file *h, struct buf *line, struct err *err)
{
    struct value_now value;
    if (!profile_value_take(&h->value, &value, err))
        return false;
    if (value.text.n > 0)
        buf_printf(line, "%s: %.*s\n", h->name, STR_ARG(value.text));
    else
        buf_printf(line, "%s;\n", h->name);
    value_now_release(&value);
    return true;
}

/* Appends nothing without credentials. */
static bool format_credentials(const struct client_profile *p, struct buf *line, struct err *err)
{
    struct value_now credentials;
    if (!profile_value_take(&p->credentials, &credentials, err))
        return false;
    if (credentials.text.p)
        buf_printf(line, "%s: %s %.*s\n", p->login_header, p->auth_type, STR_ARG(credentials.text));
    value_now_release(&credentials);
    return true;
}

static bool format_basic_auth(const struct client_profile *p, struct buf *line, struct err *err)
{
    struct value_now name, password = {.held = NULL};
    struct buf login = {0};
    bool ok = profile_value_take(&p->username, &name, err) && profile_value_take(&p->password, &password, err);
    if (ok && (name.text.p || password.text.p)) {
        buf_printf(&login, "%.*s:%.*s", STR_ARG(name.text), STR_ARG(password.text));
        buf_printf(line, "%s: Basic ", p->login_header);
        base64_add(line, buf_str(&login));
        buf_add_char(line, '\n');
    }
    buf_free(&login);
    value_now_release(&name);
    value_now_release(&password);
    return ok;
}

static bool format_signature(const struct client_profile *p, const struct client_request *req, struct buf *lines,
                             struct err *err)
{
    struct sigv4_key key = {.service = str_of(p->sigv4_service)};
    struct buf held = {0};
    bool ok = aws_credentials_read(p->token, &key, &held, err);
    if (ok)
        sigv4_add_lines(&key, str_of(req->method), str_of(req->url), req->host ? str_of(req->host) : STR(""), req->body,
                        clock_wall_ms() / 1000, lines);
    buf_free(&held);
    return ok;
}

static bool format_token(const struct client_profile *p, const struct client_request *req, struct buf *line,
                         struct err *err)
{
    if (p->token == NULL)
        return true;
    if (p->sigv4_service)
        return format_signature(p, req, line, err);
    buf_add_z(line, "Authorization: ");
    bool ok = token_read(p->token, line, err);
    buf_add_char(line, '\n');
    return ok;
}

bool client_profile_lines(const struct client_profile *p, const struct client_request *req, struct buf *out,
                          struct err *err)
{
    if (p == NULL)
        return true;
    for (size_t i = 0; i < p->n_headers; i++)
        buf_printf(out, "%s\n", p->headers[i]);
    if (!format_basic_auth(p, out, err) || !format_credentials(p, out, err) ||
        !format_token(p, req, out, err))
        return false;
    for (size_t i = 0; i < p->n_header_files; i++)
        if (!format_header_file(&p->header_files[i], out, err))
            return false;
    return true;
}

/* Credentials are headers here, too: after a redirect to another host, client_call.c leaves the profile's headers out. */
static bool apply_lines(const struct client_profile *p, const struct client_request *req, struct curl_slist **headers,
                        struct err *err)
{
    struct buf lines = {0};
    bool ok = client_profile_lines(p, req, &lines, err);
    struct str rest = buf_str(&lines), line;
    while (ok && rest.n > 0 && str_cut(&rest, '\n', &line)) {
        lines.p[(size_t)(line.p - lines.p) + line.n] = 0; /* the line feed */
        client_line_add(headers, line.p);
    }
    buf_free(&lines);
    return ok;
}

struct token_source *client_profile_token(const struct client_profile *p) { return p ? p->token : NULL; }

bool client_profile_follows_redirects(const struct client_profile *p) { return p == NULL || !p->no_follow_redirects; }

/* ---- hiding them ---- */

static void list_secrets(const struct client_profile *p, struct secrets *list)
{
    struct value_now name, password, credentials, header;
    (void)!profile_value_take(&p->username, &name, NULL);
    (void)!profile_value_take(&p->password, &password, NULL);
    (void)!profile_value_take(&p->credentials, &credentials, NULL);
    secrets_add_login(list, name.text, password.text);
    secrets_add(list, credentials.text);
    value_now_release(&name);
    value_now_release(&password);
    value_now_release(&credentials);
    for (size_t i = 0; i < p->n_headers; i++)
        secrets_add_header(list, str_of(p->headers[i]));
    for (size_t i = 0; i < p->n_header_files; i++) {
        (void)!profile_value_take(&p->header_files[i].value, &header, NULL);
        secrets_add(list, header.text);
        value_now_release(&header);
    }
    for (size_t i = 0; i < p->n_proxy_headers; i++)
        secrets_add_header(list, str_of(p->proxy_headers[i]));
    secrets_add_url(list, str_of(p->proxy_url));
    if (p->proxy)
        list_secrets(p->proxy, list);
    if (p->token)
        token_source_secrets(p->token, list);
}

void client_hide_secrets(struct client_profile *p, struct str url, struct str text, struct buf *out)
{
    struct secrets list = {0};
    secrets_add_url(&list, url);
    if (p)
        list_secrets(p, &list);
    secrets_hide(&list, text, out);
    secrets_free(&list);
}

void client_hide_secrets_in(struct client_profile *p, struct str url, char *text, size_t size)
{
    struct buf shown = {0};
    client_hide_secrets(p, url, str_of(text), &shown);
    snprintf(text, size, "%s", buf_z(&shown));
    buf_free(&shown);
}

/* ---- TLS ---- */

static void set_text(CURL *easy, CURLoption option, const char *text)
{
    if (text)
        curl_easy_setopt(easy, option, text);
}

/* curl reads the bytes until the request has ended. */
static bool apply_pem(const struct profile_value *v, CURL *easy, CURLoption option, struct file_text **held,
                      struct err *err)
{
    struct value_now now;
    if (!profile_value_take(v, &now, err))
        return false;
    struct curl_blob blob = {.data = (char *)now.text.p, .len = now.text.n, .flags = CURL_BLOB_NOCOPY};
    if (now.text.p)
        curl_easy_setopt(easy, option, &blob);
    *held = now.held;
    return true;
}

/* curl's options for the TLS of a server, and of a proxy. */
struct tls_options { CURLoption version, ciphers, verify_peer, verify_host, ca_path, ca, cert, key; };
static const struct tls_options server_tls = {
    CURLOPT_SSLVERSION, CURLOPT_SSL_CIPHER_LIST, CURLOPT_SSL_VERIFYPEER, CURLOPT_SSL_VERIFYHOST, CURLOPT_CAPATH,
    CURLOPT_CAINFO_BLOB, CURLOPT_SSLCERT_BLOB, CURLOPT_SSLKEY_BLOB};
static const struct tls_options proxy_tls = {
    CURLOPT_PROXY_SSLVERSION, CURLOPT_PROXY_SSL_CIPHER_LIST, CURLOPT_PROXY_SSL_VERIFYPEER, CURLOPT_PROXY_SSL_VERIFYHOST,
    CURLOPT_PROXY_CAPATH, CURLOPT_PROXY_CAINFO_BLOB, CURLOPT_PROXY_SSLCERT_BLOB, CURLOPT_PROXY_SSLKEY_BLOB};

/* Without CAPATH: curl would search the system's directory for authorities at each handshake, even if others are
 * configured, and would not cache the contents of the system's file. */
static bool apply_tls(const struct client_profile *p, CURL *easy, const struct tls_options *o,
                      struct file_text *files[3], struct err *err)
{
    curl_easy_setopt(easy, o->version, p->versions.option);
    if (p->versions.min < CURL_SSLVERSION_TLSv1_2) /* their signatures with SHA-1 are forbidden from OpenSSL's level 1 on */
        curl_easy_setopt(easy, o->ciphers, "DEFAULT:@SECLEVEL=0");
    curl_easy_setopt(easy, o->verify_peer, p->insecure_skip_verify ? 0L : 1L);
    curl_easy_setopt(easy, o->verify_host, p->insecure_skip_verify ? 0L : 2L);
    curl_easy_setopt(easy, o->ca_path, NULL);
    return apply_pem(&p->ca, easy, o->ca, &files[0], err) && apply_pem(&p->cert, easy, o->cert, &files[1], err)
           && apply_pem(&p->key, easy, o->key, &files[2], err);
}

void client_profile_release(struct client_profile_hold *hold)
{
    for (size_t i = 0; i < LEN(hold->files); i++) {
        file_text_unref(hold->files[i]);
        file_text_unref(hold->proxy_files[i]);
    }
    client_lines_free(hold->connect_to);
    client_lines_free(hold->proxy_headers);
    *hold = (struct client_profile_hold){0};
}

/* Puts server_name in the URL and leads the connection to the URL's own host; see above. */
static bool apply_server_name(const struct client_profile *p, CURL *easy, const char *url, struct curl_slist **headers,
                              struct curl_slist **connect_to, struct err *err)
{
    CURLU *u = curl_url();
    char *host = NULL, *port = NULL, *changed = NULL;
    bool ok = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK
              && curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK
              && curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK
              && curl_url_set(u, CURLUPART_HOST, p->server_name, 0) == CURLUE_OK
              && curl_url_get(u, CURLUPART_URL, &changed, 0) == CURLUE_OK;
    if (ok) {
        struct buf line = {0};
        buf_printf(&line, "%s:%s:%s:%s", p->server_name, port, host, port);
        client_line_add(connect_to, buf_z(&line));
        buf_clear(&line);
        buf_printf(&line, "Host: %s:%s", host, port);
        if (p->sigv4_service == NULL) /* it is among the lines with the signature */
            client_line_add(headers, buf_z(&line));
        buf_free(&line);
        curl_easy_setopt(easy, CURLOPT_URL, changed);
        curl_easy_setopt(easy, CURLOPT_CONNECT_TO, *connect_to);
    } else
        err_set(err, ERR_BAD_DATA, "server_name \"%s\" cannot be used with this URL", p->server_name);
    curl_free(host);
    curl_free(port);
    curl_free(changed);
    curl_url_cleanup(u);
    return ok;
}

/* libcurl sends the headers with CONNECT, or with a request that the proxy forwards. */
static bool apply_proxy(const struct client_profile *p, CURL *easy, const struct client_request *req,
                        struct client_profile_hold *hold, struct err *err)
{
    for (size_t i = 0; i < p->n_proxy_headers; i++)
        client_line_add(&hold->proxy_headers, p->proxy_headers[i]);
    if (p->proxy && (!apply_tls(p->proxy, easy, &proxy_tls, hold->proxy_files, err) ||
                     !apply_lines(p->proxy, req, &hold->proxy_headers, err)))
        return err_wrap(err, "proxy");
    if (hold->proxy_headers)
        curl_easy_setopt(easy, CURLOPT_PROXYHEADER, hold->proxy_headers);
    return true;
}

bool client_profile_apply(struct client_profile *p, void *easy, const struct client_request *req,
                          struct curl_slist **headers, struct client_profile_hold *hold, struct err *err)
{
    static struct client_profile defaults = {.versions = {CURL_SSLVERSION_TLSv1_2, CURL_SSLVERSION_TLSv1_2}};
    if (p == NULL)
        p = &defaults;
    if (!apply_tls(p, easy, &server_tls, hold->files, err))
        return false;
    if (!p->proxy_from_environment || p->proxy_url)
        curl_easy_setopt(easy, CURLOPT_PROXY, p->proxy_url ? p->proxy_url : "");
    set_text(easy, CURLOPT_NOPROXY, p->no_proxy);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, p->no_follow_redirects ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)MOST_REDIRECTS);
    if (!apply_proxy(p, easy, req, hold, err))
        return false;
    if (p->server_name && strncmp(req->url, "https:", 6) == 0
        && !apply_server_name(p, easy, req->url, headers, &hold->connect_to, err))
        return false;
    return apply_lines(p, req, headers, err);
}

/* ---- proxies ---- */

/* As libcurl chooses: the lower case name wins, and HTTP_PROXY in upper case is none of them (CGI has it from headers).
 * */
static const char *proxy_of_environment(const char *url)
{
    bool tls = strncasecmp(url, "https:", 6) == 0;
    const char *const names[] = {tls ? "https_proxy" : "http_proxy", tls ? "HTTPS_PROXY" : "", "all_proxy",
                                 "ALL_PROXY"};
    for (size_t i = 0; i < LEN(names); i++) {
        const char *value = names[i][0] ? getenv(names[i]) : NULL;
        if (value && *value)
            return value;
    }
    return NULL;
}

const char *client_profile_proxy(const struct client_profile *p, const char *url)
{
    if (p == NULL || p->proxy_url)
        return p ? p->proxy_url : NULL;
    return p->proxy_from_environment ? proxy_of_environment(url) : NULL;
}

bool client_profile_has_server_name(const struct client_profile *p, const char *url)
{
    struct url u;
    return p && p->server_name && url_parse(str_of(url), &u, NULL) && str_ieq(u.host, str_of(p->server_name));
}
