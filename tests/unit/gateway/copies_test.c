// SPDX-License-Identifier: Apache-2.0
/* Copies or independent scrapes: what is counted, what is remembered, and when a verdict changes. */
#include "gateway/merge/copies.h"
#include "tests/unit/gateway/responses.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void compare(const char *a, const char *b, unsigned equal, unsigned apart)
{
    struct arena arena;
    struct evidence e = {0};
    arena_init(&arena, 0);
    struct series x = series_of(&arena, a), y = series_of(&arena, b);
    copies_compare(&e, &x, &y);
    assert_int_equal(e.equal, equal);
    assert_int_equal(e.apart, apart);
    arena_free(&arena);
}

static void comparisons(void **state UNUSED)
{
    compare("m 1@0 2@15000 3@30000", "m 1@0 2@15000 3@30000", 3, 0);
    compare("m 1@0 2@15000 3@30000 4@45000", "m 1@0 4@45000", 4, 0);           /* lacks two */
    compare("m 1@0 2@15000 3@30000", "m 1@5 2@15003 3@30001", 0, 3);
    compare("m 1@0 2@15000 4@45000 7@90000", "m 1@0 3@30000 5@60000", 6, 0);  /* gaps alternate: whole intervals */
    compare("m 1@0 2@15000 4@45000 7@90000", "m 1@0 3@30001 5@60001", 2, 0);
    compare("m 1@0 3@30000 5@60000", "m 2@15000 4@45000", 0, 0);               /* each second one is lost */
    compare("m 1@0 4@45000", "m 2@15000", 0, 0);
    compare("m 1@0 2@999 5@3996", "m 3@1998", 0, 0);                           /* a short interval shows nothing */
    compare("m 1@5000 2@20000 3@35000", "m 1@0 2@15000 3@30000", 0, 3);
    compare("m 1@0 2@15000", "m 7@0 9@15000", 0, 2);                           /* two scrapes */
    compare("m 0.1@0 NaN@15000", "m 0.10000000000001@0 NaN@15000", 2, 0);      /* rounded by a storage */
    compare("m 1@0", "m 1@5", 0, 0);                                           /* no interval: nothing to say */
    compare("m stale@0 2@15000", "m stale@0 2@15000", 1, 0);
    compare("m", "m 1@0", 0, 0);
}

static void verdicts(void **state UNUSED)
{
    struct copies_memory m;
    struct str job = STR("node");
    copies_memory_init(&m, (const uint64_t[]){1, 2, 3}, 3);
    assert_false(copies_decide(&m, 0, 1, job, (struct evidence){9, 0}, false));   /* too few */
    assert_false(copies_are_known(&m, 0, 1));
    assert_true(copies_decide(&m, 0, 1, job, (struct evidence){9, 0}, false));    /* with those before */
    assert_true(copies_are_known(&m, 1, 0));
    assert_false(copies_are_known(&m, 0, 2));
    assert_true(copies_decide(&m, 0, 1, job, (struct evidence){0, 0}, false));    /* remembered */
    assert_false(copies_decide(&m, 0, 2, job, (struct evidence){0, 0}, false));   /* of another pair */
    assert_false(copies_decide(&m, 0, 1, STR("other"), (struct evidence){0, 0}, false));
    assert_true(copies_decide(&m, 1, 2, job, (struct evidence){0, 0}, true));     /* written_by */
    assert_false(copies_decide(&m, 1, 2, job, (struct evidence){0, 30}, true));   /* which is wrong */
    assert_false(copies_decide(&m, 0, 2, job, (struct evidence){800, 200}, false)); /* four of five */
    assert_true(copies_decide(&m, 0, 1, job, (struct evidence){1000, 10}, false));
    assert_false(copies_decide(&m, 0, 1, job, (struct evidence){0, 40}, false));  /* a new setup */
    assert_false(copies_are_known(&m, 0, 1));
    assert_true(copies_decide(&m, 0, 1, job, (struct evidence){4000, 0}, false));
    copies_memory_free(&m);
}

/* A job of few samples is what the others of the pair are. */
static void jobs_beside(void **state UNUSED)
{
    struct copies_memory m;
    struct str sparse = STR("sparse");
    copies_memory_init(&m, (const uint64_t[]){1, 2, 3}, 3);
    assert_false(copies_decide(&m, 0, 1, sparse, (struct evidence){1, 0}, false));
    assert_true(copies_decide(&m, 0, 1, STR("node"), (struct evidence){20, 0}, false));
    assert_true(copies_decide(&m, 0, 1, sparse, (struct evidence){1, 0}, false));
    assert_false(copies_decide(&m, 0, 1, STR("new"), (struct evidence){0, 0}, false));
    assert_true(copies_decide(&m, 0, 1, STR("new"), (struct evidence){2, 0}, false));
    assert_false(copies_decide(&m, 0, 2, sparse, (struct evidence){1, 0}, false)); /* of another pair nothing is known */
    assert_false(copies_decide(&m, 0, 1, STR("new"), (struct evidence){3, 1}, false));
    assert_false(copies_decide(&m, 0, 1, STR("scraped"), (struct evidence){0, 20}, false));
    assert_false(copies_decide(&m, 0, 1, sparse, (struct evidence){1, 0}, false)); /* the others differ */
    copies_memory_free(&m);
}

static void memory_is_bounded(void **state UNUSED)
{
    struct copies_memory m;
    struct buf job = {0};
    copies_memory_init(&m, (const uint64_t[]){1, 2}, 2);
    for (int i = 0; i < 10000; i++) {
        buf_clear(&job);
        buf_printf(&job, "job%d", i);
        assert_true(copies_decide(&m, 0, 1, buf_str(&job), (struct evidence){100, 0}, false));
    }
    assert_true(copies_decide(&m, 1, 0, buf_str(&job), (struct evidence){0, 0}, false));
    buf_free(&job);
    copies_memory_free(&m);
}

/* A reload: another order, another server, a shard less. */
static void memory_survives_a_reload(void **state UNUSED)
{
    static const uint64_t before[] = {11, 12, 13, 0}, after[] = {14, 12, 11, 0};
    struct copies_memory old, m;
    struct str job = STR("node");
    copies_memory_init(&old, before, 4);
    copies_memory_init(&m, after, 4);
    assert_true(copies_decide(&old, 0, 1, job, (struct evidence){100, 0}, false));
    assert_true(copies_decide(&old, 0, 2, job, (struct evidence){100, 0}, false));
    assert_true(copies_decide(&old, 1, 3, job, (struct evidence){100, 0}, false));
    copies_memory_adopt(&m, &old);
    assert_true(copies_decide(&m, 1, 2, job, (struct evidence){0, 0}, false));    /* 11 and 12 */
    assert_true(copies_decide(&m, 1, 3, job, (struct evidence){0, 0}, false));    /* 12 and the recent store */
    assert_false(copies_decide(&m, 0, 2, job, (struct evidence){0, 0}, false));   /* 14 is not known */
    assert_false(copies_decide(&m, 1, 2, STR("other"), (struct evidence){0, 0}, false));
    assert_false(copies_decide(&m, 1, 2, job, (struct evidence){0, 1000}, false)); /* what is newer counts */
    copies_memory_adopt(&m, &old);
    assert_false(copies_decide(&m, 1, 2, job, (struct evidence){0, 0}, false));
    copies_memory_free(&old);
    copies_memory_free(&m);
}

static void decides_without_memory(void **state UNUSED)
{
    assert_true(copies_decide(NULL, 0, 1, STR("j"), (struct evidence){20, 0}, false));
    assert_false(copies_decide(NULL, 0, 1, STR("j"), (struct evidence){0, 20}, true));
    assert_true(copies_decide(NULL, 0, 1, STR("j"), (struct evidence){0, 1}, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(decides_without_memory),
                                       cmocka_unit_test(comparisons), cmocka_unit_test(verdicts),
                                       cmocka_unit_test(jobs_beside), cmocka_unit_test(memory_is_bounded),
                                       cmocka_unit_test(memory_survives_a_reload)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
