// SPDX-License-Identifier: Apache-2.0
/* A stream: the samples that a set of destinations receives, made by one chain of stages. Immutable and shared by lanes. */
#ifndef WRITER_PIPELINE_STREAM_H
#define WRITER_PIPELINE_STREAM_H

#include "writer/pipeline/chain.h"
#include "writer/pipeline/pending.h"

struct destination;
struct recent;
/* What of it is sent beside float samples; write_2: for remote write 2.0, with start times, and metadata for each lane. */
struct stream_contents { bool metadata, exemplars, histograms, write_2; };
struct stream {
    struct chain chain;
    bool raw;                /* gets series as they came, before the global chain */
    unsigned shards;
    struct block_limits limits;
    struct destination **destinations; size_t n;
    size_t *generations;     /* of each destination, the generation that is written to */
    struct recent *recent;   /* NULL = no recent store follows this stream */
    struct stream_contents contents;
    int slot;                /* gets series of this destination only (sharding.h); -1 = all */
    uint64_t route;          /* gets batches of this route */
    bool every_route;        /* or of all */
};
/* True if both get the same series in the same shards: with equal limits, destinations share the blocks. */
static inline bool stream_same(const struct stream *a, const struct stream *b)
{
    return a->chain.identity == b->chain.identity && a->raw == b->raw && a->shards == b->shards;
}

#endif
