// SPDX-License-Identifier: Apache-2.0
/* The ring of Grafana Agents that share the stored instances: one key in etcd, whose value is compressed by snappy.
 * While an Agent takes part, the Agents scrape all instances among themselves; sluices that replace them one by one
 * wait until the last Agent is gone. */
#ifndef GATEWAY_AGENT_AGENT_RING_H
#define GATEWAY_AGENT_AGENT_RING_H

#include "base/etcd/etcd.h"

/* Counts the Agents of the key's value that take part and whose last heartbeat is younger than timeout_ms (0: any). The
 * name of the first one is appended to `name`. False: the value is no ring. */
bool agent_ring_count(struct str value, int64_t now, int64_t timeout_ms, size_t *n, struct buf *name,
                      struct err *err) MUST_USE;

struct agent_ring;
/* Control thread. etcd is taken; prefix: of the ring's keys, copied. */
struct agent_ring *agent_ring_new(struct etcd *etcd, struct str prefix, int64_t timeout_ms);
void agent_ring_free(struct agent_ring *r); /* NULL is fine */
bool agent_ring_empty(struct agent_ring *r); /* the key was read, and none takes part any more; logs that it waits */

#endif
