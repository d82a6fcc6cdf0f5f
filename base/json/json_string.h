// SPDX-License-Identifier: Apache-2.0
/* Inside a JSON string. For json_read.c. */
#ifndef BASE_JSON_JSON_STRING_H
#define BASE_JSON_JSON_STRING_H

#include "base/buf.h"

/* Replaces what is in `out` by the text between the quotes, [p, end), without its escapes. Half a surrogate pair
 * and bytes that are not UTF-8 become U+FFFD. False at a bad escape. */
bool json_unescape(struct buf *out, const char *p, const char *end) MUST_USE;

#endif
