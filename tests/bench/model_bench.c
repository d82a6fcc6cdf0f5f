// SPDX-License-Identifier: Apache-2.0
/* What a sample costs on its way through the model: reading it from a page, and writing and reading it in a remote write
 * body. Nanoseconds per sample, the least of many rounds. */
#include "base/text/num.h"
#include "base/text/duration.h"
#include "model/exposition.h"
#include "model/remote_write.h"

#include <stdio.h>

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
    rw_walk_free(&walk);
    buf_free(&page);
    buf_free(&body);
    arena_free(&arena);
    return 0;
}
