// SPDX-License-Identifier: Apache-2.0
#include "base/text/base64.h"

void base64_add(struct buf *out, struct str in)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < in.n; i += 3) {
        size_t left = in.n - i;
        uint32_t three = (uint32_t)(unsigned char)in.p[i] << 16;
        three |= left > 1 ? (uint32_t)(unsigned char)in.p[i + 1] << 8 : 0;
        three |= left > 2 ? (unsigned char)in.p[i + 2] : 0;
        for (size_t k = 0; k < 4; k++)
            buf_add_char(out, k > left ? '=' : digits[three >> (18 - 6 * k) & 63]);
    }
}
