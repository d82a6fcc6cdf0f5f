// SPDX-License-Identifier: Apache-2.0
/* Reuses the memory of a large response for the next one, since faulting in fresh memory costs more than filling it. It
 * is freed if there is no other response within a second. Not counted by a budget while it is kept. Lane's thread.
 */
#ifndef GATEWAY_HTTP_HTTP_SPARE_H
#define GATEWAY_HTTP_HTTP_SPARE_H

#include "base/buf.h"
#include "base/os/loop.h"

struct http_spare { struct buf buf; struct loop *loop; struct loop_timer end; };

void http_spare_init(struct http_spare *s, struct loop *loop);
void http_spare_free(struct http_spare *s);
struct buf http_spare_take(struct http_spare *s);             /* an empty buffer, owned by the caller */
void http_spare_put(struct http_spare *s, struct buf *b);     /* keeps or frees b's memory; b is then empty */
/* Moves a small response in a large buffer to one of its size, so that it uses no more while it is sent. */
void http_spare_save(struct http_spare *s, struct buf *response);

#endif
