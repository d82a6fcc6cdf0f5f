// SPDX-License-Identifier: Apache-2.0
/* Lines of a page become staged samples. Each line is looked up where it is cheapest:
 *
 * 1. As the line that the last page had at this place: one memcmp.
 * 2. Among the texts of the template group; a line that has moved lets the following ones be expected there.
 * 3. Among the uncached lines of the last page near this place, by hash.
 * 4. Nowhere: its labels are derived, and it becomes an entry of the group while there is budget.
 */
#include "scraper/page/page_reader.h"

#include "base/hash.h"

enum {
    RESYNC = 16,             /* missing lines that are skipped before this page leaves the fast path */
    STAGE_KEEP = 32768,      /* number of lines for which memory is kept between pages */
    METADATA_PARTS_MAX = 32 << 20, /* bytes, of a page in parts; further metadata is left out */
    VALUE_LINES_MAX = 64 << 10,   /* bytes of a series of which a value has line feeds, in a page in parts */
};

void page_reader_init(struct page_reader *r, struct interner *in, struct page_result *result)
{
    *r = (struct page_reader){.interner = in, .result = result};
}

void page_reader_free(struct page_reader *r)
{
    mem_free(r->stage);
    mem_free(r->uncached);
    mem_free(r->new_entries);
    mem_free(r->borrowed);
    mem_free(r->exemplars);
    mem_free(r->metadata);
    buf_free(&r->metadata_text);
}

static void page_reader_begin_text(struct page_reader *r, struct page_text page)
{
    r->page = page;
    exposition_start(&r->exposition, page.text);
    r->exposition.format = page.format;
    r->exposition.lines_left_out = page.lines_left_out;
    r->exposition.lax = r->templates->job->conf->page.lax;
}

void page_reader_start(struct page_reader *r, uint64_t source, const struct target_labels *target,
                       struct template_group *c, const struct scrape_cache *last, struct page_text page, int64_t t)
{
    *r->result = (struct page_result){0};
    r->source = source;
    r->target = target;
    r->templates = template_group_ref(c); /* the target may get another group while the page is parsed */
    r->last = last;
    r->t = t;
    r->in_parts = false;
    buf_clear(&r->metadata_text);
    page_reader_begin_text(r, page);
    r->type = BOUNDS_OTHER;
    r->n = r->n_uncached = r->n_new_entries = r->n_borrowed = r->n_exemplars = r->n_metadata = 0;
    r->expect = r->expect_uncached = r->timed = 0;
    r->same = last->templates == c;
}

/* Entries that no cache uses are gone afterwards. True while there is more. */
static bool page_reader_release_entries(struct page_reader *r, size_t lines)
{
    for (; r->n_new_entries > 0 && lines > 0; lines--)
        entry_sweep(r->interner, r->templates, r->new_entries[--r->n_new_entries]);
    for (; r->n_borrowed > 0 && lines > 0; lines--)
        entry_unref(r->interner, r->templates, r->borrowed[--r->n_borrowed]);
    return r->n_new_entries + r->n_borrowed > 0;
}

static unsigned count_lines(struct str text)
{
    unsigned n = 0;
    for (const char *p = text.p, *end = text.p + text.n; p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
        n++;
    return n;
}

void page_reader_continue(struct page_reader *r, struct str part, bool last)
{
    page_reader_release_entries(r, SIZE_MAX);
    r->in_parts = true;
    page_reader_begin_text(r, (struct page_text){.text = part, .format = r->page.format, .lines_left_out = r->page.lines_left_out});
    r->exposition.goes_on = !last;
    r->n = r->n_uncached = r->n_exemplars = 0;
}

size_t page_reader_leave(struct page_reader *r)
{
    size_t n = r->page.text.n > 0 ? (size_t)(r->exposition.p - r->page.text.p) : 0;
    r->page.lines_left_out += count_lines(str_first(r->page.text, n));
    return n;
}

bool page_reader_may_want_more(const struct page_reader *r)
{
    const struct exposition *e = &r->exposition;
    return e->goes_on && e->err.kind != ERR_NONE && e->end - e->p < VALUE_LINES_MAX;
}

struct page_text page_reader_metadata_text(const struct page_reader *r)
{
    return r->in_parts ? (struct page_text){.text = buf_str(&r->metadata_text), .format = r->page.format} : r->page;
}

static struct staged *page_reader_stage(struct page_reader *r)
{
    if (r->n == r->cap)
        mem_grow(&r->stage, &r->cap, r->n + 1, sizeof *r->stage);
    return &r->stage[r->n++];
}

static inline bool known_here(const struct page_reader *r)
{
    return r->last->templates == r->templates && r->expect < r->last->n;
}

/* The cached text of the expected line; none if it is unknown or uncached. */
static inline struct str expected_text(const struct page_reader *r)
{
    if (!known_here(r) || id_uncached(r->last->ids[r->expect]))
        return STR_NONE;
    return template_group_text(r->templates, id_entry(r->last->ids[r->expect]));
}

static void stage_exemplar(struct page_reader *r)
{
    struct str text = r->exposition.exemplar;
    if (r->n_exemplars == r->exemplars_cap)
        mem_grow(&r->exemplars, &r->exemplars_cap, r->n_exemplars + 1, sizeof *r->exemplars);
    r->exemplars[r->n_exemplars++] = (struct page_exemplar){
        .line = (uint32_t)(r->n - 1), .at = (uint32_t)(text.p - r->page.text.p), .n = (uint32_t)text.n};
}

static inline void stage_line(struct page_reader *r, uint32_t id, bool dropped)
{
    struct staged *s = page_reader_stage(r);
    const struct exposition *e = &r->exposition;
    bool timed = e->has_t && r->templates->job->conf->honor_timestamps;
    r->timed += timed;
    *s = (struct staged){.v = e->value, .t = timed ? e->t : r->t, .id = timed ? id | ID_TIMED : id,
                         .type = (uint8_t)r->type, .skip = dropped,
                         .at = (uint32_t)(e->series.p - r->page.text.p), .n = (uint32_t)e->series.n};
    r->result->post_relabeling += !dropped;
    if (e->exemplar.n > 0)
        stage_exemplar(r);
}

/* Resynchronizes on an unexpected line: either the lines between have vanished, or it is new and they will follow. */
static void find_place(struct page_reader *r, uint32_t id)
{
    r->same = false;
    if (r->last->templates != r->templates)
        return;
    for (size_t i = r->expect; i < r->last->n && i < r->expect + RESYNC; i++) {
        if (id_entry(r->last->ids[i]) == id) {
            for (size_t k = r->expect; k < i; k++)
                r->expect_uncached += id_uncached(r->last->ids[k]);
            r->expect = i + 1;
            return;
        }
    }
}

static void stage_cached(struct page_reader *r, uint32_t id)
{
    bool expected = known_here(r) && id_entry(r->last->ids[r->expect]) == id;
    stage_line(r, id, r->templates->entries[id]->dropped);
    if (!expected)
        find_place(r, id);
    else if (r->last->ids[r->expect++] != r->stage[r->n - 1].id)
        r->same = false; /* the line has gained or lost its timestamp */
}

static void stage_uncached(struct page_reader *r, struct uncached uncached)
{
    if (r->n_uncached == r->uncached_cap)
        mem_grow(&r->uncached, &r->uncached_cap, r->n_uncached + 1, sizeof *r->uncached);
    r->uncached[r->n_uncached++] = uncached;
    stage_line(r, ID_UNCACHED, uncached_dropped(&uncached));
}

/* Finds an uncached line of the last page near its expected position. */
static bool stage_uncached_known(struct page_reader *r, uint64_t hash)
{
    const struct scrape_cache *x = r->last;
    if (x->templates != r->templates)
        return false;
    for (size_t i = r->expect_uncached; i < x->n_uncached && i < r->expect_uncached + RESYNC; i++) {
        if ((x->uncached[i].text & ~(uint64_t)UNCACHED_DROPPED) != uncached_text(hash, r->type))
            continue;
        bool in_place = i == r->expect_uncached && known_here(r) && id_uncached(x->ids[r->expect]);
        stage_uncached(r, x->uncached[i]);
        r->expect += in_place;
        r->same = r->same && in_place && x->ids[r->expect - 1] == r->stage[r->n - 1].id;
        r->expect_uncached = i + 1;
        return true;
    }
    return false;
}

static bool stage_new(struct page_reader *r, struct str text, uint64_t hash, bool keep)
{
    struct derived d;
    if (!template_derive(r->interner, r->templates, r->target, text, r->type, &d, &r->result->err))
        return false;
    r->same = false;
    if (!keep) {
        stage_uncached(r, (struct uncached){uncached_text(hash, r->type) | d.dropped, d.sum});
        return true;
    }
    uint32_t id = template_add(r->interner, r->templates, r->target, text, &d);
    if (r->n_new_entries == r->new_entries_cap)
        mem_grow(&r->new_entries, &r->new_entries_cap, r->n_new_entries + 1, sizeof *r->new_entries);
    r->new_entries[r->n_new_entries++] = id;
    stage_cached(r, id);
    return true;
}

/* False: with this TYPE line the text has other labels than the cached ones; the line is treated as uncached. */
static inline bool entry_fits(const struct page_reader *r, uint32_t id)
{
    return r->templates->entries[id]->types >> r->type & 1;
}

/* The owning target may fail and release the entry before this page's cache is updated. */
static void borrow_entry(struct page_reader *r, uint32_t id)
{
    if (r->n_borrowed == r->borrowed_cap)
        mem_grow(&r->borrowed, &r->borrowed_cap, r->n_borrowed + 1, sizeof *r->borrowed);
    r->borrowed[r->n_borrowed++] = id;
    entry_ref(r->interner, r->templates, id);
}

/* A line that is not the expected one. */
static bool stage_other(struct page_reader *r)
{
    struct str text = r->exposition.series;
    uint32_t id;
    bool found = template_group_find(r->templates, text, &id);
    if (found && entry_fits(r, id)) {
        if (r->templates->entries[id]->refs > 0) /* not created by this page */
            borrow_entry(r, id);
        stage_cached(r, id);
        return true;
    }
    uint64_t hash = hash_keyed(text.p, text.n);
    bool keep = !found && interner_should_cache(r->interner, hash, r->source);
    if (!keep && stage_uncached_known(r, hash))
        return true;
    return stage_new(r, text, hash, keep);
}

/* The part is gone when the metadata of the page are stored. */
static bool keep_metadata_text(struct page_reader *r, struct metadata_line *line)
{
    const struct exposition *e = &r->exposition;
    size_t lines = r->n_metadata * sizeof *r->metadata;
    if (lines + r->metadata_text.n + e->name.n + e->text.n > METADATA_PARTS_MAX)
        return false;
    line->name_at = (uint32_t)r->metadata_text.n;
    buf_add_str(&r->metadata_text, e->name);
    line->text_at = (uint32_t)r->metadata_text.n;
    buf_add_str(&r->metadata_text, e->text);
    return true;
}

static void note_metadata(struct page_reader *r, enum exposition_kind kind)
{
    const struct exposition *e = &r->exposition;
    uint64_t h = hash_bytes(e->name.p, (size_t)(e->text.p + e->text.n - e->name.p));
    if (kind == EXPOSITION_TYPE && r->templates->job->conf->page.spells_bounds)
        r->type = str_is(e->text, "histogram") ? BOUNDS_HISTOGRAM : str_is(e->text, "summary") ? BOUNDS_SUMMARY
                                                                                              : BOUNDS_OTHER;
    r->result->metadata_hash = (r->result->metadata_hash ^ (h + (uint64_t)kind)) * 0x9e3779b97f4a7c15ull;
    struct metadata_line line = {
        .name_at = (uint32_t)(e->name.p - r->page.text.p), .name_n = (uint32_t)e->name.n,
        .text_at = (uint32_t)(e->text.p - r->page.text.p), .text_n = (uint32_t)e->text.n, .kind = kind};
    if (r->in_parts && !keep_metadata_text(r, &line))
        return;
    if (r->n_metadata == r->metadata_cap)
        mem_grow(&r->metadata, &r->metadata_cap, r->n_metadata + 1, sizeof *r->metadata);
    r->metadata[r->n_metadata++] = line;
}

/* The vmagent dialect skips lines that it cannot parse. A page without its end is invalid in every dialect. */
static bool skip_line(struct page_reader *r)
{
    if (r->templates->job->conf->broken_lines_fail || r->exposition.p == r->exposition.end)
        return false;
    r->result->invalid_lines++;
    exposition_skip_line(&r->exposition);
    return true;
}

/* The same for a line that parses but is not a valid series: duplicate label, value that is not UTF-8. */
static bool skip_series(struct page_reader *r)
{
    if (r->templates->job->conf->broken_lines_fail || r->result->err.kind == ERR_LIMIT)
        return false;
    r->result->invalid_lines++;
    r->result->scraped--;
    return true;
}

enum page_state page_reader_parse(struct page_reader *r, size_t lines)
{
    for (; lines > 0; lines--) {
        bool hit;
        enum exposition_kind kind = exposition_next_known(&r->exposition, expected_text(r), &hit);
        switch (kind) {
        case EXPOSITION_SERIES:
            r->result->scraped++;
            if (hit && entry_fits(r, id_entry(r->last->ids[r->expect])))
                stage_cached(r, id_entry(r->last->ids[r->expect]));
            else if (!stage_other(r) && !skip_series(r))
                return PAGE_INVALID;
            break;
        case EXPOSITION_END:
            return PAGE_COMPLETE;
        case EXPOSITION_ERROR:
            if (skip_line(r))
                break;
            r->result->err = r->exposition.err;
            return PAGE_INVALID;
        default:
            note_metadata(r, kind);
        }
    }
    return PAGE_MORE;
}

/* ---- the end ---- */

struct uncached *page_reader_take_uncached(struct page_reader *r)
{
    size_t bytes = r->n_uncached * sizeof *r->uncached;
    if (r->uncached_cap <= STAGE_KEEP)
        return bytes > 0 ? mem_dup(r->uncached, bytes) : NULL;
    struct uncached *taken = mem_realloc(r->uncached, bytes ? bytes : 1);
    r->uncached = NULL;
    r->uncached_cap = 0;
    return taken;
}

/* Memory beyond what a usual page takes is returned to the system. */
static void release_lines(struct page_reader *r, void *items, size_t *cap, size_t size)
{
    mem_release_items(&r->interner->release, items, cap, size, STAGE_KEEP);
}

bool page_reader_end(struct page_reader *r, size_t lines)
{
    if (page_reader_release_entries(r, lines))
        return true;
    template_group_unref(r->interner, r->templates);
    r->templates = NULL;
    r->page = (struct page_text){0};
    r->n = r->n_uncached = r->n_exemplars = r->n_metadata = 0;
    release_lines(r, &r->stage, &r->cap, sizeof *r->stage);
    release_lines(r, &r->uncached, &r->uncached_cap, sizeof *r->uncached);
    release_lines(r, &r->new_entries, &r->new_entries_cap, sizeof *r->new_entries);
    release_lines(r, &r->borrowed, &r->borrowed_cap, sizeof *r->borrowed);
    release_lines(r, &r->exemplars, &r->exemplars_cap, sizeof *r->exemplars);
    release_lines(r, &r->metadata, &r->metadata_cap, sizeof *r->metadata);
    return false;
}
