// SPDX-License-Identifier: Apache-2.0
#include "gateway/read/read_write.h"

#include "base/compress.h"
#include "base/crc32c.h"
#include "base/protobuf.h"
#include "gateway/read/read_chunk.h"
#include "model/labels_sort.h"

enum { READ_FRAME_BYTES = 1 << 20 /* of chunks, as in Prometheus */ };

/* Buffers of a response: one series, and its samples, histograms or chunks. */
struct read_buffers { struct buf series, item, message, result; };

static void read_buffers_free(struct read_buffers *b)
{
    buf_free(&b->series);
    buf_free(&b->item);
    buf_free(&b->message);
    buf_free(&b->result);
}

/* ---- the series of a set, sorted by their labels ---- */

struct read_item { struct labels labels; size_t index; };

static struct labels read_external(struct read_writer *w, struct labels l)
{
    struct labels_iter it = labels_iter(w->external);
    struct label e;
    while (labels_next(&it, &e))
        if (labels_get(l, e.name).p == NULL)
            l = labels_with(w->q->arena, l, e.name, e.value);
    return l;
}

static struct read_item *read_items(struct read_writer *w, const struct series_set *set, struct err *err)
{
    struct read_item *items = ARENA_ARRAY(w->q->arena, struct read_item, set->n + 1);
    for (size_t i = 0; i < set->n; i++) {
        if (!query_charge(w->work, QUERY_CHARGE_LABELS, err))
            return NULL;
        items[i] = (struct read_item){read_external(w, set->series[i].labels), i};
    }
    return labels_sort(w->work, w->q->arena, items, set->n, sizeof *items, offsetof(struct read_item, labels), err)
               ? items : NULL;
}

/* ---- SAMPLES ---- */

static void read_add_samples(struct read_buffers *b, const struct series *s)
{
    for (uint32_t i = 0; i < s->n_samples; i++) {
        buf_clear(&b->item);
        pb_add_double(&b->item, 1, s->samples[i].v);
        pb_add_int(&b->item, 2, s->samples[i].t);
        pb_add_bytes(&b->series, 2, buf_str(&b->item));
    }
    for (uint32_t i = 0; i < s->n_hists; i++) {
        buf_clear(&b->item);
        histogram_encode(&b->item, s->hists[i].h, s->hists[i].t);
        pb_add_bytes(&b->series, 4, buf_str(&b->item));
    }
}

static bool read_buffers_full(const struct read_writer *w, const struct read_buffers *b, struct err *err)
{
    if (!b->series.over && !b->result.over && !b->message.over && !w->out->over)
        return false;
    err_set(err, ERR_LIMIT, "the response needs more memory than a query may use (--query.max-memory); request fewer "
            "series or a shorter time");
    return true;
}

static bool read_add_result(struct read_writer *w, struct series_set *set, struct read_buffers *b, uint64_t *samples,
                            struct err *err)
{
    struct read_item *items = read_items(w, set, err);
    buf_clear(&b->result);
    for (size_t i = 0; items && i < set->n; i++) {
        struct series s;
        if (!series_set_get(set, items[i].index, &s, err) ||
            !query_charge(w->work, QUERY_CHARGE_LABELS + 8 * (uint64_t)s.n_samples + 64 * (uint64_t)s.n_hists, err))
            return false;
        *samples += s.n_samples + s.n_hists;
        if (w->max_samples > 0 && *samples > w->max_samples)
            return err_set(err, ERR_BAD_DATA, "exceeded sample limit (%llu)", (unsigned long long)w->max_samples);
        buf_clear(&b->series);
        buf_add(&b->series, items[i].labels.p, items[i].labels.n); /* label sets are in this form */
        read_add_samples(b, &s);
        pb_add_bytes(&b->result, 1, buf_str(&b->series));
        if (read_buffers_full(w, b, err))
            return false;
    }
    return items != NULL;
}

static bool read_add_results(struct read_writer *w, struct series_set *sets, size_t n, struct read_buffers *b,
                             struct err *err)
{
    uint64_t samples = 0;
    for (size_t i = 0; i < n; i++) {
        if (!read_add_result(w, &sets[i], b, &samples, err))
            return false;
        pb_add_bytes(&b->message, 1, buf_str(&b->result));
        if (read_buffers_full(w, b, err))
            return false;
    }
    buf_free(&b->result);
    compress_snappy(w->out, buf_str(&b->message));
    return !read_buffers_full(w, b, err);
}

/* The arena leaves the query by longjmp when its budget is used up, which must not happen while buffers exist. */
bool read_write_samples(struct read_writer *w, struct series_set *sets, size_t n, struct err *err)
{
    struct arena *a = w->q->arena;
    struct arena_limits limits = arena_suspend_limit(a);
    struct read_buffers b = {.series.max = w->max_bytes, .message.max = w->max_bytes, .result.max = w->max_bytes};
    bool ok = read_add_results(w, sets, n, &b, err);
    read_buffers_free(&b);
    arena_restore_limit(a, limits);
    if (ok && arena_over(a, limits.max)) {
        arena_full_error(a, limits.max, err);
        return false;
    }
    return ok;
}

/* ---- STREAMED_XOR_CHUNKS ---- */

struct read_frames {
    struct read_writer *w;
    struct read_buffers b;       /* series: a ChunkedSeries; item: a chunk's data; result: a chunk */
    struct labels labels;
    size_t query;
    size_t chunk_bytes;          /* in the frame that is being written */
};

static void read_frame_end(struct read_frames *f)
{
    buf_clear(&f->b.message);
    pb_add_bytes(&f->b.message, 1, buf_str(&f->b.series));
    if (f->query > 0)
        pb_add_int(&f->b.message, 2, (int64_t)f->query);
    struct str message = buf_str(&f->b.message);
    uint32_t crc = crc32c(message);
    const char big_endian[4] = {(char)(crc >> 24), (char)(crc >> 16), (char)(crc >> 8), (char)crc};
    pb_add_varint(f->w->out, message.n);
    buf_add(f->w->out, big_endian, sizeof big_endian);
    buf_add_str(f->w->out, message);
}

static void read_frame_begin(struct read_frames *f)
{
    buf_clear(&f->b.series);
    buf_add(&f->b.series, f->labels.p, f->labels.n);
    f->chunk_bytes = 0;
}

/* The chunk's data is in b.item. */
static void read_frame_add(struct read_frames *f, int64_t from, int64_t to, enum read_chunk_encoding encoding)
{
    if (f->chunk_bytes + f->b.item.n > READ_FRAME_BYTES && f->chunk_bytes > 0) {
        read_frame_end(f);
        read_frame_begin(f);
    }
    buf_clear(&f->b.result);
    pb_add_int(&f->b.result, 1, from);
    pb_add_int(&f->b.result, 2, to);
    pb_add_int(&f->b.result, 3, encoding);
    pb_add_bytes(&f->b.result, 4, buf_str(&f->b.item));
    pb_add_bytes(&f->b.series, 2, buf_str(&f->b.result));
    f->chunk_bytes += f->b.item.n;
}

/* Chunks are in order of time: samples up to the next histogram, and it. */
static void read_frame_series(struct read_frames *f, const struct series *s)
{
    uint32_t at = 0, hist = 0;
    read_frame_begin(f);
    while (at < s->n_samples || hist < s->n_hists) {
        uint32_t n = 0;
        buf_clear(&f->b.item);
        while (n < READ_CHUNK_SAMPLES && at + n < s->n_samples &&
               (hist == s->n_hists || s->samples[at + n].t < s->hists[hist].t))
            n++;
        if (n > 0) {
            read_chunk_xor(&f->b.item, s->samples + at, n);
            read_frame_add(f, s->samples[at].t, s->samples[at + n - 1].t, READ_CHUNK_XOR);
            at += n;
        } else {
            read_chunk_histogram(&f->b.item, &s->hists[hist]);
            read_frame_add(f, s->hists[hist].t, s->hists[hist].t, READ_CHUNK_FLOAT_HISTOGRAM);
            hist++;
        }
    }
    read_frame_end(f);
}

static bool read_frame_set(struct read_frames *f, struct series_set *set, struct err *err)
{
    struct read_writer *w = f->w;
    struct read_item *items = read_items(w, set, err);
    for (size_t i = 0; items && i < set->n; i++) {
        struct series s;
        if (!series_set_get(set, items[i].index, &s, err) ||
            !query_charge(w->work, QUERY_CHARGE_LABELS + 16 * (uint64_t)s.n_samples + 64 * (uint64_t)s.n_hists, err))
            return false;
        f->labels = items[i].labels;
        read_frame_series(f, &s);
        if (read_buffers_full(w, &f->b, err) || (w->flush && !w->flush(w->arg, err)))
            return false;
    }
    return items != NULL;
}

bool read_write_chunks(struct read_writer *w, struct series_set *sets, size_t n, struct err *err)
{
    struct arena *a = w->q->arena;
    struct arena_limits limits = arena_suspend_limit(a);
    struct read_frames f = {.w = w, .b.series.max = w->max_bytes, .b.message.max = w->max_bytes};
    bool ok = true;
    for (f.query = 0; ok && f.query < n; f.query++) {
        ok = read_frame_set(&f, &sets[f.query], err);
        if (ok && arena_over(a, limits.max)) {
            arena_full_error(a, limits.max, err);
            ok = false;
        }
    }
    read_buffers_free(&f.b);
    arena_restore_limit(a, limits);
    return ok;
}
