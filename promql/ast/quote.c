// SPDX-License-Identifier: Apache-2.0
/* Quotes strings, labels and runes as Go does. */
#include "promql/ast/quote.h"

#include "base/text/utf8.h"
#include "model/labels.h"

/* Code points outside ASCII that Go's unicode.IsPrint rejects: controls, spaces, format characters, private use and
 * noncharacters; of the unassigned ones only the large block after all scripts. */
static bool quote_is_printable(uint32_t c)
{
    static const struct { uint32_t first, last; } hidden[] = {
        {0x00, 0x1f}, {0x7f, 0xa0}, {0xad, 0xad}, {0x600, 0x605}, {0x61c, 0x61c}, {0x6dd, 0x6dd}, {0x70f, 0x70f},
        {0x1680, 0x1680}, {0x180e, 0x180e}, {0x2000, 0x200f}, {0x2028, 0x202f}, {0x205f, 0x206f}, {0x3000, 0x3000},
        {0xd800, 0xf8ff}, {0xfdd0, 0xfdef}, {0xfeff, 0xfeff}, {0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0x323b0, 0xe00ff},
        {0xe01f0, 0x10ffff},
    };
    for (size_t i = 0; i < LEN(hidden); i++)
        if (c >= hidden[i].first && c <= hidden[i].last)
            return false;
    return true;
}

static void add_rune(struct buf *out, uint32_t c, char quote)
{
    static const char letters[] = "abtnvfr"; /* 7 to 13 */
    char utf8[4];
    if (c == (unsigned char)quote || c == '\\')
        buf_printf(out, "\\%c", (int)c);
    else if (c >= 7 && c <= 13)
        buf_printf(out, "\\%c", letters[c - 7]);
    else if (quote_is_printable(c))
        buf_add(out, utf8, utf8_encode(utf8, c));
    else if (c < 0x80)
        buf_printf(out, "\\x%02x", c);
    else
        buf_printf(out, c > 0xffff ? "\\U%08x" : "\\u%04x", c);
}

void quote_text(struct buf *out, struct str s)
{
    buf_add_char(out, '"');
    for (size_t len; s.n > 0 && !out->over; s = str_skip(s, len)) {
        uint32_t c = utf8_next(s, &len);
        if (c == 0xfffd && len == 1)
            buf_printf(out, "\\x%02x", (unsigned char)s.p[0]);
        else
            add_rune(out, c, '"');
    }
    buf_add_char(out, '"');
}

void quote_label(struct buf *out, struct str name)
{
    if (label_name_legacy(name))
        buf_add_str(out, name);
    else
        quote_text(out, name);
}

void quote_rune(struct buf *out, int32_t rune)
{
    buf_add_char(out, '\'');
    add_rune(out, rune < 0 ? 0xfffd : (uint32_t)rune, '\'');
    buf_add_char(out, '\'');
}

void quote_code_point(struct buf *out, int32_t rune)
{
    uint32_t c = rune < 0 ? 0xfffd : (uint32_t)rune;
    char utf8[4];
    buf_printf(out, "U+%04X", c);
    if (!quote_is_printable(c))
        return;
    buf_add_z(out, " '");
    buf_add(out, utf8, utf8_encode(utf8, c));
    buf_add_char(out, '\'');
}
