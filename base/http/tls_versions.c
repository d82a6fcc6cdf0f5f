// SPDX-License-Identifier: Apache-2.0
#include "base/http/tls_versions.h"

#include <curl/curl.h>
#include <string.h>

static const struct tls_version_name {
    const char *name;
    long min, max;
} tls_version_names[] = {{"TLS10", CURL_SSLVERSION_TLSv1_0, CURL_SSLVERSION_MAX_TLSv1_0},
                         {"TLS11", CURL_SSLVERSION_TLSv1_1, CURL_SSLVERSION_MAX_TLSv1_1},
                         {"TLS12", CURL_SSLVERSION_TLSv1_2, CURL_SSLVERSION_MAX_TLSv1_2},
                         {"TLS13", CURL_SSLVERSION_TLSv1_3, CURL_SSLVERSION_MAX_TLSv1_3}};
enum { TLS_VERSION_NAMES = sizeof tls_version_names / sizeof *tls_version_names, TLS_VERSION_12 = 2 };

/* *at: which of the names; unchanged if the text is empty. */
static bool tls_version_find(const char *key, const char *text, size_t *at, struct err *err)
{
    if (text == NULL || *text == 0)
        return true;
    for (size_t i = 0; i < TLS_VERSION_NAMES; i++)
        if (strcmp(text, tls_version_names[i].name) == 0) {
            *at = i;
            return true;
        }
    return err_set(err, ERR_BAD_DATA, "%s: \"%s\" is none of TLS10, TLS11, TLS12, TLS13", key, text);
}

bool tls_versions_parse(const char *min_version, const char *max_version, struct tls_versions *out, struct err *err)
{
    size_t min = TLS_VERSION_12, max = TLS_VERSION_NAMES;
    if (!tls_version_find("min_version", min_version, &min, err) || !tls_version_find("max_version", max_version, &max, err))
        return false;
    if (max < min)
        return err_set(err, ERR_BAD_DATA, "max_version: %s is below min_version, which is %s%s", max_version,
                       tls_version_names[min].name, min_version && *min_version ? "" : " by default");
    out->min = tls_version_names[min].min;
    out->option = out->min | (max < TLS_VERSION_NAMES ? tls_version_names[max].max : CURL_SSLVERSION_MAX_NONE);
    return true;
}
