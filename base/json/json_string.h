// SPDX-License-Identifier: Apache-2.0
/* Unescaping of JSON strings, for json_read.c. */
#ifndef BASE_JSON_JSON_STRING_H
#define BASE_JSON_JSON_STRING_H

#include "base/buf.h"

/* Replaces the contents of `out` by the unescaped text between the quotes, [p, end). Unpaired surrogates and invalid
 * UTF-8 become U+FFFD. False for an invalid escape. */
bool json_unescape(struct buf *out, const char *p, const char *end) MUST_USE;

#endif
