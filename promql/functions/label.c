/* label_replace() and label_join(): only the labels of rows change. */
#include "promql/functions/fn.h"

/* What is not in the arena. */
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

static void label_replace(struct eval *ev, const struct call *c, struct value *out)
{
    struct str to = c->args[1].string, replacement = c->args[2].string, from = c->args[3].string,
               pattern = c->args[4].string;
    struct replacer *r = ARENA_NEW(ev->arena, struct replacer);
    struct err ignored;
    eval_on_end(ev, replacer_end, r);
    r->re = regex_new(pattern, &ignored);
    if (r->re == NULL)
        eval_fail(ev, ERR_EXEC, "invalid regular expression in label_replace(): %.*s", STR_ARG(pattern));
    check_label(ev, "destination", to, "label_replace");
    fn_take_rows(out, &c->args[0]);
    for (size_t i = 0; i < out->n; i++) {
        buf_clear(&r->value);
        if (regex_expand(r->re, labels_get(out->rows[i].labels, from), replacement, &r->value))
            set_label(ev, &out->rows[i], to, arena_str(ev->arena, buf_str(&r->value)));
    }
}

static struct str joined(struct eval *ev, const struct call *c, struct labels l)
{
    struct str separator = c->args[2].string;
    size_t n = 0;
    for (size_t i = 3; i < c->n_args; i++)
        n += (i > 3 ? separator.n : 0) + labels_get(l, c->args[i].string).n;
    char *p = arena_bytes(ev->arena, n), *at = p;
    for (size_t i = 3; i < c->n_args; i++) {
        struct str value = labels_get(l, c->args[i].string);
        if (i > 3 && separator.n > 0)
            at = mempcpy(at, separator.p, separator.n);
        if (value.n > 0)
            at = mempcpy(at, value.p, value.n);
    }
    return str_n(p, n);
}

static void label_join(struct eval *ev, const struct call *c, struct value *out)
{
    for (size_t i = 3; i < c->n_args; i++)
        check_label(ev, "source", c->args[i].string, "label_join");
    check_label(ev, "destination", c->args[1].string, "label_join");
    fn_take_rows(out, &c->args[0]);
    for (size_t i = 0; i < out->n; i++)
        set_label(ev, &out->rows[i], c->args[1].string, joined(ev, c, out->rows[i].labels));
}

const struct function_impl fn_label_replace = {.rows = label_replace, .sets_labels = true};
const struct function_impl fn_label_join = {.rows = label_join, .sets_labels = true};
