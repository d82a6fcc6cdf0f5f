// SPDX-License-Identifier: Apache-2.0
/* URLs and forms. Slices point into the parsed text. Pure; any thread. */
#ifndef BASE_TEXT_URL_H
#define BASE_TEXT_URL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct url {
    struct str scheme, user, password, host, port; /* host without [] for IPv6 */
    struct str path, query, fragment;              /* path begins with / or is empty */
};
bool url_parse(struct str s, struct url *u, struct err *err) MUST_USE; /* http and https only */
bool url_is_http(struct str s); /* begins with http:// or https://, in any case; otherwise it may be a path */

/* "host:port", "[v6]:port" or ":port"; host without [], neither is checked. False: there is no colon. */
bool address_split(struct str address, struct str *host, struct str *port) MUST_USE;

/* Percent-decoding; plus: '+' is a space too (forms). False for an invalid escape. Output in the arena. */
bool url_decode(struct arena *a, struct str s, bool plus, struct str *out) MUST_USE;
void url_encode(struct buf *out, struct str s);      /* keeps unreserved characters (RFC 3986 2.3) */

/* base + path with exactly one slash between them. */
void url_join(struct buf *out, struct str base, struct str path);

/* The URL for logs and pages: user, password and the values of secret query parameters are "xxxxx". */
void url_redact(struct buf *out, struct str s);
/* The same for what may also be the path of a file, which is shown as it is. */
void url_redact_path(struct buf *out, struct str s);
/* The same for an address whose scheme may be missing: host:port, user:password@host/path?token=... */
void url_redact_address(struct buf *out, struct str s);

/* The "user:password" part before the host, with or without a scheme; empty when there is none. */
struct str url_userinfo(struct str s);

/* Whether a parameter of this name probably holds a secret (token, api_key, password...). */
bool url_param_secret(struct str name);

struct form_field { struct str name, value; };
struct form { struct form_field *fields; size_t n, _cap; };
/* Adds the fields of "a=1&b=2" (decoded, in the arena). At most 10,000 fields. Invalid escapes are an error, as in
 * Go. */
bool form_parse(struct arena *a, struct form *f, struct str text, struct err *err) MUST_USE;
/* appends "&name=value" with the value encoded; no & at the start */
void form_add(struct buf *out, const char *name, struct str value);
void form_add_ms(struct buf *out, const char *name, int64_t ms); /* in seconds: "&time=1.500" */
/* the last field of that name, so that a body added after the URL wins; {NULL,0} when absent */
struct str form_get(const struct form *f, const char *name);
size_t form_count(const struct form *f, const char *name);
struct str form_nth(const struct form *f, const char *name, size_t i);

#endif
