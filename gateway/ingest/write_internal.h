// SPDX-License-Identifier: Apache-2.0
/* What small and large pushes share: write.c stores a small body at once, large_push.c a large one in slices. On the
 * lane's thread, unless stated otherwise. */
#ifndef GATEWAY_INGEST_WRITE_INTERNAL_H
#define GATEWAY_INGEST_WRITE_INTERNAL_H

#include "base/compress.h"
#include "base/list.h"
#include "base/mem_release.h"
#include "gateway/ingest/metadata_times.h"
#include "gateway/ingest/write.h"
#include "gateway/services/services.h"
#include "model/remote_write.h"

enum { RETRY_SECONDS = 5 };

/* Of the request's samples (model/sink.h). */
static inline uint64_t write_route(const struct http_request *r) { return (uintptr_t)r->user; }

#define WRITE_PATH "{path=\"/api/v1/write\",protocol=\"promremotewrite\"}"
#define WRITE_TYPE "{type=\"promremotewrite\"}"
#define WRITE_STATS(X)                                                                                                 \
    X(WRITE_REQUESTS, "vmagent_http_requests_total" WRITE_PATH, STATS_COUNTER, "Push requests")                        \
    X(WRITE_ERRORS, "vmagent_http_request_errors_total" WRITE_PATH, STATS_COUNTER, "Push requests refused as invalid") \
    X(WRITE_REQUESTS_2, "sluice_write2_requests_total", STATS_COUNTER, "Push requests with remote write 2.0")          \
    X(WRITE_LOOPS, "sluice_write_loops_total", STATS_COUNTER, \
      "Remote write requests refused because their samples had passed through this process before") \
    X(WRITE_BUSY, "sluice_write_busy_total", STATS_COUNTER, "Push requests refused because a queue was full")          \
    X(WRITE_ROWS, "vmagent_rows_inserted_total" WRITE_TYPE, STATS_COUNTER, "Pushed samples and histograms accepted")   \
    X(WRITE_PARSED, "vm_protoparser_rows_read_total" WRITE_TYPE, STATS_COUNTER, "Samples parsed, before relabeling")   \
    X(WRITE_METADATA_READ, "vm_protoparser_metadata_read_total" WRITE_TYPE, STATS_COUNTER, "Metadata parsed")          \
    X(WRITE_METADATA, "vmagent_metadata_inserted_total" WRITE_TYPE, STATS_COUNTER, "Pushed metadata accepted")         \
    X(WRITE_READ_ERRORS, "vm_protoparser_read_errors_total" WRITE_TYPE, STATS_COUNTER,                                 \
      "Push requests whose body could not be decompressed")                                                            \
    X(WRITE_UNMARSHAL_ERRORS, "vm_protoparser_unmarshal_errors_total" WRITE_TYPE, STATS_COUNTER,                       \
      "Push requests whose body could not be parsed")                                                                  \
    X(WRITE_INVALID, "vm_rows_invalid_total" WRITE_TYPE, STATS_COUNTER,                                                \
      "Invalid samples and native histograms, which were dropped")
enum write_stat { WRITE_STATS(STATS_ID) };
struct write_buffers { /* one per lane */
    struct services *services;
    struct lane_services *lane;
    struct buf body;
    struct rw_walk walk;
    struct zstd *zstd;
    struct arena scratch;      /* for checking one histogram */
    struct list queue;         /* of struct push; the first is being processed */
    struct mem_release release; /* bodies of large pushes */
    struct loop_task work;
    struct loop_timer pause;   /* armed while -maxIngestionRate is exceeded */
    struct metadata_times *metadata; /* of remote write 2.0; NULL: none so far */
};
/* What became of a request. Of remote write 1.0, series with invalid labels are left out silently, as by Prometheus; of
 * 2.0 they are reported. */
struct write_counts {
    bool version_2;
    size_t series;                     /* walked so far */
    size_t samples, hists, exemplars;  /* stored */
    size_t invalid, metadata;          /* samples and histograms with invalid labels; families */
    size_t malformed;                  /* histograms */
    size_t rejected;                   /* series, histograms and exemplars that the response reports */
    struct err first;                  /* why, of the first of them */
};

/* Any thread. Decompresses the body of the request, detecting the codec by its first bytes, to at most `max` bytes.
 * *zstd is created when needed. */
bool write_decompress(struct http_request *r, struct zstd **zstd, size_t max, struct buf *out, struct err *err);
size_t write_max_body(const struct write_buffers *w); /* bytes, decompressed */
/* Removes malformed histograms from hists[0..n_hists); returns the new number. */
size_t write_drop_malformed(struct write_buffers *b, const struct rw_walk *w, struct str *hists, size_t n_hists,
                            struct write_counts *n);
/* Whether the series of the walk is to be stored; otherwise it is counted. */
bool write_admit_series(const struct rw_walk *w, struct write_counts *n);
void write_store_series(struct sink *sink, const struct series_in *in, struct write_counts *n);
void write_store_metadata(struct sink *sink, struct write_buffers *b, const struct metadata *m, struct write_counts *n);
void write_walk_start(struct rw_walk *w, struct str body, const struct write_counts *n);
void write_count_ingested(const struct write_counts *n);

/* Whether pushes can be stored at present; not if they have come back to their sender. */
bool write_check_open(struct services *s, struct http_request *r, struct err *err);
/* Responses, in plain text, since agents log it. */
void write_refuse(struct http_request *r, const struct err *err);
bool write_fail_queue_full(struct err *err); /* false */
/* Of a request that is stored as far as it is valid: a 400 if something was left out; for remote write 2.0, what was
 * stored. */
void write_report(struct http_request *r, const struct write_counts *n);
void write_not_stored(struct http_request *r); /* sets the response 503: a disk could not be written */
void write_respond(struct http_request *r, bool stored);

/* large_push.c */
void push_queue_add(struct http_request *r, struct write_buffers *w, bool version_2);
void push_queue_work(struct loop_task *task); /* write_buffers.work */
void on_push_pause(struct loop_timer *t);     /* write_buffers.pause */

#endif
