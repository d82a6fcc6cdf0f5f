// SPDX-License-Identifier: Apache-2.0
#include "gateway/config/access.h"

#include "base/hash.h"
#include "gateway/config/web_conf.h"
#include "gateway/http/http_auth.h"
#include "gateway/http/http_tls.h"

#include <stdio.h>

static const char too_large[] = "the web configuration exceeds 16 MiB of memory";
enum { ACCESS_MEMORY = 16 << 20 };

struct access_loader {
    const struct access_source *source;
    struct access_set *set;
    struct conf_context conf;
    struct web_conf web;           /* of the file */
    const struct yaml *document;   /* NULL: no file */
    struct err *err;
};

/* ---- files ---- */

uint64_t access_text_hash(struct str text) { return hash_keyed(text.p, text.n); }

static void access_note_file(struct access_set *set, const char *path, struct str text)
{
    for (size_t i = 0; i < set->n_files; i++)
        if (strcmp(set->files[i].path, path) == 0)
            return;
    if (set->n_files < ACCESS_FILES_MAX)
        set->files[set->n_files++] = (struct access_file){mem_strdup(path), access_text_hash(text)};
}

/* The text in the arena; {NULL,0} with an error. */
static struct str access_read(struct access_loader *l, struct str path)
{
    struct buf text = {0};
    const char *z = arena_z(l->conf.arena, path);
    if (z == NULL || !l->source->read(l->source->arg, z, &text, l->err)) {
        buf_free(&text);
        return STR_NONE;
    }
    access_note_file(l->set, z, buf_str(&text));
    struct str s = arena_str(l->conf.arena, buf_str(&text));
    if (text.p)
        explicit_bzero(text.p, text.n);
    buf_free(&text);
    if (s.p == NULL)
        err_set(l->err, ERR_LIMIT, "%s", too_large);
    return s;
}

static bool access_parse_file(struct access_loader *l)
{
    struct str path = l->source->flags->web_config_file, text;
    const char *name = arena_z(l->conf.arena, path), *slash = strrchr(name, '/');
    if (path.n == 0)
        return true;
    l->conf.file = name;
    l->conf.dir = slash ? str_n(name, slash == name ? 1 : (size_t)(slash - name)) : STR_NONE;
    if ((text = access_read(l, path)).p == NULL)
        return err_wrap(l->err, "--web.config.file");
    l->document = yaml_parse(l->conf.arena, text, name, l->err);
    return l->document && conf_load(&l->conf, &web_section, l->document, &l->web, l->err);
}

/* ---- TLS by a section ---- */

/* The error of a key, at its line; keys whose text is in a file are called KEY_file. */
static bool access_key_error(struct access_loader *l, const struct yaml *section, const char *key)
{
    char file_key[64];
    struct err why = *l->err;
    snprintf(file_key, sizeof file_key, "%s_file", key);
    const struct yaml *node = yaml_get(section, key), *file = yaml_get(section, file_key);
    const char *name = node == NULL && file ? file_key : key;
    node = node ? node : file;
    if (node == NULL)
        return err_wrap(l->err, "tls_server_config.%s", name);
    if (file && file->kind == YAML_SCALAR)
        return conf_err(node, l->err, "tls_server_config.%s: %.*s: %s", name, STR_ARG(file->text), why.text);
    return conf_err(node, l->err, "tls_server_config.%s: %s", name, why.text);
}

static bool access_read_key(struct access_loader *l, const struct yaml *section, const char *key, struct str text,
                            struct str path, struct str *out)
{
    *out = text;
    if (text.n > 0 || path.n == 0)
        return true;
    *out = access_read(l, path);
    if (out->p)
        return true;
    struct err why = *l->err;
    const struct yaml *node = yaml_get(section, key);
    return node ? conf_err(node, l->err, "tls_server_config.%s: %s", key, why.text)
                : err_wrap(l->err, "tls_server_config.%s", key);
}

/* section: where it was written; NULL: not known. */
static bool access_section_tls(struct access_loader *l, const struct tls_server_conf *t, const struct yaml *section,
                               struct http_tls **out)
{
    struct http_tls_conf c = {
        .client_auth = t->client_auth_type == REQUIRE_CLIENT_CERT ? HTTP_CLIENT_REQUIRE_ANY
                                                                  : (enum http_client_auth)t->client_auth_type,
        .client_allowed_sans = t->client_allowed_sans, .min_version = (enum http_tls_version)t->min_version,
        .max_version = (enum http_tls_version)t->max_version, .cipher_suites = t->cipher_suites,
        .curves = t->curve_preferences, .client_order = !t->prefer_server_cipher_suites};
    const char *key = NULL;
    if (!access_read_key(l, section, "cert_file", t->cert, t->cert_file, &c.cert) ||
        !access_read_key(l, section, "key_file", t->key, t->key_file, &c.key) ||
        !access_read_key(l, section, "client_ca_file", t->client_ca, t->client_ca_file, &c.client_ca))
        return false;
    *out = http_tls_new(&c, &key, l->err);
    return *out || access_key_error(l, section, key);
}

/* A section without a certificate is empty (web_conf.c). */
static bool tls_server_is_set(const struct tls_server_conf *t) { return t && (t->cert.n > 0 || t->cert_file.n > 0); }

/* ---- TLS by flags ---- */

static bool access_flag_bool(struct access_loader *l, const char *flag, struct str text, bool *out)
{
    const struct conf_row row = {.type = CONF_BOOL, .name = flag};
    return text.n == 0 || conf_scalar(&l->conf, &row, text, out, l->err) || err_wrap(l->err, "--%s", flag);
}

static bool access_flag_file(struct access_loader *l, const char *flag, struct str path, struct str *out)
{
    if (path.n == 0)
        return err_set(l->err, ERR_BAD_DATA, "--%s: is required with --%s", flag,
                       strcmp(flag, "mtlsCAFile") == 0 ? "mtls" : "tls");
    *out = access_read(l, path);
    return out->p || err_wrap(l->err, "--%s", flag);
}

static bool access_flag_version(struct access_loader *l, struct str text, enum http_tls_version *out)
{
    static const char *const names[] = {"TLS10", "TLS11", "TLS12", "TLS13"};
    for (size_t i = 0; i < LEN(names); i++)
        if (str_ieq(text, str_of(names[i]))) {
            *out = (enum http_tls_version)i;
            return true;
        }
    return text.n == 0 || err_set(l->err, ERR_BAD_DATA, "--tlsMinVersion: \"%.*s\" is none of TLS10, TLS11, TLS12, TLS13",
                                  STR_ARG(text));
}

static bool access_flags_tls(struct access_loader *l, size_t i, struct http_tls **out)
{
    static const struct { const char *key, *flag; } flags[] = {
        {"cert", "tlsCertFile"}, {"key", "tlsKeyFile"}, {"client_ca", "mtlsCAFile"}, {"cipher_suites", "tlsCipherSuites"},
        {"max_version", "tlsMinVersion"}};
    const struct listen_flags *f = &l->source->flags->listener;
    struct http_tls_conf c = {.min_version = HTTP_TLS12, .max_version = HTTP_TLS13, .cipher_suites = f->tls_cipher_suites};
    bool tls = false, mtls = false;
    const char *key = NULL;
    if (!access_flag_bool(l, "tls", flags_item(&f->tls, i), &tls) ||
        !access_flag_bool(l, "mtls", flags_item(&f->mtls, i), &mtls))
        return false;
    if (!tls)
        return !mtls || err_set(l->err, ERR_BAD_DATA, "--mtls: requires --tls");
    if (!access_flag_file(l, "tlsCertFile", flags_item(&f->tls_cert_file, i), &c.cert) ||
        !access_flag_file(l, "tlsKeyFile", flags_item(&f->tls_key_file, i), &c.key) ||
        (mtls && !access_flag_file(l, "mtlsCAFile", flags_item(&f->mtls_ca_file, i), &c.client_ca)) ||
        !access_flag_version(l, flags_item(&f->tls_min_version, i), &c.min_version))
        return false;
    c.client_auth = mtls ? HTTP_CLIENT_VERIFY : HTTP_CLIENT_NONE;
    *out = http_tls_new(&c, &key, l->err);
    for (size_t k = 0; *out == NULL && k < LEN(flags); k++)
        if (strcmp(key, flags[k].key) == 0)
            return err_wrap(l->err, "--%s", flags[k].flag);
    return *out != NULL;
}

/* ---- users and headers ---- */

/* The password itself, or as in vmagent where to read it: file:///absolute, file://./relative, an http(s) URL. */
static bool access_flag_password(struct access_loader *l, struct str *out)
{
    struct str given = l->source->flags->listener.auth_password, path;
    *out = given;
    if (!auth_key_elsewhere(given, &path))
        return true;
    *out = access_read(l, path);
    if (out->p == NULL)
        return err_wrap(l->err, "--httpAuth.password");
    while (out->n > 0 && strchr(" \t\r\n", out->p[out->n - 1]))
        out->n--;
    return out->n > 0 || err_set(l->err, ERR_BAD_DATA, "--httpAuth.password: the file or URL is empty");
}

/* Classes of routes that have a list of users without this one. */
static unsigned access_denied(const struct web_conf *web, struct str name)
{
    unsigned denied = 0;
    for (unsigned i = 0; i < ROUTE_CLASSES; i++) {
        const struct route_class_conf *c = web->route_classes.of[i];
        bool listed = false;
        for (size_t k = 0; c && k < c->users.n; k++)
            listed = listed || str_eq(c->users.items[k], name);
        if (c && c->users.n > 0 && !listed)
            denied |= 1u << i;
    }
    return denied;
}

static bool access_users(struct access_loader *l, struct http_users **out)
{
    const struct listen_flags *f = &l->source->flags->listener;
    const struct str_map *map = &l->web.basic_auth_users;
    struct http_user *users = ARENA_ARRAY(l->conf.arena, struct http_user, map->n + 1);
    struct str password;
    size_t n = 0;
    if (users == NULL)
        return err_set(l->err, ERR_LIMIT, "%s", too_large);
    for (; n < map->n; n++)
        users[n] = (struct http_user){map->keys[n], map->values[n], true, access_denied(&l->web, map->keys[n])};
    if (f->auth_username.n == 0 && f->auth_password.n > 0)
        return err_set(l->err, ERR_BAD_DATA, "--httpAuth.password: requires --httpAuth.username");
    if (f->auth_username.n > 0 && f->auth_password.n == 0)
        return err_set(l->err, ERR_BAD_DATA, "--httpAuth.username: requires --httpAuth.password");
    if (f->auth_username.n > 0) {
        if (!access_flag_password(l, &password))
            return false;
        users[n++] = (struct http_user){f->auth_username, password, false, 0};
    }
    *out = n > 0 ? http_users_new(users, n, map->n == 0) : NULL;
    unsigned open = 0;
    for (unsigned i = 0; i < ROUTE_CLASSES; i++)
        open |= l->web.route_classes.of[i] && l->web.route_classes.of[i]->open ? 1u << i : 0;
    if (*out)
        http_users_open(*out, open);
    return true;
}

static size_t access_headers(const struct access_loader *l, struct access_header *out, size_t most)
{
    const struct listen_flags *f = &l->source->flags->listener;
    const struct { const char *name; struct str value; } flags[] = {
        {"Content-Security-Policy", f->header_csp}, {"X-Frame-Options", f->header_frame_options},
        {"Strict-Transport-Security", f->header_hsts}};
    const struct str_map *map = &l->web.http.headers;
    size_t n = 0;
    for (size_t i = 0; i < map->n && n < most; i++)
        out[n++] = (struct access_header){(char *)(uintptr_t)map->keys[i].p, (char *)(uintptr_t)map->values[i].p};
    for (size_t i = 0; i < LEN(flags) && n < most; i++)
        if (flags[i].value.n > 0)
            out[n++] = (struct access_header){(char *)(uintptr_t)flags[i].name, (char *)(uintptr_t)flags[i].value.p};
    return n;
}

/* ---- listeners ---- */

/* NULL without an error: HTTP. `i`: position of the address among the flag's. */
static bool access_tls(struct access_loader *l, size_t i, struct http_tls **out)
{
    const struct tls_server_conf *promxy = l->source->tls;
    bool file = tls_server_is_set(l->web.tls), other = tls_server_is_set(promxy);
    *out = NULL;
    if (!access_flags_tls(l, i, out))
        return false;
    if (file + other + (*out != NULL) > 1) {
        http_tls_unref(*out);
        *out = NULL;
        return err_set(l->err, ERR_BAD_DATA, "TLS is set twice: use one of -tls, tls_server_config of --web.config.file and "
                       "tls_server_config of the configuration file");
    }
    if (file)
        return access_section_tls(l, l->web.tls, yaml_get(l->document, "tls_server_config"), out);
    return !other || access_section_tls(l, promxy, l->source->tls_node, out);
}

/* "query+page" of --web.listen-classes; 0: all. */
static bool access_classes(struct access_loader *l, struct str text, unsigned *out)
{
    struct str name;
    for (*out = 0; text.n > 0;) {
        unsigned i = 0;
        str_cut(&text, '+', &name);
        while (i < ROUTE_CLASSES && !str_is(name, route_class_names[i]))
            i++;
        if (i == ROUTE_CLASSES)
            return err_set(l->err, ERR_BAD_DATA, "--web.listen-classes: \"%.*s\" is none of query, push, admin, page, health; "
                           "join several with +", STR_ARG(name));
        *out |= 1u << i;
    }
    return true;
}

static bool access_add(struct access_loader *l, size_t i, struct http_users *users)
{
    struct access_header headers[8];
    struct http_tls *tls;
    unsigned classes;
    if (!access_flag_bool(l, "httpListenAddr.useProxyProtocol", flags_item(&l->source->flags->listener.use_proxy_protocol, i),
                          &l->set->proxied[l->set->n]) ||
        !access_classes(l, flags_item(&l->source->flags->listener.classes, i), &classes) || !access_tls(l, i, &tls))
        return false;
    size_t n = access_headers(l, headers, LEN(headers));
    const struct rate_limit_conf *rate = &l->web.rate_limit;
    struct http_access *a = NULL;
    if (tls || users || n > 0 || rate->interval > 0 || classes > 0) {
        a = http_access_new(tls, users ? http_users_ref(users) : NULL, headers, n);
        a->classes = classes;
        a->rate = (struct http_rate){.interval = rate->interval, .burst = rate->burst};
    }
    l->set->of[l->set->n++] = a;
    return true;
}

static bool access_add_all(struct access_loader *l)
{
    const struct str_list *addresses = &l->source->flags->listen;
    struct http_users *users = NULL;
    bool ok = access_users(l, &users);
    for (size_t i = 0; ok && i < addresses->n && l->set->n < LISTENERS_MAX; i++)
        if (addresses->items[i].n > 0)
            ok = access_add(l, i, users);
    http_users_unref(users);
    return ok;
}

static void access_warn(void *arg UNUSED, const char *text UNUSED) {} /* all its mistakes are errors */
static void access_ignore(void *arg UNUSED, const char *key UNUSED) {}

struct access_set *access_load(const struct access_source *source, struct err *err)
{
    struct arena arena;
    struct access_loader l = {.source = source, .set = mem_zalloc(sizeof *l.set), .err = err};
    refs_init(&l.set->refs);
    arena_init(&arena, ACCESS_MEMORY);
    l.conf = (struct conf_context){.arena = &arena, .file = "the flags", .warn = access_warn, .ignored = access_ignore,
                                   .accept_inert = &source->flags->accept_inert, .errors = source->errors,
                                   .strict = source->flags->strict};
    bool ok = access_parse_file(&l) && access_add_all(&l);
    arena_free(&arena);
    if (ok)
        return l.set;
    access_set_unref(l.set);
    return NULL;
}

struct access_set *access_set_ref(struct access_set *a)
{
    refs_take(&a->refs);
    return a;
}

void access_set_unref(struct access_set *a)
{
    if (a == NULL || !refs_drop(&a->refs))
        return;
    for (size_t i = 0; i < a->n; i++)
        http_access_unref(a->of[i]);
    for (size_t i = 0; i < a->n_files; i++)
        mem_free(a->files[i].path);
    mem_free(a);
}
