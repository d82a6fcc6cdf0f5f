// SPDX-License-Identifier: Apache-2.0
#include "gateway/merge/sequence.h"

bool sequence_stale_hists(const struct sequence *s, size_t i)
{
    const char *item = s->items + i * s->size;
    const struct histogram *h = NULL;
    double v;
    size_t at = s->kind == SEQUENCE_HISTS ? offsetof(struct hist_sample, h) : offsetof(struct both_sample, h);
    memcpy(&h, item + at, sizeof h);
    if (h)
        return histogram_is_stale(h);
    memcpy(&v, item + offsetof(struct both_sample, v), sizeof v);
    return is_stale(v);
}

void sequence_put_at(struct sequence_out *out, const struct sequence *s, size_t i, int64_t t)
{
    sequence_put(out, s, i);
    memcpy(out->items + (out->n - 1) * s->size, &t, sizeof t);
}

struct sequence_out sequence_new(struct arena *a, const struct sequence *like, size_t most)
{
    return (struct sequence_out){arena_alloc(a, most * like->size), 0, like->size, like->kind};
}

enum sequence_kind sequence_kind_of(const struct series *const *series, size_t n)
{
    bool floats = false, hists = false;
    for (size_t i = 0; i < n; i++) {
        floats = floats || series[i]->n_samples > 0;
        hists = hists || series[i]->n_hists > 0;
    }
    return floats && hists ? SEQUENCE_BOTH : hists ? SEQUENCE_HISTS : SEQUENCE_FLOATS;
}

struct sequence sequence_from(struct arena *a, const struct series *s, enum sequence_kind kind)
{
    if (kind == SEQUENCE_FLOATS)
        return (struct sequence){(const char *)s->samples, s->n_samples, sizeof *s->samples, kind};
    if (kind == SEQUENCE_HISTS)
        return (struct sequence){(const char *)s->hists, s->n_hists, sizeof *s->hists, kind};
    size_t n = 0, f = 0, h = 0;
    struct both_sample *all = ARENA_ARRAY(a, struct both_sample, (size_t)s->n_samples + s->n_hists);
    while (f < s->n_samples || h < s->n_hists) {
        bool is_float = h == s->n_hists || (f < s->n_samples && s->samples[f].t <= s->hists[h].t);
        all[n].t = is_float ? s->samples[f].t : s->hists[h].t;
        if (is_float)
            all[n++].v = s->samples[f++].v;
        else
            all[n++].h = s->hists[h++].h;
    }
    return (struct sequence){(const char *)all, n, sizeof *all, kind};
}

static void sequence_split(struct arena *a, struct sequence s, struct series *into)
{
    const struct both_sample *all = (const struct both_sample *)(const void *)s.items;
    struct sample *samples = ARENA_ARRAY(a, struct sample, s.n);
    struct hist_sample *hists = ARENA_ARRAY(a, struct hist_sample, s.n);
    into->n_samples = into->n_hists = 0;
    for (size_t i = 0; i < s.n; i++)
        if (all[i].h)
            hists[into->n_hists++] = (struct hist_sample){all[i].t, all[i].h};
        else
            samples[into->n_samples++] = (struct sample){all[i].t, all[i].v};
    into->samples = samples;
    into->hists = hists;
}

void sequence_to(struct arena *a, struct sequence s, struct series *into)
{
    if (s.kind == SEQUENCE_BOTH) {
        sequence_split(a, s, into);
        return;
    }
    bool floats = s.kind == SEQUENCE_FLOATS;
    into->samples = floats ? (const struct sample *)(const void *)s.items : NULL;
    into->n_samples = floats ? (uint32_t)s.n : 0;
    into->hists = floats ? NULL : (const struct hist_sample *)(const void *)s.items;
    into->n_hists = floats ? 0 : (uint32_t)s.n;
}
