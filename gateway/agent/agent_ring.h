// SPDX-License-Identifier: Apache-2.0
/* The ring of Grafana Agents that share the stored instances, as they write it to etcd: one key, whose value is compressed by
 * snappy. As long as one of them takes part, they scrape everything among themselves: sluices that replace them one by one
 * wait until the last one is gone. */
#ifndef GATEWAY_AGENT_AGENT_RING_H
#define GATEWAY_AGENT_AGENT_RING_H

#include "base/etcd/etcd.h"

/* Agents in the value of the key that take part, and have shown so within timeout_ms; 0: ever, as in the Agent. `name`, if there are any, gets the
 * first one. False: it is no ring. */
bool agent_ring_count(struct str value, int64_t now, int64_t timeout_ms, size_t *n, struct buf *name, struct err *err) MUST_USE;

struct agent_ring;
/* Control thread. etcd is taken; prefix: of the ring's keys, copied. */
struct agent_ring *agent_ring_new(struct etcd *etcd, struct str prefix, int64_t timeout_ms);
void agent_ring_free(struct agent_ring *r); /* NULL is fine */
bool agent_ring_empty(struct agent_ring *r); /* the key was read, and none takes part any more; logs that it waits */

#endif
