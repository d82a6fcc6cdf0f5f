// SPDX-License-Identifier: Apache-2.0
/* The samples of a series as one sequence in time: floats, histograms, or both kinds mixed. */
#ifndef GATEWAY_MERGE_SEQUENCE_H
#define GATEWAY_MERGE_SEQUENCE_H

#include "model/series.h"

enum sequence_kind { SEQUENCE_FLOATS, SEQUENCE_HISTS, SEQUENCE_BOTH };
struct both_sample { int64_t t; const struct histogram *h; double v; }; /* h NULL: a float */
struct sequence { const char *items; size_t n, size; enum sequence_kind kind; };
struct sequence_out { char *items; size_t n, size; enum sequence_kind kind; };

_Static_assert(offsetof(struct sample, t) == 0 && offsetof(struct hist_sample, t) == 0 &&
               offsetof(struct both_sample, t) == 0, "sequence_time reads the first member");

static inline int64_t sequence_time(const struct sequence *s, size_t i)
{
    int64_t t;
    memcpy(&t, s->items + i * s->size, sizeof t);
    return t;
}
static inline int64_t sequence_first(const struct sequence *s) { return sequence_time(s, 0); }
static inline int64_t sequence_last(const struct sequence *s) { return sequence_time(s, s->n - 1); }
bool sequence_stale_hists(const struct sequence *s, size_t i); /* kind is not SEQUENCE_FLOATS */
static inline bool sequence_stale(const struct sequence *s, size_t i)
{
    double v;
    if (s->kind != SEQUENCE_FLOATS)
        return sequence_stale_hists(s, i);
    memcpy(&v, s->items + i * sizeof(struct sample) + offsetof(struct sample, v), sizeof v);
    return is_stale(v);
}

/* The first sample from i on (i > 0) that is a stale marker, or further than `gap` behind the one before it. May be
 * earlier: only floats are checked. */
static inline size_t sequence_skip_regular(const struct sequence *s, size_t i, int64_t gap)
{
    const struct sample *v = (const struct sample *)(const void *)s->items;
    if (s->kind == SEQUENCE_FLOATS)
        while (i < s->n && v[i].t - v[i - 1].t <= gap && !is_stale(v[i].v))
            i++;
    return i;
}

/* Samples i to end - 1. */
static inline void sequence_put_range(struct sequence_out *out, const struct sequence *s, size_t i, size_t end)
{
    memcpy(out->items + out->n * s->size, s->items + i * s->size, (end - i) * s->size);
    out->n += end - i;
}
static inline void sequence_put(struct sequence_out *out, const struct sequence *s, size_t i)
{
    sequence_put_range(out, s, i, i + 1);
}
/* A stale marker of s, moved to t. */
void sequence_put_at(struct sequence_out *out, const struct sequence *s, size_t i, int64_t t);
static inline struct sequence sequence_of(const struct sequence_out *out)
{
    return (struct sequence){out->items, out->n, out->size, out->kind};
}
struct sequence_out sequence_new(struct arena *a, const struct sequence *like, size_t most);

/* The kind that holds all samples of these series. */
enum sequence_kind sequence_kind_of(const struct series *const *series, size_t n);
struct sequence sequence_from(struct arena *a, const struct series *s, enum sequence_kind kind);
void sequence_to(struct arena *a, struct sequence s, struct series *into);

#endif
