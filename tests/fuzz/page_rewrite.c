// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a page that is rewritten; the first byte is the options. The result parses to the first error of the page, and
 * its extras are valid. */
#include "model/exposition/page_rewrite.h"
#include "tests/unit/model/page_error.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_extras(const struct page_text *page, size_t messages)
{
    struct arena arena = {0};
    struct histogram h;
    struct err err;
    int64_t t;
    for (size_t i = 0; i < page->n_extras; i++) {
        const struct page_extra *x = &page->extras[i];
        if (x->at >= page->text.n || (i > 0 && x->at < x[-1].at) || x->kind == PAGE_WAITS_FOR_START)
            abort();
        if (x->kind == PAGE_START)
            continue;
        if (x->n > messages || x->message > messages - x->n)
            abort();
        const uint8_t *message = (const uint8_t *)page->messages + x->message;
        if (x->kind == PAGE_HISTOGRAM && !histogram_decode_strict(&arena, message, x->n, &t, &h, &err))
            abort();
    }
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    enum { MAX_BYTES = 1 << 20 };
    unsigned kinds = n > 0 ? *data : 0;
    struct page_text page = {.text = str_n(data + (n > 0), n - (n > 0)),
                             .format = kinds & 1 ? EXPOSITION_OPENMETRICS : EXPOSITION_TEXT};
    struct page_rewrite_options options = {
        .custom = kinds & 2, .classic_too = kinds & 4, .starts = kinds & 8, .family_labels = kinds & 16, .lax = kinds & 32,
        .skips_lines = kinds & 64, .own_times = kinds & 128, .bucket_limit = n % 2 ? 3 : 0, .t = 1, .max_bytes = MAX_BYTES};
    struct page_rewrite r;
    enum copy_state state;
    page_rewrite_init(&r);
    page_rewrite_start(&r, page.text, page.format, &options);
    while ((state = page_rewrite_some(&r, 3)) == COPY_MORE) {
    }
    if (state == COPY_COMPLETE) {
        struct page_text made = page_rewrite_text(&r);
        check_extras(&made, r.copy.messages.n);
        if (!options.skips_lines
            && page_first_error(&page, options.lax).kind != page_first_error(&made, options.lax).kind)
            abort();
    } else if (r.copy.err.kind == ERR_NONE) {
        abort();
    }
    page_rewrite_free(&r);
    return 0;
}
