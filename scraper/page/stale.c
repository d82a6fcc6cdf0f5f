// SPDX-License-Identifier: Apache-2.0
/* Stale markers. Ended series are found by identity, not by text: a changed label order, or two texts that became one
 * series, must not write a marker after a live sample. Lines with their own timestamps get none, as in Prometheus. */
#include "scraper/page/stale.h"

enum {
    MARKER_BATCH = 200,  /* markers per batch for the sink: 1 ms if their labels must be derived */
    LINES_PAST = 5000,  /* lines of the last scrape skipped per step */
};

void marker_writer_init(struct marker_writer *w, struct interner *in, struct sink *sink)
{
    *w = (struct marker_writer){.interner = in, .sink = sink};
}

void marker_writer_free(struct marker_writer *w)
{
    identity_set_free(&w->set);
    mem_free(w->removed);
    buf_free(&w->labels);
    buf_free(&w->texts.frame);
}

void marker_writer_end(struct marker_writer *w)
{
    enum { KEEP = 32768 };
    identity_set_release(&w->set, &w->interner->release);
    mem_release_items(&w->interner->release, &w->removed, &w->removed_cap, sizeof *w->removed, KEEP);
}

static void markers_start_cache(struct marker_writer *w, struct scrape_cache *last)
{
    w->timed = last->templates && last->templates->job->conf->track_timestamps_staleness;
    w->last = last;
    w->n_removed = w->found = w->found_uncached = w->common = 0;
    w->written = w->at = w->at_uncached = 0;
    w->texts.at = w->texts.next = w->texts.frame.n = 0;
}

void marker_writer_start(struct marker_writer *w, uint64_t source, const struct target_labels *target,
                         struct scrape_cache *last, const struct series_limit *limit)
{
    w->source = source;
    w->limit = limit;
    w->target = target;
    w->also = false;
    w->markers = w->busy = 0;
    w->ended = (struct series_digest){0};
    markers_start_cache(w, last);
}

/* False: dropped by relabeling, not a series. */
static bool last_identity(const struct scrape_cache *x, const struct target_labels *t, uint32_t id, size_t *uncached,
                          uint64_t *identity)
{
    if (id_uncached(id)) {
        const struct uncached *c = &x->uncached[(*uncached)++];
        *identity = c->sum;
        return !uncached_dropped(c);
    }
    const struct template_entry *e = x->templates->entries[id_entry(id)];
    *identity = entry_identity(e, t);
    return !e->dropped;
}

/* Identities that the set does not contain have ended; marks ensure that duplicate series get one marker. */
bool markers_find_gone(struct marker_writer *w, size_t lines)
{
    const struct scrape_cache *x = w->last;
    for (; w->found < x->n && lines > 0; w->found++, lines--) {
        uint32_t id = x->ids[w->found];
        uint64_t identity;
        if (!last_identity(x, w->target, id, &w->found_uncached, &identity))
            continue;
        enum identity_mark was = identity_set_mark(&w->set, identity);
        w->common += was == IDENTITY_FIRST;
        if (was == IDENTITY_ABSENT)
            series_digest_add(&w->ended, identity);
        if (was != IDENTITY_ABSENT || (id & ID_TIMED && !w->timed) || (w->limit && !series_limit_admitted(w->limit, identity)))
            continue;
        if (w->n_removed == w->removed_cap)
            mem_grow(&w->removed, &w->removed_cap, w->n_removed + 1, sizeof *w->removed);
        w->removed[w->n_removed++] = (uint32_t)w->found;
    }
    return w->found < x->n;
}

/* Moves to the line; if it is uncached, its text is the next one. False: not yet there. */
static bool step_to(struct marker_writer *w, uint32_t line, size_t *lines)
{
    for (; w->at < line && *lines > 0; w->at++, --*lines)
        if (id_uncached(w->last->ids[w->at])) {
            scrape_cache_next_text(w->last, w->interner, &w->texts);
            w->at_uncached++;
        }
    return w->at == line;
}

static struct labels vanished_labels(struct marker_writer *w)
{
    const struct scrape_cache *x = w->last;
    uint32_t id = x->ids[w->at++];
    if (!id_uncached(id))
        return entry_splice(x->templates, x->templates->entries[id_entry(id)], w->target, &w->labels);
    struct derived d;
    struct err err; /* it was derived successfully when it was scraped */
    bool ok = template_derive(w->interner, x->templates, w->target, scrape_cache_next_text(x, w->interner, &w->texts),
                              uncached_type(&x->uncached[w->at_uncached++]), &d, &err);
    return ok ? d.labels : (struct labels){0};
}

static void write_batch(struct marker_writer *w, size_t to, int64_t t)
{
    enum { ABOUT = 200 }; /* estimated bytes of a marker */
    struct sample marker = {t, stale_nan()};
    size_t from = w->written, lines = LINES_PAST;
    struct sink_batch about = {.source = w->source, .route = w->last->templates->job->conf->route,
                               .bytes = (to - from) * ABOUT};
    if (sink_begin(w->sink, &about) == SINK_BUSY) {
        w->busy += to - from;
        w->written = to;
        return;
    }
    for (; w->written < to && step_to(w, w->removed[w->written], &lines); w->written++)
        sink_series(w->sink, &(struct series_in){.labels = vanished_labels(w), .samples = &marker, .n_samples = 1});
    sink_commit(w->sink, NULL, NULL);
    w->markers += w->written - from;
}

bool markers_write(struct marker_writer *w, int64_t t)
{
    size_t left = w->n_removed - w->written;
    if (left > 0 && !w->last->templates->job->conf->no_stale_markers) {
        write_batch(w, w->written + (left > MARKER_BATCH ? MARKER_BATCH : left), t);
        if (w->written < w->n_removed)
            return true;
    }
    buf_free(&w->texts.frame);
    w->texts = (struct cached_text_reader){0};
    w->n_removed = w->written = 0;
    return false;
}

void markers_end_begin(struct marker_writer *w, uint64_t source, const struct target_labels *target,
                       struct scrape_cache *last, const struct series_limit *limit)
{
    marker_writer_start(w, source, target, last, limit);
    identity_set_start(&w->set, last->n);
}

void markers_end_also(struct marker_writer *w, struct scrape_cache *also)
{
    w->also = true;
    markers_start_cache(w, also);
}

bool markers_end_some(struct marker_writer *w, int64_t t, size_t lines)
{
    if (w->found == 0 && identity_set_touch(&w->set))
        return true;
    if (w->found < w->last->n) {
        if (w->also)
            identity_set_make_room(&w->set, lines);
        if (identity_set_settle(&w->set))
            return true;
        markers_find_gone(w, lines);
        return true;
    }
    return markers_write(w, t) || scrape_cache_clear_some(w->last, w->interner, lines);
}

void markers_end_all(struct marker_writer *w, uint64_t source, const struct target_labels *target,
                     struct scrape_cache *last, const struct series_limit *limit, int64_t t)
{
    markers_end_begin(w, source, target, last, limit);
    while (markers_end_some(w, t, SIZE_MAX)) {
    }
    marker_writer_end(w);
}
