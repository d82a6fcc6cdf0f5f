// SPDX-License-Identifier: Apache-2.0
/* Memory and descriptors of the process, and its metrics: process_*, vm_app_*, vm_available_* and the count of log
 * lines, under the names that dashboards for vmagent and for Prometheus' client libraries use. */
#ifndef BASE_OS_PROCESS_H
#define BASE_OS_PROCESS_H

#include "base/telemetry/stats.h"

/* For stats_collector; any thread; reads /proc. */
void process_collect(struct stats_out *o, void *arg);
double process_start_seconds(void);         /* start time of this process, Unix seconds */
uint64_t process_memory(void); /* bytes available to the process: the machine's memory or its control group's limit */
/* Any thread. The lowest free descriptor, which the system assigns next: it tells how many are open. -1: none is left. */
int process_lowest_free_fd(void);

#endif
