// SPDX-License-Identifier: Apache-2.0
/* ${NAME} follows Go's os.Expand. %{NAME} of a variable that is not set is an error: an empty value would be noticed
 * too late.
 */
#include "gateway/config/environment.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static bool environment_is_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

/* Name of the variable after a dollar sign; *used: its bytes, including braces. An empty name with *used > 0 is a
 * syntax error, whose text is removed. */
static struct str dollar_name(struct str s, size_t *used)
{
    *used = 0;
    if (s.n == 0)
        return STR("");
    if (s.p[0] == '{') {
        size_t end = str_find(s, '}');
        *used = end < s.n ? end + 1 : 1;
        return end < s.n ? str_n(s.p + 1, end - 1) : STR("");
    }
    if (strchr("*#$@!?-0123456789", s.p[0])) {
        *used = 1;
        return str_first(s, 1);
    }
    while (*used < s.n && environment_is_word(s.p[*used]))
        ++*used;
    return str_first(s, *used);
}

static void add_dollar_value(struct conf_context *c, struct str name, struct buf *out)
{
    if (str_is(name, "$")) {
        buf_add_char(out, '$');
        return;
    }
    const char *value = getenv(arena_z(c->arena, name));
    if (value && *value) {
        buf_add_z(out, value);
        return;
    }
    char text[300];
    snprintf(text, sizeof text, "%s: global.external_labels: the environment variable %.*s is empty or not set",
             c->file, STR_ARG(name));
    c->warn(c->warn_arg, text);
}

static struct str expand_dollars(struct conf_context *c, struct str text)
{
    struct buf out = {0};
    for (;;) {
        size_t at = str_find(text, '$'), used;
        buf_add_str(&out, str_first(text, at));
        if (at == text.n)
            break;
        text = str_skip(text, at + 1);
        struct str name = dollar_name(text, &used);
        if (name.n > 0)
            add_dollar_value(c, name, &out);
        else if (used == 0)
            buf_add_char(&out, '$');
        text = str_skip(text, used);
    }
    struct str expanded = arena_str(c->arena, buf_str(&out));
    buf_free(&out);
    return expanded;
}

void environment_expand_labels(struct conf_context *c, struct str_map *labels)
{
    size_t kept = 0;
    for (size_t i = 0; i < labels->n; i++) {
        struct str value = labels->values[i];
        if (str_find(value, '$') < value.n)
            value = expand_dollars(c, value);
        labels->keys[kept] = labels->keys[i];
        labels->values[kept] = value;
        kept += value.n > 0; /* an empty label is the same as none */
    }
    labels->n = kept;
}

bool environment_fill(struct str text, struct buf *out, struct str *missing)
{
    for (struct str rest = text;;) {
        struct str plain = str_first(rest, str_find_str(rest, STR("%{"))), after = str_skip(rest, plain.n + 2);
        size_t end = str_find(after, '}');
        if (end == after.n) {
            buf_add_str(out, rest);
            return true;
        }
        *missing = str_first(after, end);
        char *name = str_dup(*missing);
        const char *value = getenv(name);
        mem_free(name);
        if (value == NULL)
            return false;
        buf_add_str(out, plain);
        buf_add_z(out, value);
        rest = str_skip(after, end + 1);
    }
}

/* ---- references, for a file that keeps them ---- */

/* Around the name of a variable, so that the text can be parsed: characters for private use, which YAML allows. */
#define MARK_BEGIN "\xee\x80\x80" /* U+E000 */
#define MARK_END   "\xee\x80\x81" /* U+E001 */

static void replace_pairs(struct str text, const char *begin, const char *end, const char *new_begin, const char *new_end,
                          struct buf *out)
{
    for (struct str rest = text;;) {
        struct str before = str_first(rest, str_find_str(rest, str_of(begin))), after = str_skip(rest, before.n + strlen(begin));
        size_t n = str_find_str(after, str_of(end));
        if (n == after.n) {
            buf_add_str(out, rest);
            return;
        }
        buf_add_str(out, before);
        buf_printf(out, "%s%.*s%s", new_begin, STR_ARG(str_first(after, n)), new_end);
        rest = str_skip(after, n + strlen(end));
    }
}

/* Where a variable held more than a scalar, the trees differ, and its value stays. */
static void note_marks(struct arena *a, struct yaml *y, const struct yaml *marked)
{
    if (y->kind != marked->kind || y->n != marked->n)
        return;
    if (y->kind == YAML_SCALAR && str_find_str(marked->text, STR(MARK_BEGIN)) < marked->text.n) {
        struct buf text = {0};
        replace_pairs(marked->text, MARK_BEGIN, MARK_END, "%{", "}", &text);
        y->reference = arena_z(a, buf_str(&text));
        buf_free(&text);
    }
    for (size_t i = 0; i < y->n; i++)
        if (y->kind == YAML_LIST || str_eq(y->keys[i].text, marked->keys[i].text))
            note_marks(a, &y->items[i], &marked->items[i]);
}

void environment_note_references(struct arena *a, struct yaml *y, struct str text)
{
    struct buf marked = {0};
    struct err err;
    if (str_find_str(text, STR("%{")) == text.n || str_find_str(text, STR("\xee\x80")) < text.n)
        return;
    replace_pairs(text, "%{", "}", MARK_BEGIN, MARK_END, &marked);
    const struct yaml *tree = yaml_parse(a, buf_str(&marked), "", &err);
    if (tree)
        note_marks(a, y, tree);
    buf_free(&marked);
}

/* ---- references of Grafana Agent ---- */

static void add_file_variable(struct str name, struct buf *out)
{
    size_t colon = str_find_str(name, STR(":-"));
    char *z = str_dup(str_first(name, colon));
    const char *value = getenv(z);
    mem_free(z);
    if (value && *value)
        buf_add_z(out, value);
    else
        buf_add_str(out, str_skip(name, colon + 2));
}

/* What is no reference, as in a regular expression or `$1`, stays: Go's os.Expand would remove it. */
void environment_expand_file(struct str text, struct buf *out)
{
    for (;;) {
        size_t at = str_find(text, '$'), used;
        buf_add_str(out, str_first(text, at));
        if (at == text.n)
            return;
        text = str_skip(text, at + 1);
        struct str name = dollar_name(text, &used);
        bool variable = name.n > 0 && (isalpha((unsigned char)name.p[0]) || name.p[0] == '_');
        if (variable)
            add_file_variable(name, out);
        else
            buf_add_char(out, '$');
        text = str_skip(text, variable || str_is(name, "$") ? used : 0);
    }
}
