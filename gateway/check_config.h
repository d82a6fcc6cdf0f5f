// SPDX-License-Identifier: Apache-2.0
/* --check-config: what a start would find beyond the load of the configuration, without sockets and queues. */
#ifndef GATEWAY_CHECK_CONFIG_H
#define GATEWAY_CHECK_CONFIG_H

#include "gateway/config/config.h"

/* Prints the warnings of flags and configuration and those of reading target files and files of keys; with
 * --check-reachability also requests destinations, servers of groups and URLs of service discovery once. False: one of
 * these is not usable; *err names the first, after all have been printed. */
bool check_configuration(struct flags *f, struct config *c, struct err *err) MUST_USE;

#endif
