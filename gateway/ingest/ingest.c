// SPDX-License-Identifier: Apache-2.0
/* The path of a request of any push format, in slices (ingest.h).
 *
 * A body whose format is all_or_nothing is parsed twice, the first time to check it to its end, since committed batches
 * cannot be aborted. A short one is parsed once, into one batch, which is aborted if a line is invalid.
 */
#include "gateway/ingest/ingest_internal.h"

#include "base/http/via.h"
#include "base/os/thread.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "gateway/ingest/ingest_rate.h"

enum {
    /* Labels and samples of a batch: each costs other lanes a wake-up (at 32 KiB a fifth of the CPU), and 32 KiB of series
     * that are new to the recent store take 2 ms. */
    INGEST_BATCH_BYTES = 256 << 10, INGEST_BATCH_BYTES_RECENT = 32 << 10,
    INGEST_BATCH_ITEMS = 5000,
    INGEST_UNUSED_MS = 60000,
    INGEST_STEP_LINES = 64,       /* between two readings of the clock */
    INGEST_LONG_LINE = 1 << 20,   /* the memory that its labels took is not kept */
    INGEST_SHORT_BYTES = 16 << 10, /* limit of bodies that are one batch, whatever their format */
};

struct stats_group ingest_stats = STATS_GROUP(INGEST_STATS);

void ingest_count(const struct ingest_format *f, enum ingest_family family, size_t n)
{
    unsigned id = (unsigned)f->id, of_requests = (unsigned)family * INGEST_HTTP_FORMATS;
    if (n == 0)
        return;
    if (family >= INGEST_ROWS)
        stats_add(&ingest_stats, 2 * INGEST_HTTP_FORMATS + (family - INGEST_ROWS) * INGEST_FORMAT_COUNT + id, (double)n);
    else if (id < INGEST_HTTP_FORMATS)
        stats_add(&ingest_stats, of_requests + id, (double)n);
    else
        stats_add(f->counted.group, family == INGEST_REQUESTS ? f->counted.requests : f->counted.errors, (double)n);
}

/* ---- the end of a request ---- */

void ingest_free(struct ingest *in)
{
    if (in->format->end)
        in->format->end(in);
    ingest_body_close(in);
    buf_spare_put_or_release(&in->lane->lane->spare, &in->lane->release, &in->text);
    mem_release_buf(&in->lane->release, &in->kept);
}

static void ingest_respond_stored(struct ingest *in)
{
    in->r->status = in->success;
    if (in->format->respond)
        in->format->respond(in);
}

/* ingest_source.end */
static void ingest_respond(struct ingest *in)
{
    struct http_request *r = in->r;
    if (r && in->failed)
        write_not_stored(r);
    else if (r && in->err.kind != ERR_NONE)
        http_error_text(r, &in->err);
    else if (r)
        ingest_respond_stored(in);
    ingest_count(in->format, INGEST_ERRORS, r && in->err.kind != ERR_NONE && err_http_status(in->err.kind) < 500);
    ingest_free(in);
    mem_free(in);
    if (r)
        http_finish(r);
}

static void on_ingest_stored(void *arg, bool ok)
{
    struct ingest *in = arg;
    in->failed = in->failed || !ok;
    if (--in->pending == 0 && in->ended)
        in->source->end(in);
}

void ingest_unqueue(struct ingest *in)
{
    if (list_linked(&in->node))
        list_remove(&in->node);
    in->lane->n_active -= in->active;
    in->active = false;
}

/* No further part of the body is processed. */
static void ingest_close(struct ingest *in)
{
    if (in->ended)
        return;
    in->ended = true;
    ingest_unqueue(in);
}

void ingest_queue(struct ingest *in)
{
    struct ingest_lane *l = in->lane;
    in->queued = loop_mono(l->lane->loop);
    loop_timer_in(l->lane->loop, &l->unused, INGEST_UNUSED_MS);
    list_push_back(&l->waiting, &in->node);
    loop_post(l->lane->loop, &l->work);
}

/* What is stored of the body stays. */
static void on_ingest_left(struct http_request *r)
{
    struct ingest *in = r->user;
    in->r = NULL;
    ingest_end(in);
}

/* Nothing more of the body is stored; the response waits for the batches that are. */
void ingest_end(struct ingest *in)
{
    ingest_close(in);
    if (in->pending == 0)
        in->source->end(in);
}

void ingest_fail(struct ingest *in, const struct err *err)
{
    in->err = *err;
    ingest_end(in);
}

/* ---- lines ---- */

static bool line_is_blank(struct str line)
{
    for (size_t i = 0; i < line.n; i++)
        if (line.p[i] != ' ' && line.p[i] != '\t')
            return false;
    return true;
}

static struct str ingest_client(struct ingest *in) { return in->r ? http_client(in->r) : in->client; }

static void ingest_log_invalid(struct ingest *in, struct str line, const struct err *err)
{
    log_warn("ingest", "skipped an invalid line of a pushed body", LOG_STR("path", in->from),
             LOG_STR("client", ingest_client(in)), LOG_U64("line", in->line), "err", err->text,
             LOG_STR("text", str_first(line, 200)));
}

void ingest_skip(struct ingest *in, const struct err *err)
{
    in->batch.invalid++;
    if (in->phase != INGEST_CHECK)
        log_warn("ingest", "skipped an invalid item of a pushed body", LOG_STR("path", in->from),
                 LOG_STR("client", ingest_client(in)), "err", err->text);
}

static bool ingest_line(struct ingest *in, struct str line, struct err *err)
{
    struct err why;
    if (!in->format->record && line_is_blank(line))
        return true;
    struct arena_mark mark = arena_mark(in->scratch);
    bool more = in->line_open; /* then `line` is the one that is open, as the last call got it */
    in->item_labels = more ? in->item_labels : 0;
    bool ok = more ? in->format->more(in, &why) : in->format->line(in, line, &why);
    arena_release(in->scratch, mark);
    if (line.n > INGEST_LONG_LINE && !in->line_open)
        arena_free(in->scratch);
    if (ok)
        return true;
    in->line_open = false;
    if (in->all_or_nothing)
        return err_set(err, why.kind, "line %llu: %.400s", (unsigned long long)in->line, why.text);
    in->batch.invalid++;
    if (in->format->record && in->err.kind == ERR_NONE)
        err_set(&in->err, why.kind, "record %llu: %.400s; valid ones are stored", (unsigned long long)in->line, why.text);
    ingest_log_invalid(in, in->format->record ? STR_NONE : line, &why);
    return true;
}

static bool batch_is_full(const struct ingest *in)
{
    return in->phase != INGEST_STORE_WHOLE && (in->batch_items >= INGEST_BATCH_ITEMS || in->batch_bytes >= in->batch_most);
}

/* Parses lines until the batch is full, the slice has ended, or a further part has to be read. False: the body is
 * invalid. */
static bool ingest_lines(struct ingest *in, int64_t until, struct err *err)
{
    struct str line;
    while (!batch_is_full(in)) {
        for (unsigned i = 0; i < INGEST_STEP_LINES && !batch_is_full(in); i++) {
            if (in->line_open)
                line = in->open_line;
            else if (!ingest_text_line(in, &line))
                return in->phase != INGEST_STORE_WHOLE || ingest_text_fits(in, err);
            if (!ingest_line(in, line, err))
                return false;
            if (in->line_open) { /* a part takes as long as many lines */
                in->open_line = line;
                break;
            }
        }
        if (in->phase != INGEST_STORE_WHOLE && clock_mono_ns() >= until)
            return true;
    }
    return true;
}

/* The same for a document. */
static bool ingest_items(struct ingest *in, int64_t until, struct err *err)
{
    while (!batch_is_full(in) && (in->phase == INGEST_STORE_WHOLE || clock_mono_ns() < until)) {
        switch (in->format->next(in, err)) {
        case INGEST_ITEM: in->item_labels = 0; break;
        case INGEST_ITEM_PART: break;
        case INGEST_END: in->text_at = in->text.n; return true;
        case INGEST_INVALID_ITEM: return false;
        }
    }
    return true;
}

static bool ingest_parse(struct ingest *in, int64_t until, struct err *err)
{
    if (in->format->line)
        return ingest_lines(in, until, err);
    if (in->line == 0 && !in->format->document(in, buf_str(&in->text), err))
        return false;
    in->line = 1;
    return ingest_items(in, until, err);
}

static bool text_is_read(const struct ingest *in)
{
    return in->text_complete && in->text_at == in->text.n && !in->line_open && (in->format->line || in->line > 0);
}

/* ---- batches ---- */

static void ingest_count_rows(const struct ingest_format *f, struct ingest_counts n)
{
    ingest_count(f, INGEST_ROWS, n.rows);
    ingest_count(f, INGEST_READ, n.rows);
    ingest_count(f, INGEST_INVALID, n.invalid);
}

static void batch_start(struct ingest *in)
{
    in->batch = (struct ingest_counts){0};
    in->batch_bytes = in->batch_items = 0;
}

static void ingest_fail_parsing(struct ingest *in, const struct err *err)
{
    ingest_count_rows(in->format, (struct ingest_counts){.invalid = 1});
    ingest_fail(in, err);
}

static void ingest_check(struct ingest *in, int64_t until)
{
    struct err err;
    batch_start(in);
    if (!ingest_parse(in, until, &err)) {
        ingest_fail_parsing(in, &err);
    } else if (text_is_read(in)) {
        in->phase = INGEST_STORE;
        in->checked_bytes = in->text_total;
        ingest_body_rewind(in);
    }
}

static bool ingest_waits(struct ingest *in) { return in->source->wait && in->source->wait(in); }

static void ingest_refused(struct ingest *in)
{
    struct err err;
    if (ingest_waits(in))
        return;
    if (in->begun && in->all_or_nothing) { /* the writer stops */
        in->failed = true;
        ingest_end(in);
        return;
    }
    write_fail_queue_full(&err);
    if (in->begun) {
        err_set(&err, ERR_UNAVAILABLE,
                "the queue of a destination is full; a part of the body is stored, send all of it again later");
        err.retry_after = RETRY_SECONDS;
    }
    ingest_fail(in, &err);
}

static void ingest_store(struct ingest *in, int64_t until)
{
    struct sink *sink = in->sink = in->lane->lane->sink;
    struct err err;
    /* A body of lines may be longer than any queue: each of its batches can be refused. */
    struct sink_batch batch = {.bytes = !in->begun && in->checked_bytes > 0 ? in->checked_bytes : in->batch_most,
                               .more = in->begun && in->all_or_nothing, .via = in->r ? http_header(in->r, VIA_HEADER) : STR_NONE};
    batch_start(in);
    if (sink_begin(sink, &batch) == SINK_BUSY) {
        ingest_refused(in);
        return;
    }
    if (!ingest_parse(in, until, &err)) {
        sink_abort(sink);
        ingest_fail_parsing(in, &err);
        return;
    }
    in->begun = true;
    ingest_count_rows(in->format, in->batch);
    if (in->source->acknowledges) {
        in->pending += 2; /* for the batch, and for this step, so that on_ingest_stored does not end the request meanwhile */
        sink_commit(sink, on_ingest_stored, in);
        in->pending--;
    } else {
        sink_commit(sink, NULL, NULL);
    }
    if (!text_is_read(in))
        return;
    if (in->format->finish && in->err.kind == ERR_NONE)
        (void)!in->format->finish(in, &in->err);
    ingest_end(in);
}

static void ingest_read(struct ingest *in)
{
    struct err err;
    bool first = in->text_total == 0;
    enum ingest_input input = in->source->read(in, &err);
    if (input == INGEST_INPUT_LATER)
        ingest_unqueue(in);
    else if (input == INGEST_INPUT_FAILED)
        ingest_fail(in, &err);
    else if (first && in->phase == INGEST_CHECK && !in->reads_twice && in->text_complete
             && in->text.n <= INGEST_SHORT_BYTES)
        in->phase = INGEST_STORE_WHOLE;
}

/* A stream without an end would keep its place of -maxConcurrentInserts as long as it never pauses: after each part it
 * leaves it to those that wait. */
static void ingest_take_input(struct ingest *in)
{
    const struct ingest_lane *l = in->lane;
    bool endless = !in->source->acknowledges && in->has_read;
    in->has_read = true;
    if (!endless || list_empty(&l->waiting) || l->n_active < l->most_active) {
        ingest_read(in);
        return;
    }
    ingest_unqueue(in);
    ingest_queue(in);
}

static void ingest_step(struct ingest *in, int64_t until)
{
    struct err err;
    if (!services_ready(in->services) && !in->draining) {
        if (ingest_waits(in))
            return;
        in->failed = true;
        ingest_end(in);
    } else if (!in->line_open && !ingest_text_fits(in, &err)) {
        ingest_fail(in, &err);
    } else if (!in->text_complete && !in->line_open && (in->format->document || !ingest_text_has_line(in))) {
        ingest_take_input(in);
    } else if (in->phase == INGEST_CHECK) {
        ingest_check(in, until);
    } else {
        ingest_store(in, until);
    }
}

/* ---- turns ---- */

/* Lets a request that waits begin; one that has waited for too long is refused. */
static void ingest_admit(struct ingest_lane *l)
{
    struct ingest *in = CONTAINER(list_pop_front(&l->waiting), struct ingest, node);
    struct config *c = services_config_on_lane(l->services);
    struct err err;
    list_push_back(&l->active, &in->node);
    l->n_active++;
    in->active = true;
    in->has_read = false;
    in->batch_most = c && c->recent ? INGEST_BATCH_BYTES_RECENT : INGEST_BATCH_BYTES;
    config_unref(c);
    if (loop_mono(l->lane->loop) - in->queued <= l->services->flags.ingest.max_queue || !in->source->acknowledges)
        return; /* there is nobody to be told */
    err_set(&err, ERR_UNAVAILABLE, "waited for longer than -insert.maxQueueDuration for one of -maxConcurrentInserts");
    err.retry_after = RETRY_SECONDS;
    ingest_fail(in, &err);
}

static bool ingest_has_work(const struct ingest_lane *l) { return !list_empty(&l->active) || !list_empty(&l->waiting); }

/* ms until something more may be stored. A stop does not wait. */
static int64_t ingest_pause(const struct ingest_lane *l)
{
    return ingest_has_work(l) && services_ready(l->services) ? ingest_rate_wait(l->services->ingest_rate) : 0;
}

static void on_ingest_pause(struct loop_timer *t)
{
    struct ingest_lane *l = CONTAINER(t, struct ingest_lane, pause);
    loop_post(l->lane->loop, &l->work);
}

static void ingest_work(struct loop_task *task)
{
    struct ingest_lane *l = CONTAINER(task, struct ingest_lane, work);
    int64_t until = loop_slice_end(l->lane->loop), pause = 0;
    bool more = true;
    while (more && (pause = ingest_pause(l)) == 0 && clock_mono_ns() < until) {
        if (!list_empty(&l->waiting) && l->n_active < l->most_active)
            ingest_admit(l);
        struct list *first = list_pop_front(&l->active);
        if (first) {
            list_push_back(&l->active, first); /* the next step is another request's */
            ingest_step(CONTAINER(first, struct ingest, node), until);
        }
        more = mem_release_some(&l->release) || ingest_has_work(l);
    }
    if (pause > 0)
        loop_timer_in(l->lane->loop, &l->pause, pause);
    else if (more)
        loop_post(l->lane->loop, &l->work);
}

/* ---- the start of a request ---- */

static void on_ingest_unused(struct loop_timer *t)
{
    struct ingest_lane *l = CONTAINER(t, struct ingest_lane, unused);
    if (!list_empty(&l->active)) {
        loop_timer_in(l->lane->loop, t, INGEST_UNUSED_MS);
        return;
    }
    series_cache_free(&l->cache);
    zstd_free(l->zstd);
    l->zstd = NULL;
}

static unsigned ingest_most_active(const struct services *s)
{
    unsigned all = (unsigned)s->flags.ingest.max_concurrent;
    unsigned most = (all > 0 ? all : 2 * thread_cores()) / s->n_lanes;
    return most > 0 ? most : 1;
}

struct ingest_lane *ingest_lane_of(struct services *s, unsigned id)
{
    struct lane_services *lane = &s->lanes[id];
    if (lane->ingest == NULL) {
        struct ingest_lane *l = lane->ingest = mem_zalloc(sizeof *l);
        l->services = s;
        l->lane = lane;
        l->most_active = ingest_most_active(s);
        l->work.run = ingest_work;
        list_init(&l->active);
        list_init(&l->waiting);
        l->unused.run = on_ingest_unused;
        l->pause.run = on_ingest_pause;
        arena_init(&l->scratch, 0); /* formats use about as much as a line has */
        l->labels.scratch = &l->scratch;
    }
    return lane->ingest;
}

struct zstd *ingest_zstd(struct ingest *in)
{
    struct ingest_lane *l = in->lane;
    if (l->zstd == NULL)
        l->zstd = zstd_new();
    return l->zstd;
}

void ingest_lane_free(struct ingest_lane *l)
{
    if (l == NULL)
        return;
    zstd_free(l->zstd);
    loop_timer_stop(l->lane->loop, &l->unused);
    loop_timer_stop(l->lane->loop, &l->pause);
    series_cache_free(&l->cache);
    builder_free(&l->labels);
    arena_free(&l->scratch);
    buf_free(&l->label_bytes);
    mem_release_all(&l->release);
    mem_free(l);
}

void ingest_lane_cancel(struct ingest_lane *l)
{
    while (l && !(list_empty(&l->active) && list_empty(&l->waiting))) {
        struct list *first = list_empty(&l->active) ? l->waiting.next : l->active.next;
        struct ingest *in = CONTAINER(first, struct ingest, node);
        in->failed = true;
        ingest_end(in);
    }
}

static bool ingest_begin(struct ingest *in, struct err *err)
{
    struct str encoding = http_header(in->r, "Content-Encoding");
    if (!write_check_open(in->services, in->r, err))
        return false;
    if (!codec_from_name(encoding, &in->codec))
        return err_set(err, ERR_UNSUPPORTED, "Content-Encoding: %.*s is not supported; use gzip, deflate, zstd or snappy",
                       STR_ARG(str_first(encoding, 100)));
    if (!ingest_read_extra_labels(in, err) || (in->format->begin && !in->format->begin(in, err)))
        return false;
    in->phase = in->all_or_nothing ? INGEST_CHECK : INGEST_STORE;
    return true;
}

void ingest_init(struct ingest *in, struct ingest_lane *l, const struct ingest_format *format, const struct ingest_source *source)
{
    struct services *s = l->services;
    *in = (struct ingest){.format = format, .source = source, .services = s, .lane = l, .now = clock_wall_ms(),
                          .labels = &l->labels, .scratch = &l->scratch, .max_line = (size_t)s->flags.max_insert_size,
                          .max_text = SIZE_MAX, .all_or_nothing = format->all_or_nothing, .success = format->success,
                          .phase = INGEST_STORE, .same = (uint64_t)format->id};
    buf_charge_anyway(&in->kept, &s->http.bodies);
    buf_charge_anyway(&in->text, &s->http.bodies);
}

static const struct ingest_source ingest_body = {.read = ingest_body_read, .end = ingest_respond, .acknowledges = true};

void ingest_request(struct http_request *r, const struct ingest_format *format)
{
    struct ingest_lane *l = ingest_lane_of(r->services, r->lane);
    struct ingest *in = mem_zalloc(sizeof *in);
    struct err err;
    ingest_init(in, l, format, &ingest_body);
    in->r = r;
    in->from = r->path;
    ingest_count(format, INGEST_REQUESTS, 1);
    r->user = in;
    r->left = on_ingest_left;
    if (!ingest_begin(in, &err))
        ingest_fail(in, &err);
    else
        ingest_queue(in);
}

extern const struct ingest_format ingest_prometheus, ingest_jsonl, ingest_csv, ingest_influx;
void api_import_prometheus(struct http_request *r) { ingest_request(r, &ingest_prometheus); }
void api_import_jsonl(struct http_request *r) { ingest_request(r, &ingest_jsonl); }
void api_import_csv(struct http_request *r) { ingest_request(r, &ingest_csv); }
void api_influx_write(struct http_request *r) { ingest_request(r, &ingest_influx); }
