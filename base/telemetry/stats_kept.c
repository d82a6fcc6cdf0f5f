// SPDX-License-Identifier: Apache-2.0
#include "base/telemetry/stats_kept.h"

struct kept_row {
    struct list node; /* by age */
    char *name;
    double values[];
};

void stats_kept_init(struct stats_kept *k, size_t n)
{
    *k = (struct stats_kept){.n = n};
    list_init(&k->oldest);
}

static void stats_kept_drop(struct stats_kept *k, struct kept_row *row)
{
    map_remove(&k->rows, str_of(row->name));
    list_remove(&row->node);
    mem_free(row->name);
    mem_free(row);
}

void stats_kept_free(struct stats_kept *k)
{
    while (!list_empty(&k->oldest))
        stats_kept_drop(k, CONTAINER(k->oldest.next, struct kept_row, node));
    map_free(&k->rows);
}

void stats_keep(struct stats_kept *k, struct str name, const double *values)
{
    struct kept_row *row = map_get(&k->rows, name);
    if (row) {
        list_remove(&row->node);
    } else {
        row = mem_alloc(sizeof *row + k->n * sizeof *row->values);
        row->name = str_dup(name);
        map_set(&k->rows, str_of(row->name), row);
    }
    memcpy(row->values, values, k->n * sizeof *values);
    list_push_back(&k->oldest, &row->node);
    if (k->rows.n > STATS_KEPT_MAX)
        stats_kept_drop(k, CONTAINER(k->oldest.next, struct kept_row, node));
}

void stats_kept_take(struct stats_kept *k, struct str name, double *values)
{
    struct kept_row *row = map_get(&k->rows, name);
    memset(values, 0, k->n * sizeof *values);
    if (row == NULL)
        return;
    memcpy(values, row->values, k->n * sizeof *values);
    stats_kept_drop(k, row);
}
