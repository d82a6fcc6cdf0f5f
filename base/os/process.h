// SPDX-License-Identifier: Apache-2.0
/* What /metrics says about the process itself: process_*, vm_app_*, vm_available_* and the count of log lines,
 * under the names that dashboards for vmagent and for Prometheus' client libraries use.
 */
#ifndef BASE_OS_PROCESS_H
#define BASE_OS_PROCESS_H

#include "base/telemetry/stats.h"

/* For stats_collector; any thread; reads /proc. */
void process_collect(struct stats_out *o, void *arg);
double process_start_seconds(void);         /* Unix time at which this process started */
uint64_t process_memory(void);              /* bytes it may use: the machine's, or less by its control group */

#endif
