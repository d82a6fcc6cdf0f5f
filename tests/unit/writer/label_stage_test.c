// SPDX-License-Identifier: Apache-2.0
/* The stage that changes labels: splicing external and extra labels gives what the builder gives; rules are remembered
 * rightly, also over a reload. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer/pipeline/chain.h"
#include "writer/pipeline/label_stage.h"

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

static struct labels by_builder(const struct label_stage_conf *s, struct labels in)
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

/* A chain of one stage on one lane. */
struct run { struct chain chain; struct chain_lane lane; uint64_t dropped; };

static void count_dropped(void *arg, enum stage_kind kind, enum stage_result result, uint64_t n)
{
    assert_int_equal(kind, STAGE_RELABEL);
    if (result == STAGE_DROPPED)
        ((struct run *)arg)->dropped += n;
}
static const struct chain_host host = {.count = count_dropped};

static void run_begin(struct run *r, const struct label_stage_conf *conf)
{
    *r = (struct run){0};
    chain_add(&r->chain, label_stage_new(conf));
    chain_lane_init(&r->lane, &r->chain, &host, r, NULL, 0, 1);
}
static void run_end(struct run *r)
{
    chain_lane_free(&r->lane);
    chain_free(&r->chain);
}
static bool run_apply(struct run *r, struct labels in, struct labels *out)
{
    struct sample sample = {1, 1};
    struct pipeline_series s = {.in = {.labels = in, .samples = &sample, .n_samples = 1}};
    bool kept = chain_lane_run(&r->lane, 0, &s);
    chain_lane_commit(&r->lane);
    *out = s.in.labels;
    return kept;
}

static void splicing_equals_building(void **state)
{
    (void)state;
    for (int round = 0; round < 5000; round++) {
        struct label_stage_conf conf = {.external = random_map(), .extra = random_map()};
        struct run run;
        run_begin(&run, &conf);
        struct labels in = random_labels(), out, want = by_builder(&conf, in);
        assert_true(run_apply(&run, in, &out));
        assert_int_equal(out.count, want.count);
        assert_true(labels_equal(out, want));
        run_end(&run);
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

static const char rules_text[] = "- {source_labels: [l1], regex: v0, action: drop}\n"
                                 "- {source_labels: [l2], regex: v1, target_label: l2, replacement: changed}\n";

static void rules_are_remembered(void **state)
{
    (void)state;
    struct label_stage_conf conf = {.rules = rules_of(rules_text), .external = random_map(), .extra = random_map()};
    struct run run, fresh;
    uint64_t dropped = 0;
    run_begin(&run, &conf);
    for (int round = 0; round < 20000; round++) {
        struct labels in = random_labels(), a = {0}, b = {0};
        run_begin(&fresh, &conf);
        bool kept = run_apply(&run, in, &a), again = run_apply(&fresh, in, &b);
        assert_int_equal(kept, again);
        assert_int_equal(kept, !str_is(labels_get(in, STR("l1")), "v0"));
        if (kept) {
            assert_true(labels_equal(a, b));
            assert_int_equal(a.count, b.count);
        }
        dropped += !kept;
        run_end(&fresh);
    }
    assert_true(dropped > 1000);
    assert_int_equal(run.dropped, dropped);
    run_end(&run);
}

/* The stage of the new topology has other objects of equal rules; the old ones are gone when it runs. */
static void results_survive_a_reload(void **state)
{
    (void)state;
    struct label_stage_conf conf = {.rules = rules_of(rules_text)}, again = {.rules = rules_of(rules_text)},
                            other = {.rules = rules_of("- {target_label: l2, replacement: other}\n")};
    struct label in[] = {{STR(METRIC_NAME), STR("m")}, {STR("l2"), STR("v1")}};
    struct labels labels = labels_from(&arena, in, 2), out;
    struct run run, next, third;
    run_begin(&run, &conf);
    run_begin(&next, &again);
    run_begin(&third, &other);
    assert_true(run.chain.identity == next.chain.identity && run.chain.identity != third.chain.identity);
    assert_true(run_apply(&run, labels, &out));
    chain_lane_adopt(&next.lane, &run.lane);
    run_end(&run);
    struct relabel_rule *rule = (struct relabel_rule *)again.rules.rules;
    rule[1].replacement = STR("not the rules, but what they gave before");
    assert_true(run_apply(&next, labels, &out));
    assert_true(str_is(labels_get(out, STR("l2")), "changed"));
    chain_lane_adopt(&third.lane, &next.lane);
    assert_true(run_apply(&third, labels, &out));
    assert_true(str_is(labels_get(out, STR("l2")), "other"));
    run_end(&next);
    run_end(&third);
}

int main(void)
{
    arena_init(&arena, 0);
    const struct CMUnitTest tests[] = {cmocka_unit_test(splicing_equals_building), cmocka_unit_test(rules_are_remembered),
                                       cmocka_unit_test(results_survive_a_reload)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(&arena);
    return failed;
}
