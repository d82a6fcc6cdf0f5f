// SPDX-License-Identifier: Apache-2.0
/* Reports the flags set that are not implemented, by class: a debug line, a warning or an error. All errors are
 * reported at once.
 */
#include "gateway/config/flags_table.h"

#include <stdio.h>

static bool flag_takes_no_value(const struct inert_use *u)
{
    return u->value.n == 0 || str_is(u->value, "false") || str_is(u->value, "0")
           || (u->flag->noop && str_is(u->value, u->flag->noop));
}

static void judge_append(struct flags *f, struct str_list *list, size_t *cap, struct str text)
{
    arena_grow(&f->arena, &list->items, cap, list->n + 1, sizeof *list->items);
    list->items[list->n++] = text;
}

static bool was_judged(const struct str_list *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (str_is(names->items[i], name))
            return true;
    return false;
}

static void refuse_use(struct flags *f, const struct inert_flag *i)
{
    char text[400];
    if (i->class == INERT_GUARDS)
        snprintf(text, sizeof text, "--%s is not supported yet: %s; remove it, or start with --accept-inert=%s to "
                 "ignore it", i->name, i->why, i->name);
    else
        snprintf(text, sizeof text, "--%s is ignored: %s; remove it, or start without --strict", i->name, i->why);
    conf_errors_add(&f->errors, text);
}

bool flags_judge(struct flags *f, const struct inert_use *uses, size_t n, struct err *err)
{
    size_t warnings_cap = 0, ignored_cap = 0, tuning_cap = 0;
    for (size_t k = 0; k < n; k++) {
        const struct inert_flag *i = uses[k].flag;
        if (i->class == INERT_TUNES && !was_judged(&f->tuning, i->name))
            judge_append(f, &f->tuning, &tuning_cap, str_of(i->name));
        if (i->class == INERT_TUNES || flag_takes_no_value(&uses[k]) || was_judged(&f->ignored, i->name))
            continue;
        bool accepted = conf_accepts_inert(&f->accept_inert, "", i->name);
        if (!accepted && (i->class == INERT_GUARDS || f->strict)) {
            refuse_use(f, i);
            continue;
        }
        struct str line = arena_printf(&f->arena, "--%s is ignored: %s", i->name, i->why);
        judge_append(f, &f->warnings, &warnings_cap, line);
        judge_append(f, &f->ignored, &ignored_cap, str_of(i->name));
    }
    return f->errors.n == 0 || conf_errors_first(&f->errors, err);
}
