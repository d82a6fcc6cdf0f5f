// SPDX-License-Identifier: Apache-2.0
/* One block, one POST, and what the answer means. The whole policy is classify():
 *
 *   answer                     what is done
 *   2xx                        delivered
 *   400, 415 to a zstd block   sent once more as snappy; if that is taken the destination does not know zstd, and gets
 *                              snappy from then on (protocol auto); a block that is bad in both codecs is dropped and
 *                              changes nothing
 *   413                        cut in two and sent in halves; a single sample that is too large is dropped
 *   400 409 415 422, other 4xx dropped, counted and logged: the same bytes will not be liked better later
 *   401 402 403 404 407 408 425 429, 3xx (never followed: the POST would become a GET), 5xx, no answer
 *                              tried again for ever: credentials and routes get mended, servers come back. Retry-After
 *                              (seconds or a date) replaces the next delay, within the longest backoff
 */
#include "base/client.h"
#include "base/log.h"
#include "base/num.h"
#include "base/times.h"
#include "writer/dest_lane.h"

#include <stdio.h>

enum answer { DELIVERED, AGAIN, DROP, SPLIT, RECODE };

static enum answer classify(int status, enum codec codec)
{
    if (status >= 200 && status < 300)
        return DELIVERED;
    switch (status) {
    case 400: case 415: return codec == CODEC_ZSTD ? RECODE : DROP;
    case 413: return SPLIT;
    case 401: case 402: case 403: case 404: case 407: case 408: case 425: case 429: return AGAIN;
    default: return status >= 400 && status < 500 ? DROP : AGAIN;
    }
}

static void drop_head(struct shard *s, int status, const char *why)
{
    struct block *b = shard_head(s);
    struct destination *d = s->dest;
    char code[24], samples[24];
    code[num_format_i64(code, status)] = 0;
    samples[num_format_u64(samples, b->n_samples)] = 0;
    atomic_fetch_add_explicit(&d->dropped_blocks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&d->dropped_samples, b->n_samples, memory_order_relaxed);
    log_error("remote_write", "the destination refuses a block for good; it is dropped", "name", d->name,
              "status", code, "samples", samples, "answer", why);
    destination_note_error(d, loop_now(s->lane->loop), why);
    shard_accepted(s);
    shard_delivered(s);
}

static void deliver(struct shard *s)
{
    struct destination *d = s->dest;
    struct block *b = shard_head(s);
    if (s->resent_as_snappy && s->lane->settings->protocol == PROTOCOL_AUTO && s->lane->codec == CODEC_ZSTD) {
        s->lane->codec = CODEC_SNAPPY;
        atomic_store(&d->zstd, false);
        log_info("remote_write", "the destination does not take zstd: snappy from now on", "name", d->name);
    }
    atomic_fetch_add_explicit(&d->sent_blocks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&d->sent_samples, b->n_samples, memory_order_relaxed);
    atomic_fetch_add_explicit(&d->sent_bytes, b->n, memory_order_relaxed);
    atomic_store_explicit(&d->last_ok, loop_now(s->lane->loop), memory_order_relaxed);
    shard_accepted(s);
    shard_delivered(s);
}

static void recode_head(struct shard *s)
{
    struct err err;
    struct block *b = block_recode(s->lane->packer, shard_head(s), CODEC_SNAPPY, &err);
    if (b == NULL) {
        drop_head(s, 0, err.text);
        return;
    }
    s->resent_as_snappy = true;
    shard_replace_head(s, &b, 1);
    sender_send(s);
}

static void split_head(struct shard *s)
{
    struct err err;
    struct block *half[2];
    if (!block_split(s->lane->packer, shard_head(s), half, &err)) {
        drop_head(s, 413, err.text);
        return;
    }
    shard_replace_head(s, half, 2);
    sender_send(s);
}

static void try_later(struct shard *s, const struct client_reply *reply, const char *why)
{
    int64_t wait = 0;
    if (reply->retry_after.n > 0 && !retry_after_parse(reply->retry_after, loop_now(s->lane->loop), &wait))
        wait = 0;
    char code[24];
    code[num_format_i64(code, reply->status)] = 0;
    atomic_fetch_add_explicit(&s->dest->errors, 1, memory_order_relaxed);
    if (!s->lane->down)
        log_warn("remote_write", "the destination does not take samples just now; they wait in the queue",
                 "name", s->dest->name, "status", code, "err", why);
    destination_note_error(s->dest, loop_now(s->lane->loop), why);
    shard_refused(s, wait);
}

/* --- the request -------------------------------------------------------------------------------------------------- */

static bool take_answer(void *arg, const struct client_reply *reply UNUSED, struct str piece, struct err *err UNUSED)
{
    struct shard *s = arg;
    size_t room = sizeof s->answer.text - s->answer.n, n = piece.n < room ? piece.n : room;
    memcpy(s->answer.text + s->answer.n, piece.p, n);
    s->answer.n += n;
    return true;
}

static void answered(void *arg, const struct client_reply *reply)
{
    struct shard *s = arg;
    struct str text = str_trim(str_n(s->answer.text, s->answer.n));
    char why[sizeof reply->err.text];
    if (reply->status == 0)
        snprintf(why, sizeof why, "%s", reply->err.text);
    else
        snprintf(why, sizeof why, "HTTP %d: %.*s", reply->status, STR_ARG(text));
    s->call = NULL;
    destination_note_status(s->dest, reply->status);
    atomic_fetch_add_explicit(&s->dest->send_ns, (unsigned long long)reply->total_ms * 1000000, memory_order_relaxed);
    switch (reply->status ? classify(reply->status, shard_head(s)->codec) : AGAIN) {
    case DELIVERED: deliver(s); break;
    case RECODE: recode_head(s); break;
    case SPLIT: split_head(s); break;
    case DROP: drop_head(s, reply->status, why); break;
    case AGAIN: try_later(s, reply, why); break;
    }
}

/* A block that was packed (perhaps before a restart) in a codec that the destination does not take any more. */
static void match_codec(struct shard *s)
{
    struct block *b = shard_head(s);
    if (b->codec != CODEC_ZSTD || s->lane->codec == CODEC_ZSTD)
        return;
    struct err err;
    struct block *again = block_recode(s->lane->packer, b, s->lane->codec, &err);
    if (again)
        shard_replace_head(s, &again, 1);
}

void sender_send(struct shard *s)
{
    match_codec(s);
    const struct block *b = shard_head(s);
    static const char *const snappy[] = {"Content-Type: application/x-protobuf", "Content-Encoding: snappy",
                                         "X-Prometheus-Remote-Write-Version: 0.1.0"};
    static const char *const zstd[] = {"Content-Type: application/x-protobuf", "Content-Encoding: zstd",
                                       "X-VictoriaMetrics-Remote-Write-Version: 1"};
    s->answer.n = 0;
    struct client_request req = {
        .method = "POST", .url = s->lane->settings->url, .profile = s->lane->settings->profile,
        .headers = b->codec == CODEC_ZSTD ? zstd : snappy, .n_headers = 3,
        .body = str_n(b->bytes, b->n), .slot = s->index,
        .timeout_ms = s->lane->settings->timeout, .max_body = 64 << 10, .status_only = true, .no_redirects = true,
        .data = take_answer, .done = answered, .arg = s};
    s->call = client_send(s->lane->client, &req);
}
