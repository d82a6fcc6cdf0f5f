// SPDX-License-Identifier: Apache-2.0
/* From the 40 MB of a query_range answer to series in a query's arena, in 16 KB pieces as the client gives them, beside jansson's
 * tree of the same bytes (which is only the first half of that work). Prints MB of text a CPU second, the best of several rounds.
 */
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

#include "base/text/num.h"
#include "base/text/duration.h"
#include "gateway/upstream/decode/response.h"

#include <stdio.h>
#include <stdlib.h>

enum { SERIES = 10000, SAMPLES = 130, PIECE = 16 << 10, ROUNDS = 7 };

static double sample_value(int series, int i)
{
    if (series % 10 < 4)
        return (double)(1000000 + series * 977 + i * 15); /* counters */
    double v = (double)(series * 31 + i * 17 % 1000) / 1000;
    return series % 10 < 7 ? v : v / 3; /* three decimals; rates of 17 digits */
}

static void write_matrix(struct buf *out)
{
    buf_add_z(out, "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[");
    for (int s = 0; s < SERIES; s++) {
        buf_printf(out, "%s{\"metric\":{\"__name__\":\"node_network_receive_bytes_total\",\"device\":\"eth%d\",\"instance\":\"host-%d.example:9100\",\"job\":\"node\"},\"values\":[",
                   s ? "," : "", s % 10, s / 10);
        for (int i = 0; i < SAMPLES; i++) {
            buf_add_z(out, i ? ",[" : "[");
            buf_add_ms(out, 1435781430781 + i * (int64_t)15000);
            buf_add_z(out, ",\"");
            buf_add_num(out, sample_value(s, i));
            buf_add_z(out, "\"]");
        }
        buf_add_z(out, "]}");
    }
    buf_add_z(out, "]}}");
}

static double decode(struct str body, size_t *used)
{
    struct arena arena;
    struct notes notes = {.arena = &arena};
    struct err err;
    arena_init(&arena, 0);
    struct response answer = {.arena = &arena, .notes = &notes, .t_min = INT64_MIN, .t_max = INT64_MAX};
    int64_t start = clock_cpu_ns();
    struct decoder *d = json_decoder_new(&answer);
    bool ok = true;
    for (size_t at = 0; ok && at < body.n; at += PIECE)
        ok = d->feed(d, str_first(str_skip(body, at), PIECE), &err);
    ok = ok && d->finish(d, &err);
    double seconds = (double)(clock_cpu_ns() - start) / 1e9;
    if (!ok || answer.n != SERIES || answer.n_samples != (uint64_t)SERIES * SAMPLES)
        exit(1);
    *used = arena.used;
    d->free(d);
    arena_free(&arena);
    return seconds;
}

static double tree(struct str body)
{
    int64_t start = clock_cpu_ns();
    json_t *root = json_loadb(body.p, body.n, 0, NULL);
    double seconds = (double)(clock_cpu_ns() - start) / 1e9;
    if (root == NULL)
        exit(1);
    json_decref(root);
    return seconds;
}

int main(void)
{
    struct buf text = {0};
    double ours = 1e9, theirs = 1e9;
    size_t used = 0;
    write_matrix(&text);
    for (int i = 0; i < ROUNDS; i++) {
        double s = decode(buf_str(&text), &used);
        ours = s < ours ? s : ours;
        if (i < 2 && (s = tree(buf_str(&text))) < theirs)
            theirs = s;
    }
    double mb = (double)text.n / 1e6;
    printf("query_range answer of %.1f MB: into series %.0f MB/s, %.1f bytes a sample; jansson's tree %.0f MB/s\n", mb, mb / ours,
           (double)used / SERIES / SAMPLES, mb / theirs);
    buf_free(&text);
    return 0;
}
