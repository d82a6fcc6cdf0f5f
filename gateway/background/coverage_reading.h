// SPDX-License-Identifier: Apache-2.0
/* One reading of all servers of a group, on a worker: requests, responses, and what coverage makes of them. */
#ifndef GATEWAY_BACKGROUND_COVERAGE_READING_H
#define GATEWAY_BACKGROUND_COVERAGE_READING_H

#include "gateway/coverage/coverage_intake.h"
#include "gateway/query/worker.h"
#include "gateway/upstream/group.h"

#include <stdatomic.h>

/* A reading of the newest samples must not be kept long by a server that hangs. */
enum { READING_MS = 30000, NEWEST_MS = 10000, READING_MEMORY = 64 << 20 /* of one reading's responses */ };

struct coverage_reading_job {
    const struct group *group;
    struct coverage_work work;
    struct arena *arena;
    const atomic_bool *canceled;
    struct budget *memory;     /* NULL: none */
    const char *id;            /* of the process */
};
void coverage_reading_run(const struct coverage_reading_job *job);

#endif
