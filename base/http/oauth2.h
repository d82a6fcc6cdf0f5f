// SPDX-License-Identifier: Apache-2.0
/* Tokens of OAuth 2.0 by client credentials (RFC 6749 4.4), and of Azure, for the Authorization header of requests. A token is
 * "TYPE TOKEN". Any thread; oauth2_get may wait for the secret's file.
 */
#ifndef BASE_HTTP_OAUTH2_H
#define BASE_HTTP_OAUTH2_H

#include "base/http/token_source.h"

struct token_source *oauth2_get(const struct client_oauth2 *conf, struct err *err) MUST_USE; /* one reference */
bool oauth2_check(const struct client_oauth2 *conf, struct err *err) MUST_USE;
/* Appends all settings, with the secrets: equal texts are equal settings. */
void oauth2_settings(const struct client_oauth2 *conf, struct buf *out);

#endif
