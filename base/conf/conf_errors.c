// SPDX-License-Identifier: Apache-2.0
/* Collects the errors of one load, and decides which unsupported keys are accepted. */
#include "base/conf/conf.h"

bool conf_errors_continue(const struct conf_context *c, size_t before, const struct err *err)
{
    if (c->errors == NULL)
        return false;
    if (c->errors->n == before)
        conf_errors_add(c->errors, err->text);
    return true;
}

static bool has_error(const struct conf_errors *e, const char *line)
{
    for (struct str rest = buf_str(&e->text), known; rest.n > 0;) {
        str_cut(&rest, '\n', &known);
        if (str_is(known, line))
            return true;
    }
    return false;
}

void conf_errors_add(struct conf_errors *e, const char *line)
{
    if (has_error(e, line))
        return;
    e->n++;
    buf_add_z(&e->text, line);
    buf_add_char(&e->text, '\n');
}

bool conf_errors_first(const struct conf_errors *e, struct err *err)
{
    struct str first = str_first(buf_str(&e->text), str_find(buf_str(&e->text), '\n'));
    if (e->n < 2)
        return err_set(err, ERR_BAD_DATA, "%.*s", STR_ARG(first));
    return err_set(err, ERR_BAD_DATA, "%.*s (and %zu more errors; see --check-config or the log)", STR_ARG(first),
                   e->n - 1);
}

bool conf_accepts_inert(const struct str_list *names, const char *section, const char *name)
{
    for (size_t i = 0; names && i < names->n; i++) {
        struct str given = names->items[i], rest = given;
        size_t n = strlen(section);
        if (n > 0 && str_starts(given, str_of(section)) && given.n > n && given.p[n] == '.')
            rest = str_skip(given, n + 1);
        if (str_is(rest, name))
            return true;
    }
    return false;
}

bool conf_duplicate(const struct yaml *node, const char *list, const char *key, struct str value, struct err *err)
{
    static const char format[] = "%s: duplicate %s \"%.*s\"; names must be unique";
    return node ? conf_err(node, err, format, list, key, STR_ARG(value))
                : err_set(err, ERR_BAD_DATA, format, list, key, STR_ARG(value));
}
