// SPDX-License-Identifier: Apache-2.0
/* One scrape, in steps on the lane's loop:
 *
 * 1. The timer fires and the request is sent.
 * 2. The response is collected, and queued when it is complete.
 * 3. The page is parsed, compared, written and cached, in slices (scrape_work).
 * 4. The automatic series (`up` and others) are written, and the state for the API is published.
 *
 * A scrape that fails anywhere writes none of its samples: only the automatic series, and stale markers for the series
 * of the last successful scrape.
 */
#include "base/telemetry/log.h"
#include "base/text/num.h"
#include "base/text/duration.h"
#include "base/text/url.h"
#include "scraper/ending.h"
#include "scraper/report.h"
#include "scraper/schedule.h"
#include "scraper/scrape_stats.h"

#include <stdio.h>

enum {
    STEP_LINES = 512,
    COMPARE_LINES = 1024,      /* lines per step of which only ids are compared */
    METADATA_FAMILIES = 500,   /* per step, all of which may be new */
    SPARE_MAX = 256 << 10,     /* larger bodies are not reused */
};

struct scrape {
    struct target *target;
    struct client_call *call;  /* NULL when the response is complete */
    struct list node;          /* in lane.waiting, when the response is complete */
    struct buf body;
    int64_t start_ns;
    int64_t queued;            /* loop_mono ms at which it was passed to the client */
    int64_t t;                 /* timestamp of its samples */
    enum scrape_step { STEP_PARSE, STEP_COMPARE, STEP_WRITE, STEP_MARK, STEP_METADATA, STEP_UPDATE } step;
};

/* ---- finishing ---- */

static void count_page(const struct page *p)
{
    const struct page_result *r = &p->result;
    if (p->markers.markers)
        stats_add(&scrape_stats, STALE_MARKERS, (double)p->markers.markers);
    if (p->markers.busy)
        stats_add(&scrape_stats, SAMPLES_BUSY, (double)p->markers.busy);
    if (r->busy)
        stats_add(&scrape_stats, SAMPLES_BUSY, (double)r->busy);
    if (r->duplicates)
        stats_add(&scrape_stats, DUPLICATES, (double)r->duplicates);
    if (r->invalid_lines)
        stats_add(&scrape_stats, LINES_INVALID, (double)r->invalid_lines);
    if (r->uncached_lines)
        stats_add(&scrape_stats, SERIES_COLD, (double)r->uncached_lines);
}

/* The buffer of one response is reused for the next, unless it is unusually large. */
static void scrape_reuse_body(struct scrape_lane *l, struct buf *body)
{
    if (body->cap > SPARE_MAX || body->cap <= l->spare.cap) {
        mem_release_buf(&l->interner.release, body);
        return;
    }
    buf_free(&l->spare);
    l->spare = *body;
    buf_clear(&l->spare);
}

/* Logs when a target begins to fail, when the kind of failure changes, and when it recovers. */
static void log_outcome(struct target *t, const struct err *err, int64_t now)
{
    const struct scrape_job *conf = t->job->conf;
    if (err == NULL) {
        if (t->failure_logged)
            failure_log_recovered(&t->job->failures, t->url, now - t->failing_since, clock_mono_ms());
        t->failing = ERR_NONE;
        t->failure_logged = false;
        return;
    }
    if (t->failing == ERR_NONE)
        t->failing_since = now;
    if (t->failing != err->kind)
        t->failure_logged = false;
    t->failing = err->kind;
    if (t->failure_logged || conf->suppress_errors || now - t->failing_since < conf->suppress_errors_delay)
        return;
    failure_log_failing(&t->job->failures, t->url, err->text, clock_mono_ms());
    t->failure_logged = true;
}

static void scrape_publish(struct scrape *s, struct scrape_report *r, const struct err *err)
{
    struct target *t = s->target;
    struct scrape_lane *l = t->lane;
    r->duration = (double)(clock_mono_ns() - s->start_ns) / 1e9;
    r->timeout = (double)t->timeout / 1e3;
    r->bytes = (double)s->body.n;
    report_write(t, r, s->t);
    t->last_t = s->t;
    log_outcome(t, err, s->t);
    report_publish(t, r, err, s->t);
    stats_observe(&scrape_durations, r->duration);
    t->scrape = NULL;
    scrape_reuse_body(l, &s->body);
    mem_free(s);
    scrape_arm(t);
}

static void scrape_fail(struct scrape *s, const struct page_result *p, const struct err *err)
{
    struct target *t = s->target;
    struct err shown = *err;
    if (p) /* the error may quote the target's response */
        client_hide_secrets_in(t->job->profile, t->url, shown.text, sizeof shown.text);
    struct scrape_report r = {0};
    if (p) {
        r.scraped = (double)p->scraped;
        r.post_relabeling = (double)p->post_relabeling;
    }
    ending_add(t, s->t);
    stats_add(&scrape_stats, SCRAPES_FAILED, 1);
    scrape_publish(s, &r, &shown);
}

/* ---- parsing the response ---- */

static void send_new_family(void *arg, const struct metadata *m)
{
    struct scrape_lane *l = arg;
    sink_metadata(l->sink, m);
}

static void set_metadata(struct scrape_lane *l, struct target *t, struct metadata_list *list)
{
    mutex_lock(&l->mutex);
    struct metadata_list *before = t->metadata;
    t->metadata = list;
    mutex_unlock(&l->mutex);
    metadata_unref(&l->metadata, before);
}

/* Families that are new to the lane are sent at once. */
static bool store_metadata(struct scrape_lane *l, struct target *t)
{
    enum { ABOUT = 20000 };
    bool open = sink_begin(l->sink, &(struct sink_batch){.source = t->source, .bytes = ABOUT}) == SINK_OK;
    bool more = metadata_store_some(&l->metadata_builder, METADATA_FAMILIES, open ? send_new_family : NULL, l);
    if (open)
        sink_commit(l->sink, NULL, NULL);
    if (!more)
        set_metadata(l, t, metadata_build_end(&l->metadata_builder));
    return more;
}

/* True while there is more to do. */
static bool update_metadata(struct scrape_lane *l, struct target *t, const struct page *p)
{
    uint64_t hash = p->result.metadata_hash;
    if (l->metadata_builder.store)
        return metadata_collect_some(&l->metadata_builder, STEP_LINES) || store_metadata(l, t);
    if ((t->metadata ? t->metadata->hash : 0) == hash)
        return false;
    struct metadata_list *known = hash ? metadata_find(&l->metadata, hash) : NULL;
    if (known || hash == 0) {
        set_metadata(l, t, known);
        return false;
    }
    metadata_build_start(&l->metadata_builder, &l->metadata, hash, p->reader.text, p->reader.metadata,
                         p->reader.n_metadata);
    return true;
}

static bool within_limit(const struct target *t, struct page_result *r)
{
    int64_t limit = t->job->conf->sample_limit;
    size_t samples = t->job->conf->page.limit_counts_lines ? r->post_relabeling : r->post_relabeling - r->duplicates;
    if (limit <= 0 || samples <= (size_t)limit)
        return true;
    stats_add(&scrape_stats, SAMPLE_LIMIT, 1);
    stats_add(&scrape_stats, P_SAMPLE_LIMIT, 1);
    return err_set(&r->err, ERR_LIMIT, "sample limit exceeded: %zu samples, sample_limit is %lld", samples,
                   (long long)limit);
}

/* The page ends in slices: it refers to neither the scrape nor the target any more. */
static void end_page(struct scrape_lane *l, struct scrape *s)
{
    list_remove(&s->node);
    l->reading = false;
    l->page_ends = true;
}

static void page_failed(struct scrape_lane *l, struct scrape *s)
{
    struct err err = l->page.result.err;
    end_page(l, s);
    scrape_fail(s, &l->page.result, &err);
}

static void page_done(struct scrape_lane *l, struct scrape *s)
{
    const struct page_result *p = &l->page.result;
    struct scrape_report r = {.up = 1, .scraped = (double)p->scraped, .post_relabeling = (double)p->post_relabeling,
                              .added = (double)p->added};
    count_page(&l->page);
    stats_add(&scrape_stats, ROWS_READ, (double)p->scraped);
    stats_observe(&scrape_samples, (double)p->scraped);
    stats_observe(&scrape_sizes, (double)s->body.n);
    end_page(l, s);
    scrape_publish(s, &r, NULL);
}

static bool parse_some(struct page *p, bool *ok)
{
    enum page_state state = page_parse(p, STEP_LINES);
    if (state == PAGE_INVALID && p->result.err.kind == ERR_LIMIT)
        stats_add(&scrape_stats, LABEL_LIMIT, 1);
    *ok = state != PAGE_INVALID;
    return state == PAGE_MORE;
}

/* Executes one step of the current page; false when it is finished. */
static bool step(struct scrape_lane *l, struct scrape *s)
{
    struct page *p = &l->page;
    bool more = false, ok = true;
    switch (s->step) {
    case STEP_PARSE: more = parse_some(p, &ok); break;
    case STEP_COMPARE: /* finds the duplicates, which do not count as samples */
        more = page_compare(p, COMPARE_LINES);
        ok = more || within_limit(s->target, &p->result);
        break;
    case STEP_WRITE: more = page_write(p); break;
    case STEP_MARK: more = page_mark_vanished(p, s->t); break;
    case STEP_METADATA: more = update_metadata(l, s->target, p); break;
    case STEP_UPDATE: more = page_update_cache(p, COMPARE_LINES); break;
    }
    if (!ok)
        page_failed(l, s);
    else if (!more && s->step == STEP_UPDATE)
        page_done(l, s);
    else
        s->step += !more;
    return l->reading;
}

static struct scrape *next_page(struct scrape_lane *l)
{
    if (list_empty(&l->waiting))
        return NULL;
    struct scrape *s = CONTAINER(l->waiting.next, struct scrape, node);
    if (!l->reading && l->stopping)
        return NULL;
    if (!l->reading) {
        struct target *t = s->target;
        page_start(&l->page, t->source, &t->labels, t->templates, &t->last, buf_str(&s->body), s->t);
        l->reading = true;
    }
    return s;
}

/* One step of what is to be done first: ending series, so that no marker follows a newer sample; releasing what pages
 * and targets have left, so that not much of it waits; the page. False: nothing is left to do. */
static bool work_step(struct scrape_lane *l, int64_t until)
{
    if (!endings_work(l, until))
        return true;
    if (l->page_ends) {
        l->page_ends = page_end(&l->page, COMPARE_LINES);
        return true;
    }
    if (mem_release_some(&l->interner.release) || metadata_free_unused(&l->metadata, METADATA_FAMILIES))
        return true;
    struct scrape *s = next_page(l);
    return s && (step(l, s), true);
}

void scrape_work(struct scrape_lane *l)
{
    int64_t until = loop_slice_end(l->loop);
    while (work_step(l, until))
        if (clock_mono_ns() >= until) {
            loop_post(l->loop, &l->work);
            return;
        }
}

bool scrape_finish_page(struct scrape_lane *l, int64_t until)
{
    for (;;) {
        if (l->reading)
            step(l, CONTAINER(l->waiting.next, struct scrape, node));
        else if (l->page_ends)
            l->page_ends = page_end(&l->page, COMPARE_LINES);
        else
            return true;
        if (clock_mono_ns() >= until)
            return false;
    }
}

const struct target *scrape_being_read(const struct scrape_lane *l)
{
    return l->reading ? CONTAINER(l->waiting.next, struct scrape, node)->target : NULL;
}

/* ---- sending the request ---- */

/* Reason phrases as Prometheus shows them; the client has the status code only. */
static const char *status_text(int status)
{
    static const struct { int status; const char *text; } known[] = {
        {201, "Created"}, {202, "Accepted"}, {204, "No Content"}, {301, "Moved Permanently"}, {302, "Found"},
        {304, "Not Modified"}, {307, "Temporary Redirect"}, {308, "Permanent Redirect"}, {400, "Bad Request"},
        {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"},
        {406, "Not Acceptable"}, {407, "Proxy Authentication Required"}, {408, "Request Timeout"}, {410, "Gone"},
        {418, "I'm a teapot"}, {429, "Too Many Requests"}, {500, "Internal Server Error"}, {501, "Not Implemented"},
        {502, "Bad Gateway"}, {503, "Service Unavailable"}, {504, "Gateway Timeout"}};
    for (size_t i = 0; i < LEN(known); i++)
        if (known[i].status == status)
            return known[i].text;
    return "";
}

/* CRLF line ends are accepted where invalid lines are skipped: vmagent accepts them, Prometheus does not. A carriage
 * return at the end of the piece stays until what follows is known. */
static void add_without_returns(struct buf *body, struct str piece)
{
    size_t at = body->n;
    if (at > 0 && body->p[at - 1] == '\r' && piece.n > 0 && piece.p[0] == '\n')
        at = --body->n;
    buf_add_str(body, piece);
    const char *end = body->p + body->n;
    char *to = body->n > at ? memchr(body->p + at, '\r', body->n - at) : NULL;
    if (to == NULL)
        return;
    for (const char *from = to; from < end; from++)
        if (*from != '\r' || from + 1 == end || from[1] != '\n')
            *to++ = *from;
    body->n = (size_t)(to - body->p);
}

static bool scrape_body_chunk(void *arg, const struct client_reply *reply, struct str piece, struct err *err UNUSED)
{
    struct scrape *s = arg;
    if (reply->status == 200 && s->target->job->conf->broken_lines_fail)
        buf_add_str(&s->body, piece);
    else if (reply->status == 200)
        add_without_returns(&s->body, piece);
    return true;
}

static void count_reply(const struct client_reply *r)
{
    stats_add(&scrape_stats, BYTES_READ, (double)r->body_bytes);
    if (r->dial_failed)
        stats_add(&scrape_stats, DIAL_ERRORS, 1);
    if (r->gunzip_failed)
        stats_add(&scrape_stats, GUNZIP_FAILED, 1);
    if (r->status)
        stats_add(&scrape_stats, r->status == 200 ? SCRAPES_OK : SCRAPES_OTHER, 1);
    else if (r->err.kind == ERR_GATEWAY_TIME)
        stats_add(&scrape_stats, SCRAPES_TIMED_OUT, 1);
    else if (r->err.kind == ERR_TOO_LARGE) {
        stats_add(&scrape_stats, SIZE_EXCEEDED, 1);
        stats_add(&scrape_stats, P_BODY_LIMIT, 1);
    }
}

static void fail_reply(struct scrape *s, const struct client_reply *r)
{
    struct err err = r->err;
    buf_clear(&s->body);
    if (r->status)
        err_set(&err, ERR_BAD_GATEWAY, "server returned HTTP status %d %s", r->status, status_text(r->status));
    else if (err.kind == ERR_TOO_LARGE)
        err_set(&err, ERR_TOO_LARGE, "body size limit exceeded: response larger than %zu bytes",
                s->target->job->body_max);
    scrape_fail(s, NULL, &err);
}

/* A clock slightly behind still yields ascending timestamps. A clock that was set back is followed: otherwise samples
 * would have timestamps in the future until it catches up. */
static int64_t time_after(const struct target *t, int64_t time)
{
    enum { LEAST_STEP_MS = 1000 };
    int64_t jitter = t->interval / 2 > LEAST_STEP_MS ? t->interval / 2 : LEAST_STEP_MS;
    return time > t->last_t || t->last_t - time > jitter ? time : t->last_t + 1;
}

/* A scrape that queued for a slot is timestamped when it was sent, not when it was due. */
static void shift_start(struct scrape *s, const struct client_reply *r)
{
    struct target *t = s->target;
    struct loop *loop = t->lane->loop;
    int64_t waited = r->start_mono - s->queued;
    if (r->start_mono == 0 || waited <= 0)
        return;
    s->start_ns += waited * 1000000;
    s->t = time_after(t, schedule_time(t->tick, loop_now(loop) - (loop_mono(loop) - r->start_mono), t->interval));
}

static void scrape_response_done(void *arg, const struct client_reply *r)
{
    struct scrape *s = arg;
    struct scrape_lane *l = s->target->lane;
    s->call = NULL;
    s->target->timed_out = r->err.kind == ERR_GATEWAY_TIME;
    shift_start(s, r);
    count_reply(r);
    if (r->status != 200) {
        fail_reply(s, r);
        return;
    }
    if (!s->target->job->conf->broken_lines_fail && s->body.n > 0 && s->body.p[s->body.n - 1] == '\r')
        s->body.n--;
    list_push_back(&l->waiting, &s->node);
    loop_post(l->loop, &l->work);
}

static struct client_call *request(struct scrape *s)
{
    struct target *t = s->target;
    const struct scrape_job *conf = t->job->conf;
    char timeout[64];
    snprintf(timeout, sizeof timeout, "X-Prometheus-Scrape-Timeout-Seconds: %.10g", (double)t->timeout / 1e3);
    const char *headers[] = {"Accept: text/plain;version=0.0.4;q=1,*/*;q=0.1", timeout};
    return client_send(t->lane->client, &(struct client_request){
        .method = "GET", .url = t->url.p, .profile = t->job->profile, .headers = headers, .n_headers = LEN(headers),
        .slot = (uint32_t)t->id, .timeout_ms = t->timeout, .connect_timeout_ms = t->timeout,
        .max_body = t->job->body_max, .accept_gzip = conf->enable_compression && !conf->disable_compression,
        .doubtful = t->timed_out, .data = scrape_body_chunk, .done = scrape_response_done, .arg = s});
}

/* Logs a clock change once, at the first scrape after it. */
static void watch_clock(struct scrape_lane *l)
{
    enum { STEP_MS = 1000 };
    int64_t wall = loop_now(l->loop), mono = loop_mono(l->loop);
    int64_t step = l->last_mono ? (wall - l->last_wall) - (mono - l->last_mono) : 0;
    l->last_wall = wall;
    l->last_mono = mono;
    if (step > -STEP_MS && step < STEP_MS)
        return;
    char ms[NUM_MAX + 1];
    ms[num_format_i64(ms, step)] = 0;
    log_warn("scrape", step < 0 ? "the system clock was set back; timestamps follow it"
                                : "the system clock was set forward; timestamps follow it", "step_ms", ms);
}

static void fire(struct loop_timer *timer)
{
    struct target *t = CONTAINER(timer, struct target, timer);
    struct scrape_lane *l = t->lane;
    if (l->stopping)
        return;
    struct scrape *s = mem_zalloc(sizeof *s);
    s->target = t;
    s->start_ns = clock_mono_ns();
    s->queued = loop_mono(l->loop);
    watch_clock(l);
    s->t = time_after(t, schedule_time(t->tick, loop_now(l->loop), t->interval));
    s->body = l->spare;
    l->spare = (struct buf){0};
    t->scrape = s;
    if (t->over_limit) {
        struct err err;
        err_set(&err, ERR_LIMIT, "target_limit exceeded: the job has more than %lld targets",
                (long long)t->job->conf->target_limit);
        scrape_fail(s, NULL, &err);
        return;
    }
    s->call = request(s);
}

void scrape_arm(struct target *t)
{
    struct loop *loop = t->lane->loop;
    if (t->leaving)
        return;
    int64_t now = loop_now(loop), offset = schedule_offset(t->interval, t->place, t->job->conf->scrape_offset);
    t->timer.run = fire;
    t->tick = schedule_next(now, t->interval, offset);
    if (t->tick == t->last_t) /* the timer fired slightly early relative to the wall clock */
        t->tick += t->interval;
    loop_timer_at(loop, &t->timer, loop_mono(loop) + t->tick - now);
}

void scrape_cancel(struct target *t)
{
    struct scrape *s = t->scrape;
    if (s == NULL)
        return;
    if (s->call)
        client_cancel(s->call);
    if (list_linked(&s->node))
        list_remove(&s->node);
    mem_release_buf(&t->lane->interner.release, &s->body);
    loop_post(t->lane->loop, &t->lane->work);
    mem_free(s);
    t->scrape = NULL;
}

void scrape_end_target(struct target *t)
{
    int64_t time = time_after(t, loop_now(t->lane->loop));
    ending_add(t, time);
    if (t->last_t > 0 && !t->job->conf->no_stale_markers)
        report_end(t, time);
}
