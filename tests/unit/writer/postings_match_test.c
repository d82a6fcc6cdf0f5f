// SPDX-License-Identifier: Apache-2.0
/* What matchers select from postings is what they accept one series at a time, whatever their type and however many
 * values there are; also while series go and others take their places. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/os/thread.h"
#include "writer/recent/stripe.h"
#include "model/remote_write.h"

#include <stdio.h>

enum { SERIES = 3000 };

struct fixture {
    struct recent *store;
    struct arena arena;
    struct notes notes;
    struct query_ctx q;
    struct labels all[SERIES];
};

static void open_store(struct fixture *f, int64_t retention)
{
    memset(f, 0, sizeof *f);
    f->store = recent_new(&(struct recent_conf){.budget = 64 << 20, .retention = retention}, 2, 0);
    arena_init(&f->arena, 0);
    f->notes.arena = &f->arena;
    f->q = (struct query_ctx){.arena = &f->arena, .notes = &f->notes};
}

static void close_store(struct fixture *f)
{
    recent_unref(f->store);
    arena_free(&f->arena);
}

static struct labels labels_of(struct arena *a, unsigned i)
{
    char instance[16], job[16];
    snprintf(instance, sizeof instance, "i%u", i);
    snprintf(job, sizeof job, "job-%u", i % 7);
    struct label items[] = {{STR(METRIC_NAME), i % 3 ? STR("m") : STR("other")}, {STR("instance"), str_of(instance)},
                            {STR("job"), str_of(job)}, {STR("sparse"), i % 5 ? STR("") : STR("yes")}};
    return labels_from(a, items, i % 5 ? 3 : 4);
}

static void put(struct recent *store, unsigned lane, struct labels l, int64_t t, int64_t now)
{
    struct buf b = {0};
    rw_append_series(&b, l, &(struct sample){t, 1}, 1);
    recent_take(store, lane, buf_str(&b), now);
    buf_free(&b);
}

struct condition { const char *name; enum match_type type; const char *value; };

static size_t make(struct fixture *f, const struct condition *c, struct matcher *m)
{
    size_t n = 0;
    struct err err;
    for (; c[n].name; n++)
        assert_true(matcher_init(&m[n], &f->arena, c[n].type, str_of(c[n].name), str_of(c[n].value), &err));
    return n;
}

static struct series_set query(struct fixture *f, const struct matcher *m, size_t n)
{
    struct select sel = {.matchers = m, .n_matchers = n, .t_min = INT64_MIN, .t_max = INT64_MAX};
    struct series_set set;
    struct err err;
    struct source *s = recent_source(f->store);
    assert_true(s->ops->select(s, &f->q, &sel, 1, &set, &err));
    return set;
}

static const struct condition CASES[][4] = {
    {{0}},
    {{"job", MATCH_EQ, "job-3"}},
    {{"job", MATCH_EQ, "job-3"}, {METRIC_NAME, MATCH_EQ, "m"}},
    {{"job", MATCH_EQ, ""}},
    {{"job", MATCH_NE, ""}},
    {{"sparse", MATCH_EQ, ""}},
    {{"sparse", MATCH_NE, ""}, {"job", MATCH_NE, "job-1"}},
    {{"sparse", MATCH_NE, "yes"}, {METRIC_NAME, MATCH_EQ, "other"}},
    {{"absent", MATCH_EQ, ""}, {"job", MATCH_EQ, "job-1"}},
    {{"absent", MATCH_EQ, "x"}},
    {{"absent", MATCH_NE, "x"}},
    {{"absent", MATCH_RE, ".*"}, {"sparse", MATCH_RE, ".+"}},
    {{METRIC_NAME, MATCH_EQ, "m"}, {"instance", MATCH_RE, "i.*[13579]"}},
    {{"instance", MATCH_RE, "i1|i2|nobody|i2999"}},
    {{"instance", MATCH_RE, "|i1|i2"}},
    {{"instance", MATCH_NRE, "|i1|i2"}},
    {{"instance", MATCH_NRE, "i1|i2"}, {"job", MATCH_RE, "job-[12]"}},
    {{"instance", MATCH_NRE, "i.*[13579]"}, {"job", MATCH_EQ, "job-2"}, {METRIC_NAME, MATCH_NE, "m"}},
    {{"instance", MATCH_RE, ".*7"}, {"instance", MATCH_NRE, ".*17"}, {"sparse", MATCH_EQ, "yes"}},
    {{"sparse", MATCH_RE, "y?e?s?"}, {"instance", MATCH_RE, "i2.*"}},
    {{"sparse", MATCH_NRE, "y.s"}, {"job", MATCH_NRE, "job-[0-4]"}},
};

static void selects_what_matches(void **state)
{
    (void)state;
    struct fixture f;
    open_store(&f, 0);
    for (unsigned i = 0; i < SERIES; i++)
        put(f.store, i % 2, f.all[i] = labels_of(&f.arena, i), i, 0);
    for (size_t k = 0; k < LEN(CASES); k++) {
        struct matcher m[4];
        size_t n = make(&f, CASES[k], m), want = 0;
        struct series_set set = query(&f, m, n);
        for (unsigned i = 0; i < SERIES; i++)
            want += matchers_match(m, n, f.all[i]);
        if (set.n != want)
            fail_msg("case %zu: %zu series instead of %zu", k, set.n, want);
        for (size_t i = 0; i < set.n; i++)
            assert_true(matchers_match(m, n, set.series[i].labels));
        series_set_release(&set);
        matchers_free(m, n);
    }
    close_store(&f);
}

/* --- while it is written ------------------------------------------------------------------------------------------ */

enum { AGE_MS = 50000, ROUNDS = 300, PER_ROUND = 400 };

struct writing { struct recent *store; atomic_bool done; };

/* Series live for a few rounds of 20 s. One, of another job, stays. */
static void write_churn(void *arg)
{
    struct writing *w = arg;
    struct arena a;
    arena_init(&a, 0);
    for (int64_t round = 0; round < ROUNDS; round++) {
        struct arena_mark mark = arena_mark(&a);
        int64_t now = round * 20000;
        for (unsigned i = 0; i < PER_ROUND; i++)
            put(w->store, 0, labels_of(&a, (unsigned)round * PER_ROUND + i + 1), now, now);
        struct label stays[] = {{STR("job"), STR("stays")}, {STR("instance"), STR("i0")}};
        put(w->store, 0, labels_from(&a, stays, LEN(stays)), now, now);
        arena_release(&a, mark);
    }
    arena_free(&a);
    atomic_store(&w->done, true);
}

static void selects_while_places_change(void **state)
{
    (void)state;
    static const struct condition odd[] = {{"instance", MATCH_RE, "i.*[02468]"}, {"job", MATCH_NRE, "job-[0-3]"}, {0}};
    struct fixture f;
    open_store(&f, AGE_MS);
    struct writing w = {.store = f.store};
    struct matcher m[2];
    size_t n = make(&f, odd, m), queries = 0;
    struct thread *writer = thread_start("writer", write_churn, &w);
    for (bool last = false, seen = false; !last; queries++) {
        last = atomic_load(&w.done);
        struct arena_mark mark = arena_mark(&f.arena);
        struct series_set set = query(&f, m, n);
        bool stays = false;
        for (size_t i = 0; i < set.n; i++) {
            assert_true(matchers_match(m, n, set.series[i].labels));
            stays = stays || str_is(labels_get(set.series[i].labels, STR("job")), "stays");
        }
        assert_true(stays || !seen); /* there once, there always */
        seen = seen || stays;
        assert_true(!last || seen);
        series_set_release(&set);
        arena_release(&f.arena, mark);
    }
    thread_join(writer);
    struct recent_stats st;
    recent_stats(f.store, &st);
    assert_true(st.evicted_series > 0 && queries > 1);
    matchers_free(m, n);
    close_store(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selects_what_matches),
        cmocka_unit_test(selects_while_places_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
