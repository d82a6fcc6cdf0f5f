// SPDX-License-Identifier: Apache-2.0
/* A PEM file may have the key and the certificates in any order; the key's certificate is moved to the front. */
#include "base/jwt/jwt_certificate.h"

#include "base/jwt/jwt.h"
#include "base/jwt/jwt_internal.h"
#include "base/text/base64.h"

#include <gnutls/gnutls.h>
#include <gnutls/pkcs12.h>
#include <gnutls/x509.h>

enum { KEY_ID_BYTES = 32, CHAIN_MAX = 16 };

struct jwt_identity { /* what the files have */
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t *chain;
    unsigned n;
};

static void jwt_identity_free(struct jwt_identity *id)
{
    for (unsigned i = 0; i < id->n; i++)
        gnutls_x509_crt_deinit(id->chain[i]);
    gnutls_free(id->chain);
    if (id->key)
        gnutls_x509_privkey_deinit(id->key);
}

static gnutls_datum_t jwt_datum(struct str s) { return (gnutls_datum_t){(unsigned char *)s.p, (unsigned)s.n}; }

static bool jwt_fails(int result, const char *what, struct err *err)
{
    return result < 0 && !err_set(err, ERR_BAD_DATA, "%s: %s", what, gnutls_strerror(result));
}

/* ---- reading ---- */

static bool jwt_read_pem(const struct jwt_certificate *c, struct jwt_identity *id, struct err *err)
{
    gnutls_datum_t file = jwt_datum(c->file), key = jwt_datum(c->key_file.n > 0 ? c->key_file : c->file);
    const char *password = c->password && *c->password ? c->password : NULL;
    if (jwt_fails(gnutls_x509_crt_list_import2(&id->chain, &id->n, &file, GNUTLS_X509_FMT_PEM, 0), "the certificate",
                  err))
        return false;
    if (jwt_fails(gnutls_x509_privkey_init(&id->key), "the key", err))
        return false;
    int result = gnutls_x509_privkey_import2(id->key, &key, GNUTLS_X509_FMT_PEM, password, 0);
    return !jwt_fails(result, "the key is not in PEM format, or encrypted otherwise", err);
}

static bool jwt_read_pkcs12(const struct jwt_certificate *c, struct jwt_identity *id, struct err *err)
{
    gnutls_pkcs12_t file;
    gnutls_datum_t bytes = jwt_datum(c->file);
    if (jwt_fails(gnutls_pkcs12_init(&file), "PKCS#12", err))
        return false;
    int result = gnutls_pkcs12_import(file, &bytes, GNUTLS_X509_FMT_DER, 0);
    if (result >= 0)
        result = gnutls_pkcs12_simple_parse(file, c->password ? c->password : "", &id->key, &id->chain, &id->n, NULL,
                                            NULL, NULL, 0);
    gnutls_pkcs12_deinit(file);
    if (jwt_fails(result, "the certificate is neither in PEM format nor PKCS#12 with this password", err))
        return false;
    return id->key != NULL || err_set(err, ERR_BAD_DATA, "the file has no key");
}

/* Moves the key's certificate to the front. */
static bool jwt_find_leaf(struct jwt_identity *id, struct err *err)
{
    unsigned char of_key[KEY_ID_BYTES], of_certificate[KEY_ID_BYTES];
    size_t n = sizeof of_key;
    if (jwt_fails(gnutls_x509_privkey_get_key_id(id->key, GNUTLS_KEYID_USE_SHA256, of_key, &n), "the key", err))
        return false;
    for (unsigned i = 0; i < id->n; i++) {
        size_t m = sizeof of_certificate;
        if (gnutls_x509_crt_get_key_id(id->chain[i], GNUTLS_KEYID_USE_SHA256, of_certificate, &m) < 0 || m != n ||
            memcmp(of_key, of_certificate, n) != 0)
            continue;
        gnutls_x509_crt_t leaf = id->chain[i];
        memmove(id->chain + 1, id->chain, i * sizeof(gnutls_x509_crt_t));
        id->chain[0] = leaf;
        return true;
    }
    return err_set(err, ERR_BAD_DATA, "the file has no certificate of the key");
}

/* ---- the token ---- */

static bool jwt_add_fingerprint(const struct jwt_identity *id, struct buf *header, struct err *err)
{
    unsigned char digest[KEY_ID_BYTES];
    size_t n = sizeof digest;
    struct buf text = {0};
    if (jwt_fails(gnutls_x509_crt_get_fingerprint(id->chain[0], GNUTLS_DIG_SHA256, digest, &n), "the certificate", err))
        return false;
    base64_add_url(&text, str_n(digest, n));
    jwt_add_text(header, "x5t#S256", buf_str(&text));
    buf_free(&text);
    return true;
}

static bool jwt_add_chain(const struct jwt_identity *id, struct buf *header, struct err *err)
{
    buf_add_z(header, ",\"x5c\":[");
    for (unsigned i = 0; i < id->n && i < CHAIN_MAX; i++) {
        gnutls_datum_t der = {NULL, 0};
        if (jwt_fails(gnutls_x509_crt_export2(id->chain[i], GNUTLS_X509_FMT_DER, &der), "the certificate", err))
            return false;
        buf_add_z(header, i ? ",\"" : "\"");
        base64_add(header, str_n(der.data, der.size));
        buf_add_char(header, '"');
        gnutls_free(der.data);
    }
    buf_add_char(header, ']');
    return true;
}

static bool jwt_make_header(const struct jwt_identity *id, bool with_chain, struct buf *header, struct err *err)
{
    jwt_begin(header);
    jwt_add_text(header, "alg", STR("PS256"));
    jwt_add_text(header, "typ", STR("JWT"));
    if (!jwt_add_fingerprint(id, header, err) || (with_chain && !jwt_add_chain(id, header, err)))
        return false;
    jwt_end(header);
    return true;
}

bool jwt_sign_by_certificate(const struct jwt_certificate *c, struct str claims, struct buf *out, struct err *err)
{
    struct jwt_identity id = {0};
    struct buf header = {0};
    gnutls_privkey_t signer = NULL;
    bool pem = str_find_str(c->file, STR("-----BEGIN")) < c->file.n;
    bool ok = (pem ? jwt_read_pem(c, &id, err) : jwt_read_pkcs12(c, &id, err)) && jwt_find_leaf(&id, err) &&
              jwt_make_header(&id, c->with_chain, &header, err) &&
              !jwt_fails(gnutls_privkey_init(&signer), "the key", err) &&
              !jwt_fails(gnutls_privkey_import_x509(signer, id.key, 0), "the key", err) &&
              jwt_add_token(out, buf_str(&header), claims, signer, GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, err);
    if (signer)
        gnutls_privkey_deinit(signer);
    jwt_identity_free(&id);
    buf_free(&header);
    return ok;
}
