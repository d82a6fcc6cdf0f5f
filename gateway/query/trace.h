// SPDX-License-Identifier: Apache-2.0
/* What is told about the work for a query: /api/v1/explain and explain=1. Decisions of the planner, every request to a
 * server, and how responses became one. Kept in the query's arena, only when it is asked for (query_ctx.trace). One
 * thread, the query's.
 */
#ifndef GATEWAY_QUERY_TRACE_H
#define GATEWAY_QUERY_TRACE_H

#include "gateway/query/plan.h"

struct trace_request {
    struct str group, server;   /* as configured, without logins */
    struct str path;            /* "/api/v1/query_range" */
    struct str query;           /* the expression or selector */
    int status;                 /* HTTP's; 0: no complete response */
    int64_t begin_ms, took_ms;  /* begin: since the first request */
    uint64_t bytes, samples;    /* bytes: on the wire */
    struct str error;           /* empty: none */
};
struct trace_source {           /* a server, or the recent store, in a merge */
    struct str server;
    uint64_t series, samples;   /* that it had */
    uint64_t used;              /* samples of the result that are its own: the first source that has one owns it */
    uint64_t filled;            /* those that fill gaps of the source from which most of the series comes */
    int64_t filled_from, filled_to; /* the times of these, Unix ms */
};
struct trace_merge {
    struct str group, selector;
    uint64_t series, samples;   /* of the result */
    struct trace_source *sources; size_t n;
};
struct query_trace {
    struct arena *arena;
    int64_t started;            /* clock_mono_ms of the first request */
    const struct plan *plan;    /* NULL: there is none */
    struct str abandoned;       /* why what was pushed down is not used; empty: it is */
    struct trace_request *requests; size_t n_requests, _cap_requests;
    struct trace_merge *merges; size_t n_merges, _cap_merges;
};

/* Each takes a copy of the texts; t may be NULL. */
void trace_request(struct query_trace *t, const struct trace_request *request);
void trace_merge(struct query_trace *t, const struct trace_merge *merge);
void trace_abandon(struct query_trace *t, const char *why);

/* {"plan":[..],"abandoned":"..","requests":[..],"merged":[..],"text":".."}: the last is all of it as lines. */
void trace_show(struct json_writer *w, const struct query_trace *t);

#endif
