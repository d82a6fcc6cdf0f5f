// SPDX-License-Identifier: Apache-2.0
/* The scrape cache of a target: clearing it, and storing and reading the texts of uncached lines. */
#include "scraper/page/scrape_cache.h"

#include "base/compress.h"

enum { FRAME_BYTES = 64 << 10, LEVEL = 1 };

bool scrape_cache_clear_some(struct scrape_cache *x, struct interner *in, size_t lines)
{
    for (; x->n > 0 && lines > 0; lines--)
        if (!id_uncached(x->ids[--x->n]))
            entry_unref(in, x->templates, id_entry(x->ids[x->n]));
    if (x->n > 0)
        return true;
    template_group_unref(in, x->templates);
    mem_release_add(&in->release, x->ids, x->cap * sizeof *x->ids);
    mem_release_add(&in->release, x->uncached, x->n_uncached * sizeof *x->uncached);
    mem_release_buf(&in->release, &x->texts);
    mem_release_buf(&in->release, &x->exemplars);
    *x = (struct scrape_cache){0};
    return false;
}

void scrape_cache_clear(struct scrape_cache *x, struct interner *in)
{
    while (scrape_cache_clear_some(x, in, SIZE_MAX)) {
    }
}

void scrape_cache_flush_texts(struct scrape_cache *x, struct interner *in, struct buf *frame)
{
    if (frame->n == 0)
        return;
    size_t at = x->texts.n;
    uint32_t n = 0;
    buf_add(&x->texts, &n, sizeof n);
    compress_zstd(interner_zstd(in), &x->texts, buf_str(frame), LEVEL);
    n = (uint32_t)(x->texts.n - at - sizeof n);
    memcpy(x->texts.p + at, &n, sizeof n);
    buf_clear(frame);
}

void scrape_cache_add_text(struct scrape_cache *x, struct interner *in, struct buf *frame, struct str text)
{
    uint32_t n = (uint32_t)text.n;
    buf_add(frame, &n, sizeof n);
    buf_add_str(frame, text);
    if (frame->n >= FRAME_BYTES)
        scrape_cache_flush_texts(x, in, frame);
}

static bool next_frame(const struct scrape_cache *x, struct interner *in, struct cached_text_reader *r)
{
    uint32_t n;
    struct err err;
    if (r->next == x->texts.n)
        return false;
    memcpy(&n, x->texts.p + r->next, sizeof n);
    buf_clear(&r->frame);
    r->at = 0;
    struct str packed = str_n(x->texts.p + r->next + sizeof n, n);
    r->next += sizeof n + n;
    return decompress(CODEC_ZSTD, interner_zstd(in), packed, SIZE_MAX, &r->frame, &err);
}

struct str scrape_cache_next_text(const struct scrape_cache *x, struct interner *in, struct cached_text_reader *r)
{
    uint32_t n;
    if (r->at == r->frame.n && !next_frame(x, in, r))
        return STR_NONE;
    memcpy(&n, r->frame.p + r->at, sizeof n);
    r->at += sizeof n + n;
    return str_n(r->frame.p + r->at - n, n);
}
