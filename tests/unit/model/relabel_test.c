// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/exposition/exposition.h"
#include "model/relabel.h"
#include "tests/unit/model/cases.h"

struct holder { struct conf_items rules; };
static const struct conf_row holder_rows[] = {
    {CONF_SECTIONS, "rules", offsetof(struct holder, rules), .section = &relabel_section}, {0}};
static const struct conf_section holder_section = {.name = "", .size = sizeof(struct holder), .rows = holder_rows};

/* The rules of a YAML list; false with the error. */
static bool load_rules(struct arena *a, bool vmagent, struct str yaml, struct relabel_rules *rules, struct err *err)
{
    struct conf_context c = {.arena = a, .file = "case", .vmagent_relabeling = vmagent};
    struct yaml *list = yaml_parse(a, yaml, "case", err);
    if (list == NULL)
        return false;
    struct yaml key = {.kind = YAML_SCALAR, .text = STR("rules")};
    struct yaml map = {.kind = YAML_MAP, .keys = &key, .items = list, .n = 1};
    struct holder h;
    if (!conf_load(&c, &holder_section, &map, &h, err))
        return false;
    *rules = relabel_rules(h.rules);
    return true;
}

static void start(struct labels_builder *b, struct str series)
{
    struct err err;
    if (!exposition_labels(series, false, b, &err))
        fail_msg("%s", err.text);
    builder_start(b, builder_labels(b, b->scratch)); /* sorted, as labels come */
}

static void outcome(struct buf *out, struct arena *a, bool vmagent, const struct one_case *c)
{
    struct relabel_rules rules;
    struct err err;
    if (!load_rules(a, vmagent, c->parts[1].text, &rules, &err)) {
        buf_add_z(out, err.text);
        return;
    }
    struct labels_builder b = {.scratch = a};
    start(&b, str_trim(c->parts[0].text));
    if (relabel_apply(rules, &b))
        labels_print(out, builder_labels(&b, a));
    else
        buf_add_z(out, "dropped");
    builder_free(&b);
}

static void check_cases(const char *path, bool vmagent, unsigned least)
{
    struct cases cases;
    struct one_case c;
    unsigned n = 0, bad = 0;
    assert_true(cases_open(&cases, path));
    for (; cases_next(&cases, &c); n++) {
        struct arena a;
        struct buf got = {0};
        arena_init(&a, 0);
        assert_int_equal(c.n, 3);
        outcome(&got, &a, vmagent, &c);
        struct str want = str_trim(c.parts[2].text);
        if (!str_eq(buf_str(&got), want)) {
            print_error("%s:%u: %.*s\n got %s\nwant %.*s\n", c.file, c.line, STR_ARG(c.name), buf_z(&got),
                        STR_ARG(want));
            bad++;
        }
        buf_free(&got);
        arena_free(&a);
    }
    assert_true(n >= least);
    assert_int_equal(bad, 0);
}

static void test_cases(void **state UNUSED) { check_cases("tests/relabel/actions.test", false, 36); }
static void test_cases_of_vmagent(void **state UNUSED) { check_cases("tests/relabel/vmagent.test", true, 46); }

/* The numbers are vmagent 1.14x's. */
static void test_hashmod_of_vmagent(void **state UNUSED)
{
    struct arena a;
    struct err err;
    arena_init(&a, 0);
    struct relabel_rules rules;
    assert_true(load_rules(&a, true, STR("- {source_labels: [a, b], target_label: h, modulus: 8, action: hashmod}\n"
                                   "- {source_labels: [__name__], target_label: h2, modulus: 1000000007, action: hashmod}\n"),
                           &rules, &err));
    static const struct { const char *series, *h, *h2; } cases[] = {
        {"m{a=\"1\",b=\"x.y\"}", "1", "317803079"}, {"n{a=\"2\"}", "2", "745261335"}, {"prometheus_cpu", "5", "497527978"}};
    for (size_t i = 0; i < LEN(cases); i++) {
        struct labels_builder b = {.scratch = &a};
        start(&b, str_of(cases[i].series));
        assert_true(relabel_apply(rules, &b));
        assert_true(str_is(builder_get(&b, STR("h")), cases[i].h) && str_is(builder_get(&b, STR("h2")), cases[i].h2));
        builder_free(&b);
    }
    arena_free(&a);
}

/* In whatever place of a list: those of a destination are several files. */
static void test_a_chain_ends_reserved_labels(void **state UNUSED)
{
    struct arena a;
    struct err err;
    struct relabel_rules rules;
    arena_init(&a, 0);
    assert_true(load_rules(&a, false, STR("- {target_label: __keep, replacement: x}\n- {source_labels: [__keep], target_label: y}\n"),
                           &rules, &err));
    struct relabel_rule *last = (struct relabel_rule *)(uintptr_t)&rules.rules[1];
    last->ends_chain = true;
    struct labels_builder b = {.scratch = &a};
    start(&b, STR("m{__a=\"1\"}"));
    assert_true(relabel_apply(rules, &b));
    assert_true(str_is(builder_get(&b, STR("y")), "x") && str_is(builder_get(&b, STR(METRIC_NAME)), "m"));
    assert_true(builder_get(&b, STR("__keep")).n == 0 && builder_get(&b, STR("__a")).n == 0);
    builder_free(&b);
    arena_free(&a);
}

static void test_equal_and_reads(void **state UNUSED)
{
    static const char *const yaml =
        "- {source_labels: [a, b], target_label: c}\n"
        "- {source_labels: [b], target_label: d, action: keepequal}\n";
    struct arena a;
    arena_init(&a, 0);
    struct relabel_rules one, same, other, mapping;
    struct err err;
    assert_true(load_rules(&a, false, str_of(yaml), &one, &err));
    assert_true(load_rules(&a, false, str_of(yaml), &same, &err));
    assert_true(load_rules(&a, false, STR("- {source_labels: [a, b], target_label: c, separator: x}\n"), &other, &err));
    assert_true(load_rules(&a, false, STR("- {action: labeldrop, regex: x}\n"), &mapping, &err));
    assert_true(relabel_hash(one) == relabel_hash(same));
    assert_true(relabel_hash(one) != relabel_hash(other));
    assert_true(relabel_hash((struct relabel_rules){one.rules, 1}) != relabel_hash(other));
    assert_true(relabel_any(one) && !relabel_any((struct relabel_rules){0}));
    struct str_list names;
    bool all;
    relabel_reads(one, &a, &names, &all);
    assert_int_equal(names.n, 3);
    assert_true(str_is(names.items[0], "a") && str_is(names.items[1], "b") && str_is(names.items[2], "d") && !all);
    relabel_reads(mapping, &a, &names, &all);
    assert_true(all);
    assert_true(load_rules(&a, true, STR("- {target_label: c, replacement: '{{x}}{{y}}{{x}}{{z'}\n"), &one, &err));
    relabel_reads(one, &a, &names, &all);
    assert_int_equal(names.n, 2);
    assert_true(str_is(names.items[0], "x") && str_is(names.items[1], "y") && !all);
    assert_true(relabel_hash(one) != relabel_hash(mapping));
    arena_free(&a);
}

static void test_section_prints(void **state UNUSED)
{
    struct arena a;
    arena_init(&a, 0);
    struct relabel_rules rules, again;
    struct err err;
    assert_true(load_rules(&a, false, STR("- {source_labels: [a], regex: [x, y], target_label: c}\n"), &rules, &err));
    struct buf out = {0};
    conf_print(&out, &holder_section, &(struct holder){{(void *)rules.rules, rules.n}}, 0);
    struct yaml *y = yaml_parse(&a, buf_str(&out), "printed", &err);
    assert_non_null(y);
    buf_clear(&out);
    yaml_write(&out, yaml_get(y, "rules"));
    assert_true(load_rules(&a, false, buf_str(&out), &again, &err));
    assert_true(relabel_hash(rules) == relabel_hash(again));
    assert_true(str_is(again.rules[0].regex_text, "x|y"));
    buf_free(&out);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases), cmocka_unit_test(test_cases_of_vmagent),
        cmocka_unit_test(test_hashmod_of_vmagent), cmocka_unit_test(test_a_chain_ends_reserved_labels),
        cmocka_unit_test(test_equal_and_reads),
        cmocka_unit_test(test_section_prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
