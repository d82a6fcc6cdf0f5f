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
    page_init(&f->page, &f->interner, &f->sink.sink);
}

void feed_close(struct feed *f)
{
    assert_int_equal(f->interner.template_groups.n, 0);
    assert_int_equal(f->interner.private_bytes, 0);
    page_free(&f->page);
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

bool feed_show(struct feed *f, struct source *s, const char *text, int64_t t)
{
    struct page *p = &f->page;
    recorder_forget(&f->sink);
    page_start(p, s->id, &s->labels, s->templates, &s->last, f->limit, (struct page_text){.text = str_of(text), .format = f->format}, t);
    enum page_state state;
    while ((state = page_parse(p, 3)) == PAGE_MORE) {
    }
    if (state == PAGE_INVALID) {
        while (page_end(p, 3)) {
        }
        markers_end_all(&p->markers, s->id, &s->labels, &s->last, f->limit, t);
        return false;
    }
    feed_write(f, t);
    return true;
}
