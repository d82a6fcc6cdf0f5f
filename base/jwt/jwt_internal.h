// SPDX-License-Identifier: Apache-2.0
/* Private to base/jwt/. */
#ifndef BASE_JWT_JWT_INTERNAL_H
#define BASE_JWT_JWT_INTERNAL_H

#include "base/buf.h"
#include "base/err.h"

#include <gnutls/abstract.h>

/* Appends header.claims.signature, each in base64 for URLs without padding. False with err: the key is not an RSA key,
 * or cannot sign. */
bool jwt_add_token(struct buf *out, struct str header, struct str claims, gnutls_privkey_t key,
                   gnutls_sign_algorithm_t by, struct err *err) MUST_USE;

#endif
