// SPDX-License-Identifier: Apache-2.0
/* A large response is mostly points: ,[1600000000.123,"1.5"]. The series of a grid have their points at the same times,
 * so the text up to the value is made once for each step, and a point costs a copy of it and the printing of a number:
 * 482,000 of them take 5 ms; looked up by its time, with space reserved for one point at a time, they took 9.
 */
#include "gateway/query/render.h"

#include "base/text/num.h"
#include "base/text/duration.h"

/* ---- the deadline ---- */

enum { POINTS_BETWEEN_CHECKS = 10000 }; /* a millisecond */
struct render {
    struct json_writer *json;
    const struct query_ctx *q;
    const struct render_flush *flush;
    struct err *err;
    size_t points; /* since the deadline was last checked */
    bool ended;
};

/* True once the deadline has passed; `points` are about to be written. */
static bool render_ended(struct render *r, size_t points)
{
    r->points += points;
    if (r->points >= POINTS_BETWEEN_CHECKS) {
        r->points = 0;
        r->ended = r->ended || query_ended(r->q, "rendering the result", r->err);
    }
    return r->ended;
}

/* ---- points ---- */

enum { STAMP_MAX = 32 }; /* `,[-2305843009213693.951,"` has 26: the longest time that a query may request */
struct stamp { uint32_t n; char text[2 + NUM_MAX + 2]; };
struct stamps { const int64_t *t; size_t n; struct stamp *items; };

enum {
    STAMPS_MOST = 11000, /* as many points as a range query may have; later ones are made one by one */
    BLOCK = 256,         /* maximum number of points for which space is reserved at once */
    POINT_MAX = STAMP_MAX + NUM_MAX + 2,
};

static const struct stamp *make_stamp(struct stamp *s, int64_t t)
{
    memcpy(s->text, ",[", 2);
    s->n = 2 + (uint32_t)num_format_ms(s->text + 2, t);
    s->text[s->n++] = ',';
    s->text[s->n++] = '"';
    return s;
}

/* Of the times that the first two series share; otherwise none. */
static struct stamps make_stamps(const struct promql_result *result)
{
    const struct promql_series *s = result->series;
    if (result->n < 2 || s[0].t != s[1].t)
        return (struct stamps){0};
    struct stamps all = {.t = s->t, .n = s->n < STAMPS_MOST ? s->n : STAMPS_MOST};
    all.items = mem_alloc(all.n * sizeof *all.items);
    for (size_t i = 0; i < all.n; i++)
        make_stamp(&all.items[i], s->t[i]);
    return all;
}

static void render_rows_block(struct buf *out, const struct promql_series *s, size_t i, size_t end,
                              const struct stamps *stamps)
{
    struct stamp own;
    size_t n_stamps = s->t == stamps->t ? stamps->n : 0;
    char *to = out->p + out->n;
    for (; i < end; i++) {
        if (!promql_has(s, i) || promql_hist(s, i))
            continue;
        const struct stamp *stamp = i < n_stamps ? &stamps->items[i] : make_stamp(&own, s->t[i]);
        memcpy(to, stamp->text, STAMP_MAX); /* of a known size; what is behind its n is overwritten */
        to += stamp->n;
        to += num_format(to, s->v[i]);
        *to++ = '"';
        *to++ = ']';
    }
    out->n = (size_t)(to - out->p);
}

/* Each with a comma before it. */
static void add_floats(struct render *r, const struct promql_series *s, const struct stamps *stamps)
{
    struct buf *out = r->json->out;
    for (size_t i = 0, end; i < s->n; i = end) {
        end = s->n - i < BLOCK ? s->n : i + BLOCK;
        if (render_ended(r, end - i) || !buf_reserve(out, (end - i) * POINT_MAX))
            return;
        render_rows_block(out, s, i, end, stamps);
    }
}

/* Without a comma before it. */
static void add_float(struct buf *out, const struct stamp *stamp, double v)
{
    if (!buf_reserve(out, POINT_MAX))
        return;
    char *to = (char *)mempcpy(out->p + out->n, stamp->text + 1, stamp->n - 1);
    to += num_format(to, v);
    *to++ = '"';
    *to++ = ']';
    out->n = (size_t)(to - out->p);
}

static void add_histogram(struct buf *out, int64_t t, const struct histogram *h)
{
    buf_add_char(out, '[');
    buf_add_ms(out, t);
    buf_add_char(out, ',');
    promql_histogram_json(out, h);
    buf_add_char(out, ']');
}

/* Each with a comma before it. */
static void add_histograms(struct render *r, const struct promql_series *s)
{
    struct buf *out = r->json->out;
    for (size_t i = 0; s->h && i < s->n && !render_ended(r, 16); i++) {
        if (s->h[i] == NULL || !promql_has(s, i))
            continue;
        buf_add_char(out, ',');
        add_histogram(out, s->t[i], s->h[i]);
    }
}

/* ---- series ---- */

void render_labels(struct json_writer *w, struct labels l)
{
    struct labels_iter it = labels_iter(l);
    struct label label;
    json_begin_object(w);
    while (labels_next(&it, &label)) {
        json_key_str(w, label.name);
        json_str(w, label.value);
    }
    json_end_object(w);
}

/* Whether a series has points of a kind is known only afterwards: if so, the first comma becomes the bracket,
 * ,a,b,c -> [a,b,c], otherwise the key is removed again. */
static void end_list(struct json_writer *w, size_t key, size_t list)
{
    w->comma = true;
    if (w->out->n == list) {
        w->out->n = key;
        return;
    }
    w->out->p[list] = '[';
    buf_add_char(w->out, ']');
}

static void matrix_series(struct render *r, const struct promql_series *s, const struct stamps *stamps)
{
    struct json_writer *w = r->json;
    size_t start = w->out->n;
    json_key(w, "values");
    size_t list = w->out->n;
    add_floats(r, s, stamps);
    end_list(w, start, list);
    start = w->out->n;
    json_key(w, "histograms");
    list = w->out->n;
    add_histograms(r, s);
    end_list(w, start, list);
}

/* The series of a vector have the same time, whose text is in *now. */
static void vector_series(struct json_writer *w, const struct promql_series *s, struct stamp *now)
{
    const struct histogram *h = promql_hist(s, 0);
    json_key(w, h ? "histogram" : "value");
    if (h)
        add_histogram(w->out, s->t[0], h);
    else
        add_float(w->out, now->n > 0 ? now : make_stamp(now, s->t[0]), s->v[0]);
    w->comma = true;
}

static void render_series(struct render *r, const struct promql_result *result)
{
    enum { LABELS = 8 }; /* take the time of so many points */
    struct json_writer *w = r->json;
    struct stamps stamps = make_stamps(result);
    struct stamp now = {0};
    json_begin_array(w);
    for (size_t i = 0; i < result->n && !render_ended(r, LABELS); i++) {
        json_begin_object(w);
        json_key(w, "metric");
        render_labels(w, result->series[i].labels);
        if (result->type == PROMQL_VECTOR)
            vector_series(w, &result->series[i], &now);
        else
            matrix_series(r, &result->series[i], &stamps);
        json_end_object(w);
        r->ended = r->ended || (r->flush && !r->flush->fn(r->flush->arg, r->err));
    }
    json_end_array(w);
    mem_free(stamps.items);
}

/* Seconds in the shortest form: 1.5, where a vector has 1.500. */
static void add_moment(struct json_writer *w, int64_t t)
{
    json_begin_array(w);
    json_double(w, (double)t / 1000);
}

static void render_scalar(struct json_writer *w, const struct promql_result *result)
{
    char text[NUM_PLAIN_MAX];
    add_moment(w, result->t);
    json_str(w, str_n(text, num_format_plain(text, result->scalar)));
    json_end_array(w);
}

static void render_string(struct json_writer *w, const struct promql_result *result)
{
    add_moment(w, result->t);
    json_html_str(w, result->string);
    json_end_array(w);
}

bool render_result(struct json_writer *w, const struct promql_result *result, const struct query_ctx *q,
                   const struct render_flush *flush, struct err *err)
{
    struct render r = {.json = w, .q = q, .flush = flush, .err = err};
    static const char *const names[] = {
        [PROMQL_SCALAR] = "scalar", [PROMQL_VECTOR] = "vector", [PROMQL_MATRIX] = "matrix", [PROMQL_STRING] = "string"};
    json_begin_object(w);
    json_field_z(w, "resultType", names[result->type]);
    json_key(w, "result");
    switch (result->type) {
    case PROMQL_SCALAR: render_scalar(w, result); break;
    case PROMQL_STRING: render_string(w, result); break;
    default: render_series(&r, result);
    }
    return !r.ended;
}

/* ---- stats ---- */

static void add_seconds(struct json_writer *w, const char *key, int64_t ns)
{
    json_key(w, key);
    json_double(w, (double)ns / 1e9);
}

static void add_timings(struct json_writer *w, const struct promql_stats *s, int64_t queued_ns)
{
    int64_t prepared = s->prepare_ns + s->select_ns, total = prepared + s->eval_ns + s->sort_ns;
    json_key(w, "timings");
    json_begin_object(w);
    add_seconds(w, "evalTotalTime", total);
    add_seconds(w, "resultSortTime", s->sort_ns);
    add_seconds(w, "queryPreparationTime", prepared);
    add_seconds(w, "innerEvalTime", s->eval_ns);
    add_seconds(w, "execQueueTime", queued_ns);
    add_seconds(w, "execTotalTime", queued_ns + total);
    json_end_object(w);
}

static void add_per_step(struct json_writer *w, const struct promql_stats *s, struct render_grid grid)
{
    json_key(w, "totalQueryableSamplesPerStep");
    json_begin_array(w);
    for (size_t i = 0; i < s->n_steps; i++) {
        json_begin_array(w);
        json_double(w, (double)(grid.start + (int64_t)i * grid.step) / 1000);
        json_i64(w, (int64_t)s->per_step[i]);
        json_end_array(w);
    }
    json_end_array(w);
}

void render_stats(struct json_writer *w, const struct promql_stats *s, int64_t queued_ns, struct render_grid grid)
{
    json_key(w, "stats");
    json_begin_object(w);
    add_timings(w, s, queued_ns);
    json_key(w, "samples");
    json_begin_object(w);
    if (s->per_step)
        add_per_step(w, s, grid);
    json_field_i64(w, "totalQueryableSamples", (int64_t)s->samples);
    json_field_i64(w, "peakSamples", (int64_t)s->peak_samples);
    json_end_object(w);
    json_end_object(w);
}
