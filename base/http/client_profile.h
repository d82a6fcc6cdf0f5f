// SPDX-License-Identifier: Apache-2.0
/* Internal to base/http: applies a profile to one request. `easy` is a CURL handle. */
#ifndef BASE_HTTP_CLIENT_PROFILE_H
#define BASE_HTTP_CLIENT_PROFILE_H

#include "base/http/client.h"
#include "base/http/client_lines.h"
#include "base/os/watched_file.h"

/* What a handle points to until its request has ended; zeroed = nothing. */
struct client_profile_hold {
    struct curl_slist *connect_to; /* NULL unless tls server_name is set */
    struct file_text *files[3], *proxy_files[3]; /* of tls_config, and that of the proxy */
    struct curl_slist *proxy_headers;
};
void client_profile_release(struct client_profile_hold *hold);

/* Sets credentials, TLS, proxy and redirects, and appends the profile's headers. *hold, zeroed before, is to be
 * released also after a failure. Never waits and reads no file. `p` may be NULL: the defaults. */
bool client_profile_apply(struct client_profile *p, void *easy, const struct client_request *req,
                          struct curl_slist **headers, struct client_profile_hold *hold, struct err *err) MUST_USE;

/* Appends the header lines of the profile, the login of basic_auth and the signature of the request included:
 * "Name: value", or "Name;" for an empty value, and a line feed each. Never waits. */
bool client_profile_lines(const struct client_profile *p, const struct client_request *req, struct buf *out,
                          struct err *err) MUST_USE;
struct token_source;
struct token_source *client_profile_token(const struct client_profile *p); /* NULL: its requests need none */
bool client_profile_follows_redirects(const struct client_profile *p);

/* The proxy that is configured for this URL, or NULL; no_proxy is not considered. */
const char *client_profile_proxy(const struct client_profile *p, const char *url);
/* Is the URL's host the tls server_name that was put in the real one's place? */
bool client_profile_has_server_name(const struct client_profile *p, const char *url);

#endif
