// SPDX-License-Identifier: Apache-2.0
/* A page after it is parsed: comparing it with the last one, writing its samples, and making it the last one. */
#include "scraper/page/page.h"

#include "base/hash.h"

void page_init(struct page *p, struct interner *in, struct sink *sink)
{
    *p = (struct page){.sink = sink};
    page_reader_init(&p->reader, in, &p->result);
    marker_writer_init(&p->markers, in, sink);
}

void page_free(struct page *p)
{
    page_reader_free(&p->reader);
    marker_writer_free(&p->markers);
    identity_set_free(&p->times);
    exemplar_writer_free(&p->exemplars);
    buf_free(&p->labels);
    buf_free(&p->texts);
}

void page_start(struct page *p, uint64_t source, const struct target_labels *target, struct template_group *c,
                struct scrape_cache *last, struct series_limit *limit, struct page_text text, int64_t t)
{
    page_reader_start(&p->reader, source, target, c, last, text, t);
    marker_writer_start(&p->markers, source, target, last, limit);
    exemplar_writer_start(&p->exemplars);
    p->last = last;
    p->written = p->compared = p->compared_uncached = 0;
    p->comparing = p->ready = false;
    p->series = 0;
    p->in_parts = false;
    p->limit = limit;
    p->limited = p->limited_uncached = 0;
    p->limiting = LIMIT_BEGIN;
    p->updating = UPDATE_BEGIN;
}

enum page_state page_parse(struct page *p, size_t lines) { return page_reader_parse(&p->reader, lines); }

/* ---- comparing with the last page ---- */

/* Identity of a sample. Targets choose timestamps, so they are hashed with a key as texts are. */
static uint64_t identity_at(uint64_t identity, int64_t t)
{
    uint64_t both[] = {identity, (uint64_t)t};
    return hash_keyed(both, sizeof both);
}

/* Of samples with the same series and timestamp the first one counts. */
static void find_duplicates(struct page *p, size_t end)
{
    for (; p->compared < end; p->compared++) {
        struct staged *s = &p->reader.stage[p->compared];
        uint64_t identity = staged_identity(&p->reader, s, &p->compared_uncached);
        if (s->skip)
            continue;
        bool first = identity_set_add(&p->markers.set, identity);
        if (first && p->last->n == 0)
            series_digest_add(&p->result.digest, identity);
        if (p->in_parts ? (s->id & ID_TIMED) != 0 : p->reader.timed > 0)
            first = identity_set_add(&p->times, identity_at(identity, s->t));
        s->skip = !first;
        p->result.duplicates += !first;
    }
}

static bool page_begin_compare(struct page *p)
{
    p->comparing = true;
    p->result.uncached_lines = p->reader.n_uncached;
    p->reader.same = p->reader.same && p->reader.expect == p->last->n;
    if (p->reader.same && !p->last->duplicates)
        return false;
    identity_set_start(&p->markers.set, p->reader.n + p->last->n); /* markers_find_gone adds those of the last page */
    if (p->reader.timed > 0)
        identity_set_start(&p->times, p->reader.n);
    return true;
}

bool page_compare(struct page *p, size_t lines)
{
    if (!p->comparing && !page_begin_compare(p))
        return false;
    if (!p->ready) {
        p->ready = !identity_set_touch(&p->markers.set) && (p->reader.timed == 0 || !identity_set_touch(&p->times));
        return true;
    }
    if (p->compared < p->reader.n) {
        find_duplicates(p, p->reader.n - p->compared > lines ? p->compared + lines : p->reader.n);
        return true;
    }
    if (p->markers.found == 0)
        p->series = p->markers.set.n;
    if (p->in_parts) /* those of the last page are not counted in */
        identity_set_make_room(&p->markers.set, lines);
    if (identity_set_settle(&p->markers.set) || markers_find_gone(&p->markers, lines))
        return true;
    p->result.added = p->series - p->markers.common;
    return false;
}

bool page_mark_vanished(struct page *p, int64_t t) { return markers_write(&p->markers, t); }

/* ---- the limit of series ---- */

static bool page_begin_limit(struct page *p)
{
    if (p->limit == NULL)
        return false;
    bool renewed = series_limit_renew(p->limit, p->reader.t);
    return renewed || p->limit->exceeded || !p->reader.same;
}

bool page_limit(struct page *p, size_t lines)
{
    if (p->limiting == LIMIT_BEGIN)
        p->limiting = page_begin_limit(p) ? LIMIT_LINES : LIMIT_DONE;
    if (p->limiting == LIMIT_DONE)
        return false;
    for (; p->limited < p->reader.n && lines > 0; p->limited++, lines--) {
        struct staged *s = &p->reader.stage[p->limited];
        uint64_t identity = staged_identity(&p->reader, s, &p->limited_uncached);
        if (s->skip || series_limit_admit(p->limit, identity))
            continue;
        s->skip = true;
        p->result.over_series_limit++;
    }
    return p->limited < p->reader.n;
}

/* ---- writing ---- */

static size_t batch_bytes(const struct page *p, size_t from, size_t to)
{
    enum { SAMPLE_AND_FRAME = 24 };
    size_t bytes = (to - from) * (p->reader.target->wire.n + SAMPLE_AND_FRAME);
    for (size_t i = from; i < to; i++) {
        const struct staged *s = &p->reader.stage[i];
        bytes += id_uncached(s->id) ? 2 * s->n : p->reader.templates->entries[id_entry(s->id)]->fixed_n;
    }
    for (size_t i = p->exemplars.next; i < p->reader.n_exemplars && p->reader.exemplars[i].line < to; i++)
        bytes += p->reader.exemplars[i].n;
    for (size_t i = p->exemplars.next_extra; i < p->reader.page.n_extras; i++)
        if (p->reader.page.extras[i].at <= p->reader.stage[to - 1].at)
            bytes += p->reader.page.extras[i].n;
        else
            break;
    return bytes;
}

static struct labels staged_labels(struct page *p, const struct staged *s)
{
    const struct page_reader *r = &p->reader;
    if (!id_uncached(s->id))
        return entry_splice(r->templates, r->templates->entries[id_entry(s->id)], r->target, &p->labels);
    struct derived d;
    struct err err; /* it was derived successfully before */
    bool ok = template_derive(r->interner, r->templates, r->target, str_n(r->page.text.p + s->at, s->n),
                              (enum bounds_type)s->type, &d, &err);
    return ok ? d.labels : (struct labels){0};
}

bool page_write(struct page *p)
{
    bool extras = p->reader.n_exemplars + p->reader.page.n_extras > 0;
    size_t batch = p->reader.same ? PAGE_BATCH : PAGE_BATCH_CHANGED;
    size_t from = p->written, to = p->reader.n - from > batch ? from + batch : p->reader.n;
    if (from == to)
        return false;
    p->written = to;
    struct sink_batch about = {.source = p->reader.source, .route = p->reader.templates->job->conf->route,
                                .bytes = batch_bytes(p, from, to)};
    if (sink_begin(p->sink, &about) == SINK_BUSY) {
        for (size_t i = from; i < to; i++)
            p->result.busy += !p->reader.stage[i].skip;
        return to < p->reader.n;
    }
    for (size_t i = from; i < to; i++) {
        const struct staged *s = &p->reader.stage[i];
        if (s->skip)
            continue;
        struct sample sample = {s->t, s->v};
        struct series_in in = {.samples = &sample, .n_samples = 1};
        if (extras)
            exemplar_writer_complete(&p->exemplars, &p->reader, i, &in);
        in.labels = staged_labels(p, s);
        sink_series(p->sink, &in);
    }
    sink_commit(p->sink, NULL, NULL);
    return to < p->reader.n;
}

/* ---- updating the cache ---- */

/* Allocates; false if the last cache remains in use. */
static bool page_begin_update(struct page *p)
{
    struct page_reader *r = &p->reader;
    if (r->same && !p->last->duplicates)
        return false;
    p->next = (struct scrape_cache){.templates = template_group_ref(r->templates),
                                    .duplicates = p->result.duplicates > 0, .exemplars = p->last->exemplars};
    p->last->exemplars = (struct buf){0};
    p->next.cap = (uint32_t)r->n + 1;
    p->next.ids = mem_alloc(p->next.cap * sizeof *p->next.ids);
    p->next.n_uncached = (uint32_t)r->n_uncached;
    p->next.uncached = page_reader_take_uncached(r);
    buf_clear(&p->texts);
    return true;
}

static void page_cache_line(struct page *p, const struct staged *s)
{
    struct page_reader *r = &p->reader;
    struct scrape_cache *x = &p->next;
    x->ids[x->n++] = s->id;
    if (id_uncached(s->id))
        scrape_cache_add_text(x, r->interner, &p->texts, str_n(r->page.text.p + s->at, s->n));
    else
        entry_ref(r->interner, r->templates, id_entry(s->id));
}

static void page_cache_texts(struct page *p)
{
    struct scrape_cache *x = &p->next;
    scrape_cache_flush_texts(x, p->reader.interner, &p->texts);
    buf_free(&p->texts);
    x->texts.p = mem_realloc(x->texts.p, x->texts.n);
    x->texts.cap = x->texts.n;
}

static bool page_update_lines(struct page *p, size_t lines)
{
    struct page_reader *r = &p->reader;
    for (; p->next.n < r->n && lines > 0; lines--)
        page_cache_line(p, &r->stage[p->next.n]);
    if (p->next.n < r->n)
        return true;
    page_cache_texts(p);
    return false;
}

/* The lines of a page in parts are in `next` already. */
static void page_stream_cache(struct page *p)
{
    struct scrape_cache *x = &p->next;
    page_cache_texts(p);
    x->ids = mem_realloc(x->ids, (x->n + 1) * sizeof *x->ids);
    x->cap = x->n + 1;
    x->uncached = mem_realloc(x->uncached, (x->n_uncached + 1) * sizeof *x->uncached);
    x->duplicates = p->result.duplicates > 0;
}

bool page_update_cache(struct page *p, size_t lines)
{
    switch (p->updating) {
    case UPDATE_BEGIN:
        exemplar_writer_end(&p->exemplars, &p->reader, p->last);
        if (!p->in_parts && !page_begin_update(p))
            return false;
        if (p->in_parts) {
            page_stream_cache(p);
            p->next.exemplars = p->last->exemplars;
            p->last->exemplars = (struct buf){0};
        }
        p->updating = p->in_parts ? UPDATE_CLEAR : UPDATE_LINES;
        return true;
    case UPDATE_LINES:
        if (!page_update_lines(p, lines))
            p->updating = UPDATE_CLEAR;
        return true;
    case UPDATE_CLEAR:
        if (scrape_cache_clear_some(p->last, p->reader.interner, lines))
            return true;
        *p->last = p->next;
        p->next = (struct scrape_cache){0};
        break;
    }
    return false;
}

bool page_end(struct page *p, size_t lines)
{
    if (page_reader_end(&p->reader, lines))
        return true;
    marker_writer_end(&p->markers);
    exemplar_writer_release(&p->exemplars, &p->reader.interner->release);
    identity_set_release(&p->times, &p->reader.interner->release);
    return false;
}

/* ---- in parts ---- */

/* Identities are always compared: what this page has shown may be needed when a line is not the expected one. */
void page_stream_begin(struct page *p)
{
    p->in_parts = true;
    p->next = (struct scrape_cache){.templates = template_group_ref(p->reader.templates)};
    p->next_ids_cap = p->next_uncached_cap = 0;
    identity_set_start(&p->markers.set, p->last->n);
    if (p->limit)
        series_limit_renew(p->limit, p->reader.t);
}

enum page_state page_stream_parse(struct page *p, struct str text, bool last, size_t lines, size_t *read)
{
    struct page_reader *r = &p->reader;
    page_reader_continue(r, text, last);
    exemplar_writer_continue(&p->exemplars);
    p->compared = p->compared_uncached = p->written = p->limited = p->limited_uncached = 0;
    enum page_state state = page_reader_parse(r, lines);
    *read = page_reader_leave(r);
    if (state == PAGE_INVALID && page_reader_may_want_more(r)) {
        r->result->err = (struct err){0};
        state = PAGE_COMPLETE;
    }
    if (state == PAGE_INVALID)
        return state;
    identity_set_touch(&p->markers.set);
    identity_set_make_room(&p->markers.set, r->n);
    if (r->timed > 0)
        identity_set_make_room(&p->times, r->n);
    find_duplicates(p, r->n);
    return state;
}

void page_stream_write(struct page *p)
{
    struct page_reader *r = &p->reader;
    struct scrape_cache *x = &p->next;
    p->limiting = p->limit ? LIMIT_LINES : LIMIT_DONE;
    page_limit(p, r->n);
    while (page_write(p)) {
    }
    if (p->next_ids_cap < x->n + r->n)
        mem_grow(&x->ids, &p->next_ids_cap, x->n + r->n, sizeof *x->ids);
    if (p->next_uncached_cap < x->n_uncached + r->n_uncached)
        mem_grow(&x->uncached, &p->next_uncached_cap, x->n_uncached + r->n_uncached, sizeof *x->uncached);
    for (size_t i = 0; i < r->n; i++)
        page_cache_line(p, &r->stage[i]);
    for (size_t i = 0; i < r->n_uncached; i++)
        x->uncached[x->n_uncached++] = r->uncached[i];
    p->result.uncached_lines += r->n_uncached;
}

void page_stream_complete(struct page *p)
{
    page_reader_continue(&p->reader, STR_NONE, true);
    p->comparing = p->ready = true;
    p->compared = p->written = 0;
    p->limiting = LIMIT_DONE;
}

void page_stream_take(struct page *p, struct scrape_cache *to)
{
    page_stream_cache(p);
    *to = p->next;
    p->next = (struct scrape_cache){0};
}
