// SPDX-License-Identifier: Apache-2.0
/* The query service without HTTP: what a caller sets, which limits end a query, and what is given back afterwards. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "gateway/cli/cli_samples.h"
#include "gateway/query/session.h"

#include <string.h>

struct world {
    struct arena arena;
    struct budget all;
    struct query_service service;
    struct query_session session;
    struct query_params params;
    struct query_result result;
    struct err *err;
    unsigned ends, runs;
};

static int set_up(void **state)
{
    static struct world w;
    struct err err;
    int64_t newest = 0;
    w = (struct world){0};
    arena_init(&w.arena, 0);
    w.service.source = cli_samples(&w.arena, STR("a{i=\"1\"} 1 60000\na{i=\"2\"} 2 60000\na{i=\"3\"} 3 60000\n"),
                                   &newest, &err);
    w.params = (struct query_params){.text = STR("a"), .start = newest};
    *state = &w;
    return w.service.source && newest == 60000 ? 0 : 1;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    arena_free(&w->arena);
    return 0;
}

static void begin(struct world *w, size_t memory, int64_t deadline)
{
    query_session_begin(&w->session, &(struct query_session_conf){
        .service = &w->service, .arena = &w->arena, .memory = memory, .shared = w->all.max ? &w->all : NULL,
        .deadline_mono = deadline});
}

static bool evaluate(void *arg)
{
    struct world *w = arg;
    w->runs++;
    return query_run(&w->session.service, &w->session.q, &w->params, &w->result, w->err);
}

static bool run(struct world *w, struct err *err)
{
    *err = (struct err){0};
    w->err = err;
    return query_session_run(&w->session, evaluate, w, err);
}

static void a_query_needs_no_worker(void **state)
{
    struct world *w = *state;
    struct err err;
    begin(w, 0, 0);
    assert_true(run(w, &err));
    assert_int_equal(w->result.value.n, 3);
    assert_int_equal(w->session.notes.warnings.n, 0);
    query_session_end(&w->session);
}

static void series_over_the_limit_are_left_out_with_a_warning(void **state)
{
    struct world *w = *state;
    struct err err;
    begin(w, 0, 0);
    w->params.limit = 3;
    assert_true(run(w, &err));
    assert_int_equal(w->session.notes.warnings.n, 0);
    w->params.limit = 2;
    assert_true(run(w, &err));
    assert_int_equal(w->result.value.n, 2);
    assert_int_equal(w->session.notes.warnings.n, 1);
    query_session_end(&w->session);
}

/* A rule is parsed once and evaluated for ever. */
static void a_tree_of_the_caller_is_not_parsed_again(void **state)
{
    struct world *w = *state;
    struct err err;
    begin(w, 0, 0);
    w->params.tree = query_parse(&w->session.q, STR("sum(a)"), &err);
    assert_non_null(w->params.tree);
    w->params.text = STR("a text with ( errors");
    for (int64_t i = 0; i < 3; i++) {
        w->params.start = 60000 + i;
        assert_true(run(w, &err));
        assert_true(w->result.value.n == 1 && w->result.value.series[0].v[0] == 6);
    }
    query_session_end(&w->session);
}

static void settings_of_the_service_hold_for_every_query(void **state)
{
    struct world *w = *state;
    struct err err;
    w->service.lookback = 1000;
    begin(w, 0, 0);
    w->params.start = 62000;
    assert_true(run(w, &err));
    assert_int_equal(w->result.value.n, 0);
    w->params.lookback = 3000; /* unless the query says otherwise */
    assert_true(run(w, &err));
    assert_int_equal(w->result.value.n, 3);
    assert_null(w->result.value.stats.per_step);
    w->params.per_step_stats = true; /* not allowed */
    assert_true(run(w, &err));
    assert_null(w->result.value.stats.per_step);
    w->session.service.per_step_stats = true;
    assert_true(run(w, &err));
    assert_non_null(w->result.value.stats.per_step);
    w->session.service.max_samples = 2;
    assert_false(run(w, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    query_session_end(&w->session);
}

static void count_end(void *arg) { ((struct world *)arg)->ends++; }

static bool allocate_for_ever(void *arg)
{
    struct world *w = arg;
    w->session.end = count_end;
    w->session.end_arg = w;
    w->runs++;
    while (arena_alloc(w->session.q.arena, 1000))
        ;
    return true;
}

/* By a jump out of the work, whatever it is doing. */
static void spent_memory_ends_the_work(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    begin(w, 1 << 20, 0);
    assert_false(query_session_run(&w->session, allocate_for_ever, w, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    assert_int_equal(err.retry_after, 0);
    assert_null(w->arena.on_full);
    assert_int_equal(w->runs, 1);
    assert_int_equal(w->ends, 0);
    query_session_end(&w->session);
    assert_int_equal(w->ends, 1);
    query_session_end(&w->session);
    assert_int_equal(w->ends, 1);
}

/* When all queries together are the reason, trying again helps. */
static void memory_of_others_is_worth_another_try(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    w->all.max = 2 << 20;
    begin(w, 64 << 20, 0);
    assert_false(query_session_run(&w->session, allocate_for_ever, w, &err));
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    assert_true(err.retry_after > 0);
    query_session_end(&w->session);
}

static void a_deadline_ends_the_evaluation(void **state)
{
    struct world *w = *state;
    struct err err;
    begin(w, 0, clock_mono_ms() - 1);
    assert_false(run(w, &err));
    assert_int_equal(err.kind, ERR_TIMEOUT);
    query_session_end(&w->session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_query_needs_no_worker, set_up, tear_down),
        cmocka_unit_test_setup_teardown(series_over_the_limit_are_left_out_with_a_warning, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_tree_of_the_caller_is_not_parsed_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(settings_of_the_service_hold_for_every_query, set_up, tear_down),
        cmocka_unit_test_setup_teardown(spent_memory_ends_the_work, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_of_others_is_worth_another_try, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_deadline_ends_the_evaluation, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
