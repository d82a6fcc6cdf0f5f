// SPDX-License-Identifier: Apache-2.0
/* The gateway's metrics on /metrics; scraper and writer register their own. */
#ifndef GATEWAY_METRICS_H
#define GATEWAY_METRICS_H

struct services;
void metrics_start(struct services *s); /* main thread, before others start */

#endif
