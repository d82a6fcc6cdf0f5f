// SPDX-License-Identifier: Apache-2.0
/* One scrape, in steps on the lane's loop:
 *
 * 1. The timer fires and the request is sent.
 * 2. The response is collected, or read as it arrives (stream.h).
 * 3. When it is complete, the page is parsed, compared, written and cached, in slices (page_work.c); while another page is
 *    being read, it is queued.
 * 4. The automatic series (`up` and others) are written, and the state for the API is published.
 *
 * A scrape that fails anywhere writes none of its samples: only the automatic series, and stale markers for the series
 * of the last successful scrape.
 */
#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "scraper/ending.h"
#include "model/exposition/scrape_protocols.h"
#include "scraper/schedule.h"
#include "scraper/scrape_stats.h"
#include "scraper/stream.h"

#include <stdio.h>

enum {
    SPARE_MAX = 256 << 10,       /* larger bodies are not reused */
    CLUSTER_SLOT_TARGETS = 4000, /* in a cluster the length of slots must not depend on the member */
};

/* ---- finishing ---- */

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

static void scrape_take_spare(struct scrape *s)
{
    s->body = s->target->lane->spare;
    s->target->lane->spare = (struct buf){0};
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

static void scrape_end(struct scrape *s, const struct scrape_report *r, const struct err *err)
{
    struct target *t = s->target;
    struct scrape_lane *l = t->lane;
    t->last_t = s->t;
    log_outcome(t, err, s->t);
    if (err && t->job->failure_file)
        failure_file_put(t->job->failure_file, t->job_name, t->url, err->text, s->t);
    report_publish(t, r, err, s->t);
    stats_observe(&scrape_durations, r->duration);
    standby_ended(s);
    t->scrape = NULL;
    scrape_stream_free(s);
    scrape_reuse_body(l, &s->body);
    mem_free(s);
    scrape_arm(t);
}

/* Its outcome was published when it was kept. */
static void replay_end(struct scrape *s)
{
    struct scrape_lane *l = s->target->lane;
    if (s->target->leaving) /* it may have waited for this */
        loop_post(l->loop, &l->work);
    standby_replayed(s);
    standby_ended(s);
    mem_release_buf(&l->interner.release, &s->packed);
    scrape_reuse_body(l, &s->body);
    mem_free(s);
}

/* The first scrape after a target has moved here: how many slots are missing since the former owner's last one, or since it
 * was due, or how many are scraped twice. */
static void note_sent_slot(struct target *t, int64_t tick)
{
    int64_t interval = t->settings.interval, slots = 0;
    if (t->taken_at > 0 && t->prior_tick > 0)
        slots = (tick - t->prior_tick + interval / 2) / interval - 1;
    else if (t->taken_at > 0)
        slots = (tick - t->taken_at) / interval;
    if (slots > 0)
        stats_add(&scrape_stats, CLUSTER_GAPS, (double)slots);
    if (slots < 0)
        stats_add(&scrape_stats, CLUSTER_OVERLAPS, (double)-slots);
    t->taken_at = t->prior_tick = 0;
    t->sent_tick = tick;
}

void scrape_publish(struct scrape *s, struct scrape_report *r, const struct err *err)
{
    struct target *t = s->target;
    r->duration = (double)(s->replay ? s->duration_ns : clock_mono_ns() - s->start_ns) / 1e9;
    r->timeout = (double)t->settings.timeout / 1e3;
    r->bytes = (double)(s->stream ? s->stream->read : s->body.n);
    r->body_size = err && err->kind == ERR_TOO_LARGE ? -1 : r->bytes;
    r->sample_limit = (double)t->settings.sample_limit;
    r->label_limit = (double)t->settings.label_limit;
    r->series_limit = (double)t->settings.series_limit;
    r->series = t->series ? (double)t->series->seen.n : 0;
    if (!s->mute) {
        report_write(t, r, s->t);
        note_sent_slot(t, s->tick);
    }
    if (s->replay)
        replay_end(s);
    else
        scrape_end(s, r, err);
}

bool scrape_failure(const struct scrape *s, struct err *err)
{
    if (s->failure)
        err_set(err, s->failure_kind, "%s", s->failure);
    return s->failure != NULL;
}

void scrape_kept(struct scrape *s)
{
    struct err err;
    struct scrape_report r = {.duration = (double)(clock_mono_ns() - s->start_ns) / 1e9, .bytes = (double)s->body.n};
    bool failed = scrape_failure(s, &err);
    scrape_end(s, &r, failed ? &err : NULL);
}

void scrape_fail(struct scrape *s, const struct page_result *p, const struct err *err)
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
    if (s->stream)
        scrape_stream_end_series(s, true);
    else
        ending_add(t, s->t);
    stats_add(&scrape_stats, SCRAPES_FAILED, 1);
    scrape_publish(s, &r, &shown);
}

/* The failure of a scrape that may be kept waits for its turn, like a response. */
static void scrape_failed(struct scrape *s, const struct err *err)
{
    struct scrape_lane *l = s->target->lane;
    if (s->stream || (!s->target->job->conf->cluster.standby && s->target->hold == NULL)) {
        scrape_fail(s, NULL, err);
        return;
    }
    s->failure = mem_strdup(err->text);
    s->failure_kind = err->kind;
    list_push_back(&l->waiting, &s->node);
    loop_post(l->loop, &l->work);
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
 * return at the end of the piece is kept until the next byte is known. */
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

static void scrape_take_format(struct scrape *s, const struct client_reply *r)
{
    const struct scrape_job *conf = s->target->job->conf;
    if (!conf->page.text_only)
        s->format = protocols_format(r->content_type, conf->fallback_scrape_protocol);
}

static bool scrape_body_chunk(void *arg, const struct client_reply *reply, struct str piece, struct err *err UNUSED)
{
    struct scrape *s = arg;
    if (reply->status != 200)
        return true;
    if (s->body.cap == 0) {
        scrape_take_spare(s);
        scrape_take_format(s, reply);
        scrape_stream_begin(s, reply);
    }
    if (s->target->job->conf->broken_lines_fail)
        buf_add_str(&s->body, piece);
    else
        add_without_returns(&s->body, piece);
    if (s->stream)
        scrape_stream_take(s);
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
        err_set(&err, ERR_TOO_LARGE, "body size limit exceeded: response larger than %u bytes",
                s->target->settings.body_max);
    scrape_failed(s, &err);
}

/* A clock slightly behind still yields ascending timestamps. A clock that was set back is followed: otherwise samples
 * would have timestamps in the future until it catches up. */
static int64_t time_after(const struct target *t, int64_t time)
{
    enum { LEAST_STEP_MS = 1000 };
    int64_t jitter = t->settings.interval / 2 > LEAST_STEP_MS ? t->settings.interval / 2 : LEAST_STEP_MS;
    return time > t->last_t || t->last_t - time > jitter ? time : t->last_t + 1;
}

void scrape_shift_start(struct scrape *s, const struct client_reply *r)
{
    struct target *t = s->target;
    struct loop *loop = t->lane->loop;
    int64_t waited = r->start_mono - s->queued;
    if (r->start_mono == 0 || waited <= 0)
        return;
    s->start_ns += waited * 1000000;
    s->t = time_after(t, schedule_time(t->tick, loop_now(loop) - (loop_mono(loop) - r->start_mono), t->settings.interval));
}

static void scrape_response_done(void *arg, const struct client_reply *r)
{
    struct scrape *s = arg;
    struct scrape_lane *l = s->target->lane;
    s->call = NULL;
    s->target->timed_out = r->err.kind == ERR_GATEWAY_TIME;
    if (s->stream == NULL)
        scrape_shift_start(s, r);
    count_reply(r);
    if (r->status != 200) {
        fail_reply(s, r);
        return;
    }
    scrape_take_format(s, r);
    bool text = s->format != SCRAPE_PROTOBUF;
    if (text && !s->target->job->conf->broken_lines_fail && s->body.n > 0 && s->body.p[s->body.n - 1] == '\r')
        s->body.n--;
    if (s->stream) {
        scrape_stream_take_end(s);
        return;
    }
    bool next = list_empty(&l->waiting);
    list_push_back(&l->waiting, &s->node);
    if (next) /* its page is still in the processor's cache, and its buffer may serve the next response */
        scrape_work(l);
    else
        loop_post(l->loop, &l->work);
}

static struct client_call *scrape_request(struct scrape *s)
{
    struct target *t = s->target;
    const struct scrape_job *conf = t->job->conf;
    char timeout[64];
    snprintf(timeout, sizeof timeout, "X-Prometheus-Scrape-Timeout-Seconds: %.10g", (double)t->settings.timeout / 1e3);
    const char *headers[] = {t->job->accept, timeout};
    return client_send(t->lane->client, &(struct client_request){
        .method = "GET", .url = t->url.p, .socket = t->unix_socket, .profile = t->job->profile, .headers = headers, .n_headers = LEN(headers),
        .slot = (uint32_t)t->id, .timeout_ms = t->settings.timeout, .connect_timeout_ms = t->settings.timeout,
        .max_body = t->settings.body_max, .close = conf->disable_keepalive, .accept_gzip = conf->enable_compression && !conf->disable_compression,
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
    log_warn("scrape", step < 0 ? "the system clock was set back; timestamps follow it"
                                : "the system clock was set forward; timestamps follow it", LOG_I64("step_ms", step));
}

/* In a cluster: whether no other member scrapes the target at this time. */
static bool scrape_is_ours(const struct target *t)
{
    const struct scrape_lane *l = t->lane;
    return t->tick >= t->span.from && t->tick < t->span.until &&
           (!t->job->conf->cluster.by_view || loop_mono(l->loop) < atomic_load_explicit(l->fence, memory_order_relaxed));
}

static void scrape_fire(struct loop_timer *timer)
{
    struct target *t = CONTAINER(timer, struct target, timer);
    struct scrape_lane *l = t->lane;
    if (l->stopping)
        return;
    if (!scrape_is_ours(t)) {
        standby_missed(t, t->tick);
        t->last_tick = t->tick;
        scrape_arm(t);
        return;
    }
    struct scrape *s = mem_zalloc(sizeof *s);
    s->target = t;
    s->start_ns = clock_mono_ns();
    s->queued = loop_mono(l->loop);
    t->last_tick = t->tick;
    watch_clock(l);
    s->t = time_after(t, schedule_time(t->tick, loop_now(l->loop), t->settings.interval));
    t->scrape = s;
    standby_begun(s);
    if (t->exceeded_limit > 0) {
        struct err err;
        err_set(&err, ERR_LIMIT, "target_limit exceeded: the job has more than %lld targets",
                (long long)t->exceeded_limit);
        scrape_failed(s, &err);
        return;
    }
    s->call = scrape_request(s);
}

bool scrape_overdue(const struct target *t)
{
    const struct loop *loop = t->lane->loop;
    return loop_timer_armed(&t->timer) && t->timer.due <= loop_mono(loop);
}

/* A turn runs timers for only some milliseconds, so timers of a busy lane may be overdue. */
void scrape_begin_overdue(struct target *t)
{
    if (!scrape_overdue(t))
        return;
    loop_timer_stop(t->lane->loop, &t->timer);
    scrape_fire(&t->timer);
}

/* The time after which the next scrape is due: now, unless this member has owned the target for less than an interval.
 * Its first scrape may have been due before the lane had the target. */
static int64_t scrape_arm_after(const struct target *t, int64_t now)
{
    int64_t from = t->span.from;
    return t->last_tick == 0 && from > INT64_MIN && from <= now && now - from < t->settings.interval ? from - 1 : now;
}

void scrape_arm(struct target *t)
{
    struct loop *loop = t->lane->loop;
    if (t->leaving) {
        if (t->moved) {
            standby_update(t); /* a stream was in the way */
            loop_post(loop, &t->lane->work);
        }
        return;
    }
    const struct scrape_job *conf = t->job->conf;
    int64_t now = loop_now(loop), slot = conf->scrape_slot;
    if (slot == CONF_AUTO)
        slot = schedule_slot(t->settings.interval, conf->cluster.by_view ? CLUSTER_SLOT_TARGETS : t->lane->slot_targets);
    int64_t offset = schedule_offset(t->settings.interval, slot, t->place, conf->scrape_offset);
    t->timer.run = scrape_fire;
    t->tick = schedule_next(scrape_arm_after(t, now), t->settings.interval, offset, t->last_tick);
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
    standby_ended(s);
    if (s->stream && !t->lane->stopping)
        scrape_stream_end_series(s, false);
    scrape_stream_free(s);
    mem_release_buf(&t->lane->interner.release, &s->body);
    loop_post(t->lane->loop, &t->lane->work);
    mem_free(s);
    t->scrape = NULL;
}

void scrape_end_target(struct target *t)
{
    int64_t time = time_after(t, loop_now(t->lane->loop));
    if (!standby_leads(t, loop_now(t->lane->loop))) /* the member that does ends them */
        return;
    if (t->scrape && t->scrape->stream)
        scrape_stream_end_series(t->scrape, true);
    else
        ending_add(t, time);
    if (t->last_t > 0 && !t->job->conf->no_stale_markers)
        report_end(t, time);
}
