// SPDX-License-Identifier: Apache-2.0
#include "gateway/config/auth_key.h"

#include "base/os/watched_file.h"
#include "base/text/url.h"

static const char *const flag_names[AUTH_KEYS] = {
    [AUTH_KEY_NONE] = "", [AUTH_KEY_CONFIG] = "configAuthKey", [AUTH_KEY_FLAGS] = "flagsAuthKey",
    [AUTH_KEY_METRICS] = "metricsAuthKey", [AUTH_KEY_RELOAD] = "reloadAuthKey"};

bool auth_key_elsewhere(struct str value, struct str *path)
{
    bool file = str_starts(value, STR("file://"));
    *path = file ? str_skip(value, 7) : value;
    return file || url_is_http(value);
}

void auth_keys_open(struct auth_keys *keys)
{
    struct str path;
    for (size_t i = 0; i < AUTH_KEYS; i++)
        if (auth_key_elsewhere(keys->values[i], &path))
            keys->files[i] = watched_file_new(path.p, WATCHED_LINE);
}

void auth_keys_close(struct auth_keys *keys)
{
    for (size_t i = 0; i < AUTH_KEYS; i++) {
        watched_file_free(keys->files[i]);
        keys->files[i] = NULL;
    }
}

static bool texts_equal(struct str a, struct str b)
{
    unsigned char differs = a.n != b.n;
    for (size_t i = 0; i < a.n && i < b.n; i++)
        differs |= (unsigned char)(a.p[i] ^ b.p[i]);
    return !differs;
}

bool auth_key_matches(const struct auth_keys *keys, enum auth_key key, struct str sent)
{
    if (keys->files[key] == NULL)
        return keys->values[key].n == 0 || texts_equal(keys->values[key], sent);
    struct file_text *text = watched_file_text(keys->files[key], NULL);
    bool ok = text && text->n > 0 && texts_equal(str_n(text->text, text->n), sent);
    file_text_unref(text);
    return ok;
}

bool auth_key_is_set(const struct auth_keys *keys, enum auth_key key) { return keys->values[key].n > 0; }

const char *auth_key_flag(enum auth_key key) { return flag_names[key]; }
