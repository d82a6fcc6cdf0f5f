// SPDX-License-Identifier: Apache-2.0
/* Prints the extras of a page, a line each: the series, and its exemplar, histogram or start time. */
#ifndef TESTS_UNIT_MODEL_PAGE_EXTRAS_H
#define TESTS_UNIT_MODEL_PAGE_EXTRAS_H

#include "model/exposition/exposition.h"
#include "model/histogram/histogram.h"
#include "model/remote_write.h"
#include "tests/unit/model/scratch.h"

static inline void print_custom_buckets(struct buf *out, const struct histogram *h)
{
    uint32_t count = 0;
    int32_t index = 0;
    buf_printf(out, ", sum %g, bounds", h->sum);
    for (uint32_t i = 0; i < h->n_custom; i++)
        buf_printf(out, " %g", h->custom[i]);
    buf_add_z(out, ", buckets");
    for (uint32_t i = 0; i < h->positive.n_spans; i++) {
        index += h->positive.spans[i].offset;
        for (uint32_t k = 0; k < h->positive.spans[i].length; k++)
            buf_printf(out, " %d:%g", index++, h->positive.counts[count++]);
    }
}

static inline void print_page_extras(struct buf *out, const struct page_text *page)
{
    for (size_t i = 0; i < page->n_extras; i++) {
        const struct page_extra *x = &page->extras[i];
        struct str message = str_n(page->messages + x->message, x->n), text = str_skip(page->text, x->at);
        struct histogram h;
        struct err err;
        int64_t t;
        assert_true(i == 0 || x->at >= x[-1].at);
        assert_true(x->kind != PAGE_WAITS_FOR_START);
        if (x->kind == PAGE_START && x->start == 0)
            continue;
        buf_printf(out, "%.*s: ", STR_ARG(str_first(text, str_find(text, ' '))));
        if (x->kind == PAGE_START) {
            buf_printf(out, "start %lld\n", (long long)x->start);
        } else if (x->kind == PAGE_EXEMPLAR) {
            buf_printf(out, "exemplar @%lld\n", (long long)rw_exemplar_time(message));
        } else if (!histogram_decode_strict(&arena, (const uint8_t *)message.p, message.n, &t, &h, &err)) {
            fail_msg("%s", err.text);
        } else {
            buf_printf(out, "histogram %g %d %d @%lld", h.count, h.schema, (int)h.hint, (long long)t);
            if (h.schema == HISTOGRAM_CUSTOM)
                print_custom_buckets(out, &h);
            buf_add_char(out, '\n');
        }
    }
}

#endif
