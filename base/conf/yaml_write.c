// SPDX-License-Identifier: Apache-2.0
/* Writes a tree as block YAML, quoting scalars that a reader would take for something other than a string. */
#include "base/conf/yaml.h"

#include "base/text/utf8.h"

#include <ctype.h>

static bool is_word_of(struct str s, const char *const *words)
{
    for (; *words; words++)
        if (str_ieq(s, str_of(*words)))
            return true;
    return false;
}

static bool all_of(struct str s, const char *chars)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == 0 || strchr(chars, s.p[i]) == NULL)
            return false;
    return true;
}

/* Whether a YAML 1.1 or 1.2 reader might take the plain word for something other than a string. Errs on the side of
 * yes. */
static bool yaml_looks_typed(struct str s)
{
    static const char *const words[] = {"null", "true", "false", "yes",   "no",    "on",   "off",
                                        "y",    "n",    ".inf",  "+.inf", "-.inf", ".nan", NULL};
    return is_word_of(s, words)
           || (memchr("0123456789+-.", s.p[0], 13) && all_of(s, "0123456789+-._:abcdefABCDEFxoXTZ "));
}

static bool yaml_needs_no_quotes(struct str s)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./";
    if (s.n == 0 || strchr(letters, s.p[0]) == NULL || s.p[0] == 0 || s.p[s.n - 1] == ' ' || s.p[s.n - 1] == ':')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool inside = c && (strchr(letters, c) || strchr("-+=$^()~;@%*?<>|&!\\", c));
        bool word_end = c == ' ' || c == ':'; /* ": " starts a value, " #" a comment: # is never plain here */
        if (!inside && !(word_end && s.p[i + 1] != ' '))
            return false;
    }
    return !yaml_looks_typed(s);
}

/* A number, a date, true and the like: safe unquoted in block context. In flow context a plain scalar may be a lone
 * dash. */
static bool is_typed(struct str s)
{
    if (s.n == 0 || !yaml_looks_typed(s) || str_find(s, ' ') < s.n || s.p[s.n - 1] == ':')
        return false;
    size_t sign = s.p[0] == '-' || s.p[0] == '+', point = sign < s.n && s.p[sign] == '.';
    return sign + point < s.n && isalnum((unsigned char)s.p[sign + point]);
}

static bool yaml_is_printable(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] >= 0x7f)
            return false;
    return true;
}

static void write_single_quoted(struct buf *out, struct str s)
{
    buf_add_char(out, '\'');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\'')
            buf_add_char(out, '\'');
        buf_add_char(out, s.p[i]);
    }
    buf_add_char(out, '\'');
}

/* Line and paragraph separators and the byte order mark must be escaped in YAML. */
static bool needs_escape(uint32_t rune)
{
    return rune < 0x20 || (rune >= 0x7f && rune <= 0xa0) || rune == 0x2028 || rune == 0x2029 || rune == 0xfeff
           || rune >= 0xfffe;
}

static void write_double_quoted(struct buf *out, struct str s)
{
    buf_add_char(out, '"');
    while (s.n > 0) {
        size_t n;
        uint32_t rune = utf8_next(s, &n);
        if (rune == '"' || rune == '\\')
            buf_printf(out, "\\%c", (char)rune);
        else if (rune == '\n')
            buf_add_z(out, "\\n");
        else if (rune == '\t')
            buf_add_z(out, "\\t");
        else if (needs_escape(rune))
            buf_printf(out, "\\U%08X", rune);
        else
            buf_add(out, s.p, n);
        s = str_skip(s, n);
    }
    buf_add_char(out, '"');
}

void yaml_write_scalar(struct buf *out, struct str s)
{
    if (yaml_needs_no_quotes(s))
        buf_add_str(out, s);
    else if (yaml_is_printable(s))
        write_single_quoted(out, s);
    else
        write_double_quoted(out, s);
}

static void yaml_write_indent(struct buf *out, unsigned indent)
{
    for (unsigned i = 0; i < indent; i++)
        buf_add_char(out, ' ');
}

static bool fits_quotes(struct str s, const char *excluded)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || strchr(excluded, s.p[i]))
            return false;
    return true;
}

/* A reader finds the quotes after the references were replaced: neither text may contain what is special in them. */
static bool write_reference(struct buf *out, const struct yaml *y)
{
    static const struct { const char *quote, *special; } quotes[] = {{"'", "'"}, {"\"", "\"\\"}};
    struct str reference = str_of(y->reference);
    if (!y->quoted && is_typed(y->text)) {
        buf_add_str(out, reference);
        return true;
    }
    for (size_t i = 0; i < LEN(quotes); i++)
        if (fits_quotes(y->text, quotes[i].special) && fits_quotes(reference, quotes[i].special)) {
            buf_printf(out, "%s%s%s", quotes[i].quote, y->reference, quotes[i].quote);
            return true;
        }
    return false;
}

static void write_leaf(struct buf *out, const struct yaml *y)
{
    if (y->kind == YAML_NULL)
        buf_add_z(out, "null");
    else if (y->kind == YAML_LIST)
        buf_add_z(out, "[]");
    else if (y->kind == YAML_MAP)
        buf_add_z(out, "{}");
    else if (y->reference && write_reference(out, y))
        ; /* written */
    else if (!y->quoted && is_typed(y->text))
        buf_add_str(out, y->text); /* quotes would make it a string */
    else
        yaml_write_scalar(out, y->text);
    buf_add_char(out, '\n');
}

/* A reader looks for the colon on the key's own line within 1,024 characters; a longer key needs the explicit form on
 * its own line. An escape may expand one byte to ten. */
static void write_key(struct buf *out, struct str key, unsigned indent)
{
    enum { SIMPLE = 100 };
    if (key.n > SIMPLE)
        buf_add_z(out, "? ");
    yaml_write_scalar(out, key);
    if (key.n <= SIMPLE)
        return;
    buf_add_char(out, '\n');
    yaml_write_indent(out, indent);
}

/* Starts at column `indent`; ends after a newline. */
static void write_node(struct buf *out, const struct yaml *y, unsigned indent)
{
    if (y->n == 0)
        write_leaf(out, y);
    for (size_t i = 0; i < y->n; i++) {
        const struct yaml *value = &y->items[i];
        if (i > 0)
            yaml_write_indent(out, indent);
        if (y->kind == YAML_LIST) {
            buf_add_z(out, "- ");
        } else {
            write_key(out, y->keys[i].text, indent);
            buf_add_z(out, value->n ? ":\n" : ": ");
            if (value->n)
                yaml_write_indent(out, indent + 2);
        }
        write_node(out, value, indent + 2);
    }
}

void yaml_write(struct buf *out, const struct yaml *y) { write_node(out, y, 0); }
