// SPDX-License-Identifier: Apache-2.0
/* How fast a large matrix is decoded: json_reader in 64 KB pieces, as a client receives them, beside jansson's tree of
 * the whole body. Prints MB/s of the best of several rounds; the check sums must agree. */
/* Both libraries have enumerators of these names. */
#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY  JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#define JSON_TRUE   JANSSON_TRUE
#define JSON_FALSE  JANSSON_FALSE
#define JSON_NULL   JANSSON_NULL
#include <jansson.h>
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_TRUE
#undef JSON_FALSE
#undef JSON_NULL

#include "base/json/json_read.h"
#include "base/json/json_write.h"
#include "base/text/duration.h"

#include <stdio.h>
#include <stdlib.h>

enum { SERIES = 10000, SAMPLES = 120, PIECE = 64 << 10, ROUNDS = 7 };

struct sums {
    uint64_t labels, samples;
    int64_t ms;
    double values;
};

static double sample_value(int series, int i)
{
    if (series % 10 < 4)
        return (double)(1000000 + series * 977 + i * 15); /* counters */
    double v = (double)(series * 31 + i * 17 % 1000) / 1000;
    return series % 10 < 7 ? v : v / 3; /* three decimals; rates of 17 digits */
}

static void write_matrix(struct buf *out)
{
    struct json_writer w = {.out = out};
    buf_add_z(out, "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":");
    json_begin_array(&w);
    for (int s = 0; s < SERIES; s++) {
        json_begin_object(&w);
        json_key(&w, "metric");
        json_begin_object(&w);
        json_key(&w, "__name__");
        json_z(&w, "node_network_receive_bytes_total");
        json_key(&w, "instance");
        char text[64];
        snprintf(text, sizeof text, "host-%d.example:9100", s / 10);
        json_z(&w, text);
        json_key(&w, "job");
        json_z(&w, "node");
        json_end_object(&w);
        json_key(&w, "values");
        json_begin_array(&w);
        for (int i = 0; i < SAMPLES; i++) {
            json_begin_array(&w);
            json_ms(&w, 1435781430781 + i * (int64_t)15000);
            json_num_str(&w, sample_value(s, i));
            json_end_array(&w);
        }
        json_end_array(&w);
        json_end_object(&w);
    }
    json_end_array(&w);
    buf_add_z(out, "}}");
}

struct feed {
    struct json_reader r;
    struct str body;
};

static void feed(struct feed *f)
{
    struct str piece = str_first(f->body, PIECE);
    f->body = str_skip(f->body, piece.n);
    json_feed(&f->r, piece.p, piece.n);
    if (f->body.n == 0)
        json_finish(&f->r);
}

static enum json_token next(struct feed *f)
{
    enum json_token token;
    while ((token = json_next(&f->r)) == JSON_MORE)
        feed(f);
    return token;
}

static void read_pairs(struct feed *f, struct sums *sums)
{
    struct json_pair pairs[128];
    enum json_token token;
    do {
        size_t n = json_pairs(&f->r, pairs, LEN(pairs), &token);
        for (size_t i = 0; i < n; i++) {
            sums->ms += pairs[i].t_ms;
            sums->values += pairs[i].v;
        }
        sums->samples += n;
        if (token == JSON_MORE)
            feed(f);
    } while (token == JSON_MORE || token == JSON_ARRAY);
}

static struct sums decode_ours(struct str body)
{
    struct sums sums = {0};
    struct feed f = {.body = body};
    json_reader_init(&f.r);
    enum json_token token;
    while ((token = next(&f)) != JSON_END && token != JSON_ERROR) {
        if (token == JSON_KEY && str_is(f.r.text, "values") && next(&f) == JSON_ARRAY)
            read_pairs(&f, &sums);
        else if (token == JSON_STRING)
            sums.labels += f.r.text.n;
    }
    if (token == JSON_ERROR)
        fprintf(stderr, "%s\n", f.r.err.text);
    json_reader_free(&f.r);
    return sums;
}

static struct sums decode_jansson(struct str body)
{
    struct sums sums = {0};
    json_t *tree = json_loadb(body.p, body.n, 0, NULL), *series, *pair, *label;
    json_t *result = json_object_get(json_object_get(tree, "data"), "result");
    size_t i, k;
    const char *name;
    json_array_foreach(result, i, series) {
        /* cppcheck-suppress unknownMacro */
        json_object_foreach(json_object_get(series, "metric"), name, label)
            sums.labels += json_string_length(label);
        json_array_foreach(json_object_get(series, "values"), k, pair) {
            sums.ms += (int64_t)(json_number_value(json_array_get(pair, 0)) * 1000 + 0.5);
            sums.values += strtod(json_string_value(json_array_get(pair, 1)), NULL);
            sums.samples++;
        }
    }
    json_decref(tree);
    return sums;
}

static struct sums measure(const char *name, struct sums (*decode)(struct str), struct str body, int rounds)
{
    int64_t best = INT64_MAX;
    struct sums sums = {0};
    for (int i = 0; i < rounds; i++) {
        int64_t start = clock_cpu_ns();
        sums = decode(body);
        int64_t took = clock_cpu_ns() - start;
        best = took < best ? took : best;
    }
    printf("%-8s %7.1f ms %7.0f MB/s %6.1f Msamples/s\n", name, (double)best / 1e6, (double)body.n * 1e3 / (double)best,
           (double)sums.samples * 1e3 / (double)best);
    return sums;
}

int main(void)
{
    struct buf body = {0};
    int64_t start = clock_cpu_ns();
    write_matrix(&body);
    printf("%.1f MB, %d samples, written at %.0f MB/s\n", (double)body.n / 1e6, SERIES * SAMPLES,
           (double)body.n * 1e3 / (double)(clock_cpu_ns() - start));
    struct sums ours = measure("ours", decode_ours, buf_str(&body), ROUNDS);
    struct sums theirs = measure("jansson", decode_jansson, buf_str(&body), 2);
    bool agree = ours.samples == theirs.samples && ours.ms == theirs.ms && ours.values == theirs.values;
    if (!agree)
        printf("the check sums differ: %llu %lld %.17g, %llu %lld %.17g\n", (unsigned long long)ours.samples,
               (long long)ours.ms, ours.values, (unsigned long long)theirs.samples, (long long)theirs.ms,
               theirs.values);
    buf_free(&body);
    return agree ? 0 : 1;
}
