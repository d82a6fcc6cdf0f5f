// SPDX-License-Identifier: Apache-2.0
/* What the control group of this process allows: version 2 (the tightest of the group and those above it) or version 1.
 * Reads files under /proc and /sys at each call; any thread.
 */
#ifndef BASE_OS_CGROUP_H
#define BASE_OS_CGROUP_H

#include "base/mem.h"

#include <stdbool.h>

double cgroup_cores(void);    /* CPU seconds a second; 0 = no limit */
uint64_t cgroup_memory(void); /* bytes; 0 = no limit */
/* Seconds in which some (waiting) or all (stalled) threads of our group waited for the resource of `file`, for instance
 * "cpu.pressure"; the whole machine's where the group has none. False, and untouched: the kernel does not count them.
 * */
bool cgroup_pressure(const char *file, double *waiting, double *stalled);

#endif
