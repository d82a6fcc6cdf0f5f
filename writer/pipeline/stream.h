// SPDX-License-Identifier: Apache-2.0
/* A stream: what a set of destinations receives. Its chain, applied to the labels of every series: external labels
 * where they are absent, the relabel rules, extra labels on top. Immutable and shared by lanes; the verdicts are a
 * lane's own.
 */
#ifndef WRITER_PIPELINE_STREAM_H
#define WRITER_PIPELINE_STREAM_H

#include "model/relabel.h"
#include "writer/writer.h"

struct destination;
struct recent;
struct stream {
    struct relabel_rules rules;
    struct str_map external, extra;
    unsigned shards;
    struct destination **destinations; size_t n;
    size_t *generations;     /* which one of each destination is written to */
    struct recent *recent;   /* NULL: nothing in memory listens */
    bool metadata;           /* somebody wants it */
};
/* Can the two share blocks? */
bool stream_same(const struct stream *s, struct relabel_rules rules, struct str_map external, struct str_map extra,
                 unsigned shards);

/* What relabel rules said of a series: 16 bytes each, by hash of its labels; forgotten all at once over a limit.
 * Without rules nothing is kept: splicing a few labels into sorted ones is cheaper than looking them up. */
enum relabel_result { RELABEL_ENTRY_NONE, RELABEL_ENTRY_SAME, RELABEL_ENTRY_DROPPED, RELABEL_ENTRY_CHANGED };
/* CHANGED: bytes at `at` of texts; n_kind = n << 2 | kind */
struct relabel_entry { uint64_t hash; uint32_t at, n_kind; };
struct addition { struct str name; struct buf wire; bool override; }; /* override: also where the label is already */
struct stream_labels {
    const struct stream *stream;
    struct addition *additions; size_t n_additions; /* external and extra labels by name; when there are no rules */
    struct relabel_entry *entries; size_t n, cap;
    struct buf texts;
    struct labels_builder builder;
    struct arena scratch;
    struct buf out;
};
void stream_labels_init(struct stream_labels *l, const struct stream *s);
void stream_labels_free(struct stream_labels *l);
/* The labels that leave; false: dropped by the rules. Valid until the next call. */
bool stream_labels_apply(struct stream_labels *l, struct labels in, struct labels *out);

#endif
