// SPDX-License-Identifier: Apache-2.0
/* The memory of a large answer that was sent, kept for the next one: fresh pages cost more than what is written to
 * them. It is given back when none comes within a second. Of one lane, called by it. While it
 * is kept no budget counts it.
 */
#ifndef GATEWAY_HTTP_HTTP_SPARE_H
#define GATEWAY_HTTP_HTTP_SPARE_H

#include "base/buf.h"
#include "base/os/loop.h"

struct http_spare { struct buf buf; struct loop *loop; struct loop_timer end; };

void http_spare_init(struct http_spare *s, struct loop *loop);
void http_spare_free(struct http_spare *s);
struct buf http_spare_take(struct http_spare *s);             /* empty; its memory is the caller's */
void http_spare_put(struct http_spare *s, struct buf *b);     /* takes b's memory, or frees it: b is empty then */
/* A small answer in large memory is moved to memory of its own size, so that it holds no more while it is sent. */
void http_spare_save(struct http_spare *s, struct buf *answer);

#endif
