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
    enum proto_state state;
    unsigned kinds = n > 0 ? *data : 0;
    proto_page_init(&p);
    proto_page_start(&p, str_n(data + (n > 0), n - (n > 0)), &(struct proto_page_options){
        .native = kinds & 1, .classic_too = kinds & 2, .t = 1, .max_bytes = MAX_BYTES,
        .max_schema = kinds & 4 ? 1 : 8, .bucket_limit = kinds & 8 ? 2 : 0});
    while ((state = proto_page_convert(&p, 3)) == PROTO_MORE) {
    }
    struct page_text page = proto_page_text(&p);
    if (state == PROTO_COMPLETE)
        check_page(&page, p.messages.n);
    else if (p.err.kind == ERR_NONE || p.text.n > MAX_BYTES || p.messages.n > MAX_BYTES)
        abort();
    proto_page_free(&p);
    return 0;
}
