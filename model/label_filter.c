// SPDX-License-Identifier: Apache-2.0
/* Parses and matches MetricsQL series selectors, the `if` of relabel rules. */
#include "model/label_filter.h"

#include <ctype.h>

struct filter_parser { struct arena *arena; struct str text, rest; struct err *err; };

static bool filter_fail(const struct filter_parser *p, const char *expected)
{
    struct str found = str_first(p->rest, p->rest.n < 20 ? p->rest.n : 20);
    return err_set(p->err, ERR_BAD_DATA, "expected %s %s%.*s%s in selector `%.*s`", expected,
                   found.n ? "instead of `" : "at the end", STR_ARG(found), found.n ? "`" : "", STR_ARG(p->text));
}

static bool filter_no_memory(const struct filter_parser *p)
{
    return err_set(p->err, ERR_LIMIT, "the configuration exceeds its memory limit");
}

static void filter_skip_blanks(struct filter_parser *p)
{
    while (p->rest.n > 0 && strchr(" \t\r\n", p->rest.p[0]))
        p->rest = str_skip(p->rest, 1);
}

/* Consumes `text` when it is next. */
static bool filter_accept(struct filter_parser *p, struct str text)
{
    filter_skip_blanks(p);
    if (!str_starts(p->rest, text))
        return false;
    p->rest = str_skip(p->rest, text.n);
    return true;
}

static bool is_name_byte(char c) { return isalnum((unsigned char)c) || (c && strchr("_:.", c)) || (c & 0x80); }

/* A name, in which a backslash may precede any character; empty when there is none. */
static bool filter_name(struct filter_parser *p, struct str *name)
{
    filter_skip_blanks(p);
    char *to = arena_bytes(p->arena, p->rest.n + 1);
    size_t n = 0;
    if (to == NULL)
        return filter_no_memory(p);
    while (p->rest.n > 0 && (is_name_byte(p->rest.p[0]) || (p->rest.p[0] == '\\' && p->rest.n > 1))) {
        size_t escape = p->rest.p[0] == '\\';
        to[n++] = p->rest.p[escape];
        p->rest = str_skip(p->rest, 1 + escape);
    }
    *name = str_n(to, n);
    return true;
}

static bool filter_escape(struct filter_parser *p, char *to)
{
    static const char letters[] = "ntr\\\"'`", bytes[] = "\n\t\r\\\"'`";
    const char *letter = p->rest.n > 1 ? memchr(letters, p->rest.p[1], sizeof letters - 1) : NULL;
    if (letter == NULL)
        return filter_fail(p, "one of the escapes \\n \\t \\r \\\\ \\\" \\'");
    *to = bytes[letter - letters];
    p->rest = str_skip(p->rest, 2);
    return true;
}

/* "...", '...' with escapes or `...` without. */
static bool filter_string(struct filter_parser *p, struct str *value)
{
    filter_skip_blanks(p);
    char quote = p->rest.n > 0 ? p->rest.p[0] : 0;
    if (quote == 0 || strchr("\"'`", quote) == NULL)
        return filter_fail(p, "a quoted value");
    char *to = arena_bytes(p->arena, p->rest.n);
    size_t n = 0;
    if (to == NULL)
        return filter_no_memory(p);
    for (p->rest = str_skip(p->rest, 1); p->rest.n > 0 && p->rest.p[0] != quote; n++) {
        if (p->rest.p[0] == '\\' && quote != '`') {
            if (!filter_escape(p, &to[n]))
                return false;
        } else {
            to[n] = p->rest.p[0];
            p->rest = str_skip(p->rest, 1);
        }
    }
    if (p->rest.n == 0)
        return filter_fail(p, "a closing quote");
    p->rest = str_skip(p->rest, 1);
    *value = str_n(to, n);
    return true;
}

static bool filter_operator(struct filter_parser *p, enum match_type *type)
{
    static const enum match_type types[] = {MATCH_RE, MATCH_NRE, MATCH_NE, MATCH_EQ}; /* =~ before = */
    for (size_t i = 0; i < LEN(types); i++)
        if (filter_accept(p, str_of(match_type_text(types[i])))) {
            *type = types[i];
            return true;
        }
    return filter_fail(p, "=, !=, =~ or !~");
}

/* --- alternatives ------------------------------------------------------------------------------------------------ */

struct filter_list { struct matcher *items; size_t n, cap; };

static void free_filter_regex(void *re) { regex_free(re); }

static bool filter_add(struct filter_parser *p, struct filter_list *list, enum match_type type, struct str name,
                       struct str value)
{
    arena_grow(p->arena, &list->items, &list->cap, list->n + 1, sizeof *list->items);
    if (list->n >= list->cap)
        return filter_no_memory(p);
    struct matcher *m = &list->items[list->n];
    if (!matcher_init(m, p->arena, type, name, value, p->err))
        return false;
    list->n++;
    return m->re == NULL || arena_at_end(p->arena, free_filter_regex, m->re) || filter_no_memory(p);
}

/* name="value", or a lone "name": a metric name. */
static bool filter_matcher(struct filter_parser *p, struct filter_list *list)
{
    struct str name, value;
    enum match_type type = MATCH_EQ;
    filter_skip_blanks(p);
    if (p->rest.n > 0 && strchr("\"'`", p->rest.p[0]))
        return filter_string(p, &value) && filter_add(p, list, type, STR(METRIC_NAME), value);
    if (!filter_name(p, &name))
        return false;
    if (name.n == 0)
        return filter_fail(p, "a label name");
    return filter_operator(p, &type) && filter_string(p, &value) && filter_add(p, list, type, name, value);
}

static bool filter_begin(struct filter_parser *p, struct filter_list *list, struct str metric)
{
    *list = (struct filter_list){0};
    return metric.n == 0 || filter_add(p, list, MATCH_EQ, STR(METRIC_NAME), metric);
}

static bool filter_end(struct filter_parser *p, struct label_filters *f, const struct filter_list *list)
{
    arena_grow(p->arena, &f->any, &f->_cap, f->n + 1, sizeof *f->any);
    if (f->n >= f->_cap)
        return filter_no_memory(p);
    f->any[f->n++] = (struct label_filter){list->items, list->n};
    return true;
}

static bool filter_accept_or(struct filter_parser *p)
{
    filter_skip_blanks(p);
    if (p->rest.n < 3 || !str_ieq(str_first(p->rest, 2), STR("or")) || is_name_byte(p->rest.p[2]))
        return false;
    p->rest = str_skip(p->rest, 2);
    return true;
}

static bool filter_braces(struct filter_parser *p, struct label_filters *f, struct str metric)
{
    struct filter_list list;
    if (!filter_begin(p, &list, metric))
        return false;
    while (!filter_accept(p, STR("}"))) {
        if (!filter_matcher(p, &list))
            return false;
        if (filter_accept_or(p)) {
            if (!filter_end(p, f, &list) || !filter_begin(p, &list, metric))
                return false;
            filter_skip_blanks(p);
            if (str_starts(p->rest, STR("}")))
                return filter_fail(p, "a label name");
        } else if (!filter_accept(p, STR(",")) && !str_starts(p->rest, STR("}"))) {
            return filter_fail(p, "a comma, `or` or a closing brace");
        }
    }
    return list.n == 0 || filter_end(p, f, &list);
}

bool label_filters_add(struct label_filters *f, struct arena *a, struct str selector, struct err *err)
{
    struct filter_parser p = {.arena = a, .text = selector, .rest = selector, .err = err};
    struct filter_list list;
    struct str metric;
    if (!filter_name(&p, &metric))
        return false;
    bool braces = filter_accept(&p, STR("{"));
    if (!braces && metric.n == 0)
        return filter_fail(&p, "a metric name or {");
    if (braces ? !filter_braces(&p, f, metric) : !filter_begin(&p, &list, metric) || !filter_end(&p, f, &list))
        return false;
    filter_skip_blanks(&p);
    return p.rest.n == 0 || filter_fail(&p, "nothing");
}

/* --- matching ---------------------------------------------------------------------------------------------------- */

static bool filter_holds(const struct label_filter *f, const struct labels_builder *b)
{
    for (size_t i = 0; i < f->n; i++) {
        struct str value = builder_get(b, f->matchers[i].name);
        if (!matcher_value(&f->matchers[i], value.p ? value : STR("")))
            return false;
    }
    return true;
}

bool label_filters_match(const struct label_filters *f, const struct labels_builder *b)
{
    for (size_t i = 0; i < f->n; i++)
        if (filter_holds(&f->any[i], b))
            return true;
    return false;
}
