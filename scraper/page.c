// SPDX-License-Identifier: Apache-2.0
/* Parsing, comparing and writing a page (overview: page.h). */
#include "scraper/page.h"

#include "base/compress.h"

enum {
    RESYNC = 16,             /* missing lines that are skipped before the fast path is given up for this page */
    STAGE_KEEP = 32768,      /* number of staged samples for which memory is kept between pages */
};

void page_init(struct page *p, struct interner *in, struct sink *sink)
{
    *p = (struct page){.interner = in, .sink = sink};
    marker_writer_init(&p->stale, in, sink);
}

void page_free(struct page *p)
{
    mem_free(p->stage);
    mem_free(p->uncached);
    mem_free(p->new_entries);
    mem_free(p->borrowed);
    marker_writer_free(&p->stale);
    identity_set_free(&p->times);
    buf_free(&p->labels);
    buf_free(&p->texts);
}

void page_start(struct page *p, uint64_t source, const struct target_labels *target, struct template_group *c,
                struct scrape_cache *last, struct str text, int64_t t)
{
    p->source = source;
    p->target = target;
    p->templates = template_group_ref(c); /* the target may get another group while the page is parsed */
    p->last = last;
    marker_writer_start(&p->stale, source, target, last);
    p->text = text;
    p->t = t;
    exposition_start(&p->reader, text);
    p->reader.any_names = c->job->conf->page.any_names;
    p->type = BOUNDS_OTHER;
    p->n = p->n_uncached = p->n_new_entries = p->n_borrowed = 0;
    p->expect = p->expect_uncached = p->timed = p->written = p->compared = p->compared_uncached = 0;
    p->comparing = false;
    p->updating = UPDATE_BEGIN;
    p->same = last->templates == c;
    p->scraped = p->kept = p->added = p->duplicates = p->bad_lines = p->busy = 0;
    p->metadata = 0;
}

/* ---- parsing ---- */

static struct staged *stage(struct page *p)
{
    if (p->n == p->cap)
        mem_grow(&p->stage, &p->cap, p->n + 1, sizeof *p->stage);
    return &p->stage[p->n++];
}

static inline bool known_here(const struct page *p)
{
    return p->last->templates == p->templates && p->expect < p->last->n;
}

/* The cached text of the expected line; none if it is unknown or uncached. */
static inline struct str expected_text(const struct page *p)
{
    if (!known_here(p) || id_uncached(p->last->ids[p->expect]))
        return STR_NONE;
    return template_group_text(p->templates, id_entry(p->last->ids[p->expect]));
}

static inline void stage_line(struct page *p, uint32_t id, bool dropped)
{
    struct staged *s = stage(p);
    const struct exposition *e = &p->reader;
    bool timed = e->has_t && p->templates->job->conf->honor_timestamps;
    p->timed += timed;
    *s = (struct staged){.v = e->value, .t = timed ? e->t : p->t, .id = timed ? id | ID_TIMED : id,
                         .type = (uint8_t)p->type, .skip = dropped,
                                                  .at = (uint32_t)(e->series.p - p->text.p),
                                                  .n = (uint32_t)e->series.n};
    p->kept += !dropped;
}

/* Resynchronizes on an unexpected line: either the lines between have vanished, or it is new and they will follow. */
static void find_place(struct page *p, uint32_t id)
{
    p->same = false;
    if (p->last->templates != p->templates)
        return;
    for (size_t i = p->expect; i < p->last->n && i < p->expect + RESYNC; i++) {
        if (id_entry(p->last->ids[i]) == id) {
            for (size_t k = p->expect; k < i; k++)
                p->expect_uncached += id_uncached(p->last->ids[k]);
            p->expect = i + 1;
            return;
        }
    }
}

static void stage_cached(struct page *p, uint32_t id)
{
    bool expected = known_here(p) && id_entry(p->last->ids[p->expect]) == id;
    stage_line(p, id, p->templates->entries[id]->dropped);
    if (!expected)
        find_place(p, id);
    else if (p->last->ids[p->expect++] != p->stage[p->n - 1].id)
        p->same = false; /* the line has gained or lost its timestamp */
}

static void stage_uncached(struct page *p, struct uncached uncached)
{
    if (p->n_uncached == p->uncached_cap)
        mem_grow(&p->uncached, &p->uncached_cap, p->n_uncached + 1, sizeof *p->uncached);
    p->uncached[p->n_uncached++] = uncached;
    stage_line(p, ID_UNCACHED, uncached_dropped(&uncached));
}

/* Finds an uncached line of the last page near its expected position. */
static bool stage_uncached_known(struct page *p, uint64_t hash)
{
    const struct scrape_cache *x = p->last;
    if (x->templates != p->templates)
        return false;
    for (size_t i = p->expect_uncached; i < x->n_uncached && i < p->expect_uncached + RESYNC; i++) {
        if ((x->uncached[i].text & ~(uint64_t)UNCACHED_DROPPED) != uncached_text(hash, p->type))
            continue;
        bool in_place = i == p->expect_uncached && known_here(p) && id_uncached(x->ids[p->expect]);
        stage_uncached(p, x->uncached[i]);
        p->expect += in_place;
        p->same = p->same && in_place && x->ids[p->expect - 1] == p->stage[p->n - 1].id;
        p->expect_uncached = i + 1;
        return true;
    }
    return false;
}

static bool stage_new(struct page *p, struct str text, uint64_t hash, bool keep)
{
    struct derived d;
    if (!template_derive(p->interner, p->templates, p->target, text, p->type, &d, &p->err))
        return false;
    p->same = false;
    if (!keep) {
        stage_uncached(p, (struct uncached){uncached_text(hash, p->type) | d.dropped, d.sum});
        return true;
    }
    uint32_t id = template_add(p->interner, p->templates, p->target, text, &d);
    if (p->n_new_entries == p->new_entries_cap)
        mem_grow(&p->new_entries, &p->new_entries_cap, p->n_new_entries + 1, sizeof *p->new_entries);
    p->new_entries[p->n_new_entries++] = id;
    stage_cached(p, id);
    return true;
}

/* False: with this TYPE line the text has other labels than the cached ones; the line is treated as uncached. */
static inline bool entry_fits(const struct page *p, uint32_t id)
{
    return p->templates->entries[id]->types >> p->type & 1;
}

/* The owning target may fail and release the entry before this page's cache is updated. */
static void borrow_entry(struct page *p, uint32_t id)
{
    if (p->n_borrowed == p->borrowed_cap)
        mem_grow(&p->borrowed, &p->borrowed_cap, p->n_borrowed + 1, sizeof *p->borrowed);
    p->borrowed[p->n_borrowed++] = id;
    entry_ref(p->interner, p->templates, id);
}

/* A line that is not the expected one. */
static bool stage_other(struct page *p)
{
    struct str text = p->reader.series;
    uint32_t id;
    bool found = template_group_find(p->templates, text, &id);
    if (found && entry_fits(p, id)) {
        if (p->templates->entries[id]->refs > 0) /* not created by this page */
            borrow_entry(p, id);
        stage_cached(p, id);
        return true;
    }
    uint64_t hash = hash_keyed(text.p, text.n);
    bool keep = !found && interner_should_cache(p->interner, hash, p->source);
    if (!keep && stage_uncached_known(p, hash))
        return true;
    return stage_new(p, text, hash, keep);
}

static void note_metadata(struct page *p, enum exposition_kind kind)
{
    const struct exposition *e = &p->reader;
    uint64_t h = hash_bytes(e->name.p, (size_t)(e->text.p + e->text.n - e->name.p));
    if (kind == EXPOSITION_TYPE && p->templates->job->conf->page.spells_bounds)
        p->type = str_is(e->text, "histogram") ? BOUNDS_HISTOGRAM : str_is(e->text, "summary") ? BOUNDS_SUMMARY
                                                                                              : BOUNDS_OTHER;
    p->metadata = (p->metadata ^ (h + (uint64_t)kind)) * 0x9e3779b97f4a7c15ull;
}

/* The vmagent dialect skips lines that it cannot parse. */
static bool skip_line(struct page *p)
{
    if (p->templates->job->conf->broken_lines_fail)
        return false;
    p->bad_lines++;
    exposition_skip_line(&p->reader);
    return true;
}

/* The same for a line that parses but is not a valid series: duplicate label, value that is not UTF-8. */
static bool skip_series(struct page *p)
{
    if (p->templates->job->conf->broken_lines_fail || p->err.kind == ERR_LIMIT)
        return false;
    p->bad_lines++;
    p->scraped--;
    return true;
}

enum page_state page_parse(struct page *p, size_t lines)
{
    for (; lines > 0; lines--) {
        bool hit;
        enum exposition_kind kind = exposition_next_known(&p->reader, expected_text(p), &hit);
        switch (kind) {
        case EXPOSITION_SERIES:
            p->scraped++;
            if (hit && entry_fits(p, id_entry(p->last->ids[p->expect])))
                stage_cached(p, id_entry(p->last->ids[p->expect]));
            else if (!stage_other(p) && !skip_series(p))
                return PAGE_INVALID;
            break;
        case EXPOSITION_END:
            return PAGE_COMPLETE;
        case EXPOSITION_ERROR:
            if (skip_line(p))
                break;
            p->err = p->reader.err;
            return PAGE_INVALID;
        default:
            note_metadata(p, kind);
        }
    }
    return PAGE_MORE;
}

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
        struct staged *s = &p->stage[p->compared];
        uint64_t identity = staged_identity(p, s, &p->compared_uncached);
        if (s->skip)
            continue;
        bool first = identity_set_add(&p->stale.set, identity);
        if (p->timed > 0)
            first = identity_set_add(&p->times, identity_at(identity, s->t));
        s->skip = !first;
        p->duplicates += !first;
    }
}

static bool begin_settle(struct page *p)
{
    p->comparing = true;
    p->uncached_lines = p->n_uncached;
    p->same = p->same && p->expect == p->last->n;
    if (p->same && !p->last->duplicates)
        return false;
    identity_set_start(&p->stale.set, p->n + p->last->n); /* markers_find_gone adds those of the last page */
    if (p->timed > 0)
        identity_set_start(&p->times, p->n);
    return true;
}

bool page_compare(struct page *p, size_t lines)
{
    if (!p->comparing && !begin_settle(p))
        return false;
    if (p->compared < p->n) {
        find_duplicates(p, p->n - p->compared > lines ? p->compared + lines : p->n);
        return true;
    }
    if (markers_find_gone(&p->stale, lines))
        return true;
    p->added = p->stale.set.n - p->stale.common;
    return false;
}

bool page_mark_vanished(struct page *p, int64_t t) { return markers_write(&p->stale, t); }

/* ---- writing ---- */

static size_t batch_bytes(const struct page *p, size_t from, size_t to)
{
    enum { SAMPLE_AND_FRAME = 24 };
    size_t bytes = (to - from) * (p->target->wire.n + SAMPLE_AND_FRAME);
    for (size_t i = from; i < to; i++) {
        const struct staged *s = &p->stage[i];
        bytes += id_uncached(s->id) ? 2 * s->n : p->templates->entries[id_entry(s->id)]->fixed_n;
    }
    return bytes;
}

static struct labels staged_labels(struct page *p, const struct staged *s)
{
    if (!id_uncached(s->id))
        return entry_splice(p->templates, p->templates->entries[id_entry(s->id)], p->target, &p->labels);
    struct derived d;
    struct err err; /* it was derived successfully before */
    bool ok = template_derive(p->interner, p->templates, p->target, str_n(p->text.p + s->at, s->n),
                              (enum bounds_type)s->type, &d, &err);
    return ok ? d.labels : (struct labels){0};
}

bool page_write(struct page *p)
{
    size_t from = p->written, to = p->n - from > PAGE_BATCH ? from + PAGE_BATCH : p->n;
    if (from == to)
        return false;
    p->written = to;
    if (sink_begin(p->sink, &(struct sink_batch){.source = p->source, .bytes = batch_bytes(p, from,
                                                                                           to)}) == SINK_BUSY) {
        for (size_t i = from; i < to; i++)
            p->busy += !p->stage[i].skip;
        return to < p->n;
    }
    for (size_t i = from; i < to; i++) {
        const struct staged *s = &p->stage[i];
        if (s->skip)
            continue;
        struct sample sample = {s->t, s->v};
        sink_series(p->sink, &(struct series_in){.labels = staged_labels(p, s), .samples = &sample, .n_samples = 1});
    }
    sink_commit(p->sink, NULL, NULL);
    return to < p->n;
}

/* ---- updating the cache ---- */

/* A large stage is freed in pieces: returning its pages to the kernel takes 1 ms for each 16 MiB. */
static bool release_stage(struct page *p)
{
    enum { PIECE = (4 << 20) / sizeof(struct staged) };
    if (p->cap <= STAGE_KEEP)
        return false;
    p->cap = p->cap - STAGE_KEEP > PIECE ? p->cap - PIECE : STAGE_KEEP;
    p->stage = mem_realloc(p->stage, p->cap * sizeof *p->stage);
    return p->cap > STAGE_KEEP;
}

static void forget_page(struct page *p)
{
    for (size_t i = 0; i < p->n_new_entries; i++)
        entry_sweep(p->interner, p->templates, p->new_entries[i]);
    for (size_t i = 0; i < p->n_borrowed; i++)
        entry_unref(p->interner, p->templates, p->borrowed[i]);
    template_group_unref(p->interner, p->templates);
    p->templates = NULL;
    p->n = p->n_uncached = p->n_new_entries = p->n_borrowed = 0;
    p->text = STR_NONE;
}

/* Allocates; false if the last cache stays unchanged. */
static bool begin_adopt(struct page *p)
{
    if (p->same && !p->last->duplicates)
        return false;
    p->next = (struct scrape_cache){.templates = template_group_ref(p->templates), .duplicates = p->duplicates > 0};
    p->next.ids = mem_alloc((p->n + 1) * sizeof *p->next.ids);
    if (p->n_uncached > 0) {
        p->next.uncached = mem_dup(p->uncached, p->n_uncached * sizeof *p->uncached);
        p->next.n_uncached = (uint32_t)p->n_uncached;
    }
    buf_clear(&p->texts);
    return true;
}

static bool adopt_lines(struct page *p, size_t lines)
{
    struct scrape_cache *x = &p->next;
    for (; x->n < p->n && lines > 0; lines--) {
        const struct staged *s = &p->stage[x->n];
        x->ids[x->n++] = s->id;
        if (id_uncached(s->id))
            scrape_cache_add_text(x, &p->texts, str_n(p->text.p + s->at, s->n));
        else
            entry_ref(p->interner, p->templates, id_entry(s->id));
    }
    if (x->n < p->n)
        return true;
    scrape_cache_flush_texts(x, &p->texts);
    buf_free(&p->texts);
    x->texts.p = mem_realloc(x->texts.p, x->texts.n);
    x->texts.cap = x->texts.n;
    return false;
}

bool page_update_cache(struct page *p, size_t lines)
{
    switch (p->updating) {
    case UPDATE_BEGIN:
        p->updating = begin_adopt(p) ? UPDATE_LINES : UPDATE_RELEASE;
        if (p->updating == UPDATE_RELEASE)
            forget_page(p);
        return p->updating == UPDATE_LINES || p->cap > STAGE_KEEP;
    case UPDATE_LINES:
        p->updating = adopt_lines(p, lines) ? UPDATE_LINES : UPDATE_CLEAR;
        return true;
    case UPDATE_CLEAR:
        if (!scrape_cache_clear_some(p->last, p->interner, lines)) {
            *p->last = p->next;
            forget_page(p);
            p->updating = UPDATE_RELEASE;
        }
        return true;
    case UPDATE_RELEASE: break;
    }
    return release_stage(p);
}

void page_drop(struct page *p)
{
    forget_page(p);
    while (release_stage(p)) {
    }
}
