// SPDX-License-Identifier: Apache-2.0
#include "base/text/letters.h"

#include "base/text/letter_tables.h"
#include "base/text/utf8.h"

static uint32_t letter_map(const struct letter_range *ranges, size_t n, uint32_t letter)
{
    size_t from = 0;
    while (n > 0) {
        size_t half = n / 2;
        const struct letter_range *r = &ranges[from + half];
        if (letter >= r->first && letter <= r->last)
            return (letter - r->first) % (uint32_t)r->step == 0 ? letter + (uint32_t)r->added : letter;
        if (letter > r->last) {
            from += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return letter;
}

/* first, last: the ASCII letters of the other case. */
static void letters_add(struct buf *out, struct str text, char first, char last, const struct letter_range *ranges,
                        size_t n)
{
    while (text.n > 0) {
        size_t length = 1;
        char c = text.p[0], encoded[4];
        uint32_t letter = (unsigned char)c < 0x80 ? 0 : utf8_next(text, &length);
        uint32_t mapped = letter ? letter_map(ranges, n, letter) : 0;
        if (mapped != letter)
            buf_add(out, encoded, utf8_encode(encoded, mapped));
        else if (length == 1)
            buf_add_char(out, (char)(c >= first && c <= last ? c ^ ('a' ^ 'A') : c));
        else
            buf_add_str(out, str_first(text, length));
        text = str_skip(text, length);
    }
}

void letters_add_upper(struct buf *out, struct str text)
{
    letters_add(out, text, 'a', 'z', letters_upper, n_letters_upper);
}

void letters_add_lower(struct buf *out, struct str text)
{
    letters_add(out, text, 'A', 'Z', letters_lower, n_letters_lower);
}
