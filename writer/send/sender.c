// SPDX-License-Identifier: Apache-2.0
/* Sends one block in one POST and acts on the response (classification: response.c):
 *
 *   response                    action
 *   2xx                         delivered
 *   400, 415 to a zstd block    sent once more as snappy; 415 and others to remote write 2.0: once more as 1.0. If that is
 *                               accepted the destination gets snappy, or 1.0, for an hour (form.c)
 *   400, 422, 5xx whose text    split down to the rejected samples, which are dropped (bisect.c)
 *   blames the contents
 *   413                         likewise, in halves until they are small enough
 *   400 of a receiver that      delivered, but counted and logged: the receiver has dropped some samples itself
 *   stores the rest, 409
 *   400 about the time of       delivered: the response to an earlier attempt was lost
 *   samples, block in doubt
 *   other 4xx                   dropped, counted and logged: retrying the same payload cannot succeed
 *   401 402 403 404 407 408 425 429, 3xx (307 and 308 are followed, unless follow_redirects is off; after the others the
 *   POST would become a GET), 5xx (508: the samples have come back to where they were sent, origins.h), no response
 *                               retried without limit. Retry-After (seconds or a date) replaces the next delay, up to
 *                               max_backoff, which 401, 403, 404 and 407 wait for
 *
 * A block to which the destination responds 5xx (but 503 and 508) ten times, each time after it has accepted another
 * block, is at fault itself: it is narrowed down like a rejected one. Without another block that proves that the
 * destination works it is divided again and again, the pieces are sent in turn, and what is left in the end is at fault.
 *
 * A block is in doubt when a request with it ended without a response of the storage (502 and 504 are a proxy's), or
 * when it was the first one on disk at the start: the last run may have ended between request and response.
 */
#include "base/http/client.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "base/text/url.h"
#include "writer/send/form.h"
#include "writer/send/response.h"

#include <stdio.h>

enum { ERROR_TEXT = 200 }; /* bytes of a response body shown in errors */
enum { BLOCK_FAILURES = 10, ALONE_ATTEMPTS = 5 };

/* --- responses ---------------------------------------------------------------------------------------------------- */

/* samples: so many of the block were accepted. */
static void sender_deliver_block(struct shard *s, const struct client_reply *reply, uint64_t samples)
{
    struct destination *d = s->dest;
    struct block *b = shard_head(s);
    drain_note_accepted(s, reply->server_hostname);
    backup_note_sent(s);
    form_judge(s);
    atomic_fetch_add_explicit(&d->sent_blocks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&d->sent_samples, samples, memory_order_relaxed);
    atomic_fetch_add_explicit(&d->sent_bytes, b->n, memory_order_relaxed);
    atomic_store_explicit(&d->last_ok, loop_now(s->lane->loop), memory_order_relaxed);
    bisect_accepted(s);
    destination_lane_up(s);
    shard_delivered(s);
}

/* A success whose headers count fewer samples than were sent: the receiver left some out without saying why. */
static void sender_deliver(struct shard *s, const struct client_reply *reply)
{
    const struct block *b = shard_head(s);
    uint64_t written = b->n_samples;
    if (b->message == MESSAGE_WRITE_2 && reply->has_written && reply->written < b->n_samples) {
        written = reply->written;
        atomic_fetch_add_explicit(&s->dest->unconfirmed_samples, b->n_samples - written, memory_order_relaxed);
        log_warn("remote_write", "destination accepted a block, but wrote fewer samples, by the headers of its response", "name",
                 s->dest->name, LOG_U64("sent", b->n_samples), LOG_U64("written", written));
    }
    sender_deliver_block(s, reply, written);
}

/* What of a partly stored block of 2.0 was not written is dropped. */
static uint64_t sender_count_written(struct shard *s, const struct client_reply *reply)
{
    const struct block *b = shard_head(s);
    if (b->message != MESSAGE_WRITE_2 || !reply->has_written || reply->written >= b->n_samples)
        return b->n_samples;
    atomic_fetch_add_explicit(&s->dest->dropped_samples[DROPPED_REJECTED], b->n_samples - reply->written,
                              memory_order_relaxed);
    return reply->written;
}

static void drop_head(struct shard *s, int status, const char *why);

static void sender_deliver_partly(struct shard *s, const struct client_reply *reply, const char *why)
{
    if (shard_head(s)->message == MESSAGE_WRITE_2 && reply->has_written && reply->written == 0) {
        drop_head(s, reply->status, why); /* of what such a receiver would have stored there was nothing */
        return;
    }
    uint64_t written = sender_count_written(s, reply);
    atomic_fetch_add_explicit(&s->dest->partly_stored_blocks, 1, memory_order_relaxed);
    log_warn("remote_write", "destination rejected some samples of a block and stored the others; not retrying",
             "name", s->dest->name, LOG_U64("rejected", shard_head(s)->n_samples - written), "response", why);
    destination_note_error(s->dest, loop_now(s->lane->loop), why);
    sender_deliver_block(s, reply, written);
}

static void drop_head(struct shard *s, int status, const char *why)
{
    bisect_drop_head(s, status, why);
    destination_lane_up(s);
    s->state = SHARD_IDLE;
    shard_kick(s);
}

static void recode_head(struct shard *s, int status)
{
    struct err err;
    struct write_response r = {.status = status, .text = str_n(s->response.text, s->response.n)};
    struct block_form to = form_fall_back(s, shard_head(s));
    struct block *b = block_recode(s->lane->packer, shard_head(s), to, &err);
    if (b == NULL) {
        drop_head(s, 0, err.text);
        return;
    }
    s->blamed_encoding = response_blames_encoding(&r);
    shard_replace_head(s, &b, 1);
    sender_send(s);
}

/* After a failure of the head that is to be retried: whether the head is at fault itself. Without other blocks that show
 * that the destination works it is divided, and its pieces are sent in turn. */
static bool sender_blames_head(struct shard *s, int status)
{
    struct failing_block *f = &s->failing;
    unsigned long long sent = atomic_load_explicit(&s->dest->sent_blocks, memory_order_relaxed);
    if (status < 500 || status == 503 || status == 508)
        return false;
    if (f->seq != shard_head_seq(s) || f->attempts + f->failures == 0)
        *f = (struct failing_block){.seq = shard_head_seq(s), .sent = sent};
    bool works = sent > f->sent;
    f->failures += works;
    f->attempts = works ? 1 : f->attempts + 1;
    f->sent = sent;
    if (works && f->failures >= BLOCK_FAILURES)
        return true;
    if (shard_pieces(s) > 1) {
        shard_rotate_head(s);
    } else if (f->attempts >= ALONE_ATTEMPTS) {
        if (!bisect_divide(s))
            return f->failures > 0;
        f->attempts = 1;
    }
    return false;
}

/* What does not pass by itself within milliseconds: credentials, path, proxy. */
static bool sender_needs_operator(int status) { return status >= 401 && status <= 407 && response_remedy(status) != NULL; }

static void sender_retry_later(struct shard *s, const struct client_reply *reply, const char *why)
{
    int64_t wait = 0;
    if (reply->retry_after.n > 0 && !retry_after_parse(reply->retry_after, loop_now(s->lane->loop), &wait))
        wait = 0;
    if (wait == 0 && sender_needs_operator(reply->status))
        wait = s->lane->settings->max_backoff;
    if (reply->status == 0 ? reply->sent : reply->status == 502 || reply->status == 504)
        shard_set_head_in_doubt(s);
    atomic_fetch_add_explicit(&s->dest->errors, 1, memory_order_relaxed);
    outage_failed(s->lane, reply->status, why);
    destination_note_error(s->dest, loop_now(s->lane->loop), why);
    destination_lane_down(s, wait);
}

/* --- the request -------------------------------------------------------------------------------------------------- */

static bool sender_collect_body(void *arg, const struct client_reply *reply UNUSED, struct str piece,
                                  struct err *err UNUSED)
{
    struct shard *s = arg;
    size_t space = sizeof s->response.text - s->response.n, n = piece.n < space ? piece.n : space;
    memcpy(s->response.text + s->response.n, piece.p, n);
    s->response.n += n;
    return true;
}

/* The destination's name identifies it; the URL of the request, by which the text begins, may be secret and is removed. By
 * now the destination may have another. */
static struct str sender_without_url(struct str text)
{
    size_t end = str_find_str(text, STR(": "));
    return str_starts(text, STR("POST ")) && end < text.n ? str_skip(text, end + 2) : text;
}

static void sender_error_text(struct shard *s, const struct client_reply *reply, char *why, size_t size)
{
    if (reply->status / 100 == 2) {
        snprintf(why, size, "HTTP %d", reply->status);
        return;
    }
    struct buf shown = {0};
    client_hide_secrets(s->lane->settings->profile, str_of(s->lane->settings->url),
                        str_n(s->response.text, s->response.n), &shown);
    struct str text = str_first(str_trim(buf_str(&shown)), ERROR_TEXT);
    struct url to;
    if (reply->status == 0)
        snprintf(why, size, "%.*s", STR_ARG(sender_without_url(str_of(reply->err.text))));
    else if (reply->status / 100 == 3 && url_parse(reply->location, &to, NULL)) /* path and query may be secret */
        snprintf(why, size, "HTTP %d: redirect to %.*s://%.*s", reply->status, STR_ARG(to.scheme), STR_ARG(to.host));
    else
        snprintf(why, size, "HTTP %d%s%.*s", reply->status, text.n ? ": " : "", STR_ARG(text));
    buf_free(&shown);
}

static enum response_class sender_classify(struct shard *s, const struct client_reply *reply)
{
    const struct block *b = shard_head(s);
    struct write_response r = {reply->status, str_n(s->response.text, s->response.n), reply->has_written, reply->written};
    enum response_class v =
        reply->status ? response_classify(&r, (struct block_form){b->message, b->codec}) : RESPONSE_RETRY;
    if (reply->status == 429 && s->lane->settings->drops_429)
        v = RESPONSE_DROP;
    if (v == RESPONSE_REJECTED && s->resent == RESENT_AS_WRITE_1 && !response_blames_contents(&r))
        v = RESPONSE_DROP; /* 2.0 was rejected too, which stores what is valid: no part of it is at fault */
    bool rejected = v == RESPONSE_REJECTED || v == RESPONSE_PARTLY_STORED;
    return rejected && shard_head_in_doubt(s) && response_about_time(r.text) ? RESPONSE_DELIVERED : v;
}

static void sender_response_done(void *arg, const struct client_reply *reply)
{
    struct shard *s = arg;
    char why[sizeof reply->err.text];
    sender_error_text(s, reply, why, sizeof why);
    s->call = NULL;
    sender_leave_place(s, reply->status != 0);
    destination_note_status(s->dest, reply->status);
    atomic_fetch_add_explicit(&s->dest->send_ns, (unsigned long long)reply->total_ms * 1000000, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->dest->written_bytes, reply->sent_bytes, memory_order_relaxed);
    enum response_class v = sender_classify(s, reply);
    if (v == RESPONSE_RETRY && sender_blames_head(s, reply->status))
        v = RESPONSE_REJECTED;
    if (v != RESPONSE_RETRY)
        bisect_count_request(s);
    switch (v) {
    case RESPONSE_DELIVERED: sender_deliver(s, reply); break;
    case RESPONSE_PARTLY_STORED: sender_deliver_partly(s, reply, why); break;
    case RESPONSE_RECODE: recode_head(s, reply->status); break;
    case RESPONSE_TOO_LARGE: bisect_rejected(s, DROPPED_TOO_LARGE, reply->status, why); break;
    case RESPONSE_REJECTED: bisect_rejected(s, DROPPED_REJECTED, reply->status, why); break;
    case RESPONSE_DROP: drop_head(s, reply->status, why); break;
    case RESPONSE_RETRY: sender_retry_later(s, reply, why); break;
    }
}

/* Recodes a block that was made, perhaps before a restart, in a form that the destination does not get any more. One of
 * 1.0 with nothing for 2.0 to say remains as it is. */
static void sender_match_form(struct shard *s)
{
    const struct block *b = shard_head(s);
    struct block_form to = form_of_requests(s->lane);
    if (s->resent != NOT_RESENT || (b->message == to.message && (b->codec != CODEC_ZSTD || to.codec == CODEC_ZSTD)))
        return;
    struct err err;
    struct block *again = block_recode(s->lane->packer, b, to, &err);
    if (again)
        shard_replace_head(s, &again, 1);
}

enum { FORM_HEADERS = 3 };
static const char *const *sender_form_headers(const struct block *b)
{
    static const char *const snappy[FORM_HEADERS] = {
        "Content-Type: application/x-protobuf", "Content-Encoding: snappy", "X-Prometheus-Remote-Write-Version: 0.1.0"};
    static const char *const zstd[FORM_HEADERS] = {
        "Content-Type: application/x-protobuf", "Content-Encoding: zstd", "X-VictoriaMetrics-Remote-Write-Version: 1"};
#define WRITE_2_TYPE "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request"
    static const char *const snappy_2[FORM_HEADERS] = {
        WRITE_2_TYPE, "Content-Encoding: snappy", "X-Prometheus-Remote-Write-Version: 2.0.0"};
    static const char *const zstd_2[FORM_HEADERS] = {
        WRITE_2_TYPE, "Content-Encoding: zstd", "X-Prometheus-Remote-Write-Version: 2.0.0"};
    if (b->message == MESSAGE_WRITE_2)
        return b->codec == CODEC_ZSTD ? zstd_2 : snappy_2;
    return b->codec == CODEC_ZSTD ? zstd : snappy;
}

void sender_leave_place(struct shard *s, bool responded)
{
    if (s->place)
        places_give(&s->lane->places, s->place, responded);
    mem_free(s->place);
    s->place = NULL;
}

/* The URL of the request, in *url, and the value of its Host header, if that is another. False: no address is known, and the request is
 * to be tried again later. */
static bool sender_choose_place(struct shard *s, struct buf *url, struct buf *host)
{
    struct destination_lane *dl = s->lane;
    struct places *p = &dl->places;
    if (dl->settings->lookup == PLACES_NONE) {
        buf_add_z(url, dl->settings->url);
        return true;
    }
    if (p->loop == NULL) /* the lane left the destination, which was configured again */
        places_begin(p, dl->loop, dl->settings->lookup, dl->settings->url, dl->index);
    const char *address = places_take(p);
    if (address) {
        s->place = mem_strdup(address);
        places_url(p, address, url, host);
        return true;
    }
    char why[200];
    snprintf(why, sizeof why, "no address of %.*s: %s", STR_ARG(p->parts.host), p->why);
    sender_retry_later(s, &(struct client_reply){.status = 0}, why);
    return false;
}

void sender_send(struct shard *s)
{
    struct buf url = {0}, host = {0};
    if (!sender_choose_place(s, &url, &host))
        return;
    form_try_again(s->lane);
    sender_match_form(s);
    const struct block *b = shard_head(s);
    struct buf via = {0};
    destination_via_header(s->dest, loop_mono(s->lane->loop), &via);
    const char *headers[FORM_HEADERS + 1];
    size_t n_headers = FORM_HEADERS;
    memcpy(headers, sender_form_headers(b), FORM_HEADERS * sizeof *headers);
    if (via.n > 0)
        headers[n_headers++] = buf_z(&via);
    s->response.n = 0;
    struct client_request req = {
        .method = "POST", .url = buf_z(&url), .host = host.n > 0 ? buf_z(&host) : NULL, .profile = s->lane->settings->profile,
        .headers = headers, .n_headers = n_headers,
        .body = str_n(b->bytes, b->n), .slot = s->index,
        .timeout_ms = s->lane->settings->timeout, .max_body = 64 << 10, .status_only = true,
        .no_redirects = !s->lane->settings->follow_redirects, .keep_method = true,
        .data = sender_collect_body, .done = sender_response_done, .arg = s};
    s->call = client_send(s->lane->client, &req);
    buf_free(&via);
    buf_free(&url);
    buf_free(&host);
}
