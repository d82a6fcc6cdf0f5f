// SPDX-License-Identifier: Apache-2.0
/* What every request of the query API does, once: take the upstream, set budget and deadline, run the
 * body, and put the envelope around what it wrote:
 *
 *   {"status":"success","data":DATA,"warnings":[...],"infos":[...]}
 *
 * A body appends DATA to `json` and returns true, or fills `err` and returns false. It may also set the request's
 * status to 204: no data at all. When the arena's budget is spent, wherever that happens, the request ends with
 * ERR_LIMIT; so a body keeps nothing but what the arena (arena_at_end) or `end` gives back.
 */
#ifndef GATEWAY_API_CALL_H
#define GATEWAY_API_CALL_H

#include "base/json/json_write.h"
#include "gateway/http/http.h"
#include "model/source.h"

#include <setjmp.h>

struct expr;
struct upstream;
struct api_call { /* of one worker */
    struct http_request *r;
    struct arena *arena;      /* the request's, with the budget of a query while the body runs */
    struct json_writer json;  /* into the request's `out` */
    struct notes notes;
    struct query_ctx q;       /* the deadline is --query.timeout from the request's arrival; a body may shorten it */
    struct source *source;    /* of the upstream, kept for the time of the call */
    void (*end)(struct api_call *c); /* a body may set it: called when the body has ended, however it did */
    void *end_arg;
    struct err err;
    struct upstream *_upstream;
    jmp_buf _full;
};
typedef bool api_body(struct api_call *c);
void api_respond(struct http_request *r, api_body *body);

/* The same without the envelope: the body writes the whole reply. */
void api_respond_plain(struct http_request *r, api_body *body,
                       void (*fail)(struct http_request *r, const struct err *err));

/* The parameter `query` as a tree that goes with the arena; NULL with the parser's words. */
struct expr *api_parse(struct api_call *c);
/* The deadline: so many ms from the request's arrival. */
void api_deadline(struct api_call *c, int64_t timeout);
void api_note_truncated(struct api_call *c);
/* Between the two the reply takes no more memory than the budget has left; false, with ERR_LIMIT: it would be more. */
void api_reply_begin(struct api_call *c);
bool api_reply_end(struct api_call *c) MUST_USE;
/* ,"warnings":[...] and ,"infos":[...]: at most ten of each, and how many more there are. */
void api_write_notes(struct json_writer *w, const struct notes *n);

#endif
