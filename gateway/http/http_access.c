// SPDX-License-Identifier: Apache-2.0
/* Whether a request may be served by its listener, decided before its body is read. While a password is verified the
 * connection is suspended. */
#include "gateway/http/http_connection.h"

static void refuse_login(struct http_connection *c, enum http_login result)
{
    if (result == LOGIN_BUSY) {
        http_refuse_for_now(c, HTTP_NO_LOGIN, "too many passwords are being verified; try again later\n");
        return;
    }
    stats_add(&http_stats, HTTP_UNAUTHORIZED, 1);
    http_refuse(c, 401, "Unauthorized\n");
    http_header_add(&c->r, "WWW-Authenticate", STR("Basic realm=\"sluice\", charset=\"UTF-8\""));
}

static void accept_login(struct http_connection *c)
{
    c->r.login = http_auth_user(&c->r.arena, http_header(&c->r, "Authorization"));
    if (c->r.route && !http_users_allow(c->access->users, c->r.login, c->r.route->class))
        http_refuse(c, 403, "this user may not use this endpoint\n");
}

static void on_login(struct loop_task *t)
{
    struct http_login_check *check = CONTAINER(t, struct http_login_check, done);
    struct http_connection *c = check->owner;
    if (check->result == LOGIN_OK)
        accept_login(c);
    else
        refuse_login(c, check->result);
    http_login_check_free(check);
    http_connection_resume(c);
}

static bool needs_login(const struct http_connection *c)
{
    const struct http_users *users = c->access ? c->access->users : NULL;
    if (users == NULL)
        return false;
    if (c->r.route && http_users_is_open(users, c->r.route->class))
        return false;
    return !(c->r.route && http_users_spare_keyed(users) && c->conf->hooks.open && c->conf->hooks.open(&c->r));
}

/* A listener may serve some classes of routes only, the others as if they did not exist. */
static bool is_served_here(const struct http_connection *c)
{
    unsigned classes = c->access ? c->access->classes : 0;
    return classes == 0 || c->r.route == NULL || c->r.route->class == ROUTE_HEALTH || classes >> c->r.route->class & 1;
}

bool http_access_check(struct http_connection *c)
{
    if (c->access && !http_rate_take(&c->access->rate)) {
        stats_add(&http_stats, HTTP_RATE_LIMITED, 1);
        http_refuse(c, 429, "Too Many Requests\n");
        http_retry_after(&c->r, (int)(c->access->rate.interval / 1000000000) + 1);
        return true;
    }
    struct http_login_check check = {.done.run = on_login, ._loop = c->server->loop, .owner = c};
    if (!is_served_here(c))
        http_refuse(c, 404, "404 page not found\n");
    if (!needs_login(c))
        return true;
    enum http_login result = http_auth_begin(c->conf->auth, c->access->users, http_header(&c->r, "Authorization"),
                                             c->socket->from, &check);
    if (result == LOGIN_OK)
        accept_login(c);
    else if (result != LOGIN_WAITS)
        refuse_login(c, result);
    if (result != LOGIN_WAITS)
        return true;
    c->state = HTTP_LOGIN;
    http_socket_wait(c->sockets, c->socket, HTTP_AT_WORK);
    http_connection_suspend(c);
    return false;
}
