// SPDX-License-Identifier: Apache-2.0
#include "receiver.h"

#include "base/compress.h"

#include <stdio.h>
#include <string.h>

/* Stores the samples of a request, or none of them; *kept: their number. */
static int receiver_keep(struct receiver *r, struct str raw, bool write_2, int status, size_t *kept)
{
    struct rw_walk w;
    rw_walk_init(&w);
    if (write_2)
        rw2_walk_start(&w, raw);
    else
        rw_walk_start(&w, raw);
    mutex_lock(&r->lock);
    size_t before = r->n;
    for (enum rw_item item; (item = rw_walk_next(&w)) != RW_END && item != RW_ERROR;)
        for (size_t i = 0; item == RW_SERIES && i < w.n_samples; i++) {
            mem_grow(&r->samples, &r->_cap, r->n + 1, sizeof *r->samples);
            r->samples[r->n++] = (struct received){labels_hash(w.labels), w.samples[i]};
        }
    receiver_check *check = atomic_load(&r->check);
    int rejected = check ? check(r, r->samples + before, r->n - before) : 0;
    if (rejected)
        r->n = before;
    *kept = r->n - before;
    mutex_unlock(&r->lock);
    rw_walk_free(&w);
    return rejected ? rejected : status;
}

static int receiver_refuse_2(struct receiver *r)
{
    atomic_fetch_add(&r->write_2_requests, 1);
    switch ((enum receiver_write_2)atomic_load(&r->write_2)) {
    case WRITE_2_REFUSED: return 415;
    case WRITE_2_MALFORMED: return 400;
    case WRITE_2_IGNORED: return 204;
    case WRITE_2_KNOWN: break;
    }
    return 0;
}

static int receiver_judge(struct receiver *r, struct str head, struct str body, struct server_response *out)
{
    bool write_2 = str_find_str(head, STR("proto=io.prometheus.write.v2.Request")) < head.n;
    int refused = write_2 ? receiver_refuse_2(r) : 0;
    size_t kept = 0;
    bool zstd = str_find_str(head, STR("Content-Encoding: zstd")) < head.n;
    struct buf raw = {0};
    struct err err;
    int status = atomic_load(&r->status);
    size_t most = atomic_load(&r->too_large);
    if (most && body.n > most)
        return 413;
    if (status / 100 != 2)
        return status;
    if (refused)
        return refused;
    if (zstd && atomic_load(&r->no_zstd))
        return atomic_load(&r->zstd_status) ? atomic_load(&r->zstd_status) : 415;
    if (!decompress(zstd ? CODEC_ZSTD : CODEC_SNAPPY, r->zstd, body, 64 << 20, &raw, &err))
        status = 400;
    else
        status = receiver_keep(r, buf_str(&raw), write_2, status, &kept);
    if (write_2) {
        size_t unwritten = atomic_load(&r->unwritten);
        snprintf(out->headers, sizeof out->headers, "x-prometheus-remote-write-samples-written: %zu\r\n"
                 "X-Prometheus-Remote-Write-Exemplars-Written: 0\r\n", kept > unwritten ? kept - unwritten : 0);
    }
    buf_free(&raw);
    return status;
}

static void receiver_handle(void *arg, const struct server_request *request, struct server_response *out)
{
    static const char filler[1 << 20];
    struct receiver *r = arg;
    atomic_fetch_add(&r->requests, 1);
    if (atomic_load(&r->silent)) {
        out->action = SERVER_SILENT;
        return;
    }
    out->status = receiver_judge(r, request->head, request->body, out);
    if (atomic_load(&r->lost) > 0 && atomic_fetch_sub(&r->lost, 1) > 0) {
        out->action = SERVER_DROP;
        return;
    }
    const char *text = atomic_load(&r->text);
    size_t size = atomic_load(&r->body_size);
    if (out->status / 100 == 3)
        snprintf(out->headers, sizeof out->headers, "Location: /login\r\n");
    if (out->status != 204)
        buf_add_str(&out->body, size ? str_n(filler, size) : str_of(text ? text : "no"));
}

void receiver_start(struct receiver *r)
{
    memset(r, 0, sizeof *r);
    mutex_init(&r->lock, RANK_LEAF);
    r->zstd = zstd_new();
    atomic_init(&r->status, 204);
    http_server_start(&r->server, receiver_handle, r);
}

void receiver_stop(struct receiver *r)
{
    http_server_stop(&r->server);
    zstd_free(r->zstd);
    mem_free(r->samples);
    mutex_free(&r->lock);
}

void receiver_settle(struct receiver *r) { http_server_settle(&r->server); }

size_t receiver_count(struct receiver *r)
{
    mutex_lock(&r->lock);
    size_t n = r->n;
    mutex_unlock(&r->lock);
    return n;
}
