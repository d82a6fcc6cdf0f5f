// SPDX-License-Identifier: Apache-2.0
/* A stream: the samples that a set of destinations receives. Its chain is applied to the labels of every series:
 * external labels where absent, relabel rules, extra labels. A stream is immutable and shared by lanes; stream_labels,
 * with the relabel cache, belongs to one lane. */
#ifndef WRITER_PIPELINE_STREAM_H
#define WRITER_PIPELINE_STREAM_H

#include "model/relabel.h"
#include "writer/pipeline/pending.h"
#include "writer/pipeline/relabel_cache.h"
#include "writer/writer.h"

struct destination;
struct recent;
/* What of it is sent beside float samples; write_2: for remote write 2.0, with start times, and metadata for each lane. */
struct stream_contents { bool metadata, exemplars, histograms, write_2; };
struct stream {
    struct relabel_rules rules;
    struct str_map external, extra;
    unsigned shards;
    struct block_limits limits;
    struct destination **destinations; size_t n;
    size_t *generations;     /* of each destination, the generation that is written to */
    struct recent *recent;   /* NULL = no recent store follows this stream */
    struct stream_contents contents;
    int slot;                /* gets series of this destination only (sharding.h); -1 = all */
};
/* True if the stream has this chain and number of shards: with equal limits, destinations share its blocks. */
bool stream_same(const struct stream *s, struct relabel_rules rules, struct str_map external, struct str_map extra,
                 unsigned shards);

struct addition { struct str name; struct buf wire; bool override; }; /* override: replaces an existing label */
struct stream_labels {
    const struct stream *stream;
    struct addition *additions; size_t n_additions; /* external and extra labels by name; used without rules */
    struct relabel_cache cache; /* used with rules only: without, splicing is cheaper than a lookup */
    struct labels_builder builder;
    struct arena scratch;
    struct buf out;
};
void stream_labels_init(struct stream_labels *l, const struct stream *s);
void stream_labels_free(struct stream_labels *l);
/* The labels to send; false: dropped by the rules. Valid until the next call. */
bool stream_labels_apply(struct stream_labels *l, struct labels in, struct labels *out);

#endif
