// SPDX-License-Identifier: Apache-2.0
/* The trace of a query for /api/v1/explain and explain=1: decisions of the planner, requests to servers, and how
 * responses were merged. In the query's arena, recorded only on request (query_ctx.trace). Used by the query's thread
 * only.
 */
#ifndef GATEWAY_QUERY_TRACE_H
#define GATEWAY_QUERY_TRACE_H

#include "base/json/json_write.h"
#include "gateway/query/plan.h"

struct trace_request {
    struct str group, server;   /* as configured, without logins */
    struct str path;            /* "/api/v1/query_range" */
    struct str query;           /* the expression or selector */
    int status;                 /* HTTP's; 0: no complete response */
    int64_t begin_ms, took_ms;  /* begin: since the first request */
    uint64_t bytes, samples;    /* bytes: on the wire */
    bool joined;                /* another query sent an equal request, whose response served this one, too */
    struct str error;           /* empty: none */
};
struct trace_source {           /* a server, or the recent store, in a merge */
    struct str server;
    uint64_t series, samples;   /* that it had */
    uint64_t used;              /* samples of the result that are its own; a sample belongs to the first source */
    uint64_t filled;            /* those that fill gaps of the source with most samples of the series */
    int64_t filled_from, filled_to; /* the times of these, Unix ms */
};
struct trace_merge {
    struct str group, selector;
    uint64_t series, samples;   /* of the result */
    struct trace_source *sources; size_t n;
};
struct trace_skip { struct str group, selector, why; };
struct query_trace {
    struct arena *arena;
    int64_t started;            /* clock_mono_ms of the first request */
    const struct plan *plan;    /* NULL: there is none */
    struct str abandoned;       /* why results of push-down were not used; empty: they were */
    struct trace_skip *skips; size_t n_skips, _cap_skips;
    struct trace_request *requests; size_t n_requests, _cap_requests;
    struct trace_merge *merges; size_t n_merges, _cap_merges;
};

/* Texts are copied; t may be NULL. */
void trace_request(struct query_trace *t, const struct trace_request *request);
void trace_merge(struct query_trace *t, const struct trace_merge *merge);
/* A group is not queried for a selector, at some times at least. */
void trace_skip(struct query_trace *t, struct str group, const struct matcher *m, size_t n, const char *why);
void trace_abandon(struct query_trace *t, const char *why);

/* {"plan":[..],"abandoned":"..","skipped":[..],"requests":[..],"merged":[..],"text":".."}: the last is all of it as lines. */
void trace_show(struct json_writer *w, const struct query_trace *t);

#endif
