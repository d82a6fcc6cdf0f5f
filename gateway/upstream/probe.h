// SPDX-License-Identifier: Apache-2.0
/* Asks servers in the background, after a start or a reload, what they are: then the first query need not, and /targets
 * and sluice_upstream_up tell of every server.
 *
 * A probe asks for /api/v1/status/buildinfo, and of a Prometheus with remote_read for its external labels besides. Each
 * server is asked once, at a random moment within PROBE_SPREAD_MS, at most PROBES_AT_ONCE at a time. Servers that a
 * query asks meanwhile, or that are known from before a reload, are left alone. Probes count as requests. A server that
 * leads back to this process is an error in the log.
 *
 * In the loop of the control thread, on its thread.
 */
#ifndef GATEWAY_UPSTREAM_PROBE_H
#define GATEWAY_UPSTREAM_PROBE_H

#include "gateway/upstream/upstream.h"

enum { PROBE_SPREAD_MS = 500, PROBES_AT_ONCE = 8, PROBE_TIMEOUT_MS = 5000, PROBE_MAX_BODY = 64 << 20 };

struct server_prober;
struct server_prober *server_prober_new(struct loop *loop, const char *id); /* id: base/http/via.h; borrowed */
void server_prober_free(struct server_prober *p); /* ends what is under way */
/* Takes a reference of u. Ends what is under way for another one. */
void server_probe_all(struct server_prober *p, struct upstream *u);
void server_probe_stop(struct server_prober *p);  /* gives the reference back */

#endif
