// SPDX-License-Identifier: Apache-2.0
/* Creates, matches and prints label matchers. */
#include "model/matcher.h"

bool matcher_init(struct matcher *m, struct arena *a, enum match_type type, struct str name, struct str value,
                  struct err *err)
{
    *m = (struct matcher){.type = type}; /* an arena whose budget is exceeded may not return */
    m->name = arena_str(a, name);
    m->value = arena_str(a, value);
    if (m->name.p == NULL || m->value.p == NULL)
        return err_set(err, ERR_LIMIT, "cannot allocate a matcher of %zu bytes", name.n + value.n);
    if (type == MATCH_RE || type == MATCH_NRE)
        m->re = regex_new(value, err);
    return type == MATCH_EQ || type == MATCH_NE || m->re != NULL;
}

void matchers_free(struct matcher *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        regex_free(m[i].re);
        m[i].re = NULL;
    }
}

bool matcher_value(const struct matcher *m, struct str value)
{
    switch (m->type) {
    case MATCH_EQ: return str_eq(m->value, value);
    case MATCH_NE: return !str_eq(m->value, value);
    case MATCH_RE: return regex_match(m->re, value);
    case MATCH_NRE: return !regex_match(m->re, value);
    }
    return false;
}

bool matcher_matches_empty(const struct matcher *m) { return matcher_value(m, STR("")); }

bool matchers_match(const struct matcher *m, size_t n, struct labels l)
{
    for (size_t i = 0; i < n; i++) {
        struct str value = labels_get(l, m[i].name);
        if (!matcher_value(&m[i], value.p ? value : STR("")))
            return false;
    }
    return true;
}

void matcher_print(struct buf *out, const struct matcher *m)
{
    labels_print_name(out, m->name);
    buf_add_z(out, match_type_text(m->type));
    labels_quote(out, m->value);
}

void matchers_print(struct buf *out, const struct matcher *m, size_t n)
{
    buf_add_char(out, '{');
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        matcher_print(out, &m[i]);
    }
    buf_add_char(out, '}');
}

const char *match_type_text(enum match_type type)
{
    static const char *const texts[] = {[MATCH_EQ] = "=", [MATCH_NE] = "!=", [MATCH_RE] = "=~", [MATCH_NRE] = "!~"};
    return texts[type];
}
