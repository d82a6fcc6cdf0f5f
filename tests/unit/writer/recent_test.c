// SPDX-License-Identifier: Apache-2.0
/* Chunks give back what was put in; the store answers as a list of samples would, keeps its budget, and stays whole
 * behind its edge. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer/recent/stripe.h"
#include "base/protobuf.h"
#include "model/remote_write.h"

#include <stdio.h>
#include <time.h>

static uint64_t seed = 1;
static uint64_t next_random(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed;
}

static double odd_value(unsigned kind, double before)
{
    switch (kind % 7) {
    case 0: return before;
    case 1: return before + (double)(next_random() % 1000);
    case 2: return (double)next_random() / 3e12;
    case 3: return stale_nan();
    case 4: return -0.0;
    case 5: return double_from_bits(next_random());
    default: return (double)(int64_t)next_random();
    }
}

static void chunks_keep_every_bit(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        struct sample in[CHUNK_SAMPLES], out[CHUNK_SAMPLES];
        struct chunk *c = chunk_new(CHUNK_SAMPLE_BYTES);
        struct chunk_tail tail = {0};
        int64_t t = (int64_t)(next_random() % 2000000000000) - 1000000000000;
        double v = 0;
        for (uint32_t i = 0; i < CHUNK_SAMPLES; i++) {
            t += round % 3 ? 15000 : 1 + (int64_t)(next_random() % 100000);
            v = odd_value(round % 5 ? round : (unsigned)next_random(), v);
            in[i] = (struct sample){t, v};
            c = chunk_append(c, &tail, t, v);
        }
        assert_true(chunk_full(c));
        c = chunk_seal(c);
        assert_int_equal(chunk_decode(c, INT64_MIN, INT64_MAX, out), CHUNK_SAMPLES);
        for (uint32_t i = 0; i < CHUNK_SAMPLES; i++) {
            assert_int_equal(in[i].t, out[i].t);
            assert_true(double_bits(in[i].v) == double_bits(out[i].v));
        }
        assert_int_equal(chunk_decode(c, in[10].t, in[19].t, out), 10);
        assert_int_equal(out[0].t, in[10].t);
        chunk_unref(c);
    }
}

/* --- the store ---------------------------------------------------------------------------------------------------- */

struct fixture { struct recent *store; struct arena arena; struct notes notes; struct query_ctx q; struct buf bytes; };

static void open_store(struct fixture *f, int64_t budget, int64_t retention, int64_t now)
{
    memset(f, 0, sizeof *f);
    f->store = recent_new(&(struct recent_conf){.budget = budget, .retention = retention}, 2, now);
    arena_init(&f->arena, 0);
    f->notes.arena = &f->arena;
    f->q = (struct query_ctx){.arena = &f->arena, .notes = &f->notes};
}

static void close_store(struct fixture *f)
{
    recent_unref(f->store);
    arena_free(&f->arena);
    buf_free(&f->bytes);
}

static struct labels labels_of(struct arena *a, const char *name, unsigned i)
{
    char value[16];
    snprintf(value, sizeof value, "i%u", i);
    struct label items[] = {{STR(METRIC_NAME), str_of(name)}, {STR("instance"), str_of(value)}};
    return labels_from(a, items, 2);
}

static void put(struct fixture *f, unsigned lane, const char *name, unsigned i, int64_t t, double v, int64_t now)
{
    buf_clear(&f->bytes);
    rw_append_series(&f->bytes, labels_of(&f->arena, name, i), &(struct sample){t, v}, 1);
    recent_take(f->store, lane, buf_str(&f->bytes), now);
}

static struct series_set query_label(struct fixture *f, const char *label, enum match_type type, const char *value,
                                     int64_t t_min, int64_t t_max)
{
    struct matcher *m = arena_zalloc(&f->arena, sizeof *m);
    struct err err;
    assert_true(matcher_init(m, &f->arena, type, str_of(label), str_of(value), &err));
    struct select sel = {.matchers = m, .n_matchers = 1, .t_min = t_min, .t_max = t_max};
    struct series_set set;
    struct source *s = recent_source(f->store);
    assert_true(s->ops->select(s, &f->q, &sel, 1, &set, &err));
    matchers_free(m, 1);
    return set;
}

static struct series_set query(struct fixture *f, enum match_type type, const char *value, int64_t t_min, int64_t t_max)
{
    return query_label(f, "instance", type, value, t_min, t_max);
}

static void answers_what_was_put(void **state)
{
    (void)state;
    struct fixture f;
    open_store(&f, 64 << 20, 0, 0);
    for (int64_t t = 1; t <= 1000; t++)
        for (unsigned i = 0; i < 5; i++)
            put(&f, i % 2, "m", i, t * 1000, (double)(t * 10 + i), 0);
    struct series_set set = query(&f, MATCH_EQ, "i3", 500000, 503000);
    assert_int_equal(set.n, 1);
    struct series s = {0};
    struct err err;
    assert_true(series_set_get(&set, 0, &s, &err));
    assert_int_equal(s.n_samples, 4);
    assert_int_equal(s.samples[0].t, 500000);
    assert_true(s.samples[3].v == 5033.0);
    series_set_release(&set);
    set = query(&f, MATCH_RE, "i[0-2]", 0, INT64_MAX);
    assert_int_equal(set.n, 3);
    series_set_release(&set);
    set = query(&f, MATCH_NE, "i0", 0, 10);
    assert_int_equal(set.n, 0); /* nothing that old */
    series_set_release(&set);
    close_store(&f);
}

static void late_samples_find_their_place(void **state)
{
    (void)state;
    struct fixture f;
    open_store(&f, 64 << 20, 0, 0);
    const int64_t order[] = {50, 10, 30, 20, 60, 40, 30, 50};
    for (size_t i = 0; i < LEN(order); i++)
        put(&f, 0, "m", 1, order[i], (double)i, 0);
    struct series_set set = query(&f, MATCH_EQ, "i1", 0, 100);
    struct series s = {0};
    struct err err;
    assert_true(series_set_get(&set, 0, &s, &err));
    assert_int_equal(s.n_samples, 6);
    const double first_value[] = {1, 3, 2, 5, 0, 4}; /* of 10 20 30 40 50 60: the first that came stays */
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(s.samples[i].t, 10 * (i + 1));
        assert_true(s.samples[i].v == first_value[i]);
    }
    series_set_release(&set);
    close_store(&f);
}

static void budget_takes_whole_time(void **state)
{
    (void)state;
    struct fixture f;
    enum { SERIES = 500 };
    open_store(&f, 2 << 20, 7200000, 0);
    int64_t t = 0;
    for (int round = 0; round < 2000; round++) {
        t += 1000;
        buf_clear(&f.bytes);
        struct arena_mark mark = arena_mark(&f.arena);
        for (unsigned i = 0; i < SERIES; i++)
            rw_append_series(&f.bytes, labels_of(&f.arena, "m", i), &(struct sample){t, (double)next_random()}, 1);
        recent_take(f.store, 0, buf_str(&f.bytes), t);
        arena_release(&f.arena, mark);
    }
    struct recent_stats st;
    recent_stats(f.store, &st);
    assert_true(st.chunk_bytes + st.index_bytes <= 2 << 20);
    assert_true(st.evicted_samples > 0);
    assert_int_equal(st.series, SERIES);
    assert_int_equal(st.samples + st.evicted_samples, SERIES * 2000);
    int64_t from = recent_from(f.store);
    assert_true(from > 0 && from < t);
    struct series_set set = query(&f, MATCH_RE, "i.*", from, t);
    assert_int_equal(set.n, SERIES);
    for (size_t i = 0; i < set.n; i++) { /* whole from the edge on, for every series */
        struct series s = {0};
        struct err err;
        assert_true(series_set_get(&set, i, &s, &err));
        assert_int_equal(s.n_samples, (t - (from + 999) / 1000 * 1000) / 1000 + 1);
    }
    series_set_release(&set);
    close_store(&f);
}

/* Few samples of many series: none has a full chunk when the budget is reached, and yet the newest stay. */
static void budget_leaves_the_newest(void **state)
{
    (void)state;
    struct fixture f;
    enum { SERIES = 500, BUDGET = 1 << 20 };
    open_store(&f, BUDGET, 7200000, 0);
    struct recent_stats st = {0};
    for (int64_t t = 1000; t <= 600000; t += 1000) {
        buf_clear(&f.bytes);
        struct arena_mark mark = arena_mark(&f.arena);
        for (unsigned i = 0; i < SERIES; i++)
            rw_append_series(&f.bytes, labels_of(&f.arena, "m", i), &(struct sample){t, (double)next_random()}, 1);
        recent_take(f.store, t / 1000 % 2, buf_str(&f.bytes), t);
        arena_release(&f.arena, mark);
        recent_stats(f.store, &st);
        assert_true(st.chunk_bytes + st.index_bytes <= BUDGET);
        assert_true(st.samples >= (t < 20000 ? (uint64_t)t / 1000 : 20) * SERIES);
    }
    assert_true(st.evicted_samples > 0);
    close_store(&f);
}

/* More series than fit, samples from a far future, and an endless stream of new label values: the store stays within
 * its budget, and in a time that follows what comes in. */
static void the_budget_is_a_bound(void **state)
{
    (void)state;
    struct fixture f;
    enum { BUDGET = 1 << 20 };
    struct recent_stats st;
    for (int round = 0; round < 2; round++) {
        open_store(&f, BUDGET, round == 0 ? 3600000 : 0, 0);
        for (unsigned i = 0; i < 100000; i++) {
            struct arena_mark mark = arena_mark(&f.arena);
            put(&f, i % 2, "m", i, i % 3 ? 1000 + i : (int64_t)1 << 50, 1, 1000 + i);
            arena_release(&f.arena, mark);
        }
        recent_stats(f.store, &st);
        assert_true(st.chunk_bytes + st.index_bytes <= BUDGET);
        assert_true(st.series > 100);
        if (round == 0)
            assert_int_equal(st.rejected_samples, 33334);
        close_store(&f);
    }
}

/* New series of one time, so that all of them must go at once, in a store that is too large for one step: each batch
 * drops a few, and the store exceeds its budget by little. */
static void eviction_of_a_large_store_is_done_in_steps(void **state)
{
    (void)state;
    struct fixture f;
    enum { BUDGET = 16 << 20, BATCHES = 400, SERIES = 200, EVICTED_MOST = 600 };
    struct recent_stats st = {0};
    uint64_t held_most = 0;
    open_store(&f, BUDGET, 3600000, 0);
    for (unsigned i = 0; i < BATCHES; i++) {
        uint64_t before = st.evicted_series;
        struct arena_mark mark = arena_mark(&f.arena);
        buf_clear(&f.bytes);
        for (unsigned k = 0; k < SERIES; k++)
            rw_append_series(&f.bytes, labels_of(&f.arena, "m", i * SERIES + k), &(struct sample){1000, 1}, 1);
        recent_take(f.store, 0, buf_str(&f.bytes), 1000);
        arena_release(&f.arena, mark);
        recent_stats(f.store, &st);
        assert_true(st.evicted_series - before <= EVICTED_MOST);
        held_most = st.chunk_bytes + st.index_bytes > held_most ? st.chunk_bytes + st.index_bytes : held_most;
    }
    assert_true(st.evicted_series > BATCHES * SERIES / 4);
    if (held_most > BUDGET + BUDGET / 16)
        fail_msg("%llu bytes are held", (unsigned long long)held_most);
    close_store(&f);
}

/* Backwards, in messages of many samples and of one. */
static void a_bulk_load_backwards_is_quick(void **state)
{
    (void)state;
    struct fixture f;
    enum { SAMPLES = 300000, MESSAGE = 100000 };
    struct sample *samples = mem_alloc(MESSAGE * sizeof *samples);
    open_store(&f, 64 << 20, 0, 0);
    for (int64_t t = SAMPLES; t > 0; t -= MESSAGE) {
        for (int i = 0; i < MESSAGE; i++)
            samples[i] = (struct sample){t - i, (double)(t - i)};
        buf_clear(&f.bytes);
        rw_append_series(&f.bytes, labels_of(&f.arena, "m", 1), samples, MESSAGE);
        recent_take(f.store, 0, buf_str(&f.bytes), 0);
        recent_take(f.store, 0, buf_str(&f.bytes), 0); /* a second time: nothing is new */
    }
    for (int64_t t = 0; t > -100; t--)
        put(&f, 0, "m", 1, t, (double)t, 0);
    struct series_set set = query(&f, MATCH_EQ, "i1", -99, SAMPLES);
    struct series s = {0};
    struct err err;
    assert_true(series_set_get(&set, 0, &s, &err));
    assert_int_equal(s.n_samples, SAMPLES + 100);
    for (uint32_t i = 0; i < s.n_samples; i++)
        assert_true(s.samples[i].t == (int64_t)i - 99 && s.samples[i].v == (double)s.samples[i].t);
    series_set_release(&set);
    struct recent_stats st;
    recent_stats(f.store, &st);
    assert_int_equal(st.samples, SAMPLES + 100);
    mem_free(samples);
    close_store(&f);
}

enum order { NEWEST_FIRST, SHUFFLED, INTERLEAVED, REPEATED };

/* The i-th of n messages: its time, from 1 to n, and its series. */
static int64_t message_time(enum order order, uint32_t i, uint32_t n)
{
    switch (order) {
    case NEWEST_FIRST: return n - i;
    case SHUFFLED: return 1 + (int64_t)((uint64_t)i * 7919 % n);
    case INTERLEAVED: return n - i / 2;
    case REPEATED: return n - i / 4 % (n / 8);
    }
    return 0;
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint32_t histogram_message(uint8_t *out, int64_t t)
{
    struct buf b = {0};
    pb_add_int(&b, 15, t);
    memcpy(out, b.p, b.n);
    uint32_t n = (uint32_t)b.n;
    buf_free(&b);
    return n;
}

/* Messages of one sample, or one histogram, in any order and with any division into batches. Before the tail was kept
 * from message to message, the first of these took 8 s. */
static void the_order_of_messages_costs_nothing(void **state)
{
    (void)state;
    enum { MESSAGES = 100000 };
    for (unsigned round = 0; round < 16; round++) {
        enum order order = round % 4;
        bool histograms = round / 4 % 2;
        uint32_t together = round / 8 ? 1000 : MESSAGES;
        struct fixture f;
        open_store(&f, 64 << 20, 0, 0);
        struct labels labels[] = {labels_of(&f.arena, "m", 1), labels_of(&f.arena, "m", 2)};
        double start = cpu_seconds();
        for (uint32_t i = 0; i < MESSAGES; i++) {
            uint8_t message[32];
            int64_t t = message_time(order, i, MESSAGES);
            struct str hist = str_n(message, histogram_message(message, t));
            rw_append_full(&f.bytes, labels[order == INTERLEAVED ? i % 2 : 0], 
                           &(struct rw_contents){.samples = &(struct sample){t, (double)i}, .n_samples = !histograms,
                                                 .hists = &hist, .n_hists = histograms});
            if ((i + 1) % together == 0) {
                recent_take(f.store, 0, buf_str(&f.bytes), 0);
                buf_clear(&f.bytes);
            }
        }
        struct series_set set = query(&f, MATCH_EQ, "i1", 0, MESSAGES);
        struct series s = {0};
        struct err err;
        assert_true(series_set_get(&set, 0, &s, &err));
        assert_int_equal(histograms ? s.n_hists : s.n_samples,
                         order == INTERLEAVED ? MESSAGES / 2 : order == REPEATED ? MESSAGES / 8 : MESSAGES);
        assert_true(cpu_seconds() - start < 2.0);
        for (uint32_t i = 1; i < s.n_samples; i++)
            assert_true(s.samples[i].t == s.samples[i - 1].t + 1);
        for (uint32_t i = 1; i < s.n_hists; i++)
            assert_true(s.hists[i].t == s.hists[i - 1].t + 1);
        for (uint32_t i = 0; order == REPEATED && i < s.n_samples; i++) /* the first of each time */
            assert_true(s.samples[i].v == (double)(MESSAGES - s.samples[i].t) * 4);
        series_set_release(&set);
        close_store(&f);
    }
}

static void times_at_the_ends_are_times(void **state)
{
    (void)state;
    struct fixture f;
    const int64_t times[] = {INT64_MIN, -1, INT64_MAX};
    open_store(&f, 64 << 20, 0, 0);
    for (size_t i = 0; i < LEN(times); i++)
        put(&f, 0, "m", 1, times[i], (double)i, 0);
    struct series_set set = query(&f, MATCH_EQ, "i1", INT64_MIN, INT64_MAX);
    struct series s = {0};
    struct err err;
    assert_true(series_set_get(&set, 0, &s, &err));
    assert_int_equal(s.n_samples, LEN(times));
    for (size_t i = 0; i < LEN(times); i++)
        assert_true(s.samples[i].t == times[i]);
    series_set_release(&set);
    close_store(&f);
}

/* New series take the places of those that went; what a matcher finds is right all along. */
static void places_are_used_again(void **state)
{
    (void)state;
    struct fixture f;
    enum { ROUNDS = 60, SERIES = 300, AGE = 3 };
    open_store(&f, 64 << 20, AGE * 20000, 0);
    struct recent_stats st;
    for (int64_t round = 0; round < ROUNDS; round++) {
        int64_t now = round * 20000;
        const char *name = (const char *const[]){"m0", "m1", "m2", "m3", "m4", "m5", "m6"}[round % 7];
        for (unsigned i = 0; i < SERIES; i++)
            put(&f, 0, name, (unsigned)(round % 7) * SERIES + i, now, (double)round, now);
        recent_stats(f.store, &st);
        assert_true(st.series <= (AGE + 2) * SERIES);
        for (unsigned i = 0; i < 7; i++) {
            char value[16];
            snprintf(value, sizeof value, "i%u", i * SERIES);
            struct series_set set = query(&f, MATCH_EQ, value, now - (AGE - 1) * 20000, now);
            bool want = false;
            for (int64_t r = round; r >= 0 && r > round - AGE; r--)
                want = want || r % 7 == i;
            assert_int_equal(set.n, want);
            series_set_release(&set);
            snprintf(value, sizeof value, "m%u", i); /* long postings, out of which ids are taken late */
            set = query_label(&f, METRIC_NAME, MATCH_EQ, value, now - (AGE - 1) * 20000, now);
            assert_int_equal(set.n, want * SERIES);
            series_set_release(&set);
        }
    }
    assert_true(st.evicted_series > SERIES * (ROUNDS - 2 * AGE));
    close_store(&f);
}

static void silent_series_go(void **state)
{
    (void)state;
    struct fixture f;
    open_store(&f, 64 << 20, 60000, 0);
    for (unsigned i = 0; i < 300; i++)
        put(&f, 0, "m", i, 1000, 1, 1000);
    for (int64_t t = 2000; t < 200000; t += 1000)
        put(&f, 0, "m", 7, t, 1, t);
    struct recent_stats st;
    recent_stats(f.store, &st);
    assert_int_equal(st.series, 1);
    assert_int_equal(st.evicted_series, 299);
    struct str_set values;
    struct series_query sq = {.t_min = 0, .t_max = INT64_MAX};
    struct err err;
    struct source *s = recent_source(f.store);
    assert_true(s->ops->label_values(s, &f.q, STR("instance"), &sq, &values, &err));
    assert_int_equal(values.n, 1);
    assert_true(str_is(values.items[0], "i7"));
    close_store(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_keep_every_bit),
        cmocka_unit_test(answers_what_was_put),
        cmocka_unit_test(late_samples_find_their_place),
        cmocka_unit_test(budget_takes_whole_time),
        cmocka_unit_test(budget_leaves_the_newest),
        cmocka_unit_test(the_budget_is_a_bound),
        cmocka_unit_test(eviction_of_a_large_store_is_done_in_steps),
        cmocka_unit_test(a_bulk_load_backwards_is_quick),
        cmocka_unit_test(the_order_of_messages_costs_nothing),
        cmocka_unit_test(times_at_the_ends_are_times),
        cmocka_unit_test(places_are_used_again),
        cmocka_unit_test(silent_series_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
