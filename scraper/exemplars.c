// SPDX-License-Identifier: Apache-2.0
#include "scraper/exemplars.h"

#include "base/hash.h"

enum { EXEMPLARS_RESYNC = 16 };

void exemplar_writer_start(struct exemplar_writer *w)
{
    w->next = w->expect = 0;
    buf_clear(&w->hashes);
}

void exemplar_writer_free(struct exemplar_writer *w)
{
    buf_free(&w->hashes);
    buf_free(&w->message);
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

bool exemplar_writer_next(struct exemplar_writer *w, struct page_reader *r, struct str *message)
{
    const struct page_exemplar *x = &r->exemplars[w->next++];
    const struct staged *s = &r->stage[x->line];
    struct str text = str_n(r->text.p + x->at, x->n);
    uint64_t both[] = {hash_keyed(r->text.p + s->at, s->n), hash_keyed(text.p, text.n)};
    uint64_t hash = hash_keyed(both, sizeof both);
    buf_add(&w->hashes, &hash, sizeof hash);
    if (exemplar_known(w, r->last, hash))
        return false;
    buf_clear(&w->message);
    interner_clear_scratch(r->interner);
    if (!exposition_exemplar(text, s->t, &r->interner->builder, &w->message))
        return false;
    *message = buf_str(&w->message);
    return true;
}

void exemplar_writer_end(struct exemplar_writer *w, const struct page_reader *r, struct scrape_cache *last)
{
    size_t n = w->hashes.n;
    if (str_eq(buf_str(&w->hashes), buf_str(&last->exemplars)))
        return;
    mem_release_buf(&r->interner->release, &last->exemplars);
    last->exemplars = n == 0 ? (struct buf){0} : (struct buf){.p = mem_dup(w->hashes.p, n), .n = n, .cap = n};
}
