// SPDX-License-Identifier: Apache-2.0
/* Encodes requests and decodes responses:
 *   ReadRequest  { repeated Query queries = 1; repeated ResponseType accepted_response_types = 2 }   SAMPLES = 0
 *   Query        { start = 1; end = 2; repeated Matcher matchers = 3; Hints hints = 4 }
 *   ReadResponse { repeated QueryResult results = 1 }     QueryResult { repeated TimeSeries timeseries = 1 }
 * A QueryResult has the form of a WriteRequest, so that the walk of remote write decodes it. The response is one snappy
 * block, which is buffered until it is complete, or longer than what it declares to be.
 */
#include "gateway/upstream/decode/remote_read.h"
#include "gateway/upstream/decode/read_stream.h"

#include "base/compress.h"
#include "base/protobuf.h"

enum { QUERY_START = 1, QUERY_END, QUERY_MATCHERS, QUERY_HINTS };
enum { RESPONSE_TYPES = 2, RESPONSE_SAMPLES = 0, RESPONSE_CHUNKS = 1 };
enum { HINT_STEP = 1, HINT_FUNC, HINT_START, HINT_END, HINT_RANGE = 7 };

static void remote_read_add_matcher(struct buf *query, enum match_type type, struct str name, struct str value)
{
    static const int types[] = {[MATCH_EQ] = 0, [MATCH_NE] = 1, [MATCH_RE] = 2, [MATCH_NRE] = 3};
    struct buf b = {0};
    pb_add_int(&b, 1, types[type]);
    pb_add_bytes(&b, 2, name);
    pb_add_bytes(&b, 3, value);
    pb_add_bytes(query, QUERY_MATCHERS, buf_str(&b));
    buf_free(&b);
}

/* NAME="VALUE" as a regular expression: the server drops equality matchers on its external labels. */
static void remote_read_add_literal(struct buf *query, struct str name, struct str value)
{
    struct buf b = {0};
    regex_quote(&b, value);
    remote_read_add_matcher(query, MATCH_RE, name, buf_str(&b));
    buf_free(&b);
}

static void add_hints(struct buf *query, const struct select *sel)
{
    struct buf b = {0};
    pb_add_int(&b, HINT_STEP, sel->step);
    pb_add_bytes(&b, HINT_FUNC, str_of(sel->func));
    pb_add_int(&b, HINT_START, sel->t_min);
    pb_add_int(&b, HINT_END, sel->t_max);
    if (sel->kind == SELECT_RANGE)
        pb_add_int(&b, HINT_RANGE, sel->window);
    pb_add_bytes(query, QUERY_HINTS, buf_str(&b));
    buf_free(&b);
}

/* Requires those of the first READ_EXACT external labels that are in `own`, and excludes the others. */
static void add_own_labels(struct buf *query, struct labels external, unsigned own)
{
    struct labels_iter it = labels_iter(external);
    struct label l;
    for (unsigned i = 0; i < READ_EXACT && labels_next(&it, &l); i++)
        if (own >> i & 1)
            remote_read_add_literal(query, l.name, l.value);
        else
            remote_read_add_matcher(query, MATCH_NE, l.name, l.value);
}

static void remote_read_add_query(struct buf *request, const struct matcher *m, size_t n, struct labels external,
                                  unsigned own, const struct select *sel)
{
    struct buf query = {0};
    pb_add_int(&query, QUERY_START, sel->t_min);
    pb_add_int(&query, QUERY_END, sel->t_max);
    for (size_t i = 0; i < n; i++)
        if (m[i].type == MATCH_EQ && m[i].value.n > 0 && str_eq(labels_get(external, m[i].name), m[i].value))
            remote_read_add_literal(&query, m[i].name, m[i].value);
        else
            remote_read_add_matcher(&query, m[i].type, m[i].name, m[i].value);
    add_own_labels(&query, external, own);
    add_hints(&query, sel);
    pb_add_bytes(request, 1, buf_str(&query));
    buf_free(&query);
}

void read_request(struct buf *out, const struct matcher *m, size_t n, struct labels external,
                  const struct select *sel, bool streams)
{
    struct buf request = {0};
    unsigned queries = 1u << (external.count < READ_EXACT ? external.count : READ_EXACT);
    for (unsigned own = 0; own < queries; own++)
        remote_read_add_query(&request, m, n, external, own, sel);
    if (streams)
        pb_add_int(&request, RESPONSE_TYPES, RESPONSE_CHUNKS);
    pb_add_int(&request, RESPONSE_TYPES, RESPONSE_SAMPLES);
    compress_snappy(out, buf_str(&request));
    buf_free(&request);
}

/* --- the response ------------------------------------------------------------------------------------------------- */

struct remote_read_response {
    struct decoder decoder;
    struct response *response;
    size_t max;
    enum blocks_refusal *refusal;
    struct decoder *stream;       /* of STREAMED_XOR_CHUNKS */
    struct buf packed;
    struct hist_sample *hists; size_t cap;
};

static bool blame_series(const struct rw_walk *w, const char *why, struct err *err)
{
    struct buf name = {0};
    labels_print(&name, w->labels);
    err_set(err, ERR_BAD_GATEWAY, "remote_read: series %.512s: %s", buf_z(&name), why);
    buf_free(&name);
    return false;
}

static bool decode_histogram(struct remote_read_response *r, const struct rw_walk *w, size_t i, struct histogram *to,
                             struct err *err)
{
    const uint8_t *wire = (const uint8_t *)w->hists[i].p;
    size_t n = w->hists[i].n;
    if (histogram_lacks_bounds(wire, n))
        return blame_series(w, "a native histogram with custom buckets lacks their bounds, as sent by Prometheus "
                            "3.9.0 and older; upgrade the server, or exclude the series from the query", err);
    r->hists[i].h = to;
    if (histogram_decode(r->response->arena, wire, n, &r->hists[i].t, to, err))
        return true;
    struct err why = *err;
    return why.kind == ERR_BAD_DATA ? blame_series(w, why.text, err) : err_wrap(err, "remote_read");
}

/* The walk has checked the labels; names outside the legacy character set are accepted. */
static bool remote_read_add_series(struct remote_read_response *r, const struct rw_walk *w, struct err *err)
{
    if (!w->labels_ok)
        return err_set(err, ERR_BAD_GATEWAY, "remote_read: a series has invalid labels: %s", w->reason);
    struct histogram *decoded = w->n_hists ? ARENA_ARRAY(r->response->arena, struct histogram, w->n_hists) : NULL;
    mem_grow(&r->hists, &r->cap, w->n_hists, sizeof *r->hists);
    for (size_t i = 0; i < w->n_hists; i++)
        if (!decode_histogram(r, w, i, &decoded[i], err))
            return false;
    return response_add(r->response, w->labels, w->samples, w->n_samples, r->hists, w->n_hists, err);
}

static bool add_result(struct remote_read_response *r, struct str result, struct err *err)
{
    struct rw_walk w;
    enum rw_item item;
    bool ok = true;
    rw_walk_init(&w);
    rw_walk_start(&w, result);
    while (ok && (item = rw_walk_next(&w)) != RW_END)
        if (item == RW_SERIES)
            ok = remote_read_add_series(r, &w, err);
        else if (item == RW_ERROR)
            ok = err_set(err, ERR_BAD_GATEWAY, "remote_read: %s", w.err.text);
    rw_walk_free(&w);
    return ok;
}

static bool add_response(struct remote_read_response *r, struct str body, struct err *err)
{
    const uint8_t *p = (const uint8_t *)body.p, *end = body.n ? p + body.n : p;
    struct pb_field f;
    while (p < end) {
        if (!pb_next(&p, end, &f))
            return err_set(err, ERR_BAD_GATEWAY, "remote_read: the response is corrupted");
        if (f.number != 1 || f.wire != 2)
            continue;
        if (!add_result(r, f.bytes, err))
            return false;
        r->response->own++;
    }
    return true;
}

static void remote_read_begin(struct decoder *d, struct str content_type)
{
    struct remote_read_response *r = CONTAINER(d, struct remote_read_response, decoder);
    if (str_starts(content_type, STR("application/x-streamed-protobuf")))
        r->stream = read_stream_decoder_new(r->response, r->max, r->refusal);
}

static bool remote_read_is_possible(const struct remote_read_response *r, struct err *err)
{
    size_t most;
    if (!snappy_most(buf_str(&r->packed), r->max, &most, err)) {
        err->kind = err->kind == ERR_BAD_DATA ? ERR_BAD_GATEWAY : err->kind;
        return err_wrap(err, "remote_read");
    }
    return r->packed.n <= most ||
           err_set(err, ERR_BAD_GATEWAY, "remote_read: the response is longer than it declares to be");
}

static bool remote_read_feed(struct decoder *d, struct str piece, struct err *err)
{
    struct remote_read_response *r = CONTAINER(d, struct remote_read_response, decoder);
    if (r->stream)
        return r->stream->feed(r->stream, piece, err);
    if (!buf_try_reserve(&r->packed, piece.n))
        return err_set(err, ERR_LIMIT, "remote_read: the response exceeds the limit of %zu MiB of memory",
                       r->packed.max >> 20);
    buf_add_str(&r->packed, piece);
    return r->packed.n < SNAPPY_LENGTH || remote_read_is_possible(r, err);
}

static bool remote_read_finish(struct decoder *d, struct err *err)
{
    struct remote_read_response *r = CONTAINER(d, struct remote_read_response, decoder);
    struct buf body = {0};
    if (r->stream)
        return r->stream->finish(r->stream, err);
    bool ok = decompress(CODEC_SNAPPY, NULL, buf_str(&r->packed), r->max, &body, err);
    if (!ok && err->kind == ERR_BAD_DATA)
        err->kind = ERR_BAD_GATEWAY;
    ok = ok ? add_response(r, buf_str(&body), err) : err_wrap(err, "remote_read");
    buf_free(&body);
    return ok;
}

static void free_read(struct decoder *d)
{
    struct remote_read_response *r = CONTAINER(d, struct remote_read_response, decoder);
    if (r->stream)
        r->stream->free(r->stream);
    buf_free(&r->packed);
    mem_free(r->hists);
    mem_free(r);
}

struct decoder *remote_read_decoder_new(struct response *a, size_t max, enum blocks_refusal *refusal)
{
    struct remote_read_response *r = mem_zalloc(sizeof *r);
    *r = (struct remote_read_response){
        .decoder = {remote_read_feed, remote_read_finish, free_read, remote_read_begin}, .response = a, .max = max,
        .refusal = refusal, .packed.max = max};
    return &r->decoder;
}
