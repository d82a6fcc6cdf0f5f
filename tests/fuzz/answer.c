// SPDX-License-Identifier: Apache-2.0
/* Answers of servers, in pieces: no bytes may crash a decoder, and whatever it takes must be in order and once
 * each. The first byte says which decoder, the second the size of the pieces. */
#include "gateway/upstream/decode/export_blocks.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct decoder *decoder(unsigned which, struct response *a)
{
    static enum blocks_refusal refusal;
    return which == 0 ? json_decoder_new(a) : which == 1 ? export_decoder_new(a)
         : which == 2 ? blocks_decoder_new(a, &refusal) : remote_read_decoder_new(a, 1 << 20, &refusal);
}

static void check(const struct response *a)
{
    for (size_t i = 0; i < a->n; i++) {
        struct labels l;
        if (a->series[i].labels.n > 0 && !labels_check(a->series[i].labels.p, a->series[i].labels.n, &l))
            abort();
        for (uint32_t k = 1; k < a->series[i].n_samples; k++)
            if (a->series[i].samples[k].t <= a->series[i].samples[k - 1].t)
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct notes notes = {.arena = &arena};
    struct err err = {0};
    if (size < 2)
        return 0;
    arena_init(&arena, 0);
    struct response answer = {.arena = &arena, .notes = &notes, .t_min = INT64_MIN, .t_max = INT64_MAX};
    struct label_list list = {.arena = &arena, .notes = &notes};
    unsigned which = data[0] % 6;
    struct decoder *d = which < 4 ? decoder(which, &answer) : which == 4 ? strings_decoder_new(&list)
                                                                        : series_decoder_new(&list);
    struct str rest = str_n(data + 2, size - 2);
    size_t piece = (size_t)data[1] + 1;
    bool ok = true;
    for (size_t at = 0; ok && at < rest.n; at += piece)
        ok = d->feed(d, str_first(str_skip(rest, at), piece), &err);
    ok = ok && d->finish(d, &err) && response_unite(&answer, &err);
    d->free(d);
    check(&answer);
    if (!ok && err.kind == ERR_NONE)
        abort();
    arena_free(&arena);
    return 0;
}
