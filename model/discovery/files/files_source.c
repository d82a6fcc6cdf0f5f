// SPDX-License-Identifier: Apache-2.0
/* The target files of a pattern as a source. */
#include "model/discovery/files/file_parts.h"
#include "model/discovery/files/file_reader.h"
#include "model/discovery/source/sd_source.h"

struct files_source {
    struct sd_source source;
    struct sd_source_env env;    /* without the owner */
    struct file_reader *reader;
    struct file_parts parts;     /* of the last read */
    bool has_news, drained;      /* drained: all parts of the first read have been visited */
};

static struct files_source *files_of(struct sd_source *s) { return (struct files_source *)(void *)s; }

static struct file_reader *files_reader(const struct sd_source *s)
{
    return ((const struct files_source *)(const void *)s)->reader;
}

static void files_source_free(struct sd_source *s)
{
    file_reader_free(files_reader(s));
    file_parts_free(&files_of(s)->parts);
    mem_free((char *)s->key.p);
    mem_free(s);
}

static void files_source_start(struct sd_source *s, struct dir_watch *dirs)
{
    file_reader_read(files_reader(s), dirs, true);
}

static void files_source_poll(struct sd_source *s, struct dir_watch *dirs)
{
    file_reader_read(files_reader(s), dirs, false);
}

static struct sd_source_state files_source_state(const struct sd_source *s)
{
    const struct files_source *f = (const struct files_source *)(const void *)s;
    const struct file_reader *r = f->reader;
    bool was_read = file_reader_was_read(r);
    return (struct sd_source_state){.reads = file_reader_reads(r),
                                    .awaited = file_reader_awaited(r) || (was_read && !f->drained),
                                    .was_read = was_read, .has_some = was_read,
                                    .has_news = f->has_news || file_reader_has_news(r)};
}

static void files_note_drained(struct files_source *f)
{
    f->drained = file_reader_was_read(f->reader) && !file_parts_changed(&f->parts);
}

static bool files_source_take_news(struct sd_source *s)
{
    struct files_source *f = files_of(s);
    f->has_news = false;
    if (file_reader_take_news(f->reader))
        file_parts_set(&f->parts, file_reader_files(f->reader));
    files_note_drained(f);
    return file_parts_changed(&f->parts);
}

void files_source_visit(const struct sd_files *files, struct map *seen, sd_visit_fn *visit, void *arg)
{
    for (size_t i = 0; i < files->n; i++) {
        bool added = true;
        struct str path = str_of(files->items[i].path);
        map_add(seen, path, &added);
        if (added)
            visit(arg, &(struct sd_found){"file", STR("__meta_filepath"), path, files->items[i].groups, NULL});
    }
}

static void files_source_visit_all(struct sd_source *s, struct map *seen, sd_visit_fn *visit, void *arg)
{
    struct files_source *f = files_of(s);
    const struct sd_files *files = file_reader_files(f->reader);
    file_parts_set(&f->parts, files);
    file_parts_visit(&f->parts, files, seen, visit, arg);
    files_note_drained(f);
}

static void files_source_visit_whole(struct sd_source *s, struct map *seen, sd_visit_fn *visit, void *arg)
{
    struct files_source *f = files_of(s);
    const struct sd_files *files = file_reader_files(f->reader);
    file_parts_set(&f->parts, files);
    file_parts_settle(&f->parts);
    files_source_visit(files, seen, visit, arg);
    files_note_drained(f);
}

/* As many as a turn of the main loop has time for. */
static void files_source_visit_changed(struct sd_source *s, sd_visit_fn *visit, void *arg)
{
    struct files_source *f = files_of(s);
    file_parts_visit_changed(&f->parts, loop_slice_end(f->env.main), visit, arg);
    files_note_drained(f);
    if (!file_parts_changed(&f->parts))
        return;
    f->has_news = true;
    f->env.news(f->env.arg);
}

static bool files_source_claim(const struct sd_source *s, struct map *seen)
{
    const struct sd_files *files = file_reader_files(files_reader(s));
    bool added = true;
    for (size_t i = 0; i < files->n && added; i++)
        map_add(seen, str_of(files->items[i].path), &added);
    return added;
}

/* ---- status ---- */

static bool files_are_missing(const struct file_reader *r)
{
    return file_reader_was_read(r) && file_reader_files(r)->n == 0;
}

static void show_missing(const struct file_reader *r, struct sd_status *out)
{
    struct buf text = {0};
    char *path = conf_absolute_path(file_reader_pattern(r));
    buf_printf(&text, "%s%s%s", out->missing ? out->missing : "", out->missing ? ", " : "", path);
    mem_free(out->missing);
    out->missing = str_dup(buf_str(&text));
    mem_free(path);
    buf_free(&text);
}

static void files_source_show(const struct sd_source *s, struct sd_status *out, struct map *seen)
{
    const struct file_reader *r = files_reader(s);
    const struct sd_files *files = file_reader_files(r);
    out->items = mem_realloc(out->items, (out->n + files->n + 1) * sizeof *out->items);
    for (size_t i = 0; i < files->n; i++) {
        const struct sd_file *f = &files->items[i];
        bool added = true;
        map_add(seen, str_of(f->path), &added);
        if (!added)
            continue;
        out->items[out->n++] = (struct sd_status_file){mem_strdup(f->path), (double)f->stamp.changed_ns / 1e9};
        out->failing += f->failing;
    }
    out->hung += file_reader_hangs(r);
    if (files_are_missing(r))
        show_missing(r, out);
}

static void files_source_explain(const struct sd_source *s, struct buf *out)
{
    const struct file_reader *r = files_reader(s);
    const struct sd_files *files = file_reader_files(r);
    const char *separator = out->n > 0 ? "; " : "";
    char *path = conf_absolute_path(file_reader_pattern(r));
    if (file_reader_hangs(r))
        buf_printf(out, "%s%s does not respond", separator, path);
    else if (!file_reader_was_read(r))
        buf_printf(out, "%s%s was not read yet", separator, path);
    else if (files_are_missing(r))
        buf_printf(out, "%sno file matches %s", separator, path);
    mem_free(path);
    for (size_t i = 0; i < files->n; i++)
        if (files->items[i].failing)
            buf_printf(out, "%scannot load %s", out->n > 0 ? "; " : "", files->items[i].path);
}

/* ---- life ---- */

static const struct sd_source_ops files_source_ops = {
    .free = files_source_free, .start = files_source_start, .poll = files_source_poll, .state = files_source_state,
    .take_news = files_source_take_news, .visit = files_source_visit_all, .visit_whole = files_source_visit_whole,
    .visit_changed = files_source_visit_changed, .claim = files_source_claim, .show = files_source_show,
    .explain = files_source_explain};

struct str files_source_key(struct buf *scratch, struct str pattern)
{
    buf_clear(scratch);
    buf_printf(scratch, "file %.*s", STR_ARG(pattern));
    return buf_str(scratch);
}

struct sd_source *files_source_new(const struct sd_source_env *env, struct str pattern)
{
    struct buf key = {0};
    struct files_source *f = mem_zalloc(sizeof *f);
    struct file_reader_env reader = {.main = env->main, .news = env->news, .arg = env->arg};
    f->source.ops = &files_source_ops;
    f->env = *env;
    file_parts_init(&f->parts);
    f->source.key = str_of(str_dup(files_source_key(&key, pattern)));
    f->reader = file_reader_new(&reader, env->owner, pattern);
    buf_free(&key);
    return &f->source;
}
