// SPDX-License-Identifier: Apache-2.0
/* One lane's part of the recent store. The lane writes under `lock` (taken once per batch, never per sample), and does
 * not wait for it: see intake.c. Workers read under it in short slices (STRIPE_SLICE series at a time).
 */
#ifndef WRITER_RECENT_STRIPE_H
#define WRITER_RECENT_STRIPE_H

#include "base/telemetry/stats.h"
#include "base/os/thread.h"
#include "writer/recent/index.h"
#include "writer/recent/series.h"
#include "writer/recent/recent.h"

enum { STRIPE_SLICE = 256 };
struct staged_batch;
struct part_counts { /* for /metrics, which reads them without a lock */
    atomic_ullong series, samples, bytes, index_bytes, evicted_samples, evicted_series, rejected;
};
struct stripe {
    struct mutex lock;            /* guards all but the atomics */
    struct mutex next, queries;   /* the way to it for those who wait: see intake.c */
    _Atomic(struct staged_batch *) staged; /* batches that found it taken, newest first */
    atomic_size_t staged_bytes;
    struct part_counts counts;    /* as of the last unlock */
    struct recent *store;
    struct map by_labels;         /* label bytes -> struct recent_series */
    struct recent_series **series; size_t n, _cap; /* by id; NULL = gone. An id stays: readers look between slices */
    uint32_t *free_ids; size_t n_free, _cap_free; /* that no posting names any more */
    size_t n_alive, n_gone;       /* gone: postings still name them */
    uint64_t pruned, reused;      /* how often the index lost postings, and a series got the id of one that went */
    struct index index; size_t index_counted; /* bytes of it that are counted */
    size_t bytes;                 /* this part's share of the store's */
    size_t sliced;                /* what bytes was when all open chunks were last sealed */
    int64_t swept;                /* when ages were last looked at */
    struct { char *text; struct metadata metadata; } *families; size_t n_families, _cap_families;
    size_t family_bytes;
    struct map by_family;
    uint64_t samples, evicted_samples, evicted_series, rejected;
};

void stripe_init(struct stripe *p, struct recent *store);
void stripe_free(struct stripe *p);
/* intake.c: */
/* lane thread: a batch; taken now or by who reads next */
void stripe_give(struct stripe *p, struct str bytes, int64_t now);
void stripe_lock(struct stripe *p); /* worker threads; afterwards all batches given before are taken */
void stripe_unlock(struct stripe *p);
void stripe_free_staged(struct stripe *p);
extern struct stats_group recent_intake_stats;
extern struct stats_histogram recent_lock_waits;
/* All under the lock: */
void stripe_publish(struct stripe *p);           /* the counts */
void stripe_take(struct stripe *p, struct str bytes, int64_t now);
void stripe_evict(struct stripe *p, int64_t now); /* until the store is within its budget and its retention */
void stripe_cut_slice(struct stripe *p);      /* seals chunks, when it is time for it: see evict.c */
void stripe_count(struct stripe *p, long long bytes);
void stripe_drop_series(struct stripe *p, struct recent_series *s); /* its id stays taken until stripe_prune */
void stripe_prune(struct stripe *p);          /* takes series that went out of the index */

struct recent { /* recent.c */
    atomic_uint refs;
    struct source source;
    struct stripe *stripes; unsigned n_stripes;
    atomic_size_t budget;         /* a reload may change both */
    atomic_llong retention;
    atomic_llong from;
    atomic_size_t bytes;          /* of everything: samples, labels, index, metadata */
};
static inline struct recent *recent_from_source(struct source *s) { return CONTAINER(s, struct recent, source); }

#endif
