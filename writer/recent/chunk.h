/* A chunk: up to CHUNK_SAMPLES float samples of one series, ascending in time, in a few bytes each. See chunk.c for the code.
 * An open chunk is appended to by its lane; once sealed it never changes and is shared by reference.
 */
#ifndef WRITER_RECENT_CHUNK_H
#define WRITER_RECENT_CHUNK_H

#include "model/series.h"

#include <stdatomic.h>

enum { CHUNK_SAMPLES = 240, CHUNK_SAMPLE_BYTES = 24 /* most that one sample can take */ };
struct chunk {
    atomic_uint refs;
    uint32_t n, size, cap;  /* samples, bytes, room */
    int64_t t_min, t_max;
    struct chunk *next;     /* the series' next newer one */
    uint8_t bytes[];
};
struct chunk_tail { int64_t t, dt; double v; }; /* the last sample, which the next one is told from */

struct chunk *chunk_new(uint32_t cap);
static inline struct chunk *chunk_ref(struct chunk *c) { atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed); return c; }
void chunk_unref(struct chunk *c);
static inline size_t chunk_memory(const struct chunk *c) { return sizeof *c + c->cap; }

bool chunk_full(const struct chunk *c);
/* t must be greater than the last one's. May move the chunk (only an open one): use what it returns. */
struct chunk *chunk_append(struct chunk *c, struct chunk_tail *tail, int64_t t, double v);
struct chunk *chunk_seal(struct chunk *c); /* gives back what was reserved too much */
/* Appends the samples with t_min <= t <= t_max to out, which has room for n; returns how many. */
uint32_t chunk_decode(const uint8_t *bytes, uint32_t size, uint32_t n, int64_t t_min, int64_t t_max, struct sample *out);

#endif
