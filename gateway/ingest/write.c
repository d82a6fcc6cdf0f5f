// SPDX-License-Identifier: Apache-2.0
/* Receives remote write 1.0 and 2.0, which the Content-Type names.
 *
 * A body of at most DIRECT_BYTES, decompressed, is walked once: each series is passed to the lane's sink as it is
 * decoded, and the batch is aborted if the rest of the body turns out to be invalid.
 *
 * A larger body is queued and stored in slices: large_push.c. So is any body while -maxIngestionRate is exceeded.
 *
 * As in Prometheus, series with invalid labels are dropped and counted, and the others are stored. Malformed native
 * histograms are dropped too, since no receiver accepts them; the response is then a 400 that names the first one,
 * after the others have been stored. With 2.0 this holds for all that is dropped, and headers of the response say how
 * many samples, histograms and exemplars were stored.
 *
 * The codec is detected by the first bytes of the body: agents that were reconfigured to another codec may still
 * announce the previous one.
 */
#include "gateway/ingest/write_internal.h"

#include "base/compress.h"
#include "base/http/via.h"
#include "base/telemetry/log.h"
#include "gateway/ingest/ingest_rate.h"
#include "gateway/services/services.h"
#include "model/write2/write2.h"

#include <stdio.h>

enum {
    KEEP_BYTES = 1 << 20,     /* of the body's buffer, kept for the next push */
    SCRATCH_BYTES = 16 << 20, /* a histogram with HISTOGRAM_MAX_BUCKETS on each side uses 3 MiB */
    DIRECT_BYTES = 128 << 10, /* limit of bodies that are stored at once */
    DIRECT_EXPANDED = 1 << 20, /* likewise of what the symbols of 2.0 expand to: 1 ms */
};

struct stats_group write_stats = STATS_GROUP(WRITE_STATS);

static struct write_buffers *buffers_of_lane(struct services *s, unsigned lane)
{
    struct lane_services *l = &s->lanes[lane];
    if (l->write == NULL) {
        l->write = mem_zalloc(sizeof *l->write);
        l->write->services = s;
        l->write->lane = l;
        l->write->work.run = push_queue_work;
        l->write->pause.run = on_push_pause;
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
    loop_timer_stop(w->lane->loop, &w->pause);
    rw_walk_free(&w->walk);
    if (w->zstd)
        zstd_free(w->zstd);
    arena_free(&w->scratch);
    buf_free(&w->body);
    mem_release_all(&w->release);
    mem_free(w->metadata);
    mem_free(w);
}

/* ---- headers and compression ---- */

static bool write_accepts(const struct services *s, const char *message)
{
    const struct str_list *accepted = &s->flags.accepted_messages;
    return accepted->n == 0 || str_list_has(accepted, message);
}

static bool write_refuse_message(const struct services *s, struct str message, struct err *err)
{
    bool first = write_accepts(s, PUSH_MESSAGE_1), second = write_accepts(s, PUSH_MESSAGE_2);
    return err_set(err, ERR_UNSUPPORTED, "%.*s protobuf message is not accepted by this server; only accepts %s%s%s",
                   STR_ARG(message), first ? PUSH_MESSAGE_1 : "", first && second ? " and " : "",
                   second ? PUSH_MESSAGE_2 : "");
}

static bool write_check_content_type(struct http_request *r, bool *version_2, struct err *err)
{
    struct str whole = http_header(r, "Content-Type"), rest = whole, item;
    struct str message = STR(PUSH_MESSAGE_1);
    str_cut(&rest, ';', &item);
    if (whole.n > 0 && !str_ieq(str_trim(item), STR("application/x-protobuf")))
        return err_set(err, ERR_UNSUPPORTED, "expected application/x-protobuf as the first (media) part, got %.*s "
                       "content-type", STR_ARG(whole));
    while (str_cut(&rest, ';', &item)) {
        item = str_trim(item);
        if (str_starts(item, STR("proto=")))
            message = str_skip(item, 6);
    }
    *version_2 = str_is(message, PUSH_MESSAGE_2);
    bool known = *version_2 || str_is(message, PUSH_MESSAGE_1);
    return (known && write_accepts(r->services, *version_2 ? PUSH_MESSAGE_2 : PUSH_MESSAGE_1))
           || write_refuse_message(r->services, message, err);
}

static bool write_check_encoding(struct http_request *r, struct err *err)
{
    enum codec codec = CODEC_SNAPPY;
    struct str encoding = http_header(r, "Content-Encoding");
    bool known = encoding.n == 0 || codec_from_name(encoding, &codec);
    if (known && (codec == CODEC_SNAPPY || codec == CODEC_ZSTD))
        return true;
    return err_set(err, ERR_UNSUPPORTED, "%.*s encoding (compression) is not accepted by this server; only snappy "
                   "and zstd are acceptable", STR_ARG(encoding));
}

bool write_decompress(struct http_request *r, struct zstd **zstd, size_t max, struct buf *out, struct err *err)
{
    enum codec codec = str_starts(r->body, STR("\x28\xb5\x2f\xfd")) ? CODEC_ZSTD : CODEC_SNAPPY;
    if (codec == CODEC_ZSTD && *zstd == NULL)
        *zstd = zstd_new();
    buf_clear(out);
    return decompress(codec, *zstd, r->body, max, out, err);
}

size_t write_max_body(const struct write_buffers *w) { return (size_t)w->services->flags.max_insert_size; }

/* False and *large: the body exceeds DIRECT_BYTES by its declared length, which is known before decompression. */
static bool read_small_body(struct http_request *r, struct write_buffers *w, bool *version_2, bool *large, struct err *err)
{
    size_t max = write_max_body(w);
    *large = false;
    if (!write_check_content_type(r, version_2, err) || !write_check_encoding(r, err))
        return false;
    if (write_decompress(r, &w->zstd, max < DIRECT_BYTES ? max : DIRECT_BYTES, &w->body, err))
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

size_t write_drop_malformed(struct write_buffers *b, const struct rw_walk *w, struct str *hists, size_t n_hists,
                             struct write_counts *n)
{
    struct err err;
    size_t kept = 0;
    for (size_t i = 0; i < n_hists; i++) {
        if (histogram_valid(b, hists[i], &err)) {
            hists[kept++] = hists[i];
            continue;
        }
        n->malformed++;
        if (n->rejected++ == 0) {
            struct buf name = {0};
            labels_print(&name, w->labels);
            err_set(&n->first, ERR_BAD_DATA, "series %.512s at %lld ms: %s", buf_z(&name),
                    (long long)rw_hist_time(hists[i]), err.text);
            buf_free(&name);
        }
    }
    return kept;
}

static void write_reject(struct write_counts *n, const char *what, const char *why)
{
    if (n->version_2 && n->rejected++ == 0)
        err_set(&n->first, ERR_BAD_DATA, "series %zu of the request%s: %s", n->series, what, why);
}

bool write_admit_series(const struct rw_walk *w, struct write_counts *n)
{
    bool ok = w->labels_ok && labels_name(w->labels).n > 0;
    n->series++;
    if (!ok) {
        n->invalid += w->n_samples + w->n_hists;
        write_reject(n, "", w->labels_ok ? "no metric name" : w->reason);
    } else if (w->bad_exemplars > 0)
        write_reject(n, ", an exemplar", w->bad_exemplar);
    return ok;
}

void write_store_series(struct sink *sink, const struct series_in *in, struct write_counts *n)
{
    if (in->n_samples + in->n_hists + in->n_exemplars == 0)
        return;
    n->samples += in->n_samples;
    n->hists += in->n_hists;
    n->exemplars += in->n_exemplars;
    sink_series(sink, in);
}

void write_store_metadata(struct sink *sink, struct write_buffers *b, const struct metadata *m, struct write_counts *n)
{
    n->metadata++;
    if (n->version_2 && b->metadata == NULL)
        b->metadata = metadata_times_new();
    if (!n->version_2 || metadata_times_due(b->metadata, m, loop_mono(b->lane->loop)))
        sink_metadata(sink, m);
}

void write_walk_start(struct rw_walk *w, struct str body, const struct write_counts *n)
{
    if (n->version_2)
        rw2_walk_start(w, body);
    else
        rw_walk_start(w, body);
}

static void write_ingest_series(struct sink *sink, struct write_buffers *b, struct write_counts *n)
{
    struct rw_walk *w = &b->walk;
    if (!write_admit_series(w, n))
        return;
    w->n_hists = write_drop_malformed(b, w, w->hists, w->n_hists, n);
    write_store_series(sink, &(struct series_in){.labels = w->labels, .samples = w->samples, .starts = w->starts,
                                                 .n_samples = w->n_samples, .hists = w->hists, .n_hists = w->n_hists,
                                                 .exemplars = w->exemplars, .n_exemplars = w->n_exemplars}, n);
}

/* False and *large: it expands to more than is stored at once. */
static bool ingest_body(struct sink *sink, struct write_buffers *b, struct write_counts *n, bool *large, struct err *err)
{
    struct rw_walk *w = &b->walk;
    write_walk_start(w, buf_str(&b->body), n);
    while (w->expanded < DIRECT_EXPANDED)
        switch (rw_walk_next(w)) {
        case RW_SERIES: write_ingest_series(sink, b, n); break;
        case RW_METADATA: write_store_metadata(sink, b, &w->metadata, n); break;
        case RW_ERROR: *err = w->err; return false;
        case RW_MORE: case RW_END: return true;
        }
    *large = true;
    return false;
}

/* ---- responses: plain text, since agents log it ---- */

void write_refuse(struct http_request *r, const struct err *err)
{
    stats_add(&write_stats, err_http_status(err->kind) == 429 ? WRITE_BUSY : WRITE_ERRORS, 1);
    http_error_text(r, err);
    http_finish(r);
}

bool write_fail_queue_full(struct err *err)
{
    err_set(err, ERR_THROTTLED, "the queue of a destination is full; nothing was stored, retry later");
    err->retry_after = RETRY_SECONDS;
    return false;
}

static void write_add_header(struct http_request *r, const char *name, size_t n)
{
    char text[24];
    snprintf(text, sizeof text, "%zu", n);
    http_header_add(r, name, str_of(text));
}

void write_report(struct http_request *r, const struct write_counts *n)
{
    if (n->rejected > 0) {
        http_text(r, 400, n->first.text);
        if (n->rejected > 1)
            buf_printf(&r->out, " (and %zu more)", n->rejected - 1);
        buf_printf(&r->out, "; %s dropped, the rest of the request is stored\n",
                   n->version_2 ? "what is invalid is" : "malformed histograms are");
    }
    if (!n->version_2)
        return;
    write_add_header(r, "X-Prometheus-Remote-Write-Samples-Written", n->samples);
    write_add_header(r, "X-Prometheus-Remote-Write-Histograms-Written", n->hists);
    write_add_header(r, "X-Prometheus-Remote-Write-Exemplars-Written", n->exemplars);
}

void write_not_stored(struct http_request *r)
{
    http_text(r, 503, "cannot write the queue to disk; retry later\n");
    http_retry_after(r, RETRY_SECONDS);
}

void write_respond(struct http_request *r, bool stored)
{
    if (stored)
        r->status = r->out.n > 0 ? 400 : r->status == 202 ? 202 : 204; /* the text of write_report */
    else
        write_not_stored(r);
    http_finish(r);
}

static void on_stored(void *arg, bool ok) { write_respond(arg, ok); }

void write_count_ingested(const struct write_counts *n)
{
    size_t rows = n->samples + n->hists;
    stats_add(&write_stats, WRITE_PARSED, (double)(rows + n->invalid + n->malformed));
    stats_add(&write_stats, WRITE_METADATA_READ, (double)n->metadata);
    stats_add(&write_stats, WRITE_METADATA, (double)n->metadata);
    stats_add(&write_stats, WRITE_ROWS, (double)rows);
    stats_add(&write_stats, WRITE_INVALID, (double)(n->invalid + n->malformed));
}

/* *large: nothing is stored yet. */
static bool write_ingest(struct http_request *r, struct write_buffers *w, bool version_2, bool *large, struct err *err)
{
    struct sink *sink = w->lane->sink;
    struct write_counts n = {.version_2 = version_2};
    struct sink_batch about = {.route = write_route(r), .bytes = w->body.n, .via = http_header(r, VIA_HEADER)};
    if (sink_begin(sink, &about) == SINK_BUSY)
        return write_fail_queue_full(err);
    if (!ingest_body(sink, w, &n, large, err)) {
        sink_abort(sink);
        if (w->metadata) /* it was not passed on */
            metadata_times_clear(w->metadata);
        stats_add(&write_stats, WRITE_UNMARSHAL_ERRORS, !*large);
        return false;
    }
    write_count_ingested(&n);
    write_report(r, &n);
    uint64_t before = sink->deduplicated;
    sink_commit(sink, on_stored, r);
    if (sink->deduplicated != before)
        r->status = 202; /* as Mimir: all is well, although another replica's samples are stored */
    return true;
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

bool write_check_open(struct services *s, struct http_request *r, struct err *err)
{
    if (!services_ready(s)) {
        err_set(err, ERR_UNAVAILABLE, "the server is starting or stopping; retry later");
        err->retry_after = RETRY_SECONDS;
        return false;
    }
    if (via_has(http_header(r, VIA_HEADER), s->id))
        return write_refuse_loop(err);
    if (writer_late(s->writer) > 0) { /* accepted, the samples would never reach these destinations */
        err_set(err, ERR_UNAVAILABLE, "the queue directory of a destination does not respond; retry later");
        err->retry_after = RETRY_SECONDS;
        return false;
    }
    if (writer_without_rules(s->writer) > 0) {
        err_set(err, ERR_UNAVAILABLE, "a file of relabeling rules of a destination does not respond; retry later");
        err->retry_after = RETRY_SECONDS;
        return false;
    }
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
    if (r->method != HTTP_POST) {
        http_text(r, 405, "Method Not Allowed\n");
        http_finish(r);
        return;
    }
    bool large = false, version_2 = false;
    bool ok = write_check_open(r->services, r, &err) && read_small_body(r, w, &version_2, &large, &err)
              && !(large = ingest_rate_wait(r->services->ingest_rate) > 0)
              && write_ingest(r, w, version_2, &large, &err);
    stats_add(&write_stats, WRITE_REQUESTS_2, version_2);
    if (w->body.cap > KEEP_BYTES)
        buf_free(&w->body);
    if (large)
        push_queue_add(r, w, version_2);
    else if (!ok)
        write_refuse(r, &err);
}

static bool write_find_route(struct http_request *r)
{
    struct config *c = services_config_on_lane(r->services);
    bool found = false;
    for (size_t i = 0; c && i < c->n_instances && !found; i++) {
        const struct config_instance *one = &c->instances[i];
        found = str_eq(one->name, r->tail);
        if (found)
            r->user = (void *)(uintptr_t)one->route;
    }
    config_unref(c);
    return found;
}

void api_write_instance(struct http_request *r)
{
    if (write_find_route(r)) {
        api_write(r);
        return;
    }
    http_text(r, 400, arena_printf(&r->arena, "unable to find instance %.*s\n", STR_ARG(r->tail)).p);
    http_finish(r);
}
