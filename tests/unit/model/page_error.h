// SPDX-License-Identifier: Apache-2.0
/* For unit tests and fuzz targets: parses a page to its end or to its first error. */
#ifndef TESTS_UNIT_MODEL_PAGE_ERROR_H
#define TESTS_UNIT_MODEL_PAGE_ERROR_H

#include "model/exposition/exposition.h"

/* The error, with its line; kind ERR_NONE: there is none. */
static inline struct err page_first_error(const struct page_text *page, bool lax)
{
    struct exposition e;
    enum exposition_kind kind;
    exposition_start(&e, page->text);
    e.format = page->format;
    e.lax = lax;
    e.lines_left_out = page->lines_left_out;
    while ((kind = exposition_next(&e)) != EXPOSITION_END && kind != EXPOSITION_ERROR) {
    }
    return e.err;
}

#endif
