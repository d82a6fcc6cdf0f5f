// SPDX-License-Identifier: Apache-2.0
/* One series of the recent store: chunks, late samples, histograms, exemplars. Guarded by its stripe's lock; its memory
 * and samples are counted in the stripe. */
#ifndef WRITER_RECENT_SERIES_H
#define WRITER_RECENT_SERIES_H

#include "model/labels.h"
#include "model/chunk.h"

struct stripe;
struct recent_histogram { int64_t t; struct str message; /* owned */ };
struct recent_exemplar { int64_t t; struct str message; /* prometheus.Exemplar; owned */ };
/* per series, the newest ones; larger ones are not stored */
enum { SERIES_EXEMPLARS = 10, SERIES_EXEMPLAR_BYTES = 1024 };
struct recent_extra { /* data that few series have */
    struct sample *late; uint32_t n_late, cap_late;           /* out-of-order samples */
    uint32_t n_hists, cap_hists; struct recent_histogram *hists;
    uint32_t late_sorted, hists_sorted; /* number of sorted items; the rest is a tail in order of arrival (late.h) */
    uint32_t n_exemplars; struct recent_exemplar *exemplars; /* ascending; NULL, or space for SERIES_EXEMPLARS */
};
struct recent_series { /* 80 bytes and its labels, in one allocation */
    struct chunk *first, *last;   /* sealed, oldest first */
    struct chunk *open;           /* NULL, or at least one sample */
    struct recent_extra *extra;    /* NULL, or at least one late sample, histogram or exemplar */
    struct chunk_tail tail;       /* of the newest chunk */
    int64_t newest;               /* time of the newest sample */
    uint32_t id, next;            /* next: the series that followed it in the last batch; a prediction that saves a
                                   * lookup */
    uint32_t label_bytes, label_count;
    uint8_t label_text[];
};
static inline struct labels recent_series_labels(const struct recent_series *s)
{
    return (struct labels){s->label_text, s->label_bytes, s->label_count};
}

struct recent_series *recent_series_new(struct stripe *p, struct labels labels); /* labels are copied */
void recent_series_free(struct stripe *p, struct recent_series *s);
void recent_series_add_sample(struct stripe *p, struct recent_series *s, int64_t t, double v);
/* prometheus.Histogram; copied */
void recent_series_add_histogram(struct stripe *p, struct recent_series *s, struct str message);
/* prometheus.Exemplar; copied */
void recent_series_add_exemplar(struct stripe *p, struct recent_series *s, struct str message);
/* after each of its messages; leaves short tails */
void recent_series_settle(struct stripe *p, struct recent_series *s);
/* before late samples or histograms are read; leaves no tails */
void recent_series_sort(struct stripe *p, struct recent_series *s);
void recent_series_seal(struct stripe *p, struct recent_series *s); /* seals the open chunk, if there is one */

/* Drops complete chunks that end at `edge` or before, and late samples and histograms up to it. Returns the time of the
 * newest dropped; INT64_MIN: none. */
int64_t recent_series_drop_until(struct stripe *p, struct recent_series *s, int64_t edge);
int64_t recent_series_oldest(struct stripe *p, struct recent_series *s); /* INT64_MAX: no samples */
/* number of older late samples; r must be sorted */
uint32_t recent_series_late_before(const struct recent_extra *r, int64_t t);

#endif
