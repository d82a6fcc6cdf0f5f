// SPDX-License-Identifier: Apache-2.0
/* JSON Web Tokens signed with the key of a certificate (RFC 7515: PS256). The header has the certificate's fingerprint
 * (x5t#S256), as Microsoft Entra ID requires of applications. Any thread; reading a PKCS#12 file may take some
 * milliseconds. */
#ifndef BASE_JWT_JWT_CERTIFICATE_H
#define BASE_JWT_JWT_CERTIFICATE_H

#include "base/buf.h"
#include "base/err.h"

struct jwt_certificate {
    struct str file;      /* PEM, or PKCS#12: the certificate, further ones of its chain, and the key */
    struct str key_file;  /* PEM: the key, if it is not in `file`; otherwise empty */
    const char *password; /* of the key; NULL or "": none */
    bool with_chain;      /* the header has the certificates, too (x5c) */
};
/* Appends the token. False: a file cannot be read, the key is not an RSA key, or no certificate belongs to it. Errors
 * do not show the key. */
bool jwt_sign_by_certificate(const struct jwt_certificate *c, struct str claims, struct buf *out,
                             struct err *err) MUST_USE;

#endif
