// SPDX-License-Identifier: Apache-2.0
/* Sorts texts, such as the values of a label, by their bytes (str_cmp). */
#ifndef MODEL_STR_SORT_H
#define MODEL_STR_SORT_H

#include "model/query_work.h"

/* Sorts n texts, which are often in order already. Takes 48 bytes a text from the arena meanwhile. False: the query
 * must end; the texts are then in no order. */
bool str_sort(struct query_work *w, struct arena *a, struct str *items, size_t n, struct err *err) MUST_USE;
/* The first eight bytes of the text, with zeros behind its end, as a number: less in the order of the bytes. */
uint64_t str_sort_key(struct str text);

#endif
