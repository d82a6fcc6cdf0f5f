// SPDX-License-Identifier: Apache-2.0
/* Error messages of failed transfers: they contain method and URL, and no secrets. */
#ifndef BASE_HTTP_CLIENT_ERROR_H
#define BASE_HTTP_CLIENT_ERROR_H

#include "base/err.h"

#include <stdint.h>

struct client_failure { const char *method, *url; int64_t total_ms; };
/* easy and code are libcurl's (CURL *, CURLcode); message: curl's own text, or empty. */
#define CLIENT_BAD_ENCODING "cannot decompress response: unknown encoding, corrupted or truncated"

/* Sets err to "METHOD URL: text". */
void client_describe(const struct client_failure *f, enum err_kind kind, const char *text, struct err *err);
void client_explain(void *easy, int code, const char *message, const struct client_failure *f, struct err *err);

#endif
