// SPDX-License-Identifier: Apache-2.0
/* The socket of datagrams of a listener of lines: many datagrams are received by one system call. Each has complete lines;
 * the last one needs no LF. */
#include "gateway/ingest/lines/lines_internal.h"

#include "base/text/duration.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static char *datagram_places(struct lines_lane *l)
{
    if (l->datagrams == NULL)
        l->datagrams = mem_alloc((size_t)LINE_DATAGRAMS * LINE_DATAGRAM_BYTES);
    return l->datagrams;
}

static bool add_datagram(struct ingest *in, const char *p, size_t n)
{
    if (n == 0)
        return true;
    if (!buf_try_reserve(&in->text, n + 1))
        return false;
    buf_add(&in->text, p, n);
    if (p[n - 1] != '\n')
        buf_add_char(&in->text, '\n');
    return true;
}

static enum ingest_input datagrams_read(struct ingest *in, struct err *err UNUSED)
{
    struct line_stream *x = CONTAINER(in, struct line_stream, in);
    char *places = datagram_places(x->lane);
    struct iovec parts[LINE_DATAGRAMS];
    struct mmsghdr messages[LINE_DATAGRAMS];
    size_t lost = 0;
    memset(messages, 0, sizeof messages);
    for (size_t i = 0; i < LINE_DATAGRAMS; i++) {
        parts[i] = (struct iovec){places + i * LINE_DATAGRAM_BYTES, LINE_DATAGRAM_BYTES};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    ingest_text_compact(in);
    int n = recvmmsg(x->watch.fd, messages, LINE_DATAGRAMS, MSG_DONTWAIT, NULL);
    if (n < 0 && errno != EAGAIN)
        return INGEST_INPUT; /* an error of an earlier datagram of this socket, which has sent none; or EINTR */
    if (n < 0 && x->lane->draining) {
        in->text_complete = true;
        return INGEST_INPUT;
    }
    if (n < 0) {
        buf_free(&in->text);
        return INGEST_INPUT_LATER;
    }
    in->now = clock_wall_ms();
    for (int i = 0; i < n; i++)
        lost += !add_datagram(in, parts[i].iov_base, messages[i].msg_len);
    stats_add(&line_stats, x->protocol->requests + 1, n);
    stats_add(&line_stats, x->protocol->errors + 1, (double)lost);
    return INGEST_INPUT;
}

static const struct ingest_source line_datagrams = {.read = datagrams_read, .wait = line_wait, .end = line_stream_ended};

void line_datagrams_begin(struct lines_lane *l, struct listener *listener, int fd)
{
    struct line_stream *x = line_stream_new(l, listener, fd, &line_datagrams);
    x->datagrams = x->begun = true;
    if (x->in.max_line < LINE_DATAGRAM_BYTES) /* a line that is too long is one of its datagram, and ends no stream */
        x->in.max_line = LINE_DATAGRAM_BYTES;
    line_stream_watch(x);
}
