// SPDX-License-Identifier: Apache-2.0
/* A remote write receiver in the test: keeps every sample and responds as the test sets. */
#ifndef TESTS_RECEIVER_H
#define TESTS_RECEIVER_H

#include "base/os/thread.h"
#include "model/write2/write2.h"
#include "tests/unit/http_server.h"

#include <stdatomic.h>

enum receiver_write_2 { WRITE_2_KNOWN, WRITE_2_REFUSED, WRITE_2_MALFORMED, WRITE_2_IGNORED };
struct received { uint64_t series; struct sample sample; };
struct receiver;
/* 0, or the status to reject the whole request with; under the receiver's lock */
typedef int receiver_check(struct receiver *r, const struct received *samples, size_t n);
struct receiver {
    struct http_server server;
    struct zstd *zstd;     /* the server thread's */
    struct mutex lock;     /* guards the samples */
    struct received *samples; size_t n, _cap; /* in order of arrival */
    atomic_uint requests;  /* so many were judged */
    atomic_int status;     /* 204, or the status of every response */
    atomic_bool no_zstd;   /* 415 to zstd, or zstd_status */
    atomic_int zstd_status; /* 0 = 415 */
    atomic_size_t too_large; /* 413 to bodies over it; 0 = off */
    atomic_size_t body_size; /* of its response bodies; 0 = `text` */
    _Atomic(const char *) text; /* its response bodies; NULL = "no" */
    _Atomic(receiver_check *) check; /* judges a request before it is stored; NULL = all are good */
    /* Of remote write 2.0: it is stored, gets 415, gets a 400 of a decoder, or is read as an empty request of 1.0. */
    atomic_int write_2;    /* enum receiver_write_2 */
    atomic_size_t unwritten; /* so many samples of a request of 2.0 are stored, but not counted as written */
    atomic_int write_2_requests;
    atomic_bool silent;    /* no request gets a response */
    atomic_int lost;       /* so many requests are handled, then their connection is closed without a response */
};
void receiver_start(struct receiver *r);
void receiver_stop(struct receiver *r);
/* After the sender has stopped: waits until its last requests are handled, so that later settings do not affect them. */
void receiver_settle(struct receiver *r);
size_t receiver_count(struct receiver *r);
#endif
