// SPDX-License-Identifier: Apache-2.0
/* Remote write 1.0 in. The body is unpacked under a limit and walked once: every series goes to the lane's sink as it
 * is read, and a body that turns out to be broken is taken back as a whole. As with Prometheus a series with labels
 * that cannot be is dropped and counted, and the rest is taken. Malformed native histograms are dropped too, since no
 * receiver would take them from us; the response is then a 400 that names the first, after the rest has been taken.
 *
 * What the body is packed with is seen in its first bytes: agents that were told to change their codec announce the
 * old one.
 */
#include "gateway/api/api.h"

#include "base/compress.h"
#include "gateway/gateway.h"

enum {
    KEPT_BYTES = 1 << 20,
    SCRATCH_BYTES = 16 << 20, /* a histogram with HISTOGRAM_MAX_BUCKETS on each side takes 3 MiB */
    RETRY_SECONDS = 5
};

#define WRITE_PATH "{path=\"/api/v1/write\",protocol=\"promremotewrite\"}"
#define WRITE_TYPE "{type=\"promremotewrite\"}"
#define WRITE_STATS(X)                                                                                                 \
    X(WRITE_REQUESTS, "vmagent_http_requests_total" WRITE_PATH, STATS_COUNTER, "Pushes received")                      \
    X(WRITE_ERRORS, "vmagent_http_request_errors_total" WRITE_PATH, STATS_COUNTER, "Pushes refused as broken")         \
    X(WRITE_BUSY, "sluice_write_busy_total", STATS_COUNTER, "Pushes refused because a queue was full")                 \
    X(WRITE_ROWS, "vmagent_rows_inserted_total" WRITE_TYPE, STATS_COUNTER, "Samples and histograms taken from pushes") \
    X(WRITE_PARSED, "vm_protoparser_rows_read_total" WRITE_TYPE, STATS_COUNTER, "Samples parsed, before relabeling") \
    X(WRITE_METADATA_READ, "vm_protoparser_metadata_read_total" WRITE_TYPE, STATS_COUNTER, "Metadata parsed") \
    X(WRITE_METADATA, "vmagent_metadata_inserted_total" WRITE_TYPE, STATS_COUNTER, "Metadata accepted from pushes") \
    X(WRITE_READ_ERRORS, "vm_protoparser_read_errors_total" WRITE_TYPE, STATS_COUNTER, \
      "Pushes whose body could not be decompressed") \
    X(WRITE_UNMARSHAL_ERRORS, "vm_protoparser_unmarshal_errors_total" WRITE_TYPE, STATS_COUNTER, \
      "Pushes whose body could not be parsed") \
    X(WRITE_INVALID, "vm_rows_invalid_total" WRITE_TYPE, STATS_COUNTER, \
      "Samples dropped because of their labels, and malformed native histograms")
enum write_stat { WRITE_STATS(STATS_ID) };
struct stats_group write_stats = STATS_GROUP(WRITE_STATS);

struct write_buffers { /* one a lane */
    struct buf body;
    struct rw_walk walk;
    struct zstd *zstd;
    struct arena scratch;      /* for the check of one histogram */
};
struct counted {
    size_t rows, invalid, malformed, metadata;
    struct err first;          /* of the malformed ones */
};

static struct write_buffers *buffers(struct lane *l)
{
    if (l->write == NULL) {
        l->write = mem_zalloc(sizeof *l->write);
        rw_walk_init(&l->write->walk);
        arena_init(&l->write->scratch, SCRATCH_BYTES);
    }
    return l->write;
}

void api_write_free(struct write_buffers *w)
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

/* ---- what is announced ---- */

static bool check_type(struct http_request *r, struct err *err)
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

static bool read_body(struct http_request *r, struct write_buffers *w, struct err *err)
{
    enum codec codec = CODEC_SNAPPY;
    if (!check_type(r, err) || !choose_codec(r, &codec, err))
        return false;
    if (codec == CODEC_ZSTD && w->zstd == NULL)
        w->zstd = zstd_new();
    buf_clear(&w->body);
    if (unpack(codec, w->zstd, r->body, (size_t)gateway.flags.max_insert_size, &w->body, err))
        return true;
    stats_add(&write_stats, WRITE_READ_ERRORS, 1);
    return false;
}

/* ---- what is in it ---- */

static bool histogram_sound(struct write_buffers *b, struct str message, struct err *err)
{
    struct histogram h;
    int64_t t;
    struct arena_mark mark = arena_mark(&b->scratch);
    bool sound = histogram_decode_strict(&b->scratch, (const uint8_t *)message.p, message.n, &t, &h, err);
    arena_release(&b->scratch, mark);
    return sound;
}

static void drop_malformed(struct write_buffers *b, struct counted *n)
{
    struct rw_walk *w = &b->walk;
    struct err err;
    size_t kept = 0;
    for (size_t i = 0; i < w->n_hists; i++) {
        if (histogram_sound(b, w->hists[i], &err)) {
            w->hists[kept++] = w->hists[i];
        } else if (n->malformed++ == 0) {
            struct buf name = {0};
            labels_print(&name, w->labels);
            err_set(&n->first, ERR_BAD_DATA, "series %.512s at %lld ms: %s", buf_z(&name),
                    (long long)rw_hist_time(w->hists[i]), err.text);
            buf_free(&name);
        }
    }
    w->n_hists = kept;
}

static void take_series(struct sink *sink, struct write_buffers *b, struct counted *n)
{
    struct rw_walk *w = &b->walk;
    if (!w->labels_ok || labels_name(w->labels).n == 0) {
        n->invalid += w->n_samples + w->n_hists;
        return;
    }
    drop_malformed(b, n);
    size_t rows = w->n_samples + w->n_hists;
    if (rows == 0 && w->n_exemplars == 0)
        return;
    n->rows += rows;
    sink_series(sink, &(struct series_in){.labels = w->labels, .samples = w->samples, .n_samples = w->n_samples,
                                          .hists = w->hists, .n_hists = w->n_hists, .exemplars = w->exemplars,
                                          .n_exemplars = w->n_exemplars});
}

static bool take_all(struct sink *sink, struct write_buffers *b, struct counted *n, struct err *err)
{
    struct rw_walk *w = &b->walk;
    rw_walk_start(w, buf_str(&b->body));
    for (;;)
        switch (rw_walk_next(w)) {
        case RW_SERIES: take_series(sink, b, n); break;
        case RW_METADATA: sink_metadata(sink, &w->metadata); n->metadata++; break;
        case RW_ERROR: *err = w->err; return false;
        case RW_END: return true;
        }
}

/* ---- answers: plain text, as agents log it ---- */

static void refuse(struct http_request *r, const struct err *err)
{
    int status = err_http_status(err->kind);
    stats_add(&write_stats, status == 429 ? WRITE_BUSY : WRITE_ERRORS, 1);
    http_text(r, status, err->text);
    buf_add_char(&r->out, '\n');
    r->retry_after = err->retry_after;
    http_finish(r);
}

static bool busy(struct err *err)
{
    err_set(err, ERR_THROTTLED, "a destination's queue is full: nothing was taken, send it again later");
    err->retry_after = RETRY_SECONDS;
    return false;
}

static void report_malformed(struct http_request *r, const struct counted *n)
{
    http_text(r, 400, n->first.text);
    if (n->malformed > 1)
        buf_printf(&r->out, " (and %zu more)", n->malformed - 1);
    buf_add_z(&r->out, "; malformed histograms are dropped, the rest of the request is stored\n");
}

static void on_safe(void *arg, bool ok)
{
    struct http_request *r = arg;
    if (ok) {
        r->status = r->out.n > 0 ? 400 : 204; /* what take() has written */
    } else {
        http_text(r, 503, "the queue could not be written: send it again later\n");
        r->retry_after = RETRY_SECONDS;
    }
    http_finish(r);
}

static bool take(struct http_request *r, struct write_buffers *w, struct err *err)
{
    struct sink *sink = r->lane->sink;
    struct counted n = {0};
    if (sink_begin(sink, &(struct sink_batch){.bytes = w->body.n}) == SINK_BUSY)
        return busy(err);
    if (!take_all(sink, w, &n, err)) {
        sink_abort(sink);
        stats_add(&write_stats, WRITE_UNMARSHAL_ERRORS, 1);
        return false;
    }
    stats_add(&write_stats, WRITE_PARSED, (double)(n.rows + n.invalid + n.malformed));
    stats_add(&write_stats, WRITE_METADATA_READ, (double)n.metadata);
    stats_add(&write_stats, WRITE_METADATA, (double)n.metadata);
    stats_add(&write_stats, WRITE_ROWS, (double)n.rows);
    stats_add(&write_stats, WRITE_INVALID, (double)(n.invalid + n.malformed));
    if (n.malformed > 0)
        report_malformed(r, &n);
    sink_commit(sink, on_safe, r);
    return true;
}

static bool check_open(struct err *err)
{
    if (atomic_load(&gateway.state) != GATEWAY_READY) {
        err_set(err, ERR_UNAVAILABLE, "starting or stopping: send it again later");
        err->retry_after = RETRY_SECONDS;
        return false;
    }
    return writer_takes(gateway.writer)
           || err_set(err, ERR_NOT_FOUND, "nothing is configured that could take samples: add remote_write or recent "
                      "to the configuration");
}

void api_write(struct http_request *r)
{
    struct write_buffers *w = buffers(r->lane);
    struct err err;
    stats_add(&write_stats, WRITE_REQUESTS, 1);
    if (form_get(&r->form, "get_vm_proto_version").n > 0) { /* how older vmagents ask whether zstd is understood */
        http_text(r, 200, "1");
        http_finish(r);
        return;
    }
    bool ok = check_open(&err) && read_body(r, w, &err) && take(r, w, &err);
    if (w->body.cap > KEPT_BYTES)
        buf_free(&w->body);
    if (!ok)
        refuse(r, &err);
}
