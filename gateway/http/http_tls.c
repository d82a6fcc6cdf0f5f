// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/http_tls.h"

#include "base/refs.h"

#include <arpa/inet.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

struct http_tls {
    struct refs refs;
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priority;
    enum http_client_auth client_auth;
    struct buf sans; /* each followed by a NUL */
    int64_t expiry;  /* Unix seconds */
};

/* ---- cipher suites ---- */

static const struct tls_suite { const char *name, *exchange, *cipher, *mac; } tls_suites[] = {
    {"TLS_AES_128_GCM_SHA256", NULL, "AES-128-GCM", "AEAD"},
    {"TLS_AES_256_GCM_SHA384", NULL, "AES-256-GCM", "AEAD"},
    {"TLS_CHACHA20_POLY1305_SHA256", NULL, "CHACHA20-POLY1305", "AEAD"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA", "AES-128-GCM", "AEAD"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA", "AES-256-GCM", "AEAD"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA", "CHACHA20-POLY1305", "AEAD"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "ECDHE-ECDSA", "CHACHA20-POLY1305", "AEAD"},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA", "AES-128-GCM", "AEAD"},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA", "AES-256-GCM", "AEAD"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA", "CHACHA20-POLY1305", "AEAD"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "ECDHE-RSA", "CHACHA20-POLY1305", "AEAD"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA", "AES-128-CBC", "SHA1"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA", "AES-256-CBC", "SHA1"},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA", "AES-128-CBC", "SHA1"},
    {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA", "AES-256-CBC", "SHA1"},
};

static const struct tls_suite *tls_suite_find(struct str name)
{
    for (size_t i = 0; i < LEN(tls_suites); i++)
        if (str_ieq(name, str_of(tls_suites[i].name)))
            return &tls_suites[i];
    return NULL;
}

static void priority_add(struct buf *out, const char *what)
{
    struct buf item = {0};
    buf_printf(&item, ":+%s:", what);
    buf_add_char(out, ':');
    if (str_find_str(buf_str(out), buf_str(&item)) == out->n)
        buf_printf(out, "+%s", what);
    else
        out->n--;
    buf_free(&item);
}

/* False: a name is not known. */
static bool priority_add_suites(struct buf *out, const struct str_list *names, const char *exchange, struct err *err)
{
    for (size_t i = 0; i < names->n; i++) {
        const struct tls_suite *s = tls_suite_find(names->items[i]);
        if (s == NULL)
            return err_set(err, ERR_BAD_DATA, "\"%.*s\" is unknown or insecure; use names as "
                           "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", STR_ARG(names->items[i]));
        if (s->exchange && strcmp(s->exchange, exchange) != 0)
            continue;
        priority_add(out, s->cipher);
        priority_add(out, s->mac);
    }
    return true;
}

/* ---- the priority string ---- */

static bool priority_add_curves(struct buf *out, const struct str_list *names, struct err *err)
{
    static const struct { const char *name, *group; } curves[] = {
        {"X25519", "GROUP-X25519"}, {"CurveP256", "GROUP-SECP256R1"}, {"CurveP384", "GROUP-SECP384R1"},
        {"CurveP521", "GROUP-SECP521R1"}};
    for (size_t i = 0; names->n == 0 && i < LEN(curves); i++)
        priority_add(out, curves[i].group);
    for (size_t i = 0; i < names->n; i++) {
        size_t k = 0;
        while (k < LEN(curves) && !str_is(names->items[i], curves[k].name))
            k++;
        if (k == LEN(curves))
            return err_set(err, ERR_BAD_DATA, "\"%.*s\" is none of CurveP256, CurveP384, CurveP521, X25519",
                           STR_ARG(names->items[i]));
        priority_add(out, curves[k].group);
    }
    return true;
}

/* Before TLS 1.2 there are no AEAD ciphers and no other signatures than those with SHA-1. */
static bool priority_print(struct buf *out, const struct http_tls_conf *c, const char *exchange, const char **key,
                           struct err *err)
{
    static const char *const versions[] = {"VERS-TLS1.0", "VERS-TLS1.1", "VERS-TLS1.2", "VERS-TLS1.3"};
    static const char *const ciphers[] = {"AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305", "AEAD"};
    static const char *const old_ciphers[] = {"AES-128-CBC", "AES-256-CBC", "SHA1"};
    bool old = c->min_version < HTTP_TLS12;
    buf_add_z(out, "NONE:+COMP-NULL:+CTYPE-ALL:+SIGN-ALL");
    if (!old)
        buf_add_z(out, ":-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1");
    for (int v = (int)c->max_version; v >= (int)c->min_version; v--)
        priority_add(out, versions[v]);
    priority_add(out, exchange);
    size_t before = out->n;
    *key = "cipher_suites";
    if (!priority_add_suites(out, &c->cipher_suites, exchange, err))
        return false;
    if (c->cipher_suites.n > 0 && out->n == before)
        return err_set(err, ERR_BAD_DATA, "none of the cipher suites fits the key of the certificate; add some with %s",
                       strcmp(exchange, "ECDHE-RSA") == 0 ? "ECDHE_RSA" : "ECDHE_ECDSA");
    for (size_t i = 0; c->cipher_suites.n == 0 && i < LEN(ciphers); i++)
        priority_add(out, ciphers[i]);
    for (size_t i = 0; c->cipher_suites.n == 0 && old && i < LEN(old_ciphers); i++)
        priority_add(out, old_ciphers[i]);
    *key = "curve_preferences";
    if (!priority_add_curves(out, &c->curves, err))
        return false;
    if (!c->client_order)
        buf_add_z(out, ":%SERVER_PRECEDENCE");
    return true;
}

static bool tls_set_priority(struct http_tls *t, const struct http_tls_conf *c, const char *exchange, const char **key,
                             struct err *err)
{
    struct buf text = {0};
    const char *at = NULL;
    bool ok = priority_print(&text, c, exchange, key, err);
    if (ok && gnutls_priority_init(&t->priority, buf_z(&text), &at) != 0) {
        *key = "cipher_suites";
        ok = err_set(err, ERR_BAD_DATA, "GnuTLS refuses \"%s\"", at);
    }
    buf_free(&text);
    return ok;
}

/* ---- certificates ---- */

static gnutls_datum_t datum_of(struct str s) { return (gnutls_datum_t){(unsigned char *)(uintptr_t)s.p, (unsigned)s.n}; }

/* Key exchange of the key; NULL with an error. */
static const char *tls_read_key(struct str pem, struct err *err)
{
    gnutls_x509_privkey_t key;
    gnutls_datum_t text = datum_of(pem);
    if (gnutls_x509_privkey_init(&key) != 0) {
        err_set(err, ERR_UNAVAILABLE, "GnuTLS is out of memory");
        return NULL;
    }
    int result = gnutls_x509_privkey_import2(key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
    int algorithm = result == 0 ? gnutls_x509_privkey_get_pk_algorithm(key) : 0;
    gnutls_x509_privkey_deinit(key);
    if (result == GNUTLS_E_DECRYPTION_FAILED)
        err_set(err, ERR_BAD_DATA, "the key is encrypted; decrypt it, for example with openssl pkey");
    else if (result != 0)
        err_set(err, ERR_BAD_DATA, "not a private key in PEM form: %s", gnutls_strerror(result));
    if (result != 0)
        return NULL;
    return algorithm == GNUTLS_PK_RSA || algorithm == GNUTLS_PK_RSA_PSS ? "ECDHE-RSA" : "ECDHE-ECDSA";
}

/* *expiry: of the first one, the server's. */
static bool tls_check_certificates(struct str pem, int64_t *expiry, struct err *err)
{
    gnutls_x509_crt_t *list = NULL;
    unsigned n = 0;
    gnutls_datum_t text = datum_of(pem);
    int result = gnutls_x509_crt_list_import2(&list, &n, &text, GNUTLS_X509_FMT_PEM, 0);
    if (result >= 0 && n > 0)
        *expiry = gnutls_x509_crt_get_expiration_time(list[0]);
    for (unsigned i = 0; result >= 0 && i < n; i++)
        gnutls_x509_crt_deinit(list[i]);
    gnutls_free(list);
    return result >= 0 || err_set(err, ERR_BAD_DATA, "no certificate in PEM form: %s", gnutls_strerror(result));
}

static bool tls_set_pair(struct http_tls *t, const struct http_tls_conf *c, const char **key, struct err *err)
{
    gnutls_datum_t cert = datum_of(c->cert), text = datum_of(c->key);
    *key = "cert";
    if (!tls_check_certificates(c->cert, &t->expiry, err))
        return false;
    int result = gnutls_certificate_set_x509_key_mem2(t->credentials, &cert, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (result >= 0)
        return true;
    *key = "key";
    return err_set(err, ERR_BAD_DATA, result == GNUTLS_E_CERTIFICATE_KEY_MISMATCH
                   ? "the key does not belong to the certificate" : "certificate and key cannot be used: %s",
                   gnutls_strerror(result));
}

static bool tls_set_client_ca(struct http_tls *t, const struct http_tls_conf *c, const char **key, struct err *err)
{
    gnutls_datum_t text = datum_of(c->client_ca);
    int64_t expiry;
    *key = "client_ca";
    if (c->client_ca.n == 0)
        return true;
    if (!tls_check_certificates(c->client_ca, &expiry, err))
        return false;
    int result = gnutls_certificate_set_x509_trust_mem(t->credentials, &text, GNUTLS_X509_FMT_PEM);
    return result >= 0 || err_set(err, ERR_BAD_DATA, "%s", gnutls_strerror(result));
}

/* ---- client certificates, during the handshake ---- */

static bool san_is_allowed(const struct http_tls *t, const char *san)
{
    for (size_t at = 0; at < t->sans.n; at += strlen(t->sans.p + at) + 1)
        if (strcmp(t->sans.p + at, san) == 0)
            return true;
    return false;
}

/* Text of a name: that of an address is its usual form. NULL: of another type, or it has a NUL. */
static const char *san_text(int type, char *name, size_t n, char address[INET6_ADDRSTRLEN])
{
    if (type == GNUTLS_SAN_IPADDRESS)
        return inet_ntop(n == 4 ? AF_INET : AF_INET6, name, address, INET6_ADDRSTRLEN);
    bool text = type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_RFC822NAME || type == GNUTLS_SAN_URI;
    name[n] = 0;
    return text && strlen(name) == n ? name : NULL;
}

static bool certificate_has_san(const struct http_tls *t, const gnutls_datum_t *der)
{
    gnutls_x509_crt_t cert;
    char name[1024], address[INET6_ADDRSTRLEN];
    bool found = false;
    if (gnutls_x509_crt_init(&cert) != 0)
        return false;
    int result = gnutls_x509_crt_import(cert, der, GNUTLS_X509_FMT_DER);
    for (unsigned i = 0; result >= 0 && !found; i++) {
        size_t n = sizeof name - 1;
        int type = gnutls_x509_crt_get_subject_alt_name(cert, i, name, &n, NULL);
        if (type == GNUTLS_E_SHORT_MEMORY_BUFFER) /* too long to be listed */
            continue;
        if (type < 0 || (type == GNUTLS_SAN_IPADDRESS && n != 4 && n != 16))
            break;
        const char *text = san_text(type, name, n, address);
        found = text && san_is_allowed(t, text);
    }
    gnutls_x509_crt_deinit(cert);
    return found;
}

static bool certificate_is_trusted(gnutls_session_t session)
{
    gnutls_typed_vdata_st purpose = {GNUTLS_DT_KEY_PURPOSE_OID, (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT, 0};
    unsigned status = 0;
    return gnutls_certificate_verify_peers(session, &purpose, 1, &status) == 0 && status == 0;
}

static int tls_verify_client(gnutls_session_t session)
{
    const struct http_tls *t = gnutls_db_get_ptr(session);
    unsigned n = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &n);
    bool required = t->client_auth == HTTP_CLIENT_REQUIRE_ANY || t->client_auth == HTTP_CLIENT_VERIFY;
    bool verified = t->client_auth == HTTP_CLIENT_VERIFY || t->client_auth == HTTP_CLIENT_VERIFY_IF_GIVEN;
    if (chain == NULL || n == 0)
        return required ? GNUTLS_E_CERTIFICATE_ERROR : 0;
    if (verified && !certificate_is_trusted(session))
        return GNUTLS_E_CERTIFICATE_ERROR;
    return t->sans.n == 0 || certificate_has_san(t, &chain[0]) ? 0 : GNUTLS_E_CERTIFICATE_ERROR;
}

/* The pointer of the session cache, which is not used, leads from a session to its listener's TLS; the session's own
 * pointer is the HTTP library's. */
void http_tls_begin(struct http_tls *t, void *session)
{
    gnutls_session_t s = session;
    bool required = t->client_auth == HTTP_CLIENT_REQUIRE_ANY || t->client_auth == HTTP_CLIENT_VERIFY;
    gnutls_db_set_ptr(s, t);
    gnutls_priority_set(s, t->priority);
    gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, t->credentials);
    if (t->client_auth == HTTP_CLIENT_NONE)
        return;
    gnutls_certificate_server_set_request(s, required ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST);
    gnutls_session_set_verify_function(s, tls_verify_client);
}

static int tls_retrieve_none(gnutls_session_t session UNUSED, const gnutls_datum_t *names UNUSED, int n_names UNUSED,
                             const gnutls_pk_algorithm_t *algorithms UNUSED, int n_algorithms UNUSED,
                             gnutls_pcert_st **cert UNUSED, unsigned *n UNUSED, gnutls_privkey_t *key UNUSED)
{
    return -1;
}

void *http_tls_no_certificate(void)
{
    gnutls_certificate_retrieve_function2 *f = tls_retrieve_none;
    return (void *)(uintptr_t)f;
}

/* ---- life ---- */

static bool tls_set_up(struct http_tls *t, const struct http_tls_conf *c, const char **key, struct err *err)
{
    *key = "max_version";
    if (c->max_version < c->min_version)
        return err_set(err, ERR_BAD_DATA, "must not be below min_version");
    *key = "key";
    const char *exchange = tls_read_key(c->key, err);
    if (exchange == NULL || !tls_set_pair(t, c, key, err) || !tls_set_client_ca(t, c, key, err))
        return false;
    t->client_auth = c->client_auth;
    for (size_t i = 0; i < c->client_allowed_sans.n; i++) {
        buf_add_str(&t->sans, c->client_allowed_sans.items[i]);
        buf_add_char(&t->sans, 0);
    }
    return tls_set_priority(t, c, exchange, key, err);
}

struct http_tls *http_tls_new(const struct http_tls_conf *c, const char **key, struct err *err)
{
    struct http_tls *t = mem_zalloc(sizeof *t);
    refs_init(&t->refs);
    bool ok = gnutls_certificate_allocate_credentials(&t->credentials) == 0 ||
              err_set(err, ERR_UNAVAILABLE, "GnuTLS is out of memory");
    if (ok && tls_set_up(t, c, key, err))
        return t;
    http_tls_unref(t);
    return NULL;
}

int64_t http_tls_expiry(const struct http_tls *t) { return t->expiry; }

struct http_tls *http_tls_ref(struct http_tls *t)
{
    refs_take(&t->refs);
    return t;
}

void http_tls_unref(struct http_tls *t)
{
    if (t == NULL || !refs_drop(&t->refs))
        return;
    if (t->credentials)
        gnutls_certificate_free_credentials(t->credentials);
    if (t->priority)
        gnutls_priority_deinit(t->priority);
    buf_free(&t->sans);
    mem_free(t);
}
