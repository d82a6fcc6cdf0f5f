// SPDX-License-Identifier: Apache-2.0
/* Reads the files and URLs of the configuration. A load that is watched tells which one it reads, since the file system
 * may hang; a start leaves out job files that do not respond. URLs fail after FETCH_MS. */
#include "base/hash.h"
#include "base/http/fetch.h"
#include "base/os/file_call.h"
#include "base/os/file_read.h"
#include "base/text/url.h"
#include "gateway/config/config_file.h"

#include <glob.h>
#include <sys/stat.h>

enum { OPTIONAL_MS = 5000, NEXT_OPTIONAL_MS = 500 /* after one that hangs */ };

/* ---- what is read at the moment ---- */

static void config_reader_set(struct config_reader *r, const char *path)
{
    if (r == NULL)
        return;
    struct buf shown = {0};
    url_redact_path(&shown, str_of(path));
    mutex_lock(&r->_lock);
    mem_free(r->_at);
    r->_at = str_dup(buf_str(&shown));
    mutex_unlock(&r->_lock);
    buf_free(&shown);
}

void config_reader_init(struct config_reader *r, bool starting, const struct flags *f)
{
    *r = (struct config_reader){.starting = starting};
    mutex_init(&r->_lock, RANK_LEAF);
    config_reader_set(r, f->config_file.n > 0 ? f->config_file.p : "");
}

void config_reader_free(struct config_reader *r)
{
    instance_set_unref(r->instances);
    config_unref(r->kept);
    mutex_free(&r->_lock);
    mem_free(r->_at);
}

char *config_reader_at(struct config_reader *r)
{
    mutex_lock(&r->_lock);
    char *at = mem_strdup(r->_at);
    mutex_unlock(&r->_lock);
    return at;
}

/* ---- one file or URL ---- */

static struct file_stamp config_stamp(const struct stat *s)
{
    return (struct file_stamp){s->st_dev, s->st_ino, (uint64_t)s->st_size, (uint64_t)s->st_mtim.tv_sec,
                               (uint64_t)s->st_mtim.tv_nsec};
}

/* *stamp: of a file, taken before it is read. */
static bool config_read_now(const char *path, struct buf *out, struct file_stamp *stamp, struct err *err)
{
    struct stat st;
    *stamp = (struct file_stamp){0};
    if (url_is_http(str_of(path)))
        return fetch_text(path, CONFIG_FILE_MAX, FETCH_MS, out, err);
    if (stat(path, &st) == 0)
        *stamp = config_stamp(&st);
    return file_read(path, CONFIG_FILE_MAX, out, err);
}

/* ---- sources ---- */

static void config_add_source(struct loader *l, const char *path, bool pattern, struct str text,
                              struct file_stamp stamp)
{
    struct config *c = l->config;
    arena_grow(&c->arena, &c->sources, &l->cap_sources, c->n_sources + 1, sizeof *c->sources);
    if (l->cap_sources > c->n_sources)
        c->sources[c->n_sources++] = (struct config_source){str_of(arena_z(&c->arena, str_of(path))), pattern,
                                                            hash_bytes(text.p, text.n), stamp,
                                                            str_n(str_dup(text), text.n)};
}

void config_forget_texts(struct config *c)
{
    for (size_t i = 0; i < c->n_sources; i++) {
        mem_free((char *)c->sources[i].text.p);
        c->sources[i].text = STR_NONE;
    }
}

/* What the running configuration was made of; NULL: it is read from the disk. */
static const struct config_source *config_kept_source(const struct loader *l, const char *path, bool pattern)
{
    const struct config *c = l->reader ? l->reader->kept : NULL;
    for (size_t i = 0; c && i < c->n_sources; i++)
        if (c->sources[i].pattern == pattern && c->sources[i].text.p && str_is(c->sources[i].path, path))
            return &c->sources[i];
    return NULL;
}

static bool config_use_kept(struct loader *l, const char *path, struct buf *out)
{
    const struct config_source *kept = config_kept_source(l, path, false);
    if (kept == NULL)
        return false;
    buf_add_str(out, kept->text);
    config_add_source(l, path, false, kept->text, kept->stamp);
    return true;
}

static void config_join_paths(const glob_t *found, struct buf *out)
{
    for (size_t i = 0; i < found->gl_pathc; i++) {
        buf_add_z(out, found->gl_pathv[i]);
        buf_add_char(out, '\n');
    }
}

static uint64_t config_mix_hash(uint64_t hash, const struct config_source *s, uint64_t text)
{
    const uint64_t parts[] = {hash, hash_bytes(s->path.p, s->path.n), text};
    return hash_bytes(parts, sizeof parts);
}

uint64_t config_hash(const struct config *c)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < c->n_sources; i++)
        hash = config_mix_hash(hash, &c->sources[i], c->sources[i].hash);
    return hash;
}

static bool config_source_read(const struct config_source *s, uint64_t *hash, struct err *err)
{
    struct buf text = {0};
    glob_t found = {0};
    struct stat st;
    struct file_stamp stamp;
    if (!s->pattern && !url_is_http(s->path) && stat(s->path.p, &st) == 0) {
        stamp = config_stamp(&st);
        *hash = s->hash;
        if (memcmp(&stamp, &s->stamp, sizeof stamp) == 0)
            return true;
    }
    bool ok = s->pattern || config_read_now(s->path.p, &text, &stamp, err);
    if (s->pattern && glob(s->path.p, 0, NULL, &found) == 0)
        config_join_paths(&found, &text);
    *hash = hash_bytes(text.p, text.n);
    globfree(&found);
    buf_free(&text);
    return ok;
}

bool config_hash_now(const struct config *c, struct config_reader *r, uint64_t *hash, struct err *err)
{
    uint64_t text;
    *hash = 0;
    for (size_t i = 0; i < c->n_sources; i++) {
        config_reader_set(r, c->sources[i].path.p);
        if (!config_source_read(&c->sources[i], &text, err))
            return false;
        *hash = config_mix_hash(*hash, &c->sources[i], text);
    }
    return true;
}

/* ---- files ---- */

const char *config_shown_path(struct loader *l, const char *path)
{
    struct buf shown = {0};
    url_redact_path(&shown, str_of(path));
    const char *z = arena_z(l->conf.arena, buf_str(&shown));
    buf_free(&shown);
    return z;
}

bool config_read_watched(struct loader *l, const char *path, struct buf *out)
{
    struct file_stamp stamp;
    config_reader_set(l->reader, path);
    return config_read_now(path, out, &stamp, l->err);
}

bool config_read_file(struct loader *l, const char *path, struct buf *out)
{
    struct file_stamp stamp;
    if (config_use_kept(l, path, out))
        return true;
    config_reader_set(l->reader, path);
    bool ok = config_read_now(path, out, &stamp, l->err);
    if (ok)
        config_add_source(l, path, false, buf_str(out), stamp);
    return ok;
}

/* ---- job files at a start ---- */

struct optional_read {
    char *path; /* a file, or a pattern */
    struct buf text;
    struct file_stamp stamp;
    struct err err;
    glob_t found;
    bool ok;
};

static void run_optional_read(void *arg)
{
    struct optional_read *r = arg;
    r->ok = config_read_now(r->path, &r->text, &r->stamp, &r->err);
}

static void run_optional_glob(void *arg)
{
    struct optional_read *r = arg;
    r->ok = glob(r->path, 0, NULL, &r->found) == 0;
}

static void optional_read_free(void *arg)
{
    struct optional_read *r = arg;
    globfree(&r->found);
    buf_free(&r->text);
    mem_free(r->path);
    mem_free(r);
}

/* NULL: it hangs. */
static struct optional_read *optional_read(const struct loader *l, const char *path, void (*run)(void *arg))
{
    struct optional_read *r = mem_zalloc(sizeof *r);
    r->path = mem_strdup(path);
    config_reader_set(l->reader, path);
    if (l->reader == NULL || !l->reader->starting || url_is_http(str_of(path))) {
        run(r);
        return r;
    }
    int64_t ms = l->config->incomplete ? NEXT_OPTIONAL_MS : OPTIONAL_MS;
    return file_call(&(struct file_call){run, optional_read_free, r}, ms) ? r : NULL;
}

enum config_read config_read_optional(struct loader *l, const char *path, struct buf *out)
{
    if (config_use_kept(l, path, out))
        return CONFIG_READ_OK;
    struct optional_read *r = optional_read(l, path, run_optional_read);
    if (r == NULL)
        return CONFIG_READ_HANGS;
    bool ok = r->ok;
    if (ok) {
        config_add_source(l, path, false, buf_str(&r->text), r->stamp);
        *out = r->text;
        r->text = (struct buf){0};
    } else {
        *l->err = r->err;
    }
    optional_read_free(r);
    return ok ? CONFIG_READ_OK : CONFIG_READ_FAILED;
}

/* Appends the paths, a line each. */
static enum config_read config_find_paths(struct loader *l, const char *pattern, struct buf *out)
{
    const struct config_source *kept = config_kept_source(l, pattern, true);
    if (kept) {
        buf_add_str(out, kept->text);
        return CONFIG_READ_OK;
    }
    struct optional_read *r = optional_read(l, pattern, run_optional_glob);
    if (r == NULL)
        return CONFIG_READ_HANGS;
    if (r->ok)
        config_join_paths(&r->found, out);
    optional_read_free(r);
    return CONFIG_READ_OK;
}

enum config_read config_read_pattern(struct loader *l, const char *pattern, struct str_list *out)
{
    struct buf paths = {0};
    enum config_read read = config_find_paths(l, pattern, &paths);
    if (read == CONFIG_READ_OK) {
        struct str rest = buf_str(&paths), line;
        size_t n = str_count(rest, '\n');
        config_add_source(l, pattern, true, rest, (struct file_stamp){0});
        *out = (struct str_list){ARENA_ARRAY(l->conf.arena, struct str, n + 1), 0};
        for (const char *path; out->n < n && out->items; out->items[out->n++] = str_of(path)) {
            str_cut(&rest, '\n', &line);
            if ((path = arena_z(l->conf.arena, line)) == NULL)
                break;
        }
        if (!out->items || out->n < n) {
            err_set(l->err, ERR_LIMIT, "%s: the configuration exceeds the limit of 1 GiB of memory", pattern);
            read = CONFIG_READ_FAILED;
        }
    }
    buf_free(&paths);
    return read;
}
