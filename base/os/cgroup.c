// SPDX-License-Identifier: Apache-2.0
/* Reads CPU and memory limits and pressure (PSI) from the control groups, version 2 or 1. In version 2 the tightest
 * limit of the group and its ancestors applies. */
#include "base/os/cgroup.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool read_line(const char *path, char *line, int size)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    bool ok = fgets(line, size, f) != NULL;
    fclose(f);
    return ok;
}

/* The path of this process's group in the unified hierarchy ("0::/a/b"), without a trailing slash; false in version
 * 1. */
static bool own_group(char *path, int size)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (f == NULL)
        return false;
    bool found = false;
    while (!found && fgets(path, size, f))
        found = strncmp(path, "0::/", 4) == 0;
    fclose(f);
    if (!found)
        return false;
    size_t n = strcspn(path, "\n");
    memmove(path, path + 3, n - 3);
    path[n - 3] = 0;
    return true;
}

/* Calls `see` with `file` of the group and of each mounted ancestor. */
static void each_group(const char *file, void (*see)(const char *line, void *arg), void *arg)
{
    char group[2048], path[PATH_MAX], line[128];
    if (!own_group(group, sizeof group))
        return;
    for (char *cut = group + strlen(group); cut; cut = strrchr(group, '/')) {
        *cut = 0;
        int n = snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", group, file);
        if (n > 0 && (size_t)n < sizeof path && read_line(path, line, sizeof line))
            see(line, arg);
    }
}

static void see_cores(const char *line, void *arg)
{
    double *least = arg, quota, period; /* "max 100000" means no quota */
    if (sscanf(line, "%lf %lf", &quota, &period) == 2 && quota > 0 && period > 0
        && (*least == 0 || quota / period < *least))
        *least = quota / period;
}

static void see_memory(const char *line, void *arg)
{
    uint64_t *least = arg, bytes;
    if (sscanf(line, "%" SCNu64, &bytes) == 1 && (*least == 0 || bytes < *least))
        *least = bytes;
}

double cgroup_cores(void)
{
    double cores = 0;
    each_group("cpu.max", see_cores, &cores);
    char quota[64], period[64], both[130];
    if (cores == 0 && read_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota, sizeof quota)
        && read_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, sizeof period)) {
        snprintf(both, sizeof both, "%s %s", quota, period);
        see_cores(both, &cores);
    }
    return cores;
}

uint64_t cgroup_memory(void)
{
    uint64_t bytes = 0;
    each_group("memory.max", see_memory, &bytes);
    char line[64];
    if (bytes == 0 && read_line("/sys/fs/cgroup/memory/memory.limit_in_bytes", line, sizeof line))
        see_memory(line, &bytes);
    return bytes > INT64_MAX / 2 ? 0 : bytes; /* version 1 expresses "no limit" as a huge number */
}

static FILE *open_pressure(const char *file)
{
    char group[2048], path[PATH_MAX];
    if (own_group(group, sizeof group)
        && (size_t)snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", group, file) < sizeof path) {
        FILE *f = fopen(path, "re");
        if (f)
            return f;
    }
    snprintf(path, sizeof path, "/proc/pressure/%.*s", (int)strcspn(file, "."), file);
    return fopen(path, "re");
}

/* Lines "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234" and "full ...", in microseconds. */
bool cgroup_pressure(const char *file, double *waiting, double *stalled)
{
    char line[256];
    FILE *f = open_pressure(file);
    if (f == NULL)
        return false;
    while (fgets(line, sizeof line, f)) {
        const char *total = strstr(line, "total=");
        unsigned long long us;
        if (total && sscanf(total, "total=%llu", &us) == 1)
            *(strncmp(line, "full", 4) == 0 ? stalled : waiting) = (double)us / 1e6;
    }
    fclose(f);
    return true;
}
