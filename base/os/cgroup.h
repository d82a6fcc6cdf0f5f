// SPDX-License-Identifier: Apache-2.0
/* Limits of this process's control group: version 2 (the tightest of the group and its ancestors) or version 1. Reads
 * files under /proc and /sys at each call; any thread. */
#ifndef BASE_OS_CGROUP_H
#define BASE_OS_CGROUP_H

#include "base/mem.h"

#include <stdbool.h>

double cgroup_cores(void);    /* CPU seconds per second; 0 = no limit */
uint64_t cgroup_memory(void); /* bytes; 0 = no limit */
/* Seconds in which some (waiting) or all (stalled) threads of the group waited for the resource of `file`, for
 * instance "cpu.pressure"; of the complete machine if the group has no such file. False, with the results untouched,
 * if the kernel does not count them. */
bool cgroup_pressure(const char *file, double *waiting, double *stalled);

#endif
