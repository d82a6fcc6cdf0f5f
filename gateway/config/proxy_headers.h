// SPDX-License-Identifier: Apache-2.0
/* --proxy-headers: names of request headers that queries pass on to servers of groups, as of a tenant. */
#ifndef GATEWAY_CONFIG_PROXY_HEADERS_H
#define GATEWAY_CONFIG_PROXY_HEADERS_H

#include "base/conf/conf.h"

enum { PROXY_HEADERS_MAX = 16 };

/* Refuses names that are not HTTP tokens, that concern one connection or body only, or too many of them. */
bool proxy_headers_check(const struct str_list *names, struct err *err) MUST_USE;

#endif
