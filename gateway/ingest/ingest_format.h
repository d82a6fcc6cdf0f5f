// SPDX-License-Identifier: Apache-2.0
/* What a push format is, and what it uses to report the samples of a body. A format is a file with one
 * struct ingest_format, a row of INGEST_FORMATS with the names of its counters, and a route.
 *
 * On the lane's thread. Slices that a format is given or passes on are borrowed for the call.
 */
#ifndef GATEWAY_INGEST_INGEST_FORMAT_H
#define GATEWAY_INGEST_INGEST_FORMAT_H

#include "base/compress.h"
#include "base/list.h"
#include "gateway/ingest/ingest.h"
#include "model/labels.h"
#include "model/metadata.h"
#include "model/series.h"

/* F(X, id, type, path, protocol): the labels that vmagent's counters of the format have. */
#define INGEST_FORMATS(F, X)                                                          \
    F(X, PROMETHEUS, "prometheus", "/api/v1/import/prometheus", "prometheusimport")   \
    F(X, JSONL, "vmimport", "/api/v1/import", "vmimport")                             \
    F(X, CSV, "csvimport", "/api/v1/import/csv", "csvimport")                         \
    F(X, INFLUX, "influx", "/influx/write", "influx")                                 \
    F(X, OTLP, "opentelemetry", "/opentelemetry/v1/metrics", "opentelemetry")         \
    F(X, NATIVE, "native", "/api/v1/import/native", "nativeimport")                   \
    F(X, DATADOG_1, "datadogv1", "/datadog/api/v1/series", "datadog")                 \
    F(X, DATADOG_2, "datadogv2", "/datadog/api/v2/series", "datadog")                 \
    F(X, DATADOG_SKETCHES, "datadogsketches", "/datadog/api/beta/sketches", "datadog")
/* Formats of listeners, whose requests others count (ingest_format.counted). */
#define INGEST_LISTENED_FORMATS(F, X)            \
    F(X, GRAPHITE, "graphite", "", "")           \
    F(X, OPENTSDB, "opentsdb", "", "")           \
    F(X, OPENTSDB_HTTP, "opentsdbhttp", "", "")

#define INGEST_ID(X, id, type, path, protocol) INGEST_##id,
enum ingest_format_id { INGEST_FORMATS(INGEST_ID, ) INGEST_HTTP_FORMATS, INGEST_HTTP_LAST_ = INGEST_HTTP_FORMATS - 1,
                        INGEST_LISTENED_FORMATS(INGEST_ID, ) INGEST_FORMAT_COUNT };

/* A body is lines or records, each independent of the others, or a document. */
enum ingest_item { INGEST_ITEM, INGEST_ITEM_PART /* the next one is more of it */, INGEST_END, INGEST_INVALID_ITEM };
struct ingest;
struct ingest_format {
    enum ingest_format_id id;
    bool all_or_nothing;     /* an invalid line or item fails the request, and none of it is stored; else it is skipped */
    int success;             /* status of the response */
    /* Reads the parameters of the request; may set `state`. NULL: there are none. */
    bool (*begin)(struct ingest *in, struct err *err);
    /* One line, without its end, that is not blank. False: it is invalid, err says why. */
    bool (*line)(struct ingest *in, struct str line, struct err *err);
    /* Continues a line of which `line` has read a part: it has set line_open, which this clears. NULL: never. */
    bool (*more)(struct ingest *in, struct err *err);
    /* With `line`: the body consists of binary records instead. Returns the bytes of the first one in `text`, of which there
     * is a part; 0: not yet known. `line` gets each record, and what is left of an incomplete one at the end of the body;
     * invalid ones are skipped, and the response is an error. */
    size_t (*record)(struct ingest *in, struct str text);
    /* A document, complete; borrowed until `end`. Called again to read it from its start once more. Then its items, each
     * at most some hundred samples. False and INVALID: the document is invalid, err says why. */
    bool (*document)(struct ingest *in, struct str body, struct err *err);
    enum ingest_item (*next)(struct ingest *in, struct err *err);
    /* The body has ended. False: it is incomplete. NULL: always complete. */
    bool (*finish)(struct ingest *in, struct err *err);
    /* Writes the body of the response of a request that succeeded. NULL: it has none. */
    void (*respond)(struct ingest *in);
    void (*end)(struct ingest *in); /* frees `state`; NULL: nothing to free */
    struct { const struct stats_group *group; unsigned requests, errors; } counted; /* of INGEST_LISTENED_FORMATS */
};

void ingest_request(struct http_request *r, const struct ingest_format *format); /* the handler of its routes */

/* Where the text comes from, and what becomes of it: the body of a request, or a listener of lines. */
enum ingest_input { INGEST_INPUT, INGEST_INPUT_LATER, INGEST_INPUT_FAILED };
struct ingest_source {
    /* Appends a part to `text`, behind the incomplete line that is left of the last one. LATER: nothing has arrived; it is
     * queued again (ingest_queue) when something has. */
    enum ingest_input (*read)(struct ingest *in, struct err *err);
    /* Nothing is accepted at present, because a queue is full or the program is not ready: true if it is queued again
     * later; false, or NULL: it fails. */
    bool (*wait)(struct ingest *in);
    void (*end)(struct ingest *in); /* all batches are stored or have failed: ends with ingest_free */
    bool acknowledges;              /* `end` waits until they are as durable as required */
};

struct ingest_counts { size_t rows, invalid; };
struct ingest {
    struct http_request *r;       /* NULL: the client left, or the source is not a request */
    const struct ingest_source *source;
    struct services *services;
    const struct ingest_format *format;
    void *state;                  /* of the format */
    struct str from, client;      /* for logs: path, or address of the listener; client: of no request */
    int64_t now;                  /* ms: of samples without a time */
    struct label *extra; size_t n_extra; /* extra_label; they replace labels of the same name */
    uint64_t same;                /* hash of the format and of parameters that change labels; `begin` adds its own */
    struct labels_builder *labels; /* of the series being reported */
    struct arena *scratch;        /* of one line */
    bool all_or_nothing;          /* the format's; `begin` may change this and the next four */
    bool reads_twice;             /* with it: even a short body is checked first, as storing it has effects that remain */
    int success;
    size_t max_line, max_text;    /* bytes; text: of the whole body, decompressed */
    bool line_open;               /* a part of the line is read; it stays in memory until the format has read the rest */

    /* the rest is ingest.c's */
    struct ingest_lane *lane;
    struct list node;             /* in the lane's queue */
    enum codec codec;
    struct decompressor *decompressor; size_t decompressor_bytes; /* NULL: not begun; bytes: charged */
    int64_t queued;               /* monotonic ms: since it waits to be processed */
    size_t raw_at;                /* of r->body, or of `kept`, so much is decompressed */
    bool keep, kept_all;          /* a body of lines that is all_or_nothing is kept as received */
    struct buf kept; size_t kept_part; /* bytes of r->body that were added last */
    struct buf text;              /* decompressed, not yet parsed from text_at on */
    size_t text_at, text_scanned; /* no LF between them */
    size_t text_total, checked_bytes; /* checked: of a body that has been checked to its end; else 0 */
    bool text_complete;           /* nothing follows */
    struct str open_line;
    uint64_t line;                /* number of the current one; of a document 1: it is being read */
    enum { INGEST_CHECK /* to its end, nothing is stored */, INGEST_STORE, INGEST_STORE_WHOLE /* in one batch */ } phase;
    bool active;                  /* not waiting */
    bool has_read;                /* since it is active */
    bool begun, failed;           /* a batch has been accepted; one could not be stored */
    bool draining;                /* it is read on although the program stops */
    bool ended;
    size_t pending;               /* batches that are not yet as durable as required */
    struct sink *sink;            /* during a batch */
    size_t batch_bytes, batch_items, batch_most; /* most: bytes */
    size_t item_labels;           /* bytes of labels that the current line or item has reported */
    struct ingest_counts batch;   /* of the current one */
    struct err err;               /* of an invalid body, or its first invalid record; kind ERR_NONE: none */
};

/* Series that are pushed again and again. `hash` (hash_keyed) is of all that a series consists of in the body; what follows
 * from parameters is in ingest.same. known: true if the labels of an earlier series with this hash were reported with
 * these samples; else the series is reported as below, and then remembered under the hash. */
bool ingest_series_known(struct ingest *in, uint64_t hash, const struct sample *samples, size_t n) MUST_USE;
/* The one reported last. text: see ingest_expected; empty: none. */
void ingest_series_remember(struct ingest *in, uint64_t hash, struct str text);
/* The same of a series that is not the first of its line: its text is expected behind that of the series with the hash
 * `before` only. */
void ingest_series_remember_behind(struct ingest *in, uint64_t hash, struct str text, uint64_t before);
/* Clients repeat their series in the same order. The text that was remembered with the i-th series from now, if it comes
 * again, which is the i-th of its line; empty: none is expected. `text` is such that a line, or the rest of one, that begins
 * with it has this series next. */
struct str ingest_expected(const struct ingest *in, size_t i);
/* The first n have come, with a sample each. False: nothing is reported, the line is to be read as any other. */
bool ingest_expected_have_come(struct ingest *in, const struct sample *samples, size_t n) MUST_USE;

/* Reporting a series: ingest_series_begin, ingest_label for each label (the name as __name__), then ingest_series_end
 * with its samples, or several times with changed labels (builder_set). False: a label is not valid. */
void ingest_series_begin(struct ingest *in);
bool ingest_label(struct ingest *in, struct str name, struct str value, struct err *err) MUST_USE;
bool ingest_series_end(struct ingest *in, const struct sample *samples, size_t n, struct err *err) MUST_USE;
bool ingest_series_histogram(struct ingest *in, struct str message, struct err *err) MUST_USE; /* prometheus.Histogram */
void ingest_skip(struct ingest *in, const struct err *err); /* an invalid item of a document: counts and logs it */
void ingest_metadata(struct ingest *in, const struct metadata *m);

struct zstd *ingest_zstd(struct ingest *in); /* the lane's */
bool ingest_time_ms(struct str s, int64_t *t) MUST_USE; /* 11 to 15 digits, as times in ms have them */
void ingest_same(struct ingest *in, struct str parameter); /* a parameter that changes labels: see ingest.same */

#endif
