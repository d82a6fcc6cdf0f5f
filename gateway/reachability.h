// SPDX-License-Identifier: Apache-2.0
/* --check-reachability: requests once what a configuration names, without starting anything. */
#ifndef GATEWAY_REACHABILITY_H
#define GATEWAY_REACHABILITY_H

#include "gateway/config/config.h"

/* Prints an error for each destination, source of service discovery and server of a group that does not respond, or
 * refuses the credentials. Waits for all of them, 20 s at most. False: there are errors; *err has no text then, or says why
 * nothing could be checked. */
bool reachability_check(const struct config *c, struct err *err) MUST_USE;

#endif
