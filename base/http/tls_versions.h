// SPDX-License-Identifier: Apache-2.0
/* Minimum and maximum version of TLS towards servers, by the names of Prometheus and vmagent. */
#ifndef BASE_HTTP_TLS_VERSIONS_H
#define BASE_HTTP_TLS_VERSIONS_H

#include "base/err.h"

struct tls_versions {
    long min;     /* of enum CURL_SSLVERSION_TLSv1_0 ... */
    long option;  /* for CURLOPT_SSLVERSION: both */
};
/* NULL or "": TLS12, and the highest that both sides have. An error names the key. */
bool tls_versions_parse(const char *min_version, const char *max_version, struct tls_versions *out, struct err *err) MUST_USE;

#endif
