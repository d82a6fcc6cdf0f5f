// SPDX-License-Identifier: Apache-2.0
/* The sources of one job or group: a reader per pattern of target files.
 *
 * A reload keeps the readers of unchanged patterns, with their files. The readers of patterns that were removed
 * remain in force until all new ones have been read once, so that a job whose new files hang keeps its targets.
 */
#include "model/discovery/discovery_internal.h"

/* News of a reader wait for the others, unless these hang, or have been reading ever since. */
enum { NEWS_MS = 1000 };

static size_t count_patterns(const struct sd_conf *conf)
{
    size_t n = 0;
    for (size_t i = 0; i < conf->file_sd_configs.n; i++)
        n += ((const struct file_sd *)conf->file_sd_configs.items)[i].files.n;
    return n;
}

static void append_reader(struct file_reader ***readers, size_t *n, struct file_reader *r)
{
    *readers = mem_realloc(*readers, (*n + 1) * sizeof **readers);
    (*readers)[(*n)++] = r;
}

static struct file_reader *take_reader(struct file_reader **readers, size_t n, struct str pattern)
{
    for (size_t i = 0; i < n; i++)
        if (readers[i] && str_eq(file_reader_pattern(readers[i]), pattern)) {
            struct file_reader *r = readers[i];
            readers[i] = NULL;
            return r;
        }
    return NULL;
}

static void discovery_set_interval(struct discovery *d, const struct sd_conf *conf)
{
    d->file_interval = 0;
    for (size_t i = 0; i < conf->file_sd_configs.n; i++) {
        const struct file_sd *sd = (const struct file_sd *)conf->file_sd_configs.items + i;
        if (d->file_interval == 0 || sd->refresh_interval < d->file_interval)
            d->file_interval = sd->refresh_interval;
    }
}

void discovery_set(struct discovery *d, const struct sd_conf *conf)
{
    struct file_reader **before = d->readers;
    size_t n_before = d->n_readers;
    struct file_reader_env env = sd_manager_reader_env(d->manager);
    d->readers = mem_zalloc((count_patterns(conf) + 1) * sizeof *d->readers);
    d->n_readers = 0;
    for (size_t i = 0; i < conf->file_sd_configs.n; i++) {
        const struct str_list *patterns = &((const struct file_sd *)conf->file_sd_configs.items)[i].files;
        for (size_t k = 0; k < patterns->n; k++) {
            struct file_reader *r = take_reader(before, n_before, patterns->items[k]);
            d->readers[d->n_readers++] = r ? r : file_reader_new(&env, d->owner, patterns->items[k]);
        }
    }
    for (size_t i = 0; i < n_before; i++)
        if (before[i])
            append_reader(&d->retired, &d->n_retired, before[i]);
    mem_free(before);
    discovery_set_interval(d, conf);
}

static void end_retired_readers(struct discovery *d)
{
    while (d->n_retired > 0)
        file_reader_free(d->retired[--d->n_retired]);
    mem_free(d->retired);
    d->retired = NULL;
}

struct discovery *discovery_new(struct sd_manager *m, struct sd_owner owner)
{
    struct discovery *d = mem_zalloc(sizeof *d);
    d->manager = m;
    d->owner = (struct sd_owner){owner.kind, str_of(str_dup(owner.name))};
    sd_manager_add(m, d);
    return d;
}

void discovery_free(struct discovery *d)
{
    list_remove(&d->node);
    end_retired_readers(d);
    for (size_t i = 0; i < d->n_readers; i++)
        file_reader_free(d->readers[i]);
    mem_free(d->readers);
    mem_free((char *)d->owner.name.p);
    mem_free(d);
}

void discovery_read(struct discovery *d, struct dir_watch *dirs, bool await)
{
    for (size_t i = 0; i < d->n_readers; i++)
        file_reader_read(d->readers[i], dirs, await);
}

bool discovery_awaited(const struct discovery *d)
{
    for (size_t i = 0; i < d->n_readers; i++)
        if (file_reader_awaited(d->readers[i]))
            return true;
    return false;
}

bool discovery_was_read(const struct discovery *d)
{
    for (size_t i = 0; i < d->n_readers; i++)
        if (!file_reader_was_read(d->readers[i]))
            return false;
    return true;
}

/* ---- the targets in force ---- */

static void list_files(struct sd_listing *l, const struct sd_files *files, struct map *paths)
{
    l->items = mem_realloc(l->items, (l->n + files->n + 1) * sizeof *l->items);
    for (size_t i = 0; i < files->n; i++) {
        bool added = true;
        struct str path = str_of(files->items[i].path);
        map_add(paths, path, &added);
        if (added)
            l->items[l->n++] = (struct sd_found){"file", STR("__meta_filepath"), path, files->items[i].groups};
    }
}

struct sd_listing discovery_list(const struct discovery *d)
{
    struct sd_listing l = {0};
    struct map paths = {0};
    for (size_t i = 0; i < d->n_readers; i++)
        list_files(&l, file_reader_files(d->readers[i]), &paths);
    for (size_t i = 0; i < d->n_retired; i++)
        list_files(&l, file_reader_files(d->retired[i]), &paths);
    map_free(&paths);
    return l;
}

void discovery_check(struct sd_checked *c, const struct sd_conf *conf, void (*warn)(void *arg, const char *text),
                     void *arg)
{
    struct map paths = {0};
    *c = (struct sd_checked){.patterns = mem_zalloc((count_patterns(conf) + 1) * sizeof *c->patterns)};
    for (size_t i = 0; i < conf->file_sd_configs.n; i++) {
        const struct str_list *patterns = &((const struct file_sd *)conf->file_sd_configs.items)[i].files;
        for (size_t k = 0; k < patterns->n; k++) {
            struct file_discovery *d = &c->patterns[c->n++];
            *d = (struct file_discovery){.pattern = str_of(str_dup(patterns->items[k])), .failed = warn, .arg = arg};
            file_discovery_refresh(d);
            list_files(&c->listing, &d->files, &paths);
        }
    }
    map_free(&paths);
}

void sd_checked_free(struct sd_checked *c)
{
    for (size_t i = 0; i < c->n; i++) {
        sd_files_free(&c->patterns[i].files);
        mem_free((char *)c->patterns[i].pattern.p);
    }
    mem_free(c->patterns);
    mem_free(c->listing.items);
}

/* ---- status and news ---- */

/* Patterns that match no file, as far as that is known. */
static char *missing_patterns(const struct discovery *d)
{
    struct buf text = {0};
    for (size_t i = 0; i < d->n_readers; i++) {
        const struct file_reader *r = d->readers[i];
        if (!file_reader_was_read(r) || file_reader_files(r)->n > 0)
            continue;
        char *path = conf_absolute_path(file_reader_pattern(r));
        buf_printf(&text, "%s%s", text.n ? ", " : "", path);
        mem_free(path);
    }
    char *copy = text.n > 0 ? str_dup(buf_str(&text)) : NULL;
    buf_free(&text);
    return copy;
}

static void explain_reader(const struct file_reader *r, struct buf *out)
{
    char *path = conf_absolute_path(file_reader_pattern(r));
    const struct sd_files *files = file_reader_files(r);
    const char *separator = out->n > 0 ? "; " : "";
    if (file_reader_hangs(r))
        buf_printf(out, "%s%s does not respond", separator, path);
    else if (!file_reader_was_read(r))
        buf_printf(out, "%s%s was not read yet", separator, path);
    else if (files->n == 0)
        buf_printf(out, "%sno file matches %s", separator, path);
    mem_free(path);
    for (size_t i = 0; i < files->n; i++)
        if (files->items[i].failing)
            buf_printf(out, "%scannot load %s", out->n > 0 ? "; " : "", files->items[i].path);
}

void discovery_explain(const struct discovery *d, struct buf *out)
{
    for (size_t i = 0; i < d->n_readers; i++)
        explain_reader(d->readers[i], out);
}

static void status_add_files(struct sd_status *s, const struct sd_files *files, struct map *paths)
{
    s->items = mem_realloc(s->items, (s->n + files->n + 1) * sizeof *s->items);
    for (size_t i = 0; i < files->n; i++) {
        const struct sd_file *f = &files->items[i];
        bool added = true;
        map_add(paths, str_of(f->path), &added);
        if (!added)
            continue;
        s->items[s->n++] = (struct sd_status_file){mem_strdup(f->path), (double)f->stamp.changed_ns / 1e9};
        s->failing += f->failing;
    }
}

struct sd_status discovery_status(const struct discovery *d)
{
    struct sd_status s = {.missing = missing_patterns(d)};
    struct map paths = {0};
    for (size_t i = 0; i < d->n_readers; i++) {
        status_add_files(&s, file_reader_files(d->readers[i]), &paths);
        s.hung += file_reader_hangs(d->readers[i]);
    }
    for (size_t i = 0; i < d->n_retired; i++)
        status_add_files(&s, file_reader_files(d->retired[i]), &paths);
    map_free(&paths);
    return s;
}

void sd_status_free(struct sd_status *s)
{
    for (size_t i = 0; i < s->n; i++)
        mem_free(s->items[i].path);
    mem_free(s->items);
    mem_free(s->missing);
}

static bool take_changes(struct discovery *d)
{
    bool changed = false;
    for (size_t i = 0; i < d->n_readers; i++)
        changed = file_reader_take_news(d->readers[i]) || changed;
    if (d->n_retired == 0 || !discovery_was_read(d))
        return changed;
    end_retired_readers(d);
    return true;
}

bool discovery_take_news(struct discovery *d, bool *changed)
{
    bool news = false, reads = false;
    int64_t now = sd_manager_now(d->manager);
    for (size_t i = 0; i < d->n_readers; i++) {
        news = news || file_reader_has_news(d->readers[i]);
        reads = reads || file_reader_reads(d->readers[i]);
    }
    if (!news)
        return false;
    if (d->news_at == 0)
        d->news_at = now;
    if (reads && now - d->news_at < NEWS_MS)
        return false;
    d->news_at = 0;
    *changed = take_changes(d);
    return true;
}
