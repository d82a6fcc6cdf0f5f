/* A large answer is mostly points: ,[1600000000.123,"1.5"]. All series of a range query have their points at the same
 * times, so the text up to the value is made once for each step, and a point costs a copy of it and the printing of a
 * number.
 */
#include "gateway/api/render.h"

#include "base/num.h"
#include "base/times.h"

/* ---- points ---- */

struct stamp { int64_t t; uint32_t n; char text[NUM_MAX + 4]; }; /* `,[12.345,"` */
struct stamps { struct stamp *items; size_t n; };

enum { POINT_MAX = sizeof((struct stamp){0}.text) + NUM_MAX + 3 };

static void make_stamp(struct stamp *s, int64_t t)
{
    s->t = t;
    memcpy(s->text, ",[", 2);
    s->n = 2 + (uint32_t)num_format_ms(s->text + 2, t);
    s->text[s->n++] = ',';
    s->text[s->n++] = '"';
}

static struct stamps make_stamps(const struct render_grid *g)
{
    struct stamps all = {0};
    if (g == NULL || g->step <= 0 || g->end < g->start)
        return all;
    all.n = (size_t)(((uint64_t)g->end - (uint64_t)g->start) / (uint64_t)g->step) + 1;
    all.items = mem_alloc(all.n * sizeof *all.items);
    for (size_t i = 0; i < all.n; i++)
        make_stamp(&all.items[i], g->start + (int64_t)i * g->step);
    return all;
}

static inline void add_point(struct buf *out, const struct stamp *s, double v)
{
    if (!buf_reserve(out, POINT_MAX))
        return;
    char *to = out->p + out->n;
    memcpy(to, s->text, sizeof s->text); /* of a known size; what is behind s->n is overwritten */
    to += s->n;
    to += num_format(to, v);
    *to++ = '"';
    *to++ = ']';
    out->n = (size_t)(to - out->p);
}

/* Where it is among the stamps from *k on, which moves there; or made on the spot when it is not one of them. */
static inline const struct stamp *stamp_for(const struct stamps *stamps, size_t *k, int64_t t, struct stamp *own)
{
    while (*k < stamps->n && stamps->items[*k].t < t)
        ++*k;
    if (*k < stamps->n && stamps->items[*k].t == t)
        return &stamps->items[*k];
    make_stamp(own, t);
    return own;
}

/* The floats of a series, each with a comma before it; returns how many points were none. */
static size_t add_floats(struct buf *out, const struct stamps *stamps, const struct promql_series *s)
{
    struct stamp own;
    size_t k = 0, others = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct promql_point *p = &s->points[i];
        if (p->h)
            others++;
        else
            add_point(out, stamp_for(stamps, &k, p->t, &own), p->v);
    }
    return others;
}

static void add_float(struct buf *out, const struct promql_point *p)
{
    buf_add_char(out, '[');
    buf_add_ms(out, p->t);
    buf_add(out, ",\"", 2);
    buf_add_num(out, p->v);
    buf_add(out, "\"]", 2);
}

static void add_histogram(struct buf *out, const struct promql_point *p)
{
    buf_add_char(out, '[');
    buf_add_ms(out, p->t);
    buf_add_char(out, ',');
    promql_histogram_json(out, p->h);
    buf_add_char(out, ']');
}

static void add_histograms(struct buf *out, const struct promql_series *s)
{
    const char *comma = "";
    for (size_t i = 0; i < s->n; i++) {
        if (s->points[i].h == NULL)
            continue;
        buf_add_z(out, comma);
        comma = ",";
        add_histogram(out, &s->points[i]);
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

/* [,a,b,c -> [a,b,c] */
static void close_list(struct buf *out, size_t open)
{
    out->p[open] = '[';
    buf_add_char(out, ']');
}

/* Which kinds of points a series has is known at its end: the comma before the first one makes room for the bracket. */
static void matrix_series(struct json_writer *w, const struct stamps *stamps, const struct promql_series *s)
{
    size_t start = w->out->n;
    json_key(w, "values");
    size_t open = w->out->n, others = add_floats(w->out, stamps, s);
    if (others < s->n)
        close_list(w->out, open);
    else
        w->out->n = start;
    w->comma = true;
    if (others > 0) {
        json_key(w, "histograms");
        buf_add_char(w->out, '[');
        add_histograms(w->out, s);
        buf_add_char(w->out, ']');
        w->comma = true;
    }
}

static void vector_series(struct json_writer *w, const struct promql_series *s)
{
    const struct promql_point *p = s->points;
    if (s->n == 0)
        return;
    json_key(w, p->h ? "histogram" : "value");
    if (p->h)
        add_histogram(w->out, p);
    else
        add_float(w->out, p);
    w->comma = true;
}

static void add_series(struct json_writer *w, const struct promql_result *result, const struct render_grid *grid)
{
    struct stamps stamps = make_stamps(grid);
    json_begin_array(w);
    for (size_t i = 0; i < result->n; i++) {
        json_begin_object(w);
        json_key(w, "metric");
        render_labels(w, result->series[i].labels);
        if (result->type == PROMQL_VECTOR)
            vector_series(w, &result->series[i]);
        else
            matrix_series(w, &stamps, &result->series[i]);
        json_end_object(w);
    }
    json_end_array(w);
    mem_free(stamps.items);
}

/* Seconds in the shortest form: 1.5, where a vector says 1.500. */
static void add_moment(struct json_writer *w, int64_t t)
{
    json_begin_array(w);
    json_double(w, (double)t / 1000);
}

static void add_scalar(struct json_writer *w, const struct promql_result *result)
{
    char text[NUM_PLAIN_MAX];
    add_moment(w, result->t);
    json_str(w, str_n(text, num_format_plain(text, result->scalar)));
    json_end_array(w);
}

static void add_string(struct json_writer *w, const struct promql_result *result)
{
    add_moment(w, result->t);
    json_html_str(w, result->string);
    json_end_array(w);
}

void render_result(struct json_writer *w, const struct promql_result *result, const struct render_grid *grid)
{
    static const char *const names[] = {
        [PROMQL_SCALAR] = "scalar", [PROMQL_VECTOR] = "vector", [PROMQL_MATRIX] = "matrix", [PROMQL_STRING] = "string"};
    json_begin_object(w);
    json_key(w, "resultType");
    json_z(w, names[result->type]);
    json_key(w, "result");
    switch (result->type) {
    case PROMQL_SCALAR: add_scalar(w, result); break;
    case PROMQL_STRING: add_string(w, result); break;
    default: add_series(w, result, grid);
    }
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

static void add_per_step(struct json_writer *w, const struct promql_stats *s, const struct render_grid *grid)
{
    json_key(w, "totalQueryableSamplesPerStep");
    json_begin_array(w);
    for (size_t i = 0; i < s->n_steps; i++) {
        json_begin_array(w);
        json_double(w, (double)(grid->start + (int64_t)i * grid->step) / 1000);
        json_i64(w, (int64_t)s->per_step[i]);
        json_end_array(w);
    }
    json_end_array(w);
}

void render_stats(struct json_writer *w, const struct promql_stats *s, int64_t queued_ns, const struct render_grid *grid)
{
    json_key(w, "stats");
    json_begin_object(w);
    add_timings(w, s, queued_ns);
    json_key(w, "samples");
    json_begin_object(w);
    if (s->per_step)
        add_per_step(w, s, grid);
    json_key(w, "totalQueryableSamples");
    json_i64(w, (int64_t)s->samples);
    json_key(w, "peakSamples");
    json_i64(w, (int64_t)s->peak_samples);
    json_end_object(w);
    json_end_object(w);
}
