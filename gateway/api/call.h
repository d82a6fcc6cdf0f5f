// SPDX-License-Identifier: Apache-2.0
/* Common parts of the query API. The dispatcher sets up a query_session for each request: source, budget, deadline,
 * notes. api_respond runs a body in it and writes the envelope:
 *
 *   {"status":"success","data":DATA,"warnings":[...],"infos":[...]}
 *
 * A body appends DATA to `json` and returns true, or sets `err` and returns false. It may set the request's status to
 * 204: no data. If the memory of a query is used up, the body ends by longjmp (session.h).
 */
#ifndef GATEWAY_API_CALL_H
#define GATEWAY_API_CALL_H

#include "base/json/json_write.h"
#include "base/map.h"
#include "gateway/http/http.h"
#include "gateway/query/session.h"
#include "model/query_work.h"

struct api_call { /* of one worker */
    struct http_request *r;
    struct query_session *session;
    struct query_ctx *q;      /* the session's */
    struct source *source;    /* the session's */
    struct query_work work;   /* of rendering */
    struct json_writer json;  /* into the request's `out` */
    struct err err;
};
typedef bool api_body(struct api_call *c);
void api_respond(struct http_request *r, api_body *body);

/* Likewise without the envelope: the body writes the complete response. */
void api_respond_plain(struct http_request *r, api_body *body,
                       void (*fail)(struct http_request *r, const struct err *err));

/* Units of work on the response (model/query_work.h); false: the query must end. */
bool api_charge(struct api_call *c, uint64_t units) MUST_USE;
/* Sorts in the request's arena; false: the query must end. */
bool api_sort(struct api_call *c, void *items, size_t n, size_t size, query_compare *compare) MUST_USE;
/* The keys of a map, sorted likewise: m->n of them, in the arena. */
bool api_sorted_keys(struct api_call *c, const struct map *m, struct str **keys) MUST_USE;
/* Parses the parameter `query`; the tree is freed with the arena. NULL: err has the parser's error. */
struct expr *api_parse(struct api_call *c);
/* The deadline: so many ms from the request's arrival. */
void api_deadline(struct api_call *c, int64_t timeout);
/* Between the two the reply takes no more memory than the budget has left; false, with ERR_LIMIT: it would be more. */
void api_reply_begin(struct api_call *c);
bool api_reply_end(struct api_call *c) MUST_USE;
/* Sends what the reply has so far, and empties it (http_stream_send); another query may evaluate while the client
 * reads. Errors are then no longer responses: the reply is cut. False: the query must end. */
bool api_send_part(struct api_call *c, struct err *err) MUST_USE;
/* Writes ,"warnings":[...] and ,"infos":[...]: at most ten of each, and the number of further ones. */
void api_write_notes(struct json_writer *w, const struct notes *n);

#endif
