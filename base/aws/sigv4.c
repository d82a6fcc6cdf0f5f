// SPDX-License-Identifier: Apache-2.0
/* AWS Signature Version 4, as the manual of AWS IAM defines it ("Create a signed AWS API request"):
 *
 * 1. The canonical request is what both sides derive from a request: method, path, query, the signed headers, their
 *    names, and the SHA-256 of the body, a line each. The path is normalized and encoded once more than it is sent, as
 *    by all services but S3; parameters of the query are decoded, encoded in one way and sorted; values of headers lose
 *    superfluous spaces.
 * 2. The string to sign has the time, the scope (date, region, service) and the SHA-256 of the canonical request.
 * 3. The key is derived from the secret by HMAC over date, region, service and "aws4_request", and the signature is the
 *    HMAC of the string to sign.
 *
 * libcurl 7.88 could sign as well, but it neither sorts parameters nor encodes paths, and requests over http:// are made
 * without it.
 */
#include "base/aws/sigv4.h"

#include "base/text/duration.h"
#include "base/text/url.h"

#include <assert.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>

enum { SHA256_SIZE = 32 };
struct sha256 { unsigned char bytes[SHA256_SIZE]; };

/* The algorithms are built in: both fail only without memory. */
static struct sha256 sha256_of(struct str text)
{
    struct sha256 hash;
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, text.n ? text.p : "", text.n, hash.bytes) != 0)
        abort();
    return hash;
}

static struct sha256 hmac_of(struct str key, struct str text)
{
    struct sha256 hash;
    if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, key.p, key.n, text.n ? text.p : "", text.n, hash.bytes) != 0)
        abort();
    return hash;
}

static struct str sha256_str(const struct sha256 *hash) { return str_n(hash->bytes, SHA256_SIZE); }

static void sha256_add_hex(struct buf *out, const struct sha256 *hash)
{
    for (size_t i = 0; i < SHA256_SIZE; i++)
        buf_printf(out, "%02x", hash->bytes[i]);
}

void sigv4_add_body_hash(struct buf *out, struct str body)
{
    struct sha256 hash = sha256_of(body);
    sha256_add_hex(out, &hash);
}

void sigv4_add_date(struct buf *out, int64_t now)
{
    struct civil c = civil_from_unix(now);
    buf_printf(out, "%04d%02d%02dT%02d%02d%02dZ", (int)c.year, c.month, c.day, c.hour, c.minute, c.second);
}

/* ---- 1. the canonical request ---- */

/* Appends the path without "." and "..", each of which takes a segment before it, and without empty segments. */
static void sigv4_add_path(struct buf *out, struct str path)
{
    struct str rest = str_skip(path, path.n > 0 && path.p[0] == '/'), segment;
    bool ends_in_slash = path.n == 0 || str_ends(path, STR("/")) || str_ends(path, STR("/.")) || str_ends(path, STR("/.."));
    size_t start = out->n;
    while (str_cut(&rest, '/', &segment)) {
        if (segment.n == 0 || str_is(segment, "."))
            continue;
        if (str_is(segment, "..")) {
            while (out->n > start && out->p[--out->n] != '/')
                ;
            continue;
        }
        buf_add_char(out, '/');
        url_encode(out, segment);
    }
    if (out->n == start || ends_in_slash)
        buf_add_char(out, '/');
}

static int sigv4_compare_texts(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Between name and value of a parameter while they are sorted: less than all that a name may have, so that the names
 * are compared first. */
enum { SIGV4_SEPARATOR = 1 };

/* "a=1" in the one way in which it is encoded. What is no valid escape is text. */
static struct str sigv4_parameter(struct arena *a, struct str text)
{
    struct str value = text, name, decoded;
    struct buf out = {0};
    str_cut(&value, '=', &name);
    url_encode(&out, url_decode(a, name, true, &decoded) ? decoded : name);
    buf_add_char(&out, SIGV4_SEPARATOR);
    url_encode(&out, value.p && url_decode(a, value, true, &decoded) ? decoded : value);
    struct str kept = arena_printf(a, "%.*s", STR_ARG(buf_str(&out)));
    buf_free(&out);
    return kept;
}

static void sigv4_add_query(struct buf *out, struct str query)
{
    struct arena arena;
    struct str rest = query, text;
    size_t n = 0, most = str_count(query, '&') + 1;
    arena_init(&arena, 0);
    struct str *parameters = mem_zalloc(most * sizeof *parameters);
    while (query.n > 0 && str_cut(&rest, '&', &text))
        if (text.n > 0)
            parameters[n++] = sigv4_parameter(&arena, text);
    qsort(parameters, n, sizeof *parameters, sigv4_compare_texts);
    for (size_t i = 0; i < n; i++) {
        size_t end = str_find(parameters[i], SIGV4_SEPARATOR);
        buf_printf(out, "%s%.*s=", i > 0 ? "&" : "", STR_ARG(str_first(parameters[i], end)));
        buf_add_str(out, str_skip(parameters[i], end + 1));
    }
    mem_free(parameters);
    arena_free(&arena);
}

static void sigv4_add_value(struct buf *out, struct str value)
{
    value = str_trim(value);
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] != ' ' || value.p[i - 1] != ' ')
            buf_add_char(out, value.p[i]);
}

static void sigv4_add_lower(struct buf *out, struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        buf_add_char(out, name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 'a' - 'A') : name.p[i]);
}

static int sigv4_compare_headers(const void *a, const void *b)
{
    return str_icmp((*(const struct sigv4_header *const *)a)->name, (*(const struct sigv4_header *const *)b)->name);
}

/* names: of the signed headers, "host;x-amz-date" */
static struct sha256 sigv4_hash_request(const struct sigv4_request *r, struct buf *names)
{
    const struct sigv4_header *sorted[SIGV4_HEADERS];
    struct buf text = {0};
    assert(r->n_headers <= SIGV4_HEADERS);
    for (size_t i = 0; i < r->n_headers; i++)
        sorted[i] = &r->headers[i];
    qsort(sorted, r->n_headers, sizeof sorted[0], sigv4_compare_headers);
    buf_printf(&text, "%.*s\n", STR_ARG(r->method));
    sigv4_add_path(&text, r->path);
    buf_add_char(&text, '\n');
    sigv4_add_query(&text, r->query);
    buf_add_char(&text, '\n');
    for (size_t i = 0; i < r->n_headers; i++) {
        if (i > 0)
            buf_add_char(names, ';');
        sigv4_add_lower(names, sorted[i]->name);
        sigv4_add_lower(&text, sorted[i]->name);
        buf_add_char(&text, ':');
        sigv4_add_value(&text, sorted[i]->value);
        buf_add_char(&text, '\n');
    }
    buf_printf(&text, "\n%.*s\n", STR_ARG(buf_str(names)));
    sigv4_add_body_hash(&text, r->body);
    struct sha256 hash = sha256_of(buf_str(&text));
    buf_free(&text);
    return hash;
}

/* ---- 2. and 3. ---- */

static struct sha256 sigv4_sign(const struct sigv4_key *key, struct str date, struct str text)
{
    const struct str steps[] = {date, key->region, key->service, STR("aws4_request"), text};
    struct buf secret = {0};
    struct sha256 hash;
    buf_printf(&secret, "AWS4%.*s", STR_ARG(key->secret_key));
    for (size_t i = 0; i < LEN(steps); i++)
        hash = hmac_of(i == 0 ? buf_str(&secret) : sha256_str(&hash), steps[i]);
    buf_free(&secret);
    return hash;
}

void sigv4_authorization(const struct sigv4_key *key, const struct sigv4_request *request, int64_t now, struct buf *out)
{
    struct buf date = {0}, scope = {0}, names = {0}, text = {0};
    sigv4_add_date(&date, now);
    struct str day = str_first(buf_str(&date), 8);
    buf_printf(&scope, "%.*s/%.*s/%.*s/aws4_request", STR_ARG(day), STR_ARG(key->region), STR_ARG(key->service));
    struct sha256 hash = sigv4_hash_request(request, &names);
    buf_printf(&text, "AWS4-HMAC-SHA256\n%.*s\n%.*s\n", STR_ARG(buf_str(&date)), STR_ARG(buf_str(&scope)));
    sha256_add_hex(&text, &hash);
    struct sha256 signature = sigv4_sign(key, day, buf_str(&text));
    buf_printf(out, "AWS4-HMAC-SHA256 Credential=%.*s/%.*s, SignedHeaders=%.*s, Signature=", STR_ARG(key->access_key),
               STR_ARG(buf_str(&scope)), STR_ARG(buf_str(&names)));
    sha256_add_hex(out, &signature);
    struct buf *all[] = {&date, &scope, &names, &text};
    for (size_t i = 0; i < LEN(all); i++)
        buf_free(all[i]);
}

/* As the client sends it: with the port unless it is the scheme's. */
static void sigv4_add_host(struct buf *out, const struct url *u)
{
    bool v6 = str_find(u->host, ':') < u->host.n;
    buf_printf(out, v6 ? "[%.*s]" : "%.*s", STR_ARG(u->host));
    if (u->port.n > 0 && !str_is(u->port, str_ieq(u->scheme, STR("https")) ? "443" : "80"))
        buf_printf(out, ":%.*s", STR_ARG(u->port));
}

void sigv4_add_lines(const struct sigv4_key *key, struct str method, struct str url, struct str host, struct str body,
                     int64_t now, struct buf *out)
{
    struct url u;
    struct buf own_host = {0}, date = {0}, hash = {0}, authorization = {0};
    if (!url_parse(url, &u, NULL))
        return;
    sigv4_add_host(&own_host, &u);
    sigv4_add_date(&date, now);
    sigv4_add_body_hash(&hash, body);
    const struct sigv4_header headers[] = {{STR("Host"), host.n > 0 ? host : buf_str(&own_host)},
                                           {STR("X-Amz-Date"), buf_str(&date)},
                                           {STR("X-Amz-Content-Sha256"), buf_str(&hash)},
                                           {STR("X-Amz-Security-Token"), key->session_token}};
    struct sigv4_request request = {.method = method, .path = u.path, .query = u.query, .headers = headers,
                                    .n_headers = LEN(headers) - (key->session_token.n == 0), .body = body};
    sigv4_authorization(key, &request, now, &authorization);
    for (size_t i = host.n > 0; i < request.n_headers; i++)
        buf_printf(out, "%.*s: %.*s\n", STR_ARG(headers[i].name), STR_ARG(headers[i].value));
    buf_printf(out, "Authorization: %s\n", buf_z(&authorization));
    struct buf *all[] = {&own_host, &date, &hash, &authorization};
    for (size_t i = 0; i < LEN(all); i++)
        buf_free(all[i]);
}
