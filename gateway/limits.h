// SPDX-License-Identifier: Apache-2.0
/* Divides the process' memory and descriptors among their uses; docs/operations.md has the table. */
#ifndef GATEWAY_LIMITS_H
#define GATEWAY_LIMITS_H

#include "gateway/config/flags.h"
#include "gateway/http/http.h"

/* Main thread, at the start: raises the soft limit of open files to the hard limit. */
void limits_raise_files(void);
/* Main thread, before lanes start. n_lanes, workers: their numbers. Free with http_limits_free. */
void limits_divide(const struct flags *f, unsigned n_lanes, unsigned workers, struct http_limits *http,
                   struct budget *queries, struct budget *reports);
/* Workers may use half of the descriptors reserved from connections: the highest descriptor that a worker may open. */
int limits_worker_fd(const struct http_limits *http);

#endif
