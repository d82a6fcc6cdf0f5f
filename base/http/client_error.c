// SPDX-License-Identifier: Apache-2.0
/* Translates curl's result codes into error kinds and messages. */
#include "base/http/client_error.h"

#include "base/buf.h"
#include "base/text/url.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_tls(int code)
{
    return code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CERTPROBLEM
           || code == CURLE_SSL_CIPHER || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_ISSUER_ERROR;
}

static const char *connect_error(CURL *easy)
{
    long code = 0;
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &code);
    return code == ECONNREFUSED ? "connection refused" : code ? strerror((int)code) : "cannot connect";
}

/* Texts for codes that libcurl words less clearly; NULL for the others. */
static const char *client_error_text(CURL *easy, int code)
{
    switch (code) {
    case CURLE_COULDNT_CONNECT: return connect_error(easy);
    case CURLE_GOT_NOTHING: return "the server closed the connection without a response";
    case CURLE_PARTIAL_FILE: return "connection closed before the response was complete";
    case CURLE_TOO_MANY_REDIRECTS: return "more than 10 redirects";
    case CURLE_BAD_CONTENT_ENCODING: return CLIENT_BAD_ENCODING;
    default: return NULL;
    }
}

static void describe(CURL *easy, int code, const char *message, int64_t total_ms, char *text, size_t size)
{
    /* time at which the request was about to be sent; a reused connection has no connect time */
    curl_off_t pretransfer = 0;
    const char *own = client_error_text(easy, code);
    if (code == CURLE_OPERATION_TIMEDOUT) {
        curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer);
        snprintf(text, size, "%s %lld ms", pretransfer ? "timed out after" : "timed out connecting after",
                 (long long)total_ms);
    } else if (own) {
        snprintf(text, size, "%s", own);
    } else {
        snprintf(text, size, "%s%s", is_tls(code) ? "TLS: " : "",
                 message[0] ? message : curl_easy_strerror((CURLcode)code));
    }
    if (code == CURLE_COULDNT_RESOLVE_HOST)
        text[0] = (char)(text[0] | 0x20); /* "Could not resolve host: ..." */
}

void client_describe(const struct client_failure *f, enum err_kind kind, const char *text, struct err *err)
{
    struct buf url = {0};
    url_redact(&url, str_of(f->url));
    err_set(err, kind, "%s %s: %s", f->method, buf_z(&url), text);
    buf_free(&url);
}

void client_describe_name(const char *host, const char *why, char text[CLIENT_NAME_ERROR_SIZE])
{
    snprintf(text, CLIENT_NAME_ERROR_SIZE, "could not resolve host: %s: %s", host, why);
}

void client_describe_silence(int64_t ms, char *text, size_t size)
{
    snprintf(text, size, "no response from the name server within %lld ms", (long long)ms);
}

void client_explain(void *easy, int code, const char *message, const struct client_failure *f, struct err *err)
{
    char text[CURL_ERROR_SIZE + 64];
    describe(easy, code, message, f->total_ms, text, sizeof text);
    client_describe(f, code == CURLE_OPERATION_TIMEDOUT ? ERR_GATEWAY_TIME : ERR_BAD_GATEWAY, text, err);
}
