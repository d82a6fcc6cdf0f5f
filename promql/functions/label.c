// SPDX-License-Identifier: Apache-2.0
/* label_replace() and label_join(): change only the labels of rows. */
#include "promql/functions/functions_internal.h"

/* Resources outside the arena. */
struct replacer { struct regex *re; struct buf value; };

static void replacer_end(void *arg)
{
    struct replacer *r = arg;
    regex_free(r->re);
    buf_free(&r->value);
}

static void check_label(struct eval *ev, const char *which, struct str name, const char *function)
{
    if (!label_name_valid(name))
        eval_fail(ev, ERR_EXEC, "invalid %s label name in %s(): %.*s", which, function, STR_ARG(name));
}

static void set_label(struct eval *ev, struct row *row, struct str name, struct str value)
{
    row->labels = labels_with(ev->arena, row->labels, name, value);
    if (str_is(name, METRIC_NAME))
        row->drop_name = false;
}

static struct str text_of(const struct expr *call, size_t arg) { return call->u.call.args[arg]->u.string; }

/* Here and below names are checked before the vector is evaluated, so that of two errors the same one is reported as
 * in Prometheus. */
static void label_replace(struct eval *ev, const struct expr *call, struct value *out)
{
    struct str to = text_of(call, 1), replacement = text_of(call, 2), from = text_of(call, 3),
               pattern = text_of(call, 4);
    struct replacer *r = ARENA_NEW(ev->arena, struct replacer);
    struct err ignored;
    eval_on_end(ev, replacer_end, r);
    r->re = regex_new(pattern, &ignored);
    if (r->re == NULL)
        eval_fail(ev, ERR_EXEC, "invalid regular expression in label_replace(): %.*s", STR_ARG(pattern));
    check_label(ev, "destination", to, "label_replace");
    ev->nodes->expr(ev, call->u.call.args[0], out);
    for (size_t i = 0; i < out->n; i++) {
        buf_clear(&r->value);
        eval_charge(ev, 4 * CHARGE_LABELS + labels_get(out->rows[i].labels, from).n);
        if (regex_expand(r->re, labels_get(out->rows[i].labels, from), replacement, &r->value))
            set_label(ev, &out->rows[i], to, arena_str(ev->arena, buf_str(&r->value)));
    }
}

static struct str joined(struct eval *ev, const struct expr *call, struct labels l)
{
    struct str separator = text_of(call, 2);
    size_t n = 0;
    for (size_t i = 3; i < call->u.call.n_args; i++)
        n += (i > 3 ? separator.n : 0) + labels_get(l, text_of(call, i)).n;
    char *p = arena_bytes(ev->arena, n), *at = p;
    for (size_t i = 3; i < call->u.call.n_args; i++) {
        struct str value = labels_get(l, text_of(call, i));
        if (i > 3 && separator.n > 0)
            at = mempcpy(at, separator.p, separator.n);
        if (value.n > 0)
            at = mempcpy(at, value.p, value.n);
    }
    return str_n(p, n);
}

static void label_join(struct eval *ev, const struct expr *call, struct value *out)
{
    struct str to = text_of(call, 1);
    for (size_t i = 3; i < call->u.call.n_args; i++)
        check_label(ev, "source", text_of(call, i), "label_join");
    check_label(ev, "destination", to, "label_join");
    ev->nodes->expr(ev, call->u.call.args[0], out);
    for (size_t i = 0; i < out->n; i++) {
        eval_charge(ev, 2 * CHARGE_LABELS);
        set_label(ev, &out->rows[i], to, joined(ev, call, out->rows[i].labels));
    }
}

const struct function_impl fn_label_replace = {.walk = label_replace, .sets_labels = true};
const struct function_impl fn_label_join = {.walk = label_join, .sets_labels = true};
