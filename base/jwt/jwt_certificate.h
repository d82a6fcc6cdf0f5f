// SPDX-License-Identifier: Apache-2.0
/* JSON Web Tokens that the key of a certificate signs (RFC 7515: PS256), with the certificate's fingerprint in the
 * header (x5t#S256), as Microsoft Entra ID wants them from applications. Any thread; reading a PKCS#12 file may take some
 * milliseconds. */
#ifndef BASE_JWT_JWT_CERTIFICATE_H
#define BASE_JWT_JWT_CERTIFICATE_H

#include "base/buf.h"
#include "base/err.h"

struct jwt_certificate {
    struct str file;      /* PEM, or PKCS#12: the certificate, further ones of its chain, and the key */
    struct str key_file;  /* PEM: the key, if it is not in `file`; otherwise empty */
    const char *password; /* of the key; NULL or "": none */
    bool with_chain;      /* the certificates are in the header, too (x5c) */
};
/* Appends the token. False: something cannot be read, the key is no RSA key, or not that of a certificate; the error
 * does not show it. */
bool jwt_sign_by_certificate(const struct jwt_certificate *c, struct str claims, struct buf *out,
                             struct err *err) MUST_USE;

#endif
