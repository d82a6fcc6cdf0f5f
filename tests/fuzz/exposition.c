// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a page: reading ends, guessing what is known changes nothing, and labels that come out are canonical. */
#include "model/exposition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_labels(struct str series)
{
    struct arena scratch;
    arena_init(&scratch, 0);
    struct labels_builder b = {.scratch = &scratch};
    struct labels again;
    struct err err;
    if (exposition_labels(series, false, &b, &err)) {
        struct labels l = builder_labels(&b, &scratch);
        if (!labels_check(l.p, l.n, &again) || again.count != l.count)
            __builtin_trap();
    }
    builder_free(&b);
    arena_free(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct exposition plain, guessed;
    enum exposition_kind kind;
    exposition_start(&plain, str_n(data, n));
    exposition_start(&guessed, str_n(data, n));
    do {
        bool hit;
        kind = exposition_next(&plain);
        if (exposition_next_known(&guessed, plain.series, &hit) != kind || guessed.p != plain.p)
            __builtin_trap();
        if (kind == EXPOSITION_SERIES && (!str_eq(guessed.series, plain.series) || guessed.has_t != plain.has_t))
            __builtin_trap();
        if (kind == EXPOSITION_SERIES)
            check_labels(plain.series);
    } while (kind != EXPOSITION_END && kind != EXPOSITION_ERROR);
    return 0;
}
