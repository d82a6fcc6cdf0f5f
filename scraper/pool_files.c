// SPDX-License-Identifier: Apache-2.0
/* The target files of a job: a reader per pattern.
 *
 * A reload keeps the readers of unchanged patterns, with their files. The readers of patterns that were removed
 * remain in force until all new ones have been read once, so that a job whose new files hang keeps its targets.
 */
#include "scraper/pool.h"

static size_t count_patterns(const struct scrape_job *conf)
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

void pool_set_files(struct pool *p, const struct scrape_job *conf, const struct file_reader_env *env)
{
    struct file_reader **before = p->readers;
    size_t n_before = p->n_readers;
    p->readers = mem_zalloc((count_patterns(conf) + 1) * sizeof *p->readers);
    p->n_readers = 0;
    for (size_t i = 0; i < conf->file_sd_configs.n; i++) {
        const struct str_list *patterns = &((const struct file_sd *)conf->file_sd_configs.items)[i].files;
        for (size_t k = 0; k < patterns->n; k++) {
            struct file_reader *r = take_reader(before, n_before, patterns->items[k]);
            p->readers[p->n_readers++] = r ? r : file_reader_new(env, conf->job_name, patterns->items[k]);
        }
    }
    for (size_t i = 0; i < n_before; i++)
        if (before[i])
            append_reader(&p->retired, &p->n_retired, before[i]);
    mem_free(before);
}

static void end_retired_readers(struct pool *p)
{
    while (p->n_retired > 0)
        file_reader_free(p->retired[--p->n_retired]);
    mem_free(p->retired);
    p->retired = NULL;
}

static void free_shown(struct pool_files *shown)
{
    for (size_t i = 0; i < shown->n; i++)
        mem_free(shown->items[i].path);
    mem_free(shown->items);
    mem_free(shown->missing);
}

void pool_free_files(struct pool *p)
{
    end_retired_readers(p);
    for (size_t i = 0; i < p->n_readers; i++)
        file_reader_free(p->readers[i]);
    mem_free(p->readers);
    free_shown(&p->file_status);
}

void pool_read_files(struct pool *p, struct dir_watch *dirs, bool await)
{
    for (size_t i = 0; i < p->n_readers; i++)
        file_reader_read(p->readers[i], dirs, await);
}

bool pool_awaits_files(const struct pool *p)
{
    for (size_t i = 0; i < p->n_readers; i++)
        if (file_reader_awaited(p->readers[i]))
            return true;
    return false;
}

/* ---- the files in force ---- */

static void list_files(struct sd_listing *l, const struct sd_files *files, struct map *paths)
{
    l->items = mem_realloc(l->items, (l->n + files->n + 1) * sizeof *l->items);
    for (size_t i = 0; i < files->n; i++) {
        bool added = true;
        map_add(paths, str_of(files->items[i].path), &added);
        if (added)
            l->items[l->n++] = &files->items[i];
    }
}

struct sd_listing pool_list_files(const struct pool *p)
{
    struct sd_listing l = {0};
    struct map paths = {0};
    for (size_t i = 0; i < p->n_readers; i++)
        list_files(&l, file_reader_files(p->readers[i]), &paths);
    for (size_t i = 0; i < p->n_retired; i++)
        list_files(&l, file_reader_files(p->retired[i]), &paths);
    map_free(&paths);
    return l;
}

void pool_check_files(struct checked_files *c, const struct scrape_job *conf,
                      void (*warn)(void *arg, const char *text), void *arg)
{
    struct map paths = {0};
    *c = (struct checked_files){.patterns = mem_zalloc((count_patterns(conf) + 1) * sizeof *c->patterns)};
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

void checked_files_free(struct checked_files *c)
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
static char *missing_patterns(const struct pool *p)
{
    struct buf text = {0};
    for (size_t i = 0; i < p->n_readers; i++) {
        const struct file_reader *r = p->readers[i];
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

void pool_show_files(struct pool *p, struct mutex *mutex)
{
    struct sd_listing files = pool_list_files(p);
    struct pool_files now = {.missing = missing_patterns(p)}, before;
    now.items = files.n > 0 ? mem_zalloc(files.n * sizeof *now.items) : NULL;
    for (; now.n < files.n; now.n++) {
        const struct sd_file *f = files.items[now.n];
        now.items[now.n] = (struct pool_file){mem_strdup(f->path), (double)f->stamp.changed_ns / 1e9};
        now.failing += f->failing;
    }
    for (size_t i = 0; i < p->n_readers; i++)
        now.hung += file_reader_hangs(p->readers[i]);
    mem_free(files.items);
    mutex_lock(mutex); /* other threads read it */
    before = p->file_status;
    p->file_status = now;
    mutex_unlock(mutex);
    free_shown(&before);
}

static bool take_changes(struct pool *p)
{
    bool changed = false, all_read = true;
    for (size_t i = 0; i < p->n_readers; i++) {
        changed = file_reader_take_news(p->readers[i]) || changed;
        all_read = all_read && file_reader_was_read(p->readers[i]);
    }
    if (p->n_retired == 0 || !all_read)
        return changed;
    end_retired_readers(p);
    return true;
}

bool pool_take_news(struct pool *p, struct mutex *mutex, int64_t now)
{
    bool news = false, reads = false;
    for (size_t i = 0; i < p->n_readers; i++) {
        news = news || file_reader_has_news(p->readers[i]);
        reads = reads || file_reader_reads(p->readers[i]);
    }
    if (!news)
        return false;
    if (p->news_at == 0)
        p->news_at = now;
    if (reads && now - p->news_at < POOL_NEWS_MS)
        return false;
    p->news_at = 0;
    bool changed = take_changes(p);
    pool_show_files(p, mutex);
    return changed;
}
