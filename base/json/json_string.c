// SPDX-License-Identifier: Apache-2.0
/* Unescapes JSON strings. */
#include "base/json/json_string.h"
#include "base/text/utf8.h"

static bool json_cut_hex4(const char **p, const char *end, uint32_t *v)
{
    *v = 0;
    if (end - *p < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = (*p)[i], low = c | 0x20;
        if (c >= '0' && c <= '9')
            *v = *v << 4 | (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            *v = *v << 4 | (uint32_t)(low - 'a' + 10);
        else
            return false;
    }
    *p += 4;
    return true;
}

/* Called after "\u". An unpaired surrogate becomes U+FFFD, as in Go. */
static bool json_unescape_rune(struct buf *out, const char **p, const char *end)
{
    uint32_t r, low;
    if (!json_cut_hex4(p, end, &r))
        return false;
    if (r >= 0xd800 && r < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
        const char *second = *p + 2;
        if (json_cut_hex4(&second, end, &low) && low >= 0xdc00 && low < 0xe000) {
            r = 0x10000 + ((r - 0xd800) << 10 | (low - 0xdc00));
            *p = second;
        }
    }
    char bytes[4];
    buf_add(out, bytes, utf8_encode(bytes, r));
    return true;
}

bool json_unescape(struct buf *out, const char *p, const char *end)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    buf_clear(out);
    while (p < end) {
        size_t len;
        char bytes[4];
        if (*p != '\\') { /* rewritten rune by rune: invalid UTF-8 becomes U+FFFD */
            uint32_t rune = utf8_next(str_n(p, (size_t)(end - p)), &len);
            buf_add(out, bytes, utf8_encode(bytes, rune));
            p += len;
            continue;
        }
        char c = p[1]; /* exists: the closing quote is not escaped */
        p += 2;
        const char *at = c ? strchr(from, c) : NULL;
        if (at)
            buf_add_char(out, to[at - from]);
        else if (c != 'u' || !json_unescape_rune(out, &p, end))
            return false;
    }
    return true;
}
