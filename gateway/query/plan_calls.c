// SPDX-License-Identifier: Apache-2.0
/* Calls of functions: whether servers can compute them, each from its own series. */
#include "gateway/query/plan_internal.h"

/* The label names that label_replace(v, dst, replacement, src, regex) and label_join(v, dst, separator, src...)
 * name. */
static plan_names plan_renamed(const struct planner *p, const struct expr *e)
{
    struct str *names = ARENA_ARRAY(p->arena, struct str, e->u.call.n_args);
    size_t n = 0;
    for (size_t i = 1; i < e->u.call.n_args; i++)
        if (e->u.call.args[i]->kind == EXPR_STRING)
            names[n++] = e->u.call.args[i]->u.string;
    return plan_names_of(p, names, n);
}

static const struct expr *plan_plain(const struct expr *e)
{
    while (e->kind == EXPR_STEP_INVARIANT || e->kind == EXPR_PAREN)
        e = e->kind == EXPR_PAREN ? e->u.paren.inner : e->u.invariant.inner;
    return e->kind == EXPR_MATRIX ? e->u.matrix.selector : e;
}

/* The labels that absent() makes depend on the order of matchers on one label, and printing sorts them. */
static bool plan_repeats_labels(const struct expr *selector)
{
    const struct matcher *m = selector->u.selector.matchers;
    for (size_t i = 0; selector->kind == EXPR_SELECTOR && i < selector->u.selector.n_matchers; i++)
        for (size_t k = 0; k < i; k++)
            if (str_eq(m[i].name, m[k].name))
                return true;
    return false;
}

static bool plan_fixed_with_offset(const struct expr *e)
{
    e = plan_plain(e);
    return e->kind == EXPR_SELECTOR && e->u.selector.shift.at != AT_NONE && e->u.selector.shift.offset != 0;
}

/* Do servers of some routed group get more matchers? */
static bool plan_injects(const struct planner *p, const struct plan_value *v)
{
    for (size_t g = 0; g < p->n_groups; g++)
        if (v->routed[g] && p->views[g]->n_injected > 0)
            return true;
    return false;
}

static bool plan_has_function(const struct planner *p, const struct plan_value *v, const struct function *fn)
{
    const struct plan_env *env = p->env;
    bool has = env->has_function != NULL;
    for (size_t g = 0; has && g < p->n_groups; g++)
        has = !v->routed[g] || env->has_function(env->arg, p->numbers[g], fn);
    return has;
}

const char *plan_call_refused(struct planner *p, const struct expr *e, const struct plan_value *v)
{
    const struct function *fn = e->u.call.fn;
    bool one = plan_is_one_group(p, v), labeled = plan_names_of_groups(p, v) != 0 || plan_injects(p, v);
    if ((fn->attributes & FUNCTION_EXPERIMENTAL) && !plan_has_function(p, v, fn))
        return plan_why(p, "%s() is experimental: servers may not have it", fn->name);
    if (fn->id == FN_TIMESTAMP && plan_fixed_with_offset(e->u.call.args[0]))
        return "servers may lose an offset beside @ in timestamp()";
    switch (fn->distribution) {
    case DISTRIBUTES_EACH: return NULL;
    case DISTRIBUTES_RENAME:
        if (!one && !plan_apart(p, v, v->present))
            return "series of different server groups may become equal";
        return plan_renamed(p, e) == 0 ? NULL : plan_why(p, "%s() names a label of a server group", fn->name);
    case DISTRIBUTES_LE:
        return one || plan_apart(p, v, v->present) ? NULL : "buckets of one histogram may be in several server groups";
    case DISTRIBUTES_MATCHERS:
        if (plan_repeats_labels(plan_plain(e->u.call.args[0])))
            return plan_why(p, "%s() depends on the order of matchers", fn->name);
        return one && !labeled ? NULL
               : one ? plan_why(p, "%s() makes labels from the matchers, which differ for the servers", fn->name)
                     : plan_why(p, "%s() needs the series of all server groups", fn->name);
    default:
        return plan_why(p, "%s() needs the series of all server groups", fn->name);
    }
}

struct plan_value plan_called(struct planner *p, const struct expr *e, struct plan_value v)
{
    if (!plan_reads_selectors(e))
        return v;
    struct plan_need *needs = ARENA_ARRAY(p->arena, struct plan_need, v.n_needs);
    for (size_t i = 0; i < v.n_needs; i++) {
        needs[i] = v.needs[i];
        needs[i].newest = false;
    }
    v.needs = needs;
    return v;
}
