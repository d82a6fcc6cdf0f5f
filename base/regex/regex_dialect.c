// SPDX-License-Identifier: Apache-2.0
/* Rewrites patterns from Go's syntax to RE2's, and words errors as Go does. */
#include "base/regex/regex_dialect.h"

/* `s` begins with [. The class is not ended by a ] directly after it, nor by those of [:alpha:] and of escapes. */
static size_t class_length(struct str s)
{
    size_t i = 1;
    if (i < s.n && s.p[i] == '^')
        i++;
    if (i < s.n && s.p[i] == ']')
        i++;
    while (i < s.n && s.p[i] != ']') {
        struct str rest = str_skip(s, i);
        size_t named = str_starts(rest, STR("[:")) ? str_find_str(rest, STR(":]")) : rest.n;
        if (named < rest.n)
            i += named + 2;
        else
            i += s.p[i] == '\\' ? 2 : 1;
    }
    return i < s.n ? i + 1 : s.n;
}

/* Length of the first unit: an escape, \Q...\E, a class, or one byte. */
static size_t unit_length(struct str s)
{
    if (s.p[0] == '[')
        return class_length(s);
    if (s.p[0] != '\\' || s.n == 1)
        return 1;
    if (s.p[1] != 'Q')
        return 2;
    size_t end = str_find_str(s, STR("\\E"));
    return end < s.n ? end + 2 : s.n;
}

/* Converts the pattern to RE2's syntax; false for \C. */
static bool rewrite(struct str pattern, struct buf *out)
{
    for (struct str rest = pattern; rest.n > 0;) {
        if (str_starts(rest, STR("\\C")))
            return false;
        if (str_starts(rest, STR("(?<"))) {
            buf_add_z(out, "(?P<");
            rest = str_skip(rest, 3);
            continue;
        }
        size_t n = unit_length(rest);
        buf_add(out, rest.p, n);
        rest = str_skip(rest, n);
    }
    return true;
}

struct re2_pattern *dialect_compile(struct str pattern, struct err *err)
{
    struct buf rewritten = {0};
    struct re2_error error;
    struct re2_pattern *compiled = NULL;
    if (!rewrite(pattern, &rewritten)) {
        err_set(err, ERR_BAD_DATA, "error parsing regexp: invalid escape sequence: `\\C`");
    } else if ((compiled = re2_new(rewritten.p, rewritten.n, &error)) == NULL) {
        /* For an unbalanced parenthesis Go quotes the complete expression; here it is the user's, before rewriting. */
        bool whole = strchr(error.what, ')') || strstr(error.what, "UTF-8");
        struct str fragment = whole ? pattern : str_of(error.fragment);
        if (fragment.n > sizeof error.fragment)
            fragment.n = sizeof error.fragment;
        err_set(err, ERR_BAD_DATA, "error parsing regexp: %s: `%.*s`", error.what, STR_ARG(fragment));
    }
    buf_free(&rewritten);
    return compiled;
}
