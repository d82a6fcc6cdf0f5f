// SPDX-License-Identifier: Apache-2.0
/* Long chains (a or b or c ...) are no nesting: they are parsed, printed and evaluated at any length, on little stack.
 * What nests is bounded, and at the bound everything still fits into half a thread's stack.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "corpus.h"

#include "base/os/thread.h"
#include "promql/ast/ast.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, PAGE = 4096, CHAIN = 20000, FLAT_BYTES = 128 << 10 };

struct work { struct buf text; struct corpus_store *store; size_t series, stack, used; bool range; double last; };

/* --- how much stack a thread has touched -------------------------------------------------------------------------- */

static void measure_stack(struct work *w)
{
    pthread_attr_t attr;
    void *low;
    assert_int_equal(pthread_getattr_np(pthread_self(), &attr), 0);
    assert_int_equal(pthread_attr_getstack(&attr, &low, &w->stack), 0);
    pthread_attr_destroy(&attr);
    for (size_t at = 0; at < w->stack; at += PAGE) {
        unsigned char resident = 0;
        assert_int_equal(mincore((char *)low + at, PAGE, &resident), 0);
        w->used += resident & 1 ? PAGE : 0;
    }
}

/* --- everything that is done with a query ------------------------------------------------------------------------- */

static void show(const struct expr *e, struct arena *a)
{
    struct buf line = {0}, lines = {.max = 1 << 20}, json = {0};
    struct err err = {0};
    const struct matcher *const *sets;
    const size_t *sizes;
    promql_print(&line, e);
    promql_pretty(&lines, e);
    promql_json(&json, e);
    assert_true(lines.over || lines.n >= line.n);
    assert_true(json.n > line.n);
    assert_true(promql_selectors(a, e, &sets, &sizes) > 0);
    struct expr *again = promql_parse(a, buf_str(&line), NULL, &err);
    assert_non_null(again);
    assert_true(promql_equal(e, again));
    promql_free(again);
    buf_free(&line);
    buf_free(&lines);
    buf_free(&json);
}

static void work(void *arg)
{
    struct work *w = arg;
    struct arena a;
    struct err err = {0};
    struct promql_result out;
    struct promql_params p = {.start = 0, .end = w->range ? 10 * MINUTE : 0, .step = MINUTE, .range = w->range};
    arena_init(&a, 256 << 20); /* a query's budget */
    struct notes notes = {.arena = &a};
    struct query_ctx q = {.arena = &a, .notes = &notes};
    struct str text = buf_str(&w->text);
    struct expr *e = promql_parse(&a, text, NULL, &err);
    if (e == NULL || !promql_eval(e, text, &p, &w->store->source, &q, &out, &err))
        fail_msg("%.*s...: %s", (int)(text.n < 60 ? text.n : 60), text.p, err.text);
    w->series = out.n;
    w->last = out.n > 0 ? out.series[0].v[out.series[0].n - 1] : 0;
    show(e, &a);
    promql_free(e);
    arena_free(&a);
    measure_stack(w);
}

static void run_on_thread(struct work *w)
{
    struct thread *t = thread_start("query", work, w);
    assert_non_null(t);
    thread_join(t);
    buf_free(&w->text);
}

/* --- chains ------------------------------------------------------------------------------------------------------- */

static void add_chain(struct buf *text, const char *operator, const char *term, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(text, "%s%s", i > 0 ? operator : "", term);
}

/* The stack that the same query takes with a chain of two: frames of the evaluator, and a sanitizer's own. */
static size_t stack_of_short_chain(struct corpus_store *store, bool range, const char *const around[4])
{
    struct work w = {.store = store, .range = range};
    buf_add_z(&w.text, around[0]);
    add_chain(&w.text, around[1], around[2], 2);
    buf_add_z(&w.text, around[3]);
    run_on_thread(&w);
    return w.used;
}

static void chains_are_no_nesting(void **state)
{
    static const char *const operators[] = {" or ", " or on (a) ", " and ", " unless on (b) ", " + ", " * on (a) ",
                                            " == ", " atan2 "};
    for (size_t i = 0; i < 2 * LEN(operators); i++) {
        struct work w = {.store = *state, .range = i % 2};
        const char *const around[] = {"", operators[i / 2], "up", ""};
        add_chain(&w.text, operators[i / 2], "up", CHAIN);
        run_on_thread(&w);
        assert_in_range(w.used, 1, stack_of_short_chain(*state, w.range, around) + FLAT_BYTES);
    }
}

static void each_term_of_a_chain_counts(void **state)
{
    struct work sum = {.store = *state, .range = true}, names = {.store = *state}, scalars = {.store = *state};
    add_chain(&sum.text, " + ", "one", CHAIN);
    run_on_thread(&sum);
    assert_true(sum.last == CHAIN);
    for (size_t i = 0; i < CHAIN; i++)
        buf_printf(&names.text, "%slabel_replace(one, \"i\", \"%zu\", \"\", \"\")", i > 0 ? " or " : "", i);
    run_on_thread(&names);
    assert_int_equal(names.series, CHAIN);
    buf_add_z(&scalars.text, "one - vector(");
    add_chain(&scalars.text, " - ", "1", CHAIN);
    buf_add_char(&scalars.text, ')');
    run_on_thread(&scalars);
    assert_true(scalars.last == CHAIN - 1);
}

/* Inside of calls, subqueries and durations, and with parts that are the same at every step. */
static void chains_elsewhere(void **state)
{
    static const char *const around[][4] = {
        {"max_over_time((", " or ", "up", ")[5m:1m])"}, {"sum(", " or ", "up @ 60", ")"}, {"", " or ", "up @ 0", " or up"},
        {"up or ", " or ", "up @ end()", ""}, {"sum_over_time(up[", " + ", "1s", "])"},
        {"up offset (", " - ", "1s", ")"}, {"info(", " or ", "up", ")"}, {"-(", " + ", "up", ")"},
        {"histogram_count(", " or ", "up", ")"},
    };
    for (size_t i = 0; i < LEN(around); i++) {
        struct work w = {.store = *state, .range = true};
        buf_add_z(&w.text, around[i][0]);
        add_chain(&w.text, around[i][1], around[i][2], CHAIN);
        buf_add_z(&w.text, around[i][3]);
        run_on_thread(&w);
        assert_in_range(w.used, 1, stack_of_short_chain(*state, w.range, around[i]) + FLAT_BYTES);
    }
}

/* --- nestings ----------------------------------------------------------------------------------------------------- */

static void nestings_fit_into_half_the_stack(void **state)
{
    static const char *const around[][3] = {
        {"(", "up", ")"}, {"-", "up", ""}, {"abs(", "up", ")"}, {"up ^ ", "up", ""}, {"sum by (a) (", "up", ")"},
        {"topk(1, ", "up", ")"}, {"up + (", "up", ")"}, {"label_replace(", "up", ", \"x\", \"\", \"\", \"\")"},
        {"vector(scalar(", "up", "))"}, {"absent(", "up", ")"}, {"quantile(scalar(", "up", "), up)"},
        {"up[max_of(1,", "1", ")"}, {"count_values(\"x\", ", "up", ")"}, {"sort(", "up", ")"}, {"info(", "up", ")"},
    };
    size_t most = 0, stack = 0;
    for (size_t i = 0; i < LEN(around); i++) {
        struct work w = {.store = *state, .range = true};
        bool duration = strchr(around[i][0], '[') != NULL;
        size_t times = duration ? 490 : 495;
        buf_add_z(&w.text, duration ? "sum_over_time(up[" : "");
        for (size_t n = 0; n < times; n++)
            buf_add_z(&w.text, duration ? around[i][0] + 3 : around[i][0]);
        buf_add_z(&w.text, around[i][1]);
        for (size_t n = 0; n < times; n++)
            buf_add_z(&w.text, around[i][2]);
        buf_add_z(&w.text, duration ? "])" : "");
        run_on_thread(&w);
        printf("# %s: %zu KiB\n", around[i][0], w.used >> 10);
        most = w.used > most ? w.used : most;
        stack = w.stack;
    }
    printf("# most: %zu KiB of %zu\n", most >> 10, stack >> 10);
    assert_int_equal(stack, THREAD_STACK);
    assert_true(most <= THREAD_STACK / 2);
}

/* --- */

static void allow_threads_little_stack(void)
{
    pthread_attr_t attr;
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, 256 << 10), 0);
    assert_int_equal(pthread_setattr_default_np(&attr), 0);
    pthread_attr_destroy(&attr);
}

static int setup(void **state)
{
    static const char *const lines[] = {"up{a=\"1\"} 1x60", "up{a=\"2\"} 2x60", "one 1x60"};
    struct corpus_store *store = mem_zalloc(sizeof *store);
    corpus_store_init(store);
    for (size_t i = 0; i < LEN(lines); i++) {
        struct corpus_series s;
        struct err err = {0};
        assert_true(corpus_series_read(&store->arena, str_of(lines[i]), &s, &err));
        corpus_store_add(store, &s, 10 * SECOND, 0);
    }
    corpus_store_seal(store);
    allow_threads_little_stack();
    *state = store;
    return 0;
}

static int teardown(void **state)
{
    corpus_store_free(*state);
    mem_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_are_no_nesting), cmocka_unit_test(each_term_of_a_chain_counts),
        cmocka_unit_test(chains_elsewhere), cmocka_unit_test(nestings_fit_into_half_the_stack),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
