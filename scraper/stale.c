// SPDX-License-Identifier: Apache-2.0
/* Stale markers: which series ended, by identity and not by text, so that a changed order of labels or two texts that
 * became one series put no marker behind a live sample. Lines with timestamps of their own get none, as in Prometheus.
 */
#include "scraper/stale.h"

enum { MARKER_BATCH = 4000 }; /* markers handed to the sink at once */

void marker_writer_init(struct marker_writer *w, struct interner *in, struct sink *sink)
{
    *w = (struct marker_writer){.interner = in, .sink = sink};
}

void marker_writer_free(struct marker_writer *w)
{
    identity_set_free(&w->set);
    mem_free(w->gone);
    buf_free(&w->labels);
    buf_free(&w->texts);
}

void marker_writer_start(struct marker_writer *w, uint64_t source, const struct target_labels *target,
                         struct exposed *last)
{
    w->source = source;
    w->target = target;
    w->last = last;
    w->n_gone = w->markers = w->busy = 0;
}

/* False when it was dropped: such a line is no series. */
static bool last_identity(const struct exposed *x, const struct target_labels *t, uint32_t id, uint32_t *cold,
                          uint64_t *identity)
{
    if (id_cold(id)) {
        const struct cold *c = &x->cold[(*cold)++];
        *identity = c->sum;
        return !cold_dropped(c);
    }
    const struct entry *e = x->cohort->entries[id_entry(id)];
    *identity = entry_identity(e, t);
    return !e->dropped;
}

/* What the set does not hold is gone; marks see to it that a series that stood twice ends once. */
size_t markers_find_gone(struct marker_writer *w)
{
    const struct exposed *x = w->last;
    size_t common = 0;
    uint32_t cold = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        uint64_t identity;
        if (!last_identity(x, w->target, x->ids[i], &cold, &identity))
            continue;
        enum identity_mark was = identity_set_mark(&w->set, identity);
        common += was == IDENTITY_FIRST;
        if (was != IDENTITY_ABSENT || x->ids[i] & ID_TIMED)
            continue;
        if (w->n_gone == w->gone_cap)
            mem_grow(&w->gone, &w->gone_cap, w->n_gone + 1, sizeof *w->gone);
        w->gone[w->n_gone++] = i;
    }
    return common;
}

struct gone_walk { uint32_t at, cold; const struct str *texts; }; /* cold: how many cold lines stand before `at` */

static struct labels gone_labels(struct marker_writer *m, struct gone_walk *w, uint32_t place)
{
    const struct exposed *x = m->last;
    for (; w->at < place; w->at++)
        w->cold += id_cold(x->ids[w->at]);
    if (!id_cold(x->ids[place]))
        return entry_splice(x->cohort, x->cohort->entries[id_entry(x->ids[place])], m->target, &m->labels);
    struct derived d;
    struct err err; /* it was derived when it came, with success */
    bool ok = cohort_derive(m->interner, x->cohort, m->target, w->texts[w->cold], cold_type(&x->cold[w->cold]), &d,
                            &err);
    return ok ? d.labels : (struct labels){0};
}

static void write_batch(struct marker_writer *m, struct gone_walk *w, size_t from, size_t to, int64_t t)
{
    enum { ABOUT = 200 }; /* bytes of a marker */
    struct sample marker = {t, stale_nan()};
    if (sink_begin(m->sink, &(struct sink_batch){.source = m->source, .bytes = (to - from) * ABOUT}) == SINK_BUSY) {
        m->busy += to - from;
        return;
    }
    for (size_t i = from; i < to; i++)
        sink_series(m->sink,
                    &(struct series_in){.labels = gone_labels(m, w, m->gone[i]), .samples = &marker, .n_samples = 1});
    sink_commit(m->sink, NULL, NULL);
    m->markers += to - from;
}

void markers_write(struct marker_writer *m, int64_t t)
{
    if (m->n_gone == 0 || m->last->cohort->job->conf->no_stale_markers)
        return;
    struct str *texts = exposed_texts(m->last, &m->texts);
    struct gone_walk walk = {.texts = texts};
    for (size_t from = 0; from < m->n_gone; from += MARKER_BATCH)
        write_batch(m, &walk, from, m->n_gone - from > MARKER_BATCH ? from + MARKER_BATCH : m->n_gone, t);
    mem_free(texts);
    buf_free(&m->texts);
    m->n_gone = 0;
}

void markers_end_all(struct marker_writer *m, uint64_t source, const struct target_labels *target, struct exposed *last,
                     int64_t t)
{
    marker_writer_start(m, source, target, last);
    identity_set_start(&m->set, last->n);
    markers_find_gone(m);
    markers_write(m, t);
    exposed_clear(last, m->interner);
}
