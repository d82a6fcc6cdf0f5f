// SPDX-License-Identifier: Apache-2.0
#include "gateway/config/auth_key.h"

static const char *const flag_names[AUTH_KEYS] = {
    [AUTH_KEY_NONE] = "", [AUTH_KEY_CONFIG] = "configAuthKey", [AUTH_KEY_FLAGS] = "flagsAuthKey",
    [AUTH_KEY_METRICS] = "metricsAuthKey", [AUTH_KEY_RELOAD] = "reloadAuthKey"};

bool auth_keys_check(const struct auth_keys *keys, struct err *err)
{
    static const char *const schemes[] = {"file://", "http://", "https://"};
    for (size_t i = 0; i < AUTH_KEYS; i++)
        for (size_t k = 0; k < LEN(schemes); k++)
            if (str_starts(keys->values[i], str_of(schemes[k])))
                return err_set(err, ERR_BAD_DATA, "--%s: keys are not read from files and URLs yet; set the key itself, for "
                               "example as %%{NAME} from an environment variable", flag_names[i]);
    return true;
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
    return keys->values[key].n == 0 || texts_equal(keys->values[key], sent);
}

bool auth_key_is_set(const struct auth_keys *keys, enum auth_key key) { return keys->values[key].n > 0; }

const char *auth_key_flag(enum auth_key key) { return flag_names[key]; }
