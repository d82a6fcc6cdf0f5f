// SPDX-License-Identifier: Apache-2.0
#include "scraper/page/exemplars.h"

#include "base/hash.h"
#include "base/protobuf.h"
#include "model/exposition/classic_histogram.h"

enum { EXEMPLARS_RESYNC = 16, HASHES_KEEP = 64 << 10 };

void exemplar_writer_start(struct exemplar_writer *w)
{
    w->next = w->next_extra = w->expect = 0;
    w->starts = (struct start_times){0};
    buf_clear(&w->hashes);
}

void exemplar_writer_continue(struct exemplar_writer *w) { w->next = w->next_extra = 0; }

void exemplar_writer_free(struct exemplar_writer *w)
{
    buf_free(&w->hashes);
    buf_free(&w->message);
    buf_free(&w->made);
    mem_free(w->list);
}

void exemplar_writer_release(struct exemplar_writer *w, struct mem_release *release)
{
    if (w->hashes.cap > HASHES_KEEP)
        mem_release_buf(release, &w->hashes);
}

/* True if the last page had it near the expected place. */
static bool exemplar_known(struct exemplar_writer *w, const struct scrape_cache *last, uint64_t hash)
{
    size_t n = last->exemplars.n / sizeof hash;
    for (size_t i = w->expect; i < n && i < w->expect + EXEMPLARS_RESYNC; i++) {
        uint64_t other;
        memcpy(&other, last->exemplars.p + i * sizeof other, sizeof other);
        if (other == hash) {
            w->expect = i + 1;
            return true;
        }
    }
    return false;
}

/* True if it is to be sent; its hash is noted. */
static bool note_exemplar(struct exemplar_writer *w, const struct page_reader *r, const struct staged *s, uint64_t hash)
{
    uint64_t both[] = {hash_keyed(r->page.text.p + s->at, s->n), hash}, of_series = hash_keyed(both, sizeof both);
    buf_add(&w->hashes, &of_series, sizeof of_series);
    return !exemplar_known(w, r->last, of_series);
}

static void list_exemplar(struct exemplar_writer *w, struct str message)
{
    if (w->n == w->cap)
        mem_grow(&w->list, &w->cap, w->n + 1, sizeof *w->list);
    w->list[w->n++] = message;
}

static void exemplar_writer_add_text(struct exemplar_writer *w, struct page_reader *r, const struct page_exemplar *x)
{
    const struct staged *s = &r->stage[x->line];
    struct str text = str_n(r->page.text.p + x->at, x->n);
    if (!note_exemplar(w, r, s, hash_keyed(text.p, text.n)))
        return;
    buf_clear(&w->message);
    interner_clear_scratch(r->interner);
    if (exposition_exemplar(text, s->t, &r->interner->builder, &w->message))
        list_exemplar(w, buf_str(&w->message));
}

static void exemplar_writer_add_extra(struct exemplar_writer *w, const struct page_reader *r, const struct staged *s,
                                      const struct page_extra *x, struct series_in *in)
{
    struct str message = str_n(r->page.messages + x->message, x->n);
    if (x->kind == PAGE_START) {
        w->start = x->start;
    } else if (x->kind == PAGE_HISTOGRAM) {
        w->histograms[0] = message;
        in->n_samples = 0;
        in->hists = w->histograms;
        in->n_hists = 1;
    } else if (note_exemplar(w, r, s, x->hash)) {
        list_exemplar(w, message);
    }
}

/* The histogram with its start time, which both versions of the message have in the same field. */
static void start_histogram(struct exemplar_writer *w, struct series_in *in, int64_t t, bool zero)
{
    enum { FIELD_START = 17 };
    size_t n = 0;
    buf_clear(&w->made);
    if (zero)
        histogram_zero_of(w->histograms[0], w->start, &w->made);
    n = w->made.n;
    buf_add_str(&w->made, w->histograms[0]);
    if (w->starts.sent && w->start <= t)
        pb_add_int(&w->made, FIELD_START, w->start);
    if (zero)
        w->histograms[0] = str_n(w->made.p, n);
    w->histograms[zero] = str_n(w->made.p + n, w->made.n - n);
    in->n_hists = 1u + zero;
}

static void series_add_start(struct exemplar_writer *w, const struct staged *s, struct series_in *in)
{
    bool zero = w->starts.zeros && w->start > w->starts.after && w->start < s->t;
    if (in->n_hists > 0) {
        start_histogram(w, in, s->t, zero);
        return;
    }
    w->samples[0] = (struct sample){w->start, 0};
    w->samples[zero] = (struct sample){s->t, s->v};
    w->sample_starts[0] = 0;
    w->sample_starts[zero] = w->start <= s->t ? w->start : 0;
    in->samples = w->samples;
    in->n_samples = 1u + zero;
    in->starts = w->starts.sent ? w->sample_starts : NULL;
}

void exemplar_writer_complete(struct exemplar_writer *w, struct page_reader *r, size_t line, struct series_in *in)
{
    const struct staged *s = &r->stage[line];
    w->n = 0;
    w->start = 0;
    for (; w->next < r->n_exemplars && r->exemplars[w->next].line <= line; w->next++)
        if (r->exemplars[w->next].line == line)
            exemplar_writer_add_text(w, r, &r->exemplars[w->next]);
    for (; w->next_extra < r->page.n_extras && r->page.extras[w->next_extra].at <= s->at; w->next_extra++)
        if (r->page.extras[w->next_extra].at == s->at)
            exemplar_writer_add_extra(w, r, s, &r->page.extras[w->next_extra], in);
    if (w->start > 0)
        series_add_start(w, s, in);
    in->exemplars = w->list;
    in->n_exemplars = w->n;
}

void exemplar_writer_end(struct exemplar_writer *w, const struct page_reader *r, struct scrape_cache *last)
{
    size_t n = w->hashes.n;
    if (str_eq(buf_str(&w->hashes), buf_str(&last->exemplars)))
        return;
    mem_release_buf(&r->interner->release, &last->exemplars);
    last->exemplars = n == 0 ? (struct buf){0} : (struct buf){.p = mem_dup(w->hashes.p, n), .n = n, .cap = n};
}
