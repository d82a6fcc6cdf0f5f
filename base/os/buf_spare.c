// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/http_spare.h"

enum { SPARE_MIN = 1 << 20, SPARE_MAX = 32 << 20 /* bytes */, KEEP_MS = 1000 };

static void on_end(struct loop_timer *t) { buf_free(&CONTAINER(t, struct http_spare, end)->buf); }

void http_spare_init(struct http_spare *s, struct loop *loop)
{
    *s = (struct http_spare){.loop = loop, .end.run = on_end};
}

void http_spare_free(struct http_spare *s)
{
    loop_timer_stop(s->loop, &s->end);
    buf_free(&s->buf);
}

struct buf http_spare_take(struct http_spare *s)
{
    struct buf b = s->buf;
    s->buf = (struct buf){0};
    return b;
}

void http_spare_put(struct http_spare *s, struct buf *b)
{
    buf_charge_anyway(b, NULL);
    if (b->cap >= SPARE_MIN && b->cap <= SPARE_MAX && b->cap > s->buf.cap) {
        buf_free(&s->buf);
        s->buf = (struct buf){.p = b->p, .cap = b->cap};
        *b = (struct buf){0};
        loop_timer_in(s->loop, &s->end, KEEP_MS);
    }
    buf_free(b);
}

void http_spare_save(struct http_spare *s, struct buf *response)
{
    struct buf small = {0};
    if (response->cap < SPARE_MIN || response->n > response->cap / 4)
        return;
    buf_add_str(&small, buf_str(response));
    buf_charge_anyway(&small, response->budget);
    http_spare_put(s, response);
    *response = small;
}
