// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a remote write body: walking ends, accepted labels are canonical, histograms decode or are refused. */
#include "model/remote_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_histograms(const struct rw_walk *w)
{
    struct arena scratch;
    arena_init(&scratch, 0);
    for (size_t i = 0; i < w->n_hists; i++) {
        struct histogram h;
        int64_t t;
        struct err err;
        if (histogram_decode(&scratch, (const uint8_t *)w->hists[i].p, w->hists[i].n, &t, &h, &err)
            && t != rw_hist_time(w->hists[i]))
            __builtin_trap();
    }
    arena_free(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct rw_walk w;
    struct labels again;
    rw_walk_init(&w);
    rw_walk_start(&w, str_n(data, n));
    for (enum rw_item item; (item = rw_walk_next(&w)) == RW_SERIES || item == RW_METADATA; ) {
        if (item == RW_METADATA)
            continue;
        if (w.labels_ok && !labels_check(w.labels.p, w.labels.n, &again))
            __builtin_trap();
        check_histograms(&w);
    }
    rw_walk_free(&w);
    return 0;
}
