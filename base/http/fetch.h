// SPDX-License-Identifier: Apache-2.0
/* Texts that may be given as an http(s) URL instead of a file, as vmagent takes them: configuration, relabeling rules,
 * passwords, certificates. Proxies are those of the environment; a login in the URL is sent as basic authentication.
 */
#ifndef BASE_HTTP_FETCH_H
#define BASE_HTTP_FETCH_H

#include "base/buf.h"
#include "base/err.h"

enum { FETCH_MS = 8000 };

/* On a thread that may wait: requests the URL with GET, follows redirects, and appends a response with status 200 of at
 * most `max` bytes. Ends within `ms`. Errors show the URL without its secrets. */
bool fetch_text(const char *url, size_t max, int64_t ms, struct buf *out, struct err *err) MUST_USE;

struct client_profile;
struct fetch_call {
    const char *method, *url;
    const char *socket;              /* as in struct client_request; NULL: none */
    struct client_profile *profile;  /* borrowed */
    const char *const *headers; size_t n_headers; /* "Name: value" */
    struct str body;
    size_t max;                      /* bytes of the response */
    int64_t ms;
};
/* Sends any request and appends the body, whatever the status; sets *status. False: there is no response. */
bool fetch_call(const struct fetch_call *c, int *status, struct buf *out, struct err *err) MUST_USE;

/* As fetch_text(), but appends the body whatever the status; sets *status. False: there is no response. */
bool fetch_response(const char *url, size_t max, int64_t ms, int *status, struct buf *out, struct err *err) MUST_USE;

/* Files with credentials and certificates (base/os/watched_file.h) may be URLs from now on. Before the first of them. */
void fetch_watched_files(void);

#endif
