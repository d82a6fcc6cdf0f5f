// SPDX-License-Identifier: Apache-2.0
/* Private to gateway/services/: log lines about the configuration that a reload has applied. */
#ifndef GATEWAY_SERVICES_RELOAD_LOG_H
#define GATEWAY_SERVICES_RELOAD_LOG_H

#include "gateway/services/services.h"

/* Names the jobs, destinations and server groups that were added, removed or changed, also in the report, and counts
 * what is configured. `before` may be NULL. */
void reload_log(const struct services *s, const struct config *before, const struct config *now, struct reload_report *r);

#endif
