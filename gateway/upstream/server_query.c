// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/server_query.h"

#include "base/text/duration.h"
#include "base/text/url.h"
#include "gateway/upstream/decode/export_blocks.h"
#include "gateway/upstream/decode/remote_read.h"
#include "gateway/upstream/decode/staleness.h"

enum { MAX_POINTS = 11000 }; /* Prometheus gives 11,001 at most */
enum { PROMETHEUS_LOOKBACK_MS = 300000 }; /* default */

static void server_query_fetched(void *arg, const struct err *err, int status);

static const struct group *server_query_group(const struct server_query *query)
{
    return query->attempt.request->group;
}

static struct request_batch *server_query_batch(const struct server_query *query)
{
    return query->attempt.request->batch;
}

/* --- READ: the requests ------------------------------------------------------------------------------------------- */

static void server_query_send(struct server_query *query, struct fetch_plan plan)
{
    if (query->_n_fetches == LEN(query->_fetches)) {
        plan.decoder->free(plan.decoder);
        err_set(&query->_err, ERR_LIMIT, "server group \"%.*s\": the query has too many steps for one subquery",
                STR_ARG(server_query_group(query)->name));
        return;
    }
    plan.server = query->attempt.server;
    plan.arena = &query->attempt.arena;
    plan.done = server_query_fetched;
    plan.arg = query;
    plan.slot = &query->_fetches[query->_n_fetches++];
    query->_left++;
    fetch_send(server_query_batch(query), &plan);
}

/* `to`: what the decoder fills. */
static void send_form(struct server_query *query, const char *path, struct buf *form, struct decoder *decoder,
                      const struct response *to)
{
    server_query_send(query, (struct fetch_plan){.path = path, .form = buf_str(form), .decoder = decoder,
                                                 .query = query->_text, .n_samples = &to->n_samples,
                                                 .refusal = &query->_refusal});
    buf_free(form);
}

static void server_query_add_selector(struct buf *form, const struct server_query *query, const char *name,
                                      int64_t range)
{
    struct buf text = {0};
    matchers_print(&text, query->matchers, query->n_matchers);
    if (range > 0)
        buf_printf(&text, "[%lldms]", (long long)range);
    form_add(form, name, buf_str(&text));
    buf_free(&text);
}

/* Raw samples of the window, by a range selector at its end. Before Prometheus 3 the window is closed on both sides;
 * the response drops samples that are too early. */
static void server_query_window(struct server_query *query)
{
    struct buf form = {0};
    const struct select *sel = query->sel;
    server_query_add_selector(&form, query, "query", sel->t_max - sel->t_min + 1);
    form_add_ms(&form, "time", sel->t_max);
    send_form(query, "/api/v1/query", &form, json_decoder_new(&query->response), &query->response);
}

/* The metric that is selected; empty: several. */
static struct str server_query_metric(const struct server_query *query)
{
    for (size_t i = 0; i < query->n_matchers; i++)
        if (query->matchers[i].type == MATCH_EQ && str_is(query->matchers[i].name, METRIC_NAME))
            return query->matchers[i].value;
    return STR("");
}

/* Before Prometheus 3 lookback includes its left edge, and the first releases of Prometheus 2 do not know lookback_delta:
 * their lookback is the default. */
static bool server_query_looks_back_closed(const struct server_query *query)
{
    unsigned version = server_version(query->attempt.server);
    return query->_kind == SERVER_PROMETHEUS && version > SERVER_VERSION_NONE && version < SERVER_VERSION(3, 0, 0);
}

/* What it applies if it does not know lookback_delta, as far as is known. */
static int64_t server_query_lookback(const struct server_query *query)
{
    int64_t ms;
    return server_lookback(query->attempt.server, &ms) && ms > 0 ? ms : PROMETHEUS_LOOKBACK_MS;
}

/* The selector, as it is evaluated at steps; alone: nothing else is requested, and its lookback must be ours (as in
 * gateway/query/plan_old.c). */
static void server_query_add_steps(struct buf *form, const struct server_query *query)
{
    struct buf text = {0};
    matchers_print(&text, query->matchers, query->n_matchers);
    if (query->_steps_only && server_query_looks_back_closed(query)) {
        struct buf last = {0};
        buf_printf(&last, "last_over_time(%s[%lldms]) and %s", buf_z(&text), (long long)query->sel->window - 1, buf_z(&text));
        buf_free(&text);
        text = last;
    }
    form_add(form, "query", buf_str(&text));
    buf_free(&text);
}

static void server_query_steps(struct server_query *query, struct response *to)
{
    const struct select *sel = &query->_grid;
    bool one = sel->step <= 0 || sel->end <= sel->start;
    int64_t steps = one ? 1 : (sel->end - sel->start) / sel->step + 1;
    to->most_points = steps < MAX_POINTS ? (size_t)steps : MAX_POINTS;
    for (int64_t start = sel->start, last; start <= sel->end; start = last + sel->step) {
        struct buf form = {0};
        last = one || (sel->end - start) / sel->step < MAX_POINTS ? sel->end : start + (MAX_POINTS - 1) * sel->step;
        server_query_add_steps(&form, query);
        form_add_ms(&form, "lookback_delta", sel->window - (server_query_looks_back_closed(query) && !query->_steps_only));
        if (one) {
            form_add_ms(&form, "time", start);
        } else {
            form_add_ms(&form, "start", start);
            form_add_ms(&form, "end", last);
            form_add_ms(&form, "step", sel->step);
        }
        send_form(query, one ? "/api/v1/query" : "/api/v1/query_range", &form, json_decoder_new(to), to);
        if (one || query->_err.kind)
            break;
    }
}

static void server_query_export(struct server_query *query)
{
    struct buf form = {0};
    server_query_add_selector(&form, query, "match[]", 0);
    form_add_ms(&form, "start", query->sel->t_min > 0 ? query->sel->t_min : 0);
    form_add_ms(&form, "end", query->sel->t_max > 0 ? query->sel->t_max : 0);
    if (query->_method == READ_BLOCKS)
        send_form(query, "/api/v1/export/native", &form, blocks_decoder_new(&query->response, &query->_refusal),
                  &query->response);
    else
        send_form(query, "/api/v1/export", &form, export_decoder_new(&query->response), &query->response);
}

/* A response of samples is buffered outside of the arena, and they need about as much inside. */
static void server_query_read(struct server_query *query)
{
    struct buf body = {0};
    const struct request_batch *r = server_query_batch(query);
    size_t max = r->limits.max && r->limits.max < r->max_response ? r->limits.max : r->max_response;
    read_request(&body, query->matchers, query->n_matchers, query->_external, query->sel, !query->_samples);
    send_form(query, NULL, &body, remote_read_decoder_new(&query->response, max, &query->_refusal), &query->response);
}

/* A server that aligns ranges would return values at other steps. */
static bool server_query_misaligned(const struct server_query *query)
{
    const struct select *sel = query->sel;
    return server_query_group(query)->aligned_ranges && sel->step > 0 && sel->end > sel->start &&
           sel->start % sel->step != 0;
}

/* Whether the values at steps are those of our lookback. Prometheus 2 must look back as far, and shows the last sample of a
 * range (server_query_add_steps), which may not be empty, from 2.26 on; of a native histogram perhaps as 0. */
static bool server_query_sees_steps(const struct server_query *query)
{
    int64_t window = query->sel->window;
    return !server_query_looks_back_closed(query) ||
           (server_version(query->attempt.server) >= SERVER_VERSION(2, 26, 0) && window > 1 &&
            !server_may_have_histograms(query->attempt.server) && server_query_lookback(query) >= window && server_query_metric(query).n > 0);
}

/* Values at steps are sufficient, and less to transfer than raw samples, if nothing is compared and sample times are
 * not needed. */
static bool needs_steps(const struct server_query *query)
{
    return !server_query_misaligned(query) && query->sel->kind == SELECT_INSTANT && !query->compare &&
           !query->sel->wants_origin && server_query_sees_steps(query);
}

/* An instant query looks back from one point, to the newest sample. */
static bool server_query_wants_newest(const struct server_query *query)
{
    const struct select *sel = query->sel;
    bool one = sel->step <= 0 || sel->end <= sel->start;
    return one && sel->kind == SELECT_INSTANT && !query->compare;
}

static void server_query_reset_response(struct server_query *query, struct response *a)
{
    *a = batch_response(server_query_batch(query), query->view, query->attempt.server, &query->attempt.arena);
    a->rule = &server_query_group(query)->rule;
    a->t_min = query->sel->t_min;
    a->t_max = query->sel->t_max;
    a->newest = server_query_wants_newest(query);
}

static void read_begin(struct server_query *query)
{
    arena_free(&query->attempt.arena); /* of a method that failed */
    server_query_reset_response(query, &query->response);
    server_query_reset_response(query, &query->_steps);
    query->response.external = query->_method == READ_REMOTE ? query->_external : (struct labels){0};
    query->_steps_only = query->_method == READ_QUERY && needs_steps(query);
    query->_grid = *query->sel;
    if (server_query_misaligned(query)) /* ends of series are seen as well at steps beside those of the query */
        query->_grid.start -= (query->sel->start % query->sel->step + query->sel->step) % query->sel->step;
    if (server_query_looks_back_closed(query) && query->_grid.window > server_query_lookback(query))
        query->_grid.window = server_query_lookback(query); /* at least that long a sample was seen */
    bool marks = query->_method == READ_QUERY && query->sel->kind == SELECT_INSTANT; /* staleness.h works on samples */
    query->response.packs = query->packs && !marks;
    query->_refusal = BLOCKS_WANTED;
    if (query->_method == READ_BLOCKS || query->_method == READ_EXPORT)
        server_query_export(query);
    else if (query->_method == READ_REMOTE)
        server_query_read(query);
    else if (query->_steps_only)
        server_query_steps(query, &query->response);
    else {
        server_query_window(query);
        if (query->sel->kind == SELECT_INSTANT)
            server_query_steps(query, &query->_steps);
    }
}

/* --- the method --------------------------------------------------------------------------------------------------- */

static int64_t server_query_length(const struct server_query *query) { return query->sel->t_max - query->sel->t_min; }

static enum server_query_step step_of_export(struct server_query *query)
{
    enum server_blocks blocks = server_blocks(query->attempt.server, server_query_length(query));
    query->_method = blocks == BLOCKS_REFUSED ? READ_EXPORT : READ_BLOCKS;
    return blocks == BLOCKS_UNKNOWN ? STEP_FLAGS : STEP_READ;
}

static enum server_query_step step_of_method(struct server_query *query, enum read_method method)
{
    query->_method = method;
    bool known = method != READ_REMOTE ||
                 server_external(query->attempt.server, server_query_batch(query)->q->arena, &query->_external);
    return known ? STEP_READ : STEP_LABELS;
}

/* By remote_read: Prometheus had them before it could send them as samples, and their chunks are not decoded here. */
static bool server_query_sends_histograms(const struct server_query *query)
{
    unsigned version = server_version(query->attempt.server);
    return version < SERVER_VERSION(2, 40, 0) || version >= SERVER_VERSION(2, 44, 0);
}

/* While remote_read hangs, the query API serves: it has the same samples, but for native histograms. */
static bool server_query_reads(const struct server_query *query)
{
    const struct server *s = query->attempt.server;
    bool wants = s->wants_read && !needs_steps(query) && breaker_closed(server_breaker(s, LATENCY_READ));
    return (wants || server_has_histograms(s, server_query_metric(query))) && !atomic_load(&s->health->cannot_read);
}

static enum server_query_step step_of_kind(struct server_query *query)
{
    int64_t lookback;
    query->_samples = server_has_histograms(query->attempt.server, server_query_metric(query)) &&
                      server_query_sends_histograms(query);
    if (server_query_looks_back_closed(query) && !server_lookback(query->attempt.server, &lookback))
        return STEP_LOOKBACK;
    if (query->_kind == SERVER_VICTORIAMETRICS)
        return step_of_export(query);
    return step_of_method(query, server_query_reads(query) ? READ_REMOTE : READ_QUERY);
}

/* --- PROBE: kind and version of the server ------------------------------------------------------------------------ */

static void probe_begin(struct server_query *query)
{
    server_query_send(query, (struct fetch_plan){.path = "/api/v1/status/buildinfo", .get = true,
                                                 .decoder = buildinfo_decoder_new(&query->_build)});
}

static enum server_query_step probe_end(struct server_query *query)
{
    const struct server *s = query->attempt.server;
    bool failed = query->_err.kind != ERR_NONE;
    int status = query->_status;
    if (failed && (status == 0 || status == 401 || status == 403 || status == 508))
        return STEP_FAILED;
    bool ask_again = failed && (status == 429 || status / 100 == 5); /* at the next query */
    if (!ask_again)
        atomic_store(&s->health->version, failed ? SERVER_VERSION_NONE : query->_build.version);
    if (s->kind_configured)
        return step_of_kind(query);
    query->_kind = ask_again ? SERVER_PROMETHEUS : failed ? SERVER_VICTORIAMETRICS : query->_build.kind;
    query->_guessed = failed && !ask_again; /* a gateway hides it */
    if (!failed)
        atomic_store(&s->health->kind, query->_kind);
    return step_of_kind(query);
}

/* --- LOOKBACK: that of Prometheus 2 cannot be set by each request, but must be known ------------------------------ */

static void server_query_ask_lookback(struct server_query *query)
{
    server_query_send(query, (struct fetch_plan){.path = "/api/v1/status/flags", .get = true,
                                                 .decoder = lookback_decoder_new(&query->_flags)});
}

static enum server_query_step server_query_take_lookback(struct server_query *query)
{
    bool failed = query->_err.kind != ERR_NONE;
    if (failed && query->_status == 0)
        return STEP_FAILED;
    server_set_lookback(query->attempt.server, failed ? 0 : query->_flags.lookback, failed || query->_flags.histograms);
    return step_of_kind(query);
}

/* --- LABELS: remote_read adds external labels to every series and the query API does not -------------------------- */

static void external_begin(struct server_query *query)
{
    struct arena *a = server_query_batch(query)->q->arena;
    server_query_send(query, (struct fetch_plan){.path = "/api/v1/status/config", .get = true,
                                                 .decoder = external_labels_decoder_new(a, &query->_external)});
}

/* External labels must be known to be removed. A server without this endpoint has none; one that denies access is read
 * by the query API. */
static enum server_query_step external_end(struct server_query *query)
{
    bool failed = query->_err.kind != ERR_NONE;
    if (failed && query->_status == 0)
        return STEP_FAILED;
    if (failed && query->_status != 404) {
        atomic_store(&query->attempt.server->health->cannot_read, true);
        return step_of_method(query, READ_QUERY);
    }
    server_set_external(query->attempt.server, query->_external);
    return STEP_READ;
}

/* --- FLAGS: the native export of VictoriaMetrics is not deduplicated ---------------------------------------------- */

static void server_query_flags(struct server_query *query)
{
    server_query_send(query, (struct fetch_plan){.path = "/metrics", .get = true,
                                                 .decoder = flags_decoder_new(&query->_whole)});
}

static enum server_query_step server_query_flags_end(struct server_query *query)
{
    bool failed = query->_err.kind != ERR_NONE;
    if (failed && query->_status == 0)
        return STEP_FAILED;
    query->_method = !failed && query->_whole ? READ_BLOCKS : READ_EXPORT;
    if (query->_status != 429 && query->_status / 100 != 5) /* otherwise the next query requests them again */
        server_set_blocks(query->attempt.server, query->_method == READ_BLOCKS ? BLOCKS_WHOLE : BLOCKS_REFUSED);
    return STEP_READ;
}

/* --- READ: the responses ------------------------------------------------------------------------------------------ */

/* The JSON export instead of the native one. */
static enum server_query_step server_query_export_text(struct server_query *query)
{
    struct server *s = query->attempt.server;
    if (query->_refusal == BLOCKS_WASTEFUL)
        server_set_wasteful(s, server_query_length(query));
    else
        server_set_blocks(s, BLOCKS_REFUSED);
    query->_method = READ_EXPORT;
    return STEP_READ;
}

/* Native histograms, or chunks that are not understood. */
static enum server_query_step read_as_samples(struct server_query *query)
{
    query->_samples = true;
    if (query->response.lossy || query->_steps.lossy)
        server_saw_histograms(query->attempt.server, server_query_metric(query));
    bool sends = server_query_sends_histograms(query);
    if (sends && !atomic_load(&query->attempt.server->health->cannot_read))
        return step_of_method(query, READ_REMOTE);
    err_set(&query->_err, ERR_EXEC, "the response has native histograms, whose JSON is incomplete, and the server %s",
            sends ? "does not support remote_read" : "cannot send them by remote_read before Prometheus 2.44");
    server_blame(query->attempt.server, &query->_err);
    return STEP_FAILED;
}

/* The server does not support the method that was tried: use another one, and remember that. */
static enum server_query_step read_failed(struct server_query *query)
{
    if (query->_method == READ_BLOCKS && (query->_refusal || (query->_status / 100 == 4 && query->_status != 429)))
        return server_query_export_text(query);
    if (query->_method == READ_REMOTE && query->_refusal)
        return read_as_samples(query);
    struct server *s = query->attempt.server;
    bool unknown = query->_status == 404 || query->_status == 405 || query->_status == 415 || query->_status == 501;
    if ((!unknown && !(query->_guessed && query->_status / 100 == 4)) || query->_method == READ_QUERY)
        return STEP_FAILED;
    if (query->_method == READ_REMOTE)
        atomic_store(&s->health->cannot_read, true);
    else
        atomic_store(&s->health->kind, SERVER_PROMETHEUS);
    query->_guessed = false;
    return step_of_method(query, READ_QUERY);
}

/* Each series once, with stale markers. */
static bool read_complete(struct server_query *query, struct err *err)
{
    struct response *a = &query->response;
    if (!response_unite(a, err) || !response_unite(&query->_steps, err))
        return false;
    if (query->_steps_only)
        return staleness_end(a, query->sel, err);
    bool marks = query->_method == READ_QUERY && query->sel->kind == SELECT_INSTANT;
    return !marks || staleness_mark(a, &query->_steps, &query->_grid, err);
}

/* A metric that is queried stays known as one with histograms. */
static void read_saw_histograms(const struct server_query *query)
{
    size_t i = 0;
    while (i < query->response.n && query->response.series[i].n_hists == 0)
        i++;
    if (i < query->response.n)
        server_saw_histograms(query->attempt.server, server_query_metric(query));
}

static enum server_query_step read_end(struct server_query *query)
{
    if (query->_err.kind != ERR_NONE)
        return read_failed(query);
    if (query->response.lossy || query->_steps.lossy)
        return read_as_samples(query);
    if (query->_guessed)
        atomic_store(&query->attempt.server->health->kind, query->_kind);
    if (!read_complete(query, &query->_err)) {
        server_blame(query->attempt.server, &query->_err);
        return STEP_FAILED;
    }
    if (query->_samples)
        read_saw_histograms(query);
    atomic_fetch_add(&query->attempt.server->traffic->samples, query->response.n_samples);
    return STEP_SUCCEEDED;
}

/* --- the steps ---------------------------------------------------------------------------------------------------- */

static const struct {
    void (*begin)(struct server_query *query);                   /* sends the step's requests */
    enum server_query_step (*end)(struct server_query *query);   /* all have ended, or one failed (_err) */
} steps[] = {
    [STEP_PROBE] = {probe_begin, probe_end},
    [STEP_LOOKBACK] = {server_query_ask_lookback, server_query_take_lookback},
    [STEP_LABELS] = {external_begin, external_end},
    [STEP_FLAGS] = {server_query_flags, server_query_flags_end},
    [STEP_READ] = {read_begin, read_end},
};

static void server_query_enter(struct server_query *query, enum server_query_step next)
{
    query->_step = next;
    if (next == STEP_SUCCEEDED) {
        attempt_succeeded(&query->attempt);
    } else if (next == STEP_FAILED) {
        attempt_failed(&query->attempt, &query->_err);
    } else {
        query->_err = (struct err){0};
        query->_n_fetches = query->_left = 0;
        query->_status = 0;
        steps[next].begin(query);
    }
}

static void cancel_fetches(struct server_query *query)
{
    for (unsigned i = 0; i < query->_n_fetches; i++)
        if (query->_fetches[i])
            fetch_cancel(query->_fetches[i]);
    query->_n_fetches = query->_left = 0;
}

static void server_query_fetched(void *arg, const struct err *err, int status)
{
    struct server_query *query = arg;
    query->_left--;
    if (err) {
        query->_err = *err;
        query->_status = status;
        cancel_fetches(query);
    }
    if (query->_left == 0)
        server_query_enter(query, steps[query->_step].end(query));
}

/* The selector, for explain. */
static struct str server_query_text(const struct server_query *query)
{
    struct buf text = {0};
    matchers_print(&text, query->matchers, query->n_matchers);
    if (query->sel->kind == SELECT_RANGE)
        buf_printf(&text, "[%lldms]", (long long)query->sel->window);
    struct str out = arena_str(server_query_batch(query)->q->arena, buf_str(&text));
    buf_free(&text);
    return out;
}

static void server_query_start(struct attempt *a)
{
    struct server_query *query = CONTAINER(a, struct server_query, attempt);
    query->_kind = server_kind(a->server);
    query->_guessed = false;
    if (server_query_batch(query)->q->trace)
        query->_text = server_query_text(query);
    bool forgotten = query->_kind == SERVER_PROMETHEUS && server_version(a->server) == 0 &&
                     atomic_load(&a->server->health->answered); /* it was unreachable, and may have been replaced */
    server_query_enter(query, query->_kind == SERVER_AUTO || forgotten ? STEP_PROBE : step_of_kind(query));
}

static void server_query_cancel(struct attempt *a) { cancel_fetches(CONTAINER(a, struct server_query, attempt)); }

/* By the method that is in use, or would be. */
static unsigned server_query_calls(const struct attempt *a)
{
    const struct server_query *query = CONTAINER(a, const struct server_query, attempt);
    bool runs = a->state == ATTEMPT_RUNNING && query->_step == STEP_READ;
    enum server_kind kind = server_kind(a->server);
    bool one = query->sel->step <= 0 || query->sel->end <= query->sel->start;
    unsigned values = query->sel->kind != SELECT_INSTANT ? 0 : 1u << (one ? LATENCY_QUERY : LATENCY_QUERY_RANGE);
    if (runs ? query->_method <= READ_EXPORT : kind == SERVER_VICTORIAMETRICS)
        return 1u << LATENCY_EXPORT;
    if (runs ? query->_method == READ_REMOTE : server_query_reads(query))
        return 1u << LATENCY_READ;
    return needs_steps(query) ? values : values | 1u << LATENCY_QUERY;
}

const struct attempt_ops server_query_ops = {server_query_start, server_query_cancel, server_query_calls};
