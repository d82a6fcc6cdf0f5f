// SPDX-License-Identifier: Apache-2.0
/* A stream's chain: splicing external and extra labels gives what the builder gives; rules are remembered rightly. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer/pipeline/stream.h"

static struct arena arena;
static uint64_t seed = 42;
static unsigned pick(unsigned n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (unsigned)(seed % n);
}

static struct str_map random_map(void)
{
    struct str_map m = {.keys = ARENA_ARRAY(&arena, struct str, 4), .values = ARENA_ARRAY(&arena, struct str, 4)};
    unsigned n = pick(4), at = 0;
    for (unsigned i = 0; i < n; i++) {
        at += 1 + pick(3);
        m.keys[m.n] = arena_printf(&arena, "l%u", at);
        m.values[m.n++] = pick(5) ? arena_printf(&arena, "new%u", pick(9)) : STR("");
    }
    return m;
}

static struct labels random_labels(void)
{
    struct label items[10];
    unsigned n = 0;
    items[n++] = (struct label){STR(METRIC_NAME), STR("m")};
    for (unsigned i = 0; i < 9; i++)
        if (pick(2))
            items[n++] = (struct label){arena_printf(&arena, "l%u", i), arena_printf(&arena, "v%u", pick(3))};
    return labels_from(&arena, items, n);
}

static struct labels by_builder(const struct stream *s, struct labels in)
{
    struct labels_builder b = {.scratch = &arena};
    builder_start(&b, in);
    for (size_t i = 0; i < s->external.n; i++)
        if (builder_get(&b, s->external.keys[i]).n == 0)
            builder_set(&b, s->external.keys[i], s->external.values[i]);
    for (size_t i = 0; i < s->extra.n; i++)
        builder_set(&b, s->extra.keys[i], s->extra.values[i]);
    struct labels out = builder_labels(&b, &arena);
    builder_free(&b);
    return out;
}

static void splicing_equals_building(void **state)
{
    (void)state;
    for (int round = 0; round < 5000; round++) {
        struct stream s = {.external = random_map(), .extra = random_map()};
        struct stream_labels l;
        stream_labels_init(&l, &s);
        struct labels in = random_labels(), out, want = by_builder(&s, in);
        assert_true(stream_labels_apply(&l, in, &out));
        assert_int_equal(out.count, want.count);
        assert_true(labels_equal(out, want));
        stream_labels_free(&l);
        if (round % 100 == 0)
            arena_free(&arena);
    }
}

static struct relabel_rules rules_of(const char *text)
{
    struct conf_context c = {.arena = &arena, .file = "test"};
    struct err err = {0};
    struct yaml *y = yaml_parse(&arena, str_of(text), "test", &err);
    struct relabel_rule *rules = ARENA_ARRAY(&arena, struct relabel_rule, y->n);
    for (size_t i = 0; i < y->n; i++)
        if (!conf_load(&c, &relabel_section, &y->items[i], &rules[i], &err))
            fail_msg("%s", err.text);
    return (struct relabel_rules){rules, y->n};
}

static void rules_are_remembered(void **state)
{
    (void)state;
    struct stream s = {.rules = rules_of("- {source_labels: [l1], regex: v0, action: drop}\n"
                                         "- {source_labels: [l2], regex: v1, target_label: l2, replacement: changed}\n"),
                       .external = random_map(), .extra = random_map()};
    struct stream_labels l, fresh;
    stream_labels_init(&l, &s);
    for (int round = 0; round < 20000; round++) {
        struct labels in = random_labels(), a = {0}, b = {0};
        stream_labels_init(&fresh, &s);
        bool kept = stream_labels_apply(&l, in, &a), again = stream_labels_apply(&fresh, in, &b);
        assert_int_equal(kept, again);
        assert_int_equal(kept, !str_is(labels_get(in, STR("l1")), "v0"));
        if (kept) {
            assert_true(labels_equal(a, b));
            assert_int_equal(a.count, b.count);
        }
        stream_labels_free(&fresh);
    }
    size_t cached = 0;
    for (size_t i = 0; i < RELABEL_TABLES; i++)
        cached += l.cache.tables[i].n;
    assert_true(cached > 1000);
    stream_labels_free(&l);
}

int main(void)
{
    arena_init(&arena, 0);
    const struct CMUnitTest tests[] = {cmocka_unit_test(splicing_equals_building), cmocka_unit_test(rules_are_remembered)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(&arena);
    return failed;
}
