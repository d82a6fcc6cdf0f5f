// SPDX-License-Identifier: Apache-2.0
/* The path of a request of any push format, in slices (ingest.h).
 *
 * A body whose format is all_or_nothing is parsed twice, the first time to check it to its end, since committed batches
 * cannot be aborted. A short one is parsed once, into one batch, which is aborted if a line is invalid.
 */
#include "gateway/ingest/ingest_internal.h"

#include "base/decompressor.h"
#include "base/http/via.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"

enum {
    INGEST_PART_BYTES = 64 << 10, /* decompressed at a time */
    /* Labels and samples of a batch: each costs other lanes a wake-up (at 32 KiB a fifth of the CPU), and 32 KiB of series
     * that are new to the recent store take 2 ms. */
    INGEST_BATCH_BYTES = 256 << 10, INGEST_BATCH_BYTES_RECENT = 32 << 10,
    INGEST_BATCH_ITEMS = 5000,
    INGEST_UNUSED_MS = 60000,
    INGEST_STEP_LINES = 64,       /* between two readings of the clock */
    INGEST_SCRATCH_BYTES = 64 << 20,
    INGEST_SHORT_BYTES = 16 << 10, /* limit of bodies that are one batch, whatever their format */
};

struct stats_group ingest_stats = STATS_GROUP(INGEST_STATS);

void ingest_count(const struct ingest_format *f, enum ingest_family family, size_t n)
{
    if (n > 0)
        stats_add(&ingest_stats, (unsigned)family * INGEST_FORMAT_COUNT + (unsigned)f->id, (double)n);
}

/* ---- the end of a request ---- */

static void ingest_free(struct ingest *in)
{
    if (in->format->end)
        in->format->end(in);
    if (list_linked(&in->node))
        list_remove(&in->node);
    decompressor_free(in->decompressor);
    mem_release_buf(&in->lane->release, &in->text);
    mem_free(in);
}

static void ingest_respond(struct ingest *in)
{
    struct http_request *r = in->r;
    if (in->failed) {
        http_text(r, 503, "cannot write the queue to disk; retry later\n");
        http_retry_after(r, RETRY_SECONDS);
    } else if (in->err.kind != ERR_NONE) {
        http_error_text(r, &in->err);
    } else {
        r->status = in->success;
    }
    ingest_count(in->format, INGEST_ERRORS, in->err.kind != ERR_NONE && err_http_status(in->err.kind) < 500);
    ingest_free(in);
    http_finish(r);
}

static void on_ingest_stored(void *arg, bool ok)
{
    struct ingest *in = arg;
    in->failed = in->failed || !ok;
    if (--in->pending == 0 && in->ended)
        ingest_respond(in);
}

/* Nothing more of the body is stored; the response waits for the batches that are. */
static void ingest_end(struct ingest *in)
{
    in->ended = true;
    list_remove(&in->node);
    ingest_count(in->format, INGEST_ROWS, in->n.rows);
    ingest_count(in->format, INGEST_READ, in->n.rows + in->n.invalid);
    ingest_count(in->format, INGEST_INVALID, in->n.invalid);
    if (in->pending == 0)
        ingest_respond(in);
}

static void ingest_fail(struct ingest *in, const struct err *err)
{
    in->err = *err;
    ingest_end(in);
}

/* ---- the text ---- */

static void ingest_rewind(struct ingest *in)
{
    decompressor_free(in->decompressor);
    in->decompressor = NULL;
    in->raw = in->r->body;
    buf_clear(&in->text);
    in->text_at = in->text_scanned = in->line = 0;
    in->text_complete = false;
}

/* Decompresses a further part, behind the incomplete line that is left of the last one. */
static bool ingest_read_part(struct ingest *in, struct err *err)
{
    size_t max = (size_t)in->lane->services->flags.max_insert_size;
    if (in->decompressor == NULL && (in->decompressor = decompressor_new(in->codec, max)) == NULL)
        return err_set(err, ERR_LIMIT, "cannot allocate memory to decompress the body");
    if (in->text.n - in->text_at > max)
        return err_set(err, ERR_TOO_LARGE, "line %llu exceeds -maxInsertRequestSize, %zu bytes",
                       (unsigned long long)in->line + 1, max);
    buf_drop_front(&in->text, in->text_at);
    in->text_scanned -= in->text_at;
    in->text_at = 0;
    if (decompressor_step(in->decompressor, &in->raw, true, INGEST_PART_BYTES, &in->text, &in->text_complete, err))
        return true;
    ingest_count(in->format, INGEST_READ_ERRORS, 1);
    return err_wrap(err, "cannot read the body");
}

/* The end of the next line, in in->text; the last one of a body needs no LF. False: a further part has to be read. */
static bool line_end_is_known(struct ingest *in, size_t *end)
{
    size_t from = in->text_scanned > in->text_at ? in->text_scanned : in->text_at;
    *end = from + str_find(str_skip(buf_str(&in->text), from), '\n');
    in->text_scanned = *end;
    return *end < in->text.n || (in->text_complete && in->text_at < in->text.n);
}

/* The next line, without LF or CR LF. */
static bool ingest_next_line(struct ingest *in, struct str *line)
{
    size_t end;
    if (!line_end_is_known(in, &end))
        return false;
    *line = str_n(in->text.p + in->text_at, end - in->text_at);
    in->text_at = end + (end < in->text.n);
    in->line++;
    if (line->n > 0 && line->p[line->n - 1] == '\r')
        line->n--;
    return true;
}

static bool line_is_blank(struct str line)
{
    for (size_t i = 0; i < line.n; i++)
        if (line.p[i] != ' ' && line.p[i] != '\t')
            return false;
    return true;
}

static void ingest_log_invalid(struct ingest *in, struct str line, const struct err *err)
{
    log_warn("ingest", "skipped an invalid line of a pushed body", LOG_STR("path", in->r->path),
             LOG_STR("client", http_client(in->r)), LOG_U64("line", in->line), "err", err->text,
             LOG_STR("text", str_first(line, 200)));
}

static bool ingest_line(struct ingest *in, struct str line, struct err *err)
{
    struct err why;
    if (line_is_blank(line))
        return true;
    struct arena_mark mark = arena_mark(in->scratch);
    bool ok = in->format->line(in, line, &why);
    arena_release(in->scratch, mark);
    if (ok)
        return true;
    if (in->all_or_nothing)
        return err_set(err, why.kind, "line %llu: %.400s", (unsigned long long)in->line, why.text);
    in->batch.invalid++;
    ingest_log_invalid(in, line, &why);
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
            if (!ingest_next_line(in, &line))
                return true;
            if (!ingest_line(in, line, err))
                return false;
        }
        if (in->phase != INGEST_STORE_WHOLE && clock_mono_ns() >= until)
            return true;
    }
    return true;
}

static bool text_is_read(const struct ingest *in) { return in->text_complete && in->text_at == in->text.n; }

/* ---- batches ---- */

static void batch_start(struct ingest *in)
{
    in->batch = (struct ingest_counts){0};
    in->batch_bytes = in->batch_items = 0;
}

static void ingest_check(struct ingest *in, int64_t until)
{
    struct err err;
    batch_start(in);
    if (!ingest_lines(in, until, &err)) {
        in->n.invalid++;
        ingest_fail(in, &err);
    } else if (text_is_read(in)) {
        in->phase = INGEST_STORE;
        ingest_rewind(in);
    }
}

static void ingest_refused(struct ingest *in)
{
    struct err err;
    if (in->begun) { /* the writer stops */
        in->failed = true;
        ingest_end(in);
        return;
    }
    write_fail_queue_full(&err);
    ingest_fail(in, &err);
}

static void ingest_store(struct ingest *in, int64_t until)
{
    struct sink *sink = in->sink = in->lane->lane->sink;
    struct err err;
    struct sink_batch batch = {.bytes = in->batch_most, .more = in->begun, .via = http_header(in->r, VIA_HEADER)};
    batch_start(in);
    if (sink_begin(sink, &batch) == SINK_BUSY) {
        ingest_refused(in);
        return;
    }
    if (!ingest_lines(in, until, &err)) {
        sink_abort(sink);
        in->n.invalid++;
        ingest_fail(in, &err);
        return;
    }
    in->begun = true;
    in->n.rows += in->batch.rows;
    in->n.invalid += in->batch.invalid;
    in->pending += 2; /* for the batch, and for this step, so that on_ingest_stored does not end the request meanwhile */
    sink_commit(sink, on_ingest_stored, in);
    in->pending--;
    if (text_is_read(in))
        ingest_end(in);
}

static void ingest_read(struct ingest *in)
{
    struct err err;
    bool first = in->line == 0 && in->text.n == 0;
    if (!ingest_read_part(in, &err))
        ingest_fail(in, &err);
    else if (first && in->phase == INGEST_CHECK && in->text_complete && in->text.n <= INGEST_SHORT_BYTES)
        in->phase = INGEST_STORE_WHOLE;
}

static void ingest_step(struct ingest *in, int64_t until)
{
    size_t end;
    if (!services_ready(in->lane->services)) {
        in->failed = true;
        ingest_end(in);
    } else if (!in->text_complete && !line_end_is_known(in, &end)) {
        ingest_read(in);
    } else if (in->phase == INGEST_CHECK) {
        ingest_check(in, until);
    } else {
        ingest_store(in, until);
    }
}

static void ingest_work(struct loop_task *task)
{
    struct ingest_lane *l = CONTAINER(task, struct ingest_lane, work);
    int64_t until = loop_slice_end(l->lane->loop);
    bool more = true;
    while (more && clock_mono_ns() < until) {
        struct list *first = list_pop_front(&l->queue);
        if (first) {
            list_push_back(&l->queue, first); /* the next step is another request's */
            ingest_step(CONTAINER(first, struct ingest, node), until);
        }
        more = mem_release_some(&l->release) || !list_empty(&l->queue);
    }
    if (more)
        loop_post(l->lane->loop, &l->work);
}

/* ---- the start of a request ---- */

static void on_ingest_unused(struct loop_timer *t)
{
    struct ingest_lane *l = CONTAINER(t, struct ingest_lane, unused);
    if (list_empty(&l->queue))
        series_cache_free(&l->cache);
    else
        loop_timer_in(l->lane->loop, t, INGEST_UNUSED_MS);
}

static struct ingest_lane *ingest_lane_of(struct http_request *r)
{
    struct lane_services *lane = &r->services->lanes[r->lane];
    if (lane->ingest == NULL) {
        struct ingest_lane *l = lane->ingest = mem_zalloc(sizeof *l);
        l->services = r->services;
        l->lane = lane;
        l->work.run = ingest_work;
        list_init(&l->queue);
        l->unused.run = on_ingest_unused;
        arena_init(&l->scratch, INGEST_SCRATCH_BYTES);
        l->labels.scratch = &l->scratch;
    }
    return lane->ingest;
}

void ingest_lane_free(struct ingest_lane *l)
{
    if (l == NULL)
        return;
    loop_timer_stop(l->lane->loop, &l->unused);
    series_cache_free(&l->cache);
    builder_free(&l->labels);
    arena_free(&l->scratch);
    buf_free(&l->label_bytes);
    mem_release_all(&l->release);
    mem_free(l);
}

void ingest_lane_cancel(struct ingest_lane *l)
{
    while (l && !list_empty(&l->queue)) {
        struct ingest *in = CONTAINER(l->queue.next, struct ingest, node);
        in->failed = true;
        ingest_end(in);
    }
}

static bool ingest_begin(struct ingest *in, struct err *err)
{
    struct str encoding = http_header(in->r, "Content-Encoding");
    if (!write_check_open(in->r->services, in->r, err))
        return false;
    if (!codec_from_name(encoding, &in->codec))
        return err_set(err, ERR_UNSUPPORTED, "Content-Encoding: %.*s is not supported; use gzip, deflate, zstd or snappy",
                       STR_ARG(str_first(encoding, 100)));
    if (!ingest_read_extra_labels(in, err) || (in->format->begin && !in->format->begin(in, err)))
        return false;
    struct config *c = services_config_on_lane(in->r->services);
    in->batch_most = c->recent ? INGEST_BATCH_BYTES_RECENT : INGEST_BATCH_BYTES;
    config_unref(c);
    in->phase = in->all_or_nothing ? INGEST_CHECK : INGEST_STORE;
    return true;
}

static void ingest_request(struct http_request *r, const struct ingest_format *format)
{
    struct ingest_lane *l = ingest_lane_of(r);
    struct ingest *in = mem_zalloc(sizeof *in);
    struct err err;
    *in = (struct ingest){.r = r, .format = format, .lane = l, .now = clock_wall_ms(), .labels = &l->labels,
                          .scratch = &l->scratch, .raw = r->body, .all_or_nothing = format->all_or_nothing, .success = format->success};
    ingest_count(format, INGEST_REQUESTS, 1);
    loop_timer_in(l->lane->loop, &l->unused, INGEST_UNUSED_MS);
    list_push_back(&l->queue, &in->node);
    if (!ingest_begin(in, &err))
        ingest_fail(in, &err);
    else
        loop_post(l->lane->loop, &l->work);
}

extern const struct ingest_format ingest_prometheus, ingest_jsonl, ingest_csv, ingest_influx;
void api_import_prometheus(struct http_request *r) { ingest_request(r, &ingest_prometheus); }
void api_import_jsonl(struct http_request *r) { ingest_request(r, &ingest_jsonl); }
void api_import_csv(struct http_request *r) { ingest_request(r, &ingest_csv); }
void api_influx_write(struct http_request *r) { ingest_request(r, &ingest_influx); }
