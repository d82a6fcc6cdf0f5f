// SPDX-License-Identifier: Apache-2.0
/* The secrets of one HTTP client, and their removal from texts of its peers.
 *
 * A server may repeat in an error what it received: the URL with its token, the Authorization header, a complete
 * request. Before such a text reaches a log, a page or the API, each secret in it is replaced by "<secret>": literal,
 * percent-encoded, escaped as in JSON or HTML, and for a login also as the base64 of basic authentication. A
 * truncated secret is replaced too: at the end of the text, before a backtick, or from SECRET_PART bytes on.
 *
 * A zeroed struct is an empty list; texts are copied. Pure; one thread at a time.
 */
#ifndef BASE_TEXT_SECRETS_H
#define BASE_TEXT_SECRETS_H

#include "base/arena.h"
#include "base/buf.h"

/* Shorter secrets are not replaced: they occur in ordinary words, and the replacements would reveal them. */
enum { SECRET_MIN = 4, SECRET_PART = 8 };

struct secrets { struct str *items; size_t n, _cap; struct arena _texts; };
void secrets_add(struct secrets *s, struct str text);
/* Password and base64 of "user:password". The user name alone is not a secret. */
void secrets_add_login(struct secrets *s, struct str user, struct str password);
/* User, password and secret parameters (url_param_secret) of a URL of any scheme. */
void secrets_add_url(struct secrets *s, struct str url);
/* The value of "Name: value"; of "Name: Scheme value" also what follows the scheme. */
void secrets_add_header(struct secrets *s, struct str line);
void secrets_hide(const struct secrets *s, struct str text, struct buf *out); /* appends */
void secrets_free(struct secrets *s);

#endif
