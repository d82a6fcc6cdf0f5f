// SPDX-License-Identifier: Apache-2.0
#include "base/aws/aws_profile.h"

#include "base/buf.h"

/* ---- files of profiles ---- */

/* [name], or [ profile  name ] */
static bool aws_line_is_section(struct str line, const char *section)
{
    struct str name = str_trim(str_n(line.p + 1, line.n - 2)), wanted = str_of(section), word, first = name;
    if (str_eq(name, wanted))
        return true;
    return str_starts(wanted, STR("profile ")) && str_cut(&first, ' ', &word) && str_is(word, "profile")
           && str_eq(str_trim(first), str_skip(wanted, 8));
}

static bool aws_line_begins_section(struct str line)
{
    return line.n >= 2 && line.p[0] == '[' && line.p[line.n - 1] == ']';
}

/* A comment after the value needs white space before it. */
static struct str aws_line_value(struct str text)
{
    for (size_t i = 1; i < text.n; i++)
        if ((text.p[i] == '#' || text.p[i] == ';') && (text.p[i - 1] == ' ' || text.p[i - 1] == '\t'))
            return str_trim(str_first(text, i));
    return str_trim(text);
}

/* key NULL: whether there is the section, then p is not NULL. */
static struct str aws_profile_find(struct str text, const char *section, const char *key)
{
    struct str line, found = STR_NONE;
    bool within = false;
    while (text.p && str_cut(&text, '\n', &line)) {
        struct str full = str_trim(line), name;
        if (full.n == 0 || full.p[0] == '#' || full.p[0] == ';')
            continue;
        size_t comment = full.p[0] == '[' ? str_find(full, ']') + 1 : full.n;
        if (aws_line_begins_section(str_first(full, comment))) {
            within = aws_line_is_section(str_first(full, comment), section);
            if (within && key == NULL)
                return full;
            continue;
        }
        bool nested = line.p[0] == ' ' || line.p[0] == '\t';
        if (!within || nested || key == NULL || !str_cut(&full, '=', &name) || full.p == NULL)
            continue;
        if (str_ieq(str_trim(name), str_of(key)))
            found = aws_line_value(full);
    }
    return found;
}

struct str aws_profile_get(struct str text, const char *section, const char *key)
{
    return aws_profile_find(text, section, key);
}

bool aws_profile_has(struct str text, const char *section) { return aws_profile_find(text, section, NULL).p != NULL; }

/* ---- responses ---- */

static void aws_xml_add_text(struct buf *out, struct str text)
{
    static const struct { const char *entity; char c; } entities[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'},
                                                                      {"&quot;", '"'}, {"&apos;", '\''}};
    while (text.n > 0) {
        size_t i = 0;
        while (i < LEN(entities) && !str_starts(text, str_of(entities[i].entity)))
            i++;
        buf_add_char(out, i < LEN(entities) ? entities[i].c : text.p[0]);
        text = str_skip(text, i < LEN(entities) ? strlen(entities[i].entity) : 1);
    }
}

struct str aws_xml_text(struct arena *a, struct str xml, const char *name)
{
    struct buf tag = {0}, text = {0};
    buf_printf(&tag, "<%s>", name);
    size_t begin = str_find_str(xml, buf_str(&tag));
    struct str rest = str_skip(xml, begin + tag.n);
    size_t end = str_find(rest, '<');
    bool found = begin < xml.n && end < rest.n;
    if (found)
        aws_xml_add_text(&text, str_trim(str_first(rest, end)));
    struct str result = found ? arena_printf(a, "%.*s", STR_ARG(buf_str(&text))) : STR_NONE;
    buf_free(&tag);
    buf_free(&text);
    return result;
}
