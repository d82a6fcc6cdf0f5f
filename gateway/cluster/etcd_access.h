// SPDX-License-Identifier: Apache-2.0
/* A client of the etcd that a section of the configuration describes. */
#ifndef GATEWAY_CLUSTER_ETCD_ACCESS_H
#define GATEWAY_CLUSTER_ETCD_ACCESS_H

#include "base/etcd/etcd.h"
#include "gateway/cluster/cluster_conf.h"

/* timeout_most: upper limit of the section's timeout, so that another endpoint can be tried in time. NULL: the settings
 * of its connections are invalid. */
struct etcd *etcd_access_new(struct loop *loop, const struct etcd_section *e, int64_t timeout_most,
                             struct err *err) MUST_USE;

#endif
