// SPDX-License-Identifier: Apache-2.0
/* Ends queries that were canceled or timed out, and reads series sets. */
#include "model/source.h"

#include "base/text/duration.h"

bool query_ended(const struct query_ctx *q, const char *where, struct err *err)
{
    if (q->canceled && atomic_load_explicit(q->canceled, memory_order_relaxed)) {
        err_set(err, ERR_CANCELED, "query was canceled in %s", where);
        return true;
    }
    if (q->stopped && atomic_load_explicit(q->stopped, memory_order_relaxed)) {
        err_set(err, ERR_CANCELED, "query was canceled by an operator in %s", where);
        return true;
    }
    if (q->deadline_mono && clock_mono_ms() >= q->deadline_mono) {
        err_set(err, ERR_TIMEOUT, "query timed out in %s", where);
        return true;
    }
    return false;
}

bool series_set_get(struct series_set *set, size_t i, struct series *out, struct err *err)
{
    if (set->load == NULL) {
        *out = set->series[i];
        return true;
    }
    *out = (struct series){.labels = set->series[i].labels};
    return set->load(set, i, out, err);
}
