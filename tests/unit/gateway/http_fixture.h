// SPDX-License-Identifier: Apache-2.0
/* The server over real sockets: the main loop and two lanes run in separate threads, the test is the client. What
 * is served under /p/ is in http_fixture.c.
 */
#ifndef TESTS_UNIT_HTTP_FIXTURE_H
#define TESTS_UNIT_HTTP_FIXTURE_H

#include "gateway/lane.h"
#include "gateway/services/services.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { FIXTURE_LANES = 2, FIXTURE_WORKERS = 2, FIXTURE_WAITING = 2 };
struct http_fixture {
    struct loop *main_loop;
    struct thread *main_thread;
    struct lane *lanes[FIXTURE_LANES];
    struct http_server *servers[FIXTURE_LANES];
    struct lane_services lane_services[FIXTURE_LANES];
    struct config config;
    struct services services;
    struct listener address;
    struct http_listener *listener;
    struct http_limits limits;
    atomic_int holding, canceled_seen; /* requests to /p/hold and /p/report: now; whose client has left */
    atomic_int streamed;               /* bytes that /p/stream has handed over */
    atomic_int n_sent, sent_bytes;     /* calls of hooks.sent; what the last one had of the body */
    atomic_bool let_go;                /* they end */
};
extern struct http_fixture http_fixture;
int http_fixture_set_up(void **state);
int http_fixture_tear_down(void **state);

int fixture_dial(void);
void fixture_send(int fd, const char *text);
struct fixture_reply { int status; struct str headers, body; struct buf bytes; }; /* bytes: to be freed */
struct str fixture_header(const struct fixture_reply *r, const char *name);
/* One response; `head`: of a HEAD request, which has no body. False when the server closed without one. */
bool fixture_receive(int fd, bool head, struct fixture_reply *r);
struct fixture_reply fixture_query(const char *request); /* on a new connection */
void fixture_expect(const char *request, int status, const char *body);
bool fixture_wait_for(atomic_int *value, int wanted);

#endif
