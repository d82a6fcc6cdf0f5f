// SPDX-License-Identifier: Apache-2.0
/* A remote-write receiver inside the test: one thread a connection, keeps every sample, answers as it is told. */
#ifndef TESTS_RECEIVER_H
#define TESTS_RECEIVER_H

#include "base/os/thread.h"
#include "model/remote_write.h"

#include <stdatomic.h>

struct received { uint64_t series; struct sample sample; };
struct receiver;
/* 0, or the status to reject the whole request with; under the receiver's lock */
typedef int receiver_check(struct receiver *r, const struct received *samples, size_t n);
struct receiver {
    int listen_fd, port;
    struct thread *accepting, *connections[512]; atomic_uint n_connections;
    int fds[512];
    struct mutex lock;
    struct received *samples; size_t n, _cap; /* in order of arrival */
    atomic_int status;     /* 204, or what it is told to answer */
    atomic_bool no_zstd;   /* 415 to zstd */
    atomic_size_t too_large; /* 413 to bodies over it; 0 = off */
    atomic_size_t body_size; /* of its responses; 0 = a word */
    _Atomic(const char *) text; /* of its responses; NULL = "no" */
    _Atomic(receiver_check *) check; /* judges a request before it is stored; NULL = all are good */
    atomic_int lost;       /* so many requests are judged, and answered by closing the connection */
    atomic_uint requests, serving; /* serving: connections that are open */
    atomic_bool stopping;
};
void receiver_start(struct receiver *r);
void receiver_stop(struct receiver *r);
/* Whoever sent has left: what he sent last is judged now, and not by what the receiver is told next. */
void receiver_settle(struct receiver *r);
size_t receiver_count(struct receiver *r);
#endif
