// SPDX-License-Identifier: Apache-2.0
/* The destination of scraped and pushed samples. The writer implements it; the scraper and push handlers write to it.
 *
 * A batch is accepted completely or not at all: begin reserves capacity in every shard concerned, series copies,
 * commit hands over. A sink belongs to one lane's thread; one batch at a time per sink, no waiting between begin and
 * commit or abort. Arguments of series are borrowed for the call.
 *
 * Order: scraped series are assigned to shards by the hash of their target (`source` != 0), pushed series by their
 * own hash (labels_group_hash), so that a series is always sent through the same shard, in order.
 */
#ifndef MODEL_SINK_H
#define MODEL_SINK_H

#include "model/metadata.h"
#include "model/series.h"

struct series_in {
    struct labels labels;  /* canonical, without external labels */
    const struct sample *samples; size_t n_samples;
    const int64_t *starts; /* start time of each sample, 0 = none; NULL: none has one */
    const struct str *hists; size_t n_hists;         /* prometheus.Histogram messages */
    const struct str *exemplars; size_t n_exemplars; /* prometheus.Exemplar messages */
};
enum sink_status { SINK_OK, SINK_BUSY /* a queue that applies backpressure is full, or the route is not in force yet: nothing
                                      * was accepted */ };
struct sink_batch {
    uint64_t source;   /* hash of the target; 0 = pushed: each series by its own hash */
    uint64_t route;    /* only destinations of this route get the batch; 0: those without one */
    size_t bytes;      /* approximate size (uncompressed); with `more` including the following batches */
    struct str via;    /* X-Sluice-Via of the request that brought it (base/http/via.h); borrowed until commit */
    bool more;         /* continues a request whose first batch was accepted: no queue rejects it */
};

struct sink;
struct sink_ops {
    enum sink_status (*begin)(struct sink *s, const struct sink_batch *b);
    void (*series)(struct sink *s, const struct series_in *in);
    void (*metadata)(struct sink *s, const struct metadata *m);
    /* done (may be NULL) is called on this lane's thread once the batch is as durable as `durability` requires; ok
     * false: it could not be stored and the client must retry. */
    void (*commit)(struct sink *s, void (*done)(void *arg, bool ok), void *arg);
    void (*abort)(struct sink *s);
};
struct sink {
    const struct sink_ops *ops;
    uint64_t deduplicated; /* samples of committed batches that were dropped since another replica is elected */
}; /* first member of the implementation's struct */

static inline enum sink_status sink_begin(struct sink *s, const struct sink_batch *b) { return s->ops->begin(s, b); }
static inline void sink_series(struct sink *s, const struct series_in *in) { s->ops->series(s, in); }
static inline void sink_metadata(struct sink *s, const struct metadata *m) { s->ops->metadata(s, m); }
static inline void sink_commit(struct sink *s, void (*done)(void *, bool), void *arg) { s->ops->commit(s, done, arg); }
static inline void sink_abort(struct sink *s) { s->ops->abort(s); }

#endif
