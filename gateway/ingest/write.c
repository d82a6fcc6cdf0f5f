// SPDX-License-Identifier: Apache-2.0
/* Receives remote write 1.0.
 *
 * A body of at most DIRECT_BYTES, decompressed, is walked once: each series is passed to the lane's sink as it is
 * decoded, and the batch is aborted if the rest of the body turns out to be invalid.
 *
 * A larger body is queued on its lane and processed in slices, one per turn, so that scrapes continue meanwhile:
 *
 * 1. It waits until it is the first of the queue; only the first is decompressed.
 * 2. It is walked to its end to validate it, since committed batches cannot be aborted.
 * 3. It is stored in batches of about BATCH_BYTES; the response is sent when the last one is durable.
 *
 * As in Prometheus, series with invalid labels are dropped and counted, and the others are stored. Malformed native
 * histograms are dropped too, since no receiver accepts them; the response is then a 400 that names the first one,
 * after the others have been stored.
 *
 * The codec is detected by the first bytes of the body: agents that were reconfigured to another codec may still
 * announce the previous one.
 */
#include "gateway/ingest/write.h"

#include "base/compress.h"
#include "base/http/via.h"
#include "base/list.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "gateway/services/services.h"
#include "model/remote_write.h"

enum {
    KEEP_BYTES = 1 << 20,     /* of the body's buffer, kept for the next push */
    SCRATCH_BYTES = 16 << 20, /* a histogram with HISTOGRAM_MAX_BUCKETS on each side uses 3 MiB */
    RETRY_SECONDS = 5,
    DIRECT_BYTES = 128 << 10, /* limit of bodies that are stored at once */
    BATCH_BYTES = 32 << 10,   /* a few hundred series: 2 ms if all of them are new to the recent store */
    BATCH_ITEMS = 2000,       /* samples or histograms of one series */
    STEP_ITEMS = 64           /* series walked between two readings of the clock */
};

#define WRITE_PATH "{path=\"/api/v1/write\",protocol=\"promremotewrite\"}"
#define WRITE_TYPE "{type=\"promremotewrite\"}"
#define WRITE_STATS(X)                                                                                                 \
    X(WRITE_REQUESTS, "vmagent_http_requests_total" WRITE_PATH, STATS_COUNTER, "Push requests")                        \
    X(WRITE_ERRORS, "vmagent_http_request_errors_total" WRITE_PATH, STATS_COUNTER, "Push requests refused as invalid") \
    X(WRITE_LOOPS, "sluice_write_loops_total", STATS_COUNTER, \
      "Remote write requests refused because their samples had passed through this process before") \
    X(WRITE_BUSY, "sluice_write_busy_total", STATS_COUNTER, "Push requests refused because a queue was full")          \
    X(WRITE_ROWS, "vmagent_rows_inserted_total" WRITE_TYPE, STATS_COUNTER, "Pushed samples and histograms accepted")   \
    X(WRITE_PARSED, "vm_protoparser_rows_read_total" WRITE_TYPE, STATS_COUNTER, "Samples parsed, before relabeling")   \
    X(WRITE_METADATA_READ, "vm_protoparser_metadata_read_total" WRITE_TYPE, STATS_COUNTER, "Metadata parsed")          \
    X(WRITE_METADATA, "vmagent_metadata_inserted_total" WRITE_TYPE, STATS_COUNTER, "Pushed metadata accepted")         \
    X(WRITE_READ_ERRORS, "vm_protoparser_read_errors_total" WRITE_TYPE, STATS_COUNTER,                                 \
      "Push requests whose body could not be decompressed")                                                            \
    X(WRITE_UNMARSHAL_ERRORS, "vm_protoparser_unmarshal_errors_total" WRITE_TYPE, STATS_COUNTER,                       \
      "Push requests whose body could not be parsed")                                                                  \
    X(WRITE_INVALID, "vm_rows_invalid_total" WRITE_TYPE, STATS_COUNTER,                                                \
      "Invalid samples and native histograms, which were dropped")
enum write_stat { WRITE_STATS(STATS_ID) };
struct stats_group write_stats = STATS_GROUP(WRITE_STATS);

struct write_buffers { /* one per lane */
    struct services *services;
    struct lane_services *lane;
    struct buf body;
    struct rw_walk walk;
    struct zstd *zstd;
    struct arena scratch;      /* for checking one histogram */
    struct list queue;         /* of struct push; the first is being processed */
    struct loop_task work;
};
struct write_counts {
    size_t rows, invalid, malformed, metadata;
    struct err first;          /* of the malformed histograms */
};
struct push { /* with a large body */
    struct http_request *r;
    struct write_buffers *buffers;
    struct list node;
    enum { PUSH_QUEUED, PUSH_VALIDATE, PUSH_STORE, PUSH_STORED } phase;
    struct buf body;
    struct rw_walk walk;
    struct write_counts n;
    enum rw_item item;         /* RW_SERIES: a series is being stored, of which so many samples and histograms are */
    size_t samples, hists;
    size_t pending;            /* batches that are not yet as durable as `durability` requires */
    bool begun, failed;        /* a batch was begun; a batch could not be stored */
};
static void work_on_queue(struct loop_task *task);

static struct write_buffers *buffers_of_lane(struct services *s, unsigned lane)
{
    struct lane_services *l = &s->lanes[lane];
    if (l->write == NULL) {
        l->write = mem_zalloc(sizeof *l->write);
        l->write->services = s;
        l->write->lane = l;
        l->write->work.run = work_on_queue;
        list_init(&l->write->queue);
        rw_walk_init(&l->write->walk);
        arena_init(&l->write->scratch, SCRATCH_BYTES);
    }
    return l->write;
}

void write_buffers_free(struct write_buffers *w)
{
    if (w == NULL)
        return;
    rw_walk_free(&w->walk);
    if (w->zstd)
        zstd_free(w->zstd);
    arena_free(&w->scratch);
    buf_free(&w->body);
    mem_free(w);
}

/* ---- headers and compression ---- */

static bool write_check_content_type(struct http_request *r, struct err *err)
{
    struct str whole = http_header(r, "Content-Type"), rest = whole, item;
    if (whole.n == 0)
        return true;
    str_cut(&rest, ';', &item);
    if (!str_ieq(str_trim(item), STR("application/x-protobuf")))
        return err_set(err, ERR_UNSUPPORTED, "expected application/x-protobuf as the first (media) part, got %.*s "
                       "content-type", STR_ARG(whole));
    while (str_cut(&rest, ';', &item)) {
        item = str_trim(item);
        if (str_starts(item, STR("proto=")) && !str_is(item, "proto=prometheus.WriteRequest"))
            return err_set(err, ERR_UNSUPPORTED, "%.*s protobuf message is not accepted by this server; only accepts "
                           "prometheus.WriteRequest", STR_ARG(str_skip(item, 6)));
    }
    return true;
}

static bool choose_codec(struct http_request *r, enum codec *codec, struct err *err)
{
    struct str encoding = http_header(r, "Content-Encoding");
    bool known = encoding.n == 0 || codec_from_name(encoding, codec);
    if (!known || (*codec != CODEC_SNAPPY && *codec != CODEC_ZSTD))
        return err_set(err, ERR_UNSUPPORTED, "%.*s encoding (compression) is not accepted by this server; only snappy "
                       "and zstd are acceptable", STR_ARG(encoding));
    *codec = str_starts(r->body, STR("\x28\xb5\x2f\xfd")) ? CODEC_ZSTD : CODEC_SNAPPY;
    return true;
}

/* To at most `max` bytes. */
static bool decompress_body(struct http_request *r, struct write_buffers *w, size_t max, struct buf *out,
                            struct err *err)
{
    enum codec codec = CODEC_SNAPPY;
    if (!choose_codec(r, &codec, err))
        return false;
    if (codec == CODEC_ZSTD && w->zstd == NULL)
        w->zstd = zstd_new();
    buf_clear(out);
    return decompress(codec, w->zstd, r->body, max, out, err);
}

static size_t max_body_bytes(const struct write_buffers *w) { return (size_t)w->services->flags.max_insert_size; }

/* False and *large: the body exceeds DIRECT_BYTES, which its declared length tells before decompression. */
static bool read_small_body(struct http_request *r, struct write_buffers *w, bool *large, struct err *err)
{
    enum codec codec = CODEC_SNAPPY;
    size_t max = max_body_bytes(w);
    *large = false;
    if (!write_check_content_type(r, err) || !choose_codec(r, &codec, err))
        return false;
    if (decompress_body(r, w, max < DIRECT_BYTES ? max : DIRECT_BYTES, &w->body, err))
        return true;
    *large = err->kind == ERR_TOO_LARGE && max > DIRECT_BYTES;
    stats_add(&write_stats, WRITE_READ_ERRORS, !*large);
    return false;
}

/* ---- series and metadata ---- */

static bool histogram_valid(struct write_buffers *b, struct str message, struct err *err)
{
    struct histogram h;
    int64_t t;
    struct arena_mark mark = arena_mark(&b->scratch);
    bool valid = histogram_decode_strict(&b->scratch, (const uint8_t *)message.p, message.n, &t, &h, err);
    arena_release(&b->scratch, mark);
    return valid;
}

/* Removes malformed ones from hists[0..n_hists); returns the new number. */
static size_t drop_malformed(struct write_buffers *b, const struct rw_walk *w, struct str *hists, size_t n_hists,
                             struct write_counts *n)
{
    struct err err;
    size_t kept = 0;
    for (size_t i = 0; i < n_hists; i++) {
        if (histogram_valid(b, hists[i], &err)) {
            hists[kept++] = hists[i];
        } else if (n->malformed++ == 0) {
            struct buf name = {0};
            labels_print(&name, w->labels);
            err_set(&n->first, ERR_BAD_DATA, "series %.512s at %lld ms: %s", buf_z(&name),
                    (long long)rw_hist_time(hists[i]), err.text);
            buf_free(&name);
        }
    }
    return kept;
}

static bool series_valid(const struct rw_walk *w) { return w->labels_ok && labels_name(w->labels).n > 0; }

static void write_ingest_series(struct sink *sink, struct write_buffers *b, struct write_counts *n)
{
    struct rw_walk *w = &b->walk;
    if (!series_valid(w)) {
        n->invalid += w->n_samples + w->n_hists;
        return;
    }
    w->n_hists = drop_malformed(b, w, w->hists, w->n_hists, n);
    size_t rows = w->n_samples + w->n_hists;
    if (rows == 0 && w->n_exemplars == 0)
        return;
    n->rows += rows;
    sink_series(sink, &(struct series_in){.labels = w->labels, .samples = w->samples, .n_samples = w->n_samples,
                                          .hists = w->hists, .n_hists = w->n_hists, .exemplars = w->exemplars,
                                          .n_exemplars = w->n_exemplars});
}

static bool ingest_body(struct sink *sink, struct write_buffers *b, struct write_counts *n, struct err *err)
{
    struct rw_walk *w = &b->walk;
    rw_walk_start(w, buf_str(&b->body));
    for (;;)
        switch (rw_walk_next(w)) {
        case RW_SERIES: write_ingest_series(sink, b, n); break;
        case RW_METADATA: sink_metadata(sink, &w->metadata); n->metadata++; break;
        case RW_ERROR: *err = w->err; return false;
        case RW_END: return true;
        }
}

/* ---- responses: plain text, since agents log it ---- */

static void write_refuse(struct http_request *r, const struct err *err)
{
    int status = err_http_status(err->kind);
    stats_add(&write_stats, status == 429 ? WRITE_BUSY : WRITE_ERRORS, 1);
    http_text(r, status, err->text);
    buf_add_char(&r->out, '\n');
    http_retry_after(r, err->retry_after);
    http_finish(r);
}

static bool fail_queue_full(struct err *err)
{
    err_set(err, ERR_THROTTLED, "the queue of a destination is full; nothing was stored, retry later");
    err->retry_after = RETRY_SECONDS;
    return false;
}

static void report_malformed(struct http_request *r, const struct write_counts *n)
{
    http_text(r, 400, n->first.text);
    if (n->malformed > 1)
        buf_printf(&r->out, " (and %zu more)", n->malformed - 1);
    buf_add_z(&r->out, "; malformed histograms are dropped, the rest of the request is stored\n");
}

static void write_respond(struct http_request *r, bool stored)
{
    if (stored) {
        r->status = r->out.n > 0 ? 400 : 204; /* the text of report_malformed */
    } else {
        http_text(r, 503, "cannot write the queue to disk; retry later\n");
        http_retry_after(r, RETRY_SECONDS);
    }
    http_finish(r);
}

static void on_stored(void *arg, bool ok) { write_respond(arg, ok); }

static void count_ingested(const struct write_counts *n)
{
    stats_add(&write_stats, WRITE_PARSED, (double)(n->rows + n->invalid + n->malformed));
    stats_add(&write_stats, WRITE_METADATA_READ, (double)n->metadata);
    stats_add(&write_stats, WRITE_METADATA, (double)n->metadata);
    stats_add(&write_stats, WRITE_ROWS, (double)n->rows);
    stats_add(&write_stats, WRITE_INVALID, (double)(n->invalid + n->malformed));
}

static bool write_ingest(struct http_request *r, struct write_buffers *w, struct err *err)
{
    struct sink *sink = w->lane->sink;
    struct write_counts n = {0};
    if (sink_begin(sink, &(struct sink_batch){.bytes = w->body.n, .via = http_header(r, VIA_HEADER)}) == SINK_BUSY)
        return fail_queue_full(err);
    if (!ingest_body(sink, w, &n, err)) {
        sink_abort(sink);
        stats_add(&write_stats, WRITE_UNMARSHAL_ERRORS, 1);
        return false;
    }
    count_ingested(&n);
    if (n.malformed > 0)
        report_malformed(r, &n);
    sink_commit(sink, on_stored, r);
    return true;
}

/* ---- large bodies, a step at a time ---- */

static void push_free(struct push *p)
{
    if (list_linked(&p->node))
        list_remove(&p->node);
    rw_walk_free(&p->walk);
    buf_free(&p->body);
    mem_free(p);
}

static void push_refuse(struct push *p, const struct err *err)
{
    struct http_request *r = p->r;
    push_free(p);
    write_refuse(r, err);
}

/* After all batches are durable or have failed. */
static void push_respond(struct push *p)
{
    struct http_request *r = p->r;
    bool stored = !p->failed;
    if (p->n.malformed > 0)
        report_malformed(r, &p->n);
    push_free(p);
    write_respond(r, stored);
}

static void on_batch_stored(void *arg, bool ok)
{
    struct push *p = arg;
    p->failed = p->failed || !ok;
    if (--p->pending == 0 && p->phase == PUSH_STORED)
        push_respond(p);
}

/* Ends the push after its last batch, or after a failure. */
static void push_end(struct push *p)
{
    p->phase = PUSH_STORED;
    list_remove(&p->node);
    buf_free(&p->body);
    count_ingested(&p->n);
    if (p->pending == 0)
        push_respond(p);
}

/* False: the push has ended. */
static bool push_decompress(struct push *p)
{
    struct err err;
    if (!decompress_body(p->r, p->buffers, max_body_bytes(p->buffers), &p->body, &err)) {
        stats_add(&write_stats, WRITE_READ_ERRORS, 1);
        push_refuse(p, &err);
        return false;
    }
    rw_walk_start(&p->walk, buf_str(&p->body));
    p->phase = PUSH_VALIDATE;
    return true;
}

static bool push_validate(struct push *p)
{
    enum rw_item item = RW_SERIES;
    for (int i = 0; i < STEP_ITEMS && item != RW_END; i++) {
        item = rw_walk_next(&p->walk);
        if (item == RW_ERROR) {
            struct err err = p->walk.err;
            stats_add(&write_stats, WRITE_UNMARSHAL_ERRORS, 1);
            push_refuse(p, &err);
            return false;
        }
    }
    if (item == RW_END) {
        rw_walk_start(&p->walk, buf_str(&p->body));
        p->item = RW_METADATA;
        p->phase = PUSH_STORE;
    }
    return true;
}

/* Stores the next part of the current series. */
static void push_series_part(struct push *p, struct sink *sink)
{
    struct rw_walk *w = &p->walk;
    size_t samples = w->n_samples - p->samples, hists = w->n_hists - p->hists;
    samples = samples < BATCH_ITEMS ? samples : BATCH_ITEMS;
    hists = samples > 0 ? 0 : hists < BATCH_ITEMS ? hists : BATCH_ITEMS;
    bool last = p->samples + samples == w->n_samples && p->hists + hists == w->n_hists;
    struct series_in in = {.labels = w->labels, .samples = w->samples + p->samples, .n_samples = samples,
                           .hists = w->hists + p->hists, .exemplars = w->exemplars,
                           .n_exemplars = last ? w->n_exemplars : 0};
    in.n_hists = drop_malformed(p->buffers, w, w->hists + p->hists, hists, &p->n);
    p->n.rows += samples + in.n_hists;
    p->samples += samples;
    p->hists += hists;
    if (samples + in.n_hists + in.n_exemplars > 0)
        sink_series(sink, &in);
    if (last)
        p->item = RW_METADATA; /* any value but RW_SERIES */
}

/* Fills a batch; false at the end of the body. */
static bool push_batch(struct push *p, struct sink *sink)
{
    struct rw_walk *w = &p->walk;
    const uint8_t *from = w->p;
    for (size_t items = 0; items < BATCH_ITEMS && (size_t)(w->p - from) < BATCH_BYTES; ) {
        if (p->item == RW_SERIES) {
            size_t before = p->samples + p->hists;
            push_series_part(p, sink);
            items += p->samples + p->hists - before;
            continue;
        }
        switch (rw_walk_next(w)) {
        case RW_SERIES:
            p->samples = p->hists = 0;
            if (series_valid(w))
                p->item = RW_SERIES;
            else
                p->n.invalid += w->n_samples + w->n_hists;
            break;
        case RW_METADATA: sink_metadata(sink, &w->metadata); p->n.metadata++; break;
        case RW_ERROR: /* cannot happen: the body is validated */
        case RW_END: return false;
        }
    }
    return true;
}

static bool push_store(struct push *p)
{
    struct sink *sink = p->buffers->lane->sink;
    struct sink_batch batch = {.bytes = p->begun ? BATCH_BYTES : p->body.n, .more = p->begun,
                               .via = http_header(p->r, VIA_HEADER)};
    struct err err;
    if (sink_begin(sink, &batch) == SINK_BUSY) {
        if (p->begun) { /* the writer stops */
            p->failed = true;
            push_end(p);
        } else {
            fail_queue_full(&err);
            push_refuse(p, &err);
        }
        return false;
    }
    p->begun = true;
    p->pending += 2; /* for the batch, and for this step, so that on_batch_stored does not end the push meanwhile */
    bool more = push_batch(p, sink);
    sink_commit(sink, on_batch_stored, p);
    p->pending--;
    if (!more)
        push_end(p);
    return more;
}

static bool push_step(struct push *p)
{
    if (!services_ready(p->buffers->services)) {
        p->failed = true;
        push_end(p);
        return false;
    }
    switch (p->phase) {
    case PUSH_QUEUED: return push_decompress(p);
    case PUSH_VALIDATE: return push_validate(p);
    case PUSH_STORE: return push_store(p);
    case PUSH_STORED: break;
    }
    return false;
}

static void work_on_queue(struct loop_task *task)
{
    struct write_buffers *w = CONTAINER(task, struct write_buffers, work);
    int64_t until = loop_slice_end(w->lane->loop);
    while (!list_empty(&w->queue)) {
        push_step(CONTAINER(w->queue.next, struct push, node));
        if (clock_mono_ns() >= until) {
            loop_post(w->lane->loop, &w->work);
            return;
        }
    }
}

static void push_enqueue(struct http_request *r, struct write_buffers *w)
{
    struct push *p = mem_zalloc(sizeof *p);
    p->r = r;
    p->buffers = w;
    rw_walk_init(&p->walk);
    list_push_back(&w->queue, &p->node);
    loop_post(w->lane->loop, &w->work);
}

void write_buffers_cancel(struct write_buffers *w)
{
    while (w && !list_empty(&w->queue)) {
        struct push *p = CONTAINER(w->queue.next, struct push, node);
        p->failed = true;
        push_end(p);
    }
}

/* ---- the handler ---- */

static bool write_refuse_loop(struct err *err)
{
    stats_add(&write_stats, WRITE_LOOPS, 1);
    log_error("ingest", "samples that this process sent have come back; refusing them with 508. Remove the destination "
              "in remote_write, here or at a sluice between, that leads here");
    return err_set(err, ERR_LOOP, "the samples have come back to the sluice that sent them: a remote_write of that sluice, "
                   "or of one between, leads to it; remove that destination");
}

static bool write_check_open(struct services *s, struct http_request *r, struct err *err)
{
    if (!services_ready(s)) {
        err_set(err, ERR_UNAVAILABLE, "the server is starting or stopping; retry later");
        err->retry_after = RETRY_SECONDS;
        return false;
    }
    if (via_has(http_header(r, VIA_HEADER), s->id))
        return write_refuse_loop(err);
    return writer_has_streams(s->writer)
           || err_set(err, ERR_NOT_FOUND, "cannot store samples: no destination is configured; add remote_write or "
                      "recent to the configuration");
}

void api_write(struct http_request *r)
{
    struct write_buffers *w = buffers_of_lane(r->services, r->lane);
    struct err err;
    stats_add(&write_stats, WRITE_REQUESTS, 1);
    if (form_get(&r->form, "get_vm_proto_version").n > 0) { /* older vmagents detect support of zstd by it */
        http_text(r, 200, "1");
        http_finish(r);
        return;
    }
    bool large = false;
    bool ok = write_check_open(r->services, r, &err) && read_small_body(r, w, &large, &err) && write_ingest(r, w, &err);
    if (w->body.cap > KEEP_BYTES)
        buf_free(&w->body);
    if (large)
        push_enqueue(r, w);
    else if (!ok)
        write_refuse(r, &err);
}
