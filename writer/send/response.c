// SPDX-License-Identifier: Apache-2.0
/* Classification of responses: a table of statuses, and phrases from the receivers' sources.
 *
 * 1. Prometheus rolls the whole request back at the first sample that it rejects; the response is 400 for the time of a
 *    sample and 500 for anything else, a malformed histogram for instance. Only the text distinguishes that 500 from a
 *    failing disk.
 * 2. Mimir stores the other series and reports the first error as 400. All its errors end in an id "(err-mimir-...)"
 *    (pkg/util/globalerror/user.go), and those of an ingester begin with "user=TENANT: " behind the names of the
 *    components (pkg/ingester/errors.go, wrapOrAnnotateWithUser). Three ids reject the complete request: the size of
 *    the request (pkg/distributor/push.go: 400, not 413), that of a series, and the number of HA clusters
 *    (pkg/distributor/errors.go).
 * 3. Cortex does likewise. Its ingester has the same "user=TENANT: " (pkg/ingester/ingester.go, firstPartialErr); its
 *    distributor has its own texts for invalid series (pkg/util/validation/errors.go) and stores the valid ones.
 * 4. Thanos stores what it can and reports 409 (pkg/receive/writer.go and handler.go, isConflict).
 * 5. Receivers of remote write 2.0 store what is valid, as 1.0 forbids: a 400 that counts what was written
 *    (X-Prometheus-Remote-Write-*-Written) is a partial write, and must not be sent again.
 * 6. VictoriaMetrics and vmagent drop unwanted samples with a 204. Their 400 means that nothing of the request was
 *    read; one of them is its size (lib/protoparser/promremotewrite/stream).
 */
#include "writer/send/response.h"

#include <ctype.h>

/* Rejected for the time of a sample: storage/interface.go of Prometheus, error ids of Mimir. */
static const char *const time_phrases[] = {
    "out of order sample", "out-of-order", "out of order",
    "too old sample", "too-old", "too old",
    "duplicate sample", "duplicate-timestamp", "duplicate timestamp", "sample-duplicate",
};
/* Rejected for other contents: storage/interface.go, tsdb and model/histogram of Prometheus; validation of Cortex and
 * Mimir. */
static const char *const content_phrases[] = {
    "out of order sample", "too old sample", "duplicate sample for timestamp",
    "out of bounds", "too far in the future", "invalid sample", "empty labelset",
    "histogram's observation count", "histogram has a ", "histogram spans ", "histogram custom b", "invalid histogram",
    "histogram schema", "histogram sample", "native histograms are disabled",
    "invalid metric name", "invalid label", "label name too long", "label value too long", "duplicate label name",
};
/* Request too large, with status 400: Mimir, Cortex, VictoriaMetrics. */
static const char *const size_phrases[] = {
    "err-mimir-distributor-max-write-message-size", "received message larger than max (",
    "too big packed request", "too big unpacked request",
};
/* Mimir and Cortex: no request with these labels is accepted. */
static const char *const refused_phrases[] = {"err-mimir-tenant-too-many-ha-clusters", "too many ha clusters"};
static const char *const series_size_phrases[] = {"err-mimir-distributor-max-write-request-data-item-size"};
/* Of receivers that store series by series. A label user="..." within the text does not count. */
static const char *const partial_phrases[] = {
    "err-mimir-", ": user=",
    "sample invalid metric name: ", "sample missing metric name", "sample invalid label: ", "label name too long: ",
    "label value too long for metric: ", "duplicate label name: ", "labels not sorted: ",
    "series has too many labels (actual: ", "timestamp too old: ", "timestamp too new: ",
};

/* Of decoders: golang/snappy ("snappy: corrupt input"), VictoriaMetrics, Mimir, and proxies. */
static const char *const encoding_phrases[] = {
    "snappy", "zstd", "content-encoding", "content encoding", "unknown encoding", "unsupported encoding",
    "unsupported compression", "decompress", "cannot decode", "failed to decode", "error decoding", "could not decode",
};

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

bool response_about_time(struct str text) { return HAS_PHRASE(text, time_phrases); }

bool response_blames_encoding(const struct write_response *r)
{
    return r->status == 415 || (r->status == 400 && HAS_PHRASE(r->text, encoding_phrases));
}

static bool about_content(struct str text) { return HAS_PHRASE(text, content_phrases); }

bool response_blames_contents(const struct write_response *r)
{
    return r->status == 422 || about_content(r->text) || HAS_PHRASE(r->text, series_size_phrases);
}

/* Without headers that count what was written, it may be that 2.0 is not known. */
static enum response_class bad_request_2(const struct write_response *r)
{
    if (r->has_written)
        return RESPONSE_PARTLY_STORED;
    return about_content(r->text) ? RESPONSE_REJECTED : RESPONSE_RECODE;
}

static enum response_class bad_request(const struct write_response *r, struct block_form sent)
{
    if (HAS_PHRASE(r->text, size_phrases))
        return RESPONSE_TOO_LARGE;
    if (HAS_PHRASE(r->text, refused_phrases))
        return RESPONSE_DROP;
    if (HAS_PHRASE(r->text, series_size_phrases))
        return RESPONSE_REJECTED;
    if (HAS_PHRASE(r->text, partial_phrases) || starts_ignoring_case(str_trim(r->text), "user="))
        return RESPONSE_PARTLY_STORED;
    if (sent.message == MESSAGE_WRITE_2)
        return bad_request_2(r);
    if (sent.codec == CODEC_ZSTD && !about_content(r->text))
        return RESPONSE_RECODE;
    return RESPONSE_REJECTED;
}

enum response_class response_classify(const struct write_response *r, struct block_form sent)
{
    bool write_2 = sent.message == MESSAGE_WRITE_2;
    switch (r->status) {
    case 400: return bad_request(r, sent);
    case 409: return RESPONSE_PARTLY_STORED;
    case 413: return RESPONSE_TOO_LARGE;
    case 415: return write_2 || sent.codec == CODEC_ZSTD ? RESPONSE_RECODE : RESPONSE_DROP;
    case 422: return RESPONSE_REJECTED;
    case 401: case 402: case 403: case 404: case 407: case 408: case 425: case 429: return RESPONSE_RETRY;
    default: break;
    }
    if (r->status >= 200 && r->status < 300) /* to 2.0 it says what was written, if it was understood */
        return write_2 && !r->has_written ? RESPONSE_RECODE : RESPONSE_DELIVERED;
    if (r->status >= 400 && r->status < 500)
        return RESPONSE_DROP;
    return r->status >= 500 && about_content(r->text) ? RESPONSE_REJECTED : RESPONSE_RETRY;
}

const char *response_remedy(int status)
{
    switch (status) {
    case 401: return "check the credentials of this destination (basic_auth, authorization, bearer_token)";
    case 403: return "check what these credentials may write, and the tenant headers";
    case 404: return "check the path of url, and whether the server has its remote write receiver enabled";
    case 407: return "check the credentials in proxy_url";
    case 508: return "this destination sends the samples back: remove it, or the remote_write of a sluice behind it";
    default: return status >= 300 && status < 400 ? "set url to the final address: of writes, only redirects by 307 and 308 are followed, with follow_redirects"
                                                  : NULL;
    }
}
