// SPDX-License-Identifier: Apache-2.0
#include "gateway/query/plan_internal.h"

const char *plan_where_name(enum plan_where where)
{
    static const char *const names[] = {
        [PLAN_PUSHED] = "pushed", [PLAN_CUT] = "cut", [PLAN_RAW] = "raw", [PLAN_LOCAL] = "here"};
    return names[where];
}

void plan_show(struct json_writer *w, const struct plan *p)
{
    json_begin_array(w);
    for (size_t i = 0; i < p->n_decisions; i++) {
        const struct plan_decision *d = &p->decisions[i];
        json_begin_object(w);
        json_key(w, "expr");
        json_str(w, d->text);
        json_key(w, "evaluated");
        json_z(w, plan_where_name(d->where));
        if (d->why.n > 0) {
            json_key(w, "reason");
            json_str(w, d->why);
        }
        json_end_object(w);
    }
    json_end_array(w);
}
