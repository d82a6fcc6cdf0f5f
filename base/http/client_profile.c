// SPDX-License-Identifier: Apache-2.0
/* A profile never changes but for its files with secrets (credentials, header values): each is looked at no more than
 * once a second, and read again when its time, size or inode changed. Lanes share profiles, so a profile that has such
 * files has a mutex for them; the others are read without one.
 *
 * curl has no option for the name in the TLS handshake. For tls server_name the URL's host is replaced by that name (so
 * it is what is sent and verified), CONNECT_TO leads the connection to the real host, and Host: says the real one.
 */
#include "base/http/client_profile.h"

#include "base/text/secrets.h"
#include "base/os/thread.h"
#include "base/text/duration.h"
#include "base/text/url.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

enum { SECRET_MAX = 64 << 10, FILE_CHECK_MS = 1000, MOST_REDIRECTS = 10 };

struct secret { /* a value that is given, or read from a file */
    char *text; /* NULL: none, or not read yet */
    char *file;
    int64_t looked; /* monotonic ms of the last look at the file; 0 = never */
    struct stat seen;
};

struct header_file { char *name; struct secret value; };

struct client_profile {
    atomic_uint refs;
    struct mutex mutex; /* guards the secrets */
    struct secret username, password, credentials;
    char *auth_type;
    char *ca, *ca_file, *cert, *cert_file, *key, *key_file, *server_name, *proxy_url, *no_proxy;
    bool insecure_skip_verify, proxy_from_environment, no_follow_redirects;
    long ssl_version;
    char **headers;
    size_t n_headers;
    struct header_file *header_files;
    size_t n_header_files;
};

/* ---- making ---- */

static char *profile_copy_text(const char *s) { return s && *s ? mem_strdup(s) : NULL; }

static bool parse_version(const char *text, long *version, struct err *err)
{
    static const struct {
        const char *name;
        long version;
    } known[] = {{"TLS10", CURL_SSLVERSION_TLSv1_0}, {"TLS11", CURL_SSLVERSION_TLSv1_1},
                 {"TLS12", CURL_SSLVERSION_TLSv1_2}, {"TLS13", CURL_SSLVERSION_TLSv1_3}};
    *version = CURL_SSLVERSION_TLSv1_2;
    if (text == NULL || *text == 0)
        return true;
    for (size_t i = 0; i < LEN(known); i++)
        if (strcmp(text, known[i].name) == 0) {
            *version = known[i].version;
            return true;
        }
    return err_set(err, ERR_BAD_DATA, "min_version: \"%s\" is none of TLS10, TLS11, TLS12, TLS13", text);
}

/* The value is a secret: only what is before a space or an equals sign, the probable name, is shown. */
static bool check_header(const char *line, struct err *err)
{
    struct str rest = str_of(line), name;
    if (!str_cut(&rest, ':', &name) || rest.p == NULL || name.n == 0 || strpbrk(line, "\r\n")) {
        size_t n = strcspn(line, ":= \t\r\n");
        return err_set(err, ERR_BAD_DATA, "headers: \"%.*s%s<secret>\" is not of the form \"Name: value\"",
                       line[n] ? (int)n : 0, line, line[n] == ':' ? ":" : line[n] ? " " : "");
    }
    return true;
}

/* What becomes part of a header line. A text block of YAML ends in a line break, which would end the whole head
 * early. The value is a secret: it is not shown. */
static bool check_word(const char *key, const char *text, struct err *err)
{
    for (; text && *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return err_set(err, ERR_BAD_DATA, "%s: a line break or another control character is in it", key);
    return true;
}

static bool check_words(const struct client_profile_conf *c, struct err *err)
{
    const struct { const char *key, *text; } words[] = {
        {"basic_auth username", c->username}, {"basic_auth password", c->password},
        {"authorization type", c->auth_type}, {"credentials or bearer_token", c->credentials},
        {"proxy_url", c->proxy_url}};
    for (size_t i = 0; i < LEN(words); i++)
        if (!check_word(words[i].key, words[i].text, err))
            return false;
    for (size_t i = 0; i < c->n_headers; i++)
        if (!check_header(c->headers[i], err))
            return false;
    for (size_t i = 0; i < c->n_header_files; i++)
        if (c->header_files[i].name[0] == 0 || strpbrk(c->header_files[i].name, ": \t\r\n"))
            return err_set(err, ERR_BAD_DATA, "http_headers: the name of the header with the file %s is invalid",
                           c->header_files[i].path);
    return true;
}

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

struct client_profile *client_profile_new(const struct client_profile_conf *c, struct err *err)
{
    long version;
    if (!parse_version(c->min_version, &version, err) || !check_words(c, err))
        return NULL;
    struct client_profile *p = mem_zalloc(sizeof *p);
    atomic_init(&p->refs, 1);
    mutex_init(&p->mutex, RANK_PROFILE);
    p->username = (struct secret){.text = profile_copy_text(c->username), .file = profile_copy_text(c->username_file)};
    p->password = (struct secret){.text = profile_copy_text(c->password), .file = profile_copy_text(c->password_file)};
    p->credentials = (struct secret){.text = profile_copy_text(c->credentials),
                                     .file = profile_copy_text(c->credentials_file)};
    p->auth_type = mem_strdup(c->auth_type && *c->auth_type ? c->auth_type : "Bearer");
    p->ca = profile_copy_text(c->ca);
    p->ca_file = profile_copy_text(c->ca_file);
    p->cert = profile_copy_text(c->cert);
    p->cert_file = profile_copy_text(c->cert_file);
    p->key = profile_copy_text(c->key);
    p->key_file = profile_copy_text(c->key_file);
    p->server_name = profile_copy_text(c->server_name);
    p->proxy_url = copy_proxy(c->proxy_url);
    p->no_proxy = profile_copy_text(c->no_proxy);
    p->insecure_skip_verify = c->insecure_skip_verify;
    p->proxy_from_environment = c->proxy_from_environment;
    p->no_follow_redirects = c->no_follow_redirects;
    p->ssl_version = version;
    p->headers = mem_zalloc(c->n_headers * sizeof *p->headers);
    for (; p->n_headers < c->n_headers; p->n_headers++)
        p->headers[p->n_headers] = mem_strdup(c->headers[p->n_headers]);
    p->header_files = mem_zalloc(c->n_header_files * sizeof *p->header_files);
    for (; p->n_header_files < c->n_header_files; p->n_header_files++) {
        const struct client_header_file *from = &c->header_files[p->n_header_files];
        p->header_files[p->n_header_files] = (struct header_file){mem_strdup(from->name),
                                                                  {.file = profile_copy_text(from->path)}};
    }
    return p;
}

struct client_profile *client_profile_ref(struct client_profile *p)
{
    if (p)
        atomic_fetch_add(&p->refs, 1);
    return p;
}

void client_profile_unref(struct client_profile *p)
{
    if (p == NULL || atomic_fetch_sub(&p->refs, 1) > 1)
        return;
    char *texts[] = {p->username.text,    p->username.file,    p->password.text, p->password.file, p->credentials.text,
                     p->credentials.file, p->auth_type,        p->ca,            p->ca_file,       p->cert,
                     p->cert_file,        p->key,              p->key_file,      p->server_name,   p->proxy_url,
                     p->no_proxy};
    for (size_t i = 0; i < LEN(texts); i++)
        mem_free(texts[i]);
    for (size_t i = 0; i < p->n_headers; i++)
        mem_free(p->headers[i]);
    mem_free(p->headers);
    for (size_t i = 0; i < p->n_header_files; i++) {
        mem_free(p->header_files[i].name);
        mem_free(p->header_files[i].value.text);
        mem_free(p->header_files[i].value.file);
    }
    mem_free(p->header_files);
    mutex_free(&p->mutex);
    mem_free(p);
}

/* ---- secrets ---- */

static bool profile_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec
           && a->st_size == b->st_size && a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* Takes the file's text without white space at its ends. A line break within would end a header, so it is refused. */
static bool read_secret(struct secret *s, struct err *err)
{
    char bytes[4096];
    struct buf all = {.max = SECRET_MAX};
    FILE *f = fopen(s->file, "re");
    if (f == NULL)
        return err_set(err, ERR_BAD_GATEWAY, "cannot read %s: %s", s->file, strerror(errno));
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, f)) > 0;)
        buf_add(&all, bytes, n);
    bool ok = !ferror(f) && !all.over;
    fclose(f);
    struct str text = str_trim(buf_str(&all));
    if (!ok)
        err_set(err, ERR_BAD_GATEWAY, "%s cannot be read or is over %d bytes", s->file, SECRET_MAX);
    else if (str_find(text, '\n') < text.n || str_find(text, '\r') < text.n || str_find(text, 0) < text.n) {
        ok = false;
        err_set(err, ERR_BAD_GATEWAY, "%s has more than one line, or a NUL byte", s->file);
    } else {
        mem_free(s->text);
        s->text = str_dup(text);
    }
    buf_free(&all);
    return ok;
}

static bool refresh(struct secret *s, struct err *err)
{
    int64_t now = clock_mono_ms();
    if (s->file == NULL || (s->looked && s->text && now - s->looked < FILE_CHECK_MS))
        return true;
    struct stat st;
    if (stat(s->file, &st) < 0)
        return err_set(err, ERR_BAD_GATEWAY, "cannot read %s: %s", s->file, strerror(errno));
    if (!S_ISREG(st.st_mode)) /* a pipe would hold the lane */
        return err_set(err, ERR_BAD_GATEWAY, "cannot read %s: it is not a plain file", s->file);
    if ((s->text == NULL || !profile_same_file(&st, &s->seen)) && !read_secret(s, err))
        return false;
    s->seen = st;
    s->looked = now;
    return true;
}

void client_header_add(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer)
        *list = longer;
}

/* curl takes "Name:" without a value as an order to send no such header; with a semicolon it sends it empty. */
static void add_header_file(const struct header_file *h, struct curl_slist **headers)
{
    struct buf line = {0};
    if (h->value.text[0])
        buf_printf(&line, "%s: %s", h->name, h->value.text);
    else
        buf_printf(&line, "%s;", h->name);
    client_header_add(headers, buf_z(&line));
    buf_free(&line);
}

static bool apply_secrets(struct client_profile *p, CURL *easy, struct curl_slist **headers, struct err *err)
{
    if (!refresh(&p->username, err) || !refresh(&p->password, err) || !refresh(&p->credentials, err))
        return false;
    if (p->username.text || p->password.text) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(easy, CURLOPT_USERNAME, p->username.text ? p->username.text : "");
        curl_easy_setopt(easy, CURLOPT_PASSWORD, p->password.text ? p->password.text : "");
    }
    if (p->credentials.text) { /* curl keeps an Authorization header from another host after a redirect */
        struct buf line = {0};
        buf_printf(&line, "Authorization: %s %s", p->auth_type, p->credentials.text);
        client_header_add(headers, buf_z(&line));
        buf_free(&line);
    }
    for (size_t i = 0; i < p->n_header_files; i++) {
        if (!refresh(&p->header_files[i].value, err))
            return false;
        add_header_file(&p->header_files[i], headers);
    }
    return true;
}

static bool has_files(const struct client_profile *p)
{
    return p->username.file || p->password.file || p->credentials.file || p->n_header_files > 0;
}

static bool apply_auth(struct client_profile *p, CURL *easy, struct curl_slist **headers, struct err *err)
{
    bool shared = has_files(p);
    if (shared)
        mutex_lock(&p->mutex);
    bool ok = apply_secrets(p, easy, headers, err);
    if (shared)
        mutex_unlock(&p->mutex);
    return ok;
}

/* ---- hiding them ---- */

static void list_secrets(const struct client_profile *p, struct secrets *list)
{
    secrets_add_login(list, str_of(p->username.text), str_of(p->password.text));
    secrets_add(list, str_of(p->credentials.text));
    for (size_t i = 0; i < p->n_headers; i++)
        secrets_add_header(list, str_of(p->headers[i]));
    for (size_t i = 0; i < p->n_header_files; i++)
        secrets_add(list, str_of(p->header_files[i].value.text));
    secrets_add_url(list, str_of(p->proxy_url));
}

void client_hide_secrets(struct client_profile *p, struct str url, struct str text, struct buf *out)
{
    struct secrets list = {0};
    secrets_add_url(&list, url);
    bool shared = p && has_files(p);
    if (shared)
        mutex_lock(&p->mutex);
    if (p)
        list_secrets(p, &list);
    if (shared)
        mutex_unlock(&p->mutex);
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

static void set_blob(CURL *easy, CURLoption option, char *text)
{
    struct curl_blob blob = {.data = text, .len = text ? strlen(text) : 0, .flags = CURL_BLOB_NOCOPY};
    if (text)
        curl_easy_setopt(easy, option, &blob);
}

static void set_text(CURL *easy, CURLoption option, const char *text)
{
    if (text)
        curl_easy_setopt(easy, option, text);
}

static void apply_tls(const struct client_profile *p, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, p->ssl_version);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, p->insecure_skip_verify ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, p->insecure_skip_verify ? 0L : 2L);
    set_text(easy, CURLOPT_CAINFO, p->ca_file);
    set_text(easy, CURLOPT_SSLCERT, p->cert_file);
    set_text(easy, CURLOPT_SSLKEY, p->key_file);
    set_blob(easy, CURLOPT_CAINFO_BLOB, p->ca);
    set_blob(easy, CURLOPT_SSLCERT_BLOB, p->cert);
    set_blob(easy, CURLOPT_SSLKEY_BLOB, p->key);
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
        client_header_add(connect_to, buf_z(&line));
        buf_clear(&line);
        buf_printf(&line, "Host: %s:%s", host, port);
        client_header_add(headers, buf_z(&line));
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

bool client_profile_apply(struct client_profile *p, void *easy, const char *url, struct curl_slist **headers,
                          struct curl_slist **connect_to, struct err *err)
{
    static struct client_profile defaults = {.ssl_version = CURL_SSLVERSION_TLSv1_2};
    if (p == NULL)
        p = &defaults;
    for (size_t i = 0; i < p->n_headers; i++)
        client_header_add(headers, p->headers[i]);
    apply_tls(p, easy);
    if (!p->proxy_from_environment || p->proxy_url)
        curl_easy_setopt(easy, CURLOPT_PROXY, p->proxy_url ? p->proxy_url : "");
    set_text(easy, CURLOPT_NOPROXY, p->no_proxy);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, p->no_follow_redirects ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)MOST_REDIRECTS);
    if (p->server_name && strncmp(url, "https:", 6) == 0 && !apply_server_name(p, easy, url, headers, connect_to, err))
        return false;
    return apply_auth(p, easy, headers, err);
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
