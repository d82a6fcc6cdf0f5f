// SPDX-License-Identifier: Apache-2.0
/* TLS of a listener: certificate, protocol versions, cipher suites, and which client certificates are accepted, as
 * GnuTLS wants them. Immutable and reference counted: a connection keeps the one that it was accepted with. Only
 * http_tls.c includes GnuTLS' header.
 *
 * GnuTLS selects key exchange, cipher and MAC independently. Suites are limited to the key exchange that the
 * certificate's key allows, so that no suite results that is not listed. A list also limits the suites of TLS 1.3.
 */
#ifndef GATEWAY_HTTP_HTTP_TLS_H
#define GATEWAY_HTTP_HTTP_TLS_H

#include "base/conf/conf.h"

enum http_tls_version { HTTP_TLS10, HTTP_TLS11, HTTP_TLS12, HTTP_TLS13 };
enum http_client_auth { /* Go's names without their common words */
    HTTP_CLIENT_NONE, HTTP_CLIENT_REQUEST, HTTP_CLIENT_REQUIRE_ANY, HTTP_CLIENT_VERIFY_IF_GIVEN, HTTP_CLIENT_VERIFY,
};
struct http_tls_conf {
    struct str cert, key, client_ca;     /* PEM; key: not encrypted */
    enum http_client_auth client_auth;
    struct str_list client_allowed_sans; /* of which a client certificate must have one; empty: any */
    enum http_tls_version min_version, max_version;
    struct str_list cipher_suites;       /* Go's names; empty: those with forward secrecy and AEAD */
    struct str_list curves;              /* CurveP256, CurveP384, CurveP521, X25519; empty: all */
    bool client_order;                   /* the client's order of cipher suites is decisive */
};
struct http_tls;
/* NULL with an error; *key is then the invalid field: "cert", "key", "client_ca", "cipher_suites", ... */
struct http_tls *http_tls_new(const struct http_tls_conf *conf, const char **key, struct err *err) MUST_USE;
struct http_tls *http_tls_ref(struct http_tls *t);
void http_tls_unref(struct http_tls *t); /* NULL is fine */
int64_t http_tls_expiry(const struct http_tls *t); /* of the server's certificate, Unix seconds */
/* Prepares a session (gnutls_session_t) that has not begun its handshake. The caller keeps a reference until the
 * session is freed. */
void http_tls_begin(struct http_tls *t, void *session);
/* For a server whose sessions are all prepared by http_tls_begin: a gnutls_certificate_retrieve_function2. */
void *http_tls_no_certificate(void);

#endif
