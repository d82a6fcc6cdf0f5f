// SPDX-License-Identifier: Apache-2.0
/* One series of the recent store: chunks, late samples, histograms. Guarded by its part's lock; what its memory and
 * its samples come to is counted in the part.
 */
#ifndef WRITER_RECENT_KEPT_H
#define WRITER_RECENT_KEPT_H

#include "model/labels.h"
#include "writer/recent/chunk.h"

struct part;
struct kept_histogram { int64_t t; struct str message; /* owned */ };
struct kept_exemplar { int64_t t; struct str message; /* prometheus.Exemplar; owned */ };
enum { KEPT_EXEMPLARS = 10, KEPT_EXEMPLAR_BYTES = 1024 }; /* of a series, the newest; larger ones are not kept */
struct kept_rest { /* what few series have */
    struct sample *late; uint32_t n_late, cap_late;           /* samples that came out of order */
    uint32_t n_hists, cap_hists; struct kept_histogram *hists;
    uint32_t late_sorted, hists_sorted; /* so many ascend; behind them is a tail in order of arrival: see late.h */
    uint32_t n_exemplars; struct kept_exemplar *exemplars; /* ascending; NULL, or room for KEPT_EXEMPLARS */
};
struct kept_series { /* 80 bytes and its labels: one piece of memory */
    struct chunk *first, *last;   /* sealed, oldest first */
    struct chunk *open;           /* NULL, or has a sample */
    struct kept_rest *rest;       /* NULL, or has a late sample, a histogram or an exemplar */
    struct chunk_tail tail;       /* of the newest chunk */
    int64_t newest;               /* of all its samples */
    uint32_t id, next;            /* next: the series that came after it last time; a guess that saves the look-up */
    uint32_t label_bytes, label_count;
    uint8_t label_text[];
};
static inline struct labels kept_labels(const struct kept_series *s)
{
    return (struct labels){s->label_text, s->label_bytes, s->label_count};
}

struct kept_series *kept_new(struct part *p, struct labels labels); /* labels are copied */
void kept_free(struct part *p, struct kept_series *s);
void kept_add_sample(struct part *p, struct kept_series *s, int64_t t, double v);
void kept_add_histogram(struct part *p, struct kept_series *s, struct str message); /* prometheus.Histogram; copied */
void kept_add_exemplar(struct part *p, struct kept_series *s, struct str message);  /* prometheus.Exemplar; copied */
void kept_settle(struct part *p, struct kept_series *s); /* after each of its messages; leaves short tails */
void kept_sort(struct part *p, struct kept_series *s);   /* before late samples or histograms are read; no tails */
void kept_seal(struct part *p, struct kept_series *s);  /* the open chunk, when there is one */

/* Whole chunks that end at `edge` or before, late samples and histograms up to it. The newest that went; INT64_MIN:
 * none. */
int64_t kept_drop_until(struct part *p, struct kept_series *s, int64_t edge);
int64_t kept_oldest(struct part *p, struct kept_series *s); /* INT64_MAX: it has no sample */
uint32_t kept_late_before(const struct kept_rest *r, int64_t t); /* how many late samples are older; r is sorted */

#endif
