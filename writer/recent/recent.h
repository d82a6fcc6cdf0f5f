// SPDX-License-Identifier: Apache-2.0
/* The recent store: the newest samples of one stream in memory, compressed, bounded in bytes and time.
 *
 * Written by lanes: a series always comes through the same lane (its shard's owner), so each lane has a part of its
 * own. Read by query workers through the source interface (model/source.h) without stopping a lane: sealed chunks are
 * shared by reference, the open chunk is copied, matchers are answered from postings. As a replica it is whole over
 * [recent_from, now] and must not be asked for a window that begins earlier.
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
/* Another budget and retention: what is kept stays, as far as they allow. Not from or to retention 0, which is
 * another way to keep samples. */
void recent_resize(struct recent *r, const struct recent_conf *c);
/* Series in remote-write form with canonical labels, as a pile holds them; trusted bytes. Lane thread, which does not
 * wait: queries that begin afterwards see them. */
void recent_take(struct recent *r, unsigned lane, struct str series, int64_t now);
struct source *recent_source(struct recent *r); /* borrowed: lives as long as the reference */
struct recent *recent_of(struct source *s);
int64_t recent_from(const struct recent *r);    /* whole since then: max(start, eviction edge) */
void recent_set_from(struct recent *r, int64_t t); /* a change of relabeling: what is older has other labels */

struct recent_stats {
    uint64_t series, samples, chunk_bytes, index_bytes;
    uint64_t evicted_samples, evicted_series, rejected_samples;
};
void recent_stats(struct recent *r, struct recent_stats *out); /* any thread; as of the last batch that was taken */
void recent_register_stats(void); /* of the lock; as stats_register */

#endif
