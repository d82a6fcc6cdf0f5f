// SPDX-License-Identifier: Apache-2.0
/* Error messages of failed transfers: they contain method and URL, and no secrets. */
#ifndef BASE_HTTP_CLIENT_ERROR_H
#define BASE_HTTP_CLIENT_ERROR_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct client_failure { const char *method, *url; int64_t total_ms; };
#define CLIENT_BAD_ENCODING "cannot decompress response: unknown encoding, corrupted or truncated"

/* Sets err to "METHOD URL: text". */
void client_describe(const struct client_failure *f, enum err_kind kind, const char *text, struct err *err);
/* Texts about a name that could not be resolved, and about a name server that was silent for `ms`. */
enum { CLIENT_NAME_ERROR_SIZE = 400 };
void client_describe_name(const char *host, const char *why, char text[CLIENT_NAME_ERROR_SIZE]);
void client_describe_silence(int64_t ms, char *text, size_t size);
/* easy and code are libcurl's (CURL *, CURLcode); message: curl's own text, or empty. */
void client_explain(void *easy, int code, const char *message, const struct client_failure *f, struct err *err);

#endif
