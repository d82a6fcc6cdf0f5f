// SPDX-License-Identifier: Apache-2.0
/* Prints label sets and label names as Prometheus does: up{instance="b", job="a"}, with quotes around names that are
 * not legacy names. */
#include "model/labels.h"

#include "base/text/utf8.h"

static bool legacy(struct str s, bool colons)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i], lower = c | 0x20;
        bool letter = (lower >= 'a' && lower <= 'z') || c == '_' || (colons && c == ':');
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return s.n > 0;
}

bool label_name_legacy(struct str name) { return legacy(name, false); }
bool metric_name_legacy(struct str name) { return legacy(name, true); }
bool label_name_valid(struct str name) { return name.n > 0 && utf8_valid(name); }

/* One non-ASCII character, or one invalid byte; returns its length. */
static size_t labels_quote_rune(struct buf *out, struct str s)
{
    size_t n;
    if (utf8_next(s, &n) == 0xfffd && n == 1)
        buf_printf(out, "\\x%02x", (unsigned char)s.p[0]);
    else
        buf_add(out, s.p, n);
    return n;
}

void labels_quote(struct buf *out, struct str s)
{
    static const char letters[] = "abtnvfr"; /* 7 to 13 */
    buf_add_char(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c >= 7 && c <= 13)
            buf_printf(out, "\\%c", letters[c - 7]);
        else if (c < 0x20 || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else if (c < 0x80)
            buf_add_char(out, (char)c);
        else
            i += labels_quote_rune(out, str_skip(s, i)) - 1;
    }
    buf_add_char(out, '"');
}

void labels_print_name(struct buf *out, struct str name)
{
    if (label_name_legacy(name))
        buf_add_str(out, name);
    else
        labels_quote(out, name);
}

void labels_print(struct buf *out, struct labels l)
{
    struct str metric = labels_name(l);
    bool plain = metric_name_legacy(metric), open = !plain;
    if (plain)
        buf_add_str(out, metric);
    else
        buf_add_char(out, '{');
    if (!plain && metric.p)
        labels_quote(out, metric);
    bool first = metric.p == NULL || plain;
    struct labels_iter it = labels_iter(l);
    for (struct label pair; labels_next(&it, &pair); ) {
        if (str_eq(pair.name, STR(METRIC_NAME)))
            continue;
        if (!open)
            buf_add_char(out, '{');
        open = true;
        buf_add_z(out, first ? "" : ", ");
        first = false;
        labels_print_name(out, pair.name);
        buf_add_char(out, '=');
        labels_quote(out, pair.value);
    }
    if (open)
        buf_add_char(out, '}');
}
