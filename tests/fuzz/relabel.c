// SPDX-License-Identifier: Apache-2.0
/* A file of relabel rules, a zero byte, a series text: whatever rules are accepted leave labels that are canonical. */
#include "model/exposition/exposition.h"
#include "model/relabel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct conf_row rows[] = {
    {CONF_SECTIONS, "rules", 0, .section = &relabel_section, .help = "Rules"},
    {0}};
static const struct conf_section file = {"", sizeof(struct conf_items), rows};

static bool load(struct arena *a, struct str text, struct conf_items *rules)
{
    struct err err = {0};
    struct conf_context c = {.arena = a, .file = "rules.yml"};
    const struct yaml *tree = yaml_parse(a, text, c.file, &err);
    if (tree && conf_load(&c, &file, tree, rules, &err))
        return true;
    if (err.kind == ERR_NONE)
        __builtin_trap();
    return false;
}

static void apply(struct arena *a, struct relabel_rules rules, struct str series)
{
    struct labels_builder b = {.scratch = a};
    struct labels checked;
    if (exposition_labels(series, false, &b, NULL) && relabel_apply(rules, &b)) {
        struct labels l = builder_labels(&b, a);
        if (!labels_check(l.p, l.n, &checked) || checked.count != l.count)
            __builtin_trap();
    }
    builder_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str series = str_n(data, n), text;
    struct arena arena;
    struct conf_items rules;
    if (!str_cut(&series, 0, &text) || series.p == NULL)
        return 0;
    arena_init(&arena, 64 << 20);
    if (load(&arena, text, &rules))
        apply(&arena, relabel_rules(rules), series);
    arena_free(&arena);
    return 0;
}
