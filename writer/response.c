// SPDX-License-Identifier: Apache-2.0
/* Two tables: statuses, and phrases of receivers.
 *
 * Prometheus rolls the whole request back at the first sample that it rejects; the response is 400 for the time of a
 * sample and 500 for anything else, a malformed histogram for instance. Only the words tell that 500 from a failing
 * disk. Mimir and Cortex (400) and Thanos (409) store the other series and then report the first error.
 */
#include "writer/response.h"

#include <ctype.h>

/* The time of a sample: storage/interface.go of Prometheus, and the error ids of Mimir. */
static const char *const time_phrases[] = {
    "out of order sample", "out-of-order", "out of order",
    "too old sample", "too-old", "too old",
    "duplicate sample", "duplicate-timestamp", "duplicate timestamp", "sample-duplicate",
};
/* Other contents: storage/interface.go, tsdb and model/histogram of Prometheus; validation of Cortex and Mimir. */
static const char *const content_phrases[] = {
    "out of order sample", "too old sample", "duplicate sample for timestamp",
    "out of bounds", "too far in the future", "invalid sample", "empty labelset",
    "histogram's observation count", "histogram has a ", "histogram spans ", "histogram custom b", "invalid histogram",
    "histogram schema", "histogram sample", "native histograms are disabled",
    "invalid metric name", "invalid label", "label name too long", "label value too long", "duplicate label name",
};
/* Only receivers that store series by series use these words. */
static const char *const partial_phrases[] = {"err-mimir-", "err-cortex-", "user=", "per-user ", "failed pushing to ingester"};

static bool starts_ignoring_case(struct str s, const char *lower)
{
    size_t i = 0;
    while (lower[i] && i < s.n && tolower((unsigned char)s.p[i]) == lower[i])
        i++;
    return lower[i] == 0;
}

static bool has_phrase(struct str text, const char *const *phrases, size_t n)
{
    for (size_t at = 0; at < text.n; at++)
        for (size_t i = 0; i < n; i++)
            if (starts_ignoring_case(str_skip(text, at), phrases[i]))
                return true;
    return false;
}
#define HAS_PHRASE(text, phrases) has_phrase(text, phrases, LEN(phrases))

bool response_blames_time(struct str text) { return HAS_PHRASE(text, time_phrases); }

static bool blames_content(struct str text) { return HAS_PHRASE(text, content_phrases); }

static enum response_verdict bad_request(const struct response *r, enum codec codec)
{
    if (HAS_PHRASE(r->text, partial_phrases))
        return RESPONSE_PARTLY_STORED;
    if (codec == CODEC_ZSTD && !blames_content(r->text))
        return RESPONSE_RECODE;
    return RESPONSE_REJECTED;
}

enum response_verdict response_verdict(const struct response *r, enum codec codec)
{
    switch (r->status) {
    case 400: return bad_request(r, codec);
    case 409: return RESPONSE_PARTLY_STORED;
    case 413: return RESPONSE_TOO_LARGE;
    case 415: return codec == CODEC_ZSTD ? RESPONSE_RECODE : RESPONSE_DROP;
    case 422: return RESPONSE_REJECTED;
    case 401: case 402: case 403: case 404: case 407: case 408: case 425: case 429: return RESPONSE_RETRY;
    default: break;
    }
    if (r->status >= 200 && r->status < 300)
        return RESPONSE_DELIVERED;
    if (r->status >= 400 && r->status < 500)
        return RESPONSE_DROP;
    return r->status >= 500 && blames_content(r->text) ? RESPONSE_REJECTED : RESPONSE_RETRY;
}

const char *response_remedy(int status)
{
    switch (status) {
    case 401: return "check the credentials of this destination (basic_auth, authorization, bearer_token)";
    case 403: return "check what these credentials may write, and the tenant headers";
    case 404: return "check the path of url, and whether the server has its remote write receiver enabled";
    case 407: return "check the credentials in proxy_url";
    default: return status >= 300 && status < 400 ? "set url to the final address: redirects of writes are not followed"
                                                  : NULL;
    }
}
