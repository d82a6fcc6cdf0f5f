// SPDX-License-Identifier: Apache-2.0
/* A chunk: up to CHUNK_SAMPLES float samples of one series, in ascending order of time, in a few bytes each. Encoding:
 * chunk.c. The lane appends to an open chunk; a sealed one never changes, except `next`, and is shared by reference.
 * Every CHUNK_MARK_BYTES it has a mark from which decoding can start, so that a short window of a long chunk costs what
 * the window has. */
#ifndef MODEL_CHUNK_H
#define MODEL_CHUNK_H

#include "base/refs.h"
#include "model/series.h"

enum { CHUNK_SAMPLES = 240, CHUNK_SAMPLE_BYTES = 19 /* largest encoded sample */, CHUNK_MARK_BYTES = 256 };
struct chunk {
    int64_t t_min, t_max;
    struct chunk *next;          /* the series' next newer chunk */
    struct refs refs;
    uint16_t n, size, cap;       /* samples, bytes, capacity */
    uint16_t repeat_tag;         /* offset of the tag that counts equal samples, plus one; 0: none */
    uint8_t n_marks;
    bool unmarked;               /* gets no marks: it is only decoded as a whole */
    uint8_t bytes[];             /* cap of them: samples from the start, marks from the end */
};
struct chunk_tail { int64_t t, dt; double v; }; /* the last sample, from which the next one is encoded */

struct chunk *chunk_new(uint32_t cap);
static inline void chunk_ref(struct chunk *c) { refs_take(&c->refs); }
void chunk_unref(struct chunk *c);
static inline size_t chunk_memory(const struct chunk *c) { return mem_block(offsetof(struct chunk, bytes) + c->cap); }

static inline bool chunk_full(const struct chunk *c) { return c->n >= CHUNK_SAMPLES; }
static inline bool chunk_overlaps(const struct chunk *c, int64_t t_min, int64_t t_max)
{
    return c->t_min <= t_max && c->t_max >= t_min;
}
/* t must be greater than the last sample's. May reallocate an open chunk: use the returned pointer. */
struct chunk *chunk_append(struct chunk *c, struct chunk_tail *tail, int64_t t, double v);
struct chunk *chunk_seal(struct chunk *c); /* frees unused capacity */
/* An empty chunk in the arena that holds CHUNK_SAMPLES of any kind and is never reallocated. */
struct chunk *chunk_scratch(struct arena *a);
/* Of an open chunk, for decoding samples from t_min on; it may lack earlier ones. */
struct chunk *chunk_copy(const struct chunk *c, int64_t t_min, struct arena *a);
/* Writes the samples with t_min <= t <= t_max to out, which must have space for c->n; returns their number. */
uint32_t chunk_decode(const struct chunk *c, int64_t t_min, int64_t t_max, struct sample *out);

/* The two steps, some time after each other, that bring into the CPU's cache what chunk_decode from t_min on will read;
 * the head of the chunk must be there already. */
void chunk_prefetch_marks(const struct chunk *c);
void chunk_prefetch_samples(const struct chunk *c, int64_t t_min);

/* n samples in ascending order as a list of chunks in the arena. scratch: any chunk_scratch; it is emptied. */
struct chunk *chunk_list_pack(struct arena *a, struct chunk *scratch, const struct sample *samples, size_t n);
void chunk_list_unpack(const struct chunk *first, struct sample *out); /* has space for all samples */

#endif
