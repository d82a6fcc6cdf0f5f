// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/flight.h"

#include <stdio.h>
#include <string.h>

struct flight {
    struct list node;              /* in server->flights while it may be joined */
    struct server_health *server;
    struct buf request;            /* what makes requests equal */
    struct list seats;
    bool closed;                   /* bytes have arrived */
    struct flight_response *response; /* being collected; NULL: nobody joined, or it is too large */
};

static void flight_write_request(struct buf *out, const struct flight_request *request)
{
    buf_printf(out, "%zu %zu ", request->url.n, request->body.n);
    buf_add_str(out, request->url);
    buf_add_str(out, request->body);
    for (size_t i = 0; i < request->n_headers; i++) {
        buf_add_z(out, request->headers[i]);
        buf_add_char(out, '\n');
    }
}

static struct flight *flight_find(struct server_health *server, struct str request)
{
    for (struct list *node = server->flights.next; node != &server->flights; node = node->next) {
        struct flight *flight = CONTAINER(node, struct flight, node);
        if (str_eq(buf_str(&flight->request), request))
            return flight;
    }
    return NULL;
}

struct flight *flight_join(const struct flight_request *request, struct flight_seat *seat)
{
    struct buf text = {0};
    flight_write_request(&text, request);
    mutex_lock(&request->server->mutex);
    struct flight *flight = flight_find(request->server, buf_str(&text));
    bool joined = flight != NULL;
    if (joined) {
        seat->_flight = flight;
        list_push_back(&flight->seats, &seat->_node);
    } else {
        flight = mem_zalloc(sizeof *flight);
        *flight = (struct flight){.server = request->server, .request = text};
        list_init(&flight->seats);
        list_push_back(&request->server->flights, &flight->node);
    }
    mutex_unlock(&request->server->mutex);
    if (joined)
        buf_free(&text);
    return joined ? NULL : flight;
}

/* Nobody joins from now on. Under the server's mutex. */
static void flight_close(struct flight *flight)
{
    if (!flight->closed)
        list_remove(&flight->node);
    flight->closed = true;
}

static void flight_seat_landed(struct loop_task *task)
{
    struct flight_seat *seat = CONTAINER(task, struct flight_seat, _task);
    seat->landed(seat);
}

/* All get the response, or NULL. Under the server's mutex. */
static void flight_land(struct flight *flight, struct flight_response *response)
{
    while (!list_empty(&flight->seats)) {
        struct flight_seat *seat = CONTAINER(list_pop_front(&flight->seats), struct flight_seat, _node);
        seat->_flight = NULL;
        seat->response = response;
        if (response)
            refs_take(&response->refs);
        seat->_task.run = flight_seat_landed;
        loop_post(seat->loop, &seat->_task);
    }
}

static struct flight_response *flight_response_new(struct budget *memory)
{
    struct flight_response *r = mem_zalloc(sizeof *r);
    refs_init(&r->refs);
    buf_charge_anyway(&r->body, memory);
    return r;
}

void flight_response_unref(struct flight_response *r)
{
    if (r == NULL || !refs_drop(&r->refs))
        return;
    buf_free(&r->body);
    mem_free(r);
}

void flight_data(struct flight *flight, struct str piece, struct budget *memory, size_t most)
{
    if (!flight->closed) {
        mutex_lock(&flight->server->mutex);
        flight_close(flight);
        if (!list_empty(&flight->seats))
            flight->response = flight_response_new(memory);
        mutex_unlock(&flight->server->mutex);
    }
    if (flight->response == NULL)
        return;
    buf_add_str(&flight->response->body, piece);
    if (!flight->response->body.over && (most == 0 || flight->response->body.n <= most))
        return;
    flight_response_unref(flight->response);
    flight->response = NULL;
    mutex_lock(&flight->server->mutex);
    flight_land(flight, NULL);
    mutex_unlock(&flight->server->mutex);
}

void flight_end(struct flight *flight, const struct client_reply *reply)
{
    struct server_health *server = flight->server;
    mutex_lock(&server->mutex);
    flight_close(flight);
    if (reply && flight->response == NULL && !list_empty(&flight->seats))
        flight->response = flight_response_new(NULL); /* an empty body */
    struct flight_response *response = reply ? flight->response : NULL;
    if (response) {
        response->status = reply->status;
        snprintf(response->content_type, sizeof response->content_type, "%.*s", STR_ARG(reply->content_type));
        snprintf(response->retry_after, sizeof response->retry_after, "%.*s", STR_ARG(reply->retry_after));
    }
    flight_land(flight, response);
    mutex_unlock(&server->mutex);
    flight_response_unref(flight->response);
    buf_free(&flight->request);
    mem_free(flight);
}

void flight_leave(struct flight_seat *seat, struct server_health *server)
{
    mutex_lock(&server->mutex);
    if (seat->_flight)
        list_remove(&seat->_node);
    seat->_flight = NULL;
    mutex_unlock(&server->mutex);
    loop_unpost(seat->loop, &seat->_task);
    flight_response_unref(seat->response);
    seat->response = NULL;
}
