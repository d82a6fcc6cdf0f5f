// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a page of either format, as Prometheus and as vmagent read it: reading ends, guessing what is known changes nothing, and labels that come out are canonical. */
#include "model/exposition/exposition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_labels(struct str series, bool lax)
{
    struct arena scratch;
    arena_init(&scratch, 0);
    struct labels_builder b = {.scratch = &scratch};
    struct labels again;
    struct err err;
    if (exposition_labels(series, lax, &b, &err)) {
        struct labels l = builder_labels(&b, &scratch);
        if (!labels_check(l.p, l.n, &again) || again.count != l.count)
            __builtin_trap();
    }
    builder_free(&b);
    arena_free(&scratch);
}

static void check_exemplar(struct str exemplar)
{
    struct arena scratch;
    arena_init(&scratch, 0);
    struct labels_builder b = {.scratch = &scratch};
    struct buf message = {0};
    if (exposition_exemplar(exemplar, 1, &b, &message) && message.n == 0)
        __builtin_trap();
    buf_free(&message);
    builder_free(&b);
    arena_free(&scratch);
}

static void read_page(struct str page, enum exposition_format format, bool lax)
{
    struct exposition plain, guessed;
    enum exposition_kind kind;
    exposition_start(&plain, page);
    exposition_start(&guessed, page);
    plain.format = guessed.format = format;
    plain.lax = guessed.lax = lax;
    do {
        bool hit;
        kind = exposition_next(&plain);
        if (exposition_next_known(&guessed, plain.series, &hit) != kind || guessed.p != plain.p)
            __builtin_trap();
        if (kind == EXPOSITION_SERIES && (!str_eq(guessed.series, plain.series) || guessed.has_t != plain.has_t))
            __builtin_trap();
        if (kind == EXPOSITION_SERIES && !str_eq(guessed.exemplar, plain.exemplar))
            __builtin_trap();
        if (kind == EXPOSITION_SERIES)
            check_labels(plain.series, lax);
        if (kind == EXPOSITION_SERIES && plain.exemplar.n > 0)
            check_exemplar(plain.exemplar);
        if (lax && kind == EXPOSITION_ERROR && format == EXPOSITION_TEXT) {
            exposition_skip_line(&plain);
            exposition_skip_line(&guessed);
            kind = EXPOSITION_SERIES;
        }
    } while (kind != EXPOSITION_END && kind != EXPOSITION_ERROR);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    for (int lax = 0; lax < 2; lax++) {
        read_page(str_n(data, n), EXPOSITION_TEXT, lax);
        read_page(str_n(data, n), EXPOSITION_OPENMETRICS, lax);
    }
    return 0;
}
