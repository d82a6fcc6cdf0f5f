// SPDX-License-Identifier: Apache-2.0
/* Detects the kinds of servers in the background after a start or a reload, so that the first query need not, and
 * /targets and sluice_upstream_up show the state of every server.
 *
 * A probe requests /api/v1/status/buildinfo, from a Prometheus 2 its flags (its lookback decides what is pushed to it),
 * and from a Prometheus with remote_read its external labels. Each server is probed once, at a random time within
 * PROBE_SPREAD_MS, at most PROBES_AT_ONCE at a time. Servers that a query reads meanwhile, or that are known from before
 * a reload, are skipped. Probes count as requests. A server that leads back to this process is logged as an error.
 *
 * In the loop of the control thread, on its thread.
 */
#ifndef GATEWAY_UPSTREAM_PROBE_H
#define GATEWAY_UPSTREAM_PROBE_H

#include "gateway/upstream/upstream.h"

enum { PROBE_SPREAD_MS = 500, PROBES_AT_ONCE = 8, PROBE_TIMEOUT_MS = 5000, PROBE_MAX_BODY = 64 << 20 };

struct server_prober;
struct server_prober *server_prober_new(struct loop *loop, const char *id); /* id: base/http/via.h; borrowed */
void server_prober_free(struct server_prober *p); /* cancels probes in flight */
/* Keeps a reference of u. Cancels probes of the previous upstream. */
void server_probe_all(struct server_prober *p, struct upstream *u);
void server_probe_stop(struct server_prober *p);  /* releases the reference */

#endif
