// SPDX-License-Identifier: Apache-2.0
/* Stale markers: which series ended, by identity and not by text, so that a changed order of labels or two texts that
 * became one series put no marker behind a live sample. Lines with timestamps of their own get none, as in Prometheus.
 */
#include "scraper/page.h"

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

/* p->set holds what lives. What it does not hold is gone; marks see to it that a series that stood twice ends once.
 * What was not there before is new. */
void page_find_gone(struct page *p)
{
    const struct exposed *x = p->last;
    size_t common = 0;
    uint32_t cold = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        uint64_t identity;
        if (!last_identity(x, p->target, x->ids[i], &cold, &identity))
            continue;
        enum identity_mark was = identity_set_mark(&p->set, identity);
        common += was == IDENTITY_FIRST;
        if (was != IDENTITY_ABSENT || x->ids[i] & ID_TIMED)
            continue;
        if (p->n_gone == p->gone_cap)
            mem_grow(&p->gone, &p->gone_cap, p->n_gone + 1, sizeof *p->gone);
        p->gone[p->n_gone++] = i;
    }
    p->added = p->set.n - common;
}

struct gone_walk { uint32_t at, cold; const struct str *texts; }; /* cold: how many cold lines stand before `at` */

static struct labels gone_labels(struct page *p, struct gone_walk *w, uint32_t place)
{
    const struct exposed *x = p->last;
    for (; w->at < place; w->at++)
        w->cold += id_cold(x->ids[w->at]);
    if (!id_cold(x->ids[place]))
        return entry_splice(x->cohort, x->cohort->entries[id_entry(x->ids[place])], p->target, &p->labels);
    struct derived d;
    struct err err; /* it was derived when it came, with success */
    bool ok = cohort_derive(p->interner, x->cohort, p->target, w->texts[w->cold], cold_type(&x->cold[w->cold]), &d,
                            &err);
    return ok ? d.labels : (struct labels){0};
}

static void write_batch(struct page *p, struct gone_walk *w, size_t from, size_t to, int64_t t)
{
    enum { ABOUT = 200 }; /* bytes of a marker */
    struct sample marker = {t, stale_nan()};
    if (sink_begin(p->sink, &(struct sink_batch){.source = p->source, .bytes = (to - from) * ABOUT}) == SINK_BUSY) {
        p->busy += to - from;
        return;
    }
    for (size_t i = from; i < to; i++)
        sink_series(p->sink,
                    &(struct series_in){.labels = gone_labels(p, w, p->gone[i]), .samples = &marker, .n_samples = 1});
    sink_commit(p->sink, NULL, NULL);
    p->markers += to - from;
}

void page_write_gone(struct page *p, int64_t t)
{
    if (p->n_gone == 0 || p->last->cohort->job->conf->no_stale_markers)
        return;
    struct str *texts = exposed_texts(p->last, &p->texts);
    struct gone_walk walk = {.texts = texts};
    for (size_t from = 0; from < p->n_gone; from += PAGE_BATCH)
        write_batch(p, &walk, from, p->n_gone - from > PAGE_BATCH ? from + PAGE_BATCH : p->n_gone, t);
    mem_free(texts);
    buf_free(&p->texts);
    p->n_gone = 0;
}

void page_end_all(struct page *p, uint64_t source, const struct target_labels *target, struct exposed *last, int64_t t)
{
    p->source = source;
    p->target = target;
    p->last = last;
    p->n_gone = 0;
    identity_set_start(&p->set, last->n);
    page_find_gone(p);
    page_write_gone(p, t);
    exposed_clear(last, p->interner);
}
