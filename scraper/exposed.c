// SPDX-License-Identifier: Apache-2.0
/* See exposed.h. */
#include "scraper/exposed.h"

#include "base/compress.h"

void exposed_clear(struct exposed *x, struct interner *in)
{
    for (uint32_t i = 0; i < x->n; i++)
        if (!id_cold(x->ids[i]))
            entry_unref(in, x->cohort, id_entry(x->ids[i]));
    cohort_unref(in, x->cohort);
    mem_free(x->ids);
    mem_free(x->cold);
    mem_free(x->texts);
    *x = (struct exposed){0};
}

struct str *exposed_texts(const struct exposed *x, struct buf *out)
{
    struct str *texts = mem_zalloc((x->n_cold + 1) * sizeof *texts);
    struct err err;
    buf_clear(out);
    if (x->n_cold == 0 || !unpack(CODEC_SNAPPY, NULL, str_n(x->texts, x->texts_n), SIZE_MAX, out, &err))
        return texts;
    const char *p = out->p;
    for (uint32_t i = 0; i < x->n_cold; i++) {
        uint32_t n;
        memcpy(&n, p, sizeof n);
        texts[i] = str_n(p + sizeof n, n);
        p += sizeof n + n;
    }
    return texts;
}
