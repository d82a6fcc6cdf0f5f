// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a protobuf page: they are refused, or become text that parses to the end, with extras that are inside. */
#include "model/exposition/exposition_proto.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_page(const struct page_text *page, size_t messages)
{
    struct exposition e;
    enum exposition_kind kind;
    exposition_start(&e, page->text);
    while ((kind = exposition_next(&e)) != EXPOSITION_END)
        if (kind == EXPOSITION_ERROR)
            abort();
    for (size_t i = 0; i < page->n_extras; i++) {
        const struct page_extra *x = &page->extras[i];
        if (x->at >= page->text.n || x->n > messages || x->message > messages - x->n || (i > 0 && x->at < x[-1].at))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    enum { MAX_BYTES = 1 << 20 };
    struct proto_page p;
    enum copy_state state;
    unsigned kinds = n > 0 ? *data : 0;
    proto_page_init(&p);
    proto_page_start(&p, str_n(data + (n > 0), n - (n > 0)), &(struct proto_page_options){
        .native = kinds & 1, .classic_too = kinds & 2, .t = 1, .max_bytes = MAX_BYTES,
        .max_schema = kinds & 4 ? 1 : 8, .bucket_limit = kinds & 8 ? 2 : 0,
        .custom = kinds & 16, .starts = kinds & 32, .family_labels = kinds & 64, .own_times = kinds & 128});
    while ((state = proto_page_convert(&p, 3)) == COPY_MORE) {
    }
    struct page_text page = page_copy_text(&p.copy, EXPOSITION_TEXT);
    if (state == COPY_COMPLETE)
        check_page(&page, p.copy.messages.n);
    else if (p.copy.err.kind == ERR_NONE || p.copy.text.n > MAX_BYTES || p.copy.messages.n > MAX_BYTES)
        abort();
    proto_page_free(&p);
    return 0;
}
