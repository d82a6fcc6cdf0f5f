// SPDX-License-Identifier: Apache-2.0
/* Work on complete responses, in slices of the lane's loop: one page after the other, each step by step, until the
 * slice ends. Series of large targets that failed or were removed, and what earlier pages have left, go first. */
#include "base/hash.h"
#include "base/text/duration.h"
#include "scraper/ending.h"
#include "scraper/scrape_stats.h"
#include "scraper/stream.h"

enum {
    STEP_LINES = 512,
    COMPARE_LINES = 256,       /* lines per step of which only ids are compared; each may touch a page of a new table */
    METADATA_FAMILIES = 500,   /* per step, all of which may be new */
};

/* ---- metadata ---- */

static void send_new_family(void *arg, const struct metadata *m)
{
    struct scrape_lane *l = arg;
    sink_metadata(l->sink, m);
}

static void set_metadata(struct scrape_lane *l, struct target *t, struct metadata_list *list)
{
    struct metadata_list *before = t->metadata;
    t->metadata = list;
    metadata_unref(&l->metadata, before);
}

/* Families that are new to the lane are sent at once. */
static bool store_metadata(struct scrape_lane *l, struct target *t)
{
    enum { ABOUT = 20000 };
    struct sink_batch batch = {.source = t->source, .route = t->job->conf->route, .bytes = ABOUT};
    bool open = sink_begin(l->sink, &batch) == SINK_OK;
    bool more = metadata_store_some(&l->metadata_builder, METADATA_FAMILIES, open ? send_new_family : NULL, l);
    if (open)
        sink_commit(l->sink, NULL, NULL);
    if (!more)
        set_metadata(l, t, metadata_build_end(&l->metadata_builder));
    return more;
}

/* True while there is more to do. */
static bool update_metadata(struct scrape_lane *l, struct target *t, const struct page *p)
{
    uint64_t hash = p->result.metadata_hash, route = t->job->conf->route;
    if (hash && route)
        hash = hash_bytes((const uint64_t[]){hash, route}, 2 * sizeof hash);
    if (l->metadata_builder.store)
        return metadata_collect_some(&l->metadata_builder, STEP_LINES) || store_metadata(l, t);
    if ((t->metadata ? t->metadata->hash : 0) == hash)
        return false;
    struct metadata_list *known = hash ? metadata_find(&l->metadata, hash) : NULL;
    if (known || hash == 0) {
        set_metadata(l, t, known);
        return false;
    }
    metadata_build_start(&l->metadata_builder, &l->metadata, hash, route, page_reader_metadata_text(&p->reader), p->reader.metadata,
                         p->reader.n_metadata);
    return true;
}

/* ---- the steps of a page ---- */

static void count_page(const struct page *p)
{
    const struct page_result *r = &p->result;
    if (p->markers.markers)
        stats_add(&scrape_stats, STALE_MARKERS, (double)p->markers.markers);
    if (p->markers.busy)
        stats_add(&scrape_stats, SAMPLES_BUSY, (double)p->markers.busy);
    if (r->busy)
        stats_add(&scrape_stats, SAMPLES_BUSY, (double)r->busy);
    if (r->duplicates)
        stats_add(&scrape_stats, DUPLICATES, (double)r->duplicates);
    if (r->invalid_lines)
        stats_add(&scrape_stats, LINES_INVALID, (double)r->invalid_lines);
    if (r->over_series_limit)
        stats_add(&scrape_stats, OVER_SERIES_LIMIT, (double)r->over_series_limit);
    if (r->uncached_lines)
        stats_add(&scrape_stats, SERIES_COLD, (double)r->uncached_lines);
}

bool scrape_within_limit(const struct target *t, struct page_result *r)
{
    uint32_t limit = t->settings.sample_limit;
    size_t samples = t->job->conf->page.limit_counts_lines ? r->post_relabeling : r->post_relabeling - r->duplicates;
    if (limit == 0 || samples <= limit)
        return true;
    stats_add(&scrape_stats, SAMPLE_LIMIT, 1);
    stats_add(&scrape_stats, P_SAMPLE_LIMIT, 1);
    return err_set(&r->err, ERR_LIMIT, "sample limit exceeded: %zu samples, sample_limit is %u", samples, limit);
}

/* Lets the next response be read. */
static void leave_page(struct scrape_lane *l, struct scrape *s)
{
    list_remove(&s->node);
    l->reading = false;
}

struct page *scrape_page(const struct scrape *s) { return s->stream ? &s->stream->page : &s->target->lane->page; }

/* The page ends in slices: it refers to neither the scrape nor the target any more. That of a stream has released most
 * already, and ends with the scrape. */
static void end_page(struct scrape_lane *l, struct scrape *s)
{
    leave_page(l, s);
    l->page_ends = s->stream == NULL;
}

static void page_failed(struct scrape_lane *l, struct scrape *s)
{
    const struct page_result *r = &scrape_page(s)->result;
    struct err err = r->err;
    end_page(l, s);
    scrape_fail(s, r, &err);
}

static void page_done(struct scrape_lane *l, struct scrape *s)
{
    const struct page_result *p = &scrape_page(s)->result;
    bool again = p->digest.n > 0 && p->digest.n == s->target->ended.n && p->digest.sum == s->target->ended.sum;
    struct scrape_report r = {.up = 1, .scraped = (double)p->scraped, .post_relabeling = (double)p->post_relabeling,
                              .added = again ? 0 : (double)p->added, .over_series_limit = (double)p->over_series_limit};
    s->target->series_t = s->t;
    count_page(scrape_page(s));
    stats_add(&scrape_stats, ROWS_READ, (double)p->scraped);
    stats_observe(&scrape_samples, (double)p->scraped);
    stats_observe(&scrape_sizes, (double)(s->stream ? s->stream->read : s->body.n));
    end_page(l, s);
    scrape_publish(s, &r, NULL);
}

struct series_limit *scrape_series_limit(struct target *t)
{
    if (t->settings.series_limit == 0) {
        if (t->series)
            series_limit_clear(t->series);
        mem_free(t->series);
        return t->series = NULL;
    }
    if (t->series == NULL)
        t->series = mem_zalloc(sizeof *t->series);
    t->series->max = t->settings.series_limit;
    return t->series;
}

static void read_page(struct scrape_lane *l, struct scrape *s, struct page_text page)
{
    struct target *t = s->target;
    const struct scrape_job *conf = t->job->conf;
    page_start(&l->page, t->source, &t->labels, t->templates, &t->last, scrape_series_limit(t), page, s->t);
    l->page.exemplars.starts = (struct start_times){
        .sent = conf->start_times.sent, .zeros = conf->start_times.zeros,
        .after = t->series_t > 0 ? t->series_t : t->span.from > l->since ? t->span.from : l->since};
    s->step = STEP_PARSE;
}

/* Makes a page from the response first: text from protobuf, or a rewritten text. */
static bool convert_some(struct scrape_lane *l, struct scrape *s)
{
    enum { METRICS = 100 }; /* each may be several series */
    bool proto = s->format == SCRAPE_PROTOBUF;
    enum copy_state state = proto ? proto_page_convert(&l->converted, METRICS)
                                  : page_rewrite_some(&l->rewritten, STEP_LINES);
    const struct page_copy *copy = proto ? &l->converted.copy : &l->rewritten.copy;
    if (state == COPY_MORE)
        return true;
    if (state == COPY_COMPLETE) {
        read_page(l, s, proto ? page_copy_text(copy, EXPOSITION_TEXT) : page_rewrite_text(&l->rewritten));
        return true;
    }
    leave_page(l, s);
    if (copy->err.kind == ERR_LIMIT)
        stats_add(&scrape_stats, P_BUCKET_LIMIT, 1);
    scrape_fail(s, NULL, &copy->err);
    return false;
}

static bool parse_some(struct page *p, bool *ok)
{
    enum page_state state = page_parse(p, STEP_LINES);
    if (state == PAGE_INVALID && p->result.err.kind == ERR_LIMIT)
        stats_add(&scrape_stats, LABEL_LIMIT, 1);
    *ok = state != PAGE_INVALID;
    return state == PAGE_MORE;
}

/* A made page has more bytes than the response: protobuf has the labels of a histogram once, and labels are added.
 * body_size_limit applies to the response; this limits the page that a hostile response becomes. */
static size_t made_page_max(const struct target *t)
{
    uint64_t most = 4 * (uint64_t)t->settings.body_max + (64 << 20);
    return most < UINT32_MAX ? (size_t)most : UINT32_MAX;
}

static void begin_protobuf(struct scrape_lane *l, struct scrape *s)
{
    const struct running_job *job = s->target->job;
    const struct scrape_job *conf = job->conf;
    proto_page_start(&l->converted, buf_str(&s->body), &(struct proto_page_options){
        .native = conf->scrape_native_histograms, .classic_too = conf->always_scrape_classic_histograms,
        .custom = conf->convert_classic_histograms, .starts = conf->start_times.sent || conf->start_times.zeros,
        .family_labels = conf->type_and_unit_labels, .own_times = conf->honor_timestamps, .max_schema = job->max_schema,
        .bucket_limit = (uint32_t)conf->native_histogram_bucket_limit, .t = s->t,
        .max_bytes = made_page_max(s->target)});
}

void scrape_rewrite_options(const struct scrape *s, struct page_rewrite_options *options)
{
    const struct scrape_job *conf = s->target->job->conf;
    *options = (struct page_rewrite_options){
        .custom = conf->convert_classic_histograms, .classic_too = conf->always_scrape_classic_histograms,
        .starts = conf->start_times.sent || conf->start_times.zeros, .family_labels = conf->type_and_unit_labels,
        .lax = conf->page.lax, .skips_lines = !conf->broken_lines_fail, .own_times = conf->honor_timestamps,
        .bucket_limit = (uint32_t)conf->native_histogram_bucket_limit, .t = s->t,
        .max_bytes = made_page_max(s->target)};
}

/* False: the page is read as it is. */
static bool begin_rewrite(struct scrape_lane *l, struct scrape *s, enum exposition_format format)
{
    struct page_rewrite_options options;
    scrape_rewrite_options(s, &options);
    if (!page_rewrite_needed(&options, format))
        return false;
    page_rewrite_start(&l->rewritten, buf_str(&s->body), format, &options);
    return true;
}

static void begin_page(struct scrape_lane *l, struct scrape *s)
{
    /* an empty response has no series, and no end of OpenMetrics */
    enum exposition_format format = s->body.n > 0 ? scrape_text_format(s->format) : EXPOSITION_TEXT;
    if (s->handed)
        read_page(l, s, (struct page_text){.text = buf_str(&s->body), .format = EXPOSITION_TEXT});
    else if (s->format == SCRAPE_PROTOBUF)
        begin_protobuf(l, s);
    else if (!begin_rewrite(l, s, format))
        read_page(l, s, (struct page_text){.text = buf_str(&s->body), .format = format});
}

/* ---- scrapes kept for other members (standby.h) ---- */

static bool keep_some(struct scrape_lane *l, struct scrape *s)
{
    if (standby_keep_some(s))
        return true;
    leave_page(l, s);
    scrape_kept(s);
    return false;
}

static void fail_in_turn(struct scrape_lane *l, struct scrape *s)
{
    struct err err = {0};
    scrape_failure(s, &err);
    leave_page(l, s);
    scrape_fail(s, NULL, &err);
}

static bool unpack_some(struct scrape_lane *l, struct scrape *s)
{
    struct err err;
    bool ok;
    if (standby_unpack_some(s, &ok))
        return true;
    if (!ok) {
        err_set(&err, ERR_INTERNAL, "a scrape that was kept for another member cannot be decompressed");
        leave_page(l, s);
        scrape_fail(s, NULL, &err);
        return false;
    }
    s->step = s->failure ? STEP_FAIL : STEP_CONVERT;
    if (!s->failure)
        begin_page(l, s);
    return true;
}

/* Executes one step of the current page; false when it is finished. */
static bool page_work_step(struct scrape_lane *l, struct scrape *s)
{
    struct page *p = scrape_page(s);
    bool more = false, ok = true;
    switch (s->step) {
    case STEP_CONVERT: return convert_some(l, s);
    case STEP_PARSE: more = parse_some(p, &ok); break;
    case STEP_COMPARE: /* finds the duplicates, which do not count as samples */
        more = page_compare(p, COMPARE_LINES);
        ok = more || scrape_within_limit(s->target, &p->result);
        break;
    case STEP_LIMIT: more = page_limit(p, COMPARE_LINES); break;
    case STEP_WRITE: more = !s->mute && page_write(p); break;
    case STEP_MARK: more = !s->mute && page_mark_vanished(p, s->t); break;
    case STEP_METADATA: more = !s->handed && update_metadata(l, s->target, p); break;
    case STEP_UPDATE: more = page_update_cache(p, COMPARE_LINES); break;
    case STEP_KEEP: return keep_some(l, s);
    case STEP_UNPACK: return unpack_some(l, s);
    case STEP_FAIL: fail_in_turn(l, s); return false;
    }
    if (!ok)
        page_failed(l, s);
    else if (!more && s->step == STEP_UPDATE)
        page_done(l, s);
    else
        s->step += !more;
    return l->reading;
}

/* Kept scrapes are replayed first: newer ones of their targets may wait. */
static struct scrape *next_page(struct scrape_lane *l)
{
    struct scrape *s = list_empty(&l->waiting) ? NULL : CONTAINER(l->waiting.next, struct scrape, node);
    if (l->reading || l->stopping)
        return l->reading ? s : NULL;
    if (s && s->stream == NULL)
        standby_replay_before(s);
    struct scrape *replay = standby_next_replay(l);
    if (replay)
        list_push_front(&l->waiting, &replay->node);
    else if (s && s->stream == NULL && standby_keeps(s)) /* a reload may come while a stream is written */
        s->step = STEP_KEEP;
    else if (s && s->failure)
        s->step = STEP_FAIL;
    else if (s && s->stream == NULL)
        begin_page(l, s);
    l->reading = replay || s;
    return replay ? replay : s;
}

/* ---- slices ---- */

/* One step of what is to be done first: ending series, so that no marker follows a newer sample; releasing what pages
 * and targets have left, so that not much of it waits; the page. False: nothing is left to do. */
static bool work_step(struct scrape_lane *l, int64_t until)
{
    if (!endings_work(l, until))
        return true;
    if (l->page_ends) {
        l->page_ends = page_end(&l->page, COMPARE_LINES);
        if (!l->page_ends) {
            page_copy_release(&l->converted.copy, &l->interner.release);
            page_copy_release(&l->rewritten.copy, &l->interner.release);
        }
        return true;
    }
    if (mem_release_some(&l->interner.release) || metadata_free_unused(&l->metadata, METADATA_FAMILIES))
        return true;
    l->stream_next = !l->stream_next;
    if (l->stream_next && scrape_streams_work(l))
        return true;
    struct scrape *s = next_page(l);
    if (s)
        page_work_step(l, s);
    return s || scrape_streams_work(l);
}

void scrape_work(struct scrape_lane *l)
{
    int64_t until = loop_slice_end(l->loop);
    while (work_step(l, until))
        if (clock_mono_ns() >= until) {
            loop_post(l->loop, &l->work);
            return;
        }
}

bool scrape_finish_page(struct scrape_lane *l, int64_t until)
{
    for (;;) {
        if (l->reading)
            page_work_step(l, CONTAINER(l->waiting.next, struct scrape, node));
        else if (l->page_ends)
            l->page_ends = page_end(&l->page, COMPARE_LINES);
        else
            return true;
        if (clock_mono_ns() >= until)
            return false;
    }
}

const struct target *scrape_being_read(const struct scrape_lane *l)
{
    return l->reading ? CONTAINER(l->waiting.next, struct scrape, node)->target : NULL;
}
