// SPDX-License-Identifier: Apache-2.0
/* Keys that endpoints require as the parameter authKey, with vmagent's flags and responses. A route names its key
 * (struct route), and the dispatcher checks it. */
#ifndef GATEWAY_CONFIG_AUTH_KEY_H
#define GATEWAY_CONFIG_AUTH_KEY_H

#include "base/err.h"
#include "base/str.h"

enum auth_key { AUTH_KEY_NONE, AUTH_KEY_CONFIG, AUTH_KEY_FLAGS, AUTH_KEY_METRICS, AUTH_KEY_RELOAD, AUTH_KEYS };
struct watched_file;
struct auth_keys {
    struct str values[AUTH_KEYS];          /* the keys, or as in vmagent file:// and a path or an http(s) URL; empty: not
                                            * required */
    struct watched_file *files[AUTH_KEYS]; /* NULL: the value itself */
};

/* A value that is not the key itself but says where to read it; *path: the file or URL. */
bool auth_key_elsewhere(struct str value, struct str *path);
/* Begins to read the keys that are in files or behind URLs, before any is compared. */
void auth_keys_open(struct auth_keys *keys);
void auth_keys_close(struct auth_keys *keys);
/* `sent`: the parameter of the request. The time that it takes does not depend on where the two differ. Nothing matches a
 * key that is empty or cannot be read. */
bool auth_key_matches(const struct auth_keys *keys, enum auth_key key, struct str sent) MUST_USE;
bool auth_key_is_set(const struct auth_keys *keys, enum auth_key key);
const char *auth_key_flag(enum auth_key key); /* "metricsAuthKey" */

#endif
