// SPDX-License-Identifier: Apache-2.0
/* A client and two servers on loopback, which respond by the path of the request (client_fixture.c). */
#ifndef TESTS_UNIT_BASE_CLIENT_FIXTURE_H
#define TESTS_UNIT_BASE_CLIENT_FIXTURE_H

#include "base/http/client.h"
#include "tests/unit/base/both_ways.h"
#include "tests/unit/http_server.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

extern struct http_server client_server, client_other;
extern struct loop *client_loop;
extern struct client *client_tested;

enum { CLIENT_SOON_MS = 30000 }; /* for what responds at once, also on a busy machine */

struct client_result {
    struct buf body;
    int done, pieces;
    struct client_reply reply;
    char content_type[64], retry_after[16];
    bool refuse;              /* data returns false */
    size_t refused_from;      /* pause_at_each_piece: once it has so many bytes */
    struct client_call *call; /* data cancels it */
};
/* The callbacks of a request, whose arg is a struct client_result. */
bool client_take(void *arg, const struct client_reply *r, struct str piece, struct err *err);
void client_done(void *arg, const struct client_reply *r);
const char *client_url(const struct http_server *s, const char *path); /* valid until the next call */
struct client_request client_get(const char *path, struct client_result *res); /* of client_server */
struct client_call *client_start(const struct client_request *req, struct client_result *res);
void client_perform(const struct client_request *req, struct client_result *res); /* waits for the end */

/* A server whose line of waiting connections is full: the kernel answers no more of them. */
struct full_server { int fd, waiting[4]; char url[64]; };
void open_full_server(struct full_server *s);
void close_full_server(struct full_server *s);

int client_set_up(void **state);
int client_tear_down(void **state);
#define CLIENT_TEST(test) cmocka_unit_test_setup_teardown(test, client_set_up, client_tear_down)
extern bool client_by_libcurl;

#endif
