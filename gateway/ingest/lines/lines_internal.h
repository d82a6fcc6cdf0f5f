// SPDX-License-Identifier: Apache-2.0
/* Private to gateway/ingest/lines/: connections and sockets of datagrams of a lane. On the lane's thread. */
#ifndef GATEWAY_INGEST_LINES_LINES_INTERNAL_H
#define GATEWAY_INGEST_LINES_LINES_INTERNAL_H

#include "gateway/ingest/ingest_internal.h"
#include "gateway/ingest/lines/lines.h"

#include <sys/socket.h>

struct line_protocol { /* what a listener speaks */
    const char *flag;
    const struct ingest_format *format; /* NULL: HTTP only */
    enum line_stat requests, errors;    /* over TCP; those over UDP come next */
    bool http;                          /* a connection that does not begin with `p`, as of put, is one of HTTP */
};

struct line_stream { /* a connection, or a socket of datagrams */
    struct ingest in;
    struct lines_lane *lane;
    const struct line_protocol *protocol;
    struct listener *listener;
    struct list node;             /* in lines_lane.streams: the one that has been silent for longest comes first */
    struct loop_fd watch;
    struct loop_timer again;      /* reads on when something may be accepted; before `begun` the deadline of the beginning */
    bool begun;                   /* the header of the PROXY protocol and the kind of protocol are known */
    bool datagrams;
    struct sockaddr_storage peer; socklen_t n_peer; /* of the connection itself, as accept() tells it */
    char client[56];
};

enum { LINE_DATAGRAMS = 32, LINE_DATAGRAM_BYTES = 64 << 10 };
struct lines_lane {
    struct services *services;
    struct ingest_lane *ingest;
    struct loop *loop;
    struct http_server *server;   /* of the lane */
    struct list streams;          /* of line_stream.node */
    unsigned n;                   /* connections */
    bool draining, closed;        /* nothing new is accepted; when closed, nothing is read either */
    struct loop_timer late;       /* the end of draining */
    struct lines_drain *drain;    /* that waits for this lane; NULL: none */
    char *datagrams;              /* LINE_DATAGRAMS places; memory of the long ones is not touched as a rule. NULL: none yet */
};
struct lines_lane *lines_lane_of(struct services *s, unsigned id); /* created at the first use */
void lines_lane_check_drained(struct lines_lane *l);               /* after a stream has ended */

/* line_stream.c. The descriptor is the stream's from then on. */
struct line_stream *line_stream_new(struct lines_lane *l, struct listener *listener, int fd, const struct ingest_source *source);
void line_stream_watch(struct line_stream *x);
void line_stream_close(struct line_stream *x); /* frees it; not while ingest.h may call back */
void line_stream_drain(struct line_stream *x); /* reads what has arrived, then closes it */
void line_take(struct http_server *server, struct listener *l, int fd, const struct sockaddr *from, unsigned n); /* listener.take */
bool line_wait(struct ingest *in); /* ingest_source.wait */
void line_stream_ended(struct ingest *in);  /* ingest_source.end */

/* line_datagrams.c */
void line_datagrams_begin(struct lines_lane *l, struct listener *listener, int fd);

#endif
