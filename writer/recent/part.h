/* One lane's part of the recent store. The lane writes under `lock` (taken once per batch, never per sample); workers read under it
 * in short slices (PART_SLICE series at a time), so that a lane waits microseconds at most.
 */
#ifndef WRITER_RECENT_PART_H
#define WRITER_RECENT_PART_H

#include "base/thread.h"
#include "writer/recent/chunk.h"
#include "writer/recent/index.h"
#include "writer/recent/recent.h"

enum { PART_SLICE = 256 };
struct kept_histogram { int64_t t; struct str message; /* owned */ };
struct kept_series {
    struct labels labels;         /* owned */
    uint32_t id, next;            /* next: the series that came after it last time; a guess that saves the look-up */
    struct chunk *first, *last;   /* sealed, oldest first */
    struct chunk *open;
    struct chunk_tail tail;
    int64_t newest;               /* of all its samples */
    struct sample *late; uint32_t n_late, cap_late;           /* samples that came out of order, ascending */
    struct kept_histogram *hists; uint32_t n_hists, cap_hists; /* ascending */
};
struct part {
    struct mutex lock;
    struct recent *store;
    struct map by_labels;         /* label bytes -> struct kept_series */
    struct kept_series **series; size_t n, _cap; /* by id; NULL = gone */
    size_t n_alive, n_gone;
    struct index index;
    int64_t evicted_to;           /* samples up to here may be missing */
    int64_t swept;                /* when ages were last looked at */
    struct { struct str key; struct metadata metadata; } *families; size_t n_families, _cap_families;
    struct map by_family;
    uint64_t samples, evicted_samples, evicted_series, rejected;
};

void part_init(struct part *p, struct recent *store);
void part_free(struct part *p);
/* All under the lock: */
void part_take(struct part *p, struct str bytes, int64_t now);
void part_evict(struct part *p, int64_t now); /* until the store is within its budget and its retention */

struct recent { /* recent.c */
    atomic_uint refs;
    struct source source;
    struct part *parts; unsigned n_parts;
    size_t budget;
    int64_t retention;
    atomic_llong from;
    atomic_size_t bytes;          /* chunks, late samples, histograms, labels; index on top */
};
extern const struct source_ops recent_source_ops; /* read.c */
static inline struct recent *recent_from_source(struct source *s) { return CONTAINER(s, struct recent, source); }

#endif
