// SPDX-License-Identifier: Apache-2.0
/* Synchronizes the stored instances of a scraping service with a directory: reads all files first, so that an invalid
 * one changes nothing, then stores each of them, and deletes other instances with --prune. */
#include "gateway/cli/cli_config_sync.h"

#include "base/http/fetch.h"
#include "base/http/http_conf.h"
#include "base/json/json_tree.h"
#include "base/os/dir.h"
#include "base/os/file_read.h"
#include "base/text/url.h"
#include "gateway/agent/agent_conf.h"
#include "gateway/agent/instance_set.h"
#include "gateway/agent/instance_text.h"
#include "gateway/cli/cli_output.h"
#include "gateway/cli/line_diff.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char sync_usage[] =
    "sluice config-sync DIRECTORY [OPTIONS]  store the instances of *.yml and *.yaml in DIRECTORY, named as the\n"
    "                                        files, through the API of a sluice, or of a Grafana Agent, with the\n"
    "                                        scraping service\n"
    "  -a, --addr URL                        of it (default: http://localhost:12345)\n"
    "  -d, --dry-run                         change nothing; show what would be stored and deleted, and how it\n"
    "                                        differs\n"
    "  --prune                               delete the instances that are not in DIRECTORY\n"
    "  --allow-empty                         do so even if DIRECTORY has none\n"
    "  --username NAME                       for basic authentication\n"
    "  --password-file FILE                  its password\n"
    "  --bearer-token-file FILE              token instead\n"
    "  --auth-key-file FILE                  the key of -reloadAuthKey (and -configAuthKey)\n"
    "  --ca-file FILE, --cert-file FILE, --key-file FILE, --server-name NAME, --insecure-skip-verify\n"
    "                                        TLS of the connection\n";

enum { SYNC_RESPONSE_MAX = 64 << 20, SYNC_MS = 60000, SYNC_FILES_MOST = 100000 };

struct sync_file { struct str name, text; const struct yaml *node; };
struct config_sync {
    struct arena arena;
    const char *address, *directory, *auth_key_file;
    struct str auth_key;
    bool dry_run, prune, allow_empty;
    struct http_conf http;
    struct basic_auth_conf basic;
    struct client_profile *profile;
    struct sync_file *files; size_t n_files, cap_files;
    struct str *stored; size_t n_stored;
    size_t failed;
    struct buf out;
};

/* ---- arguments ---- */

static bool sync_is(const char *given, const char *name, const char *letter)
{
    return strcmp(given, name) == 0 || (letter && strcmp(given, letter) == 0);
}

static bool *sync_switch(struct config_sync *s, const char *name)
{
    return sync_is(name, "--dry-run", "-d") ? &s->dry_run : sync_is(name, "--prune", NULL) ? &s->prune
           : sync_is(name, "--allow-empty", NULL) ? &s->allow_empty
           : sync_is(name, "--insecure-skip-verify", NULL) ? &s->http.tls.insecure_skip_verify : NULL;
}

static bool sync_set_value(struct config_sync *s, const char *name, const char *value, struct err *err)
{
    const struct { const char *name; struct str *to; } values[] = {
        {"--username", &s->basic.username}, {"--password-file", &s->basic.password_file},
        {"--bearer-token-file", &s->http.bearer_token_file}, {"--ca-file", &s->http.tls.ca_file},
        {"--cert-file", &s->http.tls.cert_file}, {"--key-file", &s->http.tls.key_file},
        {"--server-name", &s->http.tls.server_name}};
    for (size_t i = 0; i < LEN(values); i++)
        if (strcmp(name, values[i].name) == 0) {
            *values[i].to = str_of(value);
            return true;
        }
    if (sync_is(name, "--addr", "-a"))
        s->address = value;
    else if (sync_is(name, "--auth-key-file", NULL))
        s->auth_key_file = value;
    else
        return err_set(err, ERR_BAD_DATA, "unknown option %s; see sluice config-sync --help", name);
    return true;
}

/* --name=value, or two words. */
static bool sync_read_option(struct config_sync *s, int argc, char **argv, int *i, struct err *err)
{
    char *equals = strchr(argv[*i], '=');
    const char *value = equals ? equals + 1 : NULL;
    if (equals)
        *equals = 0;
    bool *on = sync_switch(s, argv[*i]);
    if (on) {
        *on = value == NULL || strcmp(value, "false") != 0;
        return true;
    }
    const char *name = argv[*i];
    if (value == NULL && ++*i == argc)
        return err_set(err, ERR_BAD_DATA, "%s requires a value", name);
    return sync_set_value(s, name, value ? value : argv[*i], err);
}

static bool sync_read_auth_key(struct config_sync *s, struct err *err)
{
    struct buf text = {0};
    bool ok = s->auth_key_file == NULL || file_read(s->auth_key_file, 1 << 16, &text, err);
    s->auth_key = arena_str(&s->arena, str_trim(buf_str(&text)));
    buf_free(&text);
    return ok;
}

static bool sync_read_arguments(struct config_sync *s, int argc, char **argv, struct err *err)
{
    s->address = "http://localhost:12345";
    s->http.follow_redirects = s->http.proxy_from_environment = true;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-') {
            if (!sync_read_option(s, argc, argv, &i, err))
                return false;
        } else if (s->directory) {
            return err_set(err, ERR_BAD_DATA, "unexpected argument \"%s\"", argv[i]);
        } else {
            s->directory = argv[i];
        }
    }
    if (s->directory == NULL)
        return err_set(err, ERR_BAD_DATA, "missing directory");
    if (s->basic.username.n > 0 || s->basic.password_file.n > 0)
        s->http.basic_auth = &s->basic;
    if (!sync_read_auth_key(s, err) || !http_conf_check(NULL, &s->http, err))
        return false;
    s->profile = http_conf_profile(&s->http, err);
    return s->profile != NULL;
}

/* ---- files ---- */

static void sync_ignore_warning(void *arg UNUSED, const char *text UNUSED) {}

static bool sync_check_file(struct config_sync *s, struct sync_file *f, const char *path, struct err *err)
{
    struct instance_conf i;
    struct conf_errors errors = {0};
    struct conf_context c = {.arena = &s->arena, .file = path, .warn = sync_ignore_warning, .errors = &errors};
    f->node = yaml_parse(&s->arena, f->text, path, err);
    bool ok = f->node && conf_load(&c, &instance_section, f->node, &i, err);
    if (!ok && errors.n > 0)
        (void)!conf_errors_first(&errors, err);
    buf_free(&errors.text);
    return ok;
}

static bool sync_add_file(struct config_sync *s, struct str entry, size_t extension, struct err *err)
{
    const char *path = arena_z(&s->arena, arena_printf(&s->arena, "%s/%.*s", s->directory, STR_ARG(entry)));
    struct buf text = {0};
    bool ok = file_read(path, INSTANCE_TEXT_MAX, &text, err);
    struct sync_file f = {arena_str(&s->arena, str_first(entry, entry.n - extension)),
                          str_of(arena_z(&s->arena, buf_str(&text))), NULL};
    buf_free(&text);
    ok = ok && sync_check_file(s, &f, path, err);
    if (!ok)
        return false;
    arena_grow(&s->arena, &s->files, &s->cap_files, s->n_files + 1, sizeof *s->files);
    s->files[s->n_files++] = f;
    return true;
}

static int sync_order_files(const void *a, const void *b)
{
    return str_cmp(((const struct sync_file *)a)->name, ((const struct sync_file *)b)->name);
}

static bool sync_read_files(struct config_sync *s, struct err *err)
{
    DIR *d = dir_open(s->directory);
    bool ok = d != NULL || err_set(err, ERR_BAD_DATA, "%s: %s", s->directory, strerror(errno));
    for (struct dirent *e; ok && (e = readdir(d)) != NULL;) {
        struct str name = str_of(e->d_name);
        size_t extension = str_ends(name, STR(".yaml")) ? 5 : str_ends(name, STR(".yml")) ? 4 : 0;
        if (extension == 0 || e->d_type == DT_DIR)
            continue;
        ok = name.n > extension && s->n_files < SYNC_FILES_MOST ? sync_add_file(s, name, extension, err)
                                                              : err_set(err, ERR_BAD_DATA,
                                                                        "%s: no name, or too many files", e->d_name);
    }
    if (d)
        closedir(d);
    if (ok && s->n_files > 0)
        qsort(s->files, s->n_files, sizeof *s->files, sync_order_files);
    for (size_t i = 1; ok && i < s->n_files; i++)
        if (str_eq(s->files[i].name, s->files[i - 1].name))
            ok = err_set(err, ERR_BAD_DATA, "%s: two files make an instance \"%.*s\"", s->directory,
                         STR_ARG(s->files[i].name));
    return ok;
}

/* ---- requests ---- */

static void sync_add_name(struct buf *path, const char *before, struct str name)
{
    buf_add_z(path, before);
    url_encode(path, name);
}

/* The response's error, or its status. */
static bool sync_failed(const struct config_sync *s, int status, struct str body, struct err *err)
{
    struct err why;
    struct buf shown = {0};
    struct json_tree *t = json_tree_parse(body, &why);
    struct str text = json_tree_str(json_tree_get(json_tree_get(t, "data"), "error"));
    url_redact(&shown, str_of(s->address));
    if (text.n == 0)
        text = str_first(str_trim(body), 200);
    err_set(err, ERR_BAD_DATA, "%s: HTTP %d%s%.*s", buf_z(&shown), status, text.n ? ": " : "", STR_ARG(text));
    json_tree_free(t);
    buf_free(&shown);
    return false;
}

static bool sync_call(const struct config_sync *s, const char *method, const char *path, struct str body, int *status,
                      struct buf *out, struct err *err)
{
    static const char *const headers[] = {"Content-Type: application/yaml"};
    struct buf url = {0}, key = {0};
    url_join(&url, str_of(s->address), str_of(path));
    if (s->auth_key.n > 0) {
        form_add(&key, "authKey", s->auth_key);
        buf_add_char(&url, '?');
        buf_add_str(&url, buf_str(&key));
    }
    bool ok = fetch_call(&(struct fetch_call){.method = method, .url = buf_z(&url), .profile = s->profile,
                                              .headers = headers, .n_headers = body.n > 0, .body = body,
                                              .max = SYNC_RESPONSE_MAX, .ms = SYNC_MS},
                         status, out, err);
    buf_free(&url);
    buf_free(&key);
    return ok;
}

static bool sync_change(const struct config_sync *s, const char *method, struct str name, struct str body,
                        struct err *err)
{
    struct buf path = {0}, out = {0};
    int status = 0;
    sync_add_name(&path, "/agent/api/v1/config/", name);
    bool ok = sync_call(s, method, buf_z(&path), body, &status, &out, err) &&
              (status / 100 == 2 || sync_failed(s, status, buf_str(&out), err));
    buf_free(&path);
    buf_free(&out);
    return ok;
}

static bool sync_list(struct config_sync *s, struct err *err)
{
    struct buf out = {0};
    int status = 0;
    bool ok = sync_call(s, "GET", "/agent/api/v1/configs", STR_NONE, &status, &out, err) &&
              (status == 200 || sync_failed(s, status, buf_str(&out), err));
    struct json_tree *t = ok ? json_tree_parse(buf_str(&out), err) : NULL;
    const struct json_tree *names = json_tree_get(json_tree_get(t, "data"), "configs");
    ok = ok && t != NULL;
    s->stored = ARENA_ARRAY(&s->arena, struct str, json_tree_count(names) + 1);
    s->n_stored = 0;
    for (size_t i = 0; ok && i < json_tree_count(names); i++)
        s->stored[s->n_stored++] = arena_str(&s->arena, json_tree_str(json_tree_at(names, i)));
    json_tree_free(t);
    buf_free(&out);
    return ok;
}

/* ---- what differs ---- */

static bool sync_has_stored(const struct config_sync *s, struct str name)
{
    for (size_t i = 0; i < s->n_stored; i++)
        if (str_eq(s->stored[i], name))
            return true;
    return false;
}

static bool sync_has_file(const struct config_sync *s, struct str name)
{
    struct sync_file key = {.name = name};
    return s->n_files > 0 && bsearch(&key, s->files, s->n_files, sizeof key, sync_order_files) != NULL;
}

/* The YAML as both sides show it, with secrets masked; the order of keys is that of the text. */
static bool sync_shown_text(struct config_sync *s, struct str name, struct str text, struct buf *out, struct err *err)
{
    const struct yaml *node = yaml_parse(&s->arena, text, "the stored instance", err);
    if (node)
        instance_show(&s->arena, name, node, out);
    return node != NULL;
}

static void sync_show_difference(struct config_sync *s, const struct sync_file *f, struct str stored)
{
    struct buf a = {0}, b = {0};
    struct err err;
    size_t at = s->out.n;
    if (!sync_shown_text(s, f->name, stored, &a, &err) || !sync_shown_text(s, f->name, f->text, &b, &err)) {
        buf_printf(&s->out, "replace %.*s: %s\n", STR_ARG(f->name), err.text);
    } else {
        buf_printf(&s->out, "replace %.*s\n", STR_ARG(f->name));
        if (!line_diff(buf_str(&a), buf_str(&b), &s->out)) {
            s->out.n = at;
            buf_printf(&s->out, "keep %.*s (secrets are not compared)\n", STR_ARG(f->name));
        }
    }
    buf_free(&a);
    buf_free(&b);
}

static void sync_compare(struct config_sync *s, const struct sync_file *f)
{
    struct buf path = {0}, out = {0};
    struct err err;
    int status = 0;
    sync_add_name(&path, "/agent/api/v1/configs/", f->name);
    bool ok = sync_call(s, "GET", buf_z(&path), STR_NONE, &status, &out, &err);
    struct json_tree *t = ok && status == 200 ? json_tree_parse(buf_str(&out), &err) : NULL;
    if (t)
        sync_show_difference(s, f, json_tree_str(json_tree_get(json_tree_get(t, "data"), "value")));
    else
        buf_printf(&s->out, "replace %.*s (it cannot be compared: the server does not show instances, see "
                   "-config.enable-read-api)\n", STR_ARG(f->name));
    json_tree_free(t);
    buf_free(&path);
    buf_free(&out);
}

static void sync_preview(struct config_sync *s)
{
    for (size_t i = 0; i < s->n_files; i++)
        if (sync_has_stored(s, s->files[i].name))
            sync_compare(s, &s->files[i]);
        else
            buf_printf(&s->out, "create %.*s\n", STR_ARG(s->files[i].name));
    for (size_t i = 0; i < s->n_stored; i++)
        if (!sync_has_file(s, s->stored[i]))
            buf_printf(&s->out, s->prune ? "delete %.*s\n" : "%.*s is not in the directory; --prune deletes it\n",
                       STR_ARG(s->stored[i]));
}

/* ---- changing ---- */

static void sync_note(struct config_sync *s, bool ok, const char *done, struct str name, const struct err *err)
{
    s->failed += !ok;
    if (ok)
        buf_printf(&s->out, "%s %.*s\n", done, STR_ARG(name));
    else
        fprintf(stderr, "sluice config-sync: %.*s: %s\n", STR_ARG(name), err->text);
}

static void sync_apply(struct config_sync *s)
{
    struct err err;
    size_t left = 0;
    for (size_t i = 0; i < s->n_files; i++) {
        const struct sync_file *f = &s->files[i];
        bool ok = sync_change(s, "PUT", f->name, f->text, &err);
        sync_note(s, ok, sync_has_stored(s, f->name) ? "replaced" : "created", f->name, &err);
    }
    for (size_t i = 0; i < s->n_stored; i++) {
        if (sync_has_file(s, s->stored[i]))
            continue;
        left += !s->prune;
        if (s->prune) {
            bool ok = sync_change(s, "DELETE", s->stored[i], STR_NONE, &err);
            sync_note(s, ok, "deleted", s->stored[i], &err);
        }
    }
    if (left > 0)
        buf_printf(&s->out, "%zu instance%s not in the directory; --prune deletes %s\n", left,
                   left > 1 ? "s are" : " is", left > 1 ? "them" : "it");
}

static bool sync_run(struct config_sync *s, int argc, char **argv, struct err *err)
{
    if (!sync_read_arguments(s, argc, argv, err) || !sync_read_files(s, err))
        return false;
    if (s->n_files == 0 && s->prune && !s->allow_empty)
        return err_set(err, ERR_BAD_DATA,
                       "%s has no instances: all stored ones would be deleted; use --allow-empty if that is "
                       "intended", s->directory);
    if (!sync_list(s, err))
        return false;
    if (s->dry_run)
        sync_preview(s);
    else
        sync_apply(s);
    return true;
}

int cli_config_sync(int argc, char **argv)
{
    struct config_sync s = {0};
    struct err err;
    if (cli_is_help(argc, argv) || argc < 2)
        return cli_usage(sync_usage, cli_is_help(argc, argv), 1);
    arena_init(&s.arena, 0);
    bool ok = sync_run(&s, argc, argv, &err);
    cli_output(&s.out);
    if (!ok)
        fprintf(stderr, "sluice config-sync: %s\n", err.text);
    client_profile_unref(s.profile);
    buf_free(&s.out);
    arena_free(&s.arena);
    return ok && s.failed == 0 ? 0 : 1;
}
