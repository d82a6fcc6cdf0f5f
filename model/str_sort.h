// SPDX-License-Identifier: Apache-2.0
/* Sorts texts, such as the values of a label, by their bytes (str_cmp). */
#ifndef MODEL_STR_SORT_H
#define MODEL_STR_SORT_H

#include "model/query_work.h"

/* Sorts n texts, which are often in order already. Takes 48 bytes a text from the arena meanwhile. False: the query
 * must end; the texts are then in no order. */
bool str_sort(struct query_work *w, struct arena *a, struct str *items, size_t n, struct err *err) MUST_USE;

/* Something that is sorted by a text. */
struct sort_text {
    uint64_t _key;
    const char *p; uint32_t n; /* borrowed */
    uint32_t index;            /* of the item; ascending. Of equal texts, that with the lower one is first */
};
/* The same; takes as much memory from the arena as the array has. */
bool sort_texts(struct query_work *w, struct arena *a, struct sort_text *texts, size_t n, struct err *err) MUST_USE;

#endif
