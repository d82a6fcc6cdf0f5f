// SPDX-License-Identifier: Apache-2.0
/* Distributes series over the destinations instead of sending each to all of them (`shard:`, -remoteWrite.shardByURL).
 *
 * A series goes to the destination with the highest score, which is a hash of the destination and of the series' labels
 * (rendezvous hashing): when a destination is added, only series that it gets move.
 *
 *   vmagent      Exactly vmagent's placement (1.116 and later): XXH64 over names and values of the labels in their order,
 *                without separators; of a destination XXH64 over "N:URL", N being its position from 1 on. Replicas go to
 *                the destinations that follow in the list.
 *   rendezvous   Independent of positions: a destination is its name (or URL without query), so that the order of the
 *                list does not matter. Replicas go to the destinations with the next highest scores.
 *
 * The labels are those that the global chain leaves (stage.h), before the chain of each destination. Immutable once the
 * topology is in force.
 */
#ifndef WRITER_PIPELINE_SHARDING_H
#define WRITER_PIPELINE_SHARDING_H

#include "model/labels.h"
#include "writer/writer.h"

enum { SHARDING_MAX = 64 }; /* destinations: a set of them is a word */
struct sharding {
    const struct sharding_conf *conf;
    uint64_t nodes[SHARDING_MAX]; unsigned n; /* hashes of the destinations */
};

uint64_t sharding_hash_vmagent(size_t position, struct str url);
/* Bit i is set if the series goes to destination i. key: scratch of the lane. */
uint64_t sharding_destinations(const struct sharding *s, struct buf *key, struct labels in);

/* The same by the labels that are hashed, which are added to the key in ascending order of their names; those that a series
 * has not are left out. */
void sharding_key_add(const struct sharding *s, struct buf *key, struct str name, struct str value);
uint64_t sharding_of_key(const struct sharding *s, struct str key);

#endif
