// SPDX-License-Identifier: Apache-2.0
/* Free space of a queue and the time until it is full. Updated by the io thread once a second, read by any thread. */
#ifndef WRITER_QUEUE_QUEUE_SPACE_H
#define WRITER_QUEUE_QUEUE_SPACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { SPACE_SAMPLES = 31, SPACE_EVERY_MS = 10000 }; /* five minutes */
struct queue_space {
    atomic_ullong free;       /* bytes of the file system available to this process; UINT64_MAX: unknown */
    _Atomic double until_full; /* seconds; +Inf while nothing grows */
    uint64_t total;
    int64_t measured_at;      /* mono ms; every second, or every ten while nothing is queued and much is free */
    struct { int64_t at; uint64_t bytes, free; } samples[SPACE_SAMPLES]; unsigned n; /* oldest first */
    bool warned; int64_t warned_at; /* mono ms */
    /* mono ms when the last write failed or the last block was dropped for space, 0 = never */
    int64_t full_at;
};
struct queue_space_use {
    const char *dir;
    uint64_t bytes;           /* undelivered, on disk */
    uint64_t max_bytes;       /* 0 = no limit */
    bool keep_all;            /* pushes are refused when it is full; otherwise the oldest blocks are dropped */
};
void queue_space_init(struct queue_space *s);
void queue_space_measure(struct queue_space *s, const char *dir); /* updates free and total only */
void queue_space_update(struct queue_space *s, const struct queue_space_use *use, int64_t now_mono);
double queue_space_seconds(const struct queue_space *s, const struct queue_space_use *use, int64_t now_mono);

#endif
