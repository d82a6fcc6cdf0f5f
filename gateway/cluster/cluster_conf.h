// SPDX-License-Identifier: Apache-2.0
/* The section `cluster`: sluices that share the targets of their jobs, coordinated by etcd. */
#ifndef GATEWAY_CLUSTER_CLUSTER_CONF_H
#define GATEWAY_CLUSTER_CLUSTER_CONF_H

#include "base/http/http_conf.h"

struct etcd_section {
    struct str_list endpoints;
    struct str username, password, password_file;
    int64_t timeout;
    struct http_conf http;
};
struct members_section { struct http_conf http; };
enum distribute { DISTRIBUTE_TARGET, DISTRIBUTE_JOB };
enum replica_mode { REPLICA_STANDBY, REPLICA_ALL };
struct cluster_conf {
    struct str name, id, address, zone, prefix, replica_label;
    double weight;
    int64_t replication_factor, wait_for_size;
    int replica_mode, distribute;          /* enum replica_mode, enum distribute */
    int64_t standby_memory;
    int64_t wait_timeout, lease, handover; /* ms */
    struct str_list ownership_labels, ownership_exclude_labels;
    struct etcd_section etcd;
    struct members_section members;
};
extern const struct conf_section cluster_section, etcd_section;
/* How long a member keeps its scrapes for others: twice the lease and 5 s, until a crash is noticed and handled. */
static inline int64_t cluster_keep_ms(const struct cluster_conf *c) { return 2 * c->lease + 5000; }

#endif
