// SPDX-License-Identifier: Apache-2.0
/* File-based service discovery.
 *
 * 1. Each pattern is expanded with glob().
 * 2. A file is parsed when its inode, size or modification time has changed.
 * 3. New groups replace the previous ones only if the complete file is valid.
 * 4. Files that no pattern matches any more are forgotten. An unreadable directory forgets none.
 */
#include "scraper/discovery/file_sd.h"

#include "base/json/json_tree.h"
#include "base/telemetry/log.h"
#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 32 << 20 };

struct stats_group file_sd_stats = STATS_GROUP(FILE_SD_STATS);

/* ---- parsing ---- */

static bool json_strings(struct arena *a, const struct json_tree *t, struct str_list *out)
{
    if (json_tree_kind(t) != JSON_TREE_ARRAY)
        return json_tree_kind(t) == JSON_TREE_ABSENT;
    size_t n = json_tree_count(t);
    out->items = ARENA_ARRAY(a, struct str, n);
    for (size_t i = 0; i < n; i++) {
        if (json_tree_kind(json_tree_at(t, i)) != JSON_TREE_STRING)
            return false;
        out->items[out->n++] = arena_str(a, json_tree_str(json_tree_at(t, i)));
    }
    return true;
}

static bool json_labels(struct arena *a, const struct json_tree *t, struct str_map *out)
{
    struct json_tree_member m = {0};
    size_t n = json_tree_count(t);
    out->keys = ARENA_ARRAY(a, struct str, n);
    out->values = ARENA_ARRAY(a, struct str, n);
    while (json_tree_next(t, &m)) {
        if (json_tree_kind(m.value) != JSON_TREE_STRING)
            return false;
        out->keys[out->n] = arena_str(a, m.key);
        out->values[out->n++] = arena_str(a, json_tree_str(m.value));
    }
    return json_tree_kind(t) == JSON_TREE_OBJECT || json_tree_kind(t) == JSON_TREE_ABSENT;
}

static bool json_groups(struct arena *a, const char *path, const struct json_tree *root, struct static_group *groups,
                        size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct json_tree *g = json_tree_at(root, i);
        if (json_tree_kind(g) != JSON_TREE_OBJECT ||
            !json_strings(a, json_tree_get(g, "targets"), &groups[i].targets) ||
            !json_labels(a, json_tree_get(g, "labels"), &groups[i].labels))
            return err_set(err, ERR_BAD_DATA, "%s: item %zu: expected {\"targets\": [strings], \"labels\": {strings}}",
                           path, i + 1);
    }
    return true;
}

static bool parse_json(struct arena *a, const char *path, struct str text, struct static_group **groups, size_t *n,
                       struct err *err)
{
    struct json_tree *root = json_tree_parse(text, err);
    if (root == NULL)
        return err_wrap(err, "%s", path);
    bool ok = json_tree_kind(root) == JSON_TREE_ARRAY ||
        err_set(err, ERR_BAD_DATA, "%s: expected a list of target groups", path);
    *n = json_tree_count(root);
    *groups = ARENA_ARRAY(a, struct static_group, *n);
    ok = ok && json_groups(a, path, root, *groups, *n, err);
    json_tree_free(root);
    return ok;
}

static bool parse_yaml(struct arena *a, const char *path, struct str text, struct static_group **groups, size_t *n,
                       struct err *err)
{
    const struct yaml *root = yaml_parse(a, text, path, err);
    if (root == NULL)
        return false;
    if (root->kind != YAML_LIST && root->kind != YAML_NULL)
        return conf_err(root, err, "expected a list of target groups");
    struct conf_context c = {.arena = a, .file = path};
    *n = root->n;
    *groups = ARENA_ARRAY(a, struct static_group, *n);
    for (size_t i = 0; i < *n; i++)
        if (!conf_load(&c, &static_group_section, &root->items[i], &(*groups)[i], err))
            return false;
    return true;
}

bool sd_file_parse(struct arena *a, const char *path, struct str text, struct static_group **groups, size_t *n,
                   struct err *err)
{
    bool json = str_ends(str_of(path), STR(".json"));
    return json ? parse_json(a, path, text, groups, n, err) : parse_yaml(a, path, text, groups, n, err);
}

/* ---- files ---- */

static bool read_all(int fd, const char *path, struct buf *out, struct err *err)
{
    out->max = FILE_MAX;
    for (;;) {
        if (!buf_try_reserve(out, 64 << 10))
            return err_set(err, ERR_LIMIT, "%s: longer than %d MiB", path, FILE_MAX >> 20);
        ssize_t n = read(fd, out->p + out->n, out->cap - out->n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_BAD_DATA, "%s: %s", path, strerror(errno));
        if (n == 0)
            return true;
        out->n += (size_t)n;
    }
}

/* The new groups replace the previous ones only if the complete file is valid. */
static bool file_sd_load(struct sd_file *f, int fd, struct err *err)
{
    struct buf text = {0};
    struct arena arena;
    struct static_group *groups;
    size_t n;
    arena_init(&arena, 0);
    bool ok = read_all(fd, f->path, &text, err) && sd_file_parse(&arena, f->path, buf_str(&text), &groups, &n, err);
    buf_free(&text);
    if (!ok) {
        arena_free(&arena);
        return false;
    }
    arena_free(&f->arena);
    f->arena = arena;
    f->groups = groups;
    f->n = n;
    return true;
}

static struct sd_stamp stamp_of(const struct stat *st)
{
    return (struct sd_stamp){st->st_ino, (uint64_t)st->st_size,
                             (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec};
}

static bool stamp_same(struct sd_stamp a, struct sd_stamp b)
{
    return a.inode == b.inode && a.size == b.size && a.changed_ns == b.changed_ns;
}

/* err: begins with the path. */
static void report_file(const struct file_discovery *d, const char *path, const struct err *err)
{
    if (d->failed) {
        d->failed(d->arg, err->text);
        return;
    }
    stats_add(&file_sd_stats, SD_READ_ERRORS, 1);
    log_warn("file_sd", "cannot load targets file; keeping its previous targets", "file", path, "err", err->text);
}

static void report_directory(const struct file_discovery *d, const char *pattern)
{
    struct err err;
    if (d->failed) {
        err_set(&err, ERR_BAD_DATA, "%s: cannot read the directory", pattern);
        d->failed(d->arg, err.text);
        return;
    }
    stats_add(&file_sd_stats, SD_READ_ERRORS, 1);
    log_warn("file_sd", "cannot read directory of target files; keeping previous targets", "files", pattern);
}

static bool refresh_file(const struct file_discovery *d, struct sd_file *f)
{
    struct stat st;
    struct err err;
    bool loaded = false;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* opening a FIFO must not block the main thread */
    if (fd < 0 || fstat(fd, &st) != 0) {
        err_set(&err, ERR_BAD_DATA, "%s: %s", f->path, strerror(errno));
    } else if (stamp_same(f->stamp, stamp_of(&st))) {
        close(fd);
        return false; /* unchanged, valid or not */
    } else {
        f->stamp = stamp_of(&st);
        loaded = file_sd_load(f, fd, &err);
    }
    if (fd >= 0)
        close(fd);
    f->failing = !loaded;
    if (!loaded)
        report_file(d, f->path, &err);
    return loaded;
}

static void index_file(struct map *by_path, const struct file_discovery *d, size_t i)
{
    bool added;
    map_add(by_path, str_of(d->files[i].path), &added)->value.u = i;
}

static struct sd_file *find_file(struct file_discovery *d, struct map *by_path, const char *path)
{
    struct map_entry *e = map_find(by_path, str_of(path));
    if (e)
        return &d->files[e->value.u];
    if (d->n == d->cap)
        mem_grow(&d->files, &d->cap, d->n + 1, sizeof *d->files);
    d->files[d->n] = (struct sd_file){.path = mem_strdup(path)};
    index_file(by_path, d, d->n);
    return &d->files[d->n++];
}

static void file_free(struct sd_file *f)
{
    arena_free(&f->arena);
    mem_free(f->path);
}

static bool file_sd_drop_missing(struct file_discovery *d)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->n; i++) {
        if (d->files[i].found)
            d->files[kept++] = d->files[i];
        else
            file_free(&d->files[i]);
    }
    bool any = kept < d->n;
    d->n = kept;
    return any;
}

/* A missing directory has no files; one that cannot be read now may still have them. */
static int file_sd_log_unreadable(const char *path UNUSED, int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == EIO;
}

static bool refresh_pattern(struct file_discovery *d, struct map *by_path, const char *pattern)
{
    glob_t g = {0};
    bool changed = false;
    int how = glob(pattern, 0, file_sd_log_unreadable, &g);
    for (size_t i = 0; how == 0 && i < g.gl_pathc; i++) {
        struct sd_file *f = find_file(d, by_path, g.gl_pathv[i]);
        f->found = true;
        changed = refresh_file(d, f) || changed;
    }
    globfree(&g);
    if (how != 0 && how != GLOB_NOMATCH) {
        report_directory(d, pattern);
        for (size_t i = 0; i < d->n; i++)
            d->files[i].found = true;
    }
    return changed;
}

bool file_discovery_refresh(struct file_discovery *d, const struct file_sd *conf)
{
    struct map by_path = {0}; /* path -> index in d->files */
    bool changed = false;
    for (size_t i = 0; i < d->n; i++) {
        d->files[i].found = false;
        index_file(&by_path, d, i);
    }
    for (size_t i = 0; i < conf->files.n; i++) {
        char *pattern = str_dup(conf->files.items[i]);
        changed = refresh_pattern(d, &by_path, pattern) || changed;
        mem_free(pattern);
    }
    map_free(&by_path);
    return file_sd_drop_missing(d) || changed;
}

bool file_discovery_matches(const struct file_discovery *d, struct str pattern)
{
    char *z = str_dup(pattern);
    bool found = false;
    for (size_t i = 0; i < d->n && !found; i++)
        found = strcmp(z, d->files[i].path) == 0 || fnmatch(z, d->files[i].path, FNM_PATHNAME | FNM_PERIOD) == 0;
    mem_free(z);
    return found;
}

void file_discovery_free(struct file_discovery *d)
{
    for (size_t i = 0; i < d->n; i++)
        file_free(&d->files[i]);
    mem_free(d->files);
    *d = (struct file_discovery){0};
}
