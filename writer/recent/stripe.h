// SPDX-License-Identifier: Apache-2.0
/* One lane's part of the recent store. The lane writes under `lock`, taken once per batch, and never waits for it
 * (intake.c). Workers read under it in short slices of STRIPE_SLICE series. */
#ifndef WRITER_RECENT_STRIPE_H
#define WRITER_RECENT_STRIPE_H

#include "base/refs.h"
#include "base/telemetry/stats.h"
#include "base/os/thread.h"
#include "writer/recent/index.h"
#include "writer/recent/series.h"
#include "writer/recent/recent.h"

enum { STRIPE_SLICE = 256, EIGHTHS = 8 /* of the time that samples cover: evict.c */ };
struct staged_batch;
struct stripe_counts { /* for /metrics, which reads without a lock */
    atomic_ullong series, samples, bytes, index_bytes, evicted_samples, evicted_series, rejected;
};
struct time_span { int64_t oldest, newest; };
struct sweep { /* checks all series, some of them with each batch: see evict.c */
    bool on, seals, makes_room;   /* seals: all open chunks; makes_room: also those that begin before the edge */
    size_t at;                    /* the next id */
    int64_t edge;                 /* samples that are not newer are removed */
    struct time_span began_with;  /* what the samples covered; */
    size_t next[EIGHTHS];         /* by eighths of it: removable bytes of series that are kept (makes_room) */
    struct time_span found;       /* what they cover now */
    int64_t stalest;              /* the stripe's from now on */
};
struct stripe {
    struct mutex lock;            /* guards all fields but the atomics */
    struct mutex next, queries;   /* order of the threads that wait for it (intake.c) */
    _Atomic(struct staged_batch *) staged; /* batches staged while it was taken, newest first */
    atomic_size_t staged_bytes;
    struct stripe_counts counts;    /* as of the last unlock */
    struct recent *store;
    struct map by_labels;         /* label bytes -> struct recent_series */
    struct recent_series **series; size_t n, _cap; /* by id, which does not change; NULL = removed */
    uint16_t *listed; size_t _cap_listed; /* by id: postings that still list it although the series is removed */
    uint32_t *free_ids; size_t n_free, _cap_free; /* that no posting lists any more */
    size_t n_alive, n_bare;       /* n_bare: of them, without a sample */
    int64_t stalest;              /* the newest samples of all others are at this time or later */
    uint64_t pruned, reused;      /* how often the index lost a value, and a series got the id of a removed one */
    struct index index; size_t index_counted; /* bytes of it that are counted */
    size_t bytes;                 /* this part's share of the store's */
    struct sweep sweep;
    int64_t room_edge;            /* of the next sweep that frees memory; INT64_MIN: the end of the oldest eighth */
    struct time_span cover, since; /* times of its samples as of the last sweep, and of those added since */
    size_t sealed_bytes;                /* what bytes was when all open chunks were last sealed */
    int64_t last_age_check;                /* when ages were last checked */
    struct { char *text; struct metadata metadata; } *families; size_t n_families, _cap_families;
    size_t family_bytes;
    struct map by_family;
    uint64_t samples, evicted_samples, evicted_series, rejected;
};

void stripe_init(struct stripe *p, struct recent *store);
void stripe_free(struct stripe *p);
/* intake.c: */
/* lane thread: appends a batch, now or when the lock is taken next */
void stripe_give(struct stripe *p, struct str bytes, int64_t now);
void stripe_lock(struct stripe *p); /* worker threads; earlier batches have been appended on return */
void stripe_unlock(struct stripe *p);
void stripe_free_staged(struct stripe *p);
extern struct stats_group recent_intake_stats;
extern struct stats_histogram recent_lock_waits;
/* All under the lock: */
void stripe_publish(struct stripe *p);           /* publishes the counts */
void stripe_take(struct stripe *p, struct str bytes, int64_t now);
/* Both are a step of eviction (evict.c). sweep: ahead of time; evict: a larger one, when the budget is exceeded */
void stripe_sweep(struct stripe *p, int64_t now, size_t work);
void stripe_evict(struct stripe *p, int64_t now);
void stripe_count(struct stripe *p, long long bytes);
void stripe_drop_series(struct stripe *p, struct recent_series *s); /* its id is not reused while postings list it */
void stripe_note_first(struct stripe *p, int64_t t); /* a series has got its first sample */
/* Whether each series is known to have a sample in the window; false says nothing. */
bool stripe_all_overlap(const struct stripe *p, int64_t t_min, int64_t t_max);

struct recent { /* recent.c */
    struct refs refs;
    struct source source;
    struct stripe *stripes; unsigned n_stripes;
    atomic_size_t budget;         /* a reload may change both */
    atomic_llong retention;
    atomic_llong from;
    atomic_size_t bytes;          /* samples, labels, index and metadata */
};
static inline struct recent *recent_from_source(struct source *s) { return CONTAINER(s, struct recent, source); }

#endif
