// SPDX-License-Identifier: Apache-2.0
/* What ingest.c (the path of a request) and ingest_rows.c (its series) share. */
#ifndef GATEWAY_INGEST_INGEST_INTERNAL_H
#define GATEWAY_INGEST_INGEST_INTERNAL_H

#include "gateway/ingest/ingest_format.h"
#include "gateway/ingest/series_cache.h"
#include "gateway/ingest/write_internal.h"
#include "model/sink.h"

#define INGEST_REQUESTS_ROW(X, id, type, path, protocol)                                                            \
    X(INGEST_##id##_REQUESTS, "vmagent_http_requests_total{path=\"" path "\",protocol=\"" protocol "\"}",           \
      STATS_COUNTER, "Push requests")
#define INGEST_ERRORS_ROW(X, id, type, path, protocol)                                                              \
    X(INGEST_##id##_ERRORS, "vmagent_http_request_errors_total{path=\"" path "\",protocol=\"" protocol "\"}",       \
      STATS_COUNTER, "Push requests refused as invalid")
#define INGEST_ROWS_ROW(X, id, type, path, protocol)                                                                \
    X(INGEST_##id##_ROWS, "vmagent_rows_inserted_total{type=\"" type "\"}", STATS_COUNTER,                          \
      "Pushed samples and histograms accepted")
#define INGEST_READ_ROW(X, id, type, path, protocol)                                                                \
    X(INGEST_##id##_READ, "vm_protoparser_rows_read_total{type=\"" type "\"}", STATS_COUNTER,                       \
      "Samples parsed, before relabeling")
#define INGEST_READ_ERRORS_ROW(X, id, type, path, protocol)                                                         \
    X(INGEST_##id##_READ_ERRORS, "vm_protoparser_read_errors_total{type=\"" type "\"}", STATS_COUNTER,              \
      "Push requests whose body could not be decompressed")
#define INGEST_INVALID_ROW(X, id, type, path, protocol)                                                             \
    X(INGEST_##id##_INVALID, "vm_rows_invalid_total{type=\"" type "\"}", STATS_COUNTER,                             \
      "Invalid samples and native histograms, which were dropped")
/* A row for each format, in the order of enum ingest_format_id; of the first two families for each of INGEST_FORMATS. */
#define INGEST_ALL_FORMATS(F, X) INGEST_FORMATS(F, X) INGEST_LISTENED_FORMATS(F, X)
#define INGEST_STATS(X)                                                                                             \
    INGEST_FORMATS(INGEST_REQUESTS_ROW, X) INGEST_FORMATS(INGEST_ERRORS_ROW, X)                                     \
    INGEST_ALL_FORMATS(INGEST_ROWS_ROW, X) INGEST_ALL_FORMATS(INGEST_READ_ROW, X)                                   \
    INGEST_ALL_FORMATS(INGEST_READ_ERRORS_ROW, X) INGEST_ALL_FORMATS(INGEST_INVALID_ROW, X)
enum ingest_stat { INGEST_STATS(STATS_ID) };
enum ingest_family { INGEST_REQUESTS, INGEST_ERRORS, INGEST_ROWS, INGEST_READ, INGEST_READ_ERRORS, INGEST_INVALID };
void ingest_count(const struct ingest_format *f, enum ingest_family family, size_t n);

struct ingest_lane { /* one per lane; created at its first request */
    struct services *services;
    struct lane_services *lane;
    struct list active, waiting;  /* of struct ingest; the first active one has its turn */
    unsigned n_active, most_active;
    struct loop_task work;
    struct loop_timer pause;      /* armed while -maxIngestionRate is exceeded */
    struct labels_builder labels;
    struct arena scratch;
    struct buf label_bytes;       /* of the series reported last */
    uint32_t label_count;
    struct series_cache cache;
    struct zstd *zstd;            /* of formats whose parts are compressed; NULL: not used yet */
    struct loop_timer unused;     /* frees both when nothing was pushed for a while */
    struct mem_release release;
};

/* ingest.c */
struct ingest_lane *ingest_lane_of(struct services *s, unsigned lane);
void ingest_init(struct ingest *in, struct ingest_lane *l, const struct ingest_format *format, const struct ingest_source *source);
void ingest_queue(struct ingest *in);
void ingest_unqueue(struct ingest *in);
void ingest_fail(struct ingest *in, const struct err *err); /* nothing more is stored; calls source->end, perhaps at once */
void ingest_end(struct ingest *in);                         /* the same without an error */
void ingest_free(struct ingest *in);                        /* frees what it holds; not `in` */

/* ingest_body.c */
enum ingest_input ingest_body_read(struct ingest *in, struct err *err); /* ingest_source.read */
void ingest_body_rewind(struct ingest *in); /* to the start of the body */
void ingest_body_close(struct ingest *in);  /* frees the decompressor */

/* ingest_text.c */
void ingest_text_compact(struct ingest *in); /* drops what is parsed */
bool ingest_no_memory(struct err *err);      /* false: for request bodies */
/* The same for a text that has so many bytes: others may return memory, unless this one alone needs too much of it. */
bool ingest_no_text_memory(const struct ingest *in, size_t bytes, struct err *err);
bool ingest_text_fits(struct ingest *in, struct err *err); /* false: the body, or the next line, is too long */
bool ingest_text_has_line(struct ingest *in);
/* The next line, without LF or CR LF; the last one of a body needs none. False: a further part has to be read, or it is too
 * long. */
bool ingest_text_line(struct ingest *in, struct str *line);

/* ingest_rows.c */
bool ingest_read_extra_labels(struct ingest *in, struct err *err);

#endif
