// SPDX-License-Identifier: Apache-2.0
/* Where scraped and pushed samples go. The writer implements it; scraper and push handlers write through it.
 *
 * A batch is taken whole or not at all: begin reserves room in every shard concerned, series copies, commit hands over.
 * A sink belongs to one lane's thread; one batch at a time per sink, no waiting between begin and commit/abort.
 * Everything passed to series is borrowed for the call only.
 *
 * Order: scraped series go to a shard by the hash of their target (`source` != 0), pushed series by series hash, so
 * that a series always leaves through the same shard, in order.
 */
#ifndef MODEL_SINK_H
#define MODEL_SINK_H

#include "model/metadata.h"
#include "model/series.h"

struct series_in {
    struct labels labels;  /* canonical, external labels not yet added */
    const struct sample *samples; size_t n_samples;
    const struct str *hists; size_t n_hists;         /* prometheus.Histogram messages */
    const struct str *exemplars; size_t n_exemplars; /* prometheus.Exemplar messages */
};
enum sink_status { SINK_OK, SINK_BUSY /* a queue that pushes back is full: nothing was taken */ };
struct sink_batch {
    uint64_t source;   /* hash of the target; 0 = pushed: each series by its own hash */
    size_t bytes;      /* about how much is coming (uncompressed); with `more` in the batches after this one, too */
    bool more;         /* goes on with what an earlier batch was begun for: no queue refuses it */
};

struct sink;
struct sink_ops {
    enum sink_status (*begin)(struct sink *s, const struct sink_batch *b);
    void (*series)(struct sink *s, const struct series_in *in);
    void (*metadata)(struct sink *s, const struct metadata *m);
    /* done (may be NULL) is called on this lane's thread once the batch is as safe as `durability` asks; ok false: it
     * could not be stored and the pusher must try again. */
    void (*commit)(struct sink *s, void (*done)(void *arg, bool ok), void *arg);
    void (*abort)(struct sink *s);
};
struct sink { const struct sink_ops *ops; }; /* first member of the implementation's struct */

static inline enum sink_status sink_begin(struct sink *s, const struct sink_batch *b) { return s->ops->begin(s, b); }
static inline void sink_series(struct sink *s, const struct series_in *in) { s->ops->series(s, in); }
static inline void sink_metadata(struct sink *s, const struct metadata *m) { s->ops->metadata(s, m); }
static inline void sink_commit(struct sink *s, void (*done)(void *, bool), void *arg) { s->ops->commit(s, done, arg); }
static inline void sink_abort(struct sink *s) { s->ops->abort(s); }

#endif
