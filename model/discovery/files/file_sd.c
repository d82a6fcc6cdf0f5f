// SPDX-License-Identifier: Apache-2.0
/* File-based service discovery.
 *
 * 1. The pattern is expanded with glob().
 * 2. A file is parsed when its inode, size or modification time has changed.
 * 3. New groups replace the previous ones only if the complete file is valid.
 * 4. The targets of files that the pattern no longer matches are removed, unless the directory is unreadable.
 *
 * An error is logged when it first occurs or changes, and counted each time.
 */
#include "model/discovery/files/file_sd.h"

#include "base/json/json_tree.h"
#include "base/telemetry/log.h"
#include "model/discovery/groups/sd_parts.h"
#include "model/discovery/groups/sd_stats.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 32 << 20 };

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

bool sd_json_parse(struct arena *a, const char *path, struct str text, struct static_group **groups, size_t *n,
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
    return json ? sd_json_parse(a, path, text, groups, n, err) : parse_yaml(a, path, text, groups, n, err);
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

/* ---- lists of files ---- */

static void sd_file_free(struct sd_file *f)
{
    sd_groups_unref(f->groups);
    mem_free(f->path);
}

void sd_files_copy(struct sd_files *to, const struct sd_files *from)
{
    to->n = from->n;
    to->items = from->n > 0 ? mem_dup(from->items, from->n * sizeof *from->items) : NULL;
    for (size_t i = 0; i < to->n; i++) {
        to->items[i].path = mem_strdup(from->items[i].path);
        sd_groups_ref(to->items[i].groups);
    }
}

void sd_files_free(struct sd_files *f)
{
    for (size_t i = 0; i < f->n; i++)
        sd_file_free(&f->items[i]);
    mem_free(f->items);
    *f = (struct sd_files){0};
}

/* ---- one file ---- */

/* The new groups replace the previous ones only if the complete file is valid. */
static bool file_sd_load(struct sd_file *f, int fd, struct err *err)
{
    struct buf text = {0};
    struct sd_groups *g = sd_groups_new();
    bool ok = read_all(fd, f->path, &text, err)
              && sd_file_parse(&g->arena, f->path, buf_str(&text), &g->items, &g->n, err);
    buf_free(&text);
    if (ok)
        sd_parts_lay_out(g);
    sd_groups_unref(ok ? f->groups : g);
    if (ok)
        f->groups = g;
    return ok;
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
static void report_file(const struct file_discovery *d, const char *path, const struct err *err, bool known)
{
    if (d->failed) {
        d->failed(d->arg, err->text);
        return;
    }
    stats_add(&sd_stats, SD_READ_ERRORS, 1);
    if (!known)
        log_warn("file_sd", "cannot load targets file; keeping its previous targets", d->owner.kind, d->owner.name.p, "file", path,
                 "err", err->text);
}

static void report_directory(struct file_discovery *d)
{
    struct err err;
    if (d->failed) {
        err_set(&err, ERR_BAD_DATA, "%s: cannot read the directory", d->pattern.p);
        d->failed(d->arg, err.text);
        return;
    }
    stats_add(&sd_stats, SD_READ_ERRORS, 1);
    if (!d->unreadable)
        log_warn("file_sd", "cannot read directory of target files; keeping previous targets", d->owner.kind,
                 d->owner.name.p, "files", d->pattern.p);
    d->unreadable = true;
}

/* True: it has new groups. */
static bool refresh_file(const struct file_discovery *d, struct sd_file *f)
{
    struct stat st;
    struct err err;
    bool loaded = false, known = false;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* opening a FIFO must not hold the thread */
    if (fd < 0 || fstat(fd, &st) != 0) {
        known = f->failing && f->error == errno;
        f->error = errno;
        f->stamp.inode = 0; /* it is read when it can be opened again */
        err_set(&err, ERR_BAD_DATA, "%s: %s", f->path, strerror(errno));
    } else if (stamp_same(f->stamp, stamp_of(&st))) {
        close(fd);
        return false; /* unchanged, valid or not */
    } else {
        f->error = 0;
        f->stamp = stamp_of(&st);
        loaded = file_sd_load(f, fd, &err);
    }
    if (fd >= 0)
        close(fd);
    f->failing = !loaded;
    if (!loaded)
        report_file(d, f->path, &err, known);
    return loaded;
}

/* ---- the files of a pattern ---- */

/* A missing directory has no files; one that cannot be read now may still have them. */
static int file_sd_log_unreadable(const char *path UNUSED, int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == EIO;
}

/* Both lists are sorted, so that the files of the previous one are found in one pass; those left over are removed. */
static struct sd_file take_file(struct sd_files *before, size_t *at, const char *path, bool *changed)
{
    int order = 1;
    while (*at < before->n && (order = strcmp(before->items[*at].path, path)) < 0) {
        sd_file_free(&before->items[(*at)++]);
        *changed = true;
    }
    return *at < before->n && order == 0 ? before->items[(*at)++] : (struct sd_file){.path = mem_strdup(path)};
}

static int path_order(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Returns true when files have other groups. On an abort the remaining files are unchanged. */
static bool refresh_files(struct file_discovery *d, glob_t *g)
{
    struct sd_files before = d->files;
    size_t at = 0;
    bool changed = false, goes_on = true;
    d->files = (struct sd_files){mem_zalloc((g->gl_pathc + 1) * sizeof *d->files.items), 0};
    if (g->gl_pathc > 0)
        qsort(g->gl_pathv, g->gl_pathc, sizeof *g->gl_pathv, path_order);
    for (size_t i = 0; i < g->gl_pathc; i++) {
        struct sd_file f = take_file(&before, &at, g->gl_pathv[i], &changed);
        goes_on = goes_on && (d->reads == NULL || d->reads(d->arg, f.path));
        changed = (goes_on && refresh_file(d, &f)) || changed;
        d->files.items[d->files.n++] = f;
    }
    for (; at < before.n; at++, changed = true)
        sd_file_free(&before.items[at]);
    mem_free(before.items);
    return changed;
}

bool file_discovery_refresh(struct file_discovery *d)
{
    glob_t g = {0};
    bool changed = false;
    if (d->reads && !d->reads(d->arg, d->pattern.p))
        return false;
    int how = glob(d->pattern.p, GLOB_NOSORT, file_sd_log_unreadable, &g);
    if (how == 0 || how == GLOB_NOMATCH) {
        changed = refresh_files(d, &g);
        d->unreadable = false;
    } else {
        report_directory(d);
    }
    globfree(&g);
    return changed;
}
