// SPDX-License-Identifier: Apache-2.0
#include "scraper/stream.h"

#include "scraper/ending.h"
#include "scraper/scrape_stats.h"

#include <string.h>

static bool stream_wanted(const struct scrape *s)
{
    const struct target *t = s->target;
    const struct scrape_job *conf = t->job->conf;
    struct page_rewrite_options rewrite;
    if (!conf->stream_parse || s->format == SCRAPE_PROTOBUF)
        return false;
    if (conf->cluster.standby || t->hold || !list_empty(&t->kept)) /* it may be kept, or earlier ones are sent first */
        return false;
    scrape_rewrite_options(s, &rewrite);
    return !page_rewrite_needed(&rewrite, scrape_text_format(s->format));
}

void scrape_stream_begin(struct scrape *s, const struct client_reply *r)
{
    struct target *t = s->target;
    struct scrape_lane *l = t->lane;
    if (!stream_wanted(s))
        return;
    scrape_shift_start(s, r);
    struct scrape_stream *x = s->stream = mem_zalloc(sizeof *x);
    x->scrape = s;
    page_init(&x->page, &l->interner, l->sink);
    page_start(&x->page, t->source, &t->labels, t->templates, &t->last, scrape_series_limit(t),
               (struct page_text){.format = scrape_text_format(s->format)}, s->t);
    page_stream_begin(&x->page);
}

/* ---- what has arrived ---- */

static void stream_to_read(struct scrape *s)
{
    struct scrape_lane *l = s->target->lane;
    if (!list_linked(&s->stream->node))
        list_push_back(&l->streams, &s->stream->node);
    loop_post(l->loop, &l->work);
}

void scrape_stream_take(struct scrape *s)
{
    struct scrape_stream *x = s->stream;
    stream_to_read(s);
    if (x->paused || s->body.n - x->at < STREAM_AHEAD)
        return;
    x->paused = true;
    client_pause(s->call, true);
}

void scrape_stream_take_end(struct scrape *s)
{
    s->stream->complete = true;
    s->stream->paused = false;
    stream_to_read(s);
}

/* ---- the end ---- */

/* The markers need a time after the samples that were written. */
void scrape_stream_end_series(struct scrape *s, bool last)
{
    struct scrape_cache written = {0};
    if (s->stream->page.next.templates == NULL)
        return;
    page_stream_take(&s->stream->page, &written);
    ending_add_stream(s->target, &written, last, s->t + 1);
}

void scrape_stream_free(struct scrape *s)
{
    struct scrape_stream *x = s->stream;
    struct interner *in = &s->target->lane->interner;
    struct scrape_cache rest = {0};
    if (x == NULL)
        return;
    if (list_linked(&x->node))
        list_remove(&x->node);
    if (x->page.next.templates) {
        page_stream_take(&x->page, &rest);
        scrape_cache_clear(&rest, in);
    }
    while (page_end(&x->page, SIZE_MAX)) {
    }
    page_free(&x->page);
    mem_free(x);
    s->stream = NULL;
}

static void stream_fail(struct scrape *s, const struct err *err)
{
    struct err why = *err;
    if (s->call)
        client_cancel(s->call);
    s->call = NULL;
    scrape_fail(s, &s->stream->page.result, &why);
}

static void stream_done(struct scrape *s)
{
    struct scrape_lane *l = s->target->lane;
    list_remove(&s->stream->node);
    page_stream_complete(&s->stream->page);
    s->step = STEP_COMPARE;
    list_push_back(&l->waiting, &s->node);
}

/* ---- a step ---- */

/* What can be read: complete lines, or all of a complete response. */
static struct str stream_text(const struct scrape *s)
{
    const struct scrape_stream *x = s->stream;
    struct str rest = str_skip(buf_str(&s->body), x->at);
    const char *eol = x->complete || rest.n == 0 ? NULL : memrchr(rest.p, '\n', rest.n);
    return x->complete ? rest : str_first(rest, eol ? (size_t)(eol + 1 - rest.p) : 0);
}

/* Makes room for what will arrive. */
static void stream_await(struct scrape *s)
{
    struct scrape_stream *x = s->stream;
    struct err err;
    list_remove(&x->node);
    s->body.n -= x->at;
    memmove(s->body.p, s->body.p + x->at, s->body.n);
    x->at = 0;
    if (s->body.n > STREAM_LINE_MAX) {
        err_set(&err, ERR_LIMIT, "a line is longer than %d bytes", STREAM_LINE_MAX);
        stream_fail(s, &err);
        return;
    }
    if (x->paused) {
        x->paused = false;
        client_pause(s->call, false);
    }
}

static void stream_step(struct scrape *s)
{
    struct scrape_stream *x = s->stream;
    struct page_result *r = &x->page.result;
    size_t read, lines = x->page.reader.same ? PAGE_BATCH : PAGE_BATCH_CHANGED;
    struct str text = stream_text(s);
    enum page_state state = page_stream_parse(&x->page, text, x->complete, lines, &read);
    x->at += read;
    x->read += read;
    if (state == PAGE_INVALID && r->err.kind == ERR_LIMIT)
        stats_add(&scrape_stats, LABEL_LIMIT, 1);
    if (state == PAGE_INVALID || !scrape_within_limit(s->target, r)) {
        stream_fail(s, &r->err);
        return;
    }
    page_stream_write(&x->page);
    if (state == PAGE_COMPLETE && x->complete)
        stream_done(s);
    else if (state == PAGE_COMPLETE)
        stream_await(s);
}

bool scrape_streams_work(struct scrape_lane *l)
{
    struct list *node = list_pop_front(&l->streams);
    if (node == NULL)
        return false;
    list_push_back(&l->streams, node);
    stream_step(CONTAINER(node, struct scrape_stream, node)->scrape);
    return true;
}
