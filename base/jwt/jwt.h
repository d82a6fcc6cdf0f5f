// SPDX-License-Identifier: Apache-2.0
/* JSON Web Tokens (RFC 7519) that are signed with an RSA key (RFC 7515: RS256, RS384, RS512), by GnuTLS. Any thread; a
 * signature takes about a millisecond. No GnuTLS header is included here. */
#ifndef BASE_JWT_JWT_H
#define BASE_JWT_JWT_H

#include "base/buf.h"
#include "base/err.h"

/* A set of claims: a JSON object that is being made. */
void jwt_begin(struct buf *claims);
void jwt_add_text(struct buf *claims, const char *name, struct str value);
void jwt_add_number(struct buf *claims, const char *name, int64_t value);
void jwt_add_random(struct buf *claims, const char *name); /* 128 bits */
void jwt_end(struct buf *claims);

struct jwt_key { struct str pem; const char *id; /* "kid"; NULL or "": none */ unsigned bits; /* 256, 384 or 512 */ };
/* Appends the token. False: the key cannot be read or is no RSA key; the error does not show it. */
bool jwt_sign(const struct jwt_key *key, struct str claims, struct buf *out, struct err *err) MUST_USE;

#endif
