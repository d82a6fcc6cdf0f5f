// SPDX-License-Identifier: Apache-2.0
/* Which servers of a group are asked and when: every event of group_request.h, with attempts that send nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "gateway/upstream/group_request.h"
#include "gateway/upstream/server_check.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SERVERS = 3 };
struct fake { struct attempt attempt; unsigned started, canceled; bool fails_at_once; };
struct world {
    struct arena arena;
    struct notes notes;
    struct query_ctx q;
    struct worker worker;
    struct request_batch batch;
    struct server servers[SERVERS];
    struct server_health health[SERVERS];
    struct server_traffic traffic[SERVERS];
    struct server *order[SERVERS];
    struct group group;
    struct copies_memory copies;
    struct group_traffic group_traffic;
    struct fake fakes[SERVERS];
    struct group_request request;
    int64_t now;
    int silent; /* a socket that accepts connections, and never responds */
    char url[64];
};

static bool listen_silently(struct world *w)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    w->silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(w->silent, (struct sockaddr *)&at, size) || listen(w->silent, 16) ||
        getsockname(w->silent, (struct sockaddr *)&at, &size))
        return false;
    snprintf(w->url, sizeof w->url, "http://127.0.0.1:%d", ntohs(at.sin_port));
    return true;
}

static int64_t world_now(void *arg) { return ((struct world *)arg)->now; }

static struct err error_of(enum err_kind kind, const char *text)
{
    struct err err = {0};
    err_set(&err, kind, "%s", text);
    return err;
}

static void fake_start(struct attempt *a)
{
    struct fake *f = CONTAINER(a, struct fake, attempt);
    struct err err = error_of(ERR_UNAVAILABLE, "at once");
    f->started++;
    if (f->fails_at_once)
        attempt_failed(a, &err);
}

static void fake_cancel(struct attempt *a) { CONTAINER(a, struct fake, attempt)->canceled++; }

static const struct attempt_ops fake_ops = {fake_start, fake_cancel, NULL};

static int set_up(void **state)
{
    static struct world w;
    w = (struct world){.group.name = STR("g"), .group.n_servers = SERVERS, .group.servers = w.order, .now = 1000};
    arena_init(&w.arena, 0);
    w.notes.arena = &w.arena;
    w.q = (struct query_ctx){.arena = &w.arena, .notes = &w.notes, .user = &w.worker};
    w.worker.loop = loop_new();
    if (w.worker.loop == NULL || !listen_silently(&w))
        return 1;
    loop_set_clock(w.worker.loop, (struct loop_clock){world_now, world_now, &w});
    loop_turn(w.worker.loop, 0);
    for (size_t i = 0; i < SERVERS; i++) {
        w.servers[i].shown = (struct str[]){STR("a"), STR("b"), STR("c")}[i];
        w.servers[i].health = &w.health[i];
        w.servers[i].url = str_of(w.url);
        w.servers[i].traffic = &w.traffic[i];
        w.order[i] = &w.servers[i];
    }
    w.group.traffic = &w.group_traffic;
    copies_memory_init(&w.copies, (const uint64_t[]){1, 2, 3}, SERVERS);
    w.group.copies = &w.copies;
    batch_begin(&w.batch, &w.q, 0);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    group_request_stop(&w->request);
    batch_end(&w->batch);
    copies_memory_free(&w->copies);
    if (w->worker.client)
        client_free(w->worker.client);
    close(w->silent);
    loop_free(w->worker.loop);
    arena_free(&w->arena);
    return 0;
}

static void pause_server(struct world *w, size_t i)
{
    atomic_store(&w->health[i].breaker.failures, BREAKER_PATIENCE);
    atomic_store(&w->health[i].breaker.pause_ends, clock_mono_ms() + 3600000);
}

static void set_clock(struct world *w, size_t i, int64_t off)
{
    atomic_store(&w->health[i].clock.off, off);
    atomic_store(&w->health[i].clock.at, 1);
}

static void start(struct world *w, enum read_mode mode)
{
    group_request_init(&w->request, &w->batch, &w->group, mode, &fake_ops, w->fakes, sizeof *w->fakes);
    group_request_start(&w->request);
}

static void answer(struct world *w, size_t i) { attempt_succeeded(&w->fakes[i].attempt); }

static void refuse(struct world *w, size_t i, enum err_kind kind, const char *text)
{
    struct err err = error_of(kind, text);
    attempt_failed(&w->fakes[i].attempt, &err);
}

static void pass(struct world *w, int64_t ms)
{
    w->now += ms;
    loop_turn(w->worker.loop, 0);
}

/* One letter a server: i(dle), r(unning), a(nswered), f(ailed). */
static void check(const struct world *w, const char *wanted)
{
    char is[SERVERS + 1] = {0};
    for (size_t i = 0; i < SERVERS; i++)
        is[i] = "iraf"[w->fakes[i].attempt.state];
    assert_string_equal(is, wanted);
}

static void check_error(struct world *w, enum err_kind kind, const char *text)
{
    struct err err = {0};
    assert_false(group_request_answered(&w->request));
    group_request_error(&w->request, &err);
    assert_int_equal(err.kind, kind);
    assert_string_equal(err.text, text);
}

static void merge_asks_all_and_waits_for_all(void **state)
{
    struct world *w = *state;
    start(w, READ_MERGE);
    check(w, "rrr");
    refuse(w, 0, ERR_UNAVAILABLE, "a is down");
    answer(w, 1);
    check(w, "far");
    assert_int_equal(w->fakes[2].canceled, 0);
    answer(w, 2);
    check(w, "faa");
    group_request_note_missed(&w->request);
    assert_int_equal(w->notes.infos.n, 1);
    assert_int_equal(w->group_traffic.missed, 1);
    assert_string_equal(arena_z(&w->arena, w->notes.infos.items[0]), "another replica responded for a is down");
}

static void start_complete(struct world *w, size_t complete)
{
    group_request_init(&w->request, &w->batch, &w->group, READ_MERGE, &fake_ops, w->fakes, sizeof *w->fakes);
    w->fakes[complete].attempt.complete = true;
    group_request_start(&w->request);
}

static void a_complete_server_is_asked_alone(void **state)
{
    struct world *w = *state;
    start_complete(w, 1);
    check(w, "iri");
    answer(w, 1);
    check(w, "iai");
    group_request_note_missed(&w->request);
    assert_int_equal(w->notes.infos.n, 0);
}

static void without_the_complete_server_all_are_asked(void **state)
{
    struct world *w = *state;
    start_complete(w, 1);
    refuse(w, 1, ERR_UNAVAILABLE, "b is down");
    check(w, "rfr");
    answer(w, 0);
    answer(w, 2);
    check(w, "afa");
    group_request_note_missed(&w->request);
    assert_int_equal(w->notes.infos.n, 1);
}

static void merge_asks_a_paused_server_when_all_others_failed(void **state)
{
    struct world *w = *state;
    pause_server(w, 1);
    start(w, READ_MERGE);
    check(w, "rir");
    refuse(w, 0, ERR_UNAVAILABLE, "a");
    check(w, "fir");
    refuse(w, 2, ERR_UNAVAILABLE, "c");
    check(w, "frf");
    answer(w, 1);
    assert_true(group_request_answered(&w->request));
}

static void merge_leaves_a_paused_server_alone_when_another_answers(void **state)
{
    struct world *w = *state;
    pause_server(w, 1);
    start(w, READ_MERGE);
    answer(w, 0);
    refuse(w, 2, ERR_UNAVAILABLE, "c");
    check(w, "aif");
    group_request_note_missed(&w->request);
    assert_int_equal(w->notes.infos.n, 2);
}

static void merge_asks_all_when_all_are_paused(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < SERVERS; i++)
        pause_server(w, i);
    start(w, READ_MERGE);
    check(w, "rrr");
}

static void first_asks_the_next_after_a_failure_only(void **state)
{
    struct world *w = *state;
    start(w, READ_FIRST);
    check(w, "rii");
    pass(w, 249);
    check(w, "rii");
    refuse(w, 0, ERR_UNAVAILABLE, "a");
    check(w, "fri");
    answer(w, 1);
    check(w, "fai");
    group_request_note_missed(&w->request); /* who was not asked has not missed it */
    assert_int_equal(w->notes.infos.n, 1);
}

static void the_next_is_the_first_that_is_not_paused(void **state)
{
    struct world *w = *state;
    pause_server(w, 0);
    start(w, READ_FIRST);
    check(w, "iri");
    answer(w, 1);
    group_request_note_missed(&w->request);
    assert_int_equal(w->notes.infos.n, 1); /* the result may differ from that of the first */
    group_request_stop(&w->request);
    start(w, READ_FIRST);
    refuse(w, 1, ERR_UNAVAILABLE, "b");
    check(w, "ifr");
    refuse(w, 2, ERR_UNAVAILABLE, "c");
    check(w, "rff");
}

static unsigned fake_calls(const struct attempt *a UNUSED) { return 1u << LATENCY_READ; }

static void start_reading(struct world *w, enum read_mode mode)
{
    static const struct attempt_ops ops = {fake_start, fake_cancel, fake_calls};
    for (size_t i = 0; i < SERVERS; i++)
        w->servers[i].read_url = str_of(w->url);
    group_request_init(&w->request, &w->batch, &w->group, mode, &ops, w->fakes, sizeof *w->fakes);
    group_request_start(&w->request);
}

/* What other kinds of requests take is of no importance, nor what fails. */
static void hedge_asks_another_after_three_times_the_usual(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 100; i++) {
        latency_count(&w->traffic[0].latency, NULL, 200, true, 100);
        latency_count(&w->traffic[0].latency, NULL, 500, false, 1);
        latency_count(&w->traffic[0].latency, "/api/v1/labels", 200, true, 1);
        latency_count(&w->traffic[1].latency, "/api/v1/labels", 200, true, 1);
    }
    start_reading(w, READ_HEDGE);
    pass(w, 299);
    check(w, "rii");
    pass(w, 2);
    check(w, "rri");
    pass(w, 299); /* this one has not responded to any: it may take as long as its replica */
    check(w, "rri");
    pass(w, 2);
    check(w, "rrr");
    answer(w, 1);
    check(w, "fai");
    assert_int_equal(w->fakes[0].canceled, 1);
    assert_int_equal(w->fakes[2].canceled, 1);
    assert_false(loop_timer_armed(&w->request._late));
    assert_int_equal(atomic_load(&w->traffic[0].hedges), 2);
    assert_int_equal(atomic_load(&w->traffic[1].hedges), 1);
    assert_int_equal(atomic_load(&w->traffic[2].hedges), 0);
}

static void hedge_asks_another_after_a_while_if_nothing_is_known(void **state)
{
    struct world *w = *state;
    latency_count(&w->traffic[0].latency, "/api/v1/labels", 200, true, 1);
    start_reading(w, READ_HEDGE);
    pass(w, 249);
    check(w, "rii");
    pass(w, 2);
    check(w, "rri");
}

/* Samples that only the server has that was given up are missing from the result. */
static void a_hedge_that_changes_the_replica_is_told(void **state)
{
    struct world *w = *state;
    start(w, READ_HEDGE);
    pass(w, 251);
    check(w, "rri");
    answer(w, 1);
    check(w, "fai");
    group_request_note_missed(&w->request);
    assert_int_equal(w->notes.infos.n, 1);
    assert_string_equal(arena_z(&w->arena, w->notes.infos.items[0]),
                        "another replica responded for server group \"\": a: canceled after 251 ms: the response is late");
    assert_int_equal(w->group_traffic.missed, 1);
}

static void a_hedge_that_changes_nothing_is_not_told(void **state)
{
    struct world *w = *state;
    start(w, READ_HEDGE);
    pass(w, 251);
    answer(w, 0);
    check(w, "aii");
    assert_int_equal(w->fakes[1].canceled, 1);
    group_request_note_missed(&w->request);
    assert_int_equal(w->notes.infos.n, 0);
    assert_int_equal(w->group_traffic.missed, 0);
}

static void hedge_stops_with_the_request(void **state)
{
    struct world *w = *state;
    start(w, READ_HEDGE);
    group_request_stop(&w->request);
    pass(w, 60000);
    check(w, "rii");
}

static void hedge_asks_at_once_after_a_failure(void **state)
{
    struct world *w = *state;
    start(w, READ_HEDGE);
    refuse(w, 0, ERR_UNAVAILABLE, "a");
    check(w, "fri");
}

/* The end of a check that was begun. */
static void checked(struct world *w, size_t i, bool hangs)
{
    struct err err = error_of(ERR_GATEWAY_TIME, "hangs");
    assert_false(list_empty(&w->batch.checks));
    server_check_cancel_all(&w->batch);
    w->batch.checked(&w->batch, &w->servers[i], SERVER_ITSELF, hangs ? &err : NULL);
}

static void a_last_resort_that_hung_is_checked(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < SERVERS; i++)
        pause_server(w, i);
    start(w, READ_FIRST);
    check(w, "rii");
    assert_true(list_empty(&w->batch.checks));
    refuse(w, 0, ERR_UNAVAILABLE, "a");
    refuse(w, 1, ERR_UNAVAILABLE, "b");
    group_request_stop(&w->request);
    atomic_store(&w->health[2].breaker.hangs, true);
    start(w, READ_FIRST);
    refuse(w, 0, ERR_UNAVAILABLE, "a");
    refuse(w, 1, ERR_UNAVAILABLE, "b");
    check(w, "ffr");
    checked(w, 2, true);
    check(w, "fff");
    check_error(w, ERR_GATEWAY_TIME, "none of 3 servers responded: hangs");
}

static void merge_gives_up_a_server_that_hangs(void **state)
{
    struct world *w = *state;
    start(w, READ_MERGE);
    pass(w, 10000);
    answer(w, 1);
    pass(w, 4999); /* half as long again */
    assert_true(list_empty(&w->batch.checks));
    pass(w, 2);
    checked(w, 0, true);
    check(w, "far");
    assert_int_equal(w->fakes[0].canceled, 1);
    w->batch.checked(&w->batch, &w->servers[2], SERVER_ITSELF, NULL);
    check(w, "far");
    pass(w, 15001 - 1); /* as long again */
    assert_true(list_empty(&w->batch.checks));
    pass(w, 1);
    checked(w, 2, true);
    check(w, "faf");
}

static void merge_does_not_check_while_nobody_has_responded(void **state)
{
    struct world *w = *state;
    start(w, READ_MERGE);
    pass(w, 60000);
    assert_true(list_empty(&w->batch.checks));
    check(w, "rrr");
}

static void a_complete_server_that_hangs_is_given_up(void **state)
{
    struct world *w = *state;
    start_complete(w, 1);
    pass(w, 251);
    checked(w, 1, true);
    check(w, "rfr");
}

/* Its requests pass checks, but there is no response: another that is complete loses nothing. */
static void a_late_complete_server_is_hedged_with_another(void **state)
{
    struct world *w = *state;
    group_request_init(&w->request, &w->batch, &w->group, READ_MERGE, &fake_ops, w->fakes, sizeof *w->fakes);
    w->fakes[0].attempt.complete = w->fakes[2].attempt.complete = true;
    group_request_start(&w->request);
    check(w, "rii");
    pass(w, 251);
    checked(w, 0, false);
    check(w, "rii");
    pass(w, 501);
    checked(w, 0, false);
    check(w, "rir");
    assert_int_equal(w->traffic[0].hedges, 1);
    answer(w, 2);
    check(w, "fia");
    group_request_note_missed(&w->request);
    assert_int_equal(w->notes.infos.n, 1);
    assert_non_null(strstr(arena_z(&w->arena, w->notes.infos.items[0]), "the response is late"));
}

static void a_late_complete_server_may_respond_first(void **state)
{
    struct world *w = *state;
    group_request_init(&w->request, &w->batch, &w->group, READ_FIRST, &fake_ops, w->fakes, sizeof *w->fakes);
    for (size_t i = 0; i < SERVERS; i++)
        w->fakes[i].attempt.complete = true;
    group_request_start(&w->request);
    pass(w, 251);
    checked(w, 0, false);
    pass(w, 501);
    checked(w, 0, false);
    check(w, "rri");
    answer(w, 0);
    check(w, "aii");
    assert_int_equal(w->fakes[1].canceled, 1);
    group_request_note_missed(&w->request);
    assert_int_equal(w->notes.infos.n, 0);
}

/* Of what others have responded nothing is needed. */
static void a_complete_response_is_sufficient(void **state)
{
    struct world *w = *state;
    group_request_init(&w->request, &w->batch, &w->group, READ_MERGE, &fake_ops, w->fakes, sizeof *w->fakes);
    w->fakes[0].attempt.complete = w->fakes[1].attempt.complete = true;
    group_request_start(&w->request);
    refuse(w, 0, ERR_UNAVAILABLE, "a is down");
    check(w, "frr");
    answer(w, 2);
    answer(w, 1);
    check(w, "fai");
    group_request_note_missed(&w->request);
    assert_int_equal(w->notes.infos.n, 1);
}

static void first_asks_the_next_when_a_server_hangs(void **state)
{
    struct world *w = *state;
    start(w, READ_FIRST);
    pass(w, 251);
    check(w, "rii");
    checked(w, 0, false);
    check(w, "rii");
    pass(w, 1001);
    checked(w, 0, true);
    check(w, "fri");
    pass(w, 251);
    checked(w, 1, true);
    check(w, "ffr");
    pass(w, 60000); /* the last one has time until the deadline */
    assert_true(list_empty(&w->batch.checks));
    w->batch.checked(&w->batch, &w->servers[2], SERVER_ITSELF, &(struct err){.kind = ERR_GATEWAY_TIME});
    check(w, "ffr");
}

/* A server that responds to others may hang for the kind of requests that is sent. */
static void a_kind_of_requests_that_hangs(void **state)
{
    struct world *w = *state;
    const struct err hangs = error_of(ERR_GATEWAY_TIME, "hangs");
    start_reading(w, READ_MERGE);
    answer(w, 1);
    pass(w, 51);
    assert_true(w->batch.checks.next->next != w->batch.checks.prev); /* both running ones, twice */
    server_check_cancel_all(&w->batch);
    assert_true(breaker_needs_check(&w->health[0].calls[LATENCY_READ], clock_mono_ms()));
    w->batch.checked(&w->batch, &w->servers[0], SERVER_ITSELF, NULL);
    check(w, "rar");
    w->batch.checked(&w->batch, &w->servers[0], LATENCY_EXPORT, &hangs); /* of another request of the batch */
    check(w, "rar");
    w->batch.checked(&w->batch, &w->servers[0], LATENCY_READ, &hangs);
    check(w, "far");
    w->batch.checked(&w->batch, &w->servers[2], SERVER_ITSELF, &hangs);
    check(w, "faf");
}

static void a_server_may_be_paused_for_a_kind_of_requests(void **state)
{
    struct world *w = *state;
    breaker_trip(&w->health[0].calls[LATENCY_READ], clock_mono_ms(), true);
    breaker_trip(&w->health[1].calls[LATENCY_EXPORT], clock_mono_ms(), true);
    start_reading(w, READ_FIRST);
    check(w, "iri");
    answer(w, 1);
    group_request_note_missed(&w->request);
    assert_int_equal(w->notes.infos.n, 1);
    assert_int_equal(server_breaker_state(&w->servers[0]), BREAKER_OPEN);
    group_request_stop(&w->request);
    start(w, READ_FIRST); /* of another kind */
    check(w, "rii");
}

static void one_check_is_for_all_requests_of_a_batch(void **state)
{
    struct world *w = *state;
    static struct group_request other;
    static struct fake fakes[SERVERS];
    memset(fakes, 0, sizeof fakes);
    start(w, READ_FIRST);
    group_request_init(&other, &w->batch, &w->group, READ_FIRST, &fake_ops, fakes, sizeof *fakes);
    group_request_start(&other);
    pass(w, 251);
    assert_ptr_equal(w->batch.checks.next->next, &w->batch.checks);
    checked(w, 0, true);
    check(w, "fri");
    assert_int_equal(fakes[0].attempt.state, ATTEMPT_FAILED);
    assert_int_equal(fakes[1].attempt.state, ATTEMPT_RUNNING);
    group_request_stop(&other);
}

static void a_check_at_the_end_of_a_batch_leaves_a_suspicion(void **state)
{
    struct world *w = *state;
    start(w, READ_HEDGE);
    pass(w, 251);
    check(w, "rri");
    answer(w, 1);
    server_check_cancel_all(&w->batch);
    assert_true(breaker_needs_check(&w->health[0].breaker, clock_mono_ms()));
    assert_false(breaker_needs_check(&w->health[1].breaker, clock_mono_ms()));
}

static void a_wrong_clock_serves_if_no_other_server_does(void **state)
{
    struct world *w = *state;
    start(w, READ_MERGE);
    check(w, "rrr");
    refuse(w, 1, ERR_UNAVAILABLE, "refused");
    refuse(w, 2, ERR_UNAVAILABLE, "refused");
    set_clock(w, 0, 60000);
    set_clock(w, 1, 0);
    answer(w, 0);
    check(w, "aff");
}

static void samples_of_a_wrong_clock_are_not_merged(void **state)
{
    struct world *w = *state;
    start(w, READ_MERGE);
    answer(w, 0);
    set_clock(w, 0, 60000);
    set_clock(w, 1, 0);
    answer(w, 1);
    check(w, "iar");
}

static void nor_those_of_one_that_was_queried_as_a_last_resort(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < SERVERS; i++)
        pause_server(w, i);
    set_clock(w, 0, 60000);
    set_clock(w, 1, 0);
    start(w, READ_MERGE);
    check(w, "rrr");
    answer(w, 0);
    answer(w, 1);
    check(w, "iar");
}

/* Requests that depend on no clock. */
static void a_paused_server_is_missed_whatever_its_clock(void **state)
{
    struct world *w = *state;
    pause_server(w, 0);
    set_clock(w, 0, 60000);
    set_clock(w, 1, 0);
    group_request_init(&w->request, &w->batch, &w->group, READ_MERGE, &fake_ops, w->fakes, sizeof *w->fakes);
    w->request.any_clock = true;
    group_request_start(&w->request);
    check(w, "irr");
    answer(w, 1);
    answer(w, 2);
    group_request_note_missed(&w->request);
    assert_int_equal(atomic_load(&w->group_traffic.missed), 1);
}

static void a_wrong_clock_is_preferred_to_a_paused_server(void **state)
{
    struct world *w = *state;
    pause_server(w, 0);
    pause_server(w, 1);
    set_clock(w, 0, 0);
    set_clock(w, 2, -60000);
    start(w, READ_MERGE);
    check(w, "iir");
    group_request_stop(&w->request);
    start(w, READ_FIRST);
    check(w, "iir");
}

static void attempts_may_fail_while_they_start(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < SERVERS; i++)
        w->fakes[i].fails_at_once = true;
    for (enum read_mode mode = READ_MERGE; mode <= READ_FIRST; mode++) {
        start(w, mode);
        check(w, "fff");
        group_request_stop(&w->request);
    }
    for (size_t i = 0; i < SERVERS; i++)
        assert_int_equal(w->fakes[i].started, 3);
}

static void the_worst_error_is_reported(void **state)
{
    struct world *w = *state;
    start(w, READ_MERGE);
    refuse(w, 0, ERR_UNAVAILABLE, "down");
    refuse(w, 1, ERR_EXEC, "too many samples");
    refuse(w, 2, ERR_GATEWAY_TIME, "late");
    check_error(w, ERR_EXEC, "none of 3 servers responded: too many samples");
}

static void without_any_error_the_group_is_named(void **state)
{
    struct world *w = *state;
    start(w, READ_FIRST);
    check_error(w, ERR_UNAVAILABLE, "server group \"g\": no server responded");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(merge_asks_all_and_waits_for_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_complete_server_is_asked_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_the_complete_server_all_are_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_late_complete_server_is_hedged_with_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_late_complete_server_may_respond_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_complete_response_is_sufficient, set_up, tear_down),
        cmocka_unit_test_setup_teardown(merge_asks_a_paused_server_when_all_others_failed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(merge_leaves_a_paused_server_alone_when_another_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(merge_asks_all_when_all_are_paused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_last_resort_that_hung_is_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(first_asks_the_next_after_a_failure_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_next_is_the_first_that_is_not_paused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hedge_asks_another_after_three_times_the_usual, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hedge_asks_another_after_a_while_if_nothing_is_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hedge_that_changes_the_replica_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hedge_that_changes_nothing_is_not_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hedge_stops_with_the_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hedge_asks_at_once_after_a_failure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(merge_gives_up_a_server_that_hangs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(merge_does_not_check_while_nobody_has_responded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_complete_server_that_hangs_is_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(first_asks_the_next_when_a_server_hangs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_check_is_for_all_requests_of_a_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_kind_of_requests_that_hangs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_may_be_paused_for_a_kind_of_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_check_at_the_end_of_a_batch_leaves_a_suspicion, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_clock_serves_if_no_other_server_does, set_up, tear_down),
        cmocka_unit_test_setup_teardown(samples_of_a_wrong_clock_are_not_merged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nor_those_of_one_that_was_queried_as_a_last_resort, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_clock_is_preferred_to_a_paused_server, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_paused_server_is_missed_whatever_its_clock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(attempts_may_fail_while_they_start, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_worst_error_is_reported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_any_error_the_group_is_named, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
