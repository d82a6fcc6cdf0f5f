// SPDX-License-Identifier: Apache-2.0
/* Beside a plain list of samples: whatever comes, in order or late, twice, with any bits, what the store says of a
 * window behind its edge is what the list says. What it counts as its memory is what malloc gave it, and nothing when
 * nothing is left. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../model/rng.h"
#include "model/histogram/histogram.h"
#include "model/remote_write.h"
#include "writer/recent/stripe.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

enum { LANES = 2, SERIES = 40, BATCHES = 700, MOST = 6 };

struct listed {
    struct labels labels;
    struct sample *samples; size_t n, cap;
    int64_t *hists; size_t n_hists, cap_hists;
};
struct fixture {
    struct recent *store;
    struct arena arena;
    struct notes notes;
    struct query_ctx q;
    struct buf bytes;
    struct listed series[SERIES];
    uint64_t rng;
    size_t decoded, undecoded; /* series of instant selectors: read from chunks, or not */
};

static void start(struct fixture *f, int64_t budget, int64_t retention, uint64_t seed)
{
    memset(f, 0, sizeof *f);
    f->rng = seed;
    f->store = recent_new(&(struct recent_conf){.budget = budget, .retention = retention}, LANES, 0);
    arena_init(&f->arena, 0);
    f->notes.arena = &f->arena;
    f->q = (struct query_ctx){.arena = &f->arena, .notes = &f->notes};
    for (unsigned i = 0; i < SERIES; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("id"), str_of(text)}};
        f->series[i].labels = labels_from(&f->arena, items, LEN(items));
    }
}

static void stop(struct fixture *f)
{
    for (unsigned i = 0; i < SERIES; i++) {
        mem_free(f->series[i].samples);
        mem_free(f->series[i].hists);
    }
    recent_unref(f->store);
    arena_free(&f->arena);
    buf_free(&f->bytes);
}

/* --- what comes --------------------------------------------------------------------------------------------------- */

static void list_sample(struct listed *l, struct sample s) /* the first of a time stays */
{
    for (size_t i = l->n; i-- > 0;)
        if (l->samples[i].t == s.t)
            return;
    mem_grow(&l->samples, &l->cap, l->n + 1, sizeof *l->samples);
    l->samples[l->n++] = s;
}

static void list_hist(struct listed *l, int64_t t)
{
    for (size_t i = 0; i < l->n_hists; i++)
        if (l->hists[i] == t)
            return;
    mem_grow(&l->hists, &l->cap_hists, l->n_hists + 1, sizeof *l->hists);
    l->hists[l->n_hists++] = t;
}

static double random_value(struct fixture *f)
{
    switch (rng_below(&f->rng, 8)) {
    case 0: return double_from_bits(rng_next(&f->rng));
    case 1: return -0.0;
    case 2: return stale_nan();
    case 3: return (double)(int64_t)rng_next(&f->rng);
    case 4: return (double)rng_below(&f->rng, 1000) / 100;
    default: return (double)rng_below(&f->rng, 2);
    }
}

static int64_t random_time(struct fixture *f, int64_t now)
{
    switch (rng_below(&f->rng, 12)) {
    case 0: return now - (int64_t)rng_below(&f->rng, 60000);
    case 1: return now - (int64_t)rng_below(&f->rng, 4) * 10000;
    case 2: return now + (int64_t)rng_below(&f->rng, 3000);
    default: return now;
    }
}

static void put_hist(struct fixture *f, struct listed *l, int64_t t)
{
    static const struct histogram h = {.count = 3, .sum = 5, .zero_count = 3};
    struct buf message = {0};
    histogram_encode(&message, &h, t);
    rw_append_full(&f->bytes, l->labels, &(struct rw_contents){.hists = &(struct str){message.p, message.n}, .n_hists = 1});
    buf_free(&message);
    list_hist(l, t);
}

static void put_batch(struct fixture *f, unsigned lane, int64_t now)
{
    buf_clear(&f->bytes);
    for (unsigned i = lane; i < SERIES; i += LANES) {
        struct sample samples[MOST];
        size_t n = rng_below(&f->rng, i % 5 ? 3 : MOST + 1);
        for (size_t k = 0; k < n; k++) {
            samples[k] = (struct sample){i % 4 == 1 ? now + (int64_t)k : random_time(f, now), random_value(f)};
            list_sample(&f->series[i], samples[k]);
        }
        rw_append_series(&f->bytes, f->series[i].labels, samples, n);
        if (i % 9 == 0)
            put_hist(f, &f->series[i], random_time(f, now));
    }
    recent_take(f->store, lane, buf_str(&f->bytes), now);
}

/* --- what is answered --------------------------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
    int64_t x = ((const struct sample *)a)->t, y = ((const struct sample *)b)->t;
    return (x > y) - (x < y);
}

static struct listed *find(struct fixture *f, struct labels labels)
{
    for (unsigned i = 0; i < SERIES; i++)
        if (labels_equal(f->series[i].labels, labels))
            return &f->series[i];
    fail_msg("a series that never came");
    return NULL;
}

static size_t check_series(struct listed *l, const struct series *s, int64_t t_min, int64_t t_max)
{
    size_t at = 0, hists = 0;
    if (l->n > 0)
        qsort(l->samples, l->n, sizeof *l->samples, by_time);
    for (size_t i = 0; i < l->n; i++) {
        if (l->samples[i].t < t_min || l->samples[i].t > t_max)
            continue;
        assert_true(at < s->n_samples && s->samples[at].t == l->samples[i].t);
        assert_true(double_bits(s->samples[at++].v) == double_bits(l->samples[i].v));
    }
    for (size_t i = 0; i < l->n_hists; i++)
        hists += l->hists[i] >= t_min && l->hists[i] <= t_max;
    assert_int_equal(s->n_samples, at);
    assert_int_equal(s->n_hists, hists);
    return at + hists;
}

/* The points of the list in the window. */
static size_t count(const struct fixture *f, int64_t t_min, int64_t t_max)
{
    size_t sum = 0;
    for (unsigned i = 0; i < SERIES; i++) {
        for (size_t k = 0; k < f->series[i].n; k++)
            sum += f->series[i].samples[k].t >= t_min && f->series[i].samples[k].t <= t_max;
        for (size_t k = 0; k < f->series[i].n_hists; k++)
            sum += f->series[i].hists[k] >= t_min && f->series[i].hists[k] <= t_max;
    }
    return sum;
}

/* An instant selector gets the newest sample of the window, and perhaps others. */
static void check_newest(struct fixture *f, struct series_set *all, int64_t t_min, int64_t t_max)
{
    struct select sel = {.kind = SELECT_INSTANT, .t_min = t_min, .t_max = t_max, .start = t_max, .end = t_max, .window = 1};
    struct series_set set;
    struct err err;
    struct source *source = recent_source(f->store);
    assert_true(source->ops->select(source, &f->q, &sel, 1, &set, &err));
    assert_int_equal(set.n, all->n);
    for (size_t i = 0; i < set.n; i++) {
        struct series s, newest;
        assert_true(series_set_get(all, i, &s, &err) && series_set_get(&set, i, &newest, &err));
        assert_true(labels_equal(s.labels, newest.labels));
        assert_int_equal(s.n_hists, newest.n_hists);
        assert_int_equal(s.n_samples > 0, newest.n_samples > 0);
        if (s.n_samples == 0)
            continue;
        const struct sample *a = &s.samples[s.n_samples - 1], *b = &newest.samples[newest.n_samples - 1];
        assert_int_equal(a->t, b->t);
        assert_true(double_bits(a->v) == double_bits(b->v));
        f->decoded += newest.n_samples > 1;
        f->undecoded += s.n_samples > newest.n_samples;
    }
    series_set_release(&set);
}

static void check_window(struct fixture *f, int64_t t_min, int64_t t_max)
{
    struct arena_mark mark = arena_mark(&f->arena);
    struct select sel = {.kind = SELECT_RANGE, .t_min = t_min, .t_max = t_max};
    struct series_set set;
    struct err err;
    struct source *source = recent_source(f->store);
    assert_true(source->ops->select(source, &f->q, &sel, 1, &set, &err));
    size_t points = 0;
    for (size_t i = 0; i < set.n; i++) {
        struct series s;
        assert_true(series_set_get(&set, i, &s, &err));
        points += check_series(find(f, s.labels), &s, t_min, t_max);
    }
    assert_int_equal(points, count(f, t_min, t_max));
    check_newest(f, &set, t_min, t_max);
    series_set_release(&set);
    arena_release(&f->arena, mark);
}

static void check_windows(struct fixture *f, int64_t now)
{
    int64_t from = recent_from(f->store);
    from = from < -100000 ? -100000 : from;
    check_window(f, from, INT64_MAX);
    check_window(f, from, now);
    int64_t t_min = from + (int64_t)rng_below(&f->rng, (uint64_t)(now - from) + 1);
    check_window(f, t_min, t_min + (int64_t)rng_below(&f->rng, 100000));
}

static void answers_as_a_list_would(void **state)
{
    (void)state;
    static const struct { int64_t budget, retention; } kinds[] = {
        {64 << 20, 0}, {60 << 10, 0}, {64 << 20, 600000}, {100 << 10, 7200000}};
    for (size_t k = 0; k < LEN(kinds); k++) {
        struct fixture f;
        start(&f, kinds[k].budget, kinds[k].retention, k + 1);
        for (int64_t i = 0; i < BATCHES; i++) {
            put_batch(&f, (unsigned)i % LANES, i * 5000);
            if (i % 20 == 19)
                check_windows(&f, i * 5000);
        }
        struct recent_stats st;
        recent_stats(f.store, &st);
        assert_true(k == 0 || st.evicted_samples > 0);
        assert_true(f.decoded > 500 && f.undecoded > 200);
        assert_true(st.chunk_bytes + st.index_bytes <= (uint64_t)kinds[k].budget);
        stop(&f);
    }
}

static void nothing_takes_nothing(void **state)
{
    (void)state;
    struct fixture f;
    struct recent_stats st;
    start(&f, 64 << 20, 600000, 9);
    for (int round = 0; round < 3; round++) {
        int64_t now = round * INT64_C(100000000);
        for (int64_t i = 0; i < BATCHES / 7; i++)
            put_batch(&f, (unsigned)i % LANES, now += 5000);
        recent_stats(f.store, &st);
        assert_true(st.samples > 0 && st.chunk_bytes > 0 && st.index_bytes > 0);
        for (unsigned lane = 0; lane < LANES; lane++)
            recent_take(f.store, lane, STR_NONE, now + 50000000);
        recent_stats(f.store, &st);
        assert_int_equal(st.series + st.samples, 0);
        assert_int_equal(st.chunk_bytes, 0);
        assert_int_equal(st.index_bytes, 0);
    }
    stop(&f);
}

/* Of late samples and of histograms a query takes those that it asked for. */
static void a_window_takes_its_own(void **state)
{
    (void)state;
    enum { POINTS = 5000 };
    struct fixture f;
    start(&f, 64 << 20, 0, 1);
    struct listed *l = &f.series[0];
    for (int64_t t = POINTS; t > 0; t--) {
        rw_append_series(&f.bytes, l->labels, &(struct sample){t, 1}, 1);
        put_hist(&f, l, t);
    }
    recent_take(f.store, 0, buf_str(&f.bytes), 0);
    size_t before = f.arena.used;
    struct select sel = {.t_min = 100, .t_max = 109};
    struct series_set set;
    struct series s;
    struct err err;
    struct source *source = recent_source(f.store);
    assert_true(source->ops->select(source, &f.q, &sel, 1, &set, &err));
    assert_true(series_set_get(&set, 0, &s, &err));
    assert_int_equal(s.n_samples, 10);
    assert_int_equal(s.n_hists, 10);
    assert_int_equal(s.samples[0].t, 100);
    assert_int_equal(s.hists[9].t, 109);
    assert_true(f.arena.used - before < 16384);
    series_set_release(&set);
    stop(&f);
}

/* Two that send the same: the second takes nothing, also where a chunk ends. */
static void what_comes_twice_takes_nothing(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 64 << 20, 0, 1);
    struct stripe *p = &f.store->stripes[0];
    for (int64_t t = 1; t <= 500; t++) {
        for (int sender = 0; sender < 2; sender++) {
            buf_clear(&f.bytes);
            rw_append_series(&f.bytes, f.series[0].labels, &(struct sample){t, 1}, 1);
            recent_take(f.store, 0, buf_str(&f.bytes), 0);
            if (t % 100 == 0)
                recent_series_seal(p, p->series[0]); /* as stripe_seal_slice() does */
        }
    }
    assert_null(p->series[0]->extra);
    assert_int_equal(p->samples, 500);
    stop(&f);
}

/* --- what it takes ------------------------------------------------------------------------------------------------ */

static size_t allocated(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

enum { MANY = 20000, STEPS = 60, TOGETHER = 500 };

static struct labels numbered(struct arena *a, unsigned i)
{
    char text[16];
    snprintf(text, sizeof text, "%u", i);
    struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("id"), str_of(text)}};
    return labels_from(a, items, LEN(items));
}

/* Chunks are cut while they are small, and some samples are late. */
static void fill(struct recent *store, struct buf *bytes, struct arena *a)
{
    uint64_t rng = 1;
    for (int64_t t = 0; t < STEPS * 15000; t += 15000) {
        for (unsigned i = 0; i < MANY; i += TOGETHER) {
            struct arena_mark mark = arena_mark(a);
            buf_clear(bytes);
            for (unsigned k = i; k < i + TOGETHER; k++) {
                int64_t late = k % 50 ? 0 : (int64_t)rng_below(&rng, 40000);
                rw_append_series(bytes, numbered(a, k), &(struct sample){t - late, (double)rng_next(&rng)}, 1);
            }
            recent_take(store, 0, buf_str(bytes), t);
            arena_release(a, mark);
        }
    }
}

static void counts_what_malloc_gave(void **state)
{
    (void)state;
    enum { BUDGET = 16 << 20 };
    struct fixture f;
    struct recent_stats st;
    start(&f, BUDGET, 0, 1);
    buf_reserve(&f.bytes, 1 << 20);
    size_t before = allocated();
    fill(f.store, &f.bytes, &f.arena);
    size_t held = allocated() - before;
    recent_stats(f.store, &st);
    size_t counted = st.chunk_bytes + st.index_bytes;
    bool known = held > 0; /* another malloc, a sanitizer's, is not asked */
    if (known && (held > counted + counted / 16 || held < counted - counted / 16))
        fail_msg("%zu bytes are held, %zu are counted", held, counted);
    assert_true(st.evicted_samples > 0);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_as_a_list_would),
        cmocka_unit_test(nothing_takes_nothing),
        cmocka_unit_test(a_window_takes_its_own),
        cmocka_unit_test(what_comes_twice_takes_nothing),
        cmocka_unit_test(counts_what_malloc_gave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
