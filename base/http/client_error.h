// SPDX-License-Identifier: Apache-2.0
/* What went wrong with a transfer, in words for users: they name method and URL, and no secret. */
#ifndef BASE_HTTP_CLIENT_ERROR_H
#define BASE_HTTP_CLIENT_ERROR_H

#include "base/err.h"

#include <stdint.h>

struct client_failure { const char *method, *url; int64_t total_ms; };
/* easy and code are libcurl's (CURL *, CURLcode); message: its own words, or empty. */
void client_explain(void *easy, int code, const char *message, const struct client_failure *f, struct err *err);

#endif
