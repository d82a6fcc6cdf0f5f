// SPDX-License-Identifier: Apache-2.0
/* What the gateway says about itself on /metrics; the engines register their own. */
#ifndef GATEWAY_METRICS_H
#define GATEWAY_METRICS_H

struct services;
void metrics_start(struct services *s); /* main, before other threads */

#endif
