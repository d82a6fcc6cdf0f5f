// SPDX-License-Identifier: Apache-2.0
/* Sorts what has labels in Prometheus' order (labels_cmp). */
#ifndef MODEL_LABELS_SORT_H
#define MODEL_LABELS_SORT_H

#include "model/labels.h"
#include "model/query_work.h"

/* Sorts n items of `size` bytes with a struct labels at offset `at`, which are often in order already. Takes memory for
 * a copy of them and their labels from the arena. Of equal label sets the order is that of the items. False: the query
 * must end. */
bool labels_sort(struct query_work *w, struct arena *a, void *items, size_t n, size_t size, size_t at,
                 struct err *err) MUST_USE;

#endif
