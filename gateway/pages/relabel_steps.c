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

static bool step_fits(const struct labels_builder *b, size_t room)
{
    size_t count, size = builder_size(b, &count);
    return room > 0 && size <= LABELS_MAX_BYTES && count <= LABELS_MAX_COUNT;
}

struct relabel_steps relabel_steps(struct arena *a, struct relabel_rules rules, struct labels from)
{
    struct relabel_steps s = {.items = ARENA_ARRAY(a, struct relabel_step, rules.n + 1), .result = from, .kept = true};
    struct arena scratch;
    struct labels_builder b = {.scratch = &scratch};
    size_t before = a->used;
    arena_init(&scratch, 0);
    buf_limit(&b._text, RELABEL_STEP_MAX);
    while (s.kept && !s.too_large && s.n < rules.n) {
        size_t room = RELABEL_STEP_MAX;
        const struct relabel_rule *rule = &rules.rules[s.n];
        struct relabel_step *step = &s.items[s.n++];
        b.room = &room;
        builder_start(&b, s.result);
        s.kept = relabel_apply((struct relabel_rules){rule, 1}, &b);
        s.too_large = !step_fits(&b, room) || a->used - before > RELABEL_STEPS_MAX;
        *step = (struct relabel_step){.rule = step_rule_text(a, rule), .in = s.result, .kept = s.kept};
        s.result = step->out = s.kept && !s.too_large ? builder_labels(&b, a) : (struct labels){0};
        arena_reset(&scratch);
    }
    builder_free(&b);
    arena_free(&scratch);
    return s;
}
