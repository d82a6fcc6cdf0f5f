// SPDX-License-Identifier: Apache-2.0
/* A copy of all keys of etcd with a prefix, kept current by a watch.
 *
 * What is lost is never assumed: while etcd does not respond, or its answers are incomplete, the copy stays as it is. A
 * key is removed when the watch says so. When a complete list lacks a key, which happens when the watch missed its
 * removal because etcd compacted its history, the key is removed only if another list, confirm_ms later, lacks it too. If
 * etcd itself is another one, or was restored from an older state (its cluster id differs, or its revision went back),
 * keys that it lacks are removed after that time or never (`wiped`): it was emptied, perhaps by accident.
 *
 * Threads: those of struct etcd.
 */
#ifndef BASE_ETCD_ETCD_MIRROR_H
#define BASE_ETCD_ETCD_MIRROR_H

#include "base/etcd/etcd.h"

struct etcd_key {
    struct str key, value;
    uint64_t create_revision, mod_revision, version, lease; /* lease 0: none */
    uint64_t _mark;                /* of the list that had it last */
    int64_t _absent;               /* loop_mono of the first list that lacked it; 0: none */
};
enum etcd_wiped { ETCD_WIPED_REMOVE, ETCD_WIPED_KEEP };
struct etcd_mirror_conf {
    struct str prefix;             /* copied */
    int64_t confirm_ms;
    enum etcd_wiped wiped;
    size_t max_bytes;              /* of keys and values; beyond it the copy stays as it is, with an error */
    /* put: the key is new or has another value, lease or revision. removed: valid during the call. settled: after a
     * complete list, and after each group of changes that belong together. state: `error` has changed. None of them may
     * free the mirror. */
    void (*put)(void *arg, const struct etcd_key *key);
    void (*removed)(void *arg, const struct etcd_key *key);
    void (*settled)(void *arg);
    void (*state)(void *arg);
    void *arg;
};
struct etcd_mirror;
struct etcd_mirror *etcd_mirror_new(struct etcd *e, const struct etcd_mirror_conf *conf); /* starts at once */
void etcd_mirror_free(struct etcd_mirror *m);
bool etcd_mirror_complete(const struct etcd_mirror *m);     /* a complete list was read once */
uint64_t etcd_mirror_revision(const struct etcd_mirror *m); /* the newest revision that the copy reflects */
const char *etcd_mirror_error(const struct etcd_mirror *m); /* why it may be outdated; NULL: it is current */
int64_t etcd_mirror_current_at(const struct etcd_mirror *m); /* loop_mono when it was known to be current; 0: never */
size_t etcd_mirror_count(const struct etcd_mirror *m);
const struct etcd_key *etcd_mirror_get(const struct etcd_mirror *m, struct str key); /* NULL: absent */
/* for (k = etcd_mirror_next(m, NULL); k; k = etcd_mirror_next(m, k)): in any order; the copy may not change meanwhile. */
const struct etcd_key *etcd_mirror_next(const struct etcd_mirror *m, const struct etcd_key *k);
void etcd_mirror_refresh(struct etcd_mirror *m);            /* reads the list again soon */

#endif
