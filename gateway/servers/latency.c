// SPDX-License-Identifier: Apache-2.0
#include "gateway/servers/latency.h"

const char latency_family[] = "server_group_request_duration_seconds";
const char latency_codes_family[] = "sluice_upstream_responses_total";
const char latency_histogram_family[] = "sluice_upstream_request_duration_seconds";

/* Statuses that are label values themselves, then the rest by class; "none": no complete response. */
static const struct { int status; const char *name; } latency_codes[LATENCY_CODES] = {
    {200, "200"}, {400, "400"}, {401, "401"}, {403, "403"}, {404, "404"}, {422, "422"}, {429, "429"}, {500, "500"},
    {502, "502"}, {503, "503"}, {504, "504"}, {0, "none"}, {4, "4xx"}, {-1, "other"}};
static const struct { int64_t ms; const char *le; } latency_bounds[LATENCY_BUCKETS] = {
    {5, "0.005"}, {20, "0.02"}, {50, "0.05"}, {200, "0.2"}, {500, "0.5"}, {2000, "2"}, {10000, "10"}, {60000, "60"},
    {INT64_MAX, "+Inf"}};

/* Names of calls are promxy's, which has neither export nor status requests. */
static const struct { const char *path, *name; } latency_calls[] = {
    [LATENCY_QUERY] = {"/query", "query"}, [LATENCY_QUERY_RANGE] = {"/query_range", "query_range"},
    [LATENCY_EXPORT] = {"/export", "export"}, [LATENCY_READ] = {"/read", "remote_read"},
    [LATENCY_LABEL_NAMES] = {"/labels", "label_names"}, [LATENCY_LABEL_VALUES] = {"/values", "label_values"},
    [LATENCY_SERIES] = {"/series", "series"}, [LATENCY_EXEMPLARS] = {"/query_exemplars", "query_exemplars"},
    [LATENCY_METADATA] = {"/metadata", "metadata"}, [LATENCY_STATUS] = {"/", "status"}};
_Static_assert(LEN(latency_calls) == LATENCY_CALLS, "a name for each call");

enum latency_call latency_call_of(const char *path)
{
    enum latency_call call = path ? 0 : LATENCY_READ;
    if (path && str_ends(str_of(path), STR("/export/native")))
        return LATENCY_EXPORT;
    while (path && call < LATENCY_STATUS && !str_ends(str_of(path), str_of(latency_calls[call].path)))
        call++;
    return call;
}

static size_t latency_code_of(int status)
{
    size_t i = 0;
    while (i < LATENCY_CODES - 1 && latency_codes[i].status != status && latency_codes[i].status != status / 100)
        i++;
    return i;
}

/* Of two requests that end at the same time one may not count. */
static void latency_count_usual(struct latency *l, enum latency_call call, int64_t took_ms)
{
    enum { WEIGHT = 16 };
    int64_t n = (int64_t)atomic_load_explicit(&l->of[call][true].requests, memory_order_relaxed);
    int64_t usual = atomic_load_explicit(&l->usual_us[call], memory_order_relaxed);
    usual += (took_ms * 1000 - usual) / (n < WEIGHT ? n : WEIGHT);
    atomic_store_explicit(&l->usual_us[call], usual, memory_order_relaxed);
}

int64_t latency_usual_ms(const struct latency *l, enum latency_call call)
{
    bool known = atomic_load_explicit(&l->of[call][true].requests, memory_order_relaxed) > 0;
    return known ? atomic_load_explicit(&l->usual_us[call], memory_order_relaxed) / 1000 : LATENCY_UNKNOWN;
}

void latency_count(struct latency *l, const char *path, int status, bool succeeded, int64_t took_ms)
{
    enum latency_call call = latency_call_of(path);
    size_t bucket = 0;
    while (took_ms > latency_bounds[bucket].ms)
        bucket++;
    atomic_fetch_add_explicit(&l->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->codes[call][latency_code_of(status)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->of[call][succeeded].requests, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->of[call][succeeded].ms, (uint64_t)took_ms, memory_order_relaxed);
    if (succeeded)
        latency_count_usual(l, call, took_ms);
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

void latency_collect_codes(struct latency *l, struct stats_out *o, struct stats_label *labels, unsigned n)
{
    for (int call = 0; call < LATENCY_CALLS; call++)
        for (int code = 0; code < LATENCY_CODES; code++) {
            uint64_t responses = atomic_load_explicit(&l->codes[call][code], memory_order_relaxed);
            labels[n] = (struct stats_label){"call", str_of(latency_calls[call].name)};
            labels[n + 1] = (struct stats_label){"code", str_of(latency_codes[code].name)};
            if (responses > 0)
                stats_value(o, latency_codes_family, labels, n + 2, (double)responses);
        }
}

void latency_collect_histogram(struct latency *l, struct stats_out *o, struct stats_label *labels, unsigned n)
{
    uint64_t count = 0, ms = 0;
    for (int i = 0; i < LATENCY_BUCKETS; i++) {
        count += atomic_load_explicit(&l->buckets[i], memory_order_relaxed);
        labels[n] = (struct stats_label){"le", str_of(latency_bounds[i].le)};
        stats_value(o, "sluice_upstream_request_duration_seconds_bucket", labels, n + 1, (double)count);
    }
    for (int call = 0; call < LATENCY_CALLS; call++)
        for (int ok = 0; ok < 2; ok++)
            ms += atomic_load_explicit(&l->of[call][ok].ms, memory_order_relaxed);
    stats_value(o, "sluice_upstream_request_duration_seconds_sum", labels, n, (double)ms / 1e3);
    stats_value(o, "sluice_upstream_request_duration_seconds_count", labels, n, (double)count);
}
