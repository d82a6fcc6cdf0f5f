// SPDX-License-Identifier: Apache-2.0
#include "base/jwt/jwt.h"

#include "base/json/json_write.h"
#include "base/jwt/jwt_internal.h"
#include "base/text/base64.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

/* ---- claims ---- */

void jwt_begin(struct buf *claims) { buf_add_char(claims, '{'); }

static void jwt_add_name(struct buf *claims, const char *name)
{
    if (claims->p[claims->n - 1] != '{')
        buf_add_char(claims, ',');
    buf_add_char(claims, '"');
    json_escape(claims, str_of(name));
    buf_add_z(claims, "\":");
}

void jwt_add_text(struct buf *claims, const char *name, struct str value)
{
    jwt_add_name(claims, name);
    buf_add_char(claims, '"');
    json_escape(claims, value);
    buf_add_char(claims, '"');
}

void jwt_add_number(struct buf *claims, const char *name, int64_t value)
{
    jwt_add_name(claims, name);
    buf_printf(claims, "%lld", (long long)value);
}

void jwt_add_random(struct buf *claims, const char *name)
{
    unsigned char bytes[16];
    if (gnutls_rnd(GNUTLS_RND_NONCE, bytes, sizeof bytes) != 0)
        memset(bytes, 0, sizeof bytes);
    jwt_add_name(claims, name);
    buf_add_char(claims, '"');
    for (size_t i = 0; i < sizeof bytes; i++)
        buf_printf(claims, "%02x", bytes[i]);
    buf_add_char(claims, '"');
}

void jwt_end(struct buf *claims) { buf_add_char(claims, '}'); }

/* ---- the token ---- */

bool jwt_add_token(struct buf *out, struct str header, struct str claims, gnutls_privkey_t key,
                   gnutls_sign_algorithm_t by, struct err *err)
{
    struct buf token = {0};
    gnutls_datum_t signature = {NULL, 0};
    if (gnutls_privkey_get_pk_algorithm(key, NULL) != GNUTLS_PK_RSA)
        return err_set(err, ERR_BAD_DATA, "the key is not an RSA key");
    base64_add_url(&token, header);
    buf_add_char(&token, '.');
    base64_add_url(&token, claims);
    gnutls_datum_t text = {(unsigned char *)token.p, (unsigned)token.n};
    int result = gnutls_privkey_sign_data2(key, by, 0, &text, &signature);
    if (result == 0) {
        buf_add_char(&token, '.');
        base64_add_url(&token, str_n(signature.data, signature.size));
        buf_add_str(out, buf_str(&token));
    }
    gnutls_free(signature.data);
    buf_free(&token);
    return result == 0 || err_set(err, ERR_INTERNAL, "cannot sign: %s", gnutls_strerror(result));
}

static gnutls_sign_algorithm_t jwt_algorithm(unsigned bits)
{
    return bits == 512 ? GNUTLS_SIGN_RSA_SHA512 : bits == 384 ? GNUTLS_SIGN_RSA_SHA384 : GNUTLS_SIGN_RSA_SHA256;
}

bool jwt_sign(const struct jwt_key *key, struct str claims, struct buf *out, struct err *err)
{
    struct buf header = {0};
    gnutls_privkey_t made = NULL;
    gnutls_datum_t pem = {(unsigned char *)key->pem.p, (unsigned)key->pem.n};
    int result = gnutls_privkey_init(&made);
    if (result == 0)
        result = gnutls_privkey_import_x509_raw(made, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    bool ok = result == 0 || err_set(err, ERR_BAD_DATA, "the key is not in PEM format, or encrypted: %s", gnutls_strerror(result));
    if (ok) {
        jwt_begin(&header);
        buf_printf(&header, "\"alg\":\"RS%u\"", key->bits);
        if (key->id && *key->id)
            jwt_add_text(&header, "kid", str_of(key->id));
        jwt_add_text(&header, "typ", STR("JWT"));
        jwt_end(&header);
        ok = jwt_add_token(out, buf_str(&header), claims, made, jwt_algorithm(key->bits), err);
    }
    if (made)
        gnutls_privkey_deinit(made);
    buf_free(&header);
    return ok;
}
