// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/http_stream.h"

#include "base/text/duration.h"

enum { STREAM_POLL_MS = 100, STREAM_PART_BYTES = 1 << 20 };

/* Counts what it keeps for a client that reads slowly, or may keep. */
static void stream_charge(struct http_stream *s)
{
    size_t charge = s->bytes.cap > HTTP_STREAM_AHEAD ? s->bytes.cap : HTTP_STREAM_AHEAD;
    budget_take_anyway(&s->limits->responses, charge);
    budget_give(&s->limits->responses, s->charged);
    s->charged = charge;
}

struct http_stream *http_stream_new(struct http_limits *limits, void (*wake)(struct loop_task *t))
{
    struct http_stream *s = mem_zalloc(sizeof *s);
    mutex_init(&s->lock, RANK_LEAF);
    cond_init(&s->taken);
    s->wake.run = wake;
    s->limits = limits;
    stream_charge(s);
    return s;
}

void http_stream_free(struct http_stream *s)
{
    if (s == NULL)
        return;
    budget_give(&s->limits->responses, s->charged);
    gzip_writer_free(s->gzip);
    buf_free(&s->bytes);
    cond_free(&s->taken);
    mutex_free(&s->lock);
    mem_free(s);
}

/* All is taken. A large part, as the first one may be, leaves no memory behind. */
static void stream_clear(struct http_stream *s)
{
    s->at = 0;
    if (s->bytes.cap <= 2 * HTTP_STREAM_AHEAD) {
        buf_clear(&s->bytes);
        return;
    }
    buf_free(&s->bytes);
    stream_charge(s);
}

ssize_t http_stream_take(struct http_stream *s, char *to, size_t max)
{
    mutex_lock(&s->lock);
    size_t n = s->bytes.n - s->at < max ? s->bytes.n - s->at : max;
    ssize_t result = n > 0 ? (ssize_t)n : s->failed ? HTTP_STREAM_FAILED : s->ended ? HTTP_STREAM_END : HTTP_STREAM_NONE;
    if (n > 0) {
        memcpy(to, s->bytes.p + s->at, n);
        s->at += n;
    }
    if (s->at == s->bytes.n)
        stream_clear(s);
    cond_signal(&s->taken);
    mutex_unlock(&s->lock);
    s->sent += n;
    return result;
}

size_t http_stream_left(struct http_stream *s)
{
    mutex_lock(&s->lock);
    size_t left = s->bytes.n - s->at;
    mutex_unlock(&s->lock);
    return left;
}

void http_stream_end(struct http_stream *s, struct buf *rest, bool failed)
{
    mutex_lock(&s->lock);
    if (!failed)
        buf_add_str(&s->bytes, buf_str(rest));
    stream_charge(s);
    s->ended = true;
    s->failed = failed;
    mutex_unlock(&s->lock);
    buf_clear(rest);
}

void http_stream_cancel(struct http_stream *s)
{
    mutex_lock(&s->lock);
    cond_signal(&s->taken);
    mutex_unlock(&s->lock);
}

/* Exchanges the memory, and leaves each its limits. The part gets as much as it had, up to STREAM_PART_BYTES, even over
 * its budget: a response that has begun must not be cut because others have taken what it gave back. */
static void stream_swap(struct http_stream *s, struct buf *part)
{
    struct buf taken = *part;
    s->bytes.n = 0;
    buf_reserve(&s->bytes, part->cap < STREAM_PART_BYTES ? part->cap : STREAM_PART_BYTES);
    budget_take_anyway(part->budget, s->bytes.cap);
    budget_give(part->budget, taken.cap);
    part->p = s->bytes.p;
    part->cap = s->bytes.cap;
    part->n = 0;
    s->bytes = (struct buf){.p = taken.p, .n = taken.n, .cap = taken.cap};
}

/* What was sent is dropped when it is at least half, so that the buffer does not grow. */
static void stream_append(struct http_stream *s, struct buf *part)
{
    if (s->at == s->bytes.n) {
        s->at = 0;
        stream_swap(s, part);
        stream_charge(s);
        return;
    }
    if (s->at > s->bytes.n / 2) {
        buf_drop_front(&s->bytes, s->at);
        s->at = 0;
    }
    buf_add_str(&s->bytes, buf_str(part));
    buf_clear(part);
    stream_charge(s);
}

bool http_stream_put(struct http_stream *s, struct loop *loop, struct buf *part, const atomic_bool *canceled,
                     int64_t deadline)
{
    bool late = false;
    mutex_lock(&s->lock);
    stream_append(s, part);
    mutex_unlock(&s->lock);
    loop_post(loop, &s->wake);
    mutex_lock(&s->lock);
    while (s->bytes.n - s->at > HTTP_STREAM_AHEAD && !atomic_load(canceled) && !late) {
        cond_wait_ms(&s->taken, &s->lock, STREAM_POLL_MS);
        late = deadline > 0 && clock_mono_ms() >= deadline;
    }
    mutex_unlock(&s->lock);
    return !late && !atomic_load(canceled);
}
