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

void base64_add_url(struct buf *out, struct str in)
{
    size_t from = out->n;
    base64_add(out, in);
    while (out->n > from && out->p[out->n - 1] == '=')
        out->n--;
    for (size_t i = from; i < out->n; i++)
        out->p[i] = out->p[i] == '+' ? '-' : out->p[i] == '/' ? '_' : out->p[i];
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_read(struct buf *out, struct str in)
{
    size_t padding = 0;
    while (padding < 2 && padding < in.n && in.p[in.n - 1 - padding] == '=')
        padding++;
    if (in.n % 4 != 0)
        return false;
    uint32_t bits = 0;
    for (size_t i = 0; i < in.n - padding; i++) {
        int digit = base64_digit(in.p[i]);
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 > 0)
            buf_add_char(out, (char)(bits >> (6 - 2 * (i % 4)) & 0xff));
    }
    return padding == 0 || (bits & (padding == 1 ? 3 : 15)) == 0;
}
