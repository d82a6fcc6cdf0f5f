// SPDX-License-Identifier: Apache-2.0
/* Parts of a list: whatever changes from one list to the next is visited, and little else. */
#include "model/discovery/groups/sd_parts.h"

#include "tests/unit/model/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { GROUPS = 6000 };
static struct { int state, label; } wanted[GROUPS]; /* state: 0: not listed */

static struct sd_groups *wanted_list(bool backwards)
{
    struct sd_groups *g = sd_groups_new();
    g->items = ARENA_ARRAY(&g->arena, struct static_group, GROUPS);
    for (size_t k = 0; k < GROUPS; k++) {
        size_t i = backwards ? GROUPS - 1 - k : k;
        if (wanted[i].state == 0)
            continue;
        struct static_group *one = &g->items[g->n++];
        one->targets = (struct str_list){ARENA_ARRAY(&g->arena, struct str, 2), 1 + i % 2};
        for (size_t t = 0; t < one->targets.n; t++)
            one->targets.items[t] = arena_printf(&g->arena, "10.0.%zu.%zu:%zu", i / 250, i % 250, 80 + t);
        one->labels = (struct str_map){ARENA_NEW(&g->arena, struct str), ARENA_NEW(&g->arena, struct str), 1};
        one->labels.keys[0] = STR("label");
        one->labels.values[0] = arena_printf(&g->arena, "%d", wanted[i].label);
    }
    return g;
}

/* What a pool does: the targets by part. */
struct seen { struct map parts; size_t visits; };

static void note_part(void *arg, const void *part, struct sd_groups *groups)
{
    struct seen *s = arg;
    struct str key = str_n(&part, sizeof part);
    struct map_entry *e = map_find(&s->parts, key);
    s->visits++;
    if (e) {
        struct sd_groups *before = e->value.p;
        char *name = (char *)e->key.p;
        map_remove(&s->parts, key);
        sd_groups_unref(before);
        mem_free(name);
    }
    if (groups)
        map_set(&s->parts, str_n(mem_dup(&part, sizeof part), sizeof part), sd_groups_ref(groups));
}

static size_t drain(struct sd_parts *p, struct seen *s)
{
    s->visits = 0;
    while (sd_parts_changed(p))
        sd_parts_visit_changed(p, 0, note_part, s);
    return s->visits;
}

/* All parts together are the list. */
static void assert_seen(const struct seen *s)
{
    size_t n = 0, listed = 0;
    for (struct map_entry *e = map_next(&s->parts, NULL); e; e = map_next(&s->parts, e)) {
        const struct sd_groups *g = e->value.p;
        for (size_t i = 0; i < g->n; i++, n++) {
            unsigned a, b, port;
            char text[64];
            assert_int_equal(g->items[i].targets.n, 1);
            snprintf(text, sizeof text, "%.*s", STR_ARG(g->items[i].targets.items[0]));
            assert_int_equal(sscanf(text, "10.0.%u.%u:%u", &a, &b, &port), 3);
            assert_int_equal(wanted[a * 250 + b].state, 1);
            snprintf(text, sizeof text, "%d", wanted[a * 250 + b].label);
            assert_true(str_is(g->items[i].labels.values[0], text));
        }
    }
    for (size_t i = 0; i < GROUPS; i++)
        listed += wanted[i].state ? 1 + i % 2 : 0;
    assert_int_equal(n, listed);
}

static void seen_free(struct seen *s)
{
    for (struct map_entry *e = map_next(&s->parts, NULL); e; e = map_next(&s->parts, e)) {
        mem_free((char *)e->key.p);
        sd_groups_unref(e->value.p);
    }
    map_free(&s->parts);
}

static void only_what_has_changed_is_visited(void **state UNUSED)
{
    struct sd_parts p;
    struct seen s = {0};
    sd_parts_init(&p);
    assert_false(sd_parts_changed(&p));
    for (size_t i = 0; i < GROUPS; i++)
        wanted[i].state = 1;
    sd_parts_set(&p, wanted_list(false));
    assert_true(drain(&p, &s) > 3000);
    assert_seen(&s);
    sd_parts_set(&p, wanted_list(true));
    assert_int_equal(drain(&p, &s), 0); /* another order is no change */
    wanted[7].label = 1;
    sd_parts_set(&p, wanted_list(false));
    assert_in_range(drain(&p, &s), 1, 2); /* it has two addresses */
    assert_seen(&s);
    wanted[8].state = 0;
    sd_parts_set(&p, wanted_list(false));
    assert_int_equal(drain(&p, &s), 1);
    assert_seen(&s);
    for (size_t i = 0; i < GROUPS; i++)
        wanted[i].state = 0;
    sd_parts_set(&p, wanted_list(false));
    drain(&p, &s);
    assert_int_equal(s.parts.n, 0);
    assert_int_equal(p.parts.n, 0);
    sd_parts_free(&p);
    seen_free(&s);
}

/* Lists that follow each other while the parts of earlier ones have not been visited yet. */
static void changes_of_several_lists_add_up(void **state UNUSED)
{
    uint64_t rng = 20;
    struct sd_parts p;
    struct seen s = {0};
    sd_parts_init(&p);
    for (size_t i = 0; i < GROUPS; i++)
        wanted[i].state = 0;
    for (int round = 0; round < 40; round++) {
        for (size_t k = rng_below(&rng, 200); k > 0; k--) {
            size_t i = rng_below(&rng, GROUPS);
            wanted[i].state = rng_below(&rng, 4) > 0;
            wanted[i].label = (int)rng_below(&rng, 3);
        }
        sd_parts_set(&p, wanted_list(round % 2));
        for (size_t k = rng_below(&rng, 20); k > 0; k--)
            sd_parts_visit_changed(&p, 0, note_part, &s);
        if (round % 4 < 3)
            continue;
        drain(&p, &s);
        assert_seen(&s);
    }
    s.visits = 0;
    sd_parts_visit(&p, note_part, &s);
    assert_int_equal(s.visits, p.parts.n);
    assert_seen(&s);
    sd_parts_free(&p);
    seen_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_has_changed_is_visited),
        cmocka_unit_test(changes_of_several_lists_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
