// SPDX-License-Identifier: Apache-2.0
/* What a scraped page costs once its series are known: parsing, staging, splicing and handing to a sink that looks at the
 * length only. A page of 1,000 series, for one target whose texts are kept and for one whose texts are beyond the budget.
 */
#include "base/text/num.h"
#include "base/text/duration.h"
#include "scraper/page/page.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

enum { SERIES = 1000, ROUNDS = 2000 };

struct counter { struct sink sink; size_t bytes, samples; };
static enum sink_status begin(struct sink *s UNUSED, const struct sink_batch *b UNUSED) { return SINK_OK; }
static void series(struct sink *s, const struct series_in *in)
{
    struct counter *c = (struct counter *)s;
    c->bytes += in->labels.n;
    c->samples += in->n_samples;
}
static void metadata(struct sink *s UNUSED, const struct metadata *m UNUSED) {}
static void commit(struct sink *s UNUSED, void (*done)(void *, bool) UNUSED, void *arg UNUSED) {}
static const struct sink_ops ops = {begin, series, metadata, commit, NULL};

struct bench { struct counter sink; struct interner interner; struct page page; struct running_job job; struct arena arena; };
struct source { struct target_labels labels; struct template_group *cohort; struct scrape_cache last; };

static void page_text(struct buf *out, int target, int round, int lines)
{
    buf_clear(out);
    for (int i = 0; i < lines; i++)
        buf_printf(out, "node_cpu_seconds_total{cpu=\"%d\",mode=\"mode%d\",own=\"%d\"} %d.%02d\n", i / 10, i % 10, target, 1000 + round + i, i % 100);
}

static void source_open(struct bench *b, struct source *s, int i)
{
    struct str instance = arena_printf(&b->arena, "host%d:9100", i);
    struct labels l = labels_from(&b->arena, (struct label[]){{STR("instance"), instance}, {STR("job"), STR("node")}}, 2);
    *s = (struct source){0};
    target_labels_init(&s->labels, mem_alloc(target_labels_size(l.count)), l);
    s->cohort = template_group_get(&b->interner, &b->job, &s->labels, 0);
}

static void scrape(struct bench *b, struct source *s, struct str text, int64_t t)
{
    page_start(&b->page, 1 + (uint64_t)(uintptr_t)s, &s->labels, s->cohort, &s->last, NULL, (struct page_text){.text = text}, t);
    if (page_parse(&b->page, SIZE_MAX) != PAGE_COMPLETE)
        exit(1);
    while (page_compare(&b->page, 8192)) {
    }
    while (page_write(&b->page)) {
    }
    while (page_update_cache(&b->page, 8192)) {
    }
    while (page_end(&b->page, 8192)) {
    }
}

static size_t heap(void) { return mallinfo2().uordblks; }

static void known_path(struct bench *b, const char *name)
{
    static struct buf pages[2];
    struct source s;
    source_open(b, &s, 0);
    for (int i = 0; i < 2; i++)
        page_text(&pages[i], 0, i, SERIES);
    for (int i = 0; i < 2; i++)
        scrape(b, &s, buf_str(&pages[i]), i);
    size_t before = heap();
    int64_t start = clock_cpu_ns();
    for (int i = 0; i < ROUNDS; i++)
        scrape(b, &s, buf_str(&pages[i % 2]), i);
    double ns = (double)(clock_cpu_ns() - start) / (double)ROUNDS / SERIES;
    printf("scrape_%s %.0f ns/sample, %.0f MB/s, heap grew %zd bytes\n", name, ns, (double)pages[0].n / SERIES / ns * 1e3, (ssize_t)(heap() - before));
}

/* Bytes that the heap has grown by for each series of so many targets, of which the lane's budget for texts that only
 * one target exposes takes a part. */
static void memory(struct bench *b, const char *name, int targets, int lines, bool shared)
{
    struct source *sources = mem_zalloc((size_t)targets * sizeof *sources);
    struct buf text = {0};
    for (int i = 0; i < targets; i++)
        source_open(b, &sources[i], i);
    page_text(&text, 0, 0, lines);
    size_t before = heap();
    for (int i = 0; i < targets; i++) {
        page_text(&text, shared ? 0 : i, 0, lines);
        scrape(b, &sources[i], buf_str(&text), 0);
    }
    mem_release_all(&b->interner.release);
    double grown = (double)(heap() - before), series = (double)targets * lines;
    printf("scrape_memory_%s %.1f bytes/series, %.1f without the budget, for %d targets of %d series\n", name, grown / series,
           (grown - (double)b->interner.private_bytes) / series, targets, lines);
    buf_free(&text);
    for (int i = 0; i < targets; i++)
        scrape_cache_clear(&sources[i].last, &b->interner);
    mem_free(sources);
}

static void bench_open(struct bench *b, size_t budget)
{
    static const struct scrape_job conf = {.honor_timestamps = true, .broken_lines_fail = true};
    *b = (struct bench){.sink.sink.ops = &ops, .job.conf = &conf};
    refs_init(&b->job.refs);
    interner_init(&b->interner);
    b->interner.private_max = budget;
    page_init(&b->page, &b->interner, &b->sink.sink);
}

int main(void)
{
    struct bench b;
    bench_open(&b, INTERN_PRIVATE_MAX);
    known_path(&b, "known");
    bench_open(&b, 0);
    known_path(&b, "beyond_budget");
    for (int shared = 1; shared >= 0; shared--) {
        const char *name = shared ? "shared_texts" : "own_texts";
        bench_open(&b, INTERN_PRIVATE_MAX);
        memory(&b, name, 200, 1000, shared);
        bench_open(&b, INTERN_PRIVATE_MAX);
        memory(&b, name, 10000, 100, shared);
    }
    return 0;
}
