// SPDX-License-Identifier: Apache-2.0
/* The recent store: the newest samples of one stream in memory, compressed, limited in bytes and time.
 *
 * A series is always written by the same lane, its shard's owner, so each lane has its own stripe. Query workers read
 * through the source interface (model/source.h) without stopping a lane: sealed chunks are shared by reference, the
 * open chunk is copied, and matchers are evaluated on postings. As a replica the store is complete over [recent_from,
 * now] and must not be queried for a window that begins earlier.
 */
#ifndef WRITER_RECENT_RECENT_H
#define WRITER_RECENT_RECENT_H

#include "model/sink.h"
#include "model/source.h"
#include "writer/writer.h"

struct recent;
struct recent *recent_new(const struct recent_conf *c, unsigned n_lanes, int64_t now); /* one reference */
struct recent *recent_ref(struct recent *r);
void recent_unref(struct recent *r);          /* any thread */
/* Changes budget and retention; samples are kept as far as they allow. Retention 0 stores samples differently: changing
 * from or to it needs a new store. */
void recent_resize(struct recent *r, const struct recent_conf *c);
/* Appends series in remote write form with canonical labels, as in pending blocks; trusted bytes. On the lane's thread;
 * does not wait. Queries that begin afterwards see them. */
void recent_take(struct recent *r, unsigned lane, struct str series, int64_t now);
struct source *recent_source(struct recent *r); /* borrowed: valid as long as the reference */
struct recent *recent_of(struct source *s);
int64_t recent_from(const struct recent *r);    /* start of the complete window: max(start, eviction edge) */
void recent_set_from(struct recent *r, int64_t t); /* after a change of relabeling: older samples have other labels */

struct recent_stats {
    uint64_t series, samples, chunk_bytes, index_bytes;
    uint64_t evicted_samples, evicted_series, rejected_samples;
};
void recent_stats(struct recent *r, struct recent_stats *out); /* any thread; as of the last batch */
void recent_register_stats(void); /* metrics of the lock; call with stats_register */

#endif
