// SPDX-License-Identifier: Apache-2.0
/* A response that is sent in parts while a worker still makes it (http_stream_send). Private to gateway/http.
 *
 *   worker: http_stream_send                          loop
 *     appends to `bytes`, posts `wake`   ---------->  begins the response, or resumes the connection
 *     waits while HTTP_STREAM_AHEAD bytes             the library takes bytes (http_stream_take); when there are none,
 *     are not taken                      <----------  the connection is suspended until `wake`
 *   the handler returns                  ---------->  http_stream_end: the rest, and the end, or an error
 *
 * Parts are compressed by the worker, as one gzip file, if the client accepts it.
 *
 * If the client leaves while the worker is at work, the connection is detached: the worker's next call returns false,
 * and the request is freed when its handler has returned.
 */
#ifndef GATEWAY_HTTP_HTTP_STREAM_H
#define GATEWAY_HTTP_HTTP_STREAM_H

#include "base/compress.h"
#include "base/os/thread.h"
#include "gateway/http/http.h"

#include <sys/types.h>

enum { HTTP_STREAM_AHEAD = 1 << 20 };
enum { HTTP_STREAM_NONE = 0, HTTP_STREAM_END = -1, HTTP_STREAM_FAILED = -2 }; /* of http_stream_take */

struct http_stream {
    struct mutex lock;           /* guards what follows, up to failed */
    struct cond taken;           /* of `bytes`; or the client left */
    struct buf bytes; size_t at; /* not sent yet: from `at` on */
    size_t charged;              /* to limits->responses */
    bool ended, failed;
    struct gzip_writer *gzip;    /* the worker's; NULL: parts are sent as they are */
    struct loop_task wake;       /* in the server's loop */
    bool started;                /* on the loop: the response has begun */
    size_t sent;                 /* on the loop: bytes that were taken */
    void *owner;                 /* the connection */
    struct http_limits *limits;
};
struct http_stream *http_stream_new(struct http_limits *limits, void (*wake)(struct loop_task *t));
void http_stream_free(struct http_stream *s);
/* On the loop. Copies up to max bytes; or one of the values above. */
ssize_t http_stream_take(struct http_stream *s, char *to, size_t max);
size_t http_stream_left(struct http_stream *s);
/* On the loop, after the handler has returned: `rest` is the last part, failed: the response is cut, which its client
 * notices. */
void http_stream_end(struct http_stream *s, struct buf *rest, bool failed);
void http_stream_cancel(struct http_stream *s); /* on the loop: the worker need not wait any longer */
/* On the worker: appends `part`, empties it, and waits while too much is not taken; false: canceled, or the deadline
 * (clock_mono_ms; 0 = none) has passed. */
bool http_stream_put(struct http_stream *s, struct loop *loop, struct buf *part, const atomic_bool *canceled,
                     int64_t deadline);

#endif
