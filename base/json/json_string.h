// SPDX-License-Identifier: Apache-2.0
/* Text of JSON strings: how far it stands for itself, and unescaping. For the readers and the writer. */
#ifndef BASE_JSON_JSON_STRING_H
#define BASE_JSON_JSON_STRING_H

#include "base/buf.h"

#include <endian.h>
#include <string.h>

static inline bool json_is_plain(unsigned char c) { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\'; }

/* The first byte from p on that is a quote, a backslash, a control character or not ASCII; `end`: there is none. Eight
 * bytes at a time: the lowest bit set in the mask is exact, higher ones may not be. */
static inline const char *json_plain_end(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x80 * ones;
    for (; end - p >= 8; p += 8) {
        uint64_t eight;
        memcpy(&eight, p, 8);
        eight = le64toh(eight);
        uint64_t quote = eight ^ ('"' * ones), backslash = eight ^ ('\\' * ones);
        uint64_t found = (((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | ((eight - 0x20 * ones) & ~eight) |
                          eight) & highs;
        if (found)
            return p + (__builtin_ctzll(found) >> 3);
    }
    while (p < end && json_is_plain((unsigned char)*p))
        p++;
    return p;
}

/* Replaces the contents of `out` by the unescaped text between the quotes, [p, end). Unpaired surrogates and invalid
 * UTF-8 become U+FFFD. False for an invalid escape. */
bool json_unescape(struct buf *out, const char *p, const char *end) MUST_USE;

#endif
