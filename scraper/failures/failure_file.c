// SPDX-License-Identifier: Apache-2.0
#include "scraper/failures/failure_file.h"

#include "base/json/json_write.h"
#include "base/text/duration.h"
#include "base/text/url.h"

void failure_files_begin(struct failure_files *f)
{
    for (size_t i = 0; i < f->n; i++)
        f->items[i].wanted = false;
}

struct line_file *failure_files_want(struct failure_files *f, struct str path)
{
    if (path.n == 0)
        return NULL;
    size_t i = 0;
    while (i < f->n && !str_is(path, f->items[i].path))
        i++;
    if (i == f->n) {
        if (f->n == f->cap)
            mem_grow(&f->items, &f->cap, f->n + 1, sizeof *f->items);
        f->items[f->n++] = (struct failure_file){.path = str_dup(path), .lines = line_file_new()};
    }
    f->items[i].wanted = true;
    return f->items[i].lines;
}

void failure_files_open(struct failure_files *f)
{
    for (size_t i = 0; i < f->n; i++)
        line_file_use(f->items[i].lines, f->items[i].wanted ? str_of(f->items[i].path) : STR(""));
}

void failure_files_free(struct failure_files *f)
{
    for (size_t i = 0; i < f->n; i++) {
        line_file_free(f->items[i].lines);
        mem_free(f->items[i].path);
    }
    mem_free(f->items);
    *f = (struct failure_files){0};
}

void failure_file_put(struct line_file *file, struct str job, struct str url, const char *err, int64_t t)
{
    struct buf line = {0}, text = {0};
    struct json_writer w = {.out = &line};
    json_begin_object(&w);
    buf_add_rfc3339(&text, t);
    json_field_str(&w, "time", buf_str(&text));
    json_field_z(&w, "level", "ERROR");
    json_field_z(&w, "msg", err);
    json_field_str(&w, "job_name", job);
    buf_clear(&text);
    url_redact(&text, url);
    json_field_str(&w, "target", buf_str(&text));
    json_end_object(&w);
    buf_add_char(&line, '\n');
    line_file_put(file, buf_str(&line));
    buf_free(&line);
    buf_free(&text);
}
