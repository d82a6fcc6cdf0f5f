// SPDX-License-Identifier: Apache-2.0
/* Keys that endpoints require as the parameter authKey, with vmagent's flags and responses. A route names its key
 * (struct route), and the dispatcher checks it. */
#ifndef GATEWAY_CONFIG_AUTH_KEY_H
#define GATEWAY_CONFIG_AUTH_KEY_H

#include "base/err.h"
#include "base/str.h"

enum auth_key { AUTH_KEY_NONE, AUTH_KEY_CONFIG, AUTH_KEY_FLAGS, AUTH_KEY_METRICS, AUTH_KEY_RELOAD, AUTH_KEYS };
struct auth_keys { struct str values[AUTH_KEYS]; /* empty: not required */ };

/* Refuses keys that vmagent would read from a file or URL. */
bool auth_keys_check(const struct auth_keys *keys, struct err *err) MUST_USE;
/* `sent`: the parameter of the request. The time that it takes does not depend on where the two differ. */
bool auth_key_matches(const struct auth_keys *keys, enum auth_key key, struct str sent) MUST_USE;
bool auth_key_is_set(const struct auth_keys *keys, enum auth_key key);
const char *auth_key_flag(enum auth_key key); /* "metricsAuthKey" */

#endif
