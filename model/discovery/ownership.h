// SPDX-License-Identifier: Apache-2.0
/* Which members of a cluster scrape a target: a function of the target's labels after relabel_configs, so that members
 * agree without talking to each other. Pure; any thread.
 *
 * By default exactly as vmagent with -promscrape.cluster.*, so that both may be members of one cluster: the hash of
 * `name=value,` for each label, modulo the number of members, and the next members for further replicas. Another number
 * of members then moves nearly all targets. With `rendezvous` the members with the highest hashes of member and target
 * own it: from N to N + 1 members one of N + 1 targets moves.
 *
 * Source: https://docs.victoriametrics.com/victoriametrics/vmagent/#scraping-big-number-of-targets
 */
#ifndef MODEL_DISCOVERY_OWNERSHIP_H
#define MODEL_DISCOVERY_OWNERSHIP_H

#include "base/conf/conf.h"
#include "model/labels.h"

enum { OWNERSHIP_MEMBERS_MAX = 100000 };
struct ownership {
    unsigned members;             /* 0: everything is owned */
    unsigned member;              /* 0 .. members - 1: this process */
    unsigned replicas;            /* members that own a target; at least 1 */
    bool rendezvous;
    struct str_list shard_labels; /* sorted: only these are hashed, of a target that has one of them */
};
/* The number of a member, which may be the name of a pod that ends in -N. False: it is none, or not below `members`. */
bool ownership_member_parse(struct str text, unsigned members, unsigned *member) MUST_USE;
/* The bytes that a hash of the target is made of: its labels but for meta labels and `never`, or of these labels only
 * `only`, if it has one of them. Replaces what `key` has. */
struct ownership_labels { struct str_list only, never; /* sorted */ };
void ownership_key(const struct ownership_labels *which, const struct labels_builder *target, struct buf *key);
/* Meta labels (__meta_*) do not count. `key` is a buffer to reuse. */
bool ownership_has(const struct ownership *o, const struct labels_builder *target, struct buf *key);
/* The members that own it, at most `most` of them, the first replica first; returns their number. */
size_t ownership_list(const struct ownership *o, const struct labels_builder *target, struct buf *key, unsigned *members,
                      size_t most);

#endif
