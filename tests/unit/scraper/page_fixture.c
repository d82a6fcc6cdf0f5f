// SPDX-License-Identifier: Apache-2.0
#include "page_fixture.h"

#include <string.h>

void feed_open(struct feed *f, const char *yaml)
{
    struct err err;
    memset(f, 0, sizeof *f);
    must_load_job(&f->arena, yaml, &f->job);
    f->loop = loop_new();
    f->job_set = job_set_new(f->loop);
    f->run = running_job_new(f->job_set, &f->job, &err);
    assert_non_null(f->run);
    interner_init(&f->interner);
    recorder_init(&f->sink);
    page_rewrite_init(&f->rewritten);
    page_init(&f->page, &f->interner, &f->sink.sink);
}

void feed_close(struct feed *f)
{
    assert_int_equal(f->interner.template_groups.n, 0);
    assert_int_equal(f->interner.private_bytes, 0);
    page_free(&f->page);
    page_rewrite_free(&f->rewritten);
    interner_free(&f->interner);
    recorder_free(&f->sink);
    f->job_set->synchronous = true;
    running_job_unref(f->run);
    job_set_unref(f->job_set);
    loop_free(f->loop);
    arena_free(&f->arena);
}

struct source source_open(struct feed *f, const struct label *labels, size_t n)
{
    struct labels wire = labels_from(&f->arena, labels, n);
    struct source s = {.tables = mem_alloc(target_labels_size(wire.count)), .id = labels_hash(wire)};
    target_labels_init(&s.labels, s.tables, wire);
    s.templates = template_group_get(&f->interner, f->run, &s.labels, (uint32_t)f->job.label_limit);
    return s;
}

struct source standard_source(struct feed *f)
{
    return source_open(f, (struct label[]){{STR("job"), STR("j")}, {STR("instance"), STR("i:1")}}, 2);
}

void source_close(struct feed *f, struct source *s)
{
    scrape_cache_clear(&s->last, &f->interner);
    template_group_unref(&f->interner, s->templates);
    mem_free(s->tables);
}

void feed_write(struct feed *f, int64_t t)
{
    struct page *p = &f->page;
    while (page_compare(p, 3)) {
    }
    while (page_limit(p, 3)) {
    }
    while (page_write(p)) {
    }
    while (page_mark_vanished(p, t)) {
    }
    while (page_update_cache(p, 3)) {
    }
    while (page_end(p, 3)) {
    }
}

static struct page_text feed_page(struct feed *f, const char *text, int64_t t)
{
    if (!f->rewrites)
        return (struct page_text){.text = str_of(text), .format = f->format};
    f->options.t = t;
    f->options.max_bytes = 1 << 20;
    page_rewrite_start(&f->rewritten, str_of(text), f->format, &f->options);
    while (page_rewrite_some(&f->rewritten, 2) == COPY_MORE) {
    }
    return page_rewrite_text(&f->rewritten);
}

/* What has arrived of `text` is in memory that moves with each part, up to the last line feed. */
static enum page_state feed_parts(struct feed *f, struct str text)
{
    struct page *p = &f->page;
    size_t done = 0, arrived = 0;
    enum page_state state = PAGE_MORE;
    page_stream_begin(p);
    while (state != PAGE_INVALID && !(state == PAGE_COMPLETE && arrived == text.n)) {
        if (state == PAGE_COMPLETE || arrived == 0)
            arrived = text.n - arrived > f->part ? arrived + f->part : text.n;
        struct str rest = str_skip(str_first(text, arrived), done);
        const char *eol = rest.n > 0 ? memrchr(rest.p, '\n', rest.n) : NULL;
        bool last = arrived == text.n;
        size_t n = last ? rest.n : eol ? (size_t)(eol + 1 - rest.p) : 0, read;
        char *copy = mem_alloc(n + 1);
        if (n > 0)
            memcpy(copy, rest.p, n);
        state = page_stream_parse(p, str_n(copy, n), last, 3, &read);
        if (state != PAGE_INVALID)
            page_stream_write(p);
        mem_free(copy);
        done += read;
    }
    return state;
}

bool feed_show(struct feed *f, struct source *s, const char *text, int64_t t)
{
    struct page *p = &f->page;
    recorder_forget(&f->sink);
    struct page_text page = feed_page(f, text, t);
    bool in_parts = f->part > 0 && !f->rewrites;
    struct scrape_cache written = {0};
    enum page_state state;
    page_start(p, s->id, &s->labels, s->templates, &s->last, f->limit,
               in_parts ? (struct page_text){.format = page.format} : page, t);
    p->exemplars.starts = f->starts;
    if (in_parts)
        state = feed_parts(f, page.text);
    else
        while ((state = page_parse(p, 3)) == PAGE_MORE) {
        }
    if (state == PAGE_COMPLETE && in_parts)
        page_stream_complete(p);
    if (state == PAGE_INVALID && in_parts)
        page_stream_take(p, &written);
    if (state == PAGE_INVALID) {
        while (page_end(p, 3)) {
        }
        if (in_parts) {
            markers_end_begin(&p->markers, s->id, &s->labels, &written, f->limit);
            while (markers_end_some(&p->markers, t + 1, 3)) {
            }
            markers_end_also(&p->markers, &s->last);
            while (markers_end_some(&p->markers, t + 1, 3)) {
            }
            marker_writer_end(&p->markers);
            return false;
        }
        markers_end_all(&p->markers, s->id, &s->labels, &s->last, f->limit, t);
        return false;
    }
    feed_write(f, t);
    return true;
}
