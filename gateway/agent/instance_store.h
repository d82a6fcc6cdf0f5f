// SPDX-License-Identifier: Apache-2.0
/* The instances in etcd: a copy of the keys with a prefix, and changes of one of them.
 *
 * The copy stays while etcd does not respond, and if etcd is wiped: an instance ends only when its key is removed
 * (base/etcd/etcd_mirror.h).
 *
 * Changes are made one at a time. A change is checked against the copy and written only if no key has changed since:
 * two members that write at once cannot break a rule about all instances together. It is confirmed once the copy has
 * it, so that a client reads its own write from the same member.
 *
 * Threads: the control thread's, unless stated otherwise.
 */
#ifndef GATEWAY_AGENT_INSTANCE_STORE_H
#define GATEWAY_AGENT_INSTANCE_STORE_H

#include "base/etcd/etcd.h"
#include "base/list.h"
#include "base/telemetry/stats.h"
#include "gateway/agent/instance_set.h"

struct instance_store;
struct instance_store_conf {
    struct etcd *etcd;                 /* taken; freed with the store */
    struct str prefix;                 /* copied */
    void (*changed)(void *arg);        /* the set is another one */
    void *arg;
};
struct instance_store *instance_store_new(const struct instance_store_conf *conf);
void instance_store_stop(struct instance_store *s); /* changes get an error from now on; NULL is fine */
void instance_store_free(struct instance_store *s); /* stops it; NULL is fine */

/* Any thread: a reference; NULL: the keys were not read yet. */
struct instance_set *instance_store_set(struct instance_store *s);
void instance_store_error(struct instance_store *s, struct err *err); /* any thread: why the keys are not current */
bool instance_store_complete(struct instance_store *s); /* any thread: they were read once */

enum instance_result { INSTANCE_CREATED, INSTANCE_REPLACED, INSTANCE_DELETED, INSTANCE_ABSENT, INSTANCE_CONFLICT,
                       INSTANCE_REFUSED, INSTANCE_FAILED };
struct instance_change {               /* zeroed; the caller's until `done` */
    struct str name;
    bool remove;
    uint64_t if_revision;              /* only if the key has this mod_revision; 0: in any case */
    /* Puts: appends the value to write, checked against the other instances in `set`; false: refused with `err`. Called
     * again if another client was faster. */
    bool (*check)(struct instance_change *c, const struct instance_set *set, struct buf *value, struct err *err);
    void (*done)(struct instance_change *c, enum instance_result result, const struct err *err);
    uint64_t revision;                 /* CREATED, REPLACED: mod_revision of the key */
    /* private: */
    struct list _node;
    struct buf _value;
    bool _created, _restores;
    unsigned _attempts;
};
void instance_store_change(struct instance_store *s, struct instance_change *c);

void instance_store_collect(struct instance_store *s, struct stats_out *o); /* any thread: metrics */

#endif
