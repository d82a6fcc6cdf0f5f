// SPDX-License-Identifier: Apache-2.0
/* Reads the files of the configuration. A load that is watched tells which file it reads, since the file system may
 * hang; a start leaves out job files that do not respond. */
#include "base/os/file_call.h"
#include "gateway/config/config_file.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>

enum { FILE_MAX = 32 << 20, OPTIONAL_MS = 5000, NEXT_OPTIONAL_MS = 500 /* after one that hangs */ };

/* ---- what is read at the moment ---- */

void config_reader_init(struct config_reader *r, bool starting, const struct flags *f)
{
    *r = (struct config_reader){.starting = starting, ._at = str_dup(f->config_file)};
    mutex_init(&r->_lock, RANK_LEAF);
}

void config_reader_free(struct config_reader *r)
{
    mutex_free(&r->_lock);
    mem_free(r->_at);
}

static void config_reader_set(struct config_reader *r, const char *path)
{
    if (r == NULL)
        return;
    mutex_lock(&r->_lock);
    mem_free(r->_at);
    r->_at = mem_strdup(path);
    mutex_unlock(&r->_lock);
}

char *config_reader_at(struct config_reader *r)
{
    mutex_lock(&r->_lock);
    char *at = mem_strdup(r->_at);
    mutex_unlock(&r->_lock);
    return at;
}

/* ---- files ---- */

static bool config_read_now(const char *path, struct buf *out, struct err *err)
{
    char piece[16384];
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return err_set(err, ERR_BAD_DATA, "%s: %s", path, strerror(errno));
    out->max = FILE_MAX;
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
        buf_add(out, piece, n);
    bool ok = !ferror(f);
    if (!ok)
        err_set(err, ERR_BAD_DATA, "%s: %s", path, strerror(errno));
    else if (out->over)
        ok = err_set(err, ERR_BAD_DATA, "%s: the file exceeds the limit of 32 MiB", path);
    fclose(f);
    return ok;
}

bool config_read_file(struct loader *l, const char *path, struct buf *out)
{
    config_reader_set(l->reader, path);
    return config_read_now(path, out, l->err);
}

/* ---- job files at a start ---- */

struct optional_read {
    char *path; /* a file, or a pattern */
    struct buf text;
    struct err err;
    glob_t found;
    bool ok;
};

static void run_optional_read(void *arg)
{
    struct optional_read *r = arg;
    r->ok = config_read_now(r->path, &r->text, &r->err);
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
    if (l->reader == NULL || !l->reader->starting) {
        run(r);
        return r;
    }
    int64_t ms = l->config->incomplete ? NEXT_OPTIONAL_MS : OPTIONAL_MS;
    return file_call(&(struct file_call){run, optional_read_free, r}, ms) ? r : NULL;
}

enum config_read config_read_optional(struct loader *l, const char *path, struct buf *out)
{
    struct optional_read *r = optional_read(l, path, run_optional_read);
    if (r == NULL)
        return CONFIG_READ_HANGS;
    bool ok = r->ok;
    if (ok) {
        *out = r->text;
        r->text = (struct buf){0};
    } else {
        *l->err = r->err;
    }
    optional_read_free(r);
    return ok ? CONFIG_READ_OK : CONFIG_READ_FAILED;
}

enum config_read config_read_pattern(struct loader *l, const char *pattern, struct str_list *out)
{
    struct optional_read *r = optional_read(l, pattern, run_optional_glob);
    if (r == NULL)
        return CONFIG_READ_HANGS;
    size_t n = r->ok ? r->found.gl_pathc : 0;
    *out = (struct str_list){ARENA_ARRAY(l->conf.arena, struct str, n + 1), 0};
    for (const char *path; out->n < n && out->items; out->items[out->n++] = str_of(path))
        if ((path = arena_z(l->conf.arena, str_of(r->found.gl_pathv[out->n]))) == NULL)
            break;
    bool ok = out->items && out->n == n;
    optional_read_free(r);
    if (!ok)
        err_set(l->err, ERR_LIMIT, "%s: the configuration exceeds the limit of 1 GiB of memory", pattern);
    return ok ? CONFIG_READ_OK : CONFIG_READ_FAILED;
}
