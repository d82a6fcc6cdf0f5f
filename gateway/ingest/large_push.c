// SPDX-License-Identifier: Apache-2.0
/* Stores large pushed bodies in slices, one per turn, so that scrapes continue meanwhile:
 *
 * 1. A body is queued on its lane until it is the first; only the first is decompressed, by a worker if it exceeds
 *    LANE_DECOMPRESS_BYTES.
 * 2. It is walked to its end to validate it, since committed batches cannot be aborted.
 * 3. It is stored in batches of about BATCH_BYTES, or less if the time of the turn is up; the response is sent when the last one is durable.
 */
#include "gateway/ingest/write_internal.h"

#include "base/http/via.h"
#include "base/text/duration.h"
#include "gateway/ingest/ingest_rate.h"
#include "gateway/query/worker.h"

enum {
    LANE_DECOMPRESS_BYTES = 1 << 20, /* limit of bodies that are decompressed on the lane: 1 ms */
    /* Each batch costs other lanes a wake-up. 32 KiB of series that are new to the recent store take 2 ms. */
    BATCH_BYTES = 256 << 10, BATCH_BYTES_RECENT = 32 << 10,
    BATCH_ITEMS = 5000,              /* samples or histograms; a part of one series has no more */
    STEP_ITEMS = 64,                 /* series walked between two readings of the clock */
    STEP_FIELDS = 16384,             /* samples and labels likewise */
    STEP_BYTES = 1 << 20             /* bytes that symbols of 2.0 expand to likewise */
};

struct push { /* with a large body */
    struct http_request *r;
    struct write_buffers *buffers;
    struct list node;
    enum { PUSH_QUEUED, PUSH_DECOMPRESS /* on a worker */, PUSH_VALIDATE, PUSH_STORE, PUSH_STORED } phase;
    struct worker_task decompress;
    struct err decompress_err; /* kind ERR_NONE: decompressed */
    struct buf body;
    struct rw_walk walk;
    struct write_counts n;
    enum rw_item item;         /* RW_SERIES: a series is being stored, of which so many samples and histograms are */
    size_t samples, hists;
    size_t pending;            /* batches that are not yet as durable as `durability` requires */
    bool begun, failed;        /* a batch has started; a batch could not be stored */
};

static void push_free_body(struct push *p)
{
    buf_spare_put_or_release(&p->buffers->lane->spare, &p->buffers->release, &p->body);
}

static void push_free(struct push *p)
{
    if (list_linked(&p->node))
        list_remove(&p->node);
    rw_walk_free(&p->walk);
    push_free_body(p);
    mem_free(p);
}

static void push_refuse(struct push *p, const struct err *err)
{
    struct http_request *r = p->r;
    struct err why = *err; /* it may be the push's own */
    push_free(p);
    write_refuse(r, &why);
}

/* After all batches are durable or have failed. */
static void push_respond(struct push *p)
{
    struct http_request *r = p->r;
    bool stored = !p->failed;
    write_report(r, &p->n);
    push_free(p);
    write_respond(r, stored);
}

static void on_batch_stored(void *arg, bool ok)
{
    struct push *p = arg;
    p->failed = p->failed || !ok;
    if (--p->pending == 0 && p->phase == PUSH_STORED)
        push_respond(p);
}

/* Ends the push after its last batch, or after a failure. */
static void push_end(struct push *p)
{
    p->phase = PUSH_STORED;
    list_remove(&p->node);
    push_free_body(p);
    write_count_ingested(&p->n);
    if (p->pending == 0)
        push_respond(p);
}

/* err: why the body could not be decompressed, or NULL. */
static void push_decompressed(struct push *p, const struct err *err)
{
    if (err) {
        stats_add(&write_stats, WRITE_READ_ERRORS, 1);
        push_refuse(p, err);
        return;
    }
    write_walk_start(&p->walk, buf_str(&p->body), &p->n);
    p->phase = PUSH_VALIDATE;
}

static void push_decompress_on_worker(struct worker_task *task)
{
    struct push *p = CONTAINER(task, struct push, decompress);
    struct zstd *zstd = NULL;
    if (write_decompress(p->r, &zstd, write_max_body(p->buffers), &p->body, &p->decompress_err))
        p->decompress_err.kind = ERR_NONE;
    zstd_free(zstd);
}

static void on_push_decompressed(struct worker_task *task)
{
    struct push *p = CONTAINER(task, struct push, decompress);
    struct write_buffers *w = p->buffers;
    if (services_ready(w->services)) {
        push_decompressed(p, p->decompress_err.kind == ERR_NONE ? NULL : &p->decompress_err);
    } else {
        p->failed = true;
        push_end(p);
    }
    loop_post(w->lane->loop, &w->work);
}

static void push_decompress(struct push *p)
{
    struct write_buffers *w = p->buffers;
    size_t max = write_max_body(w), here = max < LANE_DECOMPRESS_BYTES ? max : LANE_DECOMPRESS_BYTES;
    struct err err;
    p->body = buf_spare_take(&w->lane->spare);
    bool ok = write_decompress(p->r, &w->zstd, here, &p->body, &err);
    if (ok || err.kind != ERR_TOO_LARGE || here == max) {
        push_decompressed(p, ok ? NULL : &err);
        return;
    }
    p->phase = PUSH_DECOMPRESS;
    p->decompress = (struct worker_task){.class = WORKER_PUSH, .run = push_decompress_on_worker,
                                         .done = on_push_decompressed, .loop = w->lane->loop};
    if (worker_submit(w->services->workers, &p->decompress))
        return;
    err_set(&err, ERR_UNAVAILABLE, "cannot start a worker thread to decompress the body; retry later");
    err.retry_after = RETRY_SECONDS;
    push_refuse(p, &err);
}

static void push_validate(struct push *p)
{
    enum rw_item item = RW_SERIES;
    size_t expanded = p->walk.expanded;
    for (size_t i = 0; i < STEP_ITEMS && p->walk.expanded - expanded < STEP_BYTES && item != RW_END; i++) {
        item = rw_walk_some(&p->walk, STEP_FIELDS / STEP_ITEMS);
        if (item == RW_ERROR) {
            struct err err = p->walk.err;
            stats_add(&write_stats, WRITE_UNMARSHAL_ERRORS, 1);
            push_refuse(p, &err);
            return;
        }
    }
    if (item == RW_END) {
        rw_walk_again(&p->walk);
        p->item = RW_METADATA;
        p->phase = PUSH_STORE;
    }
}

/* Stores the next part of the current series. */
static void push_series_part(struct push *p, struct sink *sink)
{
    struct rw_walk *w = &p->walk;
    size_t samples = w->n_samples - p->samples, hists = w->n_hists - p->hists;
    samples = samples < BATCH_ITEMS ? samples : BATCH_ITEMS;
    hists = samples > 0 ? 0 : hists < BATCH_ITEMS ? hists : BATCH_ITEMS;
    bool last = p->samples + samples == w->n_samples && p->hists + hists == w->n_hists;
    struct series_in in = {.labels = w->labels, .samples = w->samples + p->samples, .n_samples = samples,
                           .starts = w->starts ? w->starts + p->samples : NULL,
                           .hists = w->hists + p->hists, .exemplars = w->exemplars,
                           .n_exemplars = last ? w->n_exemplars : 0};
    in.n_hists = write_drop_malformed(p->buffers, w, w->hists + p->hists, hists, &p->n);
    p->samples += samples;
    p->hists += hists;
    write_store_series(sink, &in, &p->n);
    if (last)
        p->item = RW_METADATA; /* any value but RW_SERIES */
}

/* Fills a batch of at most `bytes`; false at the end of the body. */
static bool push_batch(struct push *p, struct sink *sink, size_t bytes, int64_t until)
{
    struct rw_walk *w = &p->walk;
    const uint8_t *from = w->p;
    size_t expanded = w->expanded; /* far more than the bytes of the series, perhaps */
    unsigned step = 0;
    for (size_t items = 0; items < BATCH_ITEMS && (size_t)(w->p - from) < bytes && w->expanded - expanded < bytes; ) {
        if (++step % STEP_ITEMS == 0 && clock_mono_ns() >= until)
            return true;
        if (p->item == RW_SERIES) {
            size_t before = p->samples + p->hists;
            push_series_part(p, sink);
            items += p->samples + p->hists - before;
            continue;
        }
        switch (rw_walk_some(w, STEP_FIELDS)) {
        case RW_MORE: return true;
        case RW_SERIES:
            p->samples = p->hists = 0;
            if (write_admit_series(w, &p->n))
                p->item = RW_SERIES;
            break;
        case RW_METADATA: write_store_metadata(sink, p->buffers, &w->metadata, &p->n); break;
        case RW_ERROR: /* cannot happen: the body is validated */
        case RW_END: return false;
        }
    }
    return true;
}

static void push_store(struct push *p, int64_t until)
{
    struct sink *sink = p->buffers->lane->sink;
    struct config *c = services_config_on_lane(p->buffers->services);
    size_t bytes = c->recent ? BATCH_BYTES_RECENT : BATCH_BYTES;
    config_unref(c);
    struct sink_batch batch = {.bytes = p->begun ? bytes : p->body.n, .more = p->begun, .route = write_route(p->r),
                               .via = http_header(p->r, VIA_HEADER)};
    struct err err;
    if (sink_begin(sink, &batch) == SINK_BUSY) {
        if (p->begun) { /* the writer stops */
            p->failed = true;
            push_end(p);
        } else {
            write_fail_queue_full(&err);
            push_refuse(p, &err);
        }
        return;
    }
    p->begun = true;
    p->pending += 2; /* for the batch, and for this step, so that on_batch_stored does not end the push meanwhile */
    bool more = push_batch(p, sink, bytes, until);
    sink_commit(sink, on_batch_stored, p);
    p->pending--;
    if (!more)
        push_end(p);
}

static void push_step(struct push *p, int64_t until)
{
    if (!services_ready(p->buffers->services)) {
        p->failed = true;
        push_end(p);
        return;
    }
    switch (p->phase) {
    case PUSH_QUEUED: push_decompress(p); break;
    case PUSH_VALIDATE: push_validate(p); break;
    case PUSH_STORE: push_store(p, until); break;
    case PUSH_DECOMPRESS: case PUSH_STORED: break;
    }
}

/* The first push of the queue; NULL: there is none, or a worker has it. */
static struct push *next_push(const struct write_buffers *w)
{
    struct push *p = list_empty(&w->queue) ? NULL : CONTAINER(w->queue.next, struct push, node);
    return p && p->phase != PUSH_DECOMPRESS ? p : NULL;
}

void on_push_pause(struct loop_timer *t)
{
    struct write_buffers *w = CONTAINER(t, struct write_buffers, pause);
    loop_post(w->lane->loop, &w->work);
}

/* ms until something more may be stored. A stop does not wait. */
static int64_t push_pause(const struct write_buffers *w)
{
    return next_push(w) && services_ready(w->services) ? ingest_rate_wait(w->services->ingest_rate) : 0;
}

void push_queue_work(struct loop_task *task)
{
    struct write_buffers *w = CONTAINER(task, struct write_buffers, work);
    int64_t until = loop_slice_end(w->lane->loop), pause = 0;
    bool more = true;
    while (more && (pause = push_pause(w)) == 0 && clock_mono_ns() < until) {
        struct push *p = next_push(w);
        if (p)
            push_step(p, until);
        more = mem_release_some(&w->release) || next_push(w);
    }
    if (pause > 0)
        loop_timer_in(w->lane->loop, &w->pause, pause);
    else if (more)
        loop_post(w->lane->loop, &w->work);
}

void push_queue_add(struct http_request *r, struct write_buffers *w, bool version_2)
{
    struct push *p = mem_zalloc(sizeof *p);
    p->r = r;
    p->buffers = w;
    p->n.version_2 = version_2;
    rw_walk_init(&p->walk);
    p->walk.twice = true;
    list_push_back(&w->queue, &p->node);
    loop_post(w->lane->loop, &w->work);
}

void write_buffers_cancel(struct write_buffers *w)
{
    for (struct list *n = w ? w->queue.next : NULL, *next; w && n != &w->queue; n = next) {
        struct push *p = CONTAINER(n, struct push, node);
        next = n->next;
        if (p->phase == PUSH_DECOMPRESS && !worker_withdraw(w->services->workers, &p->decompress))
            continue; /* it ends when the worker has finished */
        p->failed = true;
        push_end(p);
    }
}
