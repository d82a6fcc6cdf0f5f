// SPDX-License-Identifier: Apache-2.0
#include "gateway/servers/latency.h"

const char latency_family[] = "server_group_request_duration_seconds";

/* Names of calls are promxy's, which has neither export nor status requests. */
static const struct { const char *path, *name; } latency_calls[] = {
    [LATENCY_QUERY] = {"/query", "query"}, [LATENCY_QUERY_RANGE] = {"/query_range", "query_range"},
    [LATENCY_EXPORT] = {"/export", "export"}, [LATENCY_READ] = {"/read", "remote_read"},
    [LATENCY_LABEL_NAMES] = {"/labels", "label_names"}, [LATENCY_LABEL_VALUES] = {"/values", "label_values"},
    [LATENCY_SERIES] = {"/series", "series"}, [LATENCY_EXEMPLARS] = {"/query_exemplars", "query_exemplars"},
    [LATENCY_METADATA] = {"/metadata", "metadata"}, [LATENCY_STATUS] = {"/", "status"}};
_Static_assert(LEN(latency_calls) == LATENCY_CALLS, "a name for each call");

static enum latency_call latency_call_of(const char *path)
{
    enum latency_call call = path ? 0 : LATENCY_READ;
    while (path && call < LATENCY_STATUS && !str_ends(str_of(path), str_of(latency_calls[call].path)))
        call++;
    return call;
}

void latency_count(struct latency *l, const char *path, bool succeeded, int64_t took_ms)
{
    enum latency_call call = latency_call_of(path);
    atomic_fetch_add_explicit(&l->of[call][succeeded].requests, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->of[call][succeeded].ms, (uint64_t)took_ms, memory_order_relaxed);
}

void latency_collect(struct latency *l, struct stats_out *o, struct stats_label *labels, unsigned n)
{
    for (int call = 0; call < LATENCY_CALLS; call++)
        for (int ok = 0; ok < 2; ok++) {
            uint64_t requests = atomic_load_explicit(&l->of[call][ok].requests, memory_order_relaxed);
            uint64_t ms = atomic_load_explicit(&l->of[call][ok].ms, memory_order_relaxed);
            if (requests == 0)
                continue;
            labels[n] = (struct stats_label){"call", str_of(latency_calls[call].name)};
            labels[n + 1] = (struct stats_label){"status", ok ? STR("success") : STR("error")};
            stats_value(o, "server_group_request_duration_seconds_sum", labels, n + 2, (double)ms / 1e3);
            stats_value(o, "server_group_request_duration_seconds_count", labels, n + 2, (double)requests);
        }
}
