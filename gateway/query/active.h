// SPDX-License-Identifier: Apache-2.0
/* The queries that run: for /api/v1/status/active_queries, to cancel one, and for logs. One registry per program.
 *
 * A worker adds a query when it starts and removes it at its end; texts are borrowed from the request in between. Other
 * threads see it only while active_each holds the lock. Any thread.
 */
#ifndef GATEWAY_QUERY_ACTIVE_H
#define GATEWAY_QUERY_ACTIVE_H

#include "base/list.h"
#include "base/os/thread.h"
#include "base/str.h"

#include <stdatomic.h>

enum { ACTIVE_ID_SIZE = 17 }; /* as http_request.query_id */
struct active_query {
    struct list _node;
    uint64_t id;
    struct str path, query;        /* of the request; its selector where there is no query */
    struct str client;             /* host:port */
    int64_t started_mono;          /* clock_mono_ms: arrival of the request */
    int64_t start, end, step;      /* ms; 0 before they are parsed. active_set_times */
    atomic_bool stopped;           /* query_ctx.stopped: it was canceled by active_cancel */
};

struct active_queries {
    struct mutex _mutex;           /* guards what follows, and times of the queries */
    struct list _list;             /* oldest first */
    uint64_t _last_id;             /* random at first, so that ids of two runs differ */
};
void active_queries_init(struct active_queries *a);
void active_queries_free(struct active_queries *a); /* after the last active_remove */

void active_add(struct active_queries *a, struct active_query *q); /* sets the id */
void active_remove(struct active_queries *a, struct active_query *q);
void active_set_times(struct active_queries *a, struct active_query *q, int64_t start, int64_t end, int64_t step);
/* `visit` must be short, and may take no lock. */
void active_each(struct active_queries *a, void (*visit)(void *arg, const struct active_query *q), void *arg);
/* False: there is no such query (any more). */
bool active_cancel(struct active_queries *a, uint64_t id) MUST_USE;

void active_id_print(uint64_t id, char text[ACTIVE_ID_SIZE]); /* 16 hexadecimal digits */
bool active_id_parse(struct str text, uint64_t *id) MUST_USE;

#endif
