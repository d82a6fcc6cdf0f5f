// SPDX-License-Identifier: Apache-2.0
/* Divides the process' memory and descriptors between its uses; docs/operations.md has the table. */
#ifndef GATEWAY_LIMITS_H
#define GATEWAY_LIMITS_H

#include "gateway/config/flags.h"
#include "gateway/http/http.h"

/* Main, at the start: raises the limit of open files as far as it may be raised. */
void limits_raise_files(void);
/* Main, before lanes start. n_lanes and workers: how many there will be. Freed by http_limits_free. */
void limits_divide(const struct flags *f, unsigned n_lanes, unsigned workers, struct http_limits *http,
                   struct budget *queries);
/* Of the descriptors that connections leave, workers may use half: the highest number that one may open. */
int limits_worker_fd(const struct http_limits *http);

#endif
