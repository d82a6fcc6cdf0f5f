// SPDX-License-Identifier: Apache-2.0
/* Any bytes as the pages of a target, one after the other (a zero byte ends a page), with texts kept, then with a
 * budget so small that most are cold. What a sink is given is canonical; both write the same number of samples and
 * markers; and in the end nothing is left.
 */
#include "scraper/page/page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct count_values { struct sink sink; size_t samples, markers; };

static enum sink_status begin(struct sink *s UNUSED, const struct sink_batch *b UNUSED) { return SINK_OK; }
static void series(struct sink *s, const struct series_in *in)
{
    struct count_values *c = (struct count_values *)s;
    struct labels checked;
    if (!labels_check(in->labels.p, in->labels.n, &checked) || checked.count != in->labels.count)
        __builtin_trap();
    c->samples++;
    c->markers += is_stale(in->samples[0].v);
}
static void metadata(struct sink *s UNUSED, const struct metadata *m UNUSED) {}
static void commit(struct sink *s UNUSED, void (*done)(void *, bool) UNUSED, void *arg UNUSED) {}
static const struct sink_ops ops = {begin, series, metadata, commit, NULL};

static void show(struct page *p, const struct target_labels *t, struct template_group *c, struct scrape_cache *last, struct str text,
                 int64_t time)
{
    enum page_state state;
    page_start(p, 1, t, c, last, NULL, (struct page_text){.text = text}, time);
    while ((state = page_parse(p, 100)) == PAGE_MORE) {
    }
    if (state == PAGE_INVALID) {
        while (page_end(p, 100)) {
        }
        markers_end_all(&p->markers, 1, t, last, NULL, time);
        return;
    }
    while (page_compare(p, 8192)) {
    }
    while (page_write(p)) {
    }
    while (page_mark_vanished(p, time)) {
    }
    while (page_update_cache(p, 8192)) {
    }
    while (page_end(p, 100)) {
    }
}

static struct count_values run(struct str pages, size_t budget, bool strict)
{
    static const struct label own[] = {{{"instance", 8}, {"i", 1}}, {{"job", 3}, {"j", 1}}};
    struct scrape_job conf = {.honor_timestamps = true, .broken_lines_fail = strict};
    struct running_job job = {.conf = &conf, .refs = 1};
    struct count_values sink = {.sink.ops = &ops};
    struct interner in;
    struct page page;
    struct arena arena = {0};
    struct scrape_cache last = {0};
    struct target_labels t;
    struct labels wire = labels_from(&arena, own, LEN(own));
    target_labels_init(&t, arena_alloc(&arena, target_labels_size(wire.count)), wire);
    interner_init(&in);
    in.private_max = budget;
    page_init(&page, &in, &sink.sink);
    struct template_group *c = template_group_get(&in, &job, &t, 0);
    int64_t time = 0;
    for (struct str one; str_cut(&pages, 0, &one); )
        show(&page, &t, c, &last, one, ++time);
    scrape_cache_clear(&last, &in);
    template_group_unref(&in, c);
    if (in.private_bytes != 0 || in.template_groups.n != 0)
        __builtin_trap();
    page_free(&page);
    interner_free(&in);
    arena_free(&arena);
    return sink;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str pages = str_n(data, n);
    for (int strict = 0; strict < 2; strict++) {
        struct count_values kept = run(pages, SIZE_MAX, strict), cold = run(pages, 600, strict);
        if (kept.samples != cold.samples || kept.markers != cold.markers)
            __builtin_trap();
    }
    return 0;
}
