// SPDX-License-Identifier: Apache-2.0
#include "gateway/pages/relabel_steps.h"

static struct str step_rule_text(struct arena *a, const struct relabel_rule *rule)
{
    struct buf text = {0};
    conf_write(a, &text, &relabel_section, rule, 0);
    struct str copy = arena_str(a, str_trim(buf_str(&text)));
    buf_free(&text);
    return copy;
}

struct relabel_steps relabel_steps(struct arena *a, struct relabel_rules rules, struct labels from)
{
    struct relabel_steps s = {.items = ARENA_ARRAY(a, struct relabel_step, rules.n + 1), .result = from, .kept = true};
    struct labels_builder b = {.scratch = a};
    while (s.kept && s.n < rules.n) {
        const struct relabel_rule *rule = &rules.rules[s.n];
        struct relabel_step *step = &s.items[s.n++];
        builder_start(&b, s.result);
        s.kept = relabel_apply((struct relabel_rules){rule, 1}, &b);
        *step = (struct relabel_step){.rule = step_rule_text(a, rule), .in = s.result, .kept = s.kept};
        s.result = step->out = s.kept ? builder_labels(&b, a) : (struct labels){0};
    }
    builder_free(&b);
    return s;
}
