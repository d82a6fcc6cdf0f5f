// SPDX-License-Identifier: Apache-2.0
/* Samples are read as by a query: by export, remote_read or query (server_query.h). Scrapes per hour and targets of
 * series are requested by expressions, which every server evaluates. Labels are those that the servers have: the group's
 * view (gateway/view) does not apply to them, nor to the matchers that coverage is asked about.
 */
#include "gateway/background/coverage_reading.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "base/text/url.h"
#include "base/http/via.h"
#include "gateway/upstream/replicas.h"
#include "gateway/upstream/server_query.h"

enum { MAX_RESPONSE = 256 << 20, LABEL_BYTES = 2 /* of JSON or XML for a byte of a label, about */ };

struct reading {
    const struct coverage_reading_job *job;
    struct notes notes;
    struct query_ctx q;
    struct request_batch batch;
    struct group_request request;
    struct coverage_reading *results;  /* by server */
};

/* --- samples ------------------------------------------------------------------------------------------------------ */

static void reading_add_samples(struct reading *r, size_t i, const struct response *response)
{
    r->results[i].series = response->series;
    r->results[i].n = response->n;
    for (size_t k = 0; k < response->n; k++)
        r->results[i].bytes += (uint64_t)response->series[k].labels.n * LABEL_BYTES;
}

/* Selects `up` and its companion, for all targets or those that the work names. 0: an invalid regular expression. */
static size_t reading_matchers(const struct coverage_reading_job *job, struct matcher m[2], struct err *err)
{
    static const char series[] = "up|scrape_samples_post_metric_relabeling";
    if (!matcher_init(&m[0], job->arena, MATCH_RE, STR(METRIC_NAME), str_of(series), err))
        return 0;
    if (job->work.only.n == 0)
        return 1;
    if (matcher_init(&m[1], job->arena, MATCH_RE, job->work.only_label, job->work.only, err))
        return 2;
    matchers_free(m, 1);
    return 0;
}

static bool reading_of_samples(struct reading *r)
{
    const struct coverage_work *w = &r->job->work;
    struct arena *a = r->job->arena;
    struct matcher matchers[2];
    struct err err;
    size_t n = reading_matchers(r->job, matchers, &err);
    struct select sel = {.kind = SELECT_RANGE, .matchers = matchers, .n_matchers = n, .t_min = w->from, .t_max = w->to,
                         .start = w->to, .end = w->to, .window = w->to - w->from, .func = ""};
    if (n == 0)
        return false;
    struct server_query *queries = ARENA_ARRAY(a, struct server_query, r->job->group->n_servers);
    group_request_init(&r->request, &r->batch, r->job->group, READ_MERGE, &server_query_ops, queries, sizeof *queries);
    for (size_t i = 0; i < r->request.n; i++) {
        queries[i].sel = &sel;
        queries[i].matchers = matchers;
        queries[i].n_matchers = n;
        queries[i].compare = true;
    }
    r->request.any_clock = true;
    group_request_start(&r->request);
    bool ok = batch_wait(&r->batch, &err);
    group_request_stop(&r->request);
    for (size_t i = 0; i < r->request.n && ok; i++)
        if (queries[i].attempt.state == ATTEMPT_SUCCEEDED)
            reading_add_samples(r, i, &queries[i].response);
    matchers_free(matchers, n);
    return ok;
}

/* --- expressions that every server evaluates itself --------------------------------------------------------------- */

struct expr_query { /* first member: the attempt */
    struct attempt attempt;
    struct reading *reading;
    struct response response;
    struct fetch *fetch;
};

static void expr_fetched(void *arg, const struct err *err, int status UNUSED)
{
    struct expr_query *query = arg;
    if (err)
        attempt_failed(&query->attempt, err);
    else
        attempt_succeeded(&query->attempt);
}

/* At the end of each hour, or at one time. */
static const char *reading_form(const struct coverage_reading_job *job, struct buf *form)
{
    const struct coverage_work *w = &job->work;
    struct buf expr = {0};
    bool hours = w->kind == COVERAGE_HOURS;
    if (hours)
        buf_add_z(&expr, coverage_hours_expr);
    else if (w->kind == COVERAGE_COUNTS)
        coverage_counts_expr(job->group->coverage, w, &expr);
    else
        coverage_name_expr(job->group->coverage, w->name, &expr);
    form_add(form, "query", buf_str(&expr));
    buf_free(&expr);
    if (!hours) {
        form_add_ms(form, "time", w->to);
        return "/api/v1/query";
    }
    form_add_ms(form, "start", w->from + COVERAGE_HOUR_MS);
    form_add_ms(form, "end", w->to);
    form_add_ms(form, "step", COVERAGE_HOUR_MS);
    return "/api/v1/query_range";
}

static void expr_start(struct attempt *a)
{
    struct expr_query *query = CONTAINER(a, struct expr_query, attempt);
    const struct coverage_reading_job *job = query->reading->job;
    struct buf form = {0};
    const char *path = reading_form(job, &form);
    query->response = batch_response(a->request->batch, NULL, a->server, &a->arena);
    fetch_send(a->request->batch, &(struct fetch_plan){
        .server = a->server, .path = path, .form = buf_str(&form), .decoder = json_decoder_new(&query->response),
        .arena = &a->arena, .done = expr_fetched, .arg = query, .slot = &query->fetch});
    buf_free(&form);
}

static void expr_cancel(struct attempt *a)
{
    struct expr_query *query = CONTAINER(a, struct expr_query, attempt);
    if (query->fetch)
        fetch_cancel(query->fetch);
}

static const struct attempt_ops expr_ops = {expr_start, expr_cancel, NULL};

static void reading_add_origin(struct coverage_reading *to, const struct response *response)
{
    for (size_t i = 0; i < response->n; i++) {
        const struct series *s = &response->series[i];
        struct str part = labels_get(s->labels, STR("__part__"));
        double v = s->n_samples ? s->samples[0].v : 0;
        if (str_is(part, "all"))
            to->all = v;
        else if (str_is(part, "alone"))
            to->alone = v;
        else if (str_is(part, "other"))
            to->other = v;
    }
}

static bool reading_of_expr(struct reading *r)
{
    struct err err;
    struct expr_query *queries = ARENA_ARRAY(r->job->arena, struct expr_query, r->job->group->n_servers);
    group_request_init(&r->request, &r->batch, r->job->group, READ_MERGE, &expr_ops, queries, sizeof *queries);
    for (size_t i = 0; i < r->request.n; i++)
        queries[i].reading = r;
    r->request.any_clock = true;
    group_request_start(&r->request);
    bool ok = batch_wait(&r->batch, &err);
    group_request_stop(&r->request);
    for (size_t i = 0; i < r->request.n && ok; i++) {
        if (queries[i].attempt.state != ATTEMPT_SUCCEEDED)
            continue;
        r->results[i].series = queries[i].response.series;
        r->results[i].n = queries[i].response.n;
        reading_add_origin(&r->results[i], &queries[i].response);
    }
    return ok;
}

/* --- both --------------------------------------------------------------------------------------------------------- */

/* A server that was not queried is paused: queries skip it, too. A response with a warning may be partial. */
static void reading_judge(struct reading *r, bool ok)
{
    for (size_t i = 0; i < r->request.n; i++) {
        const struct attempt *a = r->request.attempts[i];
        struct coverage_reading *result = &r->results[i];
        bool down = a->state == ATTEMPT_IDLE || server_state(a->server) == SERVER_DOWN;
        result->state = !ok || r->notes.warnings.n > 0 ? COVERAGE_FAILED
                      : a->state == ATTEMPT_SUCCEEDED ? COVERAGE_READ
                      : down ? COVERAGE_UNREACHED : COVERAGE_FAILED;
        result->shows_late = server_kind(a->server) == SERVER_VICTORIAMETRICS;
        if (a->state == ATTEMPT_FAILED)
            log_debug("upstream", "cannot read the coverage of a server", "err", a->err.text);
    }
}

/* Scrapes of `up` show best whether replicas hold copies. */
static void reading_compare(const struct reading *r)
{
    struct arena *a = r->job->arena;
    size_t n_servers = r->job->group->n_servers, *n = ARENA_ARRAY(a, size_t, n_servers);
    const struct series **series = ARENA_ARRAY(a, const struct series *, n_servers);
    for (size_t i = 0; i < n_servers; i++) {
        series[i] = r->results[i].series;
        n[i] = r->results[i].state == COVERAGE_READ ? r->results[i].n : 0;
    }
    replicas_learn(r->job->group, a, series, n);
}

static void reading_give_counts(const struct reading *r, int64_t now)
{
    const struct group *g = r->job->group;
    unsigned *fewer = ARENA_ARRAY(r->job->arena, unsigned, g->n_servers);
    coverage_take_counts(g->coverage, r->job->arena, &r->job->work, r->results, now, fewer);
    for (size_t i = 0; i < g->n_servers; i++)
        if (fewer[i] > 0)
            log_warn("upstream", "server has fewer samples than its scrapes and those of its replicas explain; reading "
                     "these targets from its replicas, too, for an hour", LOG_STR("group", g->name),
                     LOG_STR("server", g->servers[i]->shown), LOG_STR("metric", r->job->work.name),
                     LOG_U64("targets", fewer[i]));
}

static void reading_give(struct reading *r)
{
    const struct coverage_reading_job *job = r->job;
    struct coverage *c = job->group->coverage;
    int64_t now = clock_wall_ms();
    if (job->work.kind == COVERAGE_SAMPLES)
        reading_compare(r);
    if (job->work.kind == COVERAGE_SAMPLES)
        coverage_take_samples(c, job->arena, &job->work, r->results, now);
    else if (job->work.kind == COVERAGE_HOURS)
        coverage_take_hours(c, job->arena, &job->work, r->results, now);
    else if (job->work.kind == COVERAGE_COUNTS)
        reading_give_counts(r, now);
    else
        coverage_take_name(c, &job->work, r->results, now);
}

/* The arena has a limit only while responses arrive; what is made of them is small beside them. */
void coverage_reading_run(const struct coverage_reading_job *job)
{
    struct worker *worker = worker_self();
    bool newest = job->work.kind == COVERAGE_SAMPLES && !job->work.past;
    struct reading r = {.job = job, .notes.arena = job->arena};
    r.q = (struct query_ctx){.arena = job->arena, .notes = &r.notes,
                             .deadline_mono = clock_mono_ms() + (newest ? NEWEST_MS : READING_MS),
                             .canceled = job->canceled, .user = worker};
    r.results = ARENA_ARRAY(job->arena, struct coverage_reading, job->group->n_servers);
    worker->via = via_line(job->arena, STR(""), job->id);
    job->arena->max = READING_MEMORY;
    bool ok = job->memory == NULL || arena_charge(job->arena, job->memory);
    batch_begin(&r.batch, &r.q, MAX_RESPONSE);
    ok = ok && (job->work.kind == COVERAGE_SAMPLES ? reading_of_samples(&r) : reading_of_expr(&r));
    batch_end(&r.batch);
    job->arena->max = 0;
    reading_judge(&r, ok);
    reading_give(&r);
    worker_turn_end(worker);
    worker->via = NULL;
}
