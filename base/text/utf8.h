// SPDX-License-Identifier: Apache-2.0
/* UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). Pure; any thread. */
#ifndef BASE_TEXT_UTF8_H
#define BASE_TEXT_UTF8_H

#include "base/str.h"

bool utf8_valid(struct str s);
/* The code point at the start of `s` and its length in bytes; an invalid byte yields U+FFFD and 1. s.n > 0. */
uint32_t utf8_next(struct str s, size_t *len);
size_t utf8_encode(char to[4], uint32_t rune); /* bytes written; an invalid rune is written as U+FFFD */

#endif
