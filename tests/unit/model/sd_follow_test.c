// SPDX-License-Identifier: Apache-2.0
/* Services that a server lists and their instances: responses arrive in any order, and services come and go. */
#include "model/discovery/source/sd_follow.h"

#include "base/text/duration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* The list is first..end; each service has the instances 0..instances. */
static struct listed { unsigned first, end, instances; } listed;
static struct client *client;
static unsigned news;

static struct client *one_client(void *arg UNUSED) { return client; }
static void count_news(void *arg UNUSED) { news++; }

static void closed_url(struct sd_follow *f UNUSED, struct buf *url, struct str name)
{
    buf_printf(url, "http://127.0.0.1:1/%.*s?", STR_ARG(name));
}

static bool listed_services(struct sd_follow *f, const struct json_value *doc UNUSED, struct err *err UNUSED)
{
    struct buf name = {0};
    for (unsigned i = listed.first; i < listed.end; i++) {
        buf_clear(&name);
        buf_printf(&name, "s%u", i);
        sd_follow_service(f, buf_str(&name));
        sd_follow_service(f, buf_str(&name));
    }
    buf_free(&name);
    return true;
}

static void listed_instances(struct sd_follow *f UNUSED, struct sd_build *b, struct str service,
                             const struct json_value *doc UNUSED)
{
    for (unsigned i = 0; i < listed.instances; i++)
        sd_build_target(b, sd_build_address(b, service, 80 + i));
}

static void keep(struct sd_follow *f UNUSED) {}

static const struct sd_follow_ops listed_ops = {
    .url = closed_url, .services = listed_services, .instances = listed_instances, .free = keep};

static void start(struct sd_follow *f, struct loop *loop)
{
    struct err err;
    client = client_new(loop, &(struct client_settings){.max_inflight = 4});
    struct sd_source_env env = {.main = loop, .news = count_news, .client = one_client, .blocking = one_client,
                                .owner = {"job", STR("j")}};
    struct client_profile *profile = client_profile_new(&(struct client_profile_conf){0}, &err);
    sd_follow_init(f, &listed_ops, &env, 1000, SD_CONSUL_FAILURES, profile,
                   &(struct sd_found){.mechanism = "consul", .source = STR("http://127.0.0.1:1")},
                   "http://127.0.0.1:1", STR("key"));
    f->source.ops->start(&f->source, NULL);
}

static void end(struct sd_follow *f, struct loop *loop)
{
    f->source.ops->free(&f->source);
    client_free(client);
    loop_free(loop);
}

static void respond(struct sd_followed *w, uint64_t index)
{
    static const struct json_value doc = {.kind = JSON_ARRAY};
    struct err err;
    w->request.index = index;
    w->request.done(&w->request, &doc, &err);
}

static void respond_list(struct sd_follow *f, unsigned first, unsigned last, uint64_t index)
{
    listed.first = first;
    listed.end = last;
    respond(&f->list, index);
}

static struct sd_followed *service(struct sd_follow *f, const char *name)
{
    return map_get(&f->services, str_of(name));
}

/* ---- the limit ---- */

static void a_list_may_have_50000_services(void **state UNUSED)
{
    struct loop *loop = loop_new();
    struct sd_follow f;
    start(&f, loop);
    respond_list(&f, 0, FOLLOW_SERVICES_MOST + 1, 1);
    assert_non_null(f.error);
    assert_non_null(strstr(f.error, "more than 50000 services"));
    assert_int_equal(f.n_services, 0);
    respond_list(&f, 0, FOLLOW_SERVICES_MOST, 2);
    assert_null(f.error);
    assert_int_equal(f.n_services, FOLLOW_SERVICES_MOST);
    respond_list(&f, FOLLOW_SERVICES_MOST, 2 * FOLLOW_SERVICES_MOST, 3);
    assert_null(f.error);
    assert_int_equal(f.n_services, FOLLOW_SERVICES_MOST);
    assert_null(service(&f, "s0"));
    respond_list(&f, 10, FOLLOW_SERVICES_MOST + 11, 4);
    assert_non_null(f.error);
    assert_int_equal(f.n_services, FOLLOW_SERVICES_MOST);
    assert_null(service(&f, "s10"));
    end(&f, loop);
}

static void services_leave_half_of_the_client_to_others(void **state UNUSED)
{
    struct loop *loop = loop_new();
    struct sd_follow f;
    start(&f, loop);
    respond_list(&f, 0, 10, 1);
    assert_int_equal(client_inflight(client), 2); /* of 4 */
    end(&f, loop);
}

/* What was configured before is not waited for any longer (discovery.c). */
static void a_service_that_always_fails_is_lost_after_a_minute(void **state UNUSED)
{
    struct loop *loop = loop_new();
    struct sd_follow f;
    struct err err;
    start(&f, loop);
    respond_list(&f, 0, 2, 1);
    respond(service(&f, "s0"), 1);
    err_set(&err, ERR_BAD_GATEWAY, "HTTP 403");
    service(&f, "s1")->request.done(&service(&f, "s1")->request, NULL, &err);
    struct sd_source_state s = f.source.ops->state(&f.source);
    assert_true(s.has_some && !s.was_read && !s.lost);
    clock_advance(SD_LOST_MS);
    loop_turn(loop, 0);
    assert_true(f.source.ops->state(&f.source).lost);
    respond(service(&f, "s1"), 1);
    s = f.source.ops->state(&f.source);
    assert_true(s.was_read && !s.lost);
    end(&f, loop);
}

/* ---- instances ---- */

static void count_targets(void *arg, const struct sd_found *found)
{
    *(size_t *)arg += found->groups ? found->groups->n : 1000;
}

/* Targets; a part that has none any more counts 1000. */
static size_t visit_changed(struct sd_follow *f)
{
    size_t n = 0;
    while (f->source.ops->take_news(&f->source))
        f->source.ops->visit_changed(&f->source, count_targets, &n);
    return n;
}

static size_t visit_all(struct sd_follow *f)
{
    size_t n = 0;
    f->source.ops->visit(&f->source, NULL, count_targets, &n);
    return n;
}

static void what_has_changed_is_visited_once(void **state UNUSED)
{
    struct loop *loop = loop_new();
    struct sd_follow f;
    start(&f, loop);
    listed.instances = 1;
    respond_list(&f, 0, 3, 1);
    respond(service(&f, "s1"), 1);
    respond(service(&f, "s0"), 1);
    assert_int_equal(visit_changed(&f), 2);
    assert_false(f.source.ops->state(&f.source).was_read);
    assert_true(f.source.ops->state(&f.source).awaited);
    respond(service(&f, "s2"), 1);
    assert_true(f.source.ops->state(&f.source).was_read);
    assert_true(f.source.ops->state(&f.source).awaited);
    assert_int_equal(visit_changed(&f), 1);
    assert_false(f.source.ops->state(&f.source).awaited);
    unsigned before = news;
    respond(service(&f, "s1"), 1);
    respond(&f.list, 1);
    assert_int_equal(news, before); /* nothing has changed */
    listed.instances = 2;
    respond(service(&f, "s1"), 2);
    assert_int_equal(news, before + 1);
    assert_int_equal(visit_changed(&f), 1);
    assert_int_equal(visit_all(&f), 4);
    end(&f, loop);
}

static void a_removed_service_is_forgotten_after_its_visit(void **state UNUSED)
{
    struct loop *loop = loop_new();
    struct sd_follow f;
    start(&f, loop);
    listed.instances = 1;
    respond_list(&f, 0, 4, 1);
    respond(service(&f, "s0"), 1);
    respond(service(&f, "s1"), 1);
    respond(service(&f, "s2"), 1);
    assert_int_equal(visit_changed(&f), 3);
    respond_list(&f, 1, 3, 2);
    assert_null(service(&f, "s3")); /* was not read */
    assert_true(service(&f, "s0")->removed);
    respond_list(&f, 0, 2, 3);
    assert_false(service(&f, "s0")->removed);
    assert_true(service(&f, "s2")->removed);
    respond(service(&f, "s0"), 1);
    assert_int_equal(visit_changed(&f), 1001); /* s0 as before, s2 without any */
    assert_null(service(&f, "s2"));
    assert_int_equal(visit_all(&f), 2);
    assert_true(f.source.ops->state(&f.source).was_read);
    respond_list(&f, 0, 0, 4);
    assert_int_equal(visit_all(&f), 0);
    assert_int_equal(f.n_services, 0);
    end(&f, loop);
}

static void failures_keep_the_instances(void **state UNUSED)
{
    struct loop *loop = loop_new();
    struct sd_follow f;
    struct err err;
    start(&f, loop);
    listed.instances = 1;
    respond_list(&f, 0, 2, 1);
    respond(service(&f, "s0"), 1);
    respond(service(&f, "s1"), 1);
    assert_int_equal(visit_changed(&f), 2);
    err_set(&err, ERR_BAD_GATEWAY, "HTTP 500");
    service(&f, "s0")->request.done(&service(&f, "s0")->request, NULL, &err);
    assert_int_equal(f.n_failing, 1);
    assert_string_equal(f.error, "HTTP 500");
    assert_int_equal(visit_all(&f), 2);
    respond_list(&f, 1, 2, 2); /* nothing fails any more */
    assert_int_equal(f.n_failing, 0);
    assert_null(f.error);
    assert_int_equal(visit_changed(&f), 1000);
    end(&f, loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_may_have_50000_services),
        cmocka_unit_test(a_service_that_always_fails_is_lost_after_a_minute),
        cmocka_unit_test(services_leave_half_of_the_client_to_others),
        cmocka_unit_test(what_has_changed_is_visited_once),
        cmocka_unit_test(a_removed_service_is_forgotten_after_its_visit),
        cmocka_unit_test(failures_keep_the_instances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
