// SPDX-License-Identifier: Apache-2.0
/* What a sample costs on its way through the model: reading it from a page, and writing and reading it in a remote write
 * body. Nanoseconds per sample, the least of many rounds. */
#include "base/text/num.h"
#include "base/text/duration.h"
#include "model/exposition/exposition.h"
#include "model/write2/write2.h"
#include "base/compress.h"

#include <stdio.h>
#include <time.h>

enum { SERIES = 500, ROUNDS = 400 };

static struct buf page, body;
static struct str texts[SERIES];
static struct labels sets[SERIES];
static struct arena arena;
static volatile double sink;

/* A page in the style of node_exporter: eight series a metric, values of several digits. */
static void make_page(void)
{
    size_t starts[SERIES];
    for (unsigned i = 0; i < SERIES; i++) {
        if (i % 8 == 0)
            buf_printf(&page, "# HELP node_thing_%u_seconds_total Seconds the thing spent in each mode.\n"
                              "# TYPE node_thing_%u_seconds_total counter\n", i / 8, i / 8);
        starts[i] = page.n;
        buf_printf(&page, "node_thing_%u_seconds_total{cpu=\"%u\",device=\"/dev/mapper/vg0-data%u\",mode=\"idle\"}", i / 8, i % 8, i);
        texts[i].n = page.n - starts[i];
        buf_add_char(&page, ' ');
        buf_add_num(&page, i % 3 == 0 ? (double)i * 1000 : (double)i * 12.34567);
        buf_add_char(&page, '\n');
    }
    for (unsigned i = 0; i < SERIES; i++)
        texts[i].p = page.p + starts[i]; /* the page does not move any more */
}

static void make_labels(void)
{
    struct labels_builder b = {.scratch = &arena};
    struct err err;
    for (unsigned i = 0; i < SERIES; i++) {
        if (!exposition_labels(texts[i], false, &b, &err))
            printf("%s\n", err.text);
        builder_set(&b, STR("instance"), STR("host-17.example.org:9100"));
        builder_set(&b, STR("job"), STR("node"));
        sets[i] = builder_labels(&b, &arena);
    }
    builder_free(&b);
}

static void read_known(void)
{
    struct exposition e;
    exposition_start(&e, buf_str(&page));
    bool hit;
    unsigned i = 0;
    for (enum exposition_kind k; (k = exposition_next_known(&e, texts[i < SERIES ? i : 0], &hit)) != EXPOSITION_END; i += k == EXPOSITION_SERIES)
        sink = e.value;
}

static void read_plain(void)
{
    struct exposition e;
    exposition_start(&e, buf_str(&page));
    while (exposition_next(&e) != EXPOSITION_END)
        sink = e.value;
}

static void read_labels(void)
{
    struct arena scratch;
    struct labels_builder b = {.scratch = &scratch};
    struct err err;
    arena_init(&scratch, 0);
    for (unsigned i = 0; i < SERIES; i++)
        sink = exposition_labels(texts[i], false, &b, &err) ? builder_labels(&b, &scratch).n : 0;
    builder_free(&b);
    arena_free(&scratch);
}

static void append(void)
{
    buf_clear(&body);
    for (unsigned i = 0; i < SERIES; i++)
        rw_append_series(&body, sets[i], &(struct sample){1735689600123 + i, (double)i + 0.5}, 1);
}

static struct rw_walk walk;
static void walk_body(void)
{
    rw_walk_start(&walk, buf_str(&body));
    while (rw_walk_next(&walk) == RW_SERIES)
        sink = walk.samples[0].v;
}

static void hash(void)
{
    for (unsigned i = 0; i < SERIES; i++)
        sink = (double)labels_hash(sets[i]);
}

/* ---- a block of 10,000 samples: the page of 20 hosts ---- */

enum { HOSTS = 20 };
static struct buf one, two, packed, unpacked;
static struct rw2_encoder encoder;
static struct zstd *zstd;

static void make_block(void)
{
    struct labels_builder b = {.scratch = &arena};
    for (unsigned h = 0; h < HOSTS; h++)
        for (unsigned i = 0; i < SERIES; i++) {
            builder_start(&b, sets[i]);
            builder_set(&b, STR("instance"), arena_printf(&arena, "host-%u.example.org:9100", h));
            rw_append_series(&one, builder_labels(&b, &arena), &(struct sample){1735689600123 + h, (double)(i * h) * 1.25}, 1);
        }
    builder_free(&b);
    for (unsigned i = 0; i < SERIES / 8; i++)
        rw2_families_set(&encoder.families, &(struct metadata){
            arena_printf(&arena, "node_thing_%u_seconds_total", i), STR("Seconds the thing spent in each mode."), STR(""),
            METRIC_COUNTER});
}

static void encode_2(void)
{
    struct err err;
    size_t n;
    buf_clear(&two);
    if (!rw2_encode(&encoder, buf_str(&one), true, &two, &n, &err))
        printf("%s\n", err.text);
}

static void pack(struct str bytes, bool z)
{
    buf_clear(&packed);
    if (z)
        compress_zstd(zstd, &packed, bytes, 1);
    else
        compress_snappy(&packed, bytes);
}
static void pack_one_snappy(void) { pack(buf_str(&one), false); }
static void pack_one_zstd(void) { pack(buf_str(&one), true); }
static void pack_two_snappy(void) { pack(buf_str(&two), false); }
static void pack_two_zstd(void) { pack(buf_str(&two), true); }
static void unpack_two(void)
{
    struct err err;
    buf_clear(&unpacked);
    if (!decompress(CODEC_SNAPPY, zstd, buf_str(&packed), 1 << 30, &unpacked, &err))
        printf("%s\n", err.text);
}
static void walk_two(void)
{
    rw2_walk_start(&walk, buf_str(&two));
    while (rw_walk_next(&walk) != RW_END)
        sink = walk.samples ? walk.samples[0].v : 0;
}

static void measure(const char *what, void (*run)(void))
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t start = clock_mono_ns();
        run();
        int64_t took = clock_mono_ns() - start;
        best = took < best ? took : best;
    }
    printf("%-44s %8.1f ns\n", what, (double)best / SERIES);
}

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void measure_block(const char *what, void (*run)(void))
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < ROUNDS / 10; i++) {
        int64_t start = cpu_ns();
        run();
        int64_t took = cpu_ns() - start;
        best = took < best ? took : best;
    }
    printf("%-44s %8.1f ns", what, (double)best / (SERIES * HOSTS));
    if (run == pack_one_snappy || run == pack_one_zstd || run == pack_two_snappy || run == pack_two_zstd)
        printf("  %5.1f bytes", (double)packed.n / (SERIES * HOSTS));
    printf("\n");
}

static void measure_blocks(void)
{
    zstd = zstd_new();
    make_block();
    encode_2();
    printf("a block of %d samples: %.0f bytes a sample as remote write 1.0, %.0f as 2.0 with metadata\n", SERIES * HOSTS,
           (double)one.n / (SERIES * HOSTS), (double)two.n / (SERIES * HOSTS));
    measure_block("1.0: snappy", pack_one_snappy);
    measure_block("1.0: snappy back", unpack_two);
    measure_block("1.0: zstd", pack_one_zstd);
    measure_block("2.0 from 1.0", encode_2);
    measure_block("2.0: snappy", pack_two_snappy);
    measure_block("2.0: zstd", pack_two_zstd);
    measure_block("2.0: walk", walk_two);
    rw2_encoder_free(&encoder);
    zstd_free(zstd);
    struct buf *all[] = {&one, &two, &packed, &unpacked};
    for (size_t i = 0; i < LEN(all); i++)
        buf_free(all[i]);
}

int main(void)
{
    arena_init(&arena, 0);
    make_page();
    make_labels();
    printf("model: per sample, %zu bytes of text a sample\n", page.n / SERIES);
    measure("exposition, known series", read_known);
    measure("exposition, any series", read_plain);
    measure("labels of a new series text", read_labels);
    measure("remote write, append", append);
    rw_walk_init(&walk);
    measure("remote write, walk", walk_body);
    measure("labels_hash", hash);
    measure_blocks();
    rw_walk_free(&walk);
    buf_free(&page);
    buf_free(&body);
    arena_free(&arena);
    return 0;
}
