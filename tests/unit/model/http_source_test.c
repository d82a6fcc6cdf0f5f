// SPDX-License-Identifier: Apache-2.0
/* Targets listed by a URL: which responses are accepted, what is news, and what a failure leaves. */
#include "model/discovery/source/sd_source.h"

#include "base/text/duration.h"
#include "tests/unit/http_server.h"
#include "tests/unit/log_capture.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { SOON_MS = 5000 };
#define TWO "[{\"targets\": [\"a:1\", \"b:1\"]}, {\"targets\": [\"a:1\"]}]"

struct listing {
    struct loop *loop;
    struct client *client;
    struct http_server server;
    struct sd_source *source;
    char url[100];
    int news;
    struct mutex mutex;        /* guards the response */
    int status;
    const char *type, *body;
    bool silent;
};

static void respond_with_list(void *arg, const struct server_request *request UNUSED, struct server_response *response)
{
    struct listing *l = arg;
    mutex_lock(&l->mutex);
    response->status = l->status;
    snprintf(response->headers, sizeof response->headers, "Content-Type: %s\r\n", l->type);
    buf_add_z(&response->body, l->body);
    response->action = l->silent ? SERVER_SILENT : SERVER_KEEP;
    mutex_unlock(&l->mutex);
}

static void count_list_news(void *arg) { ((struct listing *)arg)->news++; }
static struct client *client_of_listing(void *arg) { return ((struct listing *)arg)->client; }

static void listing_open(struct listing *l, int64_t interval)
{
    *l = (struct listing){.status = 200, .type = "application/json", .body = "[{\"targets\": [\"a:1\"]}]"};
    struct err err;
    mutex_init(&l->mutex, RANK_LEAF);
    l->loop = loop_new();
    l->client = client_new(l->loop, &(struct client_settings){0});
    http_server_start(&l->server, respond_with_list, l);
    snprintf(l->url, sizeof l->url, "http://user:hidden@127.0.0.1:%d/list?token=hidden", l->server.port);
    struct sd_source_env env = {.main = l->loop, .news = count_list_news, .client = client_of_listing,
                                .blocking = client_of_listing, .arg = l, .owner = {"job", STR("j")}};
    struct http_sd conf = {.url = str_of(l->url), .server.refresh_interval = interval};
    l->source = http_source_new(&env, &conf, &err);
    assert_non_null(l->source);
    log_capture_start();
}

static void listing_close(struct listing *l)
{
    if (l->source)
        l->source->ops->free(l->source);
    log_capture_stop();
    client_free(l->client);
    http_server_stop(&l->server);
    loop_free(l->loop);
    mutex_free(&l->mutex);
}

static void listing_set(struct listing *l, int status, const char *type, const char *body)
{
    mutex_lock(&l->mutex);
    l->status = status;
    l->type = type;
    l->body = body;
    mutex_unlock(&l->mutex);
}

static bool listing_take(struct listing *l) /* the end of the next read */
{
    l->source->ops->take_news(l->source);
    for (int64_t began = clock_mono_ms(); clock_mono_ms() - began < SOON_MS;) {
        loop_turn(l->loop, 5);
        if (l->source->ops->state(l->source).has_news)
            return l->source->ops->take_news(l->source);
    }
    fail_msg("no read ended");
    return false;
}

static size_t listing_failing(const struct listing *l)
{
    struct sd_status s = {0};
    struct map seen = {0};
    l->source->ops->show(l->source, &s, &seen);
    return s.unanswered;
}

static void note_found(void *arg, const struct sd_found *found)
{
    assert_null(((struct sd_found *)arg)->mechanism); /* the only one */
    *(struct sd_found *)arg = *found;
}

static size_t listing_groups(const struct listing *l)
{
    struct sd_found all = {0};
    l->source->ops->visit_whole(l->source, NULL, note_found, &all);
    assert_true(str_is(all.meta, "__meta_url") && str_is(all.source, l->url));
    return all.groups ? all.groups->n : SIZE_MAX;
}

static void responses_and_news(void **state UNUSED)
{
    struct listing l;
    listing_open(&l, 30); /* also the timeout: on a busy machine some reads fail by it */
    l.source->ops->start(l.source, NULL);
    assert_true(l.source->ops->state(l.source).awaited);
    assert_int_equal(listing_groups(&l), SIZE_MAX);
    while (!listing_take(&l))
        assert_false(l.source->ops->state(l.source).awaited);
    assert_int_equal(listing_groups(&l), 1);
    assert_false(listing_take(&l)); /* the same list */
    listing_set(&l, 200, "Application/JSON; charset=UTF-8", TWO);
    while (!listing_take(&l)) {
    }
    assert_int_equal(listing_groups(&l), 2);
    static const struct { int status; const char *type, *body; } bad[] = {
        {500, "application/json", "[]"}, {404, "application/json", "[]"}, {201, "application/json", "[]"},
        {200, "text/json", "[]"}, {200, "application/json; charset=latin1", "[]"}, {200, "application/json;x", "[]"},
        {200, "application/json", "{}"}, {200, "application/json", ""}, {200, "application/json", "[null]"},
        {200, "application/json", "[{\"targets\": [1]}]"}};
    for (size_t i = 0; i < LEN(bad); i++) {
        listing_set(&l, bad[i].status, bad[i].type, bad[i].body);
        do
            assert_false(listing_take(&l));
        while (listing_failing(&l) == 0);
        assert_int_equal(listing_groups(&l), 2);
        listing_set(&l, 200, "application/json;charset=\"utf-8\"", TWO);
        do
            assert_false(listing_take(&l));
        while (listing_failing(&l) == 1);
    }
    const char *text = log_capture_text();
    assert_null(strstr(text, "hidden"));
    assert_true(text_count(text, "service discovery failed") >= 10);
    listing_close(&l);
}

/* Nobody waits for it, and it may be freed. */
static void a_silent_url(void **state UNUSED)
{
    struct listing l;
    listing_open(&l, 60000);
    l.silent = true;
    l.source->ops->start(l.source, NULL);
    for (int64_t began = clock_mono_ms(); l.server.requests == 0 && clock_mono_ms() - began < SOON_MS;)
        loop_turn(l.loop, 5);
    assert_true(l.source->ops->state(l.source).reads);
    assert_true(l.source->ops->state(l.source).awaited);
    clock_advance(5000);
    loop_turn(l.loop, 0);
    assert_int_equal(l.news, 1);
    struct sd_source_state is = l.source->ops->state(l.source);
    assert_false(is.reads || is.awaited || is.was_read);
    struct buf why = {0};
    l.source->ops->explain(l.source, &why);
    assert_non_null(strstr(buf_z(&why), "does not respond"));
    assert_null(strstr(buf_z(&why), "hidden"));
    buf_free(&why);
    listing_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(responses_and_news), cmocka_unit_test(a_silent_url)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
