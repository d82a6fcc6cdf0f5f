// SPDX-License-Identifier: Apache-2.0
/* The listen addresses of the program: those of the HTTP API first, then those of lines (gateway/ingest/lines/lines.h). */
#ifndef GATEWAY_LISTENERS_H
#define GATEWAY_LISTENERS_H

#include "gateway/services/services.h"

/* Fills all[LISTENERS_MAX] from flags and configuration; *n counts those that listener_free is to release, also after an
 * error. Sets services.listeners and n_listeners to those of the HTTP API. */
bool listeners_make(struct services *s, const struct config *c, struct listener *all, size_t *n, struct err *err) MUST_USE;

#endif
