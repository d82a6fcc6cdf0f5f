// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/threads.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool thread_has_name(const char *id, const char *name)
{
    char path[300], found[32] = "";
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", id);
    FILE *f = fopen(path, "r");
    bool same = f && fgets(found, sizeof found, f) && strcspn(found, "\n") == strlen(name)
                && strncmp(found, name, strlen(name)) == 0;
    if (f)
        fclose(f);
    return same;
}

static unsigned count_threads_that(bool (*counts)(const char *id, const char *name), const char *name)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/task");
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.' && (counts == NULL || counts(e->d_name, name));
    closedir(d);
    return n;
}

unsigned count_threads(void) { return count_threads_that(NULL, NULL); }
unsigned count_threads_named(const char *name) { return count_threads_that(thread_has_name, name); }
